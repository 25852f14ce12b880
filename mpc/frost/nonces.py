"""Nonces: made fresh, used once, aggregated (BIP-445)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mpc.curve import POINT_BYTES, Point, SecretScalar, point_sum, tagged_hash
from mpc.errors import InvalidContributionError, MalformedInput, NonceReused, RandomnessError

PUBNONCE_BYTES: Final = 66
SECNONCE_BYTES: Final = 64


class SecNonce:
    """Two secret scalars for one signature. Taking them zeroes them; taking them again raises `NonceReused`.

    It can be neither copied nor pickled: two copies would be two uses.
    """

    __slots__ = ("_buffer", "_used")

    def __init__(self, raw: bytes) -> None:
        """Take 64 bytes: both scalars, big-endian. Their range is checked when they are used.

        Raises:
            MalformedInput: not 64 bytes.
        """
        if len(raw) != SECNONCE_BYTES:
            raise MalformedInput("secnonce", f"is not {SECNONCE_BYTES} bytes")
        self._buffer = bytearray(raw)
        self._used = False

    @classmethod
    def from_bytes(cls, raw: bytes) -> SecNonce:
        """The nonce that `expose` gave, 64 bytes. Whoever stored it must have erased it durably before this call."""
        return cls(raw)

    @property
    def used(self) -> bool:
        return self._used

    def expose(self) -> bytes:
        """The secret itself, 64 bytes, for a keystore that keeps it across a restart.

        Raises:
            NonceReused: it was used already.
        """
        if self._used:
            raise NonceReused
        return bytes(self._buffer)

    def erase(self) -> None:
        """Zero it and mark it as used."""
        self._buffer[:] = bytes(SECNONCE_BYTES)
        self._used = True

    def take(self) -> tuple[SecretScalar, SecretScalar]:
        """Both scalars, once: the buffer is zeroed before this returns, whether or not they are in range.

        Raises:
            NonceReused: it was used already.
            MalformedInput: a scalar is zero (as in a buffer that was zeroed) or not below the group order.
        """
        if self._used:
            raise NonceReused
        view = memoryview(self._buffer)
        try:
            return self._parse("first", view[:32]), self._parse("second", view[32:])
        finally:
            self.erase()

    @staticmethod
    def _parse(name: str, part: memoryview) -> SecretScalar:
        try:
            return SecretScalar.nonzero(part)
        except MalformedInput as error:
            raise MalformedInput("secnonce", f"the {name} value is out of range") from error

    def __repr__(self) -> str:
        return f"SecNonce(hidden, used={self._used})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret nonce is neither copied nor serialised")


def nonce_gen(
    secshare: bytes | None,
    pubshare: bytes | None,
    thresh_pk: bytes | None,
    msg: bytes | None,
    extra_in: bytes | None,
    rand: bytes,
) -> tuple[SecNonce, bytes]:
    """Make a nonce: the secret part and the public part (66 bytes).

    `rand`: 32 bytes of fresh, secret randomness, never used twice. All else is defence in depth, should `rand` repeat:
    `secshare` (32 bytes), `pubshare` (33), `thresh_pk` (32, x-only, tweaked), `msg` and `extra_in` of any length.

    Raises:
        MalformedInput: a length is wrong.
        RandomnessError: `rand` is all zero.
    """
    for name, value, length in (("secshare", secshare, 32), ("pubshare", pubshare, 33), ("thresh_pk", thresh_pk, 32)):
        if value is not None and len(value) != length:
            raise MalformedInput(name, f"is not {length} bytes")
    if len(rand) != 32:
        raise MalformedInput("rand", "is not 32 bytes")
    if not any(rand):
        raise RandomnessError
    seed = rand if secshare is None else mask_secret(secshare, rand)
    pubshare, thresh_pk, extra_in = pubshare or b"", thresh_pk or b"", extra_in or b""
    message = b"\x00" if msg is None else b"\x01" + len(msg).to_bytes(8, "big") + msg
    prefix = b"".join(
        (
            seed,
            bytes([len(pubshare)]),
            pubshare,
            bytes([len(thresh_pk)]),
            thresh_pk,
            message,
            len(extra_in).to_bytes(4, "big"),
            extra_in,
        )
    )
    return nonce_from_prefix("BIP0445/nonce", prefix)


def mask_secret(secshare: bytes, rand: bytes) -> bytes:
    """The secret share under a pad from `rand` (32 bytes each), so that hashing it leaks less through side channels."""
    return bytes(a ^ b for a, b in zip(secshare, tagged_hash("BIP0445/aux", rand), strict=True))


def nonce_from_prefix(tag: str, prefix: bytes) -> tuple[SecNonce, bytes]:
    """Derive both scalars of a nonce from hashes of `prefix` and the numbers 0 and 1."""
    scalars = [SecretScalar.reduced(tagged_hash(tag, prefix + bytes([i]))) for i in (0, 1)]
    assert not any(k.is_zero for k in scalars)  # has probability 2**-256
    return SecNonce(b"".join(k.to_bytes() for k in scalars)), b"".join(k.point().to_bytes() for k in scalars)


def parse_pubnonce(pubnonce: bytes) -> tuple[Point, Point]:
    """Both points of a public nonce (66 bytes).

    Raises:
        MalformedInput: the length is wrong, or a half is not a point.
    """
    if len(pubnonce) != PUBNONCE_BYTES:
        raise MalformedInput("pubnonce", f"is not {PUBNONCE_BYTES} bytes")
    return Point.from_bytes(pubnonce[:POINT_BYTES]), Point.from_bytes(pubnonce[POINT_BYTES:])


def nonce_agg(pubnonces: Sequence[bytes], ids: Sequence[int] | None = None) -> bytes:
    """The aggregate (66 bytes) of public nonces (66 bytes each); a half may be infinity, 33 zero bytes.

    `ids`: the signers' identifiers in the same order, to name the one to blame.

    Raises:
        InvalidContributionError: a nonce is not two points; names the signer.
        MalformedInput: the two lists differ in length.
    """
    if ids is not None and len(ids) != len(pubnonces):
        raise MalformedInput("ids", "differs from pubnonces in length")
    parsed = []
    for position, pubnonce in enumerate(pubnonces):
        try:
            parsed.append(parse_pubnonce(pubnonce))
        except MalformedInput as error:
            blamed = None if ids is None else ids[position]
            raise InvalidContributionError(position, "pubnonce", blamed) from error
    return b"".join(point_sum(pair[half] for pair in parsed).to_bytes() for half in (0, 1))
