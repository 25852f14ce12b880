"""What an Escrow knows, typed. Accounts, tokens and contracts are 20 bytes; amounts in base units, up to 2**256 - 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from eth_utils.crypto import keccak

from adapters.evm.abi import encode_values
from adapters.evm.escrow.bindings import POINT_TERMS, TERMS
from adapters.evm.lockbox.types import NATIVE_COIN, check_address, check_word
from adapters.native.eip712 import account_of
from foundation.errors import BadInput

MAX_CLAIMS: Final = 64
"""Locks in one `claim_batch`."""

MAX_MEMO: Final = 32_768 + 64
"""Bytes of a memo."""

MAX_NOTE: Final = 1_024
"""Bytes of the memo of a point lock, and of a lock that is made by `EscrowCalls.lock_noted`."""

POINT_LOCK: Final = keccak(text="Causeway: terms of a point lock")
"""Stands before the terms in what a point lock's slot hashes. Source: docs/contracts.md."""

CLAIMED: Final = (1).to_bytes(32, "big")
RETURNED: Final = (2).to_bytes(32, "big")
"""What a lock's slot holds once it has ended."""

_SECONDS: Final = 1 << 63
"""No time-out of ours is as late."""


@dataclass(frozen=True, slots=True)
class Terms:
    """A lock. Raises `BadInput` for fields that do not fit.

    Fields: id (32 bytes, unique among the payer's for ever); payer (who makes the lock); beneficiary; refund_to; asset
    (a token, or `NATIVE_COIN`); amount (above 0); condition (SHA-256 of the preimage, 32 bytes); expires_at (seconds
    since 1970: a block of this time or later pays the beneficiary no more).
    """

    id: bytes
    payer: bytes
    beneficiary: bytes
    refund_to: bytes
    asset: bytes
    amount: int
    condition: bytes
    expires_at: int

    def __post_init__(self) -> None:
        _check_word32(self.condition, "terms.condition")
        _check_lock(self)

    @property
    def tuple(self) -> tuple[bytes, bytes, bytes, bytes, bytes, int, bytes, int]:
        """As the contract's structure."""
        return (
            self.id,
            self.payer,
            self.beneficiary,
            self.refund_to,
            self.asset,
            self.amount,
            self.condition,
            self.expires_at,
        )

    @property
    def is_coin(self) -> bool:
        """Whether it is the chain's own coin that is locked."""
        return self.asset == NATIVE_COIN

    @property
    def hash(self) -> bytes:
        """What the lock's slot holds while it is open, 32 bytes."""
        return keccak(encode_values([TERMS], [self.tuple], "terms"))


@dataclass(frozen=True, slots=True)
class PointTerms:
    """A point lock: claimed by the scalar of a point, not by a preimage. Raises `BadInput` for fields that do not fit.

    Fields: as `Terms`, but for point (the point's account, 20 bytes: see `account_of_point`).
    """

    id: bytes
    payer: bytes
    beneficiary: bytes
    refund_to: bytes
    asset: bytes
    amount: int
    point: bytes
    expires_at: int

    def __post_init__(self) -> None:
        check_address(self.point, "terms.point", zero_allowed=False)
        _check_lock(self)

    @property
    def tuple(self) -> tuple[bytes, bytes, bytes, bytes, bytes, int, bytes, int]:
        """As the contract's structure."""
        return (
            self.id,
            self.payer,
            self.beneficiary,
            self.refund_to,
            self.asset,
            self.amount,
            self.point,
            self.expires_at,
        )

    @property
    def is_coin(self) -> bool:
        """Whether it is the chain's own coin that is locked."""
        return self.asset == NATIVE_COIN

    @property
    def hash(self) -> bytes:
        """What the lock's slot holds while it is open, 32 bytes: of no hash lock, for it begins with another word."""
        return keccak(encode_values(["bytes32", POINT_TERMS], [POINT_LOCK, self.tuple], "terms"))


AnyTerms: TypeAlias = Terms | PointTerms


def account_of_point(point: bytes) -> bytes:
    """The account of a point of secp256k1 (33 bytes, compressed), 20 bytes. Raises `BadInput`."""
    if len(point) != 33:
        raise BadInput("point", f"{len(point)} bytes", "33 bytes, compressed")
    return account_of(point)


def _check_lock(terms: AnyTerms) -> None:
    """Refuse what no lock of either kind can say."""
    _check_word32(terms.id, "terms.id")
    check_address(terms.payer, "terms.payer", zero_allowed=False)
    check_address(terms.beneficiary, "terms.beneficiary", zero_allowed=False)
    check_address(terms.refund_to, "terms.refund_to", zero_allowed=False)
    check_address(terms.asset, "terms.asset")
    check_word(terms.amount, "terms.amount")
    if terms.amount == 0:
        raise BadInput("terms.amount", "is nothing", "more than 0")
    if not 0 < terms.expires_at < _SECONDS:
        raise BadInput("terms.expires_at", f"{terms.expires_at} is no time", "seconds since 1970")


def _check_word32(value: bytes, field: str) -> None:
    if len(value) != 32:
        raise BadInput(field, f"{len(value)} bytes", "32 bytes")
