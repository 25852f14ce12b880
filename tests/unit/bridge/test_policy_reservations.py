"""Which coins a storeman lets the Hub bind to which withdrawals, and which children it signs for stuck parents."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.bitcoin.primitives import Coin, OutPoint, TxOut
from bridge.payouts import PayoutStage, WithdrawalStage
from bridge.policy import Balance, check_child, check_reservation
from bridge.refusals import (
    ChildTooCheap,
    FeeBelowFloor,
    FeeNotRaised,
    InputNotOurs,
    InputReserved,
    Insolvent,
    MalformedProposal,
    NotPayable,
    PackageFeeAboveCap,
    PayoutClosed,
    UnaskedOutput,
    WrongInputs,
)
from foundation.quantities import Satoshi, TokenUnits
from tests.support.policy import (
    LIMITS,
    SOLVENT,
    STRANGER,
    VAULT,
    Proposal,
    payout,
    right_payment,
    vault_coin,
    vault_view,
    withdrawal,
)

REQUESTED = (withdrawal(1, 50_000, reserved=False), withdrawal(2, 70_000, reserved=False))
RESERVED = (withdrawal(1, 50_000), withdrawal(2, 70_000))
COINS = (vault_coin(11, 100_000), vault_coin(12, 40_000), vault_coin(13, 90_000))
POINTS = tuple(coin.outpoint for coin in COINS)
LIVE = payout(RESERVED, COINS[:2])
OTHER = b"o" * 32


def reserve(**changes: object) -> None:
    """Ask for a new reservation of the first two coins."""
    arguments = {
        "withdrawals": REQUESTED,
        "inputs": POINTS[:2],
        "live": None,
        "view": vault_view(COINS),
        "limits": LIMITS,
        "balance": SOLVENT,
        **changes,
    }
    check_reservation(**arguments)  # type: ignore[arg-type]  # each test names what it changes


def test_free_coins_are_reserved_for_requested_withdrawals() -> None:
    """Coins that hold enough, for withdrawals that nobody pays yet."""
    reserve()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"withdrawals": ()}, "withdrawals"),
        ({"withdrawals": (REQUESTED[0], REQUESTED[0])}, "withdrawals"),
        ({"withdrawals": tuple(withdrawal(n, 1, reserved=False) for n in range(33))}, "withdrawals"),
        ({"withdrawals": (REQUESTED[0], replace(REQUESTED[1], asset=b"z" * 32))}, "withdrawals"),
        ({"inputs": ()}, "inputs"),
        ({"inputs": (POINTS[0], POINTS[0])}, "inputs"),
        ({"inputs": tuple(OutPoint(b"c" * 32, n) for n in range(65))}, "inputs"),
        ({"inputs": POINTS[:1]}, "inputs"),
    ],
)
def test_a_reservation_that_cannot_be_is_refused_by_field(changes: dict[str, object], field: str) -> None:
    """None, one twice, too many, of two assets, or coins that hold less than the withdrawals ask for."""
    with pytest.raises(MalformedProposal) as refusal:
        reserve(**changes)
    assert refusal.value.field == field


def test_a_coin_of_another_payout_is_refused_and_its_holder_named() -> None:
    """A coin pays once; its own payout may keep it in a replacement."""
    view = vault_view(COINS, {POINTS[1]: OTHER})
    with pytest.raises(InputReserved) as refusal:
        reserve(view=view)
    assert (refusal.value.outpoint, refusal.value.payout_id) == (POINTS[1], OTHER)
    own = vault_view(COINS, {POINTS[1]: LIVE.payout_id})
    reserve(view=own, live=LIVE, withdrawals=RESERVED)


@pytest.mark.parametrize(
    "coins", [COINS[:1], (COINS[0], replace(COINS[1], height=99)), (COINS[0], replace(COINS[1], height=None))]
)
def test_a_coin_that_is_unknown_or_not_deep_enough_is_refused(coins: tuple[Coin, ...]) -> None:
    """A reorg must not pull a reservation's ground away; three confirmations are asked for here."""
    with pytest.raises(InputNotOurs) as refusal:
        reserve(view=vault_view(coins))
    assert refusal.value.outpoint == POINTS[1]


@pytest.mark.parametrize("stage", [s for s in WithdrawalStage if s is not WithdrawalStage.REQUESTED])
def test_a_withdrawal_that_is_not_open_is_refused(stage: WithdrawalStage) -> None:
    """A second payout of a reserved, a paid or a cancelled withdrawal."""
    with pytest.raises(NotPayable) as refusal:
        reserve(withdrawals=(REQUESTED[0], replace(REQUESTED[1], stage=stage)))
    assert (refusal.value.withdrawal_id, refusal.value.stage) == (REQUESTED[1].withdrawal_id, stage)


def test_a_replacement_spends_the_anchor_for_the_same_withdrawals() -> None:
    """Other coins may change as long as the first version's anchor is there."""
    reserve(live=LIVE, withdrawals=RESERVED, inputs=(POINTS[2], POINTS[0]))
    with pytest.raises(WrongInputs):
        reserve(live=LIVE, withdrawals=RESERVED, inputs=POINTS[1:])
    with pytest.raises(MalformedProposal):
        reserve(live=LIVE, withdrawals=RESERVED[::-1])
    with pytest.raises(NotPayable):
        reserve(live=LIVE, withdrawals=(RESERVED[0], replace(RESERVED[1], payout=OTHER)))


@pytest.mark.parametrize("stage", [s for s in PayoutStage if s is not PayoutStage.RESERVED])
def test_a_payout_that_is_in_the_chain_or_over_is_not_replaced(stage: PayoutStage) -> None:
    """Its coins are spent, or its withdrawals are somewhere else."""
    with pytest.raises(PayoutClosed):
        reserve(live=replace(LIVE, stage=stage), withdrawals=RESERVED)


def test_nothing_is_reserved_from_an_insolvent_vault() -> None:
    """Change below dust goes to the miner: that has to be there beyond what is owed, and nothing else has."""
    reserve(balance=Balance(Satoshi(900_000), Satoshi(0), TokenUnits(900_000)))
    with pytest.raises(Insolvent):
        reserve(balance=Balance(Satoshi(899_999), Satoshi(0), TokenUnits(900_000)))
    coins = (vault_coin(11, 100_000), vault_coin(12, 20_329))
    reserve(view=vault_view(coins), balance=Balance(Satoshi(900_329), Satoshi(0), TokenUnits(900_000)))
    with pytest.raises(Insolvent):
        reserve(view=vault_view(coins), balance=Balance(Satoshi(900_328), Satoshi(0), TokenUnits(900_000)))


PARENT = right_payment(RESERVED, COINS[:2], fee=400)  # 2 sat/vB
CHANGE = Coin(OutPoint(b"h" * 32, 2), Satoshi(20_000), VAULT)
CHILD = Proposal((CHANGE,), (TxOut(Satoshi(18_000), VAULT),), vsize=110)


def bump(**changes: object) -> None:
    """Ask for a signature under the right child."""
    arguments = {
        "spend": CHILD,
        "change": CHANGE,
        "parent": PARENT,
        "vault_script": VAULT,
        "limits": LIMITS,
        "balance": SOLVENT,
        **changes,
    }
    check_child(**arguments)  # type: ignore[arg-type]  # each test names what it changes


def paying(fee: int) -> Proposal:
    return replace(CHILD, outputs=(TxOut(Satoshi(20_000 - fee), VAULT),))


def test_a_child_of_the_parents_change_is_signed() -> None:
    """It lifts a payout, and a sweep, whose only output is the vault's."""
    bump()
    sweep = Proposal((vault_coin(21, 20_400),), (TxOut(Satoshi(20_000), VAULT),), vsize=150)
    coin = replace(CHANGE, outpoint=OutPoint(b"h" * 32, 0))
    bump(parent=sweep, change=coin, spend=replace(CHILD, inputs=(coin,)))


@pytest.mark.parametrize(
    "change",
    [
        replace(CHANGE, outpoint=OutPoint(b"h" * 32, 3)),  # no such output
        replace(CHANGE, outpoint=OutPoint(b"h" * 32, 0), script=RESERVED[0].destination, value=Satoshi(49_800)),
        replace(CHANGE, value=Satoshi(20_001)),
        replace(CHANGE, height=99),
    ],
)
def test_only_an_unconfirmed_change_of_the_parent_has_a_child(change: Coin) -> None:
    """Not a payment, not another amount, and nothing that is in a block: that needs no child."""
    with pytest.raises(InputNotOurs) as refusal:
        bump(change=change, spend=replace(CHILD, inputs=(change,)))
    assert refusal.value.outpoint == change.outpoint


@pytest.mark.parametrize("inputs", [(COINS[2],), (CHANGE, COINS[2]), (replace(CHANGE, value=Satoshi(30_000)),)])
def test_a_child_spends_nothing_but_the_change(inputs: tuple[Coin, ...]) -> None:
    """Another coin of the vault may be reserved, and would escape its reservation."""
    with pytest.raises(InputNotOurs):
        bump(spend=replace(CHILD, inputs=inputs))


@pytest.mark.parametrize(
    "outputs",
    [
        (TxOut(Satoshi(18_000), STRANGER),),
        (TxOut(Satoshi(17_000), VAULT), TxOut(Satoshi(1_000), STRANGER)),
        (TxOut(Satoshi(9_000), VAULT), TxOut(Satoshi(9_000), VAULT)),
    ],
)
def test_a_child_pays_the_vault_and_nobody_else(outputs: tuple[TxOut, ...]) -> None:
    """One output, to the vault."""
    with pytest.raises(UnaskedOutput) as refusal:
        bump(spend=replace(CHILD, outputs=outputs))
    assert refusal.value.script == outputs[-1].script


def test_the_cap_holds_for_parent_and_child_together() -> None:
    """310 virtual bytes at 50 satoshi are 15,500, of which the parent pays 400."""
    bump(spend=paying(15_100))
    with pytest.raises(PackageFeeAboveCap) as refusal:
        bump(spend=paying(15_101))
    assert (refusal.value.fee, refusal.value.most) == (15_501, 15_500)


def test_a_child_that_does_not_help_is_refused() -> None:
    """At the parent's own rate it lifts nothing, and below the floor it is not even relayed."""
    bump(spend=paying(221))
    with pytest.raises(ChildTooCheap) as cheap:
        bump(spend=paying(220))
    assert (cheap.value.fee, cheap.value.parent_fee) == (220, 400)
    with pytest.raises(FeeBelowFloor):
        bump(spend=paying(109))


def test_another_child_must_pay_more_than_the_last() -> None:
    """A lower fee would replace nothing."""
    bump(signed_before=Satoshi(2_000))
    with pytest.raises(FeeNotRaised):
        bump(signed_before=Satoshi(2_001))


def test_the_vaults_surplus_pays_for_a_child() -> None:
    """Without it the tokens would not be covered."""
    bump(balance=Balance(Satoshi(902_000), Satoshi(0), TokenUnits(900_000)))
    with pytest.raises(Insolvent):
        bump(balance=Balance(Satoshi(901_999), Satoshi(0), TokenUnits(900_000)))
