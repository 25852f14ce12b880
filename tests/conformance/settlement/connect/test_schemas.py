"""The stored message schemas: whole, of one edition, and reading nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

import settlement.connect.iso20022.documents as documents
from settlement.connect.iso20022.documents import MessageType, namespace

FOLDER = Path(documents.__file__).parent / "schemas"
XS = "{http://www.w3.org/2001/XMLSchema}"


def types(message: MessageType) -> dict[str, bytes]:
    """The types of a schema by their names, in canonical form."""
    parser = etree.XMLParser(remove_blank_text=True, remove_comments=True)
    root = etree.parse(FOLDER / f"{message}.xsd", parser).getroot()
    found = {}
    for part in root:
        if part.tag != f"{XS}element":
            text = etree.tostring(part, method="c14n").replace(namespace(message).encode(), b"")
            found[part.get("name", "")] = text
    return found


@pytest.mark.parametrize("other", [MessageType.STATEMENT, MessageType.CREDIT_TRANSFER])
def test_types_of_one_name_are_one_type(other: MessageType) -> None:
    """What the schema of the status report shares with the schemas as ISO published them is the same, word for word."""
    mine, theirs = types(MessageType.STATUS_REPORT), types(other)
    shared = (mine.keys() & theirs.keys()) - {"Document"}
    assert len(shared) > 90
    assert {name for name in shared if mine[name] != theirs[name]} == set()


@pytest.mark.parametrize("message", list(MessageType))
def test_a_schema_needs_nothing_from_elsewhere(message: MessageType) -> None:
    """No schema imports or includes another, and every type that it uses is its own."""
    root = etree.parse(FOLDER / f"{message}.xsd").getroot()
    assert root.get("targetNamespace") == namespace(message)
    assert [part.tag for part in root.iter(f"{XS}import", f"{XS}include", f"{XS}redefine")] == []
    used = {part.get("type") or part.get("base") for part in root.iter() if part.get("type") or part.get("base")}
    assert {name for name in used if name and not name.startswith("xs:")} <= types(message).keys()
