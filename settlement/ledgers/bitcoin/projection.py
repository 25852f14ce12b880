"""What a final block makes of the holds and coins that we know. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from adapters.bitcoin.addresses import Network
from adapters.bitcoin.follower import Connected
from adapters.bitcoin.primitives import Coin, OutPoint
from foundation.quantities import UnixMs
from settlement.ledgers.bitcoin.types import MS, Entry, EntryKey
from settlement.ledgers.protocol import HoldState


@dataclass(frozen=True, slots=True)
class News:
    """A hold came to stand as `state` says."""

    key: EntryKey
    state: HoldState


@dataclass(frozen=True, slots=True)
class MinerFee:
    """What the end of a hold cost us. Fields: key (unique on the ledger); paid (satoshi)."""

    key: str
    paid: int


@dataclass(frozen=True, slots=True)
class Projection:
    """What a block changed. Fields: entries (as they are after it); news (in order); received, spent (own coins);
    fees (of claims and refunds that paid to us).
    """

    entries: tuple[Entry, ...]
    news: tuple[News, ...]
    received: tuple[Coin, ...]
    spent: tuple[OutPoint, ...]
    fees: tuple[MinerFee, ...] = ()


def project(entries: Mapping[EntryKey, Entry], own_script: bytes, network: Network, block: Connected) -> Projection:
    """Apply a final block to the open holds and to our own coins.

    An output makes a hold only if it pays exactly its amount, and only the first one does; what else is paid to the
    same script is nobody's hold.
    """
    by_script = {entry.terms.htlc(network).script: key for key, entry in entries.items()}
    by_coin = {entry.coin: key for key, entry in entries.items() if entry.coin is not None}
    now: dict[EntryKey, Entry] = dict(entries)
    changed: dict[EntryKey, None] = {}
    news: list[News] = []
    received: list[Coin] = []
    spent: list[OutPoint] = []
    fees: list[MinerFee] = []
    height, time = block.block.height, UnixMs(block.time * MS)

    def tell(entry: Entry, state: HoldState) -> None:
        now[entry.key] = entry
        changed[entry.key] = None
        news.append(News(entry.key, state))

    # Beginnings before ends: a hold may begin and end in one block.
    for output in block.matches.received:
        if output.script == own_script:
            # A miner's reward matures later than anything waits for; it is no coin of a settlement account.
            if not output.is_coinbase:
                received.append(Coin(output.outpoint, output.value, output.script, height))
            continue
        entry = now[by_script[output.script]] if output.script in by_script else None
        if entry is not None and entry.state is None and output.value == entry.terms.amount:
            held = replace(entry, state=HoldState.HELD, coin=output.outpoint, held_at=time)
            by_coin[output.outpoint] = entry.key
            tell(held, HoldState.HELD)
    for spend in block.matches.spent:
        key = by_coin.get(spend.outpoint)
        if key is None:
            spent.append(spend.outpoint)
            continue
        preimage = now[key].terms.htlc(network).preimage_in(spend.witness)
        state = HoldState.EXPIRED if preimage is None else HoldState.FULFILLED
        tell(now[key].ended(state, time, preimage), state)
        ours = sum(output.value for output in spend.outputs if output.script == own_script)
        if ours:
            fees.append(MinerFee(f"end:{spend.outpoint.serialized().hex()}", now[key].terms.amount - ours))
    return Projection(tuple(now[key] for key in changed), tuple(news), tuple(received), tuple(spent), tuple(fees))
