"""What an Escrow knows, typed. Accounts, tokens and contracts are 20 bytes; amounts in base units, up to 2**256 - 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from eth_utils.crypto import keccak

from adapters.evm.abi import encode_values
from adapters.evm.escrow.bindings import TERMS
from adapters.evm.lockbox.types import NATIVE_COIN, check_address, check_word
from foundation.errors import BadInput

MAX_CLAIMS: Final = 64
"""Locks in one `claim_batch`."""

MAX_MEMO: Final = 32_768 + 64
"""Bytes of a memo."""

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
        for field, value in (("terms.id", self.id), ("terms.condition", self.condition)):
            if len(value) != 32:
                raise BadInput(field, f"{len(value)} bytes", "32 bytes")
        check_address(self.payer, "terms.payer", zero_allowed=False)
        check_address(self.beneficiary, "terms.beneficiary", zero_allowed=False)
        check_address(self.refund_to, "terms.refund_to", zero_allowed=False)
        check_address(self.asset, "terms.asset")
        check_word(self.amount, "terms.amount")
        if self.amount == 0:
            raise BadInput("terms.amount", "is nothing", "more than 0")
        if not 0 < self.expires_at < _SECONDS:
            raise BadInput("terms.expires_at", f"{self.expires_at} is no time", "seconds since 1970")

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
