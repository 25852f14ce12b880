"""No published vector is left out: every case of every file is one that a test above runs."""

import json
from pathlib import Path

import pytest

VECTORS = Path(__file__).parents[3].parent / "shared" / "vectors"
if not VECTORS.is_dir():
    pytest.skip(f"the published vectors are not at {VECTORS}", allow_module_level=True)
HERE = Path(__file__).parent
SIGN = {
    "valid_tests": "cases",
    "sign_error_tests": "cases",
    "verify_fail_tests": "cases",
    "verify_error_tests": "cases",
}
BIP445 = {
    "nonce_gen": {"valid_tests": "flat"},
    "nonce_agg": {"valid_tests": "flat", "error_tests": "flat"},
    "sign_verify": SIGN,
    "tweak": {"valid_tests": "cases", "error_tests": "cases"},
}
CHILLDKG = (
    "hostpubkey_gen",
    "params_hash",
    "participant_step1",
    "participant_step2",
    "coordinator_step1",
    "recover",
)


def lists_of_cases(content):
    """The names of all lists that hold cases (dicts with an id), in a file or in its groups."""
    groups = content.get("test_groups", content.get("testGroups", [content]))
    found = set()
    for group in groups:
        for name, value in group.items():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                assert all("tc_id" in case or "tcId" in case for case in value)
                found.add(name)
    return found


def test_every_file_has_its_tests():
    """The folders hold the files that the tests read, and no others."""
    assert {p.name for p in (VECTORS / "bip340").glob("*.csv")} == {"test-vectors.csv"}
    assert {p.stem for p in (VECTORS / "bip445").glob("*.json")} == {f"{name}_vectors" for name in BIP445}
    assert {p.stem for p in (VECTORS / "chilldkg").glob("*.json")} == {f"{name}_vectors" for name in CHILLDKG}


@pytest.mark.parametrize("name", BIP445)
def test_every_list_of_bip445_is_run(name):
    """Each list of cases in the file is named in a parametrisation of `test_bip445`."""
    content = json.loads((VECTORS / "bip445" / f"{name}_vectors.json").read_text())
    assert lists_of_cases(content) == BIP445[name].keys()
    source = (HERE / "test_bip445.py").read_text()
    for kind, reader in BIP445[name].items():
        assert f'{reader}("{name}", "{kind}")' in source


@pytest.mark.parametrize("name", CHILLDKG)
def test_every_list_of_chilldkg_is_run(name):
    """Each list of cases in the file is run by `test_chilldkg`, and there are as many cases as the file says."""
    content = json.loads((VECTORS / "chilldkg" / f"{name}_vectors.json").read_text())
    assert lists_of_cases(content) == {"validTestCases", "errorTestCases"}
    source = (HERE / "test_chilldkg.py").read_text()
    assert f'@valid("{name}")' in source
    assert f'@invalid("{name}")' in source
    groups = content.get("testGroups", [content])
    run = sum(len(group[kind]) for group in groups for kind in ("validTestCases", "errorTestCases"))
    assert run == content["totalTests"]
