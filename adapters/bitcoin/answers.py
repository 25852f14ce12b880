"""The RPC answers that we read, as types: decoded strictly, amounts exactly, errors naming the field that is wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar

import msgspec

from adapters.bitcoin.errors import BadAnswer
from adapters.bitcoin.primitives import MAX_MONEY, BlockRef
from foundation.quantities import Satoshi

_T = TypeVar("_T")

_Count = Annotated[int, msgspec.Meta(ge=0)]
_Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]

_SATOSHI_DIGITS: Final = 8
"""Digits after the point of an amount in BTC."""

_WHERE = re.compile(r"^(?P<problem>.*?)(?: - at `(?:key in )?\$(?P<path>.*)`)?$", re.DOTALL)
"""How msgspec ends its messages."""


@dataclass(frozen=True, slots=True)
class Header:
    """A block's header and its place.

    Fields: block; previous (32 bytes, internal byte order; zeros for block 0); time (seconds since 1970);
    confirmations (1 for the tip, -1 where the block is not in the active chain); median_time (seconds: the median of
    this block's time and the ten before it, with which the next block's time locks are compared, BIP-113).
    """

    block: BlockRef
    previous: bytes
    time: int
    confirmations: int
    median_time: int


@dataclass(frozen=True, slots=True)
class MempoolEntry:
    """An unconfirmed transaction.

    Fields: txid (32 bytes, internal byte order); vsize (virtual bytes); fee; descendants_vsize (of it and of all that
    spend its outputs); descendants_fee (of the same: what a replacement has to exceed); ancestor_vsize, ancestor_fee
    (of it and of all unconfirmed that it spends from); time (when it came, seconds since 1970).
    """

    txid: bytes
    vsize: int
    fee: Satoshi
    descendants_vsize: int
    descendants_fee: Satoshi
    ancestor_vsize: int
    ancestor_fee: Satoshi
    time: int


class RpcError(msgspec.Struct, frozen=True):
    """The error in an answer."""

    code: int
    message: str


class Reply(msgspec.Struct, frozen=True):
    """The answer to one call: JSON-RPC 2.0, or 1.1 as older nodes speak it. `id` is None where the node read no id."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    error: RpcError | None = None
    id: int | None = None


class ChainInfo(msgspec.Struct, frozen=True):
    """`getblockchaininfo`."""

    blocks: _Count
    bestblockhash: _Hash


class BlockHeader(msgspec.Struct, frozen=True):
    """`getblockheader`."""

    hash: _Hash
    height: _Count
    time: _Count
    confirmations: Annotated[int, msgspec.Meta(ge=-1)]
    mediantime: _Count
    previousblockhash: _Hash = "0" * 64


class EntryFees(msgspec.Struct, frozen=True):
    """The fees in `getmempoolentry`."""

    base: Decimal
    ancestor: Decimal
    descendant: Decimal


class Entry(msgspec.Struct, frozen=True):
    """`getmempoolentry`."""

    vsize: _Count
    time: _Count
    descendantsize: _Count
    ancestorsize: _Count
    fees: EntryFees


class OutputScript(msgspec.Struct, frozen=True):
    """The script in `gettxout`."""

    hex: str


class Output(msgspec.Struct, frozen=True):
    """`gettxout`."""

    bestblock: _Hash
    confirmations: _Count
    value: Decimal
    script: OutputScript = msgspec.field(name="scriptPubKey")


class Spender(msgspec.Struct, frozen=True):
    """One outpoint in `gettxspendingprevout`; without a spender where the mempool has none."""

    txid: _Hash
    vout: _Count
    spendingtxid: _Hash | None = None


class FeeEstimate(msgspec.Struct, frozen=True):
    """`estimatesmartfee`; without a rate where the node has seen too little."""

    feerate: Decimal | None = None


class MempoolInfo(msgspec.Struct, frozen=True):
    """`getmempoolinfo`. Older nodes tell the incremental fee elsewhere."""

    mempoolminfee: Decimal
    minrelaytxfee: Decimal
    incrementalrelayfee: Decimal | None = None


class NetworkInfo(msgspec.Struct, frozen=True):
    """`getnetworkinfo`."""

    incrementalfee: Decimal


class Acceptance(msgspec.Struct, frozen=True):
    """One transaction in `testmempoolaccept`."""

    txid: _Hash
    allowed: bool = False
    reason: str = msgspec.field(name="reject-reason", default="")


Hash = _Hash
"""A txid or block hash as an answer of its own."""


def decode(method: str, body: bytes | msgspec.Raw, kind: type[_T]) -> _T:
    """Read an answer's JSON as `kind`. Raises `BadAnswer` naming the field."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        field, problem = _located(str(error))
        raise BadAnswer(method, field, problem) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(method, "body", f"is no JSON: {error}") from error


def decode_any(method: str, body: bytes | msgspec.Raw) -> Any:
    """Read an answer's JSON as it is; fractions become `Decimal`, never a float. Raises `BadAnswer`."""
    try:
        return msgspec.json.Decoder(float_hook=Decimal).decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(method, "body", f"is no JSON: {error}") from error


def decode_hex(method: str, text: str, field: str = "result") -> bytes:
    """The bytes of a hex field. Raises `BadAnswer`."""
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise BadAnswer(method, field, "is not hex") from error


def satoshi(method: str, field: str, btc: Decimal) -> Satoshi:
    """An amount in BTC (or a rate in BTC per 1,000 vB) in base units, exact. Raises `BadAnswer`."""
    # Bounds first: 1e999999 would become a number of a million digits.
    if not (btc.is_finite() and 0 <= btc <= MAX_MONEY):
        raise BadAnswer(method, field, f"{btc} BTC cannot be")
    amount = int(btc.scaleb(_SATOSHI_DIGITS))
    # Compared, not subtracted: a comparison of decimals is exact, whatever their length.
    if amount > MAX_MONEY or Decimal(amount).scaleb(-_SATOSHI_DIGITS) != btc:
        raise BadAnswer(method, field, f"{btc} BTC is no amount in whole satoshi")
    return Satoshi(amount)


def _located(message: str) -> tuple[str, str]:
    """The dotted path and the problem in a message of msgspec: "Expected `int`, got `str` - at `$.fees.base`"."""
    found = _WHERE.match(message)
    assert found is not None, "the pattern matches any text"
    return (found["path"] or "").lstrip(".") or "result", found["problem"]
