"""The commands of the rules: files that are checked, payments that are tried, decisions that are audited, approvals."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.exits import ExitCode
from cli.main import app
from settlement.rules.approvals import Signed, authenticate
from settlement.rules.errors import ForgedApproval
from settlement.rules.facts import Approval, encode_facts
from settlement.rules.reload import load_rules
from tests.support.gateway_folder import GatewayFolder, new_gateway_folder
from tests.support.rules import HEAD, MONDAY, beneficiary, facts

DAY_MS = 86_400_000
LIMITED = HEAD + '[[limit]]\nid = "a-day"\nasset = "EUR"\namount_max = "250.00"\n'
ASKED = (
    HEAD
    + """
[[limit]]
id = "one-payment"
window = "each"
asset = "EUR"
amount_max = "50.00"
verdict = "refer"

[review]
approvals = 1
roles = ["approver"]

[[person]]
name = "ann"
roles = ["approver"]
"""
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No gateway of the machine is found by chance."""
    monkeypatch.chdir(tmp_path)
    for name in ("CAUSEWAY_GATEWAY", "CAUSEWAY_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


def called(*arguments: str) -> tuple[int, Any]:
    """The exit status, and the document on standard output, or the error's."""
    done = CliRunner().invoke(app, ["rules", *arguments, "--json"])
    told = done.stderr[done.stderr.find("{") :]
    return done.exit_code, json.loads(done.stdout) if done.stdout else json.loads(told)["error"]


@pytest.fixture
def gateway(tmp_path: Path) -> GatewayFolder:
    """A gateway that lets 250 euro pass a day, and has decided on five payments of 100, two a day at most."""
    folder = new_gateway_folder(tmp_path / "bank-a", LIMITED)

    async def decided() -> None:
        for number in range(5):
            await folder.decide(facts(number), MONDAY + number // 3 * DAY_MS)

    asyncio.run(decided())
    return folder


def test_a_good_file_of_rules_is_described(tmp_path: Path) -> None:
    """The check tells the version that decisions will name, and what the file holds."""
    (tmp_path / "rules.toml").write_text(LIMITED)
    status, found = called("check", "rules.toml")
    assert (status, found["version"]) == (0, load_rules(tmp_path / "rules.toml").version.hex())
    assert found["limits"] == ["a-day"]


def test_a_broken_file_is_told_with_its_line(tmp_path: Path) -> None:
    """A misspelt rule is refused, and the message leads to it."""
    (tmp_path / "rules.toml").write_text(LIMITED.replace("amount_max", "amount_mx"))
    status, error = called("check", "rules.toml")
    assert (status, error["fields"]["file"]) == (ExitCode.BAD_INPUT, "rules.toml")
    assert error["fields"]["line"] > 1


@pytest.mark.parametrize(
    ("amount", "verdict", "status"), [("250.00", "pass", 0), ("250.01", "block", 4)], ids=["pass", "block"]
)
def test_one_payment_is_tried(tmp_path: Path, amount: str, verdict: str, status: int) -> None:
    """The exit status says what would become of the payment, and the rule that says so is named."""
    (tmp_path / "rules.toml").write_text(LIMITED)
    (tmp_path / "facts.json").write_bytes(encode_facts(facts(1, amount)))
    ended, found = called("dry-run", "rules.toml", "--facts", "facts.json", "--at", "2026-03-02T12:00:00Z")
    assert (ended, found["verdict"]) == (status, verdict)
    assert [reason["rule"] for reason in found["reasons"]] == (["a-day"] if status else [])


def test_a_payment_that_a_person_has_to_see_has_a_status_of_its_own(tmp_path: Path) -> None:
    """A referral is neither yes nor no: the same payment may pass later."""
    (tmp_path / "rules.toml").write_text(ASKED)
    (tmp_path / "facts.json").write_bytes(encode_facts(facts(1)))
    assert called("dry-run", "rules.toml", "--facts", "facts.json")[0] == ExitCode.NOT_YET


def test_a_dry_run_needs_one_thing_to_try(tmp_path: Path) -> None:
    """Neither a payment nor a gateway, or both, is told and nothing is opened."""
    (tmp_path / "rules.toml").write_text(LIMITED)
    assert called("dry-run", "rules.toml")[0] == ExitCode.BAD_INPUT
    assert called("dry-run", "rules.toml", "--facts", "a", "--config", "b")[0] == ExitCode.BAD_INPUT
    status, error = called("dry-run", "rules.toml", "--facts", "none.json")
    assert (status, error["fields"]["field"]) == (ExitCode.BAD_INPUT, "--facts")


def test_past_decisions_are_tried_on_new_rules(gateway: GatewayFolder, tmp_path: Path) -> None:
    """Tighter rules change the second payment of each day, and looser ones the third of the first day."""
    (tmp_path / "tight.toml").write_text(LIMITED.replace("250.00", "150.00"))
    (tmp_path / "loose.toml").write_text(LIMITED.replace("250.00", "300.00"))
    status, found = called("dry-run", "tight.toml", *gateway.options)
    assert (status, found["decisions"], found["same"], found["changed"]) == (0, 5, 3, 2)
    assert [(each["was"]["verdict"], each["would_be"]["verdict"]) for each in found["changes"]] == [
        ("pass", "block"),
        ("pass", "block"),
    ]
    assert called("dry-run", "loose.toml", *gateway.options)[1]["changed"] == 1
    since = ("--since", "2026-03-03")
    assert called("dry-run", "loose.toml", *gateway.options, *since)[1]["changed"] == 0
    found = called("dry-run", "tight.toml", *gateway.options, *since)[1]
    assert (found["decisions"], found["same"], found["changed"]) == (2, 1, 1)


def test_decisions_are_listed_without_any_password(gateway: GatewayFolder) -> None:
    """An auditor sees verdicts, reasons and the chain's head, and nothing personal."""
    status, found = called("decisions", "--config", str(gateway.config))
    assert (status, found["chain"], len(found["head"])) == (0, 5, 64)
    assert [row["verdict"] for row in found["decisions"]] == ["pass", "pass", "block", "pass", "pass"]
    blocked = called("decisions", "--config", str(gateway.config), "--verdict", "block")[1]["decisions"]
    assert [row["number"] for row in blocked] == [3]
    newest = called("decisions", "--config", str(gateway.config), "--limit", "1")[1]["decisions"]
    assert [row["number"] for row in newest] == [5]
    of_one = called("decisions", "--config", str(gateway.config), "--payment", blocked[0]["payment_id"])[1]
    assert [row["number"] for row in of_one["decisions"]] == [3]
    assert "facts" not in of_one["decisions"][0]


def test_facts_open_with_the_gateways_password_alone(tmp_path: Path) -> None:
    """With the password the names behind a decision are shown, with another one nothing is."""
    folder = new_gateway_folder(tmp_path / "bank-a", LIMITED)
    asyncio.run(folder.decide(facts(1, subjects=(beneficiary("Maria Musterfrau"),)), MONDAY))
    status, found = called("decisions", "--facts", *folder.options)
    assert status == 0
    assert found["decisions"][0]["facts"]["subjects"][0]["names"] == ["Maria Musterfrau"]
    folder.password_file.write_text("wrong")
    assert called("decisions", "--facts", *folder.options)[0] == ExitCode.BAD_INPUT
    listed = CliRunner().invoke(app, ["rules", "decisions", "--config", str(folder.config), "--json"])
    assert "Musterfrau" not in listed.output


def test_a_decision_that_was_changed_is_found(gateway: GatewayFolder) -> None:
    """Who edits the database is told on: the first entry that is not what it was is named."""
    with sqlite3.connect(gateway.config.parent / "gateway.db") as connection:
        connection.execute("DELETE FROM rules_decisions WHERE sequence = 3")
    status, error = called("decisions", "--config", str(gateway.config))
    assert (status, error["type"], error["fields"]["sequence"]) == (ExitCode.REFUSED, "ChainBroken", 3)


def test_a_gateway_that_never_ran_has_no_decisions(tmp_path: Path) -> None:
    """Reading makes no database."""
    folder = new_gateway_folder(tmp_path / "bank-a")
    assert called("decisions", "--config", str(folder.config))[0] == ExitCode.NOT_FOUND
    assert not (tmp_path / "bank-a" / "gateway.db").exists()


class TestApproving:
    """Ann approves a payment that is referred."""

    @pytest.fixture
    def waiting(self, tmp_path: Path) -> GatewayFolder:
        (tmp_path / "ann.password").write_text("of ann")
        made = called("new-key", "ann", "--out", "ann.key", "--password-file", "ann.password")[1]
        folder = new_gateway_folder(tmp_path / "bank-a", ASKED + f'key = "{made["key"]}"\n')
        asyncio.run(folder.decide(facts(1), MONDAY))
        return folder

    def approve(self, folder: GatewayFolder, *more: str, number: int = 1, key: str = "ann.key") -> tuple[int, Any]:
        named = facts(number).payment_id.hex()
        person = ("--person", "ann", "--person-key", key, "--password-file", "ann.password")
        return called("approve", named, "--config", str(folder.config), *person, *more)

    def test_the_approval_is_one_that_the_rules_count(self, waiting: GatewayFolder, tmp_path: Path) -> None:
        """What is written passes the validator's own look at it, bound to the facts that were decided on."""
        status, made = self.approve(waiting, "--clear", "one-payment", "--out", "approval.json")
        assert status == 0
        assert json.loads((tmp_path / "approval.json").read_text()) == made
        assert made["subject"] == facts(1).digest.hex()
        at = load_time(made["at"])
        said = Approval(bytes.fromhex(made["subject"]), "ann", ("one-payment",), at)
        signature = Signed(bytes.fromhex(made["signature"]))
        authenticate(load_rules(waiting.loaded.rules), said, signature, at)
        with pytest.raises(ForgedApproval, match="signature is wrong"):
            authenticate(load_rules(waiting.loaded.rules), replace(said, clears=("other",)), signature, at)

    def test_only_what_referred_the_payment_is_cleared(self, waiting: GatewayFolder) -> None:
        """A rule that did not speak cannot be lifted by mistake."""
        status, error = self.approve(waiting, "--clear", "another")
        assert (status, error["fields"]["field"]) == (ExitCode.BAD_INPUT, "--clear")

    def test_a_payment_that_waits_for_nobody_is_not_approved(self, waiting: GatewayFolder) -> None:
        """What passed needs no word, and what is not known has nothing to approve."""
        asyncio.run(waiting.decide(facts(2, "10.00"), MONDAY))
        assert self.approve(waiting, number=2)[1]["type"] == "NothingToApprove"
        assert self.approve(waiting, number=3)[0] == ExitCode.NOT_FOUND

    def test_anothers_key_approves_nothing(self, waiting: GatewayFolder) -> None:
        """A key that the rules do not name for the person gives no approval out."""
        called("new-key", "ann", "--out", "other.key", "--password-file", "ann.password")
        assert self.approve(waiting, key="other.key")[1]["type"] == "ForgedApproval"

    def test_a_key_is_never_overwritten(self, waiting: GatewayFolder, tmp_path: Path) -> None:
        """A second key into the same file is refused, and the first one stays."""
        before = (tmp_path / "ann.key").read_bytes()
        assert called("new-key", "ann", "--out", "ann.key", "--password-file", "ann.password")[0] != 0
        assert (tmp_path / "ann.key").read_bytes() == before


def load_time(text: str) -> Any:
    """The moment of an approval, in milliseconds."""
    from cli.book_times import EARLIEST, moment

    return moment(text, "at", EARLIEST)
