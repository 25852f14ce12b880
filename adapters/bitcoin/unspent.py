"""The unspent coins on given scripts, read from a bitcoin node's set of coins: no wallet, no index, no old blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec

from adapters.bitcoin import answers
from adapters.bitcoin.errors import BadAnswer, RpcRefused
from adapters.bitcoin.primitives import BlockRef, Coin, OutPoint, parse_hash
from adapters.bitcoin.rpc import BitcoinRpc
from foundation.errors import Retryable
from foundation.quantities import BlockHeight

SCAN_SECONDS: Final = 1800.0
"""How long a node may take to read its whole set of unspent coins: minutes on the main network."""
_METHOD: Final = "scantxoutset"
_SCAN_RUNS: Final = -8

_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Found(msgspec.Struct, frozen=True):
    txid: answers.Hash
    vout: _Count
    script: str = msgspec.field(name="scriptPubKey")
    amount: Decimal
    height: _Count


class _Scan(msgspec.Struct, frozen=True):
    success: bool
    unspents: list[_Found]
    height: _Count
    bestblock: answers.Hash


class ScanBusy(Retryable):
    """The bitcoin node is searching its coins for somebody else; it does one search at a time."""


@dataclass(frozen=True, slots=True)
class Unspent:
    """Confirmed coins that nobody has spent in the chain, as of the block `tip`."""

    coins: tuple[Coin, ...]
    tip: BlockRef


async def unspent_on(rpc: BitcoinRpc, scripts: Sequence[bytes]) -> Unspent:
    """All unspent coins on `scripts`, read from the node's set of unspent coins; oldest first.

    It takes minutes on the main network: give `rpc` a time-out of `SCAN_SECONDS`.

    Raises:
        ScanBusy: the node searches already.
        What `BitcoinRpc` raises.
    """
    try:
        answer = await rpc.call(_METHOD, "start", [f"raw({script.hex()})" for script in scripts])
    except RpcRefused as refused:
        if refused.code == _SCAN_RUNS:
            raise ScanBusy("the bitcoin node is already searching its coins") from refused
        raise
    found = _decoded(answer)
    wanted = set(scripts)
    coins = [_coin(index, one) for index, one in enumerate(found.unspents)]
    if any(coin.script not in wanted for coin in coins):
        raise BadAnswer(_METHOD, "unspents", "has a coin that was not asked for")
    tip = BlockRef(BlockHeight(found.height), parse_hash(found.bestblock))
    return Unspent(tuple(sorted(coins, key=lambda c: (c.height or 0, c.outpoint))), tip)


def _decoded(answer: Any) -> _Scan:
    try:
        found = msgspec.convert(answer, _Scan)
    except msgspec.ValidationError as error:
        raise BadAnswer(_METHOD, "result", str(error)) from error
    if not found.success:
        raise BadAnswer(_METHOD, "success", "is false: the search was aborted")
    return found


def _coin(index: int, found: _Found) -> Coin:
    field = f"unspents[{index}]"
    value = answers.satoshi(_METHOD, f"{field}.amount", found.amount)
    script = answers.decode_hex(_METHOD, found.script, f"{field}.scriptPubKey")
    return Coin(OutPoint(parse_hash(found.txid), found.vout), value, script, BlockHeight(found.height))
