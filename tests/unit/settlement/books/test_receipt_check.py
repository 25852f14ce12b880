"""A receipt's file, and an auditor who trusts nobody."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.books.anchoring import Anchoring
from settlement.books.batches import Anchored, BatchText, Place
from settlement.books.errors import UnknownReceipt
from settlement.books.receipt_check import Outcome, Report, TrustedKeys, verify_receipt
from settlement.books.receipt_file import ReceiptFile, decode_file, encode_file, read_file, receipt_file, write_file
from settlement.books.receipt_store import ReceiptStore
from settlement.cosign.cosignatures import assemble
from settlement.cosign.keys import LocalSigner
from settlement.cosign.statements import Kind, Statement
from tests.support.settlement_books import NOW, SIGNERS, A, B, C, books_database, id_of, receipt, registry

PLACE = Place("eip155:1337", b"\x11" * 20, b"\x22" * 20)
TRUSTED: TrustedKeys = {party: frozenset({signer.member.key}) for party, signer in SIGNERS.items()}


class MemoryAnchors:
    """A chain in memory. `roots`: by number."""

    def __init__(self) -> None:
        self.place = PLACE
        self.roots: dict[int, bytes] = {}

    async def anchor(self, text: BatchText) -> Anchored:
        assert text.previous == self.roots.get(text.number - 1, bytes(32))
        assert self.roots.setdefault(text.number, text.root) == text.root
        return Anchored(id_of(("transaction", text.number)), id_of(("block", text.number)), text.number)

    async def root_at(self, place: Place, number: int) -> bytes | None:
        return self.roots.get(number) if place == PLACE else None


async def _file(folder: Path, chain: MemoryAnchors, *, rounds: int = 1) -> ReceiptFile:
    """The file of receipt 3 out of five, anchored."""
    async with books_database(folder) as database:
        async with database.unit() as unit:
            await ReceiptStore(unit.connection).keep_many([receipt(label) for label in range(5)], NOW)
            await unit.commit()
        anchoring = Anchoring(database, chain, SIGNERS[A], lambda: NOW, 1_000)
        for _ in range(rounds):
            await anchoring.advance()
        async with database.view() as view:
            return await receipt_file(view, id_of(("payment", 3)), A, registry())


def _outcomes(report: Report) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in report.checks}


async def test_anchored_receipt_holds(tmp_path: Path) -> None:
    """With known keys and a chain at hand everything is checked, and holds; it comes back from its file as it was."""
    chain = MemoryAnchors()
    file = await _file(tmp_path, chain)
    write_file(tmp_path / "receipt.json", file)
    assert read_file(tmp_path / "receipt.json") == file
    assert file.receipt == receipt(3)
    report = await verify_receipt(file, TRUSTED, chain)
    assert [check.name for check in report.checks] == [
        *("possession", "keys", "quote", "signature", "inclusion", "batch", "anchor")
    ]
    assert report.is_complete, report


async def test_report_says_what_was_not_checked(tmp_path: Path) -> None:
    """Without known keys or a chain the rest is checked, and the report is sound and not complete."""
    report = await verify_receipt(await _file(tmp_path, MemoryAnchors()), None, None)
    assert (report.is_sound, report.is_complete) == (True, False)
    unchecked = {name for name, outcome in _outcomes(report).items() if outcome is Outcome.UNCHECKED}
    assert unchecked == {"keys", "anchor"}


async def test_receipt_that_is_in_no_batch_yet(tmp_path: Path) -> None:
    """A fresh receipt's signature is checked, and that it is in no batch is said."""
    file = await _file(tmp_path, MemoryAnchors(), rounds=0)
    outcomes = _outcomes(await verify_receipt(file, TRUSTED, None))
    assert outcomes["signature"] is Outcome.HOLDS
    assert outcomes["inclusion"] is Outcome.UNCHECKED


async def test_unknown_payment_has_no_file(tmp_path: Path) -> None:
    """A payment that is not closed has no receipt."""
    async with books_database(tmp_path) as database, database.view() as view:
        with pytest.raises(UnknownReceipt):
            await receipt_file(view, id_of("none"), A, registry())


def _set(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *way, last = path
        for step in way:
            document = document[step]
        document[last] = to(document[last]) if callable(to) else to

    return change


def _flip(text: str) -> str:
    raw = base64.b64decode(text)
    return base64.b64encode(bytes([raw[0] ^ 1]) + raw[1:]).decode()


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        (_set("preimage", to=_flip), "signature"),
        (_set("terms", to=_flip), "signature"),
        (_set("agreement", to=_flip), "signature"),
        (_set("payment_id", to=_flip), "signature"),
        (_set("quote", "target", "amount", to=1), "signature"),
        (_set("quote", "fee", to=0), "signature"),
        (_set("quote", "target", "amount", to=2**63), "quote"),
        (_set("quote", "source", "amount", to=-1), "quote"),
        (_set("quote", "payer", to="clearing"), "quote"),
        (_set("keys", to=lambda keys: keys[:2]), "signature"),
        (_set("keys", to=lambda keys: [{**keys[0], "possession": keys[1]["possession"]}, *keys[1:]]), "signature"),
        (_set("proof", "sequence", to=3), "inclusion"),
        (_set("proof", "sequence", to=9), "inclusion"),
        (_set("proof", "previous", to=_flip), "inclusion"),
        (_set("proof", "path", to=lambda path: path[::-1]), "inclusion"),
        (_set("proof", "text", "root", to=_flip), "inclusion"),
        (_set("proof", "text", "place", "authority", to=_flip), "batch"),
        (_set("proof", "text", "number", to=2), "batch"),
        (_set("proof", "text", "previous", to=_flip), "batch"),
        (_set("proof", "text", "made_at", to=NOW + 1), "batch"),
        (_set("proof", "keeper", to="bank-b"), "batch"),
    ],
)
async def test_changed_file_is_noticed(tmp_path: Path, change: Callable[[dict[str, Any]], None], failing: str) -> None:
    """Whatever is changed in a file, the check that it breaks is named."""
    chain = MemoryAnchors()
    document = json.loads(encode_file(await _file(tmp_path, chain)))
    change(document)
    report = await verify_receipt(decode_file(json.dumps(document).encode()), TRUSTED, chain)
    assert not report.is_sound
    assert _outcomes(report)[failing] is Outcome.FAILS, report


async def test_keys_of_strangers_are_refused(tmp_path: Path) -> None:
    """A receipt under made-up keys, each with its own good proof, fails where the auditor knows the parties' keys."""
    file = await _file(tmp_path, MemoryAnchors())
    other = LocalSigner(B, bytes(32)).possession(UnixMs(NOW - 1_000))
    trusted = {**TRUSTED, B: frozenset({other.key})}
    outcomes = _outcomes(await verify_receipt(file, trusted, None))
    assert outcomes["keys"] is Outcome.FAILS
    assert _outcomes(await verify_receipt(file, {A: TRUSTED[A], C: TRUSTED[C]}, None))["keys"] is Outcome.FAILS


async def test_receipt_signed_by_two_fails(tmp_path: Path) -> None:
    """A receipt that one of the three did not sign is none."""
    file = await _file(tmp_path, MemoryAnchors())
    two = msgspec.structs.replace(file, signature=receipt(3, signers=(A, C)).signature)
    outcomes = _outcomes(await verify_receipt(two, TRUSTED, None))
    assert outcomes["signature"] is Outcome.FAILS


async def test_batch_is_signed_by_its_keeper_alone(tmp_path: Path) -> None:
    """A batch that others have signed with its keeper is not one of the keeper's books."""
    file = await _file(tmp_path, MemoryAnchors())
    assert file.proof is not None
    text = file.proof.text
    statement = Statement(Kind.ANCHOR, text.digest, registry().circle([A, B], text.made_at))
    signature = assemble(statement, [SIGNERS[party].sign(statement) for party in (A, B)])
    both = msgspec.structs.replace(file, proof=msgspec.structs.replace(file.proof, signature=signature))
    assert _outcomes(await verify_receipt(both, TRUSTED, None))["batch"] is Outcome.FAILS


@pytest.mark.parametrize("roots", [{}, {1: b"\x01" * 32}])
async def test_root_that_the_chain_does_not_have_fails(tmp_path: Path, roots: dict[int, bytes]) -> None:
    """A keeper that signed one root and anchored another, or none, is found out."""
    chain = MemoryAnchors()
    file = await _file(tmp_path, chain)
    chain.roots = roots
    assert _outcomes(await verify_receipt(file, TRUSTED, chain))["anchor"] is Outcome.FAILS


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"\xff", b'{"format": "x"}', b" " * 70_000])
def test_what_is_no_file_is_refused(raw: bytes) -> None:
    """Anything else than a receipt's file is refused, and not with a traceback."""
    with pytest.raises(BadInput):
        decode_file(raw)
