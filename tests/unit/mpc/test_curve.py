"""Points and scalars over libsecp256k1, above all where zero and infinity need care."""

import copy
import pickle
from hashlib import sha256

import pytest

from mpc.curve import (
    INFINITY,
    G,
    N,
    Point,
    SecretScalar,
    ffi,
    inverse_all,
    multi_mul,
    point_sum,
    public_base_mul,
    scalar_from_bytes,
    scalar_to_bytes,
    secret_sum,
    tagged_hash,
)
from mpc.errors import MalformedInput


def secret(value):
    return SecretScalar((value % N).to_bytes(32, "big"))


def value_of(scalar):
    return int.from_bytes(scalar.to_bytes(), "big")


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        bytes(33),
        b"\x04" + bytes(32),
        b"\x02" + bytes(31),
        b"\x02" + bytes(31) + b"\x05",
        b"\x02" + b"\xff" * 32,
        b"\x04" + bytes(64),
    ],
)
def test_what_is_no_point_is_refused(encoded):
    """Only 33 bytes in compressed form that name a point of the curve are a point."""
    with pytest.raises(MalformedInput):
        Point.from_bytes(encoded)


def test_infinity():
    """Infinity is 33 zero bytes where it is allowed, and the neutral element."""
    assert Point.from_bytes_or_infinity(bytes(33)) is INFINITY
    assert INFINITY.to_bytes() == bytes(33)
    assert G - G == INFINITY
    assert point_sum(()) == INFINITY
    assert G + INFINITY == G == INFINITY + G
    assert INFINITY * 5 == INFINITY == G * 0 == G * N == -INFINITY
    assert public_base_mul(0) == INFINITY


def test_points_compute():
    """Sums, differences and multiples agree with multiples of the generator."""
    assert G + G == G * 2 == 2 * G == public_base_mul(2)
    assert G * 5 - G * 7 == -(G * 2)
    assert multi_mul((3, N - 1, 0), (G, G * 2, G * 9)) == G
    assert len({G, G * 1, G * (N + 1)}) == 1
    assert G != G * 2
    assert G != "G"


def test_points_survive_copies():
    """Copied and pickled points, infinity included, are equal to the original."""
    for point in (G * 3, INFINITY):
        assert copy.deepcopy(point) == point == pickle.loads(pickle.dumps(point))


def test_parity_and_xonly():
    """A point and its negation share x; the lifted one has an even y."""
    point = G * 7
    assert point.to_xonly() == (-point).to_xonly()
    assert point.has_even_y != (-point).has_even_y
    assert Point.from_xonly(point.to_xonly()).has_even_y


@pytest.mark.parametrize("value", [bytes(31), bytes(33), N.to_bytes(32, "big"), b"\xff" * 32])
def test_scalars_out_of_range(value):
    """Scalars of a wrong length or not below the order are refused, secret or public."""
    with pytest.raises(MalformedInput):
        SecretScalar(value)
    with pytest.raises(MalformedInput):
        scalar_from_bytes(value)


def test_secret_zero():
    """Zero is a secret scalar, with infinity as its point, and is refused where it must not be."""
    zero = SecretScalar()
    assert zero.is_zero
    assert zero.point() == INFINITY
    with pytest.raises(MalformedInput):
        SecretScalar.nonzero(bytes(32))


@pytest.mark.parametrize(("a", "b"), [(0, 0), (0, 5), (5, 0), (5, -5), (5, 7), (N - 1, 2)])
def test_secret_sums_through_zero(a, b):
    """Sums, differences and negations are right where libsecp256k1 refuses a zero operand or result."""
    assert value_of(secret(a).add(secret(b))) == (a + b) % N
    assert value_of(secret(a).subtract(secret(b))) == (a - b) % N
    assert value_of(secret(a).add_public(b)) == (a + b) % N
    assert value_of(secret(a).mul_public(b)) == a * b % N
    assert value_of(secret(a).negate()) == -a % N
    assert value_of(secret_sum([secret(a), secret(b), secret(a)])) == (2 * a + b) % N


def test_reduced():
    """A hash at or above the order is taken modulo the order."""
    assert value_of(SecretScalar.reduced(b"\xff" * 32)) == (2**256 - 1) % N
    assert SecretScalar.reduced(N.to_bytes(32, "big")).is_zero
    assert value_of(SecretScalar.reduced((N - 1).to_bytes(32, "big"))) == N - 1


def test_secrets_hide_and_go():
    """A secret scalar shows nothing, is not serialised, and is zero after it is erased."""
    scalar = secret(123456789)
    assert "123456789" not in repr(scalar)
    assert scalar.to_bytes().hex() not in repr(scalar)
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(scalar)
    twin = scalar.copy()
    scalar.erase()
    assert scalar.is_zero
    assert value_of(twin) == 123456789


def test_a_dropped_secret_is_zeroed():
    """The buffer of a secret scalar that nobody holds any more is zero."""
    scalar = secret(123456789)
    buffer = scalar.raw
    del scalar
    assert bytes(ffi.buffer(buffer)) == bytes(32)


def test_ecdh_agrees():
    """Both sides of a key exchange get the same 32 bytes."""
    a, b = secret(11), secret(13)
    assert a.ecdh(b.point()) == b.ecdh(a.point())
    assert len(a.ecdh(b.point())) == 32


def test_inverse_all():
    """All inverses at once are the inverses one by one."""
    values = [1, 2, N - 1, 123456789]
    assert inverse_all(values) == [pow(value, -1, N) for value in values]
    assert inverse_all([]) == []


def test_tagged_hash_is_the_one_of_bip340():
    """The tagged hash equals its definition, also when a tag is used again."""
    tag = sha256(b"BIP0340/challenge").digest()
    for message in (b"", b"message"):
        assert tagged_hash("BIP0340/challenge", message) == sha256(tag + tag + message).digest()


def test_scalar_bytes():
    """Public scalars go to bytes modulo the order and come back."""
    assert scalar_to_bytes(-1) == (N - 1).to_bytes(32, "big")
    assert scalar_from_bytes(scalar_to_bytes(5)) == 5
