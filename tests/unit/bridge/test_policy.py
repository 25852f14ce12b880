"""What a storeman signs, and a typed refusal for each thing that it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.bitcoin.primitives import TxOut
from bridge.deposits import Purpose, Refusal, Spend, Stage
from bridge.payouts import PayoutStage, WithdrawalStage
from bridge.policy import (
    Balance,
    check_payout,
    check_return,
    check_return_bar,
    check_sweep,
    fee_of,
    fee_shares,
)
from bridge.refusals import (
    DepositNotRefused,
    FeeAboveCap,
    FeeAboveMaximum,
    FeeBelowFloor,
    FeeNotRaised,
    InputNotOurs,
    Insolvent,
    MalformedProposal,
    MissingOutput,
    NotPayable,
    PayoutClosed,
    ReclaimTooNear,
    UnaskedOutput,
    WrongAmount,
    WrongInputs,
)
from foundation.quantities import BlockHeight, Satoshi, TokenUnits
from tests.support.policy import (
    LIMITS,
    PAYOUT_ID,
    RETURN,
    SOLVENT,
    STRANGER,
    TIP,
    VAULT,
    Proposal,
    deposit_coin,
    minted_deposit,
    payout,
    right_payment,
    vault_coin,
    withdrawal,
)

WITHDRAWALS = (withdrawal(1, 50_000), withdrawal(2, 70_000))
COINS = (vault_coin(11, 100_000), vault_coin(12, 40_000))
PAYOUT = payout(WITHDRAWALS, COINS)
RIGHT = right_payment(WITHDRAWALS, COINS, fee=1_001)


def sign(spend: Proposal, **changes: object) -> None:
    """Ask for a signature under the right payout."""
    arguments = {
        "payout": PAYOUT,
        "withdrawals": WITHDRAWALS,
        "vault_script": VAULT,
        "limits": LIMITS,
        "balance": SOLVENT,
        **changes,
    }
    check_payout(spend, **arguments)  # type: ignore[arg-type]  # each test names what it changes


def with_output(position: int, **changes: object) -> Proposal:
    outputs = list(RIGHT.outputs)
    outputs[position] = replace(outputs[position], **changes)  # type: ignore[arg-type]  # as above
    return replace(RIGHT, outputs=tuple(outputs))


def test_the_right_payout_is_signed_and_the_first_bears_the_odd_satoshi() -> None:
    """The fee is split as the architecture says, and the change is what the withdrawals leave."""
    sign(RIGHT)
    assert [output.value for output in RIGHT.outputs] == [49_499, 69_500, 20_000]
    assert fee_shares(Satoshi(10), 3) == (4, 3, 3)


def test_an_output_to_a_stranger_is_refused_and_named() -> None:
    """In the place of a payment, of the change, or besides both."""
    for rogue in (
        with_output(0, script=STRANGER),
        with_output(2, script=STRANGER),
        replace(RIGHT, outputs=(*RIGHT.outputs, TxOut(Satoshi(0), STRANGER))),
    ):
        with pytest.raises(UnaskedOutput) as refusal:
            sign(rogue)
        assert refusal.value.script == STRANGER


def test_a_second_change_output_is_refused() -> None:
    """All of the change comes back in one coin."""
    split = (replace(RIGHT.outputs[2], value=Satoshi(10_000)),) * 2
    with pytest.raises(UnaskedOutput) as refusal:
        sign(replace(RIGHT, outputs=(*RIGHT.outputs[:2], *split)))
    assert refusal.value.script == VAULT


def test_payments_in_another_order_are_refused() -> None:
    """Shares of the fee go by order, so there is one order."""
    with pytest.raises(UnaskedOutput):
        sign(replace(RIGHT, outputs=(RIGHT.outputs[1], RIGHT.outputs[0], RIGHT.outputs[2])))


def test_a_wrong_amount_is_refused_with_what_it_should_be() -> None:
    """A satoshi moved from one withdrawal to the other is not the fee's fair share."""
    first, second, change = RIGHT.outputs
    moved = (replace(first, value=Satoshi(49_498)), replace(second, value=Satoshi(69_501)), change)
    with pytest.raises(WrongAmount) as refusal:
        sign(replace(RIGHT, outputs=moved))
    assert (refusal.value.script, refusal.value.proposed, refusal.value.expected) == (first.script, 49_498, 49_499)


def test_a_withdrawal_that_is_left_out_is_refused() -> None:
    """Every withdrawal of the payout is paid by every version."""
    with pytest.raises(MissingOutput) as refusal:
        sign(replace(RIGHT, outputs=(replace(RIGHT.outputs[0], value=Satoshi(138_999)),)))
    assert refusal.value.script == WITHDRAWALS[1].destination


def test_change_that_is_left_to_the_miner_is_refused() -> None:
    """What the withdrawals leave belongs to the vault as soon as it makes a coin that nodes relay."""
    coins = (vault_coin(11, 100_000), vault_coin(12, 20_330))
    right = right_payment(WITHDRAWALS, coins, fee=1_000)
    sign(right, payout=payout(WITHDRAWALS, coins))
    with pytest.raises(MissingOutput) as refusal:
        sign(replace(right, outputs=right.outputs[:2]), payout=payout(WITHDRAWALS, coins))
    assert (refusal.value.script, refusal.value.value) == (VAULT, 330)


def test_change_below_dust_is_left_to_the_miner_and_never_an_output() -> None:
    """The vault's surplus bears it; as an output no node would relay the transaction."""
    coins = (vault_coin(11, 100_000), vault_coin(12, 20_329))
    closed = payout(WITHDRAWALS, coins)
    right = right_payment(WITHDRAWALS, coins, fee=1_000)
    assert fee_of(right) == 1_329
    sign(right, payout=closed)
    with pytest.raises(Insolvent):
        sign(right, payout=closed, balance=Balance(Satoshi(900_328), Satoshi(0), TokenUnits(900_000)))
    with pytest.raises(UnaskedOutput) as refusal:
        sign(replace(right, outputs=(*right.outputs, TxOut(Satoshi(329), VAULT))), payout=closed)
    assert refusal.value.value == 329


def test_inputs_that_do_not_hold_the_withdrawals_are_refused() -> None:
    """The withdrawals bear the miner's fee and nothing else."""
    coins = (vault_coin(11, 119_900),)
    with pytest.raises(MalformedProposal) as refusal:
        sign(right_payment(WITHDRAWALS, coins, fee=1_000), payout=payout(WITHDRAWALS, coins))
    assert refusal.value.field == "inputs"


def test_a_fee_above_the_cap_is_refused_and_at_the_cap_signed() -> None:
    """50 satoshi for each of 200 virtual bytes, and not one more."""
    sign(right_payment(WITHDRAWALS, COINS, fee=10_000))
    with pytest.raises(FeeAboveCap) as refusal:
        sign(right_payment(WITHDRAWALS, COINS, fee=10_001))
    assert (refusal.value.fee, refusal.value.most) == (10_001, 10_000)


def test_a_fee_below_the_floor_is_refused_and_at_the_floor_signed() -> None:
    """Nodes would not relay it; the floor is rounded up."""
    sign(right_payment(WITHDRAWALS, COINS, fee=200))
    with pytest.raises(FeeBelowFloor) as refusal:
        sign(right_payment(WITHDRAWALS, COINS, fee=200, vsize=201), limits=replace(LIMITS, fee_floor=1_001))
    assert (refusal.value.fee, refusal.value.least) == (200, 202)


def test_a_share_above_what_the_owner_allows_is_refused() -> None:
    """The fee may fit the cap and still be more than a withdrawal's owner agreed to."""
    careful = (replace(WITHDRAWALS[0], max_fee=Satoshi(500)), WITHDRAWALS[1])
    sign(right_payment(careful, COINS, fee=1_000), withdrawals=careful)
    with pytest.raises(FeeAboveMaximum) as refusal:
        sign(right_payment(careful, COINS, fee=1_001), withdrawals=careful)
    assert (refusal.value.withdrawal_id, refusal.value.share) == (careful[0].withdrawal_id, 501)


def test_a_bump_must_pay_more_and_the_same_again_is_harmless() -> None:
    """A lower fee would replace nothing; the same fee is the very same transaction."""
    sign(RIGHT, signed_before=Satoshi(1_001))
    with pytest.raises(FeeNotRaised) as refusal:
        sign(RIGHT, signed_before=Satoshi(1_002))
    assert refusal.value.before == 1_002


@pytest.mark.parametrize("inputs", [COINS[::-1], COINS[:1], (*COINS, vault_coin(13, 1_000))])
def test_other_inputs_than_the_reservation_names_are_refused(inputs: tuple[object, ...]) -> None:
    """The reservation is what t storemen agreed on, in its order, the anchor first."""
    with pytest.raises(WrongInputs) as refusal:
        sign(replace(RIGHT, inputs=inputs))  # type: ignore[arg-type]  # coins
    assert refusal.value.payout_id == PAYOUT_ID


def test_a_coin_that_lies_on_another_script_is_refused() -> None:
    """A deposit's coin needs another key tweak and belongs to its depositor until it is swept."""
    foreign = replace(COINS[0], script=RETURN)
    with pytest.raises(InputNotOurs) as refusal:
        sign(replace(RIGHT, inputs=(foreign, COINS[1])))
    assert refusal.value.outpoint == foreign.outpoint


@pytest.mark.parametrize("stage", [PayoutStage.PAID, PayoutStage.SETTLED, PayoutStage.VOIDED])
def test_a_payout_that_is_over_is_not_signed_again(stage: PayoutStage) -> None:
    """Paid, settled or voided: nothing of it is left to sign."""
    with pytest.raises(PayoutClosed) as refusal:
        sign(RIGHT, payout=replace(PAYOUT, stage=stage))
    assert refusal.value.stage == stage


@pytest.mark.parametrize(
    ("stage", "holder"),
    [
        (WithdrawalStage.SETTLED, PAYOUT_ID),
        (WithdrawalStage.CANCELLED, None),
        (WithdrawalStage.REQUESTED, None),
        (WithdrawalStage.RESERVED, b"q" * 32),
    ],
)
def test_a_withdrawal_that_is_not_this_payouts_is_not_paid(stage: WithdrawalStage, holder: bytes | None) -> None:
    """Paid already, cancelled, open again, or in another payout: a second payment is refused."""
    taken = (WITHDRAWALS[0], replace(WITHDRAWALS[1], stage=stage, payout=holder))
    with pytest.raises(NotPayable) as refusal:
        sign(RIGHT, withdrawals=taken)
    assert refusal.value.withdrawal_id == taken[1].withdrawal_id


def test_an_insolvent_vault_signs_nothing() -> None:
    """With less than the supply in the vault, even a payout that costs nothing is refused."""
    sign(RIGHT, balance=Balance(Satoshi(900_000), Satoshi(0), TokenUnits(900_000)))
    sign(RIGHT, balance=Balance(Satoshi(880_000), Satoshi(20_000), TokenUnits(900_000)))
    with pytest.raises(Insolvent) as refusal:
        sign(RIGHT, balance=Balance(Satoshi(899_999), Satoshi(0), TokenUnits(900_000)))
    assert (refusal.value.reserves, refusal.value.supply) == (899_999, 900_000)


@pytest.mark.parametrize(
    ("spend", "field"),
    [
        (Proposal((), RIGHT.outputs), "transaction"),
        (Proposal(COINS, ()), "transaction"),
        (Proposal((COINS[0], COINS[0]), RIGHT.outputs), "inputs"),
        (Proposal(COINS, (TxOut(Satoshi(-1), VAULT),)), "outputs"),
        (Proposal(COINS, (TxOut(Satoshi(140_001), VAULT),)), "outputs"),
    ],
)
def test_what_is_no_transaction_is_refused_by_field(spend: Proposal, field: str) -> None:
    """Nothing in or out, a coin twice, a negative amount, money from nowhere."""
    with pytest.raises(MalformedProposal) as refusal:
        fee_of(spend)
    assert refusal.value.field == field


DEPOSITS = {deposit_coin(d).outpoint: d for d in (minted_deposit(21), minted_deposit(22, 60_000))}
SWEEP = Proposal(tuple(map(deposit_coin, DEPOSITS.values())), (TxOut(Satoshi(159_000), VAULT),))
FIRST = next(iter(DEPOSITS))


def sweep(proposal: Proposal = SWEEP, tip: int = TIP, balance: Balance = SOLVENT, **changes: object) -> None:
    """Ask for a sweep, with the first deposit changed."""
    known = DEPOSITS | {FIRST: replace(DEPOSITS[FIRST], **changes)}  # type: ignore[arg-type]  # fields of a deposit
    check_sweep(proposal, known, VAULT, LIMITS, BlockHeight(tip), balance)


def test_minted_deposits_are_swept_into_the_vault() -> None:
    """Several at once, into one coin."""
    sweep()


def test_no_deposit_is_swept_within_three_blocks_of_its_reclaim() -> None:
    """With four blocks left it is swept; with three, and after the height, it is not."""
    sweep(tip=186)
    for tip in (187, 190, 200):
        with pytest.raises(ReclaimTooNear) as refusal:
            sweep(tip=tip)
        assert (refusal.value.outpoint, refusal.value.reclaim_height, refusal.value.tip) == (FIRST, 190, tip)


@pytest.mark.parametrize(
    "changes",
    [
        {"stage": Stage.FINAL, "minted": None, "mint_transaction": None},
        {"stage": Stage.RETURNING, "minted": None, "mint_transaction": None, "return_transaction": b"b"},
        {"stage": Stage.SWEPT},
        {"spend": Spend(b"s" * 32, BlockHeight(99), Purpose.RECLAIM)},
        {"height": None},
        {"amount": Satoshi(99_999)},
        {"script": RETURN},
    ],
)
def test_a_deposit_that_is_not_the_vaults_to_take_is_not_swept(changes: dict[str, object]) -> None:
    """Not minted, barred, swept, spent, gone from the chain, or another coin than it is said to be."""
    with pytest.raises(InputNotOurs) as refusal:
        sweep(**changes)
    assert refusal.value.outpoint == FIRST


def test_a_coin_of_no_deposit_is_not_swept() -> None:
    """A vault coin in a sweep would escape its reservation."""
    with pytest.raises(InputNotOurs):
        sweep(replace(SWEEP, inputs=(*SWEEP.inputs, vault_coin(11, 1_000))))


@pytest.mark.parametrize(
    "outputs",
    [
        (TxOut(Satoshi(159_000), STRANGER),),
        (TxOut(Satoshi(158_000), VAULT), TxOut(Satoshi(1_000), STRANGER)),
        (TxOut(Satoshi(100_000), VAULT), TxOut(Satoshi(59_000), VAULT)),
    ],
)
def test_a_sweep_pays_the_vault_once_and_nobody_else(outputs: tuple[TxOut, ...]) -> None:
    """The output that should not be there is the one that is named."""
    with pytest.raises(UnaskedOutput) as refusal:
        sweep(replace(SWEEP, outputs=outputs))
    assert (refusal.value.script, refusal.value.value) == (outputs[-1].script, outputs[-1].value)


def test_a_sweep_must_not_make_the_vault_insolvent_or_waste_its_coins() -> None:
    """Its fee comes out of the deposit fees that the vault has kept."""
    with pytest.raises(Insolvent):
        sweep(balance=Balance(Satoshi(900_999), Satoshi(0), TokenUnits(900_000)))
    sweep(balance=Balance(Satoshi(901_000), Satoshi(0), TokenUnits(900_000)))
    with pytest.raises(FeeAboveCap):
        sweep(replace(SWEEP, outputs=(TxOut(Satoshi(149_999), VAULT),)))


BARRED = replace(
    minted_deposit(31),
    stage=Stage.RETURNING,
    minted=None,
    mint_transaction=None,
    return_transaction=b"b" * 32,
    refusal=Refusal.BELOW_MINIMUM,
)
BACK = Proposal((deposit_coin(BARRED),), (TxOut(Satoshi(99_000), RETURN),))


def test_a_barred_deposit_goes_back_to_its_depositor() -> None:
    """From its own coin, to the reclaim key's own script, less the miner's fee."""
    check_return(BACK, BARRED, RETURN, LIMITS)


@pytest.mark.parametrize(
    ("spend", "refused"),
    [
        (replace(BACK, outputs=(TxOut(Satoshi(99_000), STRANGER),)), UnaskedOutput),
        (replace(BACK, outputs=(*BACK.outputs, TxOut(Satoshi(0), VAULT))), UnaskedOutput),
        (replace(BACK, outputs=(TxOut(Satoshi(49_000), RETURN),) * 2), UnaskedOutput),
        (replace(BACK, outputs=(TxOut(Satoshi(89_999), RETURN),)), FeeAboveCap),
        (replace(BACK, outputs=(TxOut(Satoshi(99_801), RETURN),)), FeeBelowFloor),
        (replace(BACK, inputs=(*BACK.inputs, vault_coin(11, 1_000))), InputNotOurs),
        (replace(BACK, inputs=(vault_coin(11, 100_000),)), InputNotOurs),
        (replace(BACK, inputs=(replace(BACK.inputs[0], script=VAULT),)), InputNotOurs),
    ],
)
def test_a_return_pays_nobody_but_the_depositor(spend: Proposal, refused: type[Exception]) -> None:
    """Another output, another coin, or a fee that eats the deposit is refused."""
    with pytest.raises(refused):
        check_return(spend, BARRED, RETURN, LIMITS)


@pytest.mark.parametrize(
    "changes",
    [
        {"stage": Stage.REFUSED, "return_transaction": None},
        {"stage": Stage.MINTED, "return_transaction": None, "mint_transaction": b"m", "minted": TokenUnits(1)},
        {"spend": Spend(b"s" * 32, BlockHeight(99), Purpose.RETURN)},
        {"height": None},
    ],
)
def test_a_deposit_that_the_hub_has_not_barred_is_not_returned(changes: dict[str, object]) -> None:
    """It could still be minted; and a coin that is spent or gone has nothing to return."""
    with pytest.raises(InputNotOurs):
        check_return(BACK, replace(BARRED, **changes), RETURN, LIMITS)  # type: ignore[arg-type]  # fields


def test_only_what_this_node_refuses_itself_is_barred() -> None:
    """A coordinator cannot have a good deposit barred, nor another amount written down."""
    refused = replace(BARRED, stage=Stage.REFUSED, return_transaction=None)
    check_return_bar(refused, 100_000)
    with pytest.raises(WrongAmount):
        check_return_bar(refused, 99_999)
    good = replace(refused, stage=Stage.FINAL, refusal=None)
    with pytest.raises(DepositNotRefused) as refusal:
        check_return_bar(good, 100_000)
    assert (refusal.value.deposit_id, refusal.value.stage) == (good.deposit_id, Stage.FINAL)
