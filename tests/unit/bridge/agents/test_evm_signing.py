"""When a storeman has nothing signed for a vault."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from bridge.agents.vaults.signing import SignForVaults
from bridge.directory import EvmOrigin
from registry.groups import Group, GroupStatus
from tests.support.bridge_evm import EVM_GROUP, EvmSide
from tests.support.bridge_office import VOUCHERS, World


async def test_a_vault_that_is_not_followed_yet_is_left_alone(tmp_path: Path) -> None:
    """The Registry names a vault a moment before this node follows it, and perhaps one that it does not serve at all:
    nothing is signed for either, and the duty does not fail."""
    world = await World.open(tmp_path)
    side = EvmSide(5)
    fake = cast(Any, world.office)
    members = tuple(voucher.member for voucher in VOUCHERS)
    group = Group(EVM_GROUP, side.chain.id, 3, members, 0, b"K" * 32, GroupStatus.ACTIVE)
    fake.directory.origins = {side.chain.id: EvmOrigin(side.chain, side.vault, side.coin.id)}
    fake.directory.groups = {EVM_GROUP: group}
    fake.outposts = {}
    fake.cluster = SimpleNamespace()  # whoever asks it to sign fails
    assert await SignForVaults(world.office).run() is False
    await world.database.close()
