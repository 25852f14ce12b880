"""`causeway bond report`: which files prove a conflict, and what is said of those that do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.native.eip712 import HubDigests, account_of_secret, sign_digest
from adapters.native.types import StatementKind
from cli.bond_report import read_conflict
from foundation.errors import BadInput

DIGESTS = HubDigests(31_337, b"\x02" * 20)
LIAR, OTHER = b"\x11" * 32, b"\x12" * 32
PAYOUT = b"\x0a" * 32


def settlement(payout: bytes = PAYOUT, fee: int = 1, by: bytes = LIAR) -> dict[str, Any]:
    """A settlement, as the file has it."""
    signature = sign_digest(by, DIGESTS.payout_settlement(payout, b"\x0b" * 32, fee))
    message = {"payout": "0x" + payout.hex(), "txid": "0x" + "0b" * 32, "fee": str(fee)}
    return {"kind": "PayoutSettlement", "message": message, "signature": "0x" + signature.hex()}


def anchor_spent(payout: bytes = PAYOUT) -> dict[str, Any]:
    """That the anchor was spent by a stranger."""
    signature = sign_digest(LIAR, DIGESTS.anchor_spent(payout, b"\x0c" * 32))
    message = {"payout": payout.hex(), "spender": "0c" * 32}
    return {"kind": "AnchorSpent", "message": message, "signature": signature.hex()}


def attestation(amount: int, txid: bytes = b"\x0d" * 32) -> dict[str, Any]:
    """A deposit's attestation."""
    fields = (b"\x01" * 32, txid, 1, amount, b"\x02" * 20, b"\x03" * 32)
    signature = sign_digest(LIAR, DIGESTS.deposit_attestation(*fields))
    names = ("asset", "txid", "vout", "amount", "recipient", "group")
    message = {n: "0x" + v.hex() if isinstance(v, bytes) else v for n, v in zip(names, fields, strict=True)}
    return {"kind": "DepositAttestation", "message": message, "signature": "0x" + signature.hex()}


def wrote(folder: Path, first: Any, second: Any) -> Path:
    """A file with two statements."""
    path = folder / "conflict.json"
    path.write_text(json.dumps({"first": first, "second": second}))
    return path


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (settlement(fee=1), settlement(fee=2)),
        (settlement(), anchor_spent()),
        (attestation(5), attestation(6)),
    ],
    ids=["two fees", "paid and not paid", "two amounts"],
)
def test_contradictions_are_a_conflict(tmp_path: Path, first: dict[str, Any], second: dict[str, Any]) -> None:
    """The signer is found from the signatures, and both statements are as Bonds takes them."""
    found = read_conflict(wrote(tmp_path, first, second), DIGESTS)
    assert found.signer == account_of_secret(LIAR)
    assert all(len(word) == 32 for said in (found.first, found.second) for word in said.words)
    assert found.first.kind is StatementKind[{"D": "DEPOSIT_ATTESTATION", "P": "PAYOUT_SETTLEMENT"}[first["kind"][0]]]


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        (settlement(), settlement(), "the same"),
        (settlement(), settlement(fee=2, by=OTHER), "two signers"),
        (settlement(), settlement(payout=b"\x0e" * 32), "two events"),
        (settlement(), attestation(5), "two events"),
        (attestation(5), attestation(5, txid=b"\x0f" * 32), "two events"),
        (settlement() | {"kind": "Halt"}, settlement(fee=2), "nothing to slash for"),
        (settlement() | {"signature": "0x00"}, settlement(fee=2), "65 bytes"),
        (settlement() | {"signature": "0x" + "00" * 65}, settlement(fee=2), "v is 0"),
        (settlement() | {"message": {}}, settlement(fee=2), "other members"),
        ({}, settlement(fee=2), "has not the members"),
        (settlement() | {"message": settlement()["message"] | {"fee": -1}}, settlement(fee=2), "no number"),
    ],
)
def test_what_proves_nothing_is_refused_before_it_is_sent(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], problem: str
) -> None:
    """The file and what is wrong in it are named, so that nobody pays for a report that Bonds refuses."""
    path = wrote(tmp_path, first, second)
    with pytest.raises(BadInput, match=problem) as error:
        read_conflict(path, DIGESTS)
    assert error.value.field.startswith(str(path))
    assert error.value.cure


def test_a_file_that_is_no_report_is_refused(tmp_path: Path) -> None:
    """Neither JSON, nor an object with two statements."""
    for text in ("nonsense", "[]", '{"first": 1}'):
        (tmp_path / "x").write_text(text)
        with pytest.raises(BadInput):
            read_conflict(tmp_path / "x", DIGESTS)
