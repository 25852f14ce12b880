"""A new token is read once, in the block of its first lock, so that every voucher says the same of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.evm.errors import NodeUnavailable
from adapters.evm.lockbox.tokens import TokenDescription
from bridge.agents.vaults import describing
from bridge.agents.vaults.describing import Describe
from bridge.codec import decode
from bridge.deposits import Stage
from bridge.intake.common import described_fact
from bridge.messages import AssetSeen
from bridge.vault_books import locked
from foundation.quantities import BlockHeight
from tests.support.bridge_evm import STRANGE_TOKEN, TOKEN
from tests.support.vault_office import VaultOffice

NEWER = b"N" * 20


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[VaultOffice]:
    opened = await VaultOffice.open(tmp_path)
    opened.chains.native.open = opened.side.policy
    await opened.chains.context.directory.refresh(opened.chains.native.groups)
    yield opened
    await opened.close()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, BlockHeight]]:
    """Which tokens were read at which blocks; one with a letter's name says another thing in each block."""
    asked: list[tuple[bytes, BlockHeight]] = []

    async def description(endpoints: Any, token: bytes, at: BlockHeight) -> TokenDescription:
        asked.append((token, at))
        if endpoints.error is not None:
            raise endpoints.error
        return TokenDescription(f"Token of {at}", "STR", 200)

    monkeypatch.setattr(describing, "token_description", description)
    return asked


async def said(office: VaultOffice, token: bytes) -> AssetSeen | None:
    stored = await office.fact(described_fact(office.side.token(token).id))
    return None if stored is None else decode(stored, AssetSeen, "fact")


async def test_a_new_token_is_read_once_at_its_first_lock(
    office: VaultOffice, read: list[tuple[bytes, BlockHeight]]
) -> None:
    """Not a registered one, not the chain's coin, not twice."""
    side, chains = office.side, office.chains
    await chains.evm(side.locked(2, 5, STRANGE_TOKEN), side.locked(3, 5, TOKEN), side.locked(4, 5))
    first = BlockHeight(side.block)
    await chains.evm(side.locked(5, 5, STRANGE_TOKEN), side.locked(6, 5, NEWER))
    duty = Describe(office.office)
    for _ in range(2):
        assert await duty.run() is False
    assert sorted(read) == sorted([(STRANGE_TOKEN, first), (NEWER, BlockHeight(first + 1))])
    text = side.token(STRANGE_TOKEN).caip19
    assert await said(office, STRANGE_TOKEN) == AssetSeen(side.chain.id, text, f"Token of {first}", "STR", 200)


async def test_the_vaults_own_count_says_which_lock_is_the_first(
    office: VaultOffice, read: list[tuple[bytes, BlockHeight]]
) -> None:
    """Not what this node stored first: of what it read in one moment that is anything, and elsewhere another thing."""
    side, chains = office.side, office.chains
    first = BlockHeight(side.block + 1)
    for number in range(2, 12):
        await chains.evm(side.locked(number, 5, STRANGE_TOKEN))
    async with chains.database.view() as view:
        found = await locked(view, side.chain.id, Stage.CONFIRMING)
    assert found[0].height != first, "the test would show nothing"
    await Describe(office.office).run()
    assert read == [(STRANGE_TOKEN, first)]


async def test_a_closed_chain_and_one_that_is_not_followed_are_left_alone(
    office: VaultOffice, read: list[tuple[bytes, BlockHeight]]
) -> None:
    """Nothing could be introduced there, or nothing could be read."""
    await office.chains.evm(office.side.locked(2, 5, STRANGE_TOKEN))
    outposts = dict(office.fake.outposts)
    office.fake.outposts.clear()
    await Describe(office.office).run()
    office.fake.outposts.update(outposts)
    office.chains.native.open = None
    await office.chains.context.directory.refresh(office.chains.native.groups)
    await Describe(office.office).run()
    assert read == []


async def test_a_token_that_cannot_be_read_now_is_read_later(
    office: VaultOffice, read: list[tuple[bytes, BlockHeight]]
) -> None:
    """Nothing is made up in the meantime."""
    await office.chains.evm(office.side.locked(2, 5, STRANGE_TOKEN), office.side.locked(3, 5, NEWER))
    office.endpoints.error = NodeUnavailable("eth_call", "away")
    with pytest.raises(NodeUnavailable):
        await Describe(office.office).run()
    assert (len(read), await said(office, STRANGE_TOKEN)) == (2, None)
    office.endpoints.error = None
    await Describe(office.office).run()
    assert await said(office, STRANGE_TOKEN) is not None
