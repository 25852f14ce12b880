"""Reserving withdrawals to EVM chains: oldest first, an asset at a time, only what the Hub's newest block still has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from adapters.native.errors import ContractRefused
from adapters.native.types import WithdrawalStatus
from bridge.agents.vaults.reserving import ReserveOnVaults
from bridge.messages import ReserveProposal
from bridge.refusals import NotYet
from tests.support.bridge_evm import ETH, EVM_GROUP, TOKEN, Asked
from tests.support.vault_office import MEMBERS, VaultOffice


class Cosigning:
    """All members agree, or one says why not. `asked`: the proposals."""

    def __init__(self) -> None:
        self.asked: list[ReserveProposal] = []
        self.refused: set[bytes] = set()

    async def cosign(self, group: Any, proposal: ReserveProposal, digest: bytes) -> dict[bytes, bytes]:
        self.asked.append(proposal)
        if self.refused & set(proposal.withdrawals):
            raise NotYet("a withdrawal of the proposal")
        return {member.account: member.account + bytes(45) for member in MEMBERS[:2]}


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[VaultOffice]:
    opened = await VaultOffice.open(tmp_path)
    yield opened
    await opened.close()


def duty_of(office: VaultOffice) -> tuple[ReserveOnVaults, Cosigning]:
    cosigning = Cosigning()
    return ReserveOnVaults(office.office, cast(Any, cosigning)), cosigning


def ids(office: VaultOffice, *numbers: int) -> list[bytes]:
    return [office.chains.context.withdrawal_id(number) for number in numbers]


async def test_what_waits_is_reserved_together_and_once(office: VaultOffice) -> None:
    """By the group that serves the chain, without coins; not again while the Hub's event is on its way."""
    await office.ask(Asked(1), Asked(2), payout=None)
    duty, cosigning = duty_of(office)
    for _ in range(2):
        assert await duty.run() is True
    assert cosigning.asked == [ReserveProposal(EVM_GROUP, ids(office, 1, 2), [])]
    assert [label for label, _ in office.sender.sent] == ["reserve"]
    await office.chains.say(office.chains.reserves(b"p" * 32, Asked(1), Asked(2)))
    assert await duty.run() is False


async def test_no_more_than_a_payout_holds_and_each_asset_apart(office: VaultOffice) -> None:
    """The rest comes with the next run."""
    chains, token = office.chains, office.side.token().id
    most = office.policy.max_withdrawals
    await office.ask(*(Asked(number) for number in range(1, most + 2)), payout=None)
    await chains.evm(office.side.locked(2, 9 * ETH, TOKEN))
    await chains.say(chains.asks(Asked(most + 2), asset=token))
    duty, cosigning = duty_of(office)
    await duty.run()
    assert sorted(len(proposal.withdrawals) for proposal in cosigning.asked) == [1, most]
    await duty.run()
    assert len(cosigning.asked[-1].withdrawals) == 1
    named = [id_ for proposal in cosigning.asked for id_ in proposal.withdrawals]
    assert sorted(named) == sorted(ids(office, *range(1, most + 3)))


@pytest.mark.parametrize("status", [WithdrawalStatus.RESERVED, WithdrawalStatus.CANCELLED])
async def test_what_the_newest_block_has_otherwise_is_left_alone(office: VaultOffice, status: WithdrawalStatus) -> None:
    """Another reservation, or its owner's cancellation, is not final yet."""
    await office.ask(Asked(1), Asked(2), payout=None)
    office.hub.statuses[ids(office, 1)[0]] = status
    duty, cosigning = duty_of(office)
    await duty.run()
    assert cosigning.asked == [ReserveProposal(EVM_GROUP, ids(office, 2), [])]


async def test_nothing_is_reserved_out_of_turn_for_a_denied_asset_or_by_strangers(office: VaultOffice) -> None:
    """Owners cancel what a denied asset owes them; who is no member proposes nothing."""
    await office.ask(Asked(1), payout=None)
    duty, cosigning = duty_of(office)
    office.turn = False
    assert await duty.run() is True
    office.turn = True
    await office.deny()
    await duty.run()
    await office.deny(denied=False)
    office.fake.account = b"q" * 20
    assert await duty.run() is False
    assert cosigning.asked == []


async def test_what_the_hub_refuses_is_proposed_again_later(office: VaultOffice) -> None:
    """Also what was sent and never had an effect."""
    await office.ask(Asked(1), payout=None)
    duty, cosigning = duty_of(office)
    office.sender.error = ContractRefused("reserve", "Hub: halted")
    await duty.run()
    office.now += 20_000
    await duty.run()
    assert len(cosigning.asked) == 1
    office.now += 1
    office.sender.error = None
    await duty.run()
    assert len(cosigning.asked) == len(office.sender.sent) == 2


async def test_one_asset_that_cannot_be_reserved_keeps_no_other_waiting(office: VaultOffice) -> None:
    """Its refusal is the run's; it is asked for again at once, for nothing was sent."""
    chains, token = office.chains, office.side.token().id
    await office.ask(Asked(1), payout=None)
    await chains.say(chains.asks(Asked(2), asset=token))
    duty, cosigning = duty_of(office)
    cosigning.refused = set(ids(office, 1))
    for _ in range(2):
        with pytest.raises(NotYet):
            await duty.run()
    assert [label for label, _ in office.sender.sent] == ["reserve"]
    assert [proposal.withdrawals for proposal in cosigning.asked].count(ids(office, 1)) == 2
