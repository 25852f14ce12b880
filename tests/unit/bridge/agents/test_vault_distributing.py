"""Service fees are distributed now and then, by whoever's turn it is, each sum once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.native.errors import ContractRefused
from bridge.agents.vaults.distributing import Distribute
from bridge.earned import VOUCHERS, note_earned
from tests.support.vault_office import VaultOffice

PAUSE_MS = 3_600_000


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[VaultOffice]:
    opened = await VaultOffice.open(tmp_path)
    async with opened.chains.database.unit() as uow:
        await note_earned(uow, opened.side.coin.id, VOUCHERS, 7)
        await note_earned(uow, opened.side.coin.id, b"g" * 32, 7)
        await uow.commit()
    opened.hub.pending = 5
    yield opened
    await opened.close()


async def test_all_that_waits_is_distributed_once_a_while(office: VaultOffice) -> None:
    """To vouchers and to storemen, each in a transaction."""
    duty = Distribute(office.office)
    for _ in range(3):
        assert await duty.run() is False
    assert len({key for _, key in office.sender.sent}) == len(office.sender.sent) == 2


async def test_the_same_sum_is_distributed_again_when_it_is_earned_again(office: VaultOffice) -> None:
    """A floor makes equal fees: under the same key the second would be taken for the first, and wait for ever."""
    duty = Distribute(office.office)
    await duty.run()
    office.now += PAUSE_MS
    await duty.run()
    assert len({key for _, key in office.sender.sent}) == len(office.sender.sent) == 4


async def test_nothing_is_asked_for_out_of_turn_or_where_nothing_waits(office: VaultOffice) -> None:
    """The Hub's newest block knows whether somebody else was faster."""
    duty = Distribute(office.office)
    office.turn = False
    await duty.run()
    office.turn = True
    office.hub.pending = 0
    await duty.run()
    assert office.sender.sent == []


async def test_a_refusal_stops_no_other(office: VaultOffice) -> None:
    """Somebody else was faster after all."""
    office.sender.error = ContractRefused("distribute", "Hub: nothing pending")
    await Distribute(office.office).run()
    assert len(office.sender.sent) == 2
