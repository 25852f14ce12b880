"""A chain that takes back what was final is not served any more; the node and its other chains go on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from adapters.evm.errors import CursorReorged
from bridge.agents.attesting import wanted
from bridge.agents.vaults import following
from bridge.agents.vaults.following import follow_evm
from bridge.agents.vaults.outpost import Outpost
from bridge.intake.common import WANTED_HALTS
from bridge.status import ChainStatus
from foundation.quantities import BlockHeight
from tests.support.bridge_office import World

CHAIN, ASSET, OTHER = b"c" * 32, b"a" * 32, b"o" * 32


async def test_a_reorg_of_what_was_final_ends_the_service_of_that_chain_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its assets are wanted halted, an alarm is kept, no duty finds the chain any more; nothing else is touched."""
    world = await World.open(tmp_path)
    office = cast(Any, world.office)
    office.outposts = {}
    office.directory.origins = {CHAIN: SimpleNamespace(vault=SimpleNamespace(lockbox=b"l" * 20, start_block=0))}
    office.directory.assets = {
        ASSET: SimpleNamespace(id=ASSET, chain=CHAIN),
        OTHER: SimpleNamespace(id=OTHER, chain=b"x"),
    }
    office.intake.evm_cursor = _nothing
    served: list[bool] = []

    class Follower:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        async def read(self, _cursor: object) -> None:
            served.append(CHAIN in office.outposts)
            raise CursorReorged(BlockHeight(7), b"\1" * 32, b"\2" * 32)

    async def opened(*_: object) -> object:
        return SimpleNamespace(endpoints=None, section=section, chain=CHAIN)

    section = SimpleNamespace(id=CHAIN, chain="eip155:1", log_range=10, poll_seconds=0.01)
    monkeypatch.setattr(Outpost, "open", opened)
    monkeypatch.setattr(following, "_check_vault", _nothing)
    monkeypatch.setattr(following, "VerifiedFollower", Follower)
    status, native_read = ChainStatus(), asyncio.Event()
    native_read.set()
    office.identity = SimpleNamespace(account_secret=b"s" * 32)
    version = world.office.changed.version
    task = asyncio.create_task(follow_evm(world.office, cast(Any, section), status, native_read))
    await world.office.changed.wait(version, 10)
    async with world.database.view() as view:
        halts = await wanted(view, WANTED_HALTS)
    assert served == [True]
    assert set(halts) == {ASSET}
    assert office.outposts == {}
    assert status.problem.startswith("not served any more")
    assert not task.done(), "the node goes on"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await world.database.close()


async def _nothing(*_: object) -> None:
    return None
