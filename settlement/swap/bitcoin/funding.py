"""The follower's funding transaction, put together from its wallet's coins. Pure.

Every input is native segregated witness, so that nobody can change the transaction's id (BIP-141): point mode signs
claims of its output before it is broadcast. Every input is replaceable by fee (BIP-125) and confirmed, so that neither
a replacement nor another's transaction takes an input away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from adapters.bitcoin.builders import fee_at
from adapters.bitcoin.coins import select_coins
from adapters.bitcoin.errors import InsufficientFunds, OutputBelowDust, WrongTransaction
from adapters.bitcoin.primitives import Coin, OutPoint, TxOut, sha256d
from adapters.bitcoin.scripts import ScriptKind, dust_threshold, script_kind
from adapters.bitcoin.transactions import SEQUENCE, parse_transaction, serialize, vsize_of
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB

_WITNESS_BYTES: Final = {ScriptKind.P2WPKH: 1 + 1 + 72 + 1 + 33, ScriptKind.P2TR: 1 + 1 + 64}
"""The most that the witness of a spend by one key takes: an ECDSA signature has 72 bytes at most, a BIP-340 one 64."""
_WIDEST: Final = (68, 57)
"""`select_coins` counts 57.5 vB an input; the widest kind here has 68."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction to be signed by the wallet. Fields: inputs; outputs; fee."""

    inputs: tuple[Coin, ...]
    outputs: tuple[TxOut, ...]
    fee: Satoshi

    def serialized(self) -> bytes:
        """Without witnesses."""
        return serialize([(coin.outpoint, SEQUENCE) for coin in self.inputs], self.outputs)

    def txid(self) -> bytes:
        """32 bytes, internal byte order; signing does not change it."""
        return sha256d(self.serialized())

    def check(self, raw: bytes) -> None:
        """Raises `WrongTransaction` unless `raw` is this, signed; `MalformedTransaction` where it is none."""
        parsed = parse_transaction(raw)
        if parsed.txid != self.txid():
            raise WrongTransaction("txid")
        if not all(parsed.witnesses):
            raise WrongTransaction("witnesses")


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    raw: bytes
    vout: int
    inputs: tuple[tuple[bytes, int, bytes, int | None], ...]


@dataclass(frozen=True, slots=True)
class Funding:
    """A signed funding transaction, to be saved before it is broadcast.

    Fields: raw; vout (of the swap's output); inputs (the wallet's coins that it spends).
    """

    raw: bytes
    vout: int
    inputs: tuple[Coin, ...]

    @property
    def txid(self) -> bytes:
        """32 bytes, internal byte order."""
        return parse_transaction(self.raw).txid

    @property
    def outpoint(self) -> OutPoint:
        """The swap's."""
        return OutPoint(self.txid, self.vout)

    @property
    def coin(self) -> Coin:
        """The swap's coin, once this is broadcast."""
        paid = parse_transaction(self.raw).outputs[self.vout]
        return Coin(self.outpoint, paid.value, paid.script)

    @property
    def fee(self) -> Satoshi:
        """What it pays miners."""
        outputs = parse_transaction(self.raw).outputs
        return Satoshi(sum(coin.value for coin in self.inputs) - sum(output.value for output in outputs))

    @property
    def vsize(self) -> int:
        """Virtual bytes."""
        return parse_transaction(self.raw).vsize

    @property
    def change(self) -> Coin | None:
        """What comes back to the wallet; None where nothing does."""
        parsed = parse_transaction(self.raw)
        others = [at for at in range(len(parsed.outputs)) if at != self.vout]
        if not others:
            return None
        (at,) = others
        return Coin(OutPoint(parsed.txid, at), parsed.outputs[at].value, parsed.outputs[at].script)

    def encode(self) -> bytes:
        """As a database keeps it."""
        inputs = tuple((coin.outpoint.serialized(), int(coin.value), coin.script, coin.height) for coin in self.inputs)
        return msgspec.msgpack.encode(_Stored(self.raw, self.vout, inputs))

    @classmethod
    def decode(cls, data: bytes) -> Funding:
        """The inverse of `encode`. Raises `BadInput`."""
        try:
            stored = msgspec.msgpack.decode(data, type=_Stored)
        except msgspec.MsgspecError as error:
            raise BadInput("funding", "cannot be read") from error
        inputs = (
            Coin(OutPoint.parse(point), Satoshi(value), script, None if height is None else BlockHeight(height))
            for point, value, script, height in stored.inputs
        )
        return cls(stored.raw, stored.vout, tuple(inputs))


def spend_vsize(inputs: Sequence[Coin], scripts: Sequence[bytes]) -> int:
    """The most virtual bytes of a transaction that spends coins of one key each. Raises `BadInput` for others."""
    witness = 0
    for coin in inputs:
        kind = script_kind(coin.script)
        if kind not in _WITNESS_BYTES:
            raise BadInput("inputs", f"the coin {coin.outpoint} is no native segregated witness of one key")
        witness += _WITNESS_BYTES[kind]
    return vsize_of(len(inputs), scripts, witness)


def is_usable(coin: Coin) -> bool:
    """Whether a wallet's coin may fund a swap."""
    return script_kind(coin.script) in _WITNESS_BYTES


def funding_draft(
    coins: Sequence[Coin],
    paid: TxOut,
    change: bytes,
    rate: SatPerKvB,
    *,
    required: Sequence[Coin] = (),
    minimum_fee: Satoshi = Satoshi(0),
) -> Draft:
    """A transaction with the swap's output and, where it is no dust, change, in the order of their scripts.

    The order says nothing of which is which.

    Args:
        coins: of the wallet, confirmed; those that are not native segregated witness are passed over.
        paid: the swap's output, exactly.
        change: the wallet's scriptPubKey.
        required: coins that must be in: those of the transaction that it replaces.
        minimum_fee: the whole fee is at least this (see `fees.replacement_fee`).

    Raises:
        InsufficientFunds: the coins do not suffice.
        OutputBelowDust: the swap's amount is dust.
    """
    if paid.value < dust_threshold(paid.script):
        raise OutputBelowDust(0, paid.value, dust_threshold(paid.script))
    usable = [coin for coin in coins if is_usable(coin)]
    scripts = [paid.script, change]
    rest = max(fee_at(rate, spend_vsize([], scripts)), minimum_fee)
    selecting = SatPerKvB(-(-rate * _WIDEST[0] // _WIDEST[1]))
    target = Satoshi(paid.value + rest)
    chosen = select_coins(usable, target, selecting, required=required, inputs_bear_fee=True)
    held = sum(coin.value for coin in chosen)
    left = held - paid.value - max(fee_at(rate, spend_vsize(chosen, scripts)), minimum_fee)
    outputs: tuple[TxOut, ...] = (paid,)
    if left >= dust_threshold(change):
        outputs = tuple(sorted((paid, TxOut(Satoshi(left), change)), key=lambda output: output.script))
    elif held - paid.value < max(fee_at(rate, spend_vsize(chosen, [paid.script])), minimum_fee):
        raise InsufficientFunds(target, Satoshi(held))
    return Draft(chosen, outputs, Satoshi(held - sum(output.value for output in outputs)))


def sweep_draft(
    inputs: Sequence[Coin], destination: bytes, rate: SatPerKvB, *, minimum_fee: Satoshi = Satoshi(0)
) -> Draft:
    """All of `inputs` to one output, less the fee: a child that pays for its parent, or a payment taken back.

    Raises:
        OutputBelowDust: too little is left after the fee.
    """
    fee = max(fee_at(rate, spend_vsize(inputs, [destination])), minimum_fee)
    left = Satoshi(sum(coin.value for coin in inputs) - fee)
    if left < dust_threshold(destination):
        raise OutputBelowDust(0, left, dust_threshold(destination))
    return Draft(tuple(inputs), (TxOut(left, destination),), Satoshi(fee))
