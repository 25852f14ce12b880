"""What a storeman puts its share to for a vault, by what it has read of both chains itself; a coordinator may lie."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from adapters.evm.lockbox import events as lb
from adapters.evm.lockbox.types import NATIVE_COIN, RETURN, Payment
from adapters.native import events as e
from bridge import vault_books
from bridge.authorizer import StoremanAuthorizer
from bridge.codec import encode
from bridge.incidents import DatabaseIncidents
from bridge.intake.common import EVERYTHING
from bridge.messages import PlainPayment, ReleaseProposal, amount_bytes
from bridge.refusals import (
    AssetHalted,
    Insolvent,
    MalformedProposal,
    NotCancellable,
    NotPayable,
    NotYet,
    UnaskedPayment,
    WrongConfiguration,
    WrongEpoch,
)
from bridge.storage import IncidentKind, VaultAssetRow
from bridge.vault_authorizer import VaultAuthorizer
from bridge.vault_requests import VaultRequest, cancel_request, configure_request, release_request
from foundation.errors import BadInput, CausewayError
from foundation.quantities import TokenUnits, UnixMs
from mpc.ports import Incident
from tests.support.bridge_evm import ETH, EVM_GROUP, PAYEE, SENDER, TOKEN, Asked, EvmSide
from tests.support.bridge_intake import GROUP, MEMBER
from tests.support.vault_office import PAYOUT, VaultOffice

ONE, TWO, THREE = Asked(1), Asked(2, amount=3 * ETH, max_fee=500), Asked(3)
STRANGER = b"x" * 20
NONE = TokenUnits(0)
OTHER = EvmSide(10)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[VaultOffice]:
    """Two withdrawals are reserved and a third is not; one lock is minted, one waits, one is barred."""
    opened = await VaultOffice.open(tmp_path)
    await opened.ask(ONE, TWO)
    await opened.ask(THREE, payout=None)
    side = opened.side
    await opened.chains.evm(side.locked(2, 7 * ETH), side.locked(3, 8 * ETH))
    await opened.chains.say(opened.chains.bars(3, 8 * ETH))
    yield opened
    await opened.close()


def pays(asked: Asked, **changes: object) -> Payment:
    """The payment that is asked for, with changes."""
    fields = {
        "number": asked.number,
        "asset": NATIVE_COIN,
        "payee": asked.destination,
        "amount": TokenUnits(asked.rest),
        "fee": TokenUnits(asked.max_fee),
    }
    return Payment(**{**fields, **changes})  # type: ignore[arg-type]  # the test names fields


def goes_back(number: int, amount: int, **changes: object) -> Payment:
    fields = {
        "number": RETURN | number,
        "asset": NATIVE_COIN,
        "payee": SENDER,
        "amount": TokenUnits(amount),
        "fee": TokenUnits(0),
    }
    return Payment(**{**fields, **changes})  # type: ignore[arg-type]  # the test names fields


def release(*payments: Payment, side: EvmSide | None = None, epoch: int = 0) -> VaultRequest:
    return release_request((side or EvmSide(1)).chain.id, epoch, payments)


def cancel(*numbers: int, side: EvmSide | None = None, epoch: int = 0) -> VaultRequest:
    return cancel_request((side or EvmSide(1)).chain.id, epoch, numbers)


def configure(token: bytes = NATIVE_COIN, deposits: int = 0, denied: bool = False, nonce: int = 1) -> VaultRequest:
    return configure_request(EvmSide(1).chain.id, 0, token, (deposits, 0, denied), nonce)


async def authorize(office: VaultOffice, request: VaultRequest, group: bytes = EVM_GROUP) -> bytes:
    """The message that this node would put its share to."""
    chains = office.chains
    storeman = StoremanAuthorizer(chains.database, chains.context, chains.intake, chains.vaults())
    (item,) = await storeman.authorize(MEMBER.host_key, group, request.kind, request.body)
    assert item.tweaks == ()
    return item.message


async def message(office: VaultOffice, request: VaultRequest) -> bytes:
    async with office.chains.database.view() as view:
        origin = office.chains.context.directory.origins[office.side.chain.id]
        return request.message(await vault_books.messages(view, origin))


async def test_what_both_chains_ask_for_is_signed(office: VaultOffice) -> None:
    """A payout whole or in part, with a return beside it, in any order: each number is paid once by the vault."""
    for request in (
        release(pays(ONE), pays(TWO)),
        release(pays(TWO)),
        release(goes_back(3, 8 * ETH), pays(ONE)),
    ):
        assert await authorize(office, request) == await message(office, request)


Prepare: TypeAlias = Callable[[VaultOffice], Awaitable[object]]


async def nothing(office: VaultOffice) -> None:
    """As the fixture left it."""


async def denied(office: VaultOffice) -> None:
    await office.deny()


async def halted(office: VaultOffice) -> None:
    until = office.now // 1000 + 60
    await office.chains.say(e.Halted(office.chains.at(), office.side.coin.id, until))


async def all_halted(office: VaultOffice) -> None:
    await office.chains.say(e.Halted(office.chains.at(), EVERYTHING, office.now // 1000 + 60))


async def paid_and_settled(office: VaultOffice) -> None:
    side = office.side
    paid = [side.released(a.number, a.rest, a.max_fee) for a in (ONE, TWO)]
    await office.chains.evm(*paid)
    await office.chains.say(office.chains.settles(PAYOUT, paid[1].at.transaction, ONE, TWO))


async def paid_one(office: VaultOffice) -> None:
    await office.chains.evm(office.side.released(1, ONE.rest, ONE.max_fee))


async def failed_one(office: VaultOffice) -> None:
    await office.chains.evm(office.side.failed(1, ONE.rest, ONE.max_fee))


async def failed_and_denied(office: VaultOffice) -> None:
    await failed_one(office)
    await denied(office)


async def failed_for_long(office: VaultOffice) -> None:
    await failed_one(office)
    office.now += 1_000


async def claimed_one(office: VaultOffice) -> None:
    await failed_for_long(office)
    await office.chains.evm(office.side.claimed(1, ONE.rest))


async def cancelled_by_owner(office: VaultOffice) -> None:
    await office.chains.say(e.WithdrawalCancelled(office.chains.at(), office.chains.context.withdrawal_id(3)))


async def given_back(office: VaultOffice) -> None:
    side, chains = office.side, office.chains
    await chains.evm(side.cancelled(1), side.released(2, TWO.rest, TWO.max_fee))
    await chains.say(chains.settles(PAYOUT, b"t" * 32, ONE, TWO))
    restored = e.WithdrawalRestored(chains.at(), chains.context.withdrawal_id(1), TokenUnits(ONE.amount))
    await chains.say(restored)


async def rotated(office: VaultOffice) -> None:
    await office.chains.evm(lb.KeyRotated(office.side.at(), 1, b"k" * 32))


async def robbed(office: VaultOffice) -> None:
    """The vault has paid what nobody asked for."""
    await office.chains.evm(office.side.released(77, 1, 0))


async def robbed_under_a_number_that_was_asked_for(office: VaultOffice) -> None:
    await office.chains.evm(office.side.released(2, 50 * ETH, 0, payee=STRANGER))


async def robbed_of_what_waits(office: VaultOffice) -> None:
    """All that is left covers the tokens only with deposits that are not minted yet."""
    await office.chains.evm(office.side.released(77, 10 * ETH, 0))


async def other_chain(office: VaultOffice) -> None:
    """A second chain with a vault of the same group, and a withdrawal to it that is reserved."""
    chains = office.chains
    await chains.serve(OTHER)
    await office.with_group()
    await chains.evm(OTHER.locked(1, 50 * ETH), side=OTHER)
    await chains.say(chains.mints(1, 50 * ETH, side=OTHER))
    await chains.say(chains.asks(Asked(9), asset=OTHER.coin.id))
    await chains.say(chains.reserves(b"o" * 32, Asked(9), asset=OTHER.coin.id))


async def told_already(office: VaultOffice) -> None:
    await limited(office)
    await office.chains.evm(lb.AssetConfigured(office.side.at(), NATIVE_COIN, TokenUnits(50), TokenUnits(0), False, 1))


async def limited(office: VaultOffice) -> None:
    await office.deny(denied=False, deposit_limit=TokenUnits(50))


DISHONEST: list[tuple[str, Prepare, VaultRequest, type[CausewayError]]] = [
    ("pays a stranger", nothing, release(pays(ONE, payee=STRANGER)), UnaskedPayment),
    ("pays a stranger beside the owner", nothing, release(pays(ONE), pays(TWO, payee=STRANGER)), UnaskedPayment),
    ("pays the requester instead of the payee", nothing, release(pays(ONE, payee=b"o" * 20)), UnaskedPayment),
    ("pays more", nothing, release(pays(ONE, amount=TokenUnits(ONE.rest + 1))), UnaskedPayment),
    ("pays 2**256 - 1", nothing, release(pays(ONE, amount=TokenUnits(2**256 - 1), fee=TokenUnits(0))), UnaskedPayment),
    ("pays the carrier more", nothing, release(pays(ONE, fee=TokenUnits(ONE.max_fee + 1))), UnaskedPayment),
    ("pays the carrier all", nothing, release(pays(ONE, amount=NONE, fee=TokenUnits(ONE.amount))), UnaskedPayment),
    ("pays with another token", nothing, release(pays(ONE, asset=TOKEN)), UnaskedPayment),
    ("pays one number twice", nothing, release(pays(ONE), pays(ONE)), MalformedProposal),
    ("pays a withdrawal under a lock's number", nothing, release(pays(ONE, number=RETURN | 1)), UnaskedPayment),
    ("pays what nobody asked for", nothing, release(pays(ONE, number=77)), NotYet),
    ("pays a number beyond all", nothing, release(pays(ONE, number=2**256 - 1)), NotYet),
    ("pays the lock with number zero", nothing, release(goes_back(0, ETH)), NotYet),
    ("pays what is not reserved", nothing, release(pays(THREE)), NotYet),
    ("pays what its owner cancelled", cancelled_by_owner, release(pays(THREE)), NotPayable),
    ("pays what is settled", paid_and_settled, release(pays(ONE)), NotPayable),
    ("pays what was given back", given_back, release(pays(ONE)), NotPayable),
    ("pays a denied asset", denied, release(pays(ONE)), UnaskedPayment),
    ("pays a halted asset", halted, release(pays(ONE)), AssetHalted),
    ("pays while all is halted", all_halted, release(pays(ONE)), AssetHalted),
    ("pays with a rotated key", rotated, release(pays(ONE)), WrongEpoch),
    ("pays ahead of a rotation", nothing, release(pays(ONE), epoch=1), WrongEpoch),
    ("pays out of a robbed vault", robbed, release(pays(ONE)), Insolvent),
    ("pays after a payment to a stranger", robbed_under_a_number_that_was_asked_for, release(pays(ONE)), Insolvent),
    ("pays out of others' deposits", robbed_of_what_waits, release(pays(ONE)), Insolvent),
    ("pays at another chain's vault", other_chain, release(pays(ONE), side=OTHER), UnaskedPayment),
    ("pays another chain's withdrawal", other_chain, release(pays(Asked(9))), UnaskedPayment),
    ("pays at a vault that nobody knows", nothing, release(pays(ONE), side=EvmSide(99)), NotYet),
    ("sends back what is minted", nothing, release(goes_back(1, 100 * ETH)), UnaskedPayment),
    ("sends back what is to be minted", nothing, release(goes_back(2, 7 * ETH)), UnaskedPayment),
    ("sends back to a stranger", nothing, release(goes_back(3, 8 * ETH, payee=STRANGER)), UnaskedPayment),
    ("sends back more", nothing, release(goes_back(3, 9 * ETH)), UnaskedPayment),
    ("sends back with a fee", nothing, release(goes_back(3, 8 * ETH - 1, fee=TokenUnits(1))), UnaskedPayment),
    ("sends back another token", nothing, release(goes_back(3, 8 * ETH, asset=TOKEN)), NotYet),
    ("cancels what was paid", paid_one, cancel(1), NotCancellable),
    ("cancels what was claimed", claimed_one, cancel(1), NotCancellable),
    ("cancels what is to be paid", nothing, cancel(1), NotCancellable),
    ("cancels one of two that is to be paid", failed_for_long, cancel(1, 2), NotCancellable),
    ("cancels before its payee had time", failed_one, cancel(1), NotCancellable),
    ("cancels a denied asset's claim", failed_and_denied, cancel(1), NotCancellable),
    ("cancels what is not reserved", denied, cancel(3), NotCancellable),
    ("cancels what is settled and paid", paid_and_settled, cancel(1), NotCancellable),
    ("cancels a return", nothing, cancel(RETURN | 3), MalformedProposal),
    ("cancels a number twice", failed_for_long, cancel(1, 1), MalformedProposal),
    ("cancels another chain's number", other_chain, cancel(9), MalformedProposal),
    ("cancels ahead of a request", denied, cancel(5), NotYet),
    ("cancels with another epoch's key", failed_for_long, cancel(1, epoch=1), WrongEpoch),
    ("denies an asset", nothing, configure(denied=True), WrongConfiguration),
    ("sets another limit", limited, configure(deposits=51), WrongConfiguration),
    ("lifts a limit", limited, configure(), WrongConfiguration),
    ("sets a limit ahead", limited, configure(deposits=50, nonce=2), WrongConfiguration),
    ("says again what the vault keeps", told_already, configure(deposits=50, nonce=2), WrongConfiguration),
    ("uses a nonce again", told_already, configure(deposits=50, nonce=1), WrongConfiguration),
    ("configures a token that nobody knows", nothing, configure(b"U" * 20, denied=True), NotYet),
]  # fmt: skip


@pytest.mark.parametrize("prepare", dict.fromkeys(case[1] for case in DISHONEST))
async def test_a_dishonest_proposal_is_refused(office: VaultOffice, prepare: Prepare) -> None:
    """Each with the refusal that says what is wrong, however the two chains stand."""
    await prepare(office)
    for what, when, request, refusal in DISHONEST:
        if when is prepare:
            with pytest.raises(CausewayError) as caught:
                await authorize(office, request)
            assert type(caught.value) is refusal, what


@pytest.mark.parametrize(
    ("prepare", "request_"),
    [
        (failed_for_long, cancel(1)),
        (denied, cancel(1, 2)),
        (limited, configure(deposits=50)),
        (denied, configure(denied=True)),
        (paid_one, release(pays(ONE), pays(TWO))),
        (rotated, release(pays(ONE), epoch=1)),
        (halted, cancel(1)),
    ],
)
async def test_the_same_proposals_are_signed_at_the_right_time(
    office: VaultOffice, prepare: Prepare, request_: VaultRequest
) -> None:
    """What was refused above for its time is not refused for its form."""
    await prepare(office)
    if prepare is halted:  # a halt delays payments, and takes nothing that waits for its end
        await failed_for_long(office)
    assert await authorize(office, request_) == await message(office, request_)


async def test_another_group_does_not_sign_for_the_vault(office: VaultOffice) -> None:
    """Its members may have agreed; the vault obeys one key."""
    with pytest.raises(MalformedProposal):
        await authorize(office, release(pays(ONE)), group=GROUP)


async def test_a_chain_that_this_node_does_not_follow_is_not_signed_for(office: VaultOffice) -> None:
    """The Registry knows it; but this node knows nothing of what its vault did."""
    chains = office.chains
    blind = VaultAuthorizer(chains.database, chains.context, {})
    with pytest.raises(NotYet):
        await blind.authorize(EVM_GROUP, "release", release(pays(ONE)).body)


async def test_an_amount_has_one_form(office: VaultOffice) -> None:
    """A zero before an amount would make other bytes of the same payment."""
    payment = PlainPayment(
        *((1).to_bytes(32, "big"), NATIVE_COIN, PAYEE, b"\0" + amount_bytes(ONE.rest), amount_bytes(ONE.max_fee))
    )
    body = encode(ReleaseProposal(office.side.chain.id, 0, [payment]))
    with pytest.raises(BadInput):
        await authorize(office, VaultRequest.decoded("release", body))


async def test_a_fee_that_is_raised_after_the_signature_asks_for_a_new_one(office: VaultOffice) -> None:
    """The Hub fixes it at the reservation; would it not, the two payments still have one number, and one is paid."""
    before = await authorize(office, release(pays(ONE)))
    raised = e.MaxFeeRaised(office.chains.at(), office.chains.context.withdrawal_id(1), TokenUnits(2_000))
    await office.chains.say(raised)
    with pytest.raises(UnaskedPayment):
        await authorize(office, release(pays(ONE)))
    new = release(pays(ONE, amount=TokenUnits(ONE.amount - 2_000), fee=TokenUnits(2_000)))
    assert await authorize(office, new) != before


async def test_a_node_that_has_read_the_native_chain_alone_signs_nothing(office: VaultOffice) -> None:
    """After the loss of its database it sees tokens, and nothing that backs them, until it has read what was locked."""
    async with office.chains.database.unit() as uow:
        await uow.vault_assets.put(VaultAssetRow(office.side.chain.id, NATIVE_COIN))
        await uow.commit()
    with pytest.raises(Insolvent):
        await authorize(office, release(pays(ONE)))


async def test_a_refusal_is_recorded_with_its_proposer(office: VaultOffice) -> None:
    """What a coordinator must not ask is kept for the operator; what only comes too early is not held against it."""
    kept = DatabaseIncidents(office.chains.database)
    refusals = {case[3].__name__ for case in DISHONEST}
    for name in sorted(refusals):
        at = UnixMs(office.now)
        await kept.record(Incident(at, "refused", MEMBER.host_key, EVM_GROUP, name, "release: the reason"))
    recorded = {error for kind, error in await office.incidents() if kind is IncidentKind.REFUSAL}
    assert recorded == refusals - {"NotYet", "AssetHalted"}
