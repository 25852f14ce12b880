"""Two conflicting statements of one voucher, from a JSON file, as Bonds takes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adapters.native.eip712 import (
    ANCHOR_SPENT,
    DEPOSIT_ATTESTATION,
    PAYOUT_SETTLEMENT,
    HubDigests,
    recover,
)
from adapters.native.types import Statement, StatementKind
from cli.context import read_text
from foundation.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXTS: Final = {
    StatementKind.DEPOSIT_ATTESTATION: DEPOSIT_ATTESTATION,
    StatementKind.PAYOUT_SETTLEMENT: PAYOUT_SETTLEMENT,
    StatementKind.ANCHOR_SPENT: ANCHOR_SPENT,
}
_NAMES: Final = {text.partition("(")[0]: kind for kind, text in _TEXTS.items()}
_CURE: Final = "docs/cli.md shows the form of the file"
_PAYOUTS: Final = frozenset({StatementKind.PAYOUT_SETTLEMENT, StatementKind.ANCHOR_SPENT})


@dataclass(frozen=True, slots=True)
class Conflict:
    """A proof that a voucher lied. Fields: first, second (its statements); signer (its account)."""

    first: Statement
    second: Statement
    signer: bytes


def read_conflict(path: Path, digests: HubDigests) -> Conflict:
    """Two statements in a file, checked as Bonds checks them, so that nobody pays for a report that it refuses.

    Raises:
        BadInput: naming the file and what in it is wrong, or why the two prove nothing.
    """
    try:
        content = json.loads(read_text(path, "FILE"))
    except ValueError as error:
        raise BadInput(str(path), "is not JSON", _CURE) from error
    if not isinstance(content, dict) or set(content) != {"first", "second"}:
        raise BadInput(str(path), "has not the members first and second", _CURE)
    first, second = (_statement(content[name], f"{path}: {name}") for name in ("first", "second"))
    signers = [_signer(digests, said, f"{path}: {name}") for said, name in ((first, "first"), (second, "second"))]
    if signers[0] != signers[1]:
        problem = f"the statements are of two signers, 0x{signers[0].hex()} and 0x{signers[1].hex()}"
        raise BadInput(str(path), problem, "two statements of one voucher")
    if digests.statement(first) == digests.statement(second):
        raise BadInput(str(path), "both statements say the same: that is no conflict", "two that contradict")
    if not about_one_event(first, second):
        raise BadInput(str(path), "the statements are about two events: both may be true", "two about one event")
    return Conflict(first, second, signers[0])


def about_one_event(first: Statement, second: Statement) -> bool:
    """Whether only one of two different statements can be true: of one deposit's coin, or of one payout.

    Bonds asks besides that two deposits are on one chain, which its trial of the report shows.
    """
    if {first.kind, second.kind} == {StatementKind.DEPOSIT_ATTESTATION}:
        return first.words[1:3] == second.words[1:3]
    return {first.kind, second.kind} <= _PAYOUTS and first.words[0] == second.words[0]


def _statement(content: Any, field: str) -> Statement:
    if not isinstance(content, dict) or set(content) != {"kind", "message", "signature"}:
        raise BadInput(field, "has not the members kind, message and signature", _CURE)
    kind = _NAMES.get(str(content["kind"]))
    if kind is None:
        raise BadInput(f"{field}.kind", f"{content['kind']!r} is nothing to slash for", ", ".join(_NAMES))
    if not isinstance(content["message"], dict):
        raise BadInput(f"{field}.message", "is no object", _CURE)
    signature = _bytes(content["signature"], 65, f"{field}.signature")
    return Statement(kind, _words(kind, content["message"], f"{field}.message"), signature)


def _words(kind: StatementKind, message: Mapping[str, Any], field: str) -> tuple[bytes, ...]:
    """The structure's fields, 32 bytes each, in their order."""
    declared = [part.split(" ") for part in _TEXTS[kind].partition("(")[2].removesuffix(")").split(",")]
    names = [name for _, name in declared]
    if set(message) != set(names):
        raise BadInput(field, f"has other members than {', '.join(names)}", _CURE)
    words = []
    for type_, name in declared:
        value = message[name]
        if type_ == "uint256":
            words.append(_number(value, f"{field}.{name}").to_bytes(32, "big"))
        else:
            words.append(_bytes(value, 20 if type_ == "address" else 32, f"{field}.{name}").rjust(32, b"\0"))
    return tuple(words)


def _number(value: Any, field: str) -> int:
    """A number, or its digits as text, because programs round large ones."""
    text = str(value)
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or len(text) > 78:
        raise BadInput(field, "is no number", "digits")
    number = int(text)
    if number >= 1 << 256:
        raise BadInput(field, "is too large", "below 2**256")
    return number


def _bytes(value: Any, length: int, field: str) -> bytes:
    try:
        found = bytes.fromhex(str(value).removeprefix("0x"))
    except ValueError:
        found = b""
    if len(found) != length:
        raise BadInput(field, f"is not {length} bytes in hex", f"{2 * length} hex digits")
    return found


def _signer(digests: HubDigests, said: Statement, field: str) -> bytes:
    try:
        return recover(digests.statement(said), said.signature)
    except BadInput as error:
        raise BadInput(f"{field}.signature", error.problem, error.cure) from error
