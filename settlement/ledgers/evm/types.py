"""What an EVM ledger is configured with, and what it knows of a lock."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from eth_utils.address import to_checksum_address

from adapters.evm.escrow.types import Terms
from adapters.evm.lockbox.types import NATIVE_COIN, check_address
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, UnixMs
from registry.chains import Chain
from settlement.ledgers.protocol import Hold, HoldState, HoldView, LedgerAccount, LedgerFacts, LedgerId, TransferId
from settlement.ledgers.sealing import OPEN, RowSealer
from settlement.quantities import MAX_UNITS, Asset, Condition, Preimage, Units

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)

MS: Final = 1_000
"""Milliseconds in the second in which chains count."""


@dataclass(frozen=True, slots=True)
class EvmLedgerConfig:
    """One asset on one chain.

    Fields: ledger_id; asset (code and scale as the gateway counts); chain (its number, genesis and rule of finality, to
    which nodes are held); escrow (20 bytes); start_block (the one in which the Escrow was deployed); token (20 bytes;
    `NATIVE_COIN` for the chain's own coin); decimals (of the token, at least the asset's scale); settle_ms (the longest
    that a transaction usually takes to be final); skew_ms (the most by which block times and our clock differ); payers
    (whose holds for us count; None: anybody's); answer_ms (how long a call waits for finality before it says that
    nothing is known); poll_seconds (between two looks for new final blocks); is_refunding (whether own holds are
    taken back by themselves once their time-out has passed); sealer (of preimages that are not public yet).
    """

    ledger_id: LedgerId
    asset: Asset
    chain: Chain
    escrow: bytes
    start_block: BlockHeight
    token: bytes = NATIVE_COIN
    decimals: int = 18
    settle_ms: int = 15 * 60_000
    skew_ms: int = 15_000
    payers: frozenset[LedgerAccount] | None = None
    answer_ms: int = 30 * 60_000
    poll_seconds: float = 1.0
    is_refunding: bool = True
    sealer: RowSealer = field(default=OPEN, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises `BadInput`."""
        check_address(self.escrow, "ledger.escrow", zero_allowed=False)
        check_address(self.token, "ledger.token")
        if not self.asset.scale <= self.decimals <= 255:
            cure = f"{self.asset.scale} to 255, as the token says"
            raise BadInput("ledger.decimals", f"{self.decimals} are fewer than the asset's scale", cure)
        if self.settle_ms <= 0 or self.skew_ms < 0 or self.answer_ms <= 0:
            raise BadInput("ledger", "a time is negative or nothing", "milliseconds above 0")

    @property
    def factor(self) -> int:
        """The token's base units in one of the asset's."""
        return int(10 ** (self.decimals - self.asset.scale))

    @property
    def reveal_ms(self) -> int:
        """How long before a time-out a preimage is shown at the latest: its claim has to be final by then."""
        return self.settle_ms + self.skew_ms

    @property
    def facts(self) -> LedgerFacts:
        """What others have to plan with: a hold lives until it is final, and long enough after that to be claimed."""
        return LedgerFacts(self.ledger_id, self.asset, self.settle_ms, self.settle_ms + self.reveal_ms)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock as final blocks have it.

    Fields: terms; memo; state; preimage (known if it is fulfilled, or once we have begun to claim); held_at, decided_at
    (the blocks' times).
    """

    terms: Terms
    memo: bytes
    state: HoldState
    preimage: bytes | None
    held_at: UnixMs
    decided_at: UnixMs | None

    @property
    def key(self) -> LockKey:
        """How the contract names it."""
        return self.terms.payer, self.terms.id

    def view(self, factor: int, state: HoldState | None = None) -> HoldView:
        """As the ledger protocol shows it, or as it was shown when it came to `state`."""
        state = state or self.state
        ended = state is not HoldState.HELD
        return HoldView(
            Hold(
                TransferId(self.terms.id),
                account_text(self.terms.payer),
                account_text(self.terms.beneficiary),
                # Rounded down: what is below a base unit is nobody's promise.
                Units(min(self.terms.amount // factor, MAX_UNITS)),
                Condition(self.terms.condition),
                UnixMs(self.terms.expires_at * MS),
                self.memo,
            ),
            state,
            Preimage(self.preimage) if state is HoldState.FULFILLED and self.preimage is not None else None,
            self.held_at,
            self.decided_at if ended else None,
        )


LockKey = tuple[bytes, bytes]
"""Payer (20 bytes) and id (32)."""


def account_text(address: bytes) -> LedgerAccount:
    """An address of 20 bytes as EIP-55 writes it."""
    return LedgerAccount(to_checksum_address(address))


def parse_account(text: str, field: str = "account") -> bytes:
    """The 20 bytes of an address. Mixed case has to be EIP-55's checksum.

    Raises:
        BadInput: no address, the zero address, or mistyped.
    """
    if not _ADDRESS.fullmatch(text):
        raise BadInput(field, f"{text[:80]!r} is no EVM address", "0x and 40 hex digits")
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and to_checksum_address(text) != text:
        raise BadInput(field, f"{text} is mistyped: its checksum is wrong", "copy it anew (EIP-55)")
    address = bytes.fromhex(digits)
    check_address(address, field, zero_allowed=False)
    return address
