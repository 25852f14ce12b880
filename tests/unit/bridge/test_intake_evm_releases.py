"""What vaults on EVM chains paid, failed to pay or gave up, held against what the Hub says, in any order of the two."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.evm.lockbox import events as lb
from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.native import events as e
from bridge.agents.attesting import claims_due
from bridge.intake.common import supply_fact
from bridge.messages import CancellationSeen, Claim, PayoutSeen, amount_bytes
from bridge.payouts import Payout, PayoutStage, WithdrawalStage
from bridge.storage import ReleaseOutcome
from foundation.quantities import BlockHeight, TokenUnits
from tests.support.bridge_evm import ETH, PAYEE, TOKEN, Asked
from tests.support.bridge_intake import Chains

HELD = 100 * ETH
PAYOUT = b"p" * 32
ONE, TWO = Asked(1), Asked(2, amount=3 * ETH, max_fee=500, service_fee=0)


@pytest.fixture
async def chains(tmp_path: Path) -> AsyncIterator[Chains]:
    """A vault that holds coin for tokens that are out."""
    opened = await Chains.open(tmp_path)
    side = opened.ethereum
    await opened.serve(side, assets=[side.token()])
    await opened.evm(side.locked(1, HELD))
    await opened.say(opened.mints(1, HELD))
    yield opened
    await opened.database.close()


async def due(chains: Chains) -> list[Claim]:
    """What a voucher that sees this would attest."""
    async with chains.database.view() as view:
        return [item.claim for item in await claims_due(view, BlockHeight(0), 2, chains.context)]


async def payout_of(chains: Chains) -> Payout:
    found = await chains.payout(PAYOUT)
    assert found is not None
    return found


async def stage_of(chains: Chains, asked: Asked) -> WithdrawalStage:
    found = await chains.asked(asked)
    assert found is not None
    return found.stage


async def outcome_of(chains: Chains, number: int) -> ReleaseOutcome:
    async with chains.database.view() as view:
        row = await view.releases.get(chains.ethereum.chain.id, number)
    assert row is not None
    return row.outcome


async def alarm_texts(chains: Chains) -> list[str]:
    return [json.loads(fields)["text"] for fields in await chains.alarms()]


async def supply(chains: Chains) -> int:
    return int(await chains.fact(supply_fact(chains.ethereum.coin.id)) or b"0")


def pays(chains: Chains, asked: Asked) -> lb.Released:
    """The release that is asked for."""
    return chains.ethereum.released(asked.number, asked.rest, asked.max_fee)


async def test_a_withdrawal_is_reserved_released_settled_and_burnt(chains: Chains) -> None:
    """The plain order: what the vault has paid is attested with its last transaction and its carriers' fees."""
    await chains.say(chains.asks(ONE), chains.reserves(PAYOUT, ONE))
    withdrawal = await chains.asked(ONE)
    assert withdrawal is not None
    assert (withdrawal.number, withdrawal.service_fee, withdrawal.payout) == (1, 7, PAYOUT)
    assert await due(chains) == []
    release = pays(chains, ONE)
    await chains.evm(release)
    payout = await payout_of(chains)
    assert payout.stage is PayoutStage.PAID
    assert await due(chains) == [PayoutSeen(PAYOUT, release.at.transaction, amount_bytes(1_000))]
    assert await chains.held() == HELD - ONE.amount
    await chains.say(chains.settles(PAYOUT, release.at.transaction, ONE))
    assert (await payout_of(chains)).stage is PayoutStage.SETTLED
    assert await stage_of(chains, ONE) is WithdrawalStage.SETTLED
    assert await supply(chains) == HELD - ONE.amount - ONE.service_fee
    assert await due(chains) == []
    assert await chains.alarms() == []
    notes = await chains.notes(withdrawal.withdrawal_id)
    assert [note.split(" ")[0] for note in notes] == [
        "requested",
        "reserved",
        "released",
        "payout",
        "payout",
        "settled:",
    ]
    assert notes[0].startswith("requested and final, 4.000000000000000007 ETH")


@pytest.mark.parametrize("release_at", [0, 1, 2, 3])
@pytest.mark.parametrize("restart", [False, True])
async def test_a_release_counts_whenever_it_is_read(chains: Chains, release_at: int, restart: bool) -> None:
    """Before the request, before the reservation, before or after the settlement: the same end, and no alarm."""
    release = pays(chains, ONE)

    async def say(*events: e.NativeEvent) -> None:
        await chains.say(*events)

    steps: list[Callable[[], Awaitable[None]]] = [
        lambda: say(chains.asks(ONE)),
        lambda: say(chains.reserves(PAYOUT, ONE)),
        lambda: say(chains.settles(PAYOUT, release.at.transaction, ONE)),
    ]
    steps.insert(release_at, lambda: chains.evm(release))
    for step in steps:
        await step()
        if restart:
            chains = await chains.restarted()
    payout = await payout_of(chains)
    assert payout.confirmed is not None
    assert (payout.stage, payout.confirmed.txid) == (PayoutStage.SETTLED, release.at.transaction)
    assert (payout.confirmed.fee, payout.confirmed.chain) == (1_000, "eip155:1")
    assert await stage_of(chains, ONE) is WithdrawalStage.SETTLED
    assert await chains.alarms() == []


@pytest.mark.parametrize("release_first", [True, False])
async def test_a_release_and_its_reservation_in_either_order_are_attested(chains: Chains, release_first: bool) -> None:
    """As soon as both are read, and not before."""
    release = pays(chains, ONE)
    await chains.say(chains.asks(ONE))
    if release_first:
        await chains.evm(release)
        assert await due(chains) == []
        await chains.say(chains.reserves(PAYOUT, ONE))
    else:
        await chains.say(chains.reserves(PAYOUT, ONE))
        await chains.evm(release)
    assert await due(chains) == [PayoutSeen(PAYOUT, release.at.transaction, amount_bytes(1_000))]


@pytest.mark.parametrize("turned", [False, True])
async def test_a_payout_is_paid_only_when_all_its_numbers_are_consumed(chains: Chains, turned: bool) -> None:
    """A release may carry a part of it; the last transaction and the sum of the fees count."""
    await chains.say(chains.asks(ONE), chains.asks(TWO), chains.reserves(PAYOUT, ONE, TWO))
    first, last = (TWO, ONE) if turned else (ONE, TWO)
    await chains.evm(pays(chains, first))
    assert (await payout_of(chains)).stage is PayoutStage.RESERVED
    assert await due(chains) == []
    release = pays(chains, last)
    await chains.evm(release)
    assert await due(chains) == [PayoutSeen(PAYOUT, release.at.transaction, amount_bytes(1_500))]


async def test_of_two_payments_in_a_block_the_later_log_is_the_last(chains: Chains) -> None:
    """Every voucher names the same transaction, also where one block holds both, or the reservation is read later."""
    first, last = pays(chains, TWO), pays(chains, ONE)
    await chains.evm(first, last)
    await chains.say(chains.asks(ONE), chains.asks(TWO), chains.reserves(PAYOUT, ONE, TWO))
    assert await due(chains) == [PayoutSeen(PAYOUT, last.at.transaction, amount_bytes(1_500))]


@pytest.mark.parametrize(
    "changes",
    [
        {"payee": b"e" * 20},
        {"amount": TokenUnits(ONE.rest + 1)},
        {"amount": TokenUnits(ONE.rest - 1)},
        {"fee": TokenUnits(ONE.max_fee + 1)},
        {"asset": TOKEN},
    ],
)
@pytest.mark.parametrize("release_first", [True, False])
async def test_a_release_of_something_else_is_an_alarm_and_never_attested(
    chains: Chains, changes: dict[str, object], release_first: bool
) -> None:
    """Another payee, amount or token: the vault was misused, and nobody burns tokens for it."""
    wrong = replace(pays(chains, ONE), **changes)  # type: ignore[arg-type]  # the cases' fields are of several types
    await chains.say(chains.asks(ONE))
    if release_first:
        await chains.evm(wrong)
    await chains.say(chains.reserves(PAYOUT, ONE))
    if not release_first:
        await chains.evm(wrong)
    assert any(text.startswith("number 1 paid") for text in await alarm_texts(chains))
    assert (await payout_of(chains)).stage is PayoutStage.RESERVED
    assert await due(chains) == []


async def test_one_wrong_payment_spoils_the_whole_payout(chains: Chains) -> None:
    """The other withdrawal was paid as it should, but the Hub burns for all or for none."""
    await chains.say(chains.asks(ONE), chains.asks(TWO), chains.reserves(PAYOUT, ONE, TWO))
    await chains.evm(pays(chains, ONE), replace(pays(chains, TWO), payee=b"e" * 20))
    assert (await payout_of(chains)).stage is PayoutStage.RESERVED
    assert await due(chains) == []


async def test_a_payment_of_a_token_is_held_against_the_token(chains: Chains) -> None:
    """A withdrawal of an ERC-20 is paid with that ERC-20, and not with the chain's coin."""
    token = chains.ethereum.token().id
    await chains.evm(chains.ethereum.locked(2, HELD, TOKEN))
    await chains.say(chains.asks(ONE, token), chains.reserves(PAYOUT, ONE, asset=token))
    await chains.evm(replace(pays(chains, ONE), asset=TOKEN))
    assert (await payout_of(chains)).stage is PayoutStage.PAID
    assert await chains.held(TOKEN) == HELD - ONE.amount
    assert await chains.held(NATIVE_COIN) == HELD


async def test_a_failed_payment_is_consumed_and_waits_for_its_payee(chains: Chains) -> None:
    """It backs no tokens any more; that its payee takes it later changes neither the payout nor the books."""
    await chains.say(chains.asks(ONE), chains.reserves(PAYOUT, ONE))
    failed = chains.ethereum.failed(1, ONE.rest, ONE.max_fee)
    await chains.evm(failed)
    assert await outcome_of(chains, 1) is ReleaseOutcome.FAILED
    assert await due(chains) == [PayoutSeen(PAYOUT, failed.at.transaction, amount_bytes(1_000))]
    assert await chains.held() == HELD - ONE.amount
    await chains.evm(chains.ethereum.claimed(1, ONE.rest))
    assert await outcome_of(chains, 1) is ReleaseOutcome.CLAIMED
    assert await due(chains) == [PayoutSeen(PAYOUT, failed.at.transaction, amount_bytes(1_000))]
    assert await chains.held() == HELD - ONE.amount
    await chains.say(chains.settles(PAYOUT, failed.at.transaction, ONE))
    assert await due(chains) == [], "what was claimed is not given back"
    assert await chains.alarms() == []


@pytest.mark.parametrize("cancelled_at", [0, 1, 2])
@pytest.mark.parametrize("tried", [True, False])
async def test_a_cancelled_payment_is_given_back_by_the_hub_once_it_is_burnt(
    chains: Chains, cancelled_at: int, tried: bool
) -> None:
    """Tried or not, cancelled before the reservation is read, before the settlement or after: the rest comes back."""
    left = ONE.rest if tried else ONE.amount
    failed = chains.ethereum.failed(1, ONE.rest, ONE.max_fee)
    cancelled = chains.ethereum.cancelled(1, ONE.rest if tried else 0)
    consumed_by = failed.at.transaction if tried else cancelled.at.transaction
    await chains.say(chains.asks(ONE))
    if tried:
        await chains.evm(failed)
        assert await chains.held() == HELD - ONE.amount
    if cancelled_at == 0:
        await chains.evm(cancelled)
    await chains.say(chains.reserves(PAYOUT, ONE))
    if cancelled_at == 1:
        await chains.evm(cancelled)
    if tried or cancelled_at < 2:
        fee = amount_bytes(ONE.max_fee if tried else 0)
        assert await due(chains) == [PayoutSeen(PAYOUT, consumed_by, fee)], "it is burnt before it is given back"
    await chains.say(chains.settles(PAYOUT, consumed_by, ONE))
    if cancelled_at == 2:
        assert await due(chains) == []
        await chains.evm(cancelled)
    id_ = chains.context.withdrawal_id(1)
    assert await due(chains) == [CancellationSeen(id_, amount_bytes(left))]
    assert await chains.held() == (HELD - ONE.max_fee if tried else HELD)
    before = await supply(chains)
    await chains.say(e.WithdrawalRestored(chains.at(), id_, TokenUnits(left)))
    assert await stage_of(chains, ONE) is WithdrawalStage.RESTORED
    assert await supply(chains) == before + left
    assert await due(chains) == []
    assert await chains.alarms() == []


async def test_one_payment_of_a_payout_may_be_cancelled_and_the_other_paid(chains: Chains) -> None:
    """The payout is complete; only the cancelled one comes back."""
    await chains.say(chains.asks(ONE), chains.asks(TWO), chains.reserves(PAYOUT, ONE, TWO))
    paid, cancelled = pays(chains, TWO), chains.ethereum.cancelled(1)
    await chains.evm(paid)
    await chains.evm(cancelled)
    assert await due(chains) == [PayoutSeen(PAYOUT, cancelled.at.transaction, amount_bytes(500))]
    await chains.say(chains.settles(PAYOUT, cancelled.at.transaction, ONE, TWO))
    assert await due(chains) == [CancellationSeen(chains.context.withdrawal_id(1), amount_bytes(ONE.amount))]


async def test_what_owners_change_before_a_reservation_is_kept(chains: Chains) -> None:
    """A raised fee, and a withdrawal taken back; told in the asset's own units."""
    await chains.say(chains.asks(ONE), chains.asks(TWO))
    one, two = (chains.context.withdrawal_id(asked.number) for asked in (ONE, TWO))
    await chains.say(e.MaxFeeRaised(chains.at(), one, TokenUnits(ETH)), e.WithdrawalCancelled(chains.at(), two))
    withdrawal = await chains.asked(ONE)
    assert withdrawal is not None
    assert withdrawal.max_fee == ETH
    assert (await chains.notes(one))[-1] == "fee limit raised, it is 1 ETH now"
    assert await stage_of(chains, TWO) is WithdrawalStage.CANCELLED


async def test_fees_that_are_distributed_are_supply(chains: Chains) -> None:
    """They are burnt or held back first, and minted when they are handed out."""
    before = await supply(chains)
    coin = chains.ethereum.coin.id
    await chains.say(e.FeesDistributed(chains.at(), coin, bytes(32), 3, TokenUnits(11)))
    assert await supply(chains) == before + 11


async def test_a_batch_of_the_hub_that_is_applied_again_counts_its_burns_once(chains: Chains) -> None:
    """The answer to a commit may be lost: the same batch again changes nothing."""
    release = pays(chains, ONE)
    await chains.say(chains.asks(ONE), chains.reserves(PAYOUT, ONE))
    await chains.evm(release)
    settled = chains.settles(PAYOUT, release.at.transaction, ONE)
    await chains.say(settled)
    again = await chains.restarted()
    again.block -= 1
    await again.say(settled)
    assert await supply(again) == HELD - ONE.amount - ONE.service_fee


async def test_a_strangers_number_touches_no_transfer(chains: Chains) -> None:
    """A vault that pays a number which nobody asked for shows in its books alone, until somebody asks."""
    await chains.evm(chains.ethereum.released(77, 5, 0, payee=PAYEE))
    assert await chains.held() == HELD - 5
    assert await due(chains) == []
