"""A storeman has withdrawals reserved once, and again where another storeman was faster with some of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from adapters.native.errors import ContractRefused
from adapters.native.types import WithdrawalStatus
from bridge.agents.storeman.cosigning import Cosigning
from bridge.agents.vaults.reserving import ReserveOnVaults
from bridge.messages import ReserveProposal
from tests.support.bridge_evm import Asked
from tests.support.vault_office import MEMBERS, VaultOffice

ONE, TWO = Asked(1), Asked(2)


class Signers:
    """Storemen who co-sign all. `asked`: the withdrawals of each proposal. `meanwhile`: what the Hub has then."""

    def __init__(self, office: VaultOffice) -> None:
        self.office = office
        self.asked: list[list[bytes]] = []
        self.meanwhile: dict[bytes, WithdrawalStatus] = {}

    async def cosign(self, group: Any, proposal: ReserveProposal, digest: bytes) -> Mapping[bytes, bytes]:
        self.asked.append(proposal.withdrawals)
        self.office.hub.statuses |= self.meanwhile
        return {member.account: b"s" * 65 for member in MEMBERS}


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[VaultOffice]:
    opened = await VaultOffice.open(tmp_path)
    await opened.ask(ONE, TWO, payout=None)
    yield opened
    await opened.close()


def ids(office: VaultOffice, *asked: Asked) -> list[bytes]:
    return [office.chains.context.withdrawal_id(a.number) for a in asked]


def duty_of(office: VaultOffice) -> tuple[ReserveOnVaults, Signers]:
    signers = Signers(office)
    return ReserveOnVaults(office.office, cast(Cosigning, signers)), signers


async def test_what_waits_is_reserved_once(office: VaultOffice) -> None:
    """Not again before the reservation has had time to become final."""
    duty, signers = duty_of(office)
    assert await duty.run() is True
    assert await duty.run() is True
    assert signers.asked == [ids(office, ONE, TWO)]
    assert [label for label, _ in office.sender.sent] == ["reserve"]
    office.now += 20_001
    await duty.run()
    assert len(signers.asked) == 2


async def test_what_another_storeman_left_is_reserved_at_once(office: VaultOffice) -> None:
    """The Hub refuses all of a reservation because of one withdrawal: the others do not wait for that."""
    duty, signers = duty_of(office)
    signers.meanwhile = dict.fromkeys(ids(office, ONE), WithdrawalStatus.RESERVED)
    office.sender.error = ContractRefused("Hub: already reserved", "reserve")
    await duty.run()
    office.sender.error = None
    await duty.run()
    assert signers.asked == [ids(office, ONE, TWO), ids(office, TWO)]


async def test_what_the_hub_refuses_for_itself_is_proposed_later(office: VaultOffice) -> None:
    """Where nobody was faster, the next try would be refused as well: nobody is asked to co-sign all the time."""
    duty, signers = duty_of(office)
    office.sender.error = ContractRefused("Hub: halted", "reserve")
    for _ in range(3):
        await duty.run()
    assert len(signers.asked) == 1
    office.now += 20_001
    await duty.run()
    assert len(signers.asked) == 2
