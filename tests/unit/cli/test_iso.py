"""The commands of ISO 20022 messages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.exits import ExitCode
from cli.iso_files import FORMS, Assets, open_message
from cli.main import app
from settlement.quantities import Units
from tests.support.settlement_iso20022 import ASSETS, REPORT, STATEMENT, TRANSFER

CONTENT: dict[str, Any] = {"pacs008": TRANSFER, "pacs002": REPORT, "camt053": STATEMENT}
NAMED = ("--asset", "EUR/2", "--asset", "SGD/2")


def run(name: str, *arguments: str) -> Any:
    """The command, done."""
    options = () if name == "pacs002" else NAMED
    return CliRunner().invoke(app, ["iso", name, *arguments, *options])


def told(name: str, *arguments: str) -> tuple[int, Any]:
    """The exit status, and the document on standard output, or the error's."""
    done = run(name, *arguments, "--json")
    return done.exit_code, json.loads(done.stdout) if done.stdout else json.loads(done.stderr)["error"]


@pytest.fixture(params=sorted(FORMS))
def name(request: pytest.FixtureRequest) -> str:
    """Each message."""
    return str(request.param)


@pytest.fixture
def file(tmp_path: Path, name: str) -> Path:
    """One in XML."""
    path = tmp_path / "message.xml"
    path.write_bytes(FORMS[name].write(CONTENT[name]))
    return path


def test_a_message_goes_to_json_and_back(tmp_path: Path, name: str, file: Path) -> None:
    """The XML that is made of the JSON is, byte for byte, the XML that the JSON was made of."""
    status, document = told(name, str(file))
    assert status == 0
    (tmp_path / "message.json").write_text(json.dumps(document))
    assert run(name, str(tmp_path / "message.json"), "--xml", str(tmp_path / "again.xml")).exit_code == 0
    assert (tmp_path / "again.xml").read_bytes() == file.read_bytes()


def test_a_message_that_is_not_valid_is_refused(tmp_path: Path, name: str, file: Path) -> None:
    """An element that the schema does not know, and a file of another message, are told with the element."""
    damaged = tmp_path / "damaged.xml"
    damaged.write_bytes(file.read_bytes().replace(b"<MsgId>", b"<Msg>").replace(b"</MsgId>", b"</Msg>"))
    status, error = told(name, str(damaged))
    assert (status, error["type"]) == (ExitCode.BAD_INPUT, "MalformedDocument")
    other = "pacs002" if name == "pacs008" else "pacs008"
    assert told(other, str(file))[0] == ExitCode.BAD_INPUT


def test_people_are_told_nothing_personal(file: Path, name: str) -> None:
    """Without --json neither names nor accounts are shown."""
    done = run(name, str(file))
    assert done.exit_code == 0
    for secret in ("Musterfrau", "Geheimgasse", "DE02120300000000202051", "Rechnung"):
        assert secret not in done.output


def test_json_is_held_to_the_rules_of_the_message(tmp_path: Path) -> None:
    """A statement whose entries do not lead to its closing balance is refused, also as JSON."""
    (tmp_path / "s.xml").write_bytes(FORMS["camt053"].write(STATEMENT))
    document = told("camt053", str(tmp_path / "s.xml"))[1]
    (tmp_path / "s.json").write_text(json.dumps(document | {"closing": "1"}))
    status, error = told("camt053", str(tmp_path / "s.json"))
    assert (status, error["type"]) == (ExitCode.BAD_INPUT, "UnbalancedStatement")


def test_the_greatest_amount_survives_both_ways(tmp_path: Path) -> None:
    """Amounts beyond what programs take numbers to be are text, and come back exactly."""
    most: Assets = ASSETS
    great = replace(TRANSFER, amount=Units(999_999_999_999_999_999))
    (tmp_path / "p.xml").write_bytes(FORMS["pacs008"].write(great))
    document = told("pacs008", str(tmp_path / "p.xml"))[1]
    assert document["amount"] == "999999999999999999"
    assert document["instructed"][1] == "200000"
    (tmp_path / "p.json").write_text(json.dumps(document))
    assert open_message(tmp_path / "p.json", FORMS["pacs008"], most).content == great


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "FILE"),
        (b"hello", "FILE"),
        (b"{}", "FILE"),
        (b'{"message_id": {}}', "message_id"),
        (b"[" * 100_000, "FILE"),
        (b'{"stranger": ' + b"[" * 100_000, "FILE"),
    ],
    ids=["empty", "text", "nothing", "little", "deep", "deep-inside"],
)
def test_what_is_no_message_is_told(tmp_path: Path, content: bytes, field: str) -> None:
    """Neither XML nor the JSON of a message: the file is named, and nothing of it is quoted."""
    (tmp_path / "x").write_bytes(content)
    status, error = told("pacs008", str(tmp_path / "x"))
    assert (status, error["fields"]["field"]) == (ExitCode.BAD_INPUT, field)


@pytest.mark.parametrize("asset", ["EUR", "EUR/x", "EUR/-1", "EUR/9999", "/2"])
def test_an_asset_that_is_none_is_told(tmp_path: Path, asset: str) -> None:
    """A currency comes with its decimals."""
    done = CliRunner().invoke(app, ["iso", "camt053", str(tmp_path / "x"), "--asset", asset, "--json"])
    assert done.exit_code == ExitCode.BAD_INPUT
    assert json.loads(done.stderr)["error"]["fields"]["field"] in ("--asset", "asset.code", "asset.scale")
