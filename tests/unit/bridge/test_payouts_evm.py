"""A payout's machine on an EVM chain: no coins, no anchor; paid once the vault has consumed every number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.bitcoin.primitives import OutPoint
from bridge.deposits import Alarm, Effect
from bridge.intake.releases import contradiction, given_back
from bridge.payouts import (
    AnchorChanged,
    Change,
    Confirmed,
    InChain,
    Payout,
    PayoutStage,
    Replaced,
    Settled,
    SettledAndVoided,
    Tip,
    Voided,
    Withdrawal,
    WithdrawalStage,
    step,
)
from bridge.storage import ReleaseOutcome, ReleaseRow
from foundation.quantities import BlockHeight, TokenUnits

CHAIN = "eip155:1"
COIN, TOKEN, PAYEE = bytes(20), b"T" * 20, b"y" * 20
LAST, OTHER = b"x" * 32, b"z" * 32
PAYOUT = Payout(b"p" * 32, b"g" * 32, b"a" * 32, (b"v" * 32, b"w" * 32), (), 1)
SETTLED, VOIDED = Settled(LAST, b"settle"), Voided(b"void")
BIG = 2**200
WITHDRAWAL = Withdrawal(
    *(b"w" * 32, b"a" * 32, b"o" * 20, TokenUnits(BIG), TokenUnits(1_000), PAYEE, b"q" * 32, BlockHeight(5)),
    stage=WithdrawalStage.RESERVED,
    payout=PAYOUT.payout_id,
    number=7,
)
ROW = ReleaseRow(
    b"c" * 32,
    7,
    ReleaseOutcome.PAID,
    COIN,
    PAYEE,
    BIG - 1_000,
    1_000,
    LAST,
    BlockHeight(10),
    0,
    LAST,
    BlockHeight(10),
)


def in_chain(txid: bytes = LAST, height: int = 10) -> InChain:
    return InChain(Confirmed(txid, BlockHeight(height), TokenUnits(400), "0.0004 ETH", CHAIN))


def tip(height: int) -> Tip:
    return Tip(BlockHeight(height), 1)


def run(*changes: Change, start: Payout = PAYOUT) -> tuple[Payout, list[Effect]]:
    """The payout after all changes, each given twice: the second time nothing may happen."""
    state, effects = start, list[Effect]()
    for change in changes:
        state, new = step(state, change)
        effects += new
        assert step(state, change) == (state, ()), f"{change} is not harmless again"
    return state, effects


def test_a_payout_without_coins_is_paid_when_the_vault_has_consumed_its_numbers() -> None:
    """Reserved, paid at once since all that a vault tells is final, settled; told in the asset's own units."""
    assert not PAYOUT.is_bound
    assert run(tip(20))[0].stage is PayoutStage.RESERVED
    assert run(in_chain(), tip(10))[0].stage is PayoutStage.PAID
    state, effects = run(in_chain(), tip(10), SETTLED)
    assert (state.stage, state.settled) == (PayoutStage.SETTLED, LAST)
    assert [effect.text for effect in effects] == [
        "payout in block 10, fee 0.0004 ETH",
        "payout final",
        "settled: the locked tokens are burnt",
    ]


def test_the_hub_may_settle_before_the_release_is_read() -> None:
    """A node behind on the origin chain ends in the same state, without an alarm."""
    late, effects = run(SETTLED, in_chain(), tip(10))
    assert late == run(in_chain(), tip(10), SETTLED)[0]
    assert not any(isinstance(effect, Alarm) for effect in effects)


@pytest.mark.parametrize("order", [(in_chain(OTHER), SETTLED), (SETTLED, in_chain(OTHER))])
def test_settled_for_another_transaction_is_an_alarm(order: tuple[Change, ...]) -> None:
    """The Hub burnt for a transaction that did not consume the last number: operators must look."""
    _, effects = run(*order)
    (told,) = [effect.text for effect in effects if isinstance(effect, Alarm)]
    assert "settled with another transaction" in told


def test_it_is_never_bound_to_coins_later() -> None:
    """The Hub never replaces a payout without coins: one that says so contradicts itself."""
    with pytest.raises(AnchorChanged):
        step(PAYOUT, Replaced((OutPoint(b"c" * 32, 0),), 2))
    with pytest.raises(AnchorChanged):
        step(PAYOUT, Replaced((), 2))
    assert step(PAYOUT, Replaced((), 1)) == (PAYOUT, ())


def test_settled_and_voided_is_fatal_in_either_order() -> None:
    """The Hub decides one way for ever."""
    for first, second in ((SETTLED, VOIDED), (VOIDED, SETTLED)):
        with pytest.raises(SettledAndVoided):
            run(first, second)


@pytest.mark.parametrize("outcome", [ReleaseOutcome.PAID, ReleaseOutcome.FAILED, ReleaseOutcome.CLAIMED])
def test_a_payment_as_it_was_asked_for_is_right(outcome: ReleaseOutcome) -> None:
    """The payee and the carrier got what the Hub says, whether the payee has taken it yet or not."""
    assert contradiction(WITHDRAWAL, replace(ROW, outcome=outcome), COIN) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"payee": b"e" * 20}, "instead of 0x" + PAYEE.hex()),
        ({"asset": TOKEN}, "paid with the token 0x" + TOKEN.hex()),
        ({"amount": BIG - 999}, f"paid {BIG + 1} units instead of {BIG}"),
        ({"amount": BIG - 1_001}, f"paid {BIG - 1} units instead of {BIG}"),
        ({"fee": 999}, f"paid {BIG - 1} units instead of {BIG}"),
        ({"amount": BIG - 5_000, "fee": 5_000}, "paid its carrier 5000 units instead of 1000"),
    ],
)
@pytest.mark.parametrize(
    "outcome", [ReleaseOutcome.PAID, ReleaseOutcome.FAILED, ReleaseOutcome.CLAIMED, ReleaseOutcome.CANCELLED]
)
def test_any_other_payment_is_told(changes: dict[str, object], words: str, outcome: ReleaseOutcome) -> None:
    """Another payee, another token, a unit more or less: it does not pay the withdrawal, whatever became of it."""
    row = replace(ROW, outcome=outcome, **changes)  # type: ignore[arg-type]  # the cases' fields are of several types
    told = contradiction(WITHDRAWAL, row, COIN)
    assert told is not None
    assert words in told


def test_a_coin_that_pays_a_token_withdrawal_is_told() -> None:
    """The chain's coin is no token."""
    told = contradiction(WITHDRAWAL, ROW, TOKEN)
    assert told is not None
    assert "the chain's coin" in told


def test_a_number_that_was_never_tried_is_given_back_whole_and_a_failed_one_without_the_carriers_fee() -> None:
    """What is left in the vault is what the Hub gives back."""
    untried = replace(ROW, outcome=ReleaseOutcome.CANCELLED, asset=b"", payee=b"", amount=0, fee=0)
    assert contradiction(WITHDRAWAL, untried, COIN) is None
    assert given_back(WITHDRAWAL, untried) == BIG
    tried = replace(ROW, outcome=ReleaseOutcome.CANCELLED)
    assert given_back(WITHDRAWAL, tried) == BIG - 1_000
