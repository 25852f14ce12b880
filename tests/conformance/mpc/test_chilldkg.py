"""The published vectors of ChillDKG, at the commit that the vectors' README names."""

import json
from pathlib import Path

import pytest

from mpc import chilldkg, errors

FOLDER = Path(__file__).parents[3].parent / "shared" / "vectors" / "chilldkg"
if not FOLDER.is_dir():
    pytest.skip(f"the published vectors are not at {FOLDER}", allow_module_level=True)


def cases(name, kind):
    """(group, case) of a file; a file without groups is a group of its own."""
    content = json.loads((FOLDER / f"{name}_vectors.json").read_text())
    groups = content.get("testGroups", [content])
    return [pytest.param(group, case, id=str(case["tcId"])) for group in groups for case in group[kind]]


def valid(name):
    return pytest.mark.parametrize(("group", "case"), cases(name, "validTestCases"))


def invalid(name):
    return pytest.mark.parametrize(("group", "case"), cases(name, "errorTestCases"))


def unhex(value):
    return None if value is None else bytes.fromhex(value)


def params_of(case):
    return chilldkg.SessionParams([unhex(key) for key in case["params"]["hostpubkeys"]], case["params"]["t"])


def assert_raises(expected, call):
    """`call` raises exactly the published type and blames the published participants."""
    kind = ValueError if expected["type"] == "ValueError" else getattr(errors, expected["type"])
    with pytest.raises(kind) as caught:
        call()
    if kind is not ValueError:
        assert type(caught.value) is kind
    for published, field in (
        ("participantId", "participant_id"),
        ("participantId1", "participant_id1"),
        ("participantId2", "participant_id2"),
    ):
        assert getattr(caught.value, field, None) == expected.get(published)


@valid("hostpubkey_gen")
def test_hostpubkey_gen(group, case):
    """A host secret key gives the published host public key."""
    assert chilldkg.hostpubkey_gen(unhex(case["hostseckey"])) == unhex(case["expectedHostpubkey"])


@invalid("hostpubkey_gen")
def test_hostpubkey_gen_refuses(group, case):
    """An invalid host secret key is refused."""
    assert_raises(case["expectedError"], lambda: chilldkg.hostpubkey_gen(unhex(case["hostseckey"])))


@valid("params_hash")
def test_params_hash(group, case):
    """Session parameters have the published hash."""
    assert chilldkg.params_hash(params_of(case)) == unhex(case["expectedParamsHash"])


@invalid("params_hash")
def test_params_hash_refuses(group, case):
    """Invalid session parameters are refused and the participants named."""
    assert_raises(case["expectedError"], lambda: chilldkg.params_hash(params_of(case)))


def step1(case):
    return chilldkg.participant_step1(unhex(case["hostseckey"]), params_of(case), unhex(case["random"]))


@valid("participant_step1")
def test_participant_step1(group, case):
    """The first step sends the published message."""
    assert step1(case)[1] == unhex(case["expectedPmsg1"])


@invalid("participant_step1")
def test_participant_step1_refuses(group, case):
    """The first step refuses what the vectors say it must."""
    assert_raises(case["expectedError"], lambda: step1(case))


def step2(group, case):
    state1, pmsg1 = step1(group)
    assert pmsg1 == unhex(group["pmsg1"])
    arguments = {**group, **case}
    return chilldkg.participant_step2(
        unhex(arguments["hostseckey"]), state1, unhex(case["cmsg1"]), unhex(arguments["auxRand"])
    )


@valid("participant_step2")
def test_participant_step2(group, case):
    """The second step sends the published signature."""
    assert step2(group, case)[1] == unhex(case["expectedPmsg2"])


@invalid("participant_step2")
def test_participant_step2_refuses(group, case):
    """The second step refuses a bad message and blames whom the vectors blame."""
    assert_raises(case["expectedError"], lambda: step2(group, case))


def coordinator_step1(group, case):
    pmsgs1 = [unhex(group["pmsg1Pool"][i]) for i in case["pmsg1Indices"]]
    return chilldkg.coordinator_step1(pmsgs1, params_of(case))


@valid("coordinator_step1")
def test_coordinator_step1(group, case):
    """The coordinator sends the published message."""
    assert coordinator_step1(group, case)[1] == unhex(case["expectedCmsg1"])


@invalid("coordinator_step1")
def test_coordinator_step1_refuses(group, case):
    """The coordinator refuses bad messages and parameters and blames whom the vectors blame."""
    assert_raises(case["expectedError"], lambda: coordinator_step1(group, case))


def recover(case):
    if case["hostseckey"] is None:
        return chilldkg.coordinator_recover(unhex(case["recoveryData"]))
    return chilldkg.participant_recover(unhex(case["hostseckey"]), unhex(case["recoveryData"]))


@valid("recover")
def test_recover(group, case):
    """Recovery data gives back the published output and parameters."""
    output, params = recover(case)
    expected = case["expectedOutput"]["dkgOutput"]
    pubshares = tuple(unhex(share) for share in expected["pubshares"])
    assert output == chilldkg.DKGOutput(unhex(expected["secshare"]), unhex(expected["threshPk"]), pubshares)
    assert params == params_of(case["expectedOutput"])


@invalid("recover")
def test_recover_refuses(group, case):
    """Bad recovery data or a wrong host key is refused."""
    assert_raises(case["expectedError"], lambda: recover(case))
