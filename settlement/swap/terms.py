"""What two people agree on before any money moves, and the one way to write it as bytes.

Two roles, fixed by what a person gives. The initiator gives the EVM asset, chooses the secret, and locks first, until
T1. The follower gives bitcoin and funds second, until T2, which is earlier. Source: seeds/002…, Hash-locking; BIP-199.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from coincurve import PublicKey
from eth_utils.crypto import keccak

from adapters.bitcoin.htlc import FIRST_TIME, LAST_TIME
from adapters.bitcoin.scripts import check_key
from foundation.errors import BadInput
from foundation.quantities import Satoshi, TokenUnits
from registry.caip import ChainId
from settlement.quantities import tagged_hash

TERMS_VERSION: Final = 1
TERMS_BYTES: Final = 399
"""Length of the canonical encoding."""

MAX_SATOSHI: Final = 21_000_000 * 100_000_000
MIN_SATOSHI: Final = 330
"""Dust of a Taproot output: no node relays less (Bitcoin Core's `GetDustThreshold` at its default rate)."""

MAX_CONFIRMATIONS: Final = 10_000
OWN_FINALITY: Final = 0
"""As `EvmLeg.confirmations`: what the chain itself calls final."""
_SECONDS_END: Final = 1 << 40


class Mode(StrEnum):
    """What ties the two legs together: a hash and its preimage, or a point and its discrete logarithm."""

    HASH = "hash"
    POINT = "point"


class Role(StrEnum):
    """Who one is in a swap; whoever made the offer may be either."""

    INITIATOR = "initiator"
    FOLLOWER = "follower"

    @property
    def other(self) -> Role:
        """The counterparty's."""
        return Role.FOLLOWER if self is Role.INITIATOR else Role.INITIATOR


@dataclass(frozen=True, slots=True)
class BitcoinLeg:
    """The Taproot output that the follower funds. Raises `BadInput` for fields that do not fit.

    Fields: chain (`bip122:`); amount (in the output, exactly); claimer, refunder (x-only keys of the initiator and of
    the follower, 32 bytes: K_i, K_f); expires_at (T2, seconds since 1970: the refund is valid once the chain's median
    time past is beyond it, BIP-113); confirmations (that the initiator waits for before it reveals, at least 1).
    """

    chain: ChainId
    amount: Satoshi
    claimer: bytes
    refunder: bytes
    expires_at: int
    confirmations: int

    def __post_init__(self) -> None:
        if self.chain.namespace != "bip122":
            raise BadInput("bitcoin.chain", f"{self.chain} is no bitcoin chain", "a chain of bip122:")
        if not MIN_SATOSHI <= self.amount <= MAX_SATOSHI:
            raise BadInput("bitcoin.amount", f"{self.amount} satoshi", f"{MIN_SATOSHI:,} to {MAX_SATOSHI:,}")
        check_key("bitcoin.claimer", self.claimer)
        check_key("bitcoin.refunder", self.refunder)
        if self.claimer == self.refunder:
            raise BadInput("bitcoin.refunder", "is the claimer's key", "each side uses a key of its own")
        if not FIRST_TIME <= self.expires_at <= LAST_TIME:
            raise BadInput("bitcoin.expires_at", f"{self.expires_at} is no time", f"{FIRST_TIME:,} to {LAST_TIME:,}")
        if not 1 <= self.confirmations <= MAX_CONFIRMATIONS:
            raise BadInput("bitcoin.confirmations", f"{self.confirmations}", f"1 to {MAX_CONFIRMATIONS:,}")


@dataclass(frozen=True, slots=True)
class EvmLeg:
    """The lock that the initiator makes on the Escrow. Raises `BadInput` for fields that do not fit.

    Fields: chain (`eip155:`); escrow (the contract, 20 bytes); lock_id (32 bytes: the claimer's key in hash mode, so
    that recovery finds it; in point mode the x-only form of a key of its own); payer, beneficiary, refund_to (20 bytes,
    not zero); asset (a token, or zero for the coin, 20 bytes); amount (base units, exactly); expires_at (T1, seconds
    since 1970: a block of this time or later pays the beneficiary no more); confirmations (that the follower waits for
    before it funds; `OWN_FINALITY`: until the chain calls it final).
    """

    chain: ChainId
    escrow: bytes
    lock_id: bytes
    payer: bytes
    beneficiary: bytes
    refund_to: bytes
    asset: bytes
    amount: TokenUnits
    expires_at: int
    confirmations: int

    def __post_init__(self) -> None:
        if self.chain.namespace != "eip155":
            raise BadInput("evm.chain", f"{self.chain} is no EVM chain", "a chain of eip155:")
        _length("evm.lock_id", self.lock_id, 32)
        _length("evm.asset", self.asset, 20)
        for field in ("escrow", "payer", "beneficiary", "refund_to"):
            value: bytes = getattr(self, field)
            _length(f"evm.{field}", value, 20)
            if not any(value):
                raise BadInput(f"evm.{field}", "is the address zero", "an account")
        if not 0 < self.amount < 1 << 256:
            raise BadInput("evm.amount", f"{self.amount} base units", "1 to 2**256 - 1")
        if not 0 < self.expires_at < _SECONDS_END:
            raise BadInput("evm.expires_at", f"{self.expires_at} is no time", "seconds since 1970")
        if not 0 <= self.confirmations <= MAX_CONFIRMATIONS:
            raise BadInput("evm.confirmations", f"{self.confirmations}", f"0 to {MAX_CONFIRMATIONS:,}")

    @property
    def is_coin(self) -> bool:
        """Whether it is the chain's own coin that is locked."""
        return not any(self.asset)


@dataclass(frozen=True)  # no slots: the cached properties live in the instance's dictionary
class SwapTerms:
    """A swap, whole. Both sign `swap_id` before money moves. Raises `BadInput` for fields that do not fit together.

    Whether the time-outs are safe is another question: `planning.check`.

    Fields: mode; condition (32 bytes: SHA-256 of the preimage; in point mode twelve zeros and the address of the
    point); point (33 bytes, compressed, in point mode; else empty); offer_id (32 bytes); bitcoin; evm; agreed_at
    (seconds since 1970).
    """

    mode: Mode
    condition: bytes
    point: bytes
    offer_id: bytes
    bitcoin: BitcoinLeg
    evm: EvmLeg
    agreed_at: int

    def __post_init__(self) -> None:
        _length("condition", self.condition, 32)
        _length("offer_id", self.offer_id, 32)
        if self.mode is Mode.POINT:
            if self.condition != point_condition(self.point):
                raise BadInput("condition", "is not that of the point", "twelve zeros and the point's address")
            if self.evm.lock_id == self.bitcoin.claimer:
                raise BadInput("evm.lock_id", "is the claimer's key, which links the legs", "a key of its own")
        else:
            _length("point", self.point, 0)
            if self.evm.lock_id != self.bitcoin.claimer:
                raise BadInput("evm.lock_id", "is not the claimer's key", "recovery finds a lock by that key")
        if not 0 < self.agreed_at < self.bitcoin.expires_at:
            raise BadInput("agreed_at", f"{self.agreed_at} is not before the time-outs", "seconds since 1970")
        if self.bitcoin.expires_at >= self.evm.expires_at:
            problem = f"bitcoin's time-out {self.bitcoin.expires_at} is not before {self.evm.expires_at}"
            raise BadInput("bitcoin.expires_at", problem, "the follower's refund comes before the initiator's")

    @cached_property
    def encoded(self) -> bytes:
        """The canonical encoding, `TERMS_BYTES`: every field at its place with its width, numbers big-endian."""
        bitcoin, evm = self.bitcoin, self.evm
        return b"".join(
            (
                bytes([TERMS_VERSION, _MODES.index(self.mode)]),
                self.condition,
                self.point or bytes(33),
                self.offer_id,
                self.agreed_at.to_bytes(8, "big"),
                bytes.fromhex(bitcoin.chain.reference),
                bitcoin.amount.to_bytes(8, "big"),
                bitcoin.claimer,
                bitcoin.refunder,
                bitcoin.expires_at.to_bytes(8, "big"),
                bitcoin.confirmations.to_bytes(4, "big"),
                int(evm.chain.reference).to_bytes(16, "big"),
                evm.escrow,
                evm.lock_id,
                evm.payer,
                evm.beneficiary,
                evm.refund_to,
                evm.asset,
                evm.amount.to_bytes(32, "big"),
                evm.expires_at.to_bytes(8, "big"),
                evm.confirmations.to_bytes(4, "big"),
            )
        )

    @cached_property
    def swap_id(self) -> bytes:
        """32 bytes: the tagged hash of the canonical encoding. What both sign, and what every letter is bound to."""
        return tagged_hash("swap/terms", self.encoded)

    @classmethod
    def decode(cls, data: bytes) -> SwapTerms:
        """Read the canonical encoding; what it returns encodes to the same bytes.

        Raises:
            BadInput: another length or version, or fields that do not fit.
        """
        if len(data) != TERMS_BYTES:
            raise BadInput("terms", f"{len(data)} bytes", f"{TERMS_BYTES} bytes")
        at = _Cursor(data)
        if (version := at.number(1)) != TERMS_VERSION:
            raise BadInput("terms.version", f"{version} is not known", f"version {TERMS_VERSION}")
        if (mode := at.number(1)) >= len(_MODES):
            raise BadInput("terms.mode", f"{mode} is not known", "0 for hash, 1 for point")
        is_point = _MODES[mode] is Mode.POINT
        condition, point, offer_id, agreed_at = at.take(32), at.take(33), at.take(32), at.number(8)
        if not is_point and any(point):
            raise BadInput("terms.point", "there is one in hash mode", "33 zeros")
        bitcoin = BitcoinLeg(
            chain=ChainId("bip122", at.take(16).hex()),
            amount=Satoshi(at.number(8)),
            claimer=at.take(32),
            refunder=at.take(32),
            expires_at=at.number(8),
            confirmations=at.number(4),
        )
        evm = EvmLeg(
            chain=ChainId("eip155", str(at.number(16))),
            escrow=at.take(20),
            lock_id=at.take(32),
            payer=at.take(20),
            beneficiary=at.take(20),
            refund_to=at.take(20),
            asset=at.take(20),
            amount=TokenUnits(at.number(32)),
            expires_at=at.number(8),
            confirmations=at.number(4),
        )
        return cls(_MODES[mode], condition, point if is_point else b"", offer_id, bitcoin, evm, agreed_at)

    def key_of(self, role: Role) -> bytes:
        """The bitcoin key of a side, x-only, 32 bytes."""
        return self.bitcoin.claimer if role is Role.INITIATOR else self.bitcoin.refunder


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, length: int) -> bytes:
        self._at += length
        return self._data[self._at - length : self._at]

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "big")


_MODES: Final = (Mode.HASH, Mode.POINT)


def point_condition(point: bytes) -> bytes:
    """The condition of a point lock, 32 bytes: twelve zeros and the point's Ethereum address.

    Raises:
        BadInput: `point` is no compressed point of secp256k1 (33 bytes).
    """
    _length("point", point, 33)
    try:
        key = PublicKey(point)
    except ValueError as error:
        raise BadInput("point", "is not on the curve", "33 bytes, compressed") from error
    return bytes(12) + keccak(key.format(compressed=False)[1:])[12:]


def _length(field: str, value: bytes, length: int) -> None:
    if len(value) != length:
        raise BadInput(field, f"{len(value)} bytes", f"{length} bytes")
