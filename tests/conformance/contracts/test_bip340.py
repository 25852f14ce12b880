"""`contracts/src/bip340.vy` against the vectors of BIP-340, and against libsecp256k1."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import boa
import pytest
from boa.contracts.vyper.vyper_contract import VyperContract
from coincurve import PrivateKey, PublicKeyXOnly
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.native_contracts import ORDER, even_y

ROOT = Path(__file__).resolve().parents[3]
VECTORS = ROOT.parent / "shared" / "vectors" / "bip340" / "test-vectors.csv"
FIELD = 2**256 - 2**32 - 977
GAS_LIMIT = 5_000

SECRET = hashlib.sha256(b"secret").digest()
KEY = PublicKeyXOnly.from_secret(SECRET).format()
MESSAGE = hashlib.sha256(b"message").digest()
SIGNATURE = PrivateKey(SECRET).sign_schnorr(MESSAGE, bytes(32))


@pytest.fixture(scope="module")
def harness() -> VyperContract:
    """The module behind an external function."""
    return boa.load(str(ROOT / "tests" / "support" / "vyper" / "bip340_harness.vy"))


def vector_rows() -> list[dict[str, str]]:
    """The vectors whose message is 32 bytes long: the library takes no other."""
    if not VECTORS.is_file():
        return []
    with VECTORS.open(newline="") as file:
        return [row for row in csv.DictReader(file) if len(row["message"]) == 64]


def hint(rx: bytes) -> bytes:
    """The right hint, or any where the curve has no point with this x coordinate."""
    try:
        return even_y(rx)
    except ValueError:
        return bytes(31) + b"\x02"


def accepts(harness: VyperContract, key: bytes, message: bytes, signature: bytes, ry: bytes | None = None) -> bool:
    """What the contract says; with the right hint where none is given."""
    ry = hint(signature[:32]) if ry is None else ry
    valid, _ = harness.verify(key, message, signature[:32], signature[32:], ry)
    return bool(valid)


def flipped(value: bytes, bit: int) -> bytes:
    """The same bytes with one bit changed."""
    return (int.from_bytes(value, "big") ^ 1 << bit).to_bytes(len(value), "big")


@pytest.mark.skipif(not VECTORS.is_file(), reason="../shared/vectors is not there")
@pytest.mark.parametrize("row", vector_rows(), ids=lambda row: f"{row['index']} {row['comment'][:40]}")
def test_vector_is_judged_as_bip340_says(harness: VyperContract, row: dict[str, str]) -> None:
    """Each published vector with a 32-byte message gets the verdict that BIP-340 gives it."""
    key, message, signature = (bytes.fromhex(row[name]) for name in ("public key", "message", "signature"))
    assert accepts(harness, key, message, signature) == (row["verification result"] == "TRUE")


@pytest.mark.skipif(not VECTORS.is_file(), reason="../shared/vectors is not there")
def test_vectors_that_fit_are_the_fifteen_of_the_first_edition() -> None:
    """No vector is passed over by accident: 15 have a message of 32 bytes."""
    assert len(vector_rows()) == 15


@pytest.mark.parametrize(
    "ry",
    [
        pytest.param(bytes(32), id="zero"),
        pytest.param((FIELD - int.from_bytes(even_y(SIGNATURE[:32]), "big")).to_bytes(32, "big"), id="odd twin"),
        pytest.param(flipped(even_y(SIGNATURE[:32]), 1), id="not on the curve"),
        pytest.param((2**256 - 1).to_bytes(32, "big"), id="above the field"),
        pytest.param(FIELD.to_bytes(32, "big"), id="the field's prime"),
    ],
)
def test_wrong_hint_is_refused(harness: VyperContract, ry: bytes) -> None:
    """A valid signature is refused with any hint but the even y of its x; nothing reverts."""
    assert accepts(harness, KEY, MESSAGE, SIGNATURE)
    assert not accepts(harness, KEY, MESSAGE, SIGNATURE, ry)


def test_signature_whose_point_has_an_odd_y_is_refused(harness: VyperContract) -> None:
    """With an odd R the equation holds, and the odd hint fits; BIP-340 refuses it all the same ("Verification")."""
    secret, nonce = (int.from_bytes(hashlib.sha256(label).digest(), "big") for label in (b"even", b"nonce"))
    points = {}
    for number in (secret, ORDER - secret, nonce, ORDER - nonce):
        point = PrivateKey(number.to_bytes(32, "big")).public_key.format(compressed=False)
        points[number] = point[1:33], point[33:]
    even_secret = next(number for number in (secret, ORDER - secret) if points[number][1][-1] % 2 == 0)
    tag = hashlib.sha256(b"BIP0340/challenge").digest()
    verdicts = {}
    for number in (nonce, ORDER - nonce):
        (rx, ry), (px, _) = points[number], points[even_secret]
        challenge = int.from_bytes(hashlib.sha256(tag + tag + rx + px + MESSAGE).digest(), "big")
        s = (number + challenge * even_secret) % ORDER
        verdicts[ry[-1] % 2] = accepts(harness, px, MESSAGE, rx + s.to_bytes(32, "big"), ry)
    assert verdicts == {0: True, 1: False}


@pytest.mark.parametrize(
    ("key", "rx", "s"),
    [
        pytest.param(bytes(32), SIGNATURE[:32], SIGNATURE[32:], id="key zero"),
        pytest.param(ORDER.to_bytes(32, "big"), SIGNATURE[:32], SIGNATURE[32:], id="key is the order"),
        pytest.param(b"\xff" * 32, SIGNATURE[:32], SIGNATURE[32:], id="key above the field"),
        pytest.param(KEY, bytes(32), SIGNATURE[32:], id="R zero"),
        pytest.param(KEY, b"\xff" * 32, SIGNATURE[32:], id="R above the field"),
        pytest.param(KEY, SIGNATURE[:32], bytes(32), id="s zero"),
        pytest.param(KEY, SIGNATURE[:32], ORDER.to_bytes(32, "big"), id="s is the order"),
        pytest.param(KEY, SIGNATURE[:32], b"\xff" * 32, id="s above the order"),
    ],
)
def test_values_out_of_range_are_refused(harness: VyperContract, key: bytes, rx: bytes, s: bytes) -> None:
    """Zeros and values above the field or the order are refused; nothing reverts."""
    assert not accepts(harness, key, MESSAGE, rx + s)


@given(secret=st.integers(1, ORDER - 1), message=st.binary(min_size=32, max_size=32), bit=st.integers(0, 1023))
@example(secret=1, message=bytes(32), bit=0)
@example(secret=ORDER - 1, message=b"\xff" * 32, bit=1023)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_valid_signature_is_accepted_and_any_flipped_bit_refused(
    harness: VyperContract, secret: int, message: bytes, bit: int
) -> None:
    """What libsecp256k1 signs is accepted within the gas limit; with any bit of key, message, R or s flipped not."""
    key = PublicKeyXOnly.from_secret(secret.to_bytes(32, "big")).format()
    signature = PrivateKey(secret.to_bytes(32, "big")).sign_schnorr(message, bytes(32))
    valid, gas = harness.verify(key, message, signature[:32], signature[32:], even_y(signature[:32]))
    assert valid
    assert gas <= GAS_LIMIT
    broken = flipped(key + message + signature, bit)
    assert not accepts(harness, broken[:32], broken[32:64], broken[64:])


def test_gas_of_verification_stays_below_the_limit(harness: VyperContract) -> None:
    """Verifying costs at most 5,000 gas, the precompiles included."""
    _, gas = harness.verify(KEY, MESSAGE, SIGNATURE[:32], SIGNATURE[32:], even_y(SIGNATURE[:32]))
    assert 3_000 < gas <= GAS_LIMIT
