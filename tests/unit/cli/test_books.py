"""The commands of the books, beside a gateway that has posted three payments."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.exits import ExitCode
from cli.main import app
from foundation.database import UnitOfWork
from foundation.quantities import UnixMs
from settlement.books.accounts import Account
from settlement.books.alerts import AlertStore
from settlement.books.journal import Entry, Line
from settlement.books.postings import chart_of, ledger_accounts
from settlement.books.sealing import NarrativeKey
from settlement.books.store import Books
from settlement.books.verify import Finding, Monitor
from settlement.connect.iso20022.camt053 import Entry as StatementEntry
from settlement.connect.iso20022.camt053 import Statement, write_statement
from settlement.connect.iso20022.documents import uetr_of
from settlement.connect.iso20022.parties import Account as OnStatement
from tests.support.gateway_folder import PARTY, GatewayFolder, new_gateway_folder
from tests.support.settlement_books import EUR, NOW, id_of

EURO = ledger_accounts("digital-euro", EUR)
DAY = datetime.fromtimestamp(NOW / 1000, UTC).date()
RULES = """
format = 1
name = "bank-a"
zone = "UTC"

[[person]]
name = "carl"
roles = ["auditor"]

[[person]]
name = "ann"
roles = ["accountant"]

[[person]]
name = "dora"
roles = ["cfo"]
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("CAUSEWAY_GATEWAY", "CAUSEWAY_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def gateway(tmp_path: Path) -> GatewayFolder:
    """Money comes in, two payments go out: entries 1 to 3."""
    folder = new_gateway_folder(tmp_path / "bank-a", RULES)
    asyncio.run(folder.write(lambda unit: _posted(folder, unit)))
    return folder


async def _posted(folder: GatewayFolder, unit: UnitOfWork) -> None:
    entries = [
        _moved(1, EURO.funding, EURO.nostro, 1000_00),
        _moved(2, EURO.nostro, EURO.customers, 300_00),
        _moved(3, EURO.nostro, EURO.customers, 50_00),
    ]
    books = Books(unit.connection, NarrativeKey(folder.secrets.books_key))
    await books.post_many(entries, NOW, chart_of(PARTY, {"digital-euro": EURO}))


def _moved(number: int, source: Account, target: Account, amount: int) -> Entry:
    lines = (Line(source, -amount), Line(target, amount))
    return Entry(id_of(number), "test", lines, id_of(("payment", number)), f"invoice {number}")


def called(*arguments: str) -> tuple[int, Any]:
    """The exit status, and the document on standard output, or the error's."""
    done = CliRunner().invoke(app, ["books", *arguments, "--json"])
    return done.exit_code, json.loads(done.stdout) if done.stdout else json.loads(done.stderr)["error"]


def sums(found: dict[str, Any]) -> dict[str, str]:
    """Balance by name, of nodes in one asset."""
    return {node["name"]: node["sums"][0]["amount"] for node in found["nodes"]}


def act(gateway: GatewayFolder, action: str, entry: int, by: str, *more: str) -> tuple[int, Any]:
    """Somebody does something with an entry."""
    return called(action, str(entry), "--by", by, "--why", "a reason", *gateway.options, *more)


def test_balances_sum_to_zero_at_the_top(gateway: GatewayFolder) -> None:
    """The tree leads from accounts to the entity, whose sum is zero, and the equation holds."""
    status, found = called("balance", "--role", "accountant", *gateway.options)
    assert status == 0
    assert (sums(found)["bank-a"], sums(found)[EURO.nostro.name]) == ("0", "65000")
    assert [each["difference"] for each in found["equations"]] == ["0"]
    observed = called("balance", "--role", "observer", *gateway.options)[1]
    assert EURO.nostro.name not in sums(observed)


def test_each_role_sees_its_share_of_the_journal(gateway: GatewayFolder) -> None:
    """The accountant reads narratives, the auditor the entries alone, and an observer none."""
    accountant = called("journal", "--role", "accountant", *gateway.options)[1]
    assert [each["narrative"] for each in accountant] == ["invoice 1", "invoice 2", "invoice 3"]
    auditor = called("journal", "--role", "auditor", "--after", "1", *gateway.options)[1]
    assert [each["number"] for each in auditor] == [2, 3]
    assert "narrative" not in auditor[0]
    status, error = called("journal", "--role", "observer", *gateway.options)
    assert (status, error["type"]) == (ExitCode.REFUSED, "NotPermitted")


def test_auditor_accountant_and_cfo_decide_on_an_entry(gateway: GatewayFolder) -> None:
    """What the auditor suspends is in no confirmed balance, and what the CFO cancels is reversed; all is on record."""
    assert act(gateway, "suspend", 3, "carl") == (
        0,
        {"entry": 3, "state": "suspended", "suspended_by": "carl", "reversal": None},
    )
    confirmed = called("balance", "--role", "cfo", "--confirmed", *gateway.options)[1]
    assert sums(confirmed)[EURO.nostro.name] == "70000"
    status, found = act(gateway, "cancel", 3, "dora")
    assert (status, found["state"], found["reversal"]) == (0, "cancelled", 4)
    assert sums(called("balance", "--role", "cfo", *gateway.options)[1])[EURO.nostro.name] == "70000"
    recorded = called("acts", "--role", "cfo", *gateway.options)[1]
    assert [(each["action"], each["by"], each["why"]) for each in recorded] == [
        ("suspend", "carl", "a reason"),
        ("cancel", "dora", "a reason"),
    ]


def test_only_what_stands_there_is_done(gateway: GatewayFolder) -> None:
    """Nothing is cancelled that no auditor has suspended, and no entry that is not there is confirmed."""
    assert act(gateway, "cancel", 2, "dora")[1]["type"] == "WrongState"
    assert act(gateway, "confirm", 9, "ann")[1]["type"] == "UnknownEntry"


@pytest.mark.parametrize(
    ("action", "by"), [("suspend", "ann"), ("confirm", "carl"), ("cancel", "ann"), ("suspend", "x")]
)
def test_an_office_is_held_by_whom_the_rules_name(gateway: GatewayFolder, action: str, by: str) -> None:
    """Who has the gateway's password alone is no auditor, accountant or CFO."""
    status, error = act(gateway, action, 2, by)
    assert (status, error["type"]) == (ExitCode.REFUSED, "NotInOffice")


def test_money_from_elsewhere_is_posted_once_for_each_reference(gateway: GatewayFolder) -> None:
    """The accountant takes a deposit into the books; the same again posts nothing, another amount is refused."""
    words = ("--by", "ann", "--why", "cash", "--ledger", "digital-euro", "--reference", "R-1", *gateway.options)
    assert called("fund", "--amount", "5.00", *words) == called("fund", "--amount", "5.00", *words)
    assert sums(called("balance", "--role", "cfo", *gateway.options)[1])[EURO.nostro.name] == "65500"
    assert called("fund", "--amount", "6.00", *words)[1]["type"] == "EntryConflict"
    assert called("fund", "--amount", "0", *words)[1]["fields"]["field"] == "--amount"
    other = ("--by", "carl", *words[2:])
    assert called("fund", "--amount", "5.00", *other)[1]["type"] == "NotInOffice"
    assert called("fund", "--amount=-5.00", "--reference", "R-2", *words[:6], *gateway.options)[0] == 0


def test_a_person_with_a_key_signs(gateway: GatewayFolder, tmp_path: Path) -> None:
    """Where the rules name a key, nobody acts in the person's name without it."""
    (tmp_path / "carl.password").write_text("of carl")
    made = CliRunner().invoke(
        app, ["rules", "new-key", "carl", "--out", "carl.key", "--password-file", "carl.password", "--json"]
    )
    public = json.loads(made.stdout)["key"]
    rules = gateway.loaded.rules
    rules.write_text(rules.read_text().replace('roles = ["auditor"]', f'roles = ["auditor"]\nkey = "{public}"'))
    assert act(gateway, "suspend", 2, "carl")[1]["type"] == "NotInOffice"
    key = ("--person-key", "carl.key", "--person-password-file", "carl.password")
    assert act(gateway, "suspend", 2, "carl", *key)[0] == 0
    CliRunner().invoke(app, ["rules", "new-key", "carl", "--out", "other.key", "--password-file", "carl.password"])
    other = ("--person-key", "other.key", "--person-password-file", "carl.password")
    assert act(gateway, "suspend", 3, "carl", *other)[1]["type"] == "NotInOffice"


def test_the_journal_is_exported(gateway: GatewayFolder, tmp_path: Path) -> None:
    """CSV has a row for each line, and Beancount asserts the closing balances."""
    days = ("--first", str(DAY), "--last", str(DAY))
    status, found = called("export", "--role", "cfo", "--format", "csv", "--out", "x.csv", *days, *gateway.options)
    raw = (tmp_path / "x.csv").read_bytes()
    assert (status, found["bytes"], len(raw.splitlines())) == (0, len(raw), 7)
    assert b"invoice 2" in raw
    called("export", "--role", "auditor", "--format", "csv", "--out", "x.csv", *days, *gateway.options)
    assert "invoice" not in (tmp_path / "x.csv").read_text()
    called("export", "--role", "cfo", "--format", "beancount", "--out", "x.beancount", *days, *gateway.options)
    assert f"balance {EURO.nostro.name} 650.00 EUR" in (tmp_path / "x.beancount").read_text()
    status, error = called("export", "--role", "observer", "--format", "csv", "--out", "y.csv", *gateway.options)
    assert (status, error["type"], (tmp_path / "y.csv").exists()) == (ExitCode.REFUSED, "NotPermitted", False)
    wrong = called("export", "--role", "cfo", "--format", "csv", "--out", "y.csv", "--first", "May", *gateway.options)
    assert (wrong[0], wrong[1]["fields"]["field"]) == (ExitCode.BAD_INPUT, "--first")


def test_the_monitor_finds_what_was_changed(gateway: GatewayFolder) -> None:
    """Books that nobody has touched are right; a line that was edited is named."""
    config = ("--config", str(gateway.config))
    status, found = called("monitor", *config)
    assert (status, found["ok"], found["entries"]) == (0, True, 3)
    with sqlite3.connect(gateway.config.parent / "gateway.db") as connection:
        connection.execute("UPDATE books_lines SET low = low + 1 WHERE number = 2 AND place = 0")
    status, found = called("monitor", *config)
    assert (status, found["ok"]) == (ExitCode.REFUSED, False)
    assert "entry 2" in [each["subject"] for each in found["findings"]]


def test_the_monitor_replays_what_people_did(gateway: GatewayFolder) -> None:
    """An act that was taken out of the record is found by who has the password."""
    act(gateway, "suspend", 3, "carl")
    assert called("monitor", *gateway.options)[1]["ok"] is True
    with sqlite3.connect(gateway.config.parent / "gateway.db") as connection:
        connection.execute("DELETE FROM books_acts")
    status, found = called("monitor", *gateway.options)
    assert (status, found["findings"][0]["monitor"]) == (ExitCode.REFUSED, "acts")
    assert called("monitor", "--config", str(gateway.config))[1]["acts_checked"] is False


def test_an_alert_is_acknowledged(gateway: GatewayFolder) -> None:
    """An alert of the running gateway is shown until it is resolved, with who looks at it."""

    async def raised(unit: UnitOfWork) -> None:
        await AlertStore(unit.connection).update(Monitor.LEDGER, [Finding(Monitor.LEDGER, "balance", "other")], NOW)

    asyncio.run(gateway.write(raised))
    config = ("--config", str(gateway.config))
    number = called("monitor", *config)[1]["alerts"][0]["number"]
    assert called("acknowledge", str(number), "--by", "ann", *config)[0] == 0
    assert called("monitor", *config)[1]["alerts"][0]["by"] == "ann"
    assert called("acknowledge", "99", "--by", "ann", *config)[0] == ExitCode.REFUSED


class TestReconciling:
    """A camt.053 of the ledger against the books."""

    def statement(self, path: Path, *changes: int, opening: int = 0) -> None:
        """A statement with these movements, each under its payment's UETR."""
        entries = tuple(
            StatementEntry(f"R-{place}", change, DAY, "", uetr_of(id_of(("payment", place))))
            for place, change in enumerate(changes, 1)
        )
        times = NOW, UnixMs(NOW - 3_600_000), UnixMs(NOW + 3_600_000)
        account = OnStatement(other="bank-a")
        closing = opening + sum(changes)
        path.write_bytes(write_statement(Statement("M", "S", *times, account, EUR, opening, closing, entries)))

    def reconcile(self, gateway: GatewayFolder, *more: str) -> tuple[int, Any]:
        where = ("--ledger", "digital-euro", "--statement", "s.xml", "--role", "accountant")
        return called("reconcile", *where, *gateway.options, *more)

    def test_what_agrees_matches(self, gateway: GatewayFolder, tmp_path: Path) -> None:
        """The same movements and balances on both sides are no difference, also seen from the other side."""
        self.statement(tmp_path / "s.xml", 1000_00, -300_00, -50_00)
        status, found = self.reconcile(gateway)
        assert (status, found["matched"], found["first_difference"]) == (0, 3, None)
        self.statement(tmp_path / "s.xml", -1000_00, 300_00, 50_00)
        assert self.reconcile(gateway, "--reversed")[0] == 0

    def test_the_first_transfer_that_differs_is_named(self, gateway: GatewayFolder, tmp_path: Path) -> None:
        """Both sides' values are told, and the exit status says that they differ."""
        self.statement(tmp_path / "s.xml", 1000_00, -300_01, -50_00)
        status, found = self.reconcile(gateway)
        assert status == ExitCode.REFUSED
        assert "-300.00" in found["first_difference"]
        assert "-300.01" in found["first_difference"]

    def test_a_ledger_or_a_file_that_is_none_is_told(self, gateway: GatewayFolder, tmp_path: Path) -> None:
        """The option that is wrong is named."""
        assert self.reconcile(gateway)[1]["fields"]["field"] == "--statement"
        self.statement(tmp_path / "s.xml", 1)
        error = self.reconcile(gateway, "--ledger", "digital-yuan")[1]
        assert error["fields"]["field"] == "--ledger"
