"""Keys, terms and memos of the EVM leg of swaps."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from adapters.evm.escrow.types import AnyTerms, PointTerms, Terms, account_of_point
from adapters.evm.lockbox.types import NATIVE_COIN
from foundation.quantities import BlockHeight, Satoshi
from mpc.curve import SecretScalar
from registry.caip import evm_chain
from registry.chains import Chain
from settlement.swap.evm.memo import HashMemo, PointMemo, Rung
from settlement.swap.evm.site import EscrowSite

T2 = 1_800_000_000
T1 = T2 + 7_200


def secret_of(label: str) -> SecretScalar:
    """A secret key."""
    return SecretScalar.reduced(hashlib.sha256(f"swap {label}".encode()).digest())


def key_of(label: str) -> bytes:
    """Its x-only key."""
    return secret_of(label).point().to_xonly()


def bytes_of(label: str) -> bytes:
    """A preimage, or a scalar, 32 bytes."""
    return secret_of(label).to_bytes()


def account_of(label: str) -> bytes:
    """An account that nobody uses."""
    return hashlib.sha256(f"account {label}".encode()).digest()[:20]


def site_of(number: int = 31_337, escrow: bytes = b"\x10" * 20) -> EscrowSite:
    """An Escrow on a chain."""
    return EscrowSite(Chain.named(evm_chain(number), b"\x01" * 32, 0), escrow, BlockHeight(0))


def hash_terms(lock_id: bytes, label: str = "secret", **other: Any) -> Terms:
    """A lock under the hash of that label's bytes; `other` replaces fields."""
    fields: dict[str, Any] = {
        "id": lock_id,
        "payer": account_of("initiator"),
        "beneficiary": account_of("follower"),
        "refund_to": account_of("initiator"),
        "asset": NATIVE_COIN,
        "amount": 1_000,
        "condition": hashlib.sha256(bytes_of(label)).digest(),
        "expires_at": T1,
    }
    return Terms(**fields | other)


def point_terms(lock_id: bytes, label: str = "secret", **other: Any) -> PointTerms:
    """A lock under the point of that label's scalar."""
    of_hash = hash_terms(lock_id)
    fields: dict[str, Any] = {name: getattr(of_hash, name) for name in PointTerms.__slots__ if name != "point"}
    point = account_of_point(secret_of(label).point().to_bytes())
    return PointTerms(**fields | {"point": point} | other)


@dataclass(frozen=True)
class Sides:
    """The keys of both sides. Fields: namer (names the lock; in hash mode it is the claimer too); claimer; refunder."""

    namer: SecretScalar
    claimer: SecretScalar
    refunder: SecretScalar

    def terms(self, is_hash: bool, **other: Any) -> AnyTerms:
        """The lock of these two."""
        lock_id = self.namer.point().to_xonly()
        return hash_terms(lock_id, **other) if is_hash else point_terms(lock_id, **other)

    def memo(self, is_hash: bool, rungs: int = 3) -> HashMemo | PointMemo:
        """What it tells."""
        refunder = self.refunder.point().to_xonly()
        if is_hash:
            return HashMemo(refunder, T2, Satoshi(100_000_000))
        signed = tuple(Rung(Satoshi(200 * (n + 1)), bytes([2 + n % 2]) + bytes([n]) * 64) for n in range(rungs))
        return PointMemo(
            refunder=refunder,
            claimer=self.claimer.point().to_xonly(),
            bitcoin_expires_at=T2,
            satoshi=Satoshi(100_000_000),
            point=b"\x02" + b"\x0e" * 32,
            outpoint=b"\x0f" * 36,
            payee=b"\x51\x20" + b"\x0d" * 32,
            rungs=signed,
        )


def sides_of(label: str = "") -> Sides:
    """Two people."""
    return Sides(*(secret_of(f"{label} {name}") for name in ("namer", "claimer", "refunder")))
