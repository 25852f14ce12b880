"""Receipts as files at the command line."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.exits import ExitCode
from cli.main import app
from foundation.database import UnitOfWork
from foundation.quantities import UnixMs
from settlement.books.receipt_store import ReceiptStore
from settlement.gateway.cards import write_card
from settlement.gateway.keys import Secrets
from tests.support.gateway_folder import GatewayFolder, new_gateway_folder
from tests.support.settlement_books import NOW, A, B, C, id_of, receipt

PAYMENT = id_of(("payment", 3)).hex()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("CAUSEWAY_API", "CAUSEWAY_API_KEY_FILE", "CAUSEWAY_GATEWAY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    """The cards of all three parties, as they handed them out."""
    folder = tmp_path / "cards"
    folder.mkdir()
    write_cards(folder)
    return folder


def write_cards(folder: Path) -> None:
    """Cards by the seeds of `settlement_books`."""
    for party in (A, B, C):
        secrets = Secrets.derive(party, hashlib.sha256(party.encode()).digest())
        write_card(folder / f"{party}.json", secrets.card(f"http://{party}.example", UnixMs(NOW - 1_000)))


@pytest.fixture
def gateway(tmp_path: Path) -> GatewayFolder:
    """A gateway that keeps five receipts."""
    folder = new_gateway_folder(tmp_path / "bank-a")
    write_cards(folder.loaded.cards)

    async def keep(unit: UnitOfWork) -> None:
        await ReceiptStore(unit.connection).keep_many([receipt(label) for label in range(5)], NOW)

    asyncio.run(folder.write(keep))
    return folder


def called(*arguments: str) -> tuple[int, Any]:
    """The exit status, and the document on standard output, or the error's."""
    done = CliRunner().invoke(app, ["receipt", *arguments, "--json"])
    return done.exit_code, json.loads(done.stdout) if done.stdout else json.loads(done.stderr)["error"]


def outcomes(found: dict[str, Any]) -> dict[str, str]:
    """What came out of each check."""
    return {check["name"]: check["outcome"] for check in found["checks"]}


def test_an_auditor_verifies_an_exported_receipt_offline(gateway: GatewayFolder, cards: Path) -> None:
    """The signatures hold by keys that the auditor has from the parties, and what was not checked is named."""
    assert called("export", PAYMENT, "--config", str(gateway.config), "--out", "r.json")[0] == 0
    status, found = called("verify", "r.json", "--cards", str(cards))
    assert (status, found["is_sound"], found["payment_id"]) == (0, True, PAYMENT)
    assert outcomes(found)["keys"] == outcomes(found)["signature"] == "holds"
    assert outcomes(found)["inclusion"] == "unchecked"
    assert called("verify", "r.json", "--cards", str(cards), "--strict")[0] == ExitCode.REFUSED
    assert outcomes(called("verify", "r.json")[1])["keys"] == "unchecked"


def test_a_receipt_with_another_amount_is_found_out(gateway: GatewayFolder, cards: Path, tmp_path: Path) -> None:
    """A file that says more than was signed fails, and the exit status says so."""
    document = called("export", PAYMENT, "--config", str(gateway.config))[1]
    document["quote"]["target"]["amount"] += 1
    (tmp_path / "r.json").write_text(json.dumps(document))
    status, found = called("verify", "r.json", "--cards", str(cards))
    assert (status, found["is_sound"]) == (ExitCode.REFUSED, False)


def test_a_key_that_the_party_never_handed_out_is_found_out(gateway: GatewayFolder, cards: Path) -> None:
    """Keys that only the file vouches for do not pass for a party's."""
    called("export", PAYMENT, "--config", str(gateway.config), "--out", "r.json")
    other = Secrets.derive(C, bytes(32)).card("http://c.example", UnixMs(NOW - 1_000))
    write_card(cards / f"{C}.json", other)
    status, found = called("verify", "r.json", "--cards", str(cards))
    assert (status, outcomes(found)["keys"]) == (ExitCode.REFUSED, "fails")


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 10_000, b"\xff"])
def test_a_file_that_is_no_receipt_is_told(tmp_path: Path, content: bytes) -> None:
    """What cannot be read is a wrong file, and not an unsound receipt."""
    (tmp_path / "r.json").write_bytes(content)
    assert called("verify", "r.json")[0] == ExitCode.BAD_INPUT


def test_what_is_missing_is_named(gateway: GatewayFolder, tmp_path: Path) -> None:
    """No file, no cards, no payment: each is told with its own status."""
    assert called("verify", "none.json")[0] == ExitCode.BAD_INPUT
    called("export", PAYMENT, "--config", str(gateway.config), "--out", "r.json")
    (tmp_path / "empty").mkdir()
    status, error = called("verify", "r.json", "--cards", "empty")
    assert (status, error["fields"]["field"]) == (ExitCode.BAD_INPUT, "--cards")
    assert called("export", "11" * 32, "--config", str(gateway.config))[0] == ExitCode.NOT_FOUND
    assert called("export", PAYMENT)[1]["fields"]["field"] == "--api"
