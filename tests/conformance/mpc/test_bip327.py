"""The published vectors of BIP-327, as far as libsecp256k1's interface lets them in.

Left out, each for a reason that is not ours to change: messages that are not 32 bytes (libsecp256k1 signs digests of 32
bytes only); `nonce_gen_vectors.json` (our nonces are made from fresh randomness, none can be given) and
`det_sign_vectors.json` (libsecp256k1 has no deterministic signing, and neither have we).
"""

import json
from pathlib import Path

import pytest

from mpc import bip340, musig
from mpc.curve import Point, SecretScalar, ffi
from mpc.errors import InvalidContributionError, MalformedInput

FOLDER = Path(__file__).parents[2] / "vectors" / "bip327"
MAGIC = bytes.fromhex("220edcf1")
"""How libsecp256k1 marks a secret nonce in memory."""


def load(name):
    return json.loads((FOLDER / f"{name}_vectors.json").read_text())


KEY_AGG, KEY_SORT, NONCE_AGG, SIGN, TWEAK, SIG_AGG = (
    load(name) for name in ("key_agg", "key_sort", "nonce_agg", "sign_verify", "tweak", "sig_agg")
)


def cases(content, kind):
    return [pytest.param(case, id=f"{at}-{case.get('comment', '')[:50]}") for at, case in enumerate(content[kind])]


def pick(content, name, indices):
    return [bytes.fromhex(content[name][at]) for at in indices]


def nonce_of(secnonce, key):
    """A nonce with the published secret, in the form that libsecp256k1 keeps."""
    raw = ffi.new("secp256k1_musig_secnonce *")
    parsed = Point.from_bytes(key)
    ffi.memmove(raw, MAGIC + secnonce[:64] + bytes(ffi.buffer(parsed.raw)), 132)
    halves = (SecretScalar(secnonce[:32]).point(), SecretScalar(secnonce[32:64]).point())
    nonce = musig.SecNonce(raw, b"".join(half.to_bytes() for half in halves), parsed)
    if not any(secnonce[:64]):
        nonce.erase()  # the vectors' form of a nonce that was used
    return nonce


def keys_of(content, case):
    keys = musig.KeyAggregate.of(pick(content, "pubkeys", case["key_indices"]))
    tweaks = pick(content, "tweaks", case.get("tweak_indices", ())) if "tweaks" in content else ()
    for tweak, is_xonly in zip(tweaks, case.get("is_xonly", ()), strict=True):
        keys = keys.tweaked(tweak, is_xonly)
    return keys


def message_of(case):
    message = bytes.fromhex(SIGN["msgs"][case["msg_index"]])
    if len(message) != 32:
        pytest.skip(f"libsecp256k1 signs digests of 32 bytes, not {len(message)}")
    return message


def expect(error, call):
    """`call` raises an error of the published kind that blames the published party."""
    if error["type"] == "value":
        with pytest.raises(MalformedInput):
            call()
        return
    with pytest.raises(InvalidContributionError) as caught:
        call()
    assert (caught.value.signer_index, caught.value.contrib) == (error["signer"], error["contrib"])


def test_keys_are_sorted():
    """Keys are sorted into the published order."""
    found = musig.sort_keys(bytes.fromhex(key) for key in KEY_SORT["pubkeys"])
    assert found == tuple(bytes.fromhex(key) for key in KEY_SORT["sorted_pubkeys"])


@pytest.mark.parametrize("case", cases(KEY_AGG, "valid_test_cases"))
def test_keys_are_aggregated(case):
    """Keys make the published aggregate."""
    assert keys_of(KEY_AGG, case).xonly_key == bytes.fromhex(case["expected"])


@pytest.mark.parametrize("case", cases(KEY_AGG, "error_test_cases"))
def test_keys_are_refused(case):
    """Keys and tweaks that cannot be are refused, and the signer is named."""
    expect(case["error"], lambda: keys_of(KEY_AGG, case))


@pytest.mark.parametrize("case", cases(NONCE_AGG, "valid_test_cases"))
def test_nonces_are_aggregated(case):
    """Nonces make the published aggregate."""
    assert musig.nonce_agg(pick(NONCE_AGG, "pnonces", case["pnonce_indices"])) == bytes.fromhex(case["expected"])


@pytest.mark.parametrize("case", cases(NONCE_AGG, "error_test_cases"))
def test_nonces_are_refused(case):
    """A nonce that is not two points is refused, and its signer named."""
    expect(case["error"], lambda: musig.nonce_agg(pick(NONCE_AGG, "pnonces", case["pnonce_indices"])))


@pytest.mark.parametrize("case", cases(SIGN, "valid_test_cases"))
def test_signing(case):
    """Signing gives the published partial signature, which verifies, and consumes the nonce."""
    message, keys = message_of(case), keys_of(SIGN, case)
    aggnonce = bytes.fromhex(SIGN["aggnonces"][case["aggnonce_index"]])
    public = pick(SIGN, "pnonces", case["nonce_indices"])
    assert musig.nonce_agg(public) == aggnonce
    session = musig.Session(keys, aggnonce, message)
    nonce = nonce_of(bytes.fromhex(SIGN["secnonces"][0]), bytes.fromhex(SIGN["pubkeys"][0]))
    partial = musig.sign(nonce, SecretScalar(bytes.fromhex(SIGN["sk"])), session)
    assert partial == bytes.fromhex(case["expected"])
    assert nonce.is_used
    assert musig.verify_partial(partial, public[case["signer_index"]], case["signer_index"], session)


@pytest.mark.parametrize("case", cases(SIGN, "sign_error_test_cases"))
def test_signing_is_refused(case):
    """Signing with keys, nonces and aggregates that cannot be is refused, and who is to blame is named."""

    def call():
        aggnonce = bytes.fromhex(SIGN["aggnonces"][case["aggnonce_index"]])
        session = musig.Session(keys_of(SIGN, case), aggnonce, message_of(case))
        secnonce = bytes.fromhex(SIGN["secnonces"][case["secnonce_index"]])
        musig.sign(nonce_of(secnonce, secnonce[64:]), SecretScalar(bytes.fromhex(SIGN["sk"])), session)

    expect(case["error"], call)


def verify(case):
    public = pick(SIGN, "pnonces", case["nonce_indices"])
    session = musig.Session(keys_of(SIGN, case), musig.nonce_agg(public), message_of(case))
    signer = case["signer_index"]
    return musig.verify_partial(bytes.fromhex(case["sig"]), public[signer], signer, session)


@pytest.mark.parametrize("case", cases(SIGN, "verify_fail_test_cases"))
def test_wrong_partial_signatures_do_not_verify(case):
    """A partial signature of another signer, negated or out of range does not verify."""
    assert not verify(case)


@pytest.mark.parametrize("case", cases(SIGN, "verify_error_test_cases"))
def test_verifying_is_refused(case):
    """A nonce or key that is no point is refused, and its signer named."""
    expect(case["error"], lambda: verify(case))


@pytest.mark.parametrize("case", cases(TWEAK, "valid_test_cases"))
def test_signing_for_tweaked_keys(case):
    """Plain and x-only tweaks, mixed, lead to the published partial signature."""
    session = musig.Session(keys_of(TWEAK, case), bytes.fromhex(TWEAK["aggnonce"]), bytes.fromhex(TWEAK["msg"]))
    nonce = nonce_of(bytes.fromhex(TWEAK["secnonce"]), bytes.fromhex(TWEAK["pubkeys"][0]))
    partial = musig.sign(nonce, SecretScalar(bytes.fromhex(TWEAK["sk"])), session)
    assert partial == bytes.fromhex(case["expected"])
    public = pick(TWEAK, "pnonces", case["nonce_indices"])[case["signer_index"]]
    assert musig.verify_partial(partial, public, case["signer_index"], session)


@pytest.mark.parametrize("case", cases(TWEAK, "error_test_cases"))
def test_tweaks_are_refused(case):
    """A tweak that is not below the group order is refused."""
    expect(case["error"], lambda: keys_of(TWEAK, case))


def signing(case):
    keys = keys_of(SIG_AGG, case)
    session = musig.Session(keys, bytes.fromhex(case["aggnonce"]), bytes.fromhex(SIG_AGG["msg"]))
    return session, pick(SIG_AGG, "psigs", case["psig_indices"]), pick(SIG_AGG, "pnonces", case["nonce_indices"])


@pytest.mark.parametrize("case", cases(SIG_AGG, "valid_test_cases"))
def test_partial_signatures_add_up(case):
    """Partial signatures add up to the published signature, which verifies."""
    session, partials, public = signing(case)
    signature = musig.aggregate(partials, public, session)
    assert signature == bytes.fromhex(case["expected"]) == musig.partial_sig_agg(partials, session)
    assert bip340.verify(session.message, session.keys.xonly_key, signature)


@pytest.mark.parametrize("case", cases(SIG_AGG, "error_test_cases"))
def test_partial_signatures_out_of_range_are_refused(case):
    """A partial signature that is not below the group order is refused, and its signer named."""
    session, partials, _ = signing(case)
    expect(case["error"], lambda: musig.partial_sig_agg(partials, session))


def test_no_file_is_left_out():
    """The folder holds the files that are run here, and the two that cannot be, and no others."""
    run = {"key_agg", "key_sort", "nonce_agg", "sign_verify", "tweak", "sig_agg"}
    assert {path.stem for path in FOLDER.glob("*.json")} == {
        f"{name}_vectors" for name in run | {"nonce_gen", "det_sign"}
    }
