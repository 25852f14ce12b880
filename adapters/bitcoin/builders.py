"""Builds the bridge's transactions: payouts, sweeps, returns, and children that pay for their parents.

Source: docs/architecture.md, "Who pays the bitcoin fees". Pure and deterministic: every storeman that is given the same
coins, payments and fee rate builds the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.bitcoin.errors import FeeAboveLimit, InsufficientFunds, OutputBelowDust
from adapters.bitcoin.primitives import Coin, TxOut
from adapters.bitcoin.scripts import ScriptKind, dust_threshold, script_kind
from adapters.bitcoin.transactions import UnsignedTx, key_path_vsize
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB


@dataclass(frozen=True, slots=True)
class Payment:
    """What a withdrawal asks for.

    Fields: script (scriptPubKey of the destination); amount (before its share of the fee); max_fee (the most that it
    bears of it).
    """

    script: bytes
    amount: Satoshi
    max_fee: Satoshi


def fee_at(rate: SatPerKvB, vsize: int) -> Satoshi:
    """The fee of `vsize` virtual bytes at `rate`, rounded up, so that the rate is met."""
    return Satoshi(-(-rate * vsize // 1000))


def payout_transaction(
    coins: Sequence[Coin],
    payments: Sequence[Payment],
    vault: bytes,
    fee_rate: SatPerKvB,
    *,
    minimum_fee: Satoshi = Satoshi(0),
) -> UnsignedTx:
    """Pay a batch of withdrawals from the vault's `coins`, in the given order of both; change goes to `vault`, last.

    Each payment bears an equal share of the fee, the first ones one satoshi more where it does not divide. What is
    left over goes back to the vault. Where that is dust, it goes to the miner instead, and the payments bear that much
    less. No payment ever bears a negative share, so a fee may exceed what was asked for by less than one dust output.

    Args:
        vault: the vault's scriptPubKey.
        minimum_fee: the whole fee is at least this (see `fees.replacement_fee`).

    Raises:
        InsufficientFunds: the coins hold less than the amounts.
        FeeAboveLimit: a payment's share exceeds its limit.
        OutputBelowDust: a payment less its share is too small to be relayed.
        BadInput: no payments, or what `UnsignedTx` refuses.
    """
    _check_vault(vault)
    if not payments:
        raise BadInput("payments", "there are none")
    held, owed = _total(coins), Satoshi(sum(payment.amount for payment in payments))
    left_over = Satoshi(held - owed)
    if left_over < 0:
        raise InsufficientFunds(owed, held)
    changes = (TxOut(left_over, vault),) if left_over >= dust_threshold(vault) else ()
    scripts = [payment.script for payment in payments] + [change.script for change in changes]
    fee = max(fee_at(fee_rate, key_path_vsize(len(coins), scripts)), minimum_fee)
    borne = fee if changes else max(fee - left_over, 0)
    each, more = divmod(borne, len(payments))
    paid = (_paid(index, payment, each + (index < more)) for index, payment in enumerate(payments))
    return UnsignedTx(tuple(coins), (*paid, *changes))


def sweep_transaction(
    coins: Sequence[Coin], vault: bytes, fee_rate: SatPerKvB, *, minimum_fee: Satoshi = Satoshi(0)
) -> UnsignedTx:
    """Move coins, in the given order, into one output of the vault: 57.5 virtual bytes a coin, and 53.5 for the rest.

    Raises:
        OutputBelowDust: too little is left after the fee.
        BadInput: what `UnsignedTx` refuses.
    """
    _check_vault(vault)
    return _all_to_one(coins, vault, fee_rate, minimum_fee)


def return_transaction(
    coin: Coin, script: bytes, fee_rate: SatPerKvB, *, minimum_fee: Satoshi = Satoshi(0)
) -> UnsignedTx:
    """Send one refused deposit's coin back to `script` (see `scripts.return_script`), less the fee.

    Raises:
        OutputBelowDust: too little is left after the fee.
        BadInput: what `UnsignedTx` refuses.
    """
    return _all_to_one((coin,), script, fee_rate, minimum_fee)


def child_transaction(
    parent_vsize: int, parent_fee: Satoshi, change: Coin, vault: bytes, package_rate: SatPerKvB
) -> UnsignedTx:
    """Spend an unconfirmed parent's change back to the vault, with a fee that lifts both to `package_rate` together.

    The child alone pays at least `package_rate` too, for miners take it only for its own fee where the parent needs
    no help. The vault bears the fee: the caller holds it against the vault's surplus.

    Raises:
        OutputBelowDust: the change is too small to pay for both.
        BadInput: what `UnsignedTx` refuses.
    """
    _check_vault(vault)
    alone = key_path_vsize(1, [vault])
    minimum = Satoshi(fee_at(package_rate, parent_vsize + alone) - parent_fee)
    return _all_to_one((change,), vault, package_rate, minimum)


def _all_to_one(coins: Sequence[Coin], script: bytes, fee_rate: SatPerKvB, minimum_fee: Satoshi) -> UnsignedTx:
    fee = max(fee_at(fee_rate, key_path_vsize(len(coins), [script])), minimum_fee)
    value = Satoshi(_total(coins) - fee)
    threshold = dust_threshold(script)
    if value < threshold:
        raise OutputBelowDust(0, value, threshold)
    return UnsignedTx(tuple(coins), (TxOut(value, script),))


def _paid(index: int, payment: Payment, share: int) -> TxOut:
    """The output of a payment that bears `share` of the fee."""
    if share > payment.max_fee:
        raise FeeAboveLimit(index, Satoshi(share), payment.max_fee)
    value, threshold = payment.amount - share, dust_threshold(payment.script)
    if value < threshold:
        raise OutputBelowDust(index, value, threshold)
    return TxOut(Satoshi(value), payment.script)


def _total(coins: Sequence[Coin]) -> Satoshi:
    return Satoshi(sum(coin.value for coin in coins))


def _check_vault(vault: bytes) -> None:
    if script_kind(vault) is not ScriptKind.P2TR:
        raise BadInput("vault", f"{vault.hex()} is no Taproot output")
