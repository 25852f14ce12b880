"""Files of rules that change under a running gateway, and the command that tries them."""

from __future__ import annotations

from pathlib import Path

import pytest

from settlement.rules.__main__ import main
from settlement.rules.errors import BadRules
from settlement.rules.facts import encode_facts
from settlement.rules.reload import Kept, Replaced, RulesFile, Unchanged, load_rules
from tests.support.rules import HEAD, MONDAY, facts

LIMIT = '[[limit]]\nid = "a"\nasset = "EUR"\namount_max = "1.00"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good file of rules, with a list beside it."""
    (tmp_path / "un.toml").write_text('[[sanction]]\nid = "a"\nnames = ["A B"]\n')
    path = tmp_path / "rules.toml"
    path.write_text(HEAD + '[sanctions]\nlists = ["un.toml"]\n')
    return path


def test_changed_file_comes_into_force_and_a_broken_one_does_not(path: Path) -> None:
    """A good change replaces the rules; a broken one keeps them, and raises one alarm with file, line and field."""
    alarms: list[BadRules] = []
    file = RulesFile(path, alarms.append)
    first = file.current()
    assert file.reload() == Unchanged()
    path.write_text(path.read_text() + LIMIT)
    assert file.reload() == Replaced(first.version, file.current().version)
    good, text = file.current(), path.read_text()
    path.write_text(text + 'amount_mix = "2"\n')
    assert isinstance(file.reload(), Kept)
    assert isinstance(file.reload(), Kept)
    assert file.current() is good
    (alarm,) = alarms
    assert (alarm.file, alarm.field, alarm.line) == ("rules.toml", "limit[0].amount_mix", text.count("\n") + 1)
    path.write_text(text)
    assert file.reload() == Unchanged()
    path.write_text("nonsense")
    file.reload()
    assert len(alarms) == 2


def test_changed_list_comes_into_force_and_a_missing_one_keeps_the_rules(path: Path) -> None:
    """A change of a list beside the rules counts as a change of the rules; a list that is gone refuses the file."""
    alarms: list[BadRules] = []
    file = RulesFile(path, alarms.append)
    (path.parent / "un.toml").write_text('[[sanction]]\nid = "a"\nnames = ["A C"]\n')
    assert isinstance(file.reload(), Replaced)
    (path.parent / "un.toml").unlink()
    assert isinstance(file.reload(), Kept)
    assert "un.toml cannot be read" in str(alarms[0])


@pytest.mark.parametrize(
    "broken",
    [
        b"x = " + b"[" * 2_000,
        b"x = " + b"9" * 5_000,
        b'[sanctions]\nlists = ["a\\u0000.toml"]\n',
        b"\xff\xfe",
        b"x = 1979-13-01",
    ],
    ids=range(5),
)
def test_whatever_is_written_the_old_rules_stay(path: Path, broken: bytes) -> None:
    """However a file is broken, reloading it refuses it and goes on, with the rules that were in force."""
    alarms: list[BadRules] = []
    file = RulesFile(path, alarms.append)
    good = file.current()
    path.write_bytes(HEAD.encode() + broken)
    assert isinstance(file.reload(), Kept)
    assert file.current() is good
    assert len(alarms) == 1


def test_gateway_does_not_start_without_rules(tmp_path: Path) -> None:
    """A file that is missing or broken is refused at the start."""
    with pytest.raises(BadRules):
        RulesFile(tmp_path / "rules.toml", print)
    (tmp_path / "rules.toml").write_text("format = 1")
    with pytest.raises(BadRules):
        load_rules(tmp_path / "rules.toml")


def test_command_checks_files_and_explains_a_payment(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command accepts a good file, tells the verdict and the reasons of a payment, and names what is broken."""
    path.write_text(path.read_text() + LIMIT)
    payment = path.parent / "payment.json"
    payment.write_bytes(encode_facts(facts(amount="1.01")))
    assert main([str(path)]) == 0
    assert main([str(path), str(payment), "--at", str(MONDAY)]) == 3
    told = capsys.readouterr().out
    assert "verdict: block" in told
    assert "at most: 1.00" in told
    payment.write_bytes(encode_facts(facts(amount="1.00")))
    assert main([str(path), str(payment)]) == 0
    payment.write_text("{}")
    assert main([str(path), str(payment)]) == 1
    assert main([str(path), str(path.parent / "gone.json")]) == 1
    path.write_text("format = 3")
    assert main([str(path)]) == 1
    assert "rules.toml, line 1: format" in capsys.readouterr().err
