"""A book's configuration, its API keys, and its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from foundation.database import Database
from foundation.errors import BadInput
from settlement.ledgers.book.__main__ import main
from settlement.ledgers.book.config import BookConfig
from settlement.ledgers.book.keys import Doorkeeper, digest_of, new_key
from settlement.ledgers.book.service import BookService
from settlement.ledgers.book.tables import METADATA, SCHEMA
from tests.support.settlement_book import BOOK_SCHEMA, OPERATOR_DIGEST, OPERATOR_KEY, Bank, Time

TEXT = f"""
[book]
ledger_id = "digital-euro"
database = "sqlite:///book.db"
port = 0
operators = {{ root = "{OPERATOR_DIGEST.hex()}" }}
"""


def loaded(folder: Path, content: str) -> BookConfig:
    path = folder / "book.toml"
    path.write_text(content)
    return BookConfig.load(path)


async def test_a_configured_book_runs(tmp_path: Path) -> None:
    """A few lines of TOML are enough; a relative database lies beside the file."""
    async with BookService(loaded(tmp_path, TEXT)) as service:
        assert service.url.startswith("http://127.0.0.1:")
        assert (tmp_path / "book.db").exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ('ledger_id = "Digital Euro"', "book.ledger_id"),
        ("port = 65536", "book.port"),
        ('port = "80"', "book.port"),
        ("tick_ms = 0", "book.tick_ms"),
        ("unknown = 1", "book"),
        ('operators = { root = "00" }', "book.operators"),
        ('host = "0.0.0.0"', "book.host"),
        ('tls_key = "key.pem"', "book.tls_key"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, change: str, field: str) -> None:
    """A configuration that cannot be used is refused with the name of the value, before anything starts."""
    name = change.split(" ", maxsplit=1)[0]
    kept = "\n".join(line for line in TEXT.splitlines() if not line.startswith(f"{name} "))
    with pytest.raises(BadInput) as refusal:
        loaded(tmp_path, f"{kept}\n{change}\n")
    assert refusal.value.field.startswith(field)


@pytest.mark.parametrize("content", ["[book", "[other]\na = 1\n", "[book]\n"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: str) -> None:
    """What is no TOML, has no such table, or lacks what a book needs, is refused."""
    with pytest.raises(BadInput):
        loaded(tmp_path, content)
    with pytest.raises(BadInput):
        BookConfig.load(tmp_path / "missing.toml")


async def test_keys_in_clear_do_not_leave_the_machine(tmp_path: Path) -> None:
    """Other addresses than loopback need TLS, whose files must be there."""
    tls = 'host = "0.0.0.0"\ntls_certificate = "missing.pem"\ntls_key = "missing.pem"\n'
    with pytest.raises(BadInput) as refusal:
        async with BookService(loaded(tmp_path, TEXT + tls)):
            pass
    assert refusal.value.field == "book.tls_certificate"


async def test_a_port_that_is_taken_is_named(sqlite_url: str, tmp_path: Path) -> None:
    """A second book on the same port says why it cannot start."""
    async with Bank(sqlite_url) as bank:
        port = bank.url.rpartition(":")[2]
        with pytest.raises(BadInput) as refusal:
            async with BookService(loaded(tmp_path, TEXT.replace("port = 0", f"port = {port}"))):
                pass
    assert refusal.value.field == "book.port"


def test_the_command_makes_keys_and_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    """`new-key` prints a key and the digest that the configuration takes; anything else prints the usage."""
    assert main(["new-key", "root"]) == 0
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    key_id, _, secret = lines["key"].partition(".")
    assert f'"{key_id}" = "{digest_of(key_id, secret).hex()}"' in lines["configuration"]
    assert main(["new-key", "Bad Id"]) == 1
    assert main([]) == 2
    assert main(["/nowhere/book.toml"]) == 1


async def test_the_database_does_not_know_the_keys(sqlite_url: str) -> None:
    """What is stored of a key does not open the door."""
    async with Bank(sqlite_url) as bank:
        await bank.account("alice")
        secret = bank.keys["alice"].partition(".")[2]
        engine = create_async_engine(sqlite_url)
        async with engine.connect() as connection:
            row = (await connection.execute(text("SELECT * FROM book_keys"))).one()
        await engine.dispose()
    assert row.key_id == "alice-key"
    assert secret.encode() not in bytes(row.digest)
    assert len(row.digest) == 32
    assert secret not in str(row)


async def test_a_key_of_another_process_is_known_and_its_end_too(sqlite_url: str, clock: Time) -> None:
    """What another process gave out or took back counts here two seconds later at the latest."""
    async with Bank(sqlite_url, clock) as bank, await Database.open(sqlite_url, BOOK_SCHEMA) as database:
        doors = Doorkeeper(database, {}, clock)
        assert await doors.caller("Bearer alice-key.unknown") is None
        await bank.account("alice")
        header = f"Bearer {bank.keys['alice']}"
        clock.now += 2_000
        assert await doors.caller(header) is not None
        await bank.operator.revoke_key("alice-key")
        clock.now += 2_000
        assert await doors.caller(header) is None


def test_keys_differ() -> None:
    """Two keys of one id have different secrets, and the id is part of the digest."""
    (first, digest), (second, other) = new_key("a"), new_key("a")
    assert first != second
    assert digest != other
    assert digest_of("a", "secret") != digest_of("b", "secret")
    assert OPERATOR_KEY.startswith("root.")


async def test_the_revision_makes_exactly_the_tables_that_the_code_uses(database_url: str) -> None:
    """A database upgraded from nothing differs in nothing from the tables that the stores are written against."""

    def differences(connection: Connection) -> list[Any]:
        def ours(name: str | None, kind: str, parents: object) -> bool:
            return not (kind == "table" and name == SCHEMA.version_table)

        options = {"compare_type": True, "version_table": SCHEMA.version_table, "include_name": ours}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))

    async with await Database.open(database_url, SCHEMA):
        engine = create_async_engine(database_url)
        async with engine.connect() as connection:
            found = await connection.run_sync(differences)
        await engine.dispose()
    assert found == []
