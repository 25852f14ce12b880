"""What a bitcoin ledger is configured with, what it knows of a hold, and how a hold becomes an output."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from adapters.bitcoin.addresses import Network
from adapters.bitcoin.fees import FeePolicy
from adapters.bitcoin.htlc import FIRST_TIME, LAST_TIME, Htlc, unspendable_key
from adapters.bitcoin.primitives import MAX_MONEY, Coin, OutPoint
from adapters.bitcoin.scripts import check_key
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB, UnixMs
from settlement.ledgers.protocol import (
    MEMO_BYTES_MAX,
    Hold,
    HoldState,
    HoldView,
    LedgerAccount,
    LedgerFacts,
    LedgerId,
    TransferId,
)
from settlement.ledgers.sealing import OPEN, RowSealer
from settlement.quantities import HASH_BYTES, Asset, Condition, Preimage, Units, tagged_hash

MS: Final = 1_000
"""Milliseconds in the second in which chains count."""

SCALE: Final = 8
"""Decimal places of a bitcoin."""

USUAL_FEES: Final = FeePolicy(SatPerKvB(1_000), SatPerKvB(500_000), SatPerKvB(5_000))


@dataclass(frozen=True, slots=True)
class BitcoinLedgerConfig:
    """One bitcoin network, as one gateway uses it.

    Fields: ledger_id; asset (of scale 8); network; start_height (no hold is older); confirmations (how many make a
    block final); settle_ms (the longest that a transaction usually takes to be final, in a fee market under stress;
    also what a refund takes after its time-out, for the chain's median time is an hour behind); skew_ms (by which
    clocks differ);
    hold_min (satoshi: a smaller hold would be eaten up by the claim's fee); fees (bounds on rates); bump_blocks (after
    so many blocks an unconfirmed claim or refund bids more); answer_ms (how long a call waits for finality);
    poll_seconds (between two looks at the node); is_refunding (whether own holds are taken back by themselves);
    spends_known_until (up to this block a person has looked at what was spent from the account by another way); sealer
    (of preimages that are not public yet).
    """

    ledger_id: LedgerId
    asset: Asset
    network: Network
    start_height: BlockHeight
    confirmations: int = 3
    settle_ms: int = 3 * 3_600_000
    skew_ms: int = 60_000
    hold_min: Satoshi = Satoshi(20_000)
    fees: FeePolicy = USUAL_FEES
    bump_blocks: int = 2
    answer_ms: int = 6 * 3_600_000
    poll_seconds: float = 1.0
    is_refunding: bool = True
    spends_known_until: BlockHeight = BlockHeight(0)
    sealer: RowSealer = field(default=OPEN, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises `BadInput`."""
        if self.asset.scale != SCALE:
            raise BadInput("ledger.asset", f"has {self.asset.scale} decimals", "bitcoin has 8")
        if self.confirmations < 1 or self.settle_ms <= 0 or self.skew_ms < 0 or self.hold_min < 1:
            raise BadInput("ledger", "a number is negative or nothing", "at least 1")

    @property
    def reveal_ms(self) -> int:
        """How long before a time-out a preimage is shown at the latest: its claim has to be final by then."""
        return self.settle_ms + self.skew_ms

    @property
    def facts(self) -> LedgerFacts:
        """What others have to plan with."""
        return LedgerFacts(self.ledger_id, self.asset, self.settle_ms, self.settle_ms + self.reveal_ms)


@dataclass(frozen=True, slots=True)
class Terms:
    """A hold as both parties know it; the output commits to all of it. Raises `BadInput`.

    Fields: transfer_id, condition (32 bytes each); payer, payee (x-only keys, 32 bytes); amount (satoshi, of the
    output); expires_at (seconds since 1970); memo.
    """

    transfer_id: bytes
    payer: bytes
    payee: bytes
    amount: Satoshi
    condition: bytes
    expires_at: int
    memo: bytes

    def __post_init__(self) -> None:
        if len(self.transfer_id) != HASH_BYTES or len(self.condition) != HASH_BYTES:
            raise BadInput("hold", "transfer id and condition have 32 bytes each")
        check_key("hold.payer", self.payer)
        check_key("hold.payee", self.payee)
        if self.payer == self.payee:
            raise BadInput("hold.payee", "is the payer")
        if not 0 < self.amount <= MAX_MONEY:
            raise BadInput("hold.amount", f"{self.amount} satoshi cannot be")
        if not FIRST_TIME <= self.expires_at <= LAST_TIME:
            raise BadInput("hold.expires_at", f"{self.expires_at} is no time that bitcoin knows")
        if len(self.memo) > MEMO_BYTES_MAX:
            raise BadInput("hold.memo", f"{len(self.memo)} bytes", f"at most {MEMO_BYTES_MAX:,}")

    def htlc(self, network: Network) -> Htlc:
        """The output's terms. Its internal key commits to all that its scripts do not say."""
        commitment = tagged_hash(
            "bitcoin-hold",
            network.genesis,
            self.transfer_id,
            self.amount.to_bytes(8, "big"),
            tagged_hash("bitcoin-memo", self.memo),
        )
        return Htlc(unspendable_key(commitment), self.condition, self.payee, self.payer, self.expires_at)

    @property
    def key(self) -> EntryKey:
        """Whose hold, and which."""
        return self.payer, self.transfer_id


@dataclass(frozen=True, slots=True)
class Entry:
    """A hold as it stands in final blocks.

    Fields: terms; birthday (height of the final block when it was made: its output is in a later one); state (None
    until its output is final); preimage (known if it is fulfilled, or once we have begun to claim); coin (its output);
    held_at, decided_at (the blocks' times); is_waived (we promised never to claim it).
    """

    terms: Terms
    birthday: BlockHeight
    state: HoldState | None = None
    preimage: bytes | None = None
    coin: OutPoint | None = None
    held_at: UnixMs | None = None
    decided_at: UnixMs | None = None
    is_waived: bool = False

    @property
    def key(self) -> EntryKey:
        """Whose hold, and which."""
        return self.terms.key

    @property
    def is_open(self) -> bool:
        """Whether blocks to come may change it."""
        return self.state in (None, HoldState.HELD)

    def output(self, network: Network) -> Coin:
        """The coin that is held. Only for a hold that was final once."""
        assert self.coin is not None, "its output is final"
        return Coin(self.coin, self.terms.amount, self.terms.htlc(network).script)

    def ended(self, state: HoldState, at: UnixMs, preimage: bytes | None = None) -> Entry:
        """This hold at its end."""
        return replace(self, state=state, decided_at=at, preimage=preimage or self.preimage)

    def view(self, state: HoldState | None = None) -> HoldView | None:
        """As the ledger protocol shows it, or as it was when it came to `state`; None before it is final."""
        state = state or self.state
        if state is None or self.held_at is None:
            return None
        terms = self.terms
        hold = Hold(
            TransferId(terms.transfer_id),
            account_text(terms.payer),
            account_text(terms.payee),
            Units(terms.amount),
            Condition(terms.condition),
            UnixMs(terms.expires_at * MS),
            terms.memo,
        )
        preimage = Preimage(self.preimage) if state is HoldState.FULFILLED and self.preimage is not None else None
        return HoldView(hold, state, preimage, self.held_at, None if state is HoldState.HELD else self.decided_at)


EntryKey = tuple[bytes, bytes]
"""Payer (x-only key, 32 bytes) and transfer id (32)."""


def account_text(key: bytes) -> LedgerAccount:
    """An account's name: its x-only key in hex."""
    return LedgerAccount(key.hex())


def parse_account(text: str, field: str = "account") -> bytes:
    """The x-only key of an account. Raises `BadInput`."""
    try:
        key = bytes.fromhex(text) if len(text) == 64 else b""
    except ValueError:
        key = b""
    if not key or key.hex() != text:
        raise BadInput(field, f"{text[:80]!r} is no account", "an x-only key in 64 lower-case hex digits")
    check_key(field, key)
    return key


def terms_of(hold: Hold, hold_min: int) -> Terms:
    """The terms that a hold asks for. Expiries are whole seconds, rounded down. Raises `BadInput`."""
    if hold.amount < hold_min:
        raise BadInput("hold.amount", f"{hold.amount} satoshi are eaten up by fees", f"at least {hold_min:,}")
    return Terms(
        hold.transfer_id,
        parse_account(hold.payer, "hold.payer"),
        parse_account(hold.payee, "hold.payee"),
        Satoshi(hold.amount),
        hold.condition,
        hold.expires_at // MS,
        hold.memo,
    )
