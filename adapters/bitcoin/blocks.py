"""Reading raw blocks: what they pay to watched scripts, and which watched coins they spend. Pure.

A block of 4 MB is walked in place: only what matches is copied out, and each transaction is hashed once for the Merkle
root, so that a node cannot leave out, add or alter a transaction of a block whose hash we know.

Sources: BIP-141 and BIP-144 (witnesses and their commitment); Bitcoin Core, consensus/merkle.cpp (CVE-2012-2459).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from adapters.bitcoin.errors import MalformedBlock
from adapters.bitcoin.primitives import MAX_MONEY, OutPoint, TxOut, compact_size_length, sha256d
from foundation.quantities import Satoshi

HEADER_BYTES: Final = 80
"""Version, previous block's hash, Merkle root, time, target, nonce."""

_OUTPOINT_BYTES: Final = 36
_NO_OUTPOINT: Final = bytes(32) + b"\xff\xff\xff\xff"
"""What the only input of a coinbase names."""

_COMMITMENT_PREFIX: Final = bytes.fromhex("6a24aa21a9ed")
"""OP_RETURN, a push of 36 bytes, and the mark of a witness commitment (BIP-141); 32 bytes follow."""


class Watchlist:
    """The scripts and outpoints to look for. Not to be changed while it is copied or added to in another thread."""

    __slots__ = ("_outpoints", "_scripts")

    def __init__(self, scripts: Iterable[bytes] = (), outpoints: Iterable[OutPoint] = ()) -> None:
        self._scripts = set(scripts)
        # Serialized, as blocks have them: no object is made for the thousands of inputs that do not match.
        self._outpoints = {point.serialized() for point in outpoints}

    def add_scripts(self, scripts: Iterable[bytes]) -> None:
        """Watch for payments to these scriptPubKeys."""
        self._scripts.update(scripts)

    def discard_scripts(self, scripts: Iterable[bytes]) -> None:
        """Watch these scriptPubKeys no more; those not watched are ignored."""
        self._scripts.difference_update(scripts)

    def add_outpoints(self, outpoints: Iterable[OutPoint]) -> None:
        """Watch for spends of these coins."""
        self._outpoints.update(point.serialized() for point in outpoints)

    def discard_outpoints(self, outpoints: Iterable[OutPoint]) -> None:
        """Watch these coins no more; those not watched are ignored."""
        self._outpoints.difference_update(point.serialized() for point in outpoints)

    def copy(self) -> Watchlist:
        """A watchlist of its own, with the same content."""
        twin = Watchlist()
        twin._scripts, twin._outpoints = set(self._scripts), set(self._outpoints)
        return twin

    @property
    def scripts(self) -> frozenset[bytes]:
        """The watched scripts, copied."""
        return frozenset(self._scripts)

    @property
    def outpoints(self) -> frozenset[OutPoint]:
        """The watched coins, copied."""
        return frozenset(OutPoint.parse(point) for point in self._outpoints)

    def __len__(self) -> int:
        return len(self._scripts) + len(self._outpoints)


@dataclass(frozen=True, slots=True)
class Received:
    """A payment to a watched script.

    Fields: outpoint (the new coin); value; script; is_coinbase (a miner's: no block within 100 may spend it).
    """

    outpoint: OutPoint
    value: Satoshi
    script: bytes
    is_coinbase: bool = False


@dataclass(frozen=True, slots=True)
class Spent:
    """A watched coin was spent.

    Fields: outpoint; spender (txid, 32 bytes, internal byte order); vin (index of the input); witness (its items);
    outputs (of the spender, all).
    """

    outpoint: OutPoint
    spender: bytes
    vin: int
    witness: tuple[bytes, ...]
    outputs: tuple[TxOut, ...]


@dataclass(frozen=True, slots=True)
class BlockMatches:
    """What a block has of interest, in its order."""

    received: tuple[Received, ...] = ()
    spent: tuple[Spent, ...] = ()


@dataclass(frozen=True, slots=True)
class ScannedBlock:
    """A block that was read to its end.

    Fields: hash, previous (32 bytes each, internal byte order); time (of its header, seconds since 1970); matches.
    """

    hash: bytes
    previous: bytes
    time: int
    matches: BlockMatches


@dataclass(slots=True)
class _Transaction:
    """Where a transaction's parts lie. Fields: body, witness (where they begin); inputs (outpoints, 36 bytes each)."""

    start: int
    body: int
    witness: int
    end: int
    segregated: bool
    inputs: list[bytes]
    values: list[int]
    scripts: list[bytes]


def scan_block(raw: bytes, watched: Watchlist) -> ScannedBlock:
    """Find what a serialized block pays to watched scripts and which watched coins it spends.

    A coin that the block makes for a watched script is watched for the transactions after it. `watched` is only read.
    The caller compares the hash with the one it asked for.

    Raises:
        MalformedBlock: truncated or followed by more; sizes not written as short as they can be; no coinbase at its
            beginning, or another one; Merkle root or witness commitment do not fit its transactions.
    """
    try:
        return _scan(raw, watched)
    except IndexError:
        raise MalformedBlock(len(raw), "ends too early") from None


def _scan(raw: bytes, watched: Watchlist) -> ScannedBlock:
    count, at = _size(raw, HEADER_BYTES)
    if count == 0:
        raise MalformedBlock(HEADER_BYTES, "has no transactions")
    finder = _Finder(raw, watched)
    txids: list[bytes] = []
    witness_hashes: list[bytes] = []
    coinbase: _Transaction | None = None
    for _ in range(count):
        transaction = _transaction(raw, at)
        _check_coinbase(transaction, is_first=coinbase is None)
        coinbase = coinbase or transaction
        at = transaction.end
        txids.append(_txid(raw, transaction))
        witness_hashes.append(sha256d(raw[transaction.start : at]) if transaction.segregated else txids[-1])
        finder.look(transaction, txids[-1])
    if at != len(raw):
        raise MalformedBlock(at, f"{len(raw) - at:,} bytes follow its last transaction")
    if _merkle_root(txids) != raw[36:68]:
        raise MalformedBlock(36, "the Merkle root is not that of its transactions")
    assert coinbase is not None, "there is at least one transaction"
    _check_witnesses(raw, coinbase, txids, witness_hashes)
    return ScannedBlock(
        hash=sha256d(raw[:HEADER_BYTES]),
        previous=raw[4:36],
        time=int.from_bytes(raw[68:72], "little"),
        matches=BlockMatches(tuple(finder.received), tuple(finder.spent)),
    )


class _Finder:
    """Collects the matches of one block."""

    def __init__(self, raw: bytes, watched: Watchlist) -> None:
        self._raw = raw
        self._scripts = watched._scripts
        self._outpoints = watched._outpoints
        self._fresh: set[bytes] = set()
        """Outpoints of this block that pay to watched scripts."""
        self.received: list[Received] = []
        self.spent: list[Spent] = []

    def look(self, transaction: _Transaction, txid: bytes) -> None:
        """Most transactions match nothing: both questions are answered without a Python loop."""
        inputs = transaction.inputs
        if not (self._outpoints.isdisjoint(inputs) and self._fresh.isdisjoint(inputs)):
            self._take_spent(transaction, txid)
        if not self._scripts.isdisjoint(transaction.scripts):
            self._take_received(transaction, txid)

    def _take_spent(self, transaction: _Transaction, txid: bytes) -> None:
        outputs = tuple(
            TxOut(_amount(value, transaction.start), script)
            for value, script in zip(transaction.values, transaction.scripts, strict=True)
        )
        witnesses = _witnesses(self._raw, transaction)
        for vin, point in enumerate(transaction.inputs):
            if point in self._outpoints or point in self._fresh:
                self.spent.append(Spent(OutPoint.parse(point), txid, vin, witnesses[vin], outputs))

    def _take_received(self, transaction: _Transaction, txid: bytes) -> None:
        for vout, script in enumerate(transaction.scripts):
            if script in self._scripts:
                coin = OutPoint(txid, vout)
                self._fresh.add(coin.serialized())
                value = _amount(transaction.values[vout], transaction.start)
                self.received.append(Received(coin, value, script, transaction.inputs == [_NO_OUTPOINT]))


def _transaction(raw: bytes, start: int) -> _Transaction:
    """Walk one transaction. Raises `MalformedBlock`, and `IndexError` where the block ends too early."""
    at = start + 4
    segregated = raw[at] == 0  # where the count of inputs would be, which is never 0
    if segregated:
        if raw[at + 1] != 1:
            raise MalformedBlock(at, "a transaction has no inputs, or an unknown marker")
        at += 2
    body = at
    inputs: list[bytes] = []
    count, at = _size(raw, at)
    for _ in range(count):
        inputs.append(raw[at : at + _OUTPOINT_BYTES])
        length, at = _size(raw, at + _OUTPOINT_BYTES)
        at += length + 4
    values: list[int] = []
    scripts: list[bytes] = []
    count, at = _size(raw, at)
    for _ in range(count):
        values.append(int.from_bytes(raw[at : at + 8], "little"))
        length, at = _size(raw, at + 8)
        scripts.append(raw[at : at + length])
        at += length
    if not inputs or not scripts:
        raise MalformedBlock(start, "a transaction has no inputs or no outputs")
    witness = at
    if segregated:
        at = _after_witnesses(raw, at, len(inputs))
    at += 4
    raw[at - 1]  # nothing before this line looked at the last bytes
    return _Transaction(start, body, witness, at, segregated, inputs, values, scripts)


def _after_witnesses(raw: bytes, start: int, inputs: int) -> int:
    """Where the witnesses that begin at `start` end."""
    at = start
    for _ in range(inputs):
        items, at = _size(raw, at)
        for _ in range(items):
            # Not through `_size`: a block may hold millions of empty items.
            length = raw[at]
            at += 1
            if length >= 0xFD:
                length, at = _size(raw, at - 1)
            at += length
    if at == start + inputs:
        raise MalformedBlock(start, "a transaction is marked as having witnesses, and has none")
    return at


def _witnesses(raw: bytes, transaction: _Transaction) -> list[tuple[bytes, ...]]:
    """The witness of each input; empty ones where the transaction has none."""
    if not transaction.segregated:
        return [()] * len(transaction.inputs)
    witnesses = []
    at = transaction.witness
    for _ in transaction.inputs:
        count, at = _size(raw, at)
        items = []
        for _ in range(count):
            length, at = _size(raw, at)
            items.append(raw[at : at + length])
            at += length
        witnesses.append(tuple(items))
    return witnesses


def _size(raw: bytes, at: int) -> tuple[int, int]:
    """A compact size, and where it ends."""
    first = raw[at]
    if first < 0xFD:
        return first, at + 1
    end = at + 1 + (2 << (first - 0xFD))
    raw[end - 1]
    number = int.from_bytes(raw[at + 1 : end], "little")
    if compact_size_length(number) != end - at:
        raise MalformedBlock(at, "a size is written longer than it must be")
    return number, end


def _txid(raw: bytes, transaction: _Transaction) -> bytes:
    """The hash without marker, flag and witnesses (BIP-141)."""
    start, end = transaction.start, transaction.end
    if not transaction.segregated:
        return sha256d(raw[start:end])
    return sha256d(raw[start : start + 4] + raw[transaction.body : transaction.witness] + raw[end - 4 : end])


def _amount(value: int, start: int) -> Satoshi:
    if value > MAX_MONEY:
        raise MalformedBlock(start, f"a transaction pays {value:,} satoshi, more than there can be")
    return Satoshi(value)


def _check_coinbase(transaction: _Transaction, *, is_first: bool) -> None:
    """Raises `MalformedBlock` unless the first transaction, and no other, makes new coins."""
    if is_first and transaction.inputs != [_NO_OUTPOINT]:
        raise MalformedBlock(transaction.start, "the first transaction is no coinbase")
    if not is_first and _NO_OUTPOINT in transaction.inputs:
        raise MalformedBlock(transaction.start, "a transaction after the first is a coinbase")


def _check_witnesses(raw: bytes, coinbase: _Transaction, txids: list[bytes], witness_hashes: list[bytes]) -> None:
    """Compare the witnesses with the coinbase's commitment to them (BIP-141); the txids do not cover them.

    A block without a commitment must have no witnesses. A block with one must have the coinbase's witness, so that
    nobody can strip witnesses off; this holds since segregated witness is active, and the bridge reads no older blocks.
    """
    commitments = [script[6:38] for script in coinbase.scripts if script[:6] == _COMMITMENT_PREFIX and len(script) > 37]
    if not commitments:
        if witness_hashes != txids:
            raise MalformedBlock(coinbase.start, "there are witnesses, and the coinbase does not commit to them")
        return
    (reserved,) = _witnesses(raw, coinbase)
    if len(reserved) != 1 or len(reserved[0]) != 32:
        raise MalformedBlock(coinbase.start, "the coinbase's witness, or every witness, was left out")
    # A transaction's hash with its witness is unknown to itself: the coinbase counts as zero.
    if sha256d(_merkle_root([bytes(32), *witness_hashes[1:]]) + reserved[0]) != commitments[-1]:
        raise MalformedBlock(coinbase.start, "the witnesses are not those that the coinbase commits to")


def _merkle_root(leaves: list[bytes]) -> bytes:
    """The root of a Merkle tree where the last node of an odd level counts twice.

    Raises:
        MalformedBlock: a pair of different places is equal: the same root stands for a list without the repetition
            (CVE-2012-2459).
    """
    level = leaves
    while len(level) > 1:
        if any(left == right for left, right in zip(level[::2], level[1::2], strict=False)):
            raise MalformedBlock(HEADER_BYTES, "transactions are repeated")
        if len(level) % 2:
            level = [*level, level[-1]]
        level = [sha256d(left + right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]
