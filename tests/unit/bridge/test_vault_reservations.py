"""What a storeman co-signs of withdrawals to EVM chains: bound once, without coins, and only where it is right."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias, cast

import pytest

from adapters.native import events as e
from adapters.native.eip712 import account_of_secret, recover
from bridge.cosigner import Cosigner, NotOurGroup
from bridge.messages import PlainOutpoint, ReserveProposal
from bridge.refusals import AssetHalted, Insolvent, MalformedProposal, NotPayable, NotYet
from bridge.storage import IncidentKind
from foundation.errors import CausewayError
from tests.support.bridge_evm import ETH, EVM_GROUP, TOKEN, Asked
from tests.support.bridge_intake import GROUP
from tests.support.bridge_office import identity
from tests.support.vault_office import VaultOffice

ONE, TWO, BOUND, TAKEN_BACK, TOKENS = (Asked(number) for number in range(1, 6))


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[VaultOffice]:
    """Two withdrawals of coin wait; one is bound, one is taken back, one is of a token."""
    opened = await VaultOffice.open(tmp_path)
    chains = opened.chains
    await opened.ask(BOUND)
    await opened.ask(ONE, TWO, TAKEN_BACK, payout=None)
    await chains.evm(opened.side.locked(2, 9 * ETH, TOKEN))
    await chains.say(chains.asks(TOKENS, asset=opened.side.token().id))
    await chains.say(e.WithdrawalCancelled(chains.at(), chains.context.withdrawal_id(TAKEN_BACK.number)))
    yield opened
    await opened.close()


def proposal(office: VaultOffice, *numbers: int, group: bytes = EVM_GROUP, coins: int = 0) -> ReserveProposal:
    ids = [office.chains.context.withdrawal_id(number) for number in numbers]
    return ReserveProposal(group, ids, [PlainOutpoint(b"c" * 32, 0)] * coins)


async def cosign(office: VaultOffice, proposed: ReserveProposal, proposer: int = 2) -> bytes:
    chains, clock = office.chains, office.office.clock
    parts = (identity(1), cast(Any, None), cast(Any, office.hub), chains.database, chains.context, chains.intake, clock)
    return await Cosigner(*parts).cosign(identity(proposer).host_key, proposed)


async def test_what_waits_is_bound_and_the_signature_is_kept(office: VaultOffice) -> None:
    """Over the Hub's own terms, with no coins in them."""
    proposed = proposal(office, 1, 2)
    signature = await cosign(office, proposed)
    digest = office.hub.hub_digests.payout_reservation(EVM_GROUP, office.side.coin.id, proposed.withdrawals, [])
    assert recover(digest, signature) == account_of_secret(identity(1).account_secret)
    async with office.chains.database.view() as view:
        assert [row.signature for row in await view.cosignatures.of_digest(digest)] == [signature]


Prepare: TypeAlias = Callable[[VaultOffice], Awaitable[object]]


async def nothing(office: VaultOffice) -> None:
    """As the fixture left it."""


async def denied(office: VaultOffice) -> None:
    await office.deny()


async def halted(office: VaultOffice) -> None:
    await office.chains.say(e.Halted(office.chains.at(), office.side.coin.id, office.now // 1000 + 1))


async def robbed(office: VaultOffice) -> None:
    await office.chains.evm(office.side.released(77, 1, 0))


DISHONEST: list[tuple[Prepare, tuple[int, ...], dict[str, Any], type[CausewayError]]] = [
    (nothing, (1, BOUND.number), {}, NotPayable),
    (nothing, (TAKEN_BACK.number,), {}, NotPayable),
    (nothing, (1, 1), {}, MalformedProposal),
    (nothing, (1, TOKENS.number), {}, MalformedProposal),
    (nothing, (1,), {"coins": 1}, MalformedProposal),
    (nothing, (1, 77), {}, NotYet),
    (nothing, (1,), {"group": GROUP}, NotOurGroup),
    (nothing, (1,), {"group": b"z" * 32}, CausewayError),
    (denied, (1,), {}, MalformedProposal),
    (halted, (1,), {}, AssetHalted),
    (robbed, (1,), {}, Insolvent),
]


@pytest.mark.parametrize("prepare", dict.fromkeys(case[0] for case in DISHONEST))
async def test_a_dishonest_reservation_is_refused(office: VaultOffice, prepare: Prepare) -> None:
    """Bound elsewhere, taken back, named twice, of another asset, with coins, by another group, at the wrong time."""
    await prepare(office)
    for when, numbers, changes, refusal in DISHONEST:
        if when is prepare:
            with pytest.raises(refusal):
                await cosign(office, proposal(office, *numbers, **changes))


async def test_who_is_no_member_gets_no_signature_and_is_named(office: VaultOffice) -> None:
    """Reservations are the group's own business."""
    with pytest.raises(NotOurGroup):
        await cosign(office, proposal(office, 1), proposer=9)
    assert await office.incidents() == [(IncidentKind.REFUSAL, "NotOurGroup")]


async def test_more_than_a_payout_holds_is_refused(office: VaultOffice) -> None:
    """By this operator's own limit."""
    most = office.policy.max_withdrawals
    await office.ask(*(Asked(number) for number in range(10, 11 + most)), payout=None)
    with pytest.raises(MalformedProposal):
        await cosign(office, proposal(office, *range(10, 11 + most)))
