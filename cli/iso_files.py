"""Messages of ISO 20022 as files: XML that is checked against its schema and rules, and JSON with the same content.

Amounts in JSON are text, in base units of their asset, as everywhere; `asset` tells its decimals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from foundation.errors import BadInput
from foundation.files import write_durably
from settlement.connect.iso20022.camt053 import Statement, read_statement, write_statement
from settlement.connect.iso20022.documents import DOCUMENT_BYTES_MAX, MessageType
from settlement.connect.iso20022.pacs002 import StatusReport, read_status_report, write_status_report
from settlement.connect.iso20022.pacs008 import CreditTransfer, read_credit_transfer, write_credit_transfer
from settlement.quantities import Asset, Scale

Assets = dict[str, Asset]
_AMOUNTS: Final = frozenset({"amount", "opening", "closing", "change"})


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of message. Fields: message; type (its dataclass); read and write (its XML)."""

    message: MessageType
    type: Any
    read: Callable[[bytes, Assets], Any]
    write: Callable[[Any], bytes]


PACS008: Final = Form(MessageType.CREDIT_TRANSFER, CreditTransfer, read_credit_transfer, write_credit_transfer)
PACS002: Final = Form(
    MessageType.STATUS_REPORT, StatusReport, lambda raw, _: read_status_report(raw), write_status_report
)
CAMT053: Final = Form(MessageType.STATEMENT, Statement, read_statement, write_statement)
FORMS: Final[Mapping[str, Form]] = {"pacs008": PACS008, "pacs002": PACS002, "camt053": CAMT053}


@dataclass(frozen=True, slots=True)
class Opened:
    """A message that is valid. Fields: form; content (its dataclass); is_xml (how the file has it)."""

    form: Form
    content: Any
    is_xml: bool

    def document(self) -> dict[str, Any]:
        """The content for JSON."""
        found: dict[str, Any] = _texts(msgspec.to_builtins(self.content))
        return found

    def xml(self) -> bytes:
        """The message in XML. Raises `MalformedDocument`."""
        return self.form.write(self.content)


def open_message(path: Path, form: Form, assets: Assets) -> Opened:
    """Read a message of XML or JSON, and check it: what is answered can be written as valid XML.

    Raises:
        MalformedDocument: it is not valid; names the element, and quotes no value.
        BadInput: the file cannot be read, or its JSON is none of this message.
    """
    raw = _read(path)
    if raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return Opened(form, form.read(raw, assets), True)
    try:
        content = msgspec.json.decode(raw, type=form.type, strict=False)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        raise BadInput(place.strip("`.") or "FILE", problem[:1].lower() + problem[1:], "see docs/connect.md") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        cure = f"a {form.message} message, or what --json prints of one"
        raise BadInput("FILE", f"{path} is neither XML nor JSON", cure) from None
    form.write(content)
    return Opened(form, content, False)


def write_message(message: Opened, path: Path) -> None:
    """Write the message as XML, valid against its schema. Raises `MalformedDocument`."""
    write_durably(path, message.xml(), 0o600)


def assets_of(texts: Iterable[str]) -> Assets:
    """Assets by their currency, of texts such as `EUR/2`.

    Raises:
        BadInput: one is none, or a currency comes twice with other decimals.
    """
    found: Assets = {}
    for text in texts:
        code, slash, scale = text.partition("/")
        if not slash or not scale.isascii() or not scale.isdigit() or len(scale) > 3:
            raise BadInput("--asset", f"{text[:40]!r} is no asset", "the currency and its decimals, such as EUR/2")
        asset = Asset(code, Scale(int(scale)))
        if found.setdefault(code, asset) != asset:
            raise BadInput("--asset", f"{code} comes with two scales", "name each currency once")
    return found


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(DOCUMENT_BYTES_MAX + 1)
    except OSError as error:
        raise BadInput("FILE", f"{path} cannot be read", "the path of a message") from error
    if len(raw) > DOCUMENT_BYTES_MAX:
        raise BadInput("FILE", f"{path} has more than {DOCUMENT_BYTES_MAX} bytes", "split the message")
    return raw


def _texts(value: Any, name: str = "") -> Any:
    """The same with amounts as text; a pair of asset and amount, as `instructed` is, has its amount second."""
    if isinstance(value, dict):
        return {key: _texts(each, key) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(each, "amount" if name == "instructed" else "") for each in value]
    return str(value) if name in _AMOUNTS and isinstance(value, int) else value
