"""What a transfer's journey is told with: where it is, what it waits for, whose move it is, what it costs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from adapters.bitcoin.builders import fee_at
from adapters.bitcoin.transactions import key_path_vsize
from bridge.settings import PolicySection, sat_per_kvb
from bridge.storage import BitcoinTransactionRow, JourneyEntry, TransferKind
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB, TokenUnits, UnixMs
from registry.amounts import format_amount
from registry.assets import Asset

BLOCK_MS: Final = 600_000
"""What bitcoin's blocks are apart, on average, where the node has measured nothing."""
_ROLE_END: Final = re.compile("[,:] ")
_SCRIPT: Final = bytes(34)
"""As long as Taproot's, the longest that is paid: storemen reckon so before they know the coins."""


class Mover(StrEnum):
    """Whose move it is."""

    DEPOSITOR = "the depositor"
    MINERS = "bitcoin miners"
    VOUCHERS = "the vouchers"
    STOREMEN = "the storemen"
    OWNER = "the withdrawal's owner"
    CARRIER = "anyone who carries it"
    PAYEE = "the payee"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Unit:
    """How amounts of an asset are shown. Fields: symbol; decimals (None: the asset is not known here, and base units
    are shown); chain (CAIP-2 text of its own chain, empty where that is not known).
    """

    symbol: str
    decimals: int | None
    chain: str = ""

    def show(self, units: int | None) -> str:
        """An amount for people; a dash for None."""
        if units is None:
            return "–"
        if self.decimals is None:
            return f"{units:,} units"
        return format_amount(units, self.decimals, symbol=self.symbol)


BITCOIN: Final = Unit("BTC", 8)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a journey is told from besides the database.

    Fields: policy (of the node); hub_chain_id, hub_address (of the bridge); keys (x-only key by group id, of the groups
    that the node knows); estimate (the bitcoin node's fee rate, None where it was not asked or has none); now; assets
    (what the Registry says of each by id; none where the native chain was not reached).
    """

    policy: PolicySection
    hub_chain_id: int
    hub_address: bytes
    keys: Mapping[bytes, bytes]
    estimate: SatPerKvB | None
    now: UnixMs
    assets: Mapping[bytes, Asset] = field(default_factory=dict)

    def unit(self, asset: bytes, *, is_bitcoin: bool) -> Unit:
        """In what amounts of an asset are shown."""
        known = self.assets.get(asset)
        if known is not None:
            return Unit(known.symbol, known.decimals, known.caip19.partition("/")[0])
        return BITCOIN if is_bitcoin else Unit("", None, "")

    @property
    def wanted_rate(self) -> SatPerKvB:
        """What the storemen would pay now, within their bounds."""
        floor, cap = sat_per_kvb(self.policy.fee_floor), sat_per_kvb(self.policy.fee_cap)
        wanted = sat_per_kvb(self.policy.fee_fallback) if self.estimate is None else self.estimate
        return SatPerKvB(min(max(wanted, floor), cap))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the node stands. Fields: tip (bitcoin's newest block that it has read); interval_ms (between blocks)."""

    tip: BlockHeight
    interval_ms: int


@dataclass(frozen=True, slots=True)
class Depth:
    """Confirmations. Fields: of (what they confirm); have; asked."""

    of: str
    have: int
    asked: int

    @property
    def missing(self) -> int:
        """Blocks that are still to come."""
        return max(self.asked - self.have, 0)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Fields: what (it waits for); mover (whose move it is); next_at_ms (when it is expected; None: nobody knows)."""

    what: str
    mover: Mover
    next_at_ms: UnixMs | None = None


@dataclass(frozen=True, slots=True)
class FeeState:
    """Whether a fee is enough. Fields: text; enough (None: cannot be told); rate (paid); wanted (now); cure (a command
    that helps, empty where nothing has to be done).
    """

    text: str
    enough: bool | None
    rate: SatPerKvB | None = None
    wanted: SatPerKvB | None = None
    cure: str = ""


@dataclass(frozen=True, slots=True)
class TransactionRef:
    """A transaction that belongs to a transfer.

    Fields: role (what it does); chain (bitcoin, native, or an EVM chain's CAIP-2 text); txid (32 bytes; wire order on
    bitcoin); height (of its block, None where it is in none, or where that is not kept); replaced (a fee bump took its
    place).
    """

    role: str
    chain: str
    txid: bytes
    height: BlockHeight | None = None
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class ReclaimOffer:
    """The depositor's way out. Fields: psbt (base64, to be signed by the reclaim key); valid_from; blocks_left; fee;
    destination (scriptPubKey: the reclaim key's own output).
    """

    psbt: str
    valid_from: BlockHeight
    blocks_left: int
    fee: Satoshi
    destination: bytes


@dataclass(frozen=True, slots=True)
class Journey:
    """A transfer's whole story, as one node knows it. Amounts in the asset's base units, which `unit` shows.

    Fields: id; kind; stage; amount; party (deposit: the recipient, withdrawal: the owner; 20 bytes); destination
    (withdrawal: the scriptPubKey, or the account of 20 bytes on an EVM chain, that is paid, else empty); created_at_ms,
    updated_at_ms; payout (its id, if any); transactions; depth; waiting; fee; reclaim; steps (what was told, in order);
    arrives (deposit: what was minted, withdrawal: what the payment that is signed or in a block pays out; None while
    nobody knows); unit; asset (its id).
    """

    id: bytes
    kind: TransferKind
    stage: str
    amount: TokenUnits
    party: bytes
    destination: bytes
    created_at_ms: UnixMs
    updated_at_ms: UnixMs
    payout: bytes | None
    transactions: tuple[TransactionRef, ...]
    depth: Depth | None
    waiting: Waiting
    fee: FeeState | None
    reclaim: ReclaimOffer | None
    steps: tuple[JourneyEntry, ...]
    arrives: TokenUnits | None = None
    unit: Unit = BITCOIN
    asset: bytes = b""

    @property
    def is_bitcoin(self) -> bool:
        """Whether it goes from or to bitcoin."""
        return not self.unit.chain.startswith("eip155:") and self.unit.decimals is not None


def payout_fee(rate: SatPerKvB, inputs: int = 1) -> Satoshi:
    """What a payout of one withdrawal alone costs, spending `inputs` coins of the vault, with change."""
    return fee_at(rate, key_path_vsize(inputs, [_SCRIPT, _SCRIPT]))


def fee_of_transaction(row: BitcoinTransactionRow, around: Surroundings) -> FeeState:
    """Whether a signed, unconfirmed transaction pays enough for now."""
    rate, wanted = SatPerKvB(row.fee * 1000 // row.vsize), around.wanted_rate
    paid = f"pays {_rate(rate)}"
    if around.estimate is None:
        return FeeState(f"{paid}; the bitcoin node has no estimate to compare it with", None, rate, None)
    if rate >= wanted:
        return FeeState(f"{paid}, enough: the node estimates {_rate(around.estimate)}", True, rate, wanted)
    after = around.policy.bump_after_seconds / 60
    text = f"{paid}, less than the {_rate(wanted)} asked now: the storemen raise it {after:.0f} min after the broadcast"
    return FeeState(text, False, rate, wanted)


def mined_soon(what: str, fee: FeeState, place: Place, now: UnixMs) -> Waiting:
    """An unconfirmed transaction waits for a block: the next one, where it pays enough."""
    expected = None if fee.enough is False else in_blocks(1, place, now)
    return Waiting(what, Mover.MINERS, expected)


def in_blocks(blocks: int, place: Place, now: UnixMs) -> UnixMs:
    """When so many more blocks are expected."""
    return UnixMs(now + blocks * place.interval_ms)


def in_a_slot(around: Surroundings, slots: int = 1) -> UnixMs:
    """When a node whose turn it is has acted."""
    return UnixMs(around.now + round(slots * around.policy.slot_seconds * 1000))


def with_told(known: Iterable[TransactionRef], steps: Iterable[JourneyEntry]) -> tuple[TransactionRef, ...]:
    """The transactions with a role, then those that only the journey's notes name; each once.

    A note begins with what the transaction did, up to a comma or colon: that is its role.
    """
    found: dict[tuple[str, bytes], TransactionRef] = {}
    for ref in known:
        found.setdefault((ref.chain, ref.txid), ref)
    for step in steps:
        if step.txid is not None:
            found.setdefault(
                (step.chain, step.txid), TransactionRef(_ROLE_END.split(step.note)[0], step.chain, step.txid)
            )
    return tuple(found.values())


def of_group(rows: Iterable[BitcoinTransactionRow]) -> list[TransactionRef]:
    """The group's own transactions."""
    return [
        TransactionRef(str(row.purpose), "bitcoin", row.txid, row.height, row.replaced_by is not None) for row in rows
    ]


def _rate(rate: SatPerKvB) -> str:
    return f"{rate // 1000}.{rate % 1000 // 100} sat/vB"
