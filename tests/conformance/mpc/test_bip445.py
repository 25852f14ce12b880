"""The published vectors of BIP-445, at the commit that the vectors' README names."""

import json
from pathlib import Path

import pytest

from mpc import frost
from mpc.errors import InvalidContributionError

FOLDER = Path(__file__).parents[3].parent / "shared" / "vectors" / "bip445"
if not FOLDER.is_dir():
    pytest.skip(f"the published vectors are not at {FOLDER}", allow_module_level=True)


def load(name):
    return json.loads((FOLDER / f"{name}_vectors.json").read_text())


def cases(name, kind):
    """(group, case) of every group of a file."""
    return [
        pytest.param(group, case, id=f"{group['tg_id']}-{case['tc_id']}")
        for group in load(name)["test_groups"]
        for case in group[kind]
    ]


def flat(name, kind):
    return [pytest.param(case, id=str(case["tc_id"])) for case in load(name)[kind]]


def unhex(text):
    return None if text is None else bytes.fromhex(text)


def pick(group, key, indices):
    return [bytes.fromhex(group[key][i]) for i in indices]


class Signing:
    """The arguments that the cases of sign, verify and tweak share."""

    def __init__(self, group, case):
        self.group, self.case = group, case
        self.pubshares = pick(group, "pubshares", case["pubshare_indices"])
        self.tweaks = pick(group, "tweaks", case.get("tweak_indices", []))
        self.is_xonly = case.get("is_xonly", [])
        self.msg = bytes.fromhex(case["msg"])

    def signers(self):
        thresh_pk = bytes.fromhex(self.group["thresh_pk"])
        return frost.SignersContext(self.group["n"], self.group["t"], self.case["ids"], self.pubshares, thresh_pk)

    def sign(self):
        aggnonce = bytes.fromhex(self.case["aggnonce"])
        session = frost.SessionContext(aggnonce, self.signers(), self.tweaks, self.is_xonly, self.msg)
        secnonce = frost.SecNonce.from_bytes(bytes.fromhex(self.group["secnonces"][self.case["secnonce_index"]]))
        secshare = bytes.fromhex(self.group["secshares"][self.case["secshare_index"]])
        return frost.sign(secnonce, secshare, self.case["my_id"], session)

    def pubnonces(self):
        return pick(self.group, "pubnonces", self.case["pubnonce_indices"])

    def verify(self, psig, index):
        args = (self.signers(), self.tweaks, self.is_xonly, self.msg)
        return frost.partial_sig_verify(psig, self.pubnonces(), *args, index)


def assert_raises(error, call):
    """`call` raises an error of the published type that blames the published party."""
    kinds = {"ValueError": ValueError, "InvalidContributionError": InvalidContributionError}
    with pytest.raises(kinds[error["type"]]) as caught:
        call()
    if error["type"] == "InvalidContributionError":
        assert (caught.value.signer_index, caught.value.contrib) == (error["signer_index"], error["contrib"])


@pytest.mark.parametrize("case", flat("nonce_gen", "valid_tests"))
def test_nonce_gen(case):
    """Nonce generation gives the published secret and public nonce."""
    names = ("secshare", "pubshare", "thresh_pk", "msg", "extra_in", "rand_")
    secnonce, pubnonce = frost.nonce_gen(*(unhex(case[name]) for name in names))
    assert [secnonce.expose(), pubnonce] == [bytes.fromhex(e) for e in case["expected"]]


@pytest.mark.parametrize("case", flat("nonce_agg", "valid_tests"))
def test_nonce_agg(case):
    """Nonces add up to the published aggregate."""
    assert frost.nonce_agg(pick(load("nonce_agg"), "pubnonces", case["pubnonce_indices"])) == unhex(case["expected"])


@pytest.mark.parametrize("case", flat("nonce_agg", "error_tests"))
def test_nonce_agg_blames(case):
    """An invalid public nonce is refused and its signer named."""
    pubnonces = pick(load("nonce_agg"), "pubnonces", case["pubnonce_indices"])
    assert_raises(case["error"], lambda: frost.nonce_agg(pubnonces))


@pytest.mark.parametrize(("group", "case"), cases("sign_verify", "valid_tests") + cases("tweak", "valid_tests"))
def test_sign_and_verify(group, case):
    """Signing gives the published partial signature, and it verifies."""
    signing = Signing(group, case)
    psig = signing.sign()
    assert psig == unhex(case["expected"])
    assert frost.nonce_agg(signing.pubnonces()) == unhex(case["aggnonce"])
    assert signing.verify(psig, case["ids"].index(case["my_id"]))


@pytest.mark.parametrize(("group", "case"), cases("sign_verify", "sign_error_tests") + cases("tweak", "error_tests"))
def test_sign_refuses(group, case):
    """Signing refuses what the vectors say it must, and blames whom they blame."""
    assert_raises(case["error"], lambda: Signing(group, case).sign())


@pytest.mark.parametrize(("group", "case"), cases("sign_verify", "verify_fail_tests"))
def test_partial_sig_verify_says_no(group, case):
    """A wrong partial signature does not verify."""
    assert not Signing(group, case).verify(unhex(case["psig"]), case["signer_index"])


@pytest.mark.parametrize(("group", "case"), cases("sign_verify", "verify_error_tests"))
def test_partial_sig_verify_refuses(group, case):
    """Verification with invalid nonces or shares is refused."""
    assert_raises(case["error"], lambda: Signing(group, case).verify(unhex(case["psig"]), case["signer_index"]))
