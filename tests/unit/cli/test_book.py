"""The commands of a book, against a book in this process."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.exits import ExitCode
from cli.main import app
from settlement.connect.iso20022.camt053 import read_statement
from settlement.ledgers.book.config import BookConfig
from tests.support.settlement_book import EUR, OPERATOR_KEY, Bank


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No book of the machine is found by chance."""
    monkeypatch.chdir(tmp_path)
    for name in ("CAUSEWAY_BOOK", "CAUSEWAY_BOOK_URL", "CAUSEWAY_BOOK_KEY_FILE", "CAUSEWAY_BOOK_CERTIFICATE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def book(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bank]:
    """A book with nothing in it, whose operator's key is in `root.key`."""
    (tmp_path / "root.key").write_text(OPERATOR_KEY + "\n")
    async with Bank(sqlite_url) as bank:
        monkeypatch.setenv("CAUSEWAY_BOOK_URL", bank.url)
        monkeypatch.setenv("CAUSEWAY_BOOK_KEY_FILE", "root.key")
        yield bank


def called(*arguments: str) -> tuple[int, Any]:
    """The exit status, and the document on standard output, or the error's."""
    done = CliRunner().invoke(app, ["book", arguments[0], "--json", *arguments[1:]])
    return done.exit_code, json.loads(done.stdout) if done.stdout else json.loads(_document(done.stderr))["error"]


def _document(told: str) -> str:
    return told[told.index("{") :]


async def call(*arguments: str) -> tuple[int, Any]:
    """The same, while the book of this loop answers."""
    return await asyncio.to_thread(called, *arguments)


async def opened(*names: str) -> None:
    """An issuer, and accounts of the names."""
    assert (await call("open-account", "issuer", "--asset", "EUR", "--scale", "2", "--kind", "issuer"))[0] == 0
    for name in names:
        assert (await call("open-account", name, "--asset", "EUR", "--scale", "2"))[0] == 0


async def test_money_is_issued_once_however_often_the_id_is_repeated(book: Bank) -> None:
    """An account gets what is issued, and the same id again pays nothing more."""
    await opened("bank-a")
    status, paid = await call("issue", "bank-a", "12.34")
    assert (status, paid["amount"]) == (0, "1234")
    assert (await call("issue", "bank-a", "12.34", "--id", paid["transfer_id"]))[0] == 0
    status, shown = await call("accounts", "bank-a")
    assert (status, shown[0]["balance"], shown[0]["available"]) == (0, "1234", "1234")


async def test_another_payment_under_a_known_id_is_refused(book: Bank) -> None:
    """An id that stands for one amount does not pay another one, and the reason is told."""
    await opened("bank-a")
    _, paid = await call("issue", "bank-a", "1.00")
    status, error = await call("issue", "bank-a", "2.00", "--id", paid["transfer_id"])
    assert (status, error["fields"]["reason"]) == (ExitCode.REFUSED, "same_id_other_transfer")


@pytest.mark.parametrize("amount", ["0", "-1", "1.005", "1e3", "184467440737095516.16"])
async def test_an_amount_that_is_none_moves_nothing(book: Bank, amount: str) -> None:
    """Zero, negative, too fine, with an exponent or beyond 2^64−1: each is told, and the balance stays."""
    await opened("bank-a")
    status, error = await call("issue", "--", "bank-a", amount)
    assert status == ExitCode.BAD_INPUT
    assert error["fields"]["field"] == "AMOUNT"
    assert (await call("accounts", "bank-a"))[1][0]["balance"] == "0"


async def test_a_holder_sees_its_own_account_alone(book: Bank, tmp_path: Path) -> None:
    """The key of one bank reads its statement, and neither another's account nor the operator's commands."""
    await opened("bank-a", "bank-b")
    assert (await call("api-key", "bank-a", "--out", "a.key"))[0] == 0
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    own = ("--key-file", "a.key")
    assert (await call("accounts", "bank-a", *own))[0] == 0
    assert (await call("accounts", "bank-b", *own))[0] == ExitCode.NOT_FOUND
    status, error = await call("issue", "bank-a", "1.00", *own)
    assert (status, error["fields"]["reason"]) == (ExitCode.REFUSED, "not_allowed")
    status, error = await call("verify", *own)
    assert (status, error["fields"]["field"]) == (ExitCode.BAD_INPUT, "--key-file")
    assert (await call("revoke-key", "bank-a"))[0] == 0
    status, error = await call("accounts", "bank-a", *own)
    assert (status, error["fields"]["field"]) == (ExitCode.BAD_INPUT, "--key-file")


async def test_no_key_is_made_where_its_file_is_taken(book: Bank, tmp_path: Path) -> None:
    """A key's file is never overwritten, and the book keeps no key that nobody has."""
    (tmp_path / "a.key").write_text("mine")
    assert (await call("api-key", "bank-a", "--out", "a.key"))[0] == ExitCode.BAD_INPUT
    assert (tmp_path / "a.key").read_text() == "mine"
    assert (await call("api-key", "bank-a", "--out", "b.key"))[0] == 0
    assert (await call("api-key", "bank-a", "--out", "c.key"))[0] == ExitCode.REFUSED  # the id is taken
    assert not (tmp_path / "c.key").exists()


async def test_a_frozen_account_gets_nothing_until_it_is_thawed(book: Bank) -> None:
    """What is frozen is refused by the book, and what is thawed is paid."""
    await opened("bank-a")
    assert (await call("freeze", "bank-a"))[1]["frozen"] is True
    assert (await call("issue", "bank-a", "1.00"))[0] == ExitCode.REFUSED
    assert (await call("freeze", "bank-a", "--thaw"))[1]["frozen"] is False
    assert (await call("issue", "bank-a", "1.00"))[0] == 0


async def test_a_statement_leads_from_its_opening_to_its_closing_balance(book: Bank, tmp_path: Path) -> None:
    """The lines add up, and the camt.053 that is written reads back with the same balances."""
    await opened("bank-a")
    for amount in ("5.00", "7.50"):
        assert (await call("issue", "bank-a", amount))[0] == 0
    status, shown = await call("statement", "bank-a", "--camt053", "a.xml")
    assert status == 0
    assert [line["amount"] for line in shown["lines"]] == ["500", "750"]
    assert (shown["opening"], shown["closing"]) == ("0", "1250")
    message = read_statement((tmp_path / "a.xml").read_bytes(), {"EUR": EUR})
    assert (message.opening, message.closing, len(message.entries)) == (0, 1250, 2)
    assert (await call("statement", "bank-a", "--until", "2000-01-01"))[1]["lines"] == []
    status, error = await call("statement", "bank-a", "--since", "yesterday")
    assert (status, error["fields"]["field"]) == (ExitCode.BAD_INPUT, "--since")


async def test_the_database_is_read_beside_the_service(book: Bank, tmp_path: Path, sqlite_url: str) -> None:
    """With a configuration, all accounts are listed and the book is verified without any key."""
    await opened("bank-a")
    await call("issue", "bank-a", "1.00")
    (tmp_path / "book.toml").write_text(f'[book]\nledger_id = "digital-euro"\ndatabase = "{sqlite_url}"\n')
    status, shown = await call("accounts", "--config", "book.toml")
    assert (status, [each["account"] for each in shown]) == (0, ["bank-a", "issuer"])
    status, found = await call("verify", "--config", "book.toml")
    assert (status, found["ok"], found["sums"]) == (0, True, {"EUR/2": "0"})


async def test_a_book_that_is_wrong_ends_verify_with_a_status_of_its_own(
    book: Bank, tmp_path: Path, sqlite_url: str
) -> None:
    """Who changes a balance in the database is found out, and the account is named."""
    await opened("bank-a")
    await call("issue", "bank-a", "1.00")
    with sqlite3.connect(tmp_path / "test.db") as connection:
        connection.execute("UPDATE book_accounts SET balance = balance + 1 WHERE name = 'bank-a'")
    status, found = await call("verify")
    assert (status, found["ok"]) == (ExitCode.REFUSED, False)
    assert "account bank-a" in found["faults"][0]


def test_an_operators_key_opens_the_configured_book(tmp_path: Path) -> None:
    """The digest that `new-key` prints is one that the configuration takes; its owner alone may read the key."""
    status, made = called("new-key", "root", "--out", "root.key")
    assert status == 0
    assert (tmp_path / "root.key").read_text().startswith("root.")
    assert stat.S_IMODE((tmp_path / "root.key").stat().st_mode) == 0o600
    content = {"book": {"ledger_id": "l", "database": "sqlite:///b.db", "operators": {"root": made["digest"]}}}
    assert BookConfig.checked(content, tmp_path).operators == {"root": made["digest"]}
    assert called("new-key", "root", "--out", "root.key")[0] == ExitCode.BAD_INPUT


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["accounts", "bank-a"], "--url"),
        (["accounts", "bank-a", "--url", "ftp://x", "--key-file", "k"], "--url"),
        (["accounts", "bank-a", "--url", "http://127.0.0.1:1"], "--key-file"),
        (["accounts", "bank-a", "--url", "http://127.0.0.1:1", "--key-file", "none"], "--key-file"),
        (["accounts"], "ACCOUNT"),
        (["issue", "bank-a", "1", "--id", "12"], "--id"),
        (["run", "--config", "none.toml"], "none.toml"),
    ],
)
def test_what_is_missing_is_named(arguments: list[str], field: str) -> None:
    """A command that cannot begin says which option or file is wrong, and asks no book."""
    status, error = called(*arguments)
    assert (status, error["fields"]["field"]) == (ExitCode.BAD_INPUT, field)


def test_a_book_that_does_not_answer_may_be_asked_again(tmp_path: Path) -> None:
    """Nobody listens: the status says that the same command may succeed later."""
    (tmp_path / "k").write_text("a.b")
    assert called("accounts", "x", "--url", "http://127.0.0.1:9", "--key-file", "k")[0] == ExitCode.NOT_YET


def test_reading_makes_no_database(tmp_path: Path) -> None:
    """A command that reads a book that never ran says so, and leaves no file behind."""
    (tmp_path / "book.toml").write_text('[book]\nledger_id = "l"\ndatabase = "sqlite:///b.db"\n')
    assert called("accounts", "--config", "book.toml")[0] == ExitCode.NOT_FOUND
    assert not (tmp_path / "b.db").exists()
