"""What may I sign: pure checks of a proposal against what this node itself saw on both chains.

Nothing that a coordinator says enters here except the proposal; everything it is held against comes from this node's
own followers. A check returns nothing, or raises a typed refusal (`bridge.refusals`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from adapters.bitcoin.primitives import Coin, OutPoint, TxOut
from adapters.bitcoin.transactions import key_path_vsize
from bridge.deposits import Deposit, Stage
from bridge.payouts import Payout, PayoutStage, Withdrawal, WithdrawalStage
from bridge.refusals import (
    ChildTooCheap,
    DepositNotRefused,
    FeeAboveCap,
    FeeAboveMaximum,
    FeeBelowFloor,
    FeeNotRaised,
    InputNotOurs,
    InputReserved,
    Insolvent,
    MalformedProposal,
    MissingOutput,
    NotPayable,
    PackageFeeAboveCap,
    PayoutClosed,
    ReclaimTooNear,
    UnaskedOutput,
    WrongAmount,
    WrongInputs,
)
from bridge.tiers import confirmations
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB, TokenUnits

SWEEP_MARGIN: Final = 3
"""No deposit is swept when the depositor's reclaim height is this many blocks away, or fewer."""

INCREMENTAL_RELAY: Final = SatPerKvB(1000)
"""What nodes ask a replacement to pay for its own relay at least, in sat/kvB (Bitcoin Core's default)."""

TAPROOT_DUST: Final = Satoshi(330)
"""Change below this is left to the miner."""


class Spend(Protocol):
    """A proposed transaction with the coins it spends, as `adapters.bitcoin.transactions` builds it."""

    @property
    def inputs(self) -> Sequence[Coin]:
        """The coins, in order, as this node knows them."""
        ...

    @property
    def outputs(self) -> Sequence[TxOut]:
        """The outputs, in order."""
        ...

    @property
    def vsize(self) -> int:
        """Virtual bytes once it is signed."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """This operator's limits. Fee rates in sat/kvB; `input_depth`: confirmations that a vault coin needs."""

    fee_floor: SatPerKvB
    fee_cap: SatPerKvB
    input_depth: int
    max_withdrawals: int = 32
    max_inputs: int = 64


@dataclass(frozen=True, slots=True)
class Balance:
    """What the vault holds against what it owes, in one asset, at this node's bitcoin tip.

    reserves: unspent coins of the vault and of minted deposits; unsettled: amounts of withdrawals whose payout is in
    the chain and whose tokens are not burnt yet; supply: of the mapping token, locked tokens included.
    """

    reserves: Satoshi
    unsettled: Satoshi
    supply: TokenUnits

    @property
    def surplus(self) -> int:
        """What is there beyond what is owed, in satoshi; negative where something is missing."""
        return self.reserves + self.unsettled - self.supply

    def check(self, cost: int) -> None:
        """Raises `Insolvent` if `cost` satoshi less than now would not cover the supply."""
        left = Satoshi(self.reserves + self.unsettled - cost)
        if left < self.supply:
            raise Insolvent(left, self.supply)


@dataclass(frozen=True, slots=True)
class VaultView:
    """What this node knows of the coins that a reservation may bind.

    coins: unspent vault coins in the chain; reserved: coins that live or settled payouts hold on the Hub.
    """

    coins: Mapping[OutPoint, Coin]
    reserved: Mapping[OutPoint, bytes]
    tip: BlockHeight


def fee_shares(fee: Satoshi, count: int) -> tuple[Satoshi, ...]:
    """How `count` withdrawals bear a miner fee: evenly, the first ones one satoshi more where it does not divide."""
    each, more = divmod(fee, count)
    return tuple(Satoshi(each + (index < more)) for index in range(count))


def fee_of(spend: Spend) -> Satoshi:
    """What the transaction leaves to the miner.

    Raises:
        MalformedProposal: it creates money, pays a negative amount, or names a coin twice.
    """
    if not spend.inputs or not spend.outputs:
        raise MalformedProposal("transaction", "has no inputs or no outputs")
    if any(output.value < 0 for output in spend.outputs):
        raise MalformedProposal("outputs", "an amount is negative")
    if len({coin.outpoint for coin in spend.inputs}) != len(spend.inputs):
        raise MalformedProposal("inputs", "a coin is named twice")
    fee = sum(coin.value for coin in spend.inputs) - sum(output.value for output in spend.outputs)
    if fee < 0:
        raise MalformedProposal("outputs", "pay more than the inputs hold")
    return Satoshi(fee)


def _at_rate(rate: SatPerKvB, vsize: int, *, up: bool = False) -> Satoshi:
    """The fee of `vsize` virtual bytes at `rate`, rounded down, or up."""
    return Satoshi(-(-rate * vsize // 1000) if up else rate * vsize // 1000)


def check_raised(fee: Satoshi, before: Satoshi | None, vsize: int) -> None:
    """A version of a transaction pays the fee of the one signed before, or enough more that nodes replace it.

    Anything between would be signed in vain, and hide the version that nodes have.

    Raises:
        FeeNotRaised: it does not.
    """
    if before is not None and fee != before and fee < before + -(-INCREMENTAL_RELAY * vsize // 1000):
        raise FeeNotRaised(fee, before)


def check_fee(spend: Spend, limits: Limits) -> Satoshi:
    """The fee, if it is between the floor and the cap. Raises `FeeAboveCap`, `FeeBelowFloor`, `MalformedProposal`."""
    fee = fee_of(spend)
    most = _at_rate(limits.fee_cap, spend.vsize)
    least = _at_rate(limits.fee_floor, spend.vsize, up=True)
    if fee > most:
        raise FeeAboveCap(fee, most)
    if fee < least:
        raise FeeBelowFloor(fee, least)
    return fee


def check_reservation(
    withdrawals: Sequence[Withdrawal],
    inputs: Sequence[OutPoint],
    live: Payout | None,
    view: VaultView,
    limits: Limits,
    balance: Balance,
) -> None:
    """May these coins be bound to these withdrawals? `live` is the payout that they are in already, if any.

    Raises:
        Refused: a subclass says why.
    """
    ids = [withdrawal.withdrawal_id for withdrawal in withdrawals]
    if not 1 <= len(ids) <= limits.max_withdrawals or len(set(ids)) != len(ids):
        raise MalformedProposal("withdrawals", f"1 to {limits.max_withdrawals} different ones")
    if not 1 <= len(inputs) <= limits.max_inputs or len(set(inputs)) != len(inputs):
        raise MalformedProposal("inputs", f"1 to {limits.max_inputs} different ones")
    if len({withdrawal.asset for withdrawal in withdrawals}) != 1:
        raise MalformedProposal("withdrawals", "are of different assets")
    if live is None:
        check_requested(withdrawals)
    else:
        _check_replacement(live, withdrawals, inputs)
    own = None if live is None else live.payout_id
    for outpoint in inputs:
        holder = view.reserved.get(outpoint)
        if holder is not None and holder != own:
            raise InputReserved(outpoint, holder)
        _check_deep(outpoint, view, limits)
    held = sum(view.coins[outpoint].value for outpoint in inputs)
    owed = sum(withdrawal.amount for withdrawal in withdrawals)
    if held < owed:
        raise MalformedProposal("inputs", f"hold {held} sat for {owed}")
    change = held - owed >= TAPROOT_DUST
    if live is None:
        _check_payable(withdrawals, len(inputs), limits, change=change)
    balance.check(cost=0 if change else held - owed)


def _check_payable(withdrawals: Sequence[Withdrawal], inputs: int, limits: Limits, *, change: bool) -> None:
    """A payment at the floor is possible; coins that are bound to one that is not would be bound for ever."""
    outputs = [withdrawal.destination for withdrawal in withdrawals]
    vsize = key_path_vsize(inputs, [*outputs, bytes(34)] if change else outputs)  # as long as the vault's
    least = fee_shares(_at_rate(limits.fee_floor, vsize, up=True), len(withdrawals))
    for withdrawal, share in zip(withdrawals, least, strict=True):
        if share > withdrawal.max_fee:
            raise FeeAboveMaximum(withdrawal.withdrawal_id, share, withdrawal.max_fee)


def check_requested(withdrawals: Sequence[Withdrawal]) -> None:
    """Raises `NotPayable` for a withdrawal that is bound to a payout already, or over."""
    for withdrawal in withdrawals:
        if withdrawal.stage is not WithdrawalStage.REQUESTED:
            raise NotPayable(withdrawal.withdrawal_id, withdrawal.stage)


def _check_replacement(live: Payout, withdrawals: Sequence[Withdrawal], inputs: Sequence[OutPoint]) -> None:
    if live.stage is not PayoutStage.RESERVED:
        raise PayoutClosed(live.payout_id, live.stage)
    if live.withdrawals != tuple(withdrawal.withdrawal_id for withdrawal in withdrawals):
        raise MalformedProposal("withdrawals", "differ from those of the payout that is replaced")
    _check_reserved(live, withdrawals)
    if live.anchor not in inputs:
        raise WrongInputs(live.payout_id)


def _check_reserved(payout: Payout, withdrawals: Sequence[Withdrawal]) -> None:
    for withdrawal in withdrawals:
        if withdrawal.stage is not WithdrawalStage.RESERVED or withdrawal.payout != payout.payout_id:
            raise NotPayable(withdrawal.withdrawal_id, withdrawal.stage)


def _check_deep(outpoint: OutPoint, view: VaultView, limits: Limits) -> None:
    coin = view.coins.get(outpoint)
    if coin is None:
        raise InputNotOurs(outpoint, "no unspent coin of the vault")
    have = confirmations(coin.height, view.tip)
    if have < limits.input_depth:
        raise InputNotOurs(outpoint, f"has {have} of {limits.input_depth} confirmations")


def check_payout(
    spend: Spend,
    payout: Payout,
    withdrawals: Sequence[Withdrawal],
    vault_script: bytes,
    limits: Limits,
    balance: Balance,
    signed_before: Satoshi | None = None,
) -> None:
    """May this transaction be signed for this payout? `withdrawals` in the payout's order.

    `signed_before`: the highest fee of a version that this node signed; a new one must pay more, and to sign the very
    same fee again is harmless, because it is the very same transaction.

    Raises:
        Refused: a subclass says why.
    """
    assert tuple(w.withdrawal_id for w in withdrawals) == payout.withdrawals, "the caller looked up the payout's own"
    if payout.stage in {PayoutStage.PAID, PayoutStage.SETTLED, PayoutStage.VOIDED}:
        raise PayoutClosed(payout.payout_id, payout.stage)
    _check_reserved(payout, withdrawals)
    if tuple(coin.outpoint for coin in spend.inputs) != payout.inputs:
        raise WrongInputs(payout.payout_id)
    _check_vault_coins(spend, vault_script)
    fee = check_fee(spend, limits)
    check_raised(fee, signed_before, spend.vsize)
    borne = _check_payments(spend, withdrawals, vault_script, fee)
    balance.check(cost=fee - borne)


def _check_payments(spend: Spend, withdrawals: Sequence[Withdrawal], vault_script: bytes, fee: Satoshi) -> Satoshi:
    """Every output is a withdrawal's payment, in order, or the one change to the vault. Returns the fee they bear."""
    payments = spend.outputs[: len(withdrawals)]
    if len(payments) < len(withdrawals):
        missing = withdrawals[len(payments)]
        raise MissingOutput(missing.destination, Satoshi(missing.amount))
    changes = spend.outputs[len(withdrawals) :]
    for payment, withdrawal in zip(payments, withdrawals, strict=True):
        if payment.script != withdrawal.destination:
            raise UnaskedOutput(payment.script, payment.value)
    for position, change in enumerate(changes):
        if change.script != vault_script or position > 0 or change.value < TAPROOT_DUST:
            raise UnaskedOutput(change.script, change.value)
    surplus = _surplus(spend, withdrawals)
    if surplus < 0:
        raise MalformedProposal("inputs", f"hold {-surplus} sat too little for the withdrawals")
    if not changes and surplus >= TAPROOT_DUST:
        raise MissingOutput(vault_script, Satoshi(surplus))
    left_over = 0 if changes else surplus
    borne = Satoshi(fee - left_over)
    for payment, withdrawal, share in zip(payments, withdrawals, fee_shares(borne, len(withdrawals)), strict=True):
        if share > withdrawal.max_fee:
            raise FeeAboveMaximum(withdrawal.withdrawal_id, share, withdrawal.max_fee)
        expected = Satoshi(withdrawal.amount - share)
        if payment.value != expected:
            raise WrongAmount(payment.script, payment.value, expected)
    return borne


def _check_vault_coins(spend: Spend, vault_script: bytes) -> None:
    for coin in spend.inputs:
        if coin.script != vault_script:
            raise InputNotOurs(coin.outpoint, "is no coin of this vault")


def _surplus(spend: Spend, withdrawals: Sequence[Withdrawal]) -> int:
    """What the inputs hold beyond the withdrawals' amounts."""
    return sum(coin.value for coin in spend.inputs) - sum(withdrawal.amount for withdrawal in withdrawals)


def check_sweep(
    spend: Spend,
    deposits: Mapping[OutPoint, Deposit],
    vault_script: bytes,
    limits: Limits,
    tip: BlockHeight,
    balance: Balance,
) -> None:
    """May these deposits' coins be moved into the vault?

    Raises:
        Refused: a subclass says why.
    """
    fee = check_fee(spend, limits)
    for coin in spend.inputs:
        deposit = deposits.get(coin.outpoint)
        if deposit is None:
            raise InputNotOurs(coin.outpoint, "no deposit's coin")
        if deposit.mint_transaction is None or deposit.stage is not Stage.MINTED:
            raise InputNotOurs(coin.outpoint, f"its deposit is {deposit.stage}")
        _check_deposit_coin(coin, deposit)
        check_reclaim_margin(deposit, tip)
    _check_only_output(spend, vault_script)
    balance.check(cost=fee)


def _check_deposit_coin(coin: Coin, deposit: Deposit) -> None:
    """The coin is the deposit's, as its state says, and nothing in the chain has spent it."""
    if (coin.script, coin.value) != (deposit.script, deposit.amount):
        raise InputNotOurs(coin.outpoint, "is another coin than its deposit's")
    if deposit.spend is not None:
        raise InputNotOurs(coin.outpoint, f"was spent by a {deposit.spend.purpose}")


def _check_only_output(spend: Spend, script: bytes) -> None:
    """One output, to `script`."""
    for position, output in enumerate(spend.outputs):
        if output.script != script or position > 0:
            raise UnaskedOutput(output.script, output.value)


def check_child(
    spend: Spend,
    change: Coin,
    parent: Spend,
    vault_script: bytes,
    limits: Limits,
    balance: Balance,
    signed_before: Satoshi | None = None,
) -> None:
    """May this transaction be signed as the child that pays for its stuck parent (CPFP)?

    `parent` is a payout or a sweep that this node signed or checked itself, never one that the proposer describes;
    `change` the parent's output to the vault, as this node computed it. The vault's surplus bears the child's fee,
    which may exceed the cap alone: the cap holds for both transactions together, which is how miners look at them.
    `signed_before`: the highest fee of a child of this coin that this node signed.

    Raises:
        Refused: a subclass says why.
    """
    fee = fee_of(spend)
    least = _at_rate(limits.fee_floor, spend.vsize, up=True)
    if fee < least:
        raise FeeBelowFloor(fee, least)
    check_raised(fee, signed_before, spend.vsize)
    for coin in spend.inputs:
        if coin.outpoint != change.outpoint:
            raise InputNotOurs(coin.outpoint, "is not the parent's change")
    _check_change(change, parent, vault_script)
    if tuple(spend.inputs) != (change,):
        raise InputNotOurs(change.outpoint, "is another coin than the parent's change")
    _check_only_output(spend, vault_script)
    parent_fee = fee_of(parent)
    if fee * parent.vsize <= parent_fee * spend.vsize:
        raise ChildTooCheap(fee, parent_fee)
    together, most = Satoshi(fee + parent_fee), _at_rate(limits.fee_cap, spend.vsize + parent.vsize)
    if together > most:
        raise PackageFeeAboveCap(together, most)
    balance.check(cost=fee)


def _check_change(change: Coin, parent: Spend, vault_script: bytes) -> None:
    """The coin is an output of the parent to the vault, in no block yet."""
    vout = change.outpoint.vout
    if vout >= len(parent.outputs) or parent.outputs[vout] != TxOut(change.value, change.script):
        raise InputNotOurs(change.outpoint, "is no output of the parent")
    if change.script != vault_script:
        raise InputNotOurs(change.outpoint, "does not lie on the vault's script")
    if change.height is not None:
        raise InputNotOurs(change.outpoint, "is in a block: its parent needs no child")


def check_reclaim_margin(deposit: Deposit, tip: BlockHeight) -> None:
    """Raises `ReclaimTooNear` within three blocks of the depositor's reclaim height, and after it."""
    height = deposit.reclaim_height
    outpoint = OutPoint(deposit.txid, deposit.vout)
    if height is None:
        raise InputNotOurs(outpoint, "is not in the chain")
    if height - tip <= SWEEP_MARGIN:
        raise ReclaimTooNear(outpoint, height, tip)


def check_return_bar(deposit: Deposit, amount: int) -> None:
    """May this node co-sign that the Hub bars the deposit's mint for ever?

    Raises:
        DepositNotRefused: this node sees no reason for it. WrongAmount: the amount is another one.
    """
    if deposit.stage is not Stage.REFUSED:
        raise DepositNotRefused(deposit.deposit_id, deposit.stage)
    if amount != deposit.amount:
        raise WrongAmount(deposit.script, Satoshi(amount), deposit.amount)


def check_return(spend: Spend, deposit: Deposit, return_script: bytes, limits: Limits) -> None:
    """May this refused deposit's coin be sent back to its depositor?

    Raises:
        Refused: a subclass says why.
    """
    check_fee(spend, limits)
    coin = OutPoint(deposit.txid, deposit.vout)
    for spent in spend.inputs:
        if spent.outpoint != coin:
            raise InputNotOurs(spent.outpoint, "is not the returned deposit's coin")
    if deposit.return_transaction is None or deposit.mint_transaction is not None:
        raise InputNotOurs(coin, f"its deposit is {deposit.stage}, the Hub has not barred its mint")
    _check_deposit_coin(spend.inputs[0], deposit)
    if deposit.height is None:
        raise InputNotOurs(coin, "is not in the chain")
    _check_only_output(spend, return_script)
