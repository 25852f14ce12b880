"""The published vectors of BIP-340."""

import csv
from pathlib import Path

import pytest

from mpc import bip340
from mpc.errors import MalformedInput

VECTORS = Path(__file__).parents[3].parent / "shared" / "vectors" / "bip340" / "test-vectors.csv"
if not VECTORS.exists():
    pytest.skip(f"the published vectors are not at {VECTORS}", allow_module_level=True)
with VECTORS.open() as file:
    CASES = list(csv.DictReader(file))


def name_of(case):
    return f"{case['index']}-{case['comment'][:40] or 'plain'}"


@pytest.mark.parametrize("case", [c for c in CASES if c["secret key"]], ids=name_of)
def test_sign_gives_the_published_signature(case):
    """Signing with the published key and randomness gives the published key and signature."""
    seckey, aux, message = (bytes.fromhex(case[k]) for k in ("secret key", "aux_rand", "message"))
    assert bip340.xonly_pubkey(seckey) == bytes.fromhex(case["public key"])
    assert bip340.sign(message, seckey, aux) == bytes.fromhex(case["signature"])


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_verify_gives_the_published_answer(case):
    """Verification accepts and refuses what the vectors say."""
    message, key, signature = (bytes.fromhex(case[k]) for k in ("message", "public key", "signature"))
    assert bip340.verify(message, key, signature) is (case["verification result"] == "TRUE")


@pytest.mark.parametrize("case", [c for c in CASES if "not on the curve" in c["comment"]], ids=name_of)
def test_lift_x_refuses_what_is_no_point(case):
    """Lifting an x coordinate that no point has is refused."""
    with pytest.raises(MalformedInput):
        bip340.lift_x(bytes.fromhex(case["public key"]))
