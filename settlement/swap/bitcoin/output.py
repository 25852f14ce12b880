"""The Taproot output that the follower funds, in both modes, and how to read what spent it.

Hash mode: key path both sides together; leaves for the claim (preimage and the initiator's key) and for the refund
(the follower's key, after T2). Point mode: the same key path, and the refund's leaf alone: the claim is a key-path
spend whose signature reveals the secret. A key-path spend looks like any payment.

Sources: BIP-341, BIP-342, BIP-327 (the aggregate of both keys, in the order initiator, follower), BIP-199.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Final

from adapters.bitcoin.builders import return_transaction
from adapters.bitcoin.htlc import Htlc, HtlcSpend, PointLock, TimedOutput, htlc_spend, spend_vsize, without_annex
from adapters.bitcoin.primitives import Coin
from adapters.bitcoin.scripts import check_key
from adapters.bitcoin.taproot import tap_tweak
from adapters.bitcoin.transactions import SIGNATURE_BYTES, UnsignedTx
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB
from mpc.curve import SecretScalar
from mpc.musig import KeyAggregate, with_even_y
from settlement.swap.terms import Mode, Role, SwapTerms

__all__ = ["Path", "Reading", "SwapOutput", "output_of"]

_NO_FEE: Final = Satoshi(0)


class Path(StrEnum):
    """How an output of a swap was spent."""

    KEY = "key"
    """By both sides together: in point mode the claim, or a refund that both signed."""
    CLAIM = "claim"
    """By the preimage and the initiator's key."""
    REFUND = "refund"
    """By the follower's key, after the time-out."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a witness shows. Fields: path; preimage (32 bytes, of a claim); signature (64 bytes, of a key path)."""

    path: Path
    preimage: bytes = b""
    signature: bytes = b""


@dataclass(frozen=True)  # no slots: the cached properties live in the instance's dictionary
class SwapOutput:
    """The output of one swap. Both sides compute it alone. Raises `BadInput` for fields that do not fit.

    Fields: mode; claimer, refunder (x-only keys of the initiator and the follower, 32 bytes); condition (SHA-256 of the
    preimage, 32 bytes; not in the output in point mode); expires_at (T2, seconds since 1970, as median time past).
    """

    mode: Mode
    claimer: bytes
    refunder: bytes
    condition: bytes
    expires_at: int

    def __post_init__(self) -> None:
        check_key("claimer", self.claimer)
        check_key("refunder", self.refunder)
        if self.claimer == self.refunder:
            raise BadInput("refunder", "is the claimer's key", "each side uses a key of its own")
        assert self.lock.script, "the lock has checked the rest"

    @cached_property
    def internal(self) -> KeyAggregate:
        """Both keys as one, before the tweak."""
        return KeyAggregate.of([b"\x02" + self.claimer, b"\x02" + self.refunder])

    @cached_property
    def signing(self) -> KeyAggregate:
        """Both keys as one, with the tree's tweak: what the key path is signed under."""
        return self.internal.tweaked(tap_tweak(self.internal.xonly_key, self.lock.merkle_root))

    @cached_property
    def lock(self) -> TimedOutput:
        """The output as the bitcoin adapter has it."""
        internal = self.internal.xonly_key
        if self.mode is Mode.POINT:
            return PointLock(internal, self.refunder, self.expires_at)
        return Htlc(internal, self.condition, self.claimer, self.refunder, self.expires_at)

    @property
    def script(self) -> bytes:
        """scriptPubKey, 34 bytes."""
        return self.lock.script

    def key_of(self, role: Role) -> bytes:
        """A side's key, x-only."""
        return self.claimer if role is Role.INITIATOR else self.refunder

    def position_of(self, role: Role) -> int:
        """A side's place among those that sign the key path."""
        return 0 if role is Role.INITIATOR else 1

    def secret_of(self, role: Role, secret: bytes) -> SecretScalar:
        """A side's secret key (32 bytes) as the key path is signed with it. Raises `BadInput` for another's."""
        scalar = with_even_y(SecretScalar.nonzero(secret))
        if scalar.point().to_xonly() != self.key_of(role):
            raise BadInput("key", "is not the one that these terms name")
        return scalar

    # --- Transactions, each with one input and one output, and replaceable by fee (BIP-125) ---

    def by_key(self, coin: Coin, destination: bytes, rate: SatPerKvB, *, minimum_fee: Satoshi = _NO_FEE) -> UnsignedTx:
        """Spend by key path: a claim or a refund that both sign. Raises `BadInput`, `OutputBelowDust`."""
        self.check_coin(coin)
        return return_transaction(coin, destination, rate, minimum_fee=minimum_fee)

    def claim(
        self, coin: Coin, destination: bytes, rate: SatPerKvB, preimage: bytes, *, minimum_fee: Satoshi = _NO_FEE
    ) -> HtlcSpend:
        """Claim by the preimage. Raises `BadInput` (point mode, a wrong preimage or coin), `OutputBelowDust`."""
        if self.mode is Mode.HASH and not self.opens(preimage):
            raise BadInput("preimage", "does not hash to the condition")
        self.check_coin(coin)
        return htlc_spend(self.lock, coin, destination, rate, preimage=preimage, minimum_fee=minimum_fee)

    def refund(self, coin: Coin, destination: bytes, rate: SatPerKvB, *, minimum_fee: Satoshi = _NO_FEE) -> HtlcSpend:
        """Refund by script; valid once the median time past is beyond T2. Raises `BadInput`, `OutputBelowDust`."""
        self.check_coin(coin)
        return htlc_spend(self.lock, coin, destination, rate, minimum_fee=minimum_fee)

    def refund_vsize(self, destination: bytes) -> int:
        """Virtual bytes of a refund by script."""
        return spend_vsize(self.lock, destination, is_claim=False)

    def claim_vsize(self, destination: bytes) -> int:
        """Virtual bytes of a claim by script. Raises `BadInput` in point mode, which has none."""
        return spend_vsize(self.lock, destination, is_claim=True)

    def check_coin(self, coin: Coin) -> None:
        """Raises `BadInput` for a coin of another script."""
        if coin.script != self.script:
            raise BadInput("coin", f"{coin.outpoint} is not that of this swap")

    # --- What a spend shows ---

    def opens(self, preimage: bytes) -> bool:
        """Whether a preimage is that of the condition, hash mode. Not told apart by time."""
        digest = hashlib.sha256(preimage).digest()
        return len(preimage) == 32 and hmac.compare_digest(digest, self.condition)

    def read(self, witness: Sequence[bytes]) -> Reading:
        """What a witness that spent this output shows. One that consensus would not accept is not foreseen."""
        items = tuple(witness)
        if isinstance(self.lock, Htlc):
            preimage = self.lock.preimage_in(items)
            if preimage is not None:
                return Reading(Path.CLAIM, preimage=preimage)
        if self.lock.is_refund(items):
            return Reading(Path.REFUND)
        stripped = without_annex(items)
        # Beyond 64 bytes there is a byte that says what was signed (BIP-341).
        signature = stripped[0][:SIGNATURE_BYTES] if len(stripped) == 1 else b""
        return Reading(Path.KEY, signature=signature)


@lru_cache(maxsize=1024)
def _output(mode: Mode, claimer: bytes, refunder: bytes, condition: bytes, expires_at: int) -> SwapOutput:
    return SwapOutput(mode, claimer, refunder, condition, expires_at)


def output_of(terms: SwapTerms) -> SwapOutput:
    """The output that terms ask for; kept for a while, since each look at the chain asks for it."""
    leg = terms.bitcoin
    return _output(terms.mode, leg.claimer, leg.refunder, terms.condition, leg.expires_at)
