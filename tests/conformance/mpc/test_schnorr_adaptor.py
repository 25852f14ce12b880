"""The vectors of secp256k1-zkp's adaptor module, for pre-signatures that exist: read, completed, taken apart."""

import json
from pathlib import Path

import pytest

from mpc import bip340, musig
from mpc.curve import SecretScalar
from mpc.errors import MalformedInput

FILE = Path(__file__).parents[2] / "vectors" / "schnorr_adaptor" / "schnorr_adaptor_vectors.json"
CASES = json.loads(FILE.read_text())


def having(check):
    return [pytest.param(case, id=case["id"]) for case in CASES if check in case["checks"]]


def field(case, name):
    return bytes.fromhex(case[name])


def test_every_kind_of_check_is_run():
    """No vector has a check that is not run here, except how one key alone makes a pre-signature."""
    kinds = {kind for case in CASES for kind in case["checks"]}
    run = {"check_extract", "check_adapt", "check_extract_sec", "xonly_pubkey_parse", "ec_pubkey_parse"}
    assert kinds == run | {"check_presigning"}


@pytest.mark.parametrize("case", having("check_extract"))
def test_a_pre_signature_holds_for_its_adaptor_alone(case):
    """A pre-signature holds for the adaptor that the vector names, and for no other."""
    pre, message, key, adaptor = (field(case, name) for name in ("pre_sig", "msg", "pk", "adaptor"))
    expected = case["checks"]["check_extract"]["extracted_val_correct"]
    try:
        parsed = musig.PreSignature.decode(pre)
    except MalformedInput:
        assert not expected
        return
    assert parsed.holds(adaptor, key, message) is expected


@pytest.mark.parametrize("case", having("check_adapt"))
def test_a_secret_completes_a_pre_signature(case):
    """Completing gives the published signature, which verifies, or neither where the vector says so."""
    try:
        made = musig.PreSignature.decode(field(case, "pre_sig")).complete(SecretScalar(field(case, "sec_adaptor")))
    except MalformedInput:
        made = b""
    is_right = made == field(case, "sig") and bip340.verify(field(case, "msg"), field(case, "pk"), made)
    assert is_right is case["checks"]["check_adapt"]["expected"]


@pytest.mark.parametrize("case", having("check_extract_sec"))
def test_a_signature_reveals_the_secret(case):
    """What a signature and its pre-signature reveal is the published secret, or nothing where they do not fit."""
    pre, signature = field(case, "pre_sig"), field(case, "sig")
    secret = SecretScalar(field(case, "sec_adaptor"))
    adaptor = secret.point().to_bytes()
    try:
        found = musig.PreSignature.decode(pre).extract(signature, adaptor)
    except MalformedInput:
        assert not case["checks"]["check_extract_sec"]["expected"]
        return
    assert case["checks"]["check_extract_sec"]["expected"]
    assert found.to_bytes() == secret.to_bytes()


@pytest.mark.parametrize("case", having("xonly_pubkey_parse") + having("ec_pubkey_parse"))
def test_what_is_no_point_locks_nothing(case):
    """Under a key or for an adaptor that is no point, no pre-signature holds."""
    good = CASES[0]
    key, adaptor = case.get("pk", good["pk"]), case.get("adaptor", good["adaptor"])
    pre = musig.PreSignature.decode(field(good, "pre_sig"))
    assert not pre.holds(bytes.fromhex(adaptor), bytes.fromhex(key), field(good, "msg"))
