"""What the initiator tells beside its lock, so that either side finds its swap again from its mnemonic alone.

A memo has two parts. The first, 32 bytes, is the follower's key K_f, hidden by a mask that only the initiator can make.
The second is sealed under what the two share: the secret of the key that names the lock (in hash mode K_i, in point
mode a key of its own) with K_f, or the secret of K_f with the key that names the lock, which everybody sees. So the
initiator learns K_f from the first part and opens the second; the follower opens the second at once. In hash mode it
says T2, and all else follows from the lock; in point mode also K_i, the funding outpoint and the pre-signed claims.

The seal is deterministic authenticated encryption (AES-256-SIV, RFC 5297): no nonce can be used twice, and a lock that
is sent again carries the same bytes. Key and mask depend on chain, Escrow and all of the lock's terms, so that a memo
that is copied beside another lock opens nowhere. Whoever made the lock may have sealed a lie: what a memo says is tried
against the chains, and decides nothing by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from adapters.evm.escrow.types import AnyTerms, Terms
from foundation.errors import BadInput
from foundation.quantities import Satoshi
from mpc.curve import Point, SecretScalar
from mpc.errors import MalformedInput
from settlement.quantities import tagged_hash
from settlement.swap.evm.errors import MemoRefused
from settlement.swap.evm.site import EscrowSite

KEY_BYTES: Final = 32
OUTPOINT_BYTES: Final = 36
PRE_SIGNATURE_BYTES: Final = 65
SCRIPT_BYTES_MAX: Final = 34
"""A Taproot output's script; no other one that wallets use is longer."""
RUNGS_MAX: Final = 8

_TAG_BYTES: Final = 16
_TIME_BYTES: Final = 5
_AMOUNT_BYTES: Final = 7
_POINT_BYTES: Final = 33
_FEE_BYTES: Final = 4
_RUNG_BYTES: Final = _FEE_BYTES + PRE_SIGNATURE_BYTES
_COMMON_BYTES: Final = _TIME_BYTES + _AMOUNT_BYTES
_FIXED_BYTES: Final = _COMMON_BYTES + KEY_BYTES + _POINT_BYTES + OUTPOINT_BYTES + 1 + SCRIPT_BYTES_MAX

HASH_MEMO_BYTES: Final = KEY_BYTES + _TAG_BYTES + _COMMON_BYTES
"""60: a lock of coin with it costs some 53,700 gas."""
POINT_MEMO_BYTES: Final = tuple(
    KEY_BYTES + _TAG_BYTES + _FIXED_BYTES + rungs * _RUNG_BYTES for rungs in range(1, RUNGS_MAX + 1)
)
"""By the number of rungs, from one: 403 bytes for three."""


@dataclass(frozen=True, slots=True)
class HashMemo:
    """Of a swap by a hash.

    Fields: refunder (K_f, x-only, 32 bytes); bitcoin_expires_at (T2, seconds since 1970); satoshi (that were agreed).
    """

    refunder: bytes
    bitcoin_expires_at: int
    satoshi: Satoshi

    def __post_init__(self) -> None:
        """Raises `BadInput` for fields that do not fit."""
        _check_common(self)


@dataclass(frozen=True, slots=True)
class Rung:
    """A pre-signed claim. Fields: fee (satoshi); pre_signature (65 bytes, as `mpc.musig.adaptor`)."""

    fee: Satoshi
    pre_signature: bytes


@dataclass(frozen=True, slots=True)
class PointMemo:
    """Of a private swap.

    Fields: refunder (K_f); claimer (K_i); bitcoin_expires_at (T2, seconds since 1970); satoshi (that were agreed);
    point (33 bytes, compressed); outpoint (of the funding, as in a transaction: txid in internal order and index, 36
    bytes); payee (the script that the claims pay to, up to 34 bytes); rungs (at least one, at most eight).
    """

    refunder: bytes
    claimer: bytes
    bitcoin_expires_at: int
    satoshi: Satoshi
    point: bytes
    outpoint: bytes
    payee: bytes
    rungs: tuple[Rung, ...]

    def __post_init__(self) -> None:
        """Raises `BadInput` for fields that do not fit."""
        _check_common(self)
        _check_length("memo.claimer", self.claimer, KEY_BYTES)
        _check_length("memo.point", self.point, _POINT_BYTES)
        _check_length("memo.outpoint", self.outpoint, OUTPOINT_BYTES)
        if not 0 < len(self.payee) <= SCRIPT_BYTES_MAX:
            raise BadInput("memo.payee", f"{len(self.payee)} bytes", f"1 to {SCRIPT_BYTES_MAX} bytes")
        if not 1 <= len(self.rungs) <= RUNGS_MAX:
            raise BadInput("memo.rungs", f"there are {len(self.rungs)}", f"1 to {RUNGS_MAX}")
        for rung in self.rungs:
            _check_length("memo.rungs.pre_signature", rung.pre_signature, PRE_SIGNATURE_BYTES)
            if not 0 <= rung.fee < 1 << 8 * _FEE_BYTES:
                raise BadInput("memo.rungs.fee", f"{rung.fee} satoshi", "0 to 2**32 - 1")


Memo: TypeAlias = HashMemo | PointMemo


def seal_memo(site: EscrowSite, terms: AnyTerms, memo: Memo, secret: SecretScalar) -> bytes:
    """The bytes that go beside the lock: `HASH_MEMO_BYTES`, or one of `POINT_MEMO_BYTES`. The same for the same.

    Args:
        site: where the lock is made.
        terms: the lock's.
        memo: of the terms' kind.
        secret: of the key whose x-only form is `terms.id`.

    Raises:
        BadInput: the memo is of the other kind, or a key is none, or not that of the lock.
    """
    if isinstance(memo, HashMemo) is not isinstance(terms, Terms):
        raise BadInput("memo", "is of the other kind", "a HashMemo for Terms, a PointMemo for PointTerms")
    even = _even(secret)
    if even.point().to_xonly() != terms.id:
        raise BadInput("secret", "is not that of the key that names the lock")
    context = _context(site, terms)
    try:
        cipher = _cipher(even, memo.refunder, context)
    except MalformedInput as error:
        raise BadInput("memo.refunder", "is no x-only key") from error
    hidden = _masked(memo.refunder, even, context)
    return hidden + cipher.encrypt(_body(memo), [hidden])


def open_as_payer(site: EscrowSite, terms: AnyTerms, data: bytes, secret: SecretScalar) -> Memo:
    """What the initiator told itself. `secret`: of the key whose x-only form is `terms.id`. Raises `MemoRefused`."""
    _check_size(terms, data)
    even = _even(secret)
    if even.point().to_xonly() != terms.id:
        raise MemoRefused("the lock is named by another key")
    context = _context(site, terms)
    refunder = _masked(data[:KEY_BYTES], even, context)
    return _opened(terms, data, even, refunder, refunder, context)


def open_as_beneficiary(site: EscrowSite, terms: AnyTerms, data: bytes, secret: SecretScalar) -> Memo:
    """What the initiator told the follower. `secret`: of K_f. Raises `MemoRefused`: it is not for this key, or a lie.

    One multiplication on the curve, whoever sent whatever.
    """
    _check_size(terms, data)
    even = _even(secret)
    return _opened(terms, data, even, terms.id, even.point().to_xonly(), _context(site, terms))


def _opened(terms: AnyTerms, data: bytes, secret: SecretScalar, other: bytes, refunder: bytes, context: bytes) -> Memo:
    hidden, sealed = data[:KEY_BYTES], data[KEY_BYTES:]
    try:
        body = _cipher(secret, other, context).decrypt(sealed, [hidden])
    except MalformedInput as error:
        raise MemoRefused("it holds no key") from error
    except InvalidTag as error:
        raise MemoRefused("it is not for this key, or was changed") from error
    try:
        return _read(isinstance(terms, Terms), body, refunder)
    except BadInput as error:
        raise MemoRefused(str(error)) from error


def _body(memo: Memo) -> bytes:
    common = memo.bitcoin_expires_at.to_bytes(_TIME_BYTES, "big") + memo.satoshi.to_bytes(_AMOUNT_BYTES, "big")
    if isinstance(memo, HashMemo):
        return common
    payee = bytes([len(memo.payee)]) + memo.payee.ljust(SCRIPT_BYTES_MAX, b"\0")
    rungs = (rung.fee.to_bytes(_FEE_BYTES, "big") + rung.pre_signature for rung in memo.rungs)
    return b"".join((common, memo.claimer, memo.point, memo.outpoint, payee, *rungs))


def _read(is_hash: bool, body: bytes, refunder: bytes) -> Memo:
    """The inverse of `_body`, whose length was checked. Raises `BadInput`."""
    time, satoshi = (
        int.from_bytes(body[:_TIME_BYTES], "big"),
        Satoshi(int.from_bytes(body[_TIME_BYTES:_COMMON_BYTES], "big")),
    )
    if is_hash:
        return HashMemo(refunder, time, satoshi)
    at = _COMMON_BYTES
    claimer, at = body[at : at + KEY_BYTES], at + KEY_BYTES
    point, at = body[at : at + _POINT_BYTES], at + _POINT_BYTES
    outpoint, at = body[at : at + OUTPOINT_BYTES], at + OUTPOINT_BYTES
    length, script = body[at], body[at + 1 : at + 1 + SCRIPT_BYTES_MAX]
    if any(script[length:]):
        raise BadInput("memo.payee", "has bytes behind its end")
    rungs = (body[start : start + _RUNG_BYTES] for start in range(_FIXED_BYTES, len(body), _RUNG_BYTES))
    return PointMemo(
        refunder,
        claimer,
        time,
        satoshi,
        point,
        outpoint,
        script[:length],
        tuple(Rung(Satoshi(int.from_bytes(one[:_FEE_BYTES], "big")), one[_FEE_BYTES:]) for one in rungs),
    )


def _even(secret: SecretScalar) -> SecretScalar:
    """Of the two secrets of an x-only key the one whose point has an even y: so both sides share the same point."""
    return secret if secret.point().has_even_y else secret.negate()


def _context(site: EscrowSite, terms: AnyTerms) -> bytes:
    chain, kind = site.chain.caip2.encode(), type(terms).__name__.encode()
    return tagged_hash("swap/memo/1", chain, site.escrow, kind, terms.hash)


def _masked(key: bytes, secret: SecretScalar, context: bytes) -> bytes:
    mask = tagged_hash("swap/memo/mask/1", secret.to_bytes(), context)
    return bytes(one ^ other for one, other in zip(key, mask, strict=True))


def _cipher(secret: SecretScalar, other: bytes, context: bytes) -> AESSIV:
    """Raises `MalformedInput`: `other` is no x-only key."""
    shared = secret.ecdh(Point.from_xonly(other))
    key = HKDF(SHA256(), 64, salt=context, info=b"causeway/swap/memo/seal/1").derive(shared)
    return AESSIV(key)


def _check_size(terms: AnyTerms, data: bytes) -> None:
    fits = len(data) == HASH_MEMO_BYTES if isinstance(terms, Terms) else len(data) in POINT_MEMO_BYTES
    if not fits:
        raise MemoRefused(f"no memo of this kind has {len(data)} bytes")


def _check_common(memo: Memo) -> None:
    _check_length("memo.refunder", memo.refunder, KEY_BYTES)
    if not 0 < memo.bitcoin_expires_at < 1 << 8 * _TIME_BYTES:
        raise BadInput("memo.bitcoin_expires_at", f"{memo.bitcoin_expires_at} is no time", "seconds since 1970")
    if not 0 < memo.satoshi < 1 << 8 * _AMOUNT_BYTES:
        raise BadInput("memo.satoshi", f"{memo.satoshi} satoshi", "an amount of bitcoin")


def _check_length(field: str, value: bytes, length: int) -> None:
    if len(value) != length:
        raise BadInput(field, f"{len(value)} bytes", f"{length} bytes")
