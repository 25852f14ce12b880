"""Transactions: built to be signed by key path, serialized, parsed strictly, and checked once they are signed.

Sources: BIP-141 and BIP-144 (witnesses, weight), BIP-125 (sequence numbers), BIP-341 (signature hashes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from coincurve import PublicKeyXOnly

from adapters.bitcoin._wally import TaprootHasher
from adapters.bitcoin.errors import BadSignature, MalformedTransaction, WrongTransaction
from adapters.bitcoin.primitives import MAX_MONEY, Coin, OutPoint, TxOut, compact_size, compact_size_length, sha256d
from adapters.bitcoin.scripts import ScriptKind, script_kind
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB

VERSION: Final = 2
"""Version of the transactions that we build: the first one with relative time locks (BIP-68)."""

SEQUENCE: Final = 0xFFFFFFFD
"""Sequence number of our inputs: may be replaced by fee (BIP-125), no time lock."""

SIGNATURE_BYTES: Final = 64
"""A BIP-340 signature under SIGHASH_DEFAULT, the whole witness of a key-path spend."""

_FIXED_BYTES = 8
"""Version and lock time."""
_INPUT_BYTES = 41
"""Outpoint, empty signature script, sequence number."""
_LEAST_OUTPUT_BYTES = 9


@dataclass(frozen=True, slots=True)
class UnsignedTx:
    """A transaction of version 2 with lock time 0, whose inputs are Taproot coins spent by key path.

    Fields: inputs (the coins it spends, in order); outputs.
    """

    inputs: tuple[Coin, ...]
    outputs: tuple[TxOut, ...]

    def __post_init__(self) -> None:
        """Raises `BadInput`: nothing in or out, a coin twice or of another kind, amounts that cannot be."""
        if not self.inputs or not self.outputs:
            raise BadInput("transaction", "has no inputs or no outputs")
        if len({coin.outpoint for coin in self.inputs}) != len(self.inputs):
            raise BadInput("inputs", "a coin is named twice")
        for coin in self.inputs:
            if script_kind(coin.script) is not ScriptKind.P2TR:
                raise BadInput("inputs", f"the coin {coin.outpoint} is no Taproot output")
        for amount in (*(coin.value for coin in self.inputs), *(output.value for output in self.outputs)):
            if not 0 <= amount <= MAX_MONEY:
                raise BadInput("transaction", f"an amount of {amount} satoshi cannot be")
        if self.fee < 0:
            raise BadInput("outputs", "pay more than the inputs hold")

    @property
    def fee(self) -> Satoshi:
        """What is left to the miner."""
        return Satoshi(sum(coin.value for coin in self.inputs) - sum(output.value for output in self.outputs))

    @property
    def vsize(self) -> int:
        """Virtual bytes once it is signed."""
        return key_path_vsize(len(self.inputs), [output.script for output in self.outputs])

    @property
    def fee_rate(self) -> SatPerKvB:
        """The fee for 1,000 virtual bytes, rounded down."""
        return SatPerKvB(self.fee * 1000 // self.vsize)

    def serialized(self) -> bytes:
        """As in a block, without witnesses."""
        return serialize(self._spends(), self.outputs)

    def txid(self) -> bytes:
        """32 bytes, internal byte order; signing does not change it."""
        return sha256d(self.serialized())

    def sighashes(self) -> tuple[bytes, ...]:
        """What the signature of each input signs: 32 bytes each, SIGHASH_DEFAULT (BIP-341)."""
        scripts = [coin.script for coin in self.inputs]
        hasher = TaprootHasher(self.serialized(), scripts, [coin.value for coin in self.inputs])
        return tuple(hasher.key_path(index) for index in range(len(self.inputs)))

    def signed(self, signatures: Sequence[bytes]) -> bytes:
        """The transaction to broadcast, with a signature (64 bytes) for each input, in order.

        Raises:
            BadInput: there are more or fewer signatures than inputs.
            BadSignature: one does not hold for the output key of its coin.
        """
        if len(signatures) != len(self.inputs):
            raise BadInput("signatures", f"{len(signatures)} for {len(self.inputs)} inputs")
        pairs = zip(self.inputs, self.sighashes(), signatures, strict=True)
        for index, (coin, sighash, signature) in enumerate(pairs):
            if not schnorr_holds(coin.script[2:], sighash, signature):
                raise BadSignature(index)
        return serialize(self._spends(), self.outputs, [(signature,) for signature in signatures])

    def _spends(self) -> list[tuple[OutPoint, int]]:
        return [(coin.outpoint, SEQUENCE) for coin in self.inputs]


@dataclass(frozen=True, slots=True)
class ParsedTx:
    """A transaction as it was serialized.

    Fields: txid, wtxid (32 bytes, internal byte order; equal where there are no witnesses); version; locktime;
    inputs; sequences, signature_scripts, witnesses (one for each input; a witness is a tuple of items, empty where the
    input has none); outputs; vsize.
    """

    txid: bytes
    wtxid: bytes
    version: int
    locktime: int
    inputs: tuple[OutPoint, ...]
    sequences: tuple[int, ...]
    signature_scripts: tuple[bytes, ...]
    witnesses: tuple[tuple[bytes, ...], ...]
    outputs: tuple[TxOut, ...]
    vsize: int


def key_path_vsize(inputs: int, scripts: Sequence[bytes]) -> int:
    """Virtual bytes of a signed transaction with `inputs` key-path spends and outputs to `scripts`."""
    return vsize_of(inputs, scripts, inputs * (2 + SIGNATURE_BYTES))


def vsize_of(inputs: int, scripts: Sequence[bytes], witness_bytes: int) -> int:
    """Virtual bytes (BIP-141) of a segregated transaction; `witness_bytes`: of all inputs' witnesses, serialized."""
    counts = compact_size_length(inputs) + compact_size_length(len(scripts))
    outputs = sum(8 + compact_size_length(len(script)) + len(script) for script in scripts)
    base = _FIXED_BYTES + counts + inputs * _INPUT_BYTES + outputs
    return _vsize(base, base + 2 + witness_bytes)


def schnorr_holds(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a BIP-340 signature (64 bytes) of `message` holds for an x-only `key`; False for anything malformed."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        return bool(PublicKeyXOnly(key).verify(signature, message))
    except ValueError:  # not a point: nobody can sign for it
        return False


def serialize(
    spends: Sequence[tuple[OutPoint, int]], outputs: Sequence[TxOut], witnesses: Sequence[Sequence[bytes]] | None = None
) -> bytes:
    """A transaction of version 2 with lock time 0 and empty signature scripts (BIP-144).

    Args:
        spends: each input's outpoint and sequence number.
        witnesses: the items of each input's witness; None for the form without witnesses.
    """
    parts = [VERSION.to_bytes(4, "little"), b"" if witnesses is None else b"\x00\x01", compact_size(len(spends))]
    parts += [point.serialized() + b"\x00" + sequence.to_bytes(4, "little") for point, sequence in spends]
    parts.append(compact_size(len(outputs)))
    parts += [serialize_output(output) for output in outputs]
    for witness in witnesses or ():
        parts.append(compact_size(len(witness)))
        parts += [compact_size(len(item)) + item for item in witness]
    return b"".join((*parts, bytes(4)))


def serialize_output(output: TxOut) -> bytes:
    """Value (8 bytes, little-endian), length of the script, script."""
    return output.value.to_bytes(8, "little") + compact_size(len(output.script)) + output.script


def check_signed(unsigned: UnsignedTx, raw: bytes) -> None:
    """Is `raw` the signed form of `unsigned`, exactly?

    Raises:
        MalformedTransaction: `raw` is no transaction.
        WrongTransaction: it is another one; the error names the first field that differs.
        BadSignature: an input's signature does not hold.
    """
    parsed = parse_transaction(raw)
    count = len(unsigned.inputs)
    expected = {
        "version": (parsed.version, VERSION),
        "inputs": (parsed.inputs, tuple(coin.outpoint for coin in unsigned.inputs)),
        "sequences": (parsed.sequences, (SEQUENCE,) * count),
        "signature_scripts": (parsed.signature_scripts, (b"",) * count),
        "outputs": (parsed.outputs, unsigned.outputs),
        "locktime": (parsed.locktime, 0),
    }
    for field, (found, wanted) in expected.items():
        if found != wanted:
            raise WrongTransaction(field)
    assert parsed.txid == unsigned.txid(), "all that a txid commits to is equal"
    for index, witness in enumerate(parsed.witnesses):
        if not witness:
            raise BadSignature(index)
        if len(witness) != 1:
            raise WrongTransaction("witnesses")
    if unsigned.signed([witness[0] for witness in parsed.witnesses]) != raw:
        raise WrongTransaction("serialization")


def parse_transaction(raw: bytes) -> ParsedTx:
    """Read a serialized transaction, with or without witnesses, to its last byte.

    Raises:
        MalformedTransaction: truncated or followed by more; sizes not written as short as they can be; no inputs or
            outputs; a coin twice; amounts that cannot be; marked as having witnesses without any.
    """
    reader = _Reader(raw)
    version = reader.number(4)
    segregated = raw[4:5] == b"\x00"  # where the count of inputs would be, which is never 0
    if segregated and reader.take(2) != b"\x00\x01":
        raise MalformedTransaction("no inputs, or an unknown marker")
    start = reader.offset
    inputs = [reader.input() for _ in range(reader.count(_INPUT_BYTES))]
    outputs = tuple(reader.output() for _ in range(reader.count(_LEAST_OUTPUT_BYTES)))
    end = reader.offset
    witnesses = tuple(reader.witness() if segregated else () for _ in inputs)
    locktime = reader.number(4)
    if reader.offset != len(raw):
        raise MalformedTransaction(f"{len(raw) - reader.offset} bytes follow its end")
    if segregated and not any(witnesses):
        raise MalformedTransaction("is marked as having witnesses, and has none")
    points = tuple(point for point, _, _ in inputs)
    _check_parts(points, outputs)
    stripped = raw[:4] + raw[start:end] + raw[-4:]
    return ParsedTx(
        txid=sha256d(stripped),
        wtxid=sha256d(raw),
        version=version,
        locktime=locktime,
        inputs=points,
        sequences=tuple(sequence for _, _, sequence in inputs),
        signature_scripts=tuple(script for _, script, _ in inputs),
        witnesses=witnesses,
        outputs=outputs,
        vsize=_vsize(len(stripped), len(raw)),
    )


def _check_parts(inputs: Sequence[OutPoint], outputs: Sequence[TxOut]) -> None:
    """Consensus rules that need no chain (Bitcoin Core, consensus/tx_check.cpp)."""
    if not inputs or not outputs:
        raise MalformedTransaction("has no inputs or no outputs")
    if len(set(inputs)) != len(inputs):
        raise MalformedTransaction("spends a coin twice")
    if max(output.value for output in outputs) > MAX_MONEY or sum(output.value for output in outputs) > MAX_MONEY:
        raise MalformedTransaction("pays more than there can be")


def _vsize(base: int, total: int) -> int:
    """BIP-141: a quarter of the weight, rounded up; bytes outside of witnesses weigh 4, witness bytes 1."""
    return -(-(base * 3 + total) // 4)


class _Reader:
    """Reads a transaction front to back. Every method raises `MalformedTransaction` where the bytes end too early."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.offset = 0

    def take(self, length: int) -> bytes:
        end = self.offset + length
        if end > len(self._raw):
            raise MalformedTransaction(f"ends within {length} bytes that begin at byte {self.offset}")
        part = self._raw[self.offset : end]
        self.offset = end
        return part

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "little")

    def size(self) -> int:
        """A compact size, which must be as short as it can be."""
        first = self.number(1)
        if first < 0xFD:
            return first
        length = 2 << (first - 0xFD)
        size = self.number(length)
        if compact_size_length(size) != 1 + length:
            raise MalformedTransaction(f"a size is written longer than it must be, before byte {self.offset}")
        return size

    def count(self, least_bytes: int) -> int:
        """How many parts of at least `least_bytes` follow; refused at once where they cannot all be there."""
        count = self.size()
        if count * least_bytes > len(self._raw) - self.offset:
            raise MalformedTransaction(f"announces {count} parts before byte {self.offset}, and ends before them")
        return count

    def script(self) -> bytes:
        return self.take(self.size())

    def input(self) -> tuple[OutPoint, bytes, int]:
        """Outpoint, signature script, sequence number."""
        return OutPoint(self.take(32), self.number(4)), self.script(), self.number(4)

    def output(self) -> TxOut:
        return TxOut(Satoshi(self.number(8)), self.script())

    def witness(self) -> tuple[bytes, ...]:
        return tuple(self.script() for _ in range(self.count(1)))
