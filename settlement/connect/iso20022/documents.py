"""XML that is safe to read and valid against its schema, and the small parts that all messages share.

What comes from outside is refused if it has a document type (so no entity is ever expanded and nothing is fetched), is
not UTF-8, or is larger than a megabyte or nested deeper than the schemas go. Errors name elements and quote no value.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation, localcontext
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from lxml import etree

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.quantities import MAX_UNITS, Asset, Units, tagged_hash

Element = etree._Element
DOCUMENT_BYTES_MAX: Final = 1 << 20
_SCHEMAS: Final = Path(__file__).parent / "schemas"
_TOTAL_DIGITS: Final = 18
_FRACTION_DIGITS: Final = 5
_DEPTH_MAX: Final = 64


class MessageType(StrEnum):
    """The messages that are read and written, in their version."""

    CREDIT_TRANSFER = "pacs.008.001.08"
    STATUS_REPORT = "pacs.002.001.10"
    STATEMENT = "camt.053.001.08"


class MalformedDocument(BadInput):
    """XML that is refused: unsafe, not valid against its schema, or in contradiction to itself."""


def namespace(message: MessageType) -> str:
    """The XML namespace of a message."""
    return f"urn:iso:std:iso:20022:tech:xsd:{message}"


def read_document(raw: bytes, message: MessageType) -> Element:
    """The root of a document that is valid against the message's schema.

    Raises:
        MalformedDocument: it is not, or is not safe to read; names the element.
    """
    if len(raw) > DOCUMENT_BYTES_MAX:
        raise MalformedDocument("document", f"more than {DOCUMENT_BYTES_MAX} bytes", "split the message")
    # In UTF-8 a document type is always these bytes; no other encoding is read, whatever the document declares.
    if b"<!DOCTYPE" in raw or b"\x00" in raw:
        raise MalformedDocument("document", "it has a document type, or is not UTF-8", "send plain XML in UTF-8")
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False,
        huge_tree=False, remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(raw, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise MalformedDocument("document", f"it is no well-formed XML (line {line})", "send plain XML") from None
    if _depth(root) > _DEPTH_MAX:
        raise MalformedDocument("document", "it is nested too deep", "see the schema")
    check_document(root, message)
    return root


def check_document(root: Element, message: MessageType) -> None:
    """Check a document against its schema.

    Raises:
        MalformedDocument: names the first element that is not as the schema has it, and why, without its value.
    """
    schema = _schema(message)
    if not schema.validate(root):
        error = cast(Any, schema.error_log)[0]
        place = str(error.path).replace("*", "").strip("/") or "document"
        raise MalformedDocument(_named(root, error.path) or place, f"not as {message} has it: {error.type_name}", "")


def write_document(root: Element, message: MessageType) -> bytes:
    """The document's bytes, once they are known to be valid.

    Raises:
        MalformedDocument: a value is not one that the schema allows; names the element.
    """
    check_document(root, message)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def new_document(message: MessageType, body: str) -> tuple[Element, Element]:
    """An empty document, and its one child named `body`."""
    space = namespace(message)
    root = etree.Element(f"{{{space}}}Document", nsmap=cast(dict[str, str], {None: space}))
    return root, etree.SubElement(root, f"{{{space}}}{body}")


def add(parent: Element, path: str, text: str | None = None) -> Element:
    """A new element at the end of `path`: names divided by slashes, of which those on the way may be there already."""
    space = etree.QName(parent).namespace
    *before, last = path.split("/")
    for name in before:
        found = parent[-1] if len(parent) and etree.QName(parent[-1]).localname == name else None
        parent = found if found is not None else etree.SubElement(parent, f"{{{space}}}{name}")
    element = etree.SubElement(parent, f"{{{space}}}{last}")
    element.text = text
    return element


def find(parent: Element, path: str) -> Element | None:
    """The first element at `path`."""
    space = etree.QName(parent).namespace
    return parent.find("/".join(f"{{{space}}}{name}" for name in path.split("/")))


def find_all(parent: Element, path: str) -> list[Element]:
    """All elements at `path`."""
    space = etree.QName(parent).namespace
    return parent.findall("/".join(f"{{{space}}}{name}" for name in path.split("/")))


def text_at(parent: Element, path: str) -> str | None:
    """The text at `path`, if the element is there."""
    found = find(parent, path)
    return None if found is None else (found.text or "")


def required(parent: Element, path: str) -> str:
    """The text at `path`.

    Raises:
        MalformedDocument: there is none: the schema leaves it open, and this gateway needs it.
    """
    found = text_at(parent, path)
    if found is None:
        raise MalformedDocument(path, "it is missing", "this gateway needs it")
    return found


def add_amount(parent: Element, path: str, asset: Asset, amount: int) -> Element:
    """An amount with its currency; exact.

    Raises:
        MalformedDocument: the asset is no ISO currency, or the amount has more than 18 digits or 5 decimals.
    """
    if len(asset.code) != 3 or not asset.code.isalpha() or not asset.code.isupper():
        raise MalformedDocument(f"{path}@Ccy", f"{asset.code} is no ISO 4217 currency", "ISO 20022 knows no other")
    text = asset.text(amount)
    if "." in text:
        text = text.rstrip("0").rstrip(".") if asset.scale > _FRACTION_DIGITS else text
    whole, _, fraction = text.partition(".")
    if len(whole.lstrip("0")) + len(fraction) > _TOTAL_DIGITS or len(fraction) > _FRACTION_DIGITS or amount < 0:
        raise MalformedDocument(path, "more than 18 digits or 5 decimals, or negative", "split the payment")
    element = add(parent, path, text)
    element.set("Ccy", asset.code)
    return element


def amount_of(element: Element, assets: dict[str, Asset]) -> tuple[Asset, Units]:
    """The amount of an element, in the base units of its currency; exact.

    Raises:
        MalformedDocument: the currency is not among `assets`, or the amount is finer than it or too large.
    """
    name = etree.QName(element).localname
    asset = assets.get(element.get("Ccy", ""))
    if asset is None:
        raise MalformedDocument(f"{name}@Ccy", "this currency is not configured", "add it to the assets")
    with localcontext() as context:
        context.prec = 100
        try:
            scaled = Decimal((element.text or "").strip()).scaleb(asset.scale)
        except InvalidOperation:
            raise MalformedDocument(name, "it is no amount", "digits with a decimal point") from None
        if scaled != scaled.to_integral_value():
            raise MalformedDocument(name, f"finer than {asset.code}'s {asset.scale} decimals", "")
    if not 0 <= scaled <= MAX_UNITS:
        raise MalformedDocument(name, "more than 2^64−1 base units", "split the payment")
    return asset, Units(int(scaled))


def time_text(at: UnixMs) -> str:
    """ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{at % 1000:03d}Z"


def time_of(text: str, field: str) -> UnixMs:
    """Unix milliseconds; a time without a zone is taken as UTC, and finer parts are cut off.

    Raises:
        MalformedDocument: it is no time that this gateway can hold.
    """
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        raise MalformedDocument(field, "it is no time", "ISO 8601, such as 2026-11-21T15:00:00Z") from None
    aware = read if read.tzinfo is not None else read.replace(tzinfo=UTC)
    elapsed = aware - datetime(1970, 1, 1, tzinfo=UTC)
    milliseconds = elapsed.days * 86_400_000 + elapsed.seconds * 1000 + elapsed.microseconds // 1000
    if milliseconds < 0:
        raise MalformedDocument(field, "it is before 1970", "")
    return UnixMs(milliseconds)


def day_of(text: str, field: str) -> date:
    """A day; a zone behind it, which XML allows, is cut off.

    Raises:
        MalformedDocument: it is no day.
    """
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError:
        raise MalformedDocument(field, "it is no day", "such as 2026-11-21") from None


def uetr_of(payment_id: bytes) -> str:
    """The unique end-to-end transaction reference of a payment: a UUID of version 4's form, out of its id."""
    raw = bytearray(tagged_hash("iso20022/uetr", payment_id)[:16])
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


@cache
def _schema(message: MessageType) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(_SCHEMAS / f"{message}.xsd"))


def _depth(root: Element) -> int:
    deepest, level = 0, [root]
    while level and deepest <= _DEPTH_MAX:
        deepest += 1
        level = [child for element in level for child in element]
    return deepest


def _named(root: Element, path: object) -> str:
    """The names of the elements down to `path` (libxml2 writes `/*/*[2]`)."""
    if not isinstance(path, str):
        return ""
    try:
        found = root.getroottree().xpath(path)
    except etree.XPathError:
        return ""
    if not isinstance(found, list) or not found or not isinstance(found[0], Element):
        return ""
    names = [etree.QName(found[0]).localname]
    names.extend(etree.QName(parent).localname for parent in found[0].iterancestors())
    return "/".join(reversed(names))
