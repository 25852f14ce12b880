"""A person's word on a payment: the person's key, and the approval signed with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from cli.book_times import iso, now
from cli.books_gateway import gateway, gateway_view, payment_id
from cli.context import keystore_password
from cli.exits import NotFound
from cli.rules_view import decision_row
from foundation.errors import BadInput, Fatal
from foundation.files import write_durably
from foundation.quantities import UnixMs
from foundation.unreadable import UNREADABLE
from settlement.cosign.keyfile import create_key_file, open_key_file
from settlement.quantities import party_id
from settlement.rules.approvals import Signed, approval_digest, authenticate
from settlement.rules.decision import Decision
from settlement.rules.facts import Approval
from settlement.rules.model import Rules, Verdict
from settlement.rules.reload import load_rules
from settlement.rules.store import RulesStore

_FILE_BYTES_MAX: Final = 65_536


class NothingToApprove(Fatal):
    """The payment does not wait for a person. Fields: verdict; cure."""

    def __init__(self, verdict: str, cure: str) -> None:
        self.verdict = verdict
        self.cure = cure
        super().__init__(f"the rules' last word on this payment is {verdict}: it waits for nobody")


class SignedApproval(Struct, frozen=True, forbid_unknown_fields=True):
    """An approval as it is handed in. Fields: payment_id, subject, signature (hex); person; clears; at (RFC 3339)."""

    payment_id: str
    subject: str
    person: str
    clears: list[str]
    at: str
    signature: str


@dataclass(frozen=True, slots=True)
class Signing:
    """Who approves, and what. Fields: person; key_file (None: no key); clears (rules whose referral is lifted)."""

    person: str
    key_file: Path | None
    clears: tuple[str, ...]

    def key(self, password_file: Path | None) -> Ed25519PrivateKey:
        """The person's key. Raises `BadInput`, `WrongPassword`, `KeystoreDamaged`."""
        if self.key_file is None:
            raise BadInput("--person-key", "is missing", "the file that `causeway rules new-key` made")
        person = party_id(self.person, "--person")
        password = keystore_password(password_file, what=f"key of {person}")
        try:
            return Ed25519PrivateKey.from_private_bytes(open_key_file(self.key_file, person, password))
        except OSError as error:
            cure = "the file that `causeway rules new-key` made"
            raise BadInput("--person-key", f"{self.key_file} cannot be read", cure) from error

    def sign(self, payment: bytes, subject: bytes, at: UnixMs, key: Ed25519PrivateKey) -> SignedApproval:
        """The person's approval of the facts whose digest is `subject`."""
        signature = key.sign(approval_digest(Approval(subject, self.person, self.clears, at)))
        return SignedApproval(payment.hex(), subject.hex(), self.person, list(self.clears), iso(at), signature.hex())


def make_person_key(person: str, out: Path, password: str) -> str:
    """Write a new key for a person; its public half, 64 hex digits.

    Raises:
        BadInput: no name that a key file can hold.
        KeystoreExists: a file is there already.
    """
    seed = create_key_file(out, party_id(person, "PERSON"), password)
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw().hex()


async def sign_approval(
    config_file: Path, payment: str, signing: Signing, password_file: Path | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The payment's last decision, and a person's approval of its facts, which the gateway's rules will count.

    Raises:
        NotFound: the rules have not looked at this payment.
        NothingToApprove: it passed, or is blocked.
        BadInput: a rule that is to be cleared has not referred the payment.
        ForgedApproval: the rules name another key for the person, or none.
    """
    number = payment_id(payment)
    config = gateway(config_file)
    rules = load_rules(config.rules)
    async with gateway_view(config) as view:
        entry = await RulesStore(view.connection, bytes(32)).latest(number)  # the key opens facts, which stay closed
    if entry is None:
        raise NotFound("the rules have not looked at this payment", "causeway rules decisions lists what they saw")
    check_referred(entry.decision, signing.clears)
    return decision_row(entry.decision), _signed(rules, number, entry.decision, signing, password_file)


def check_referred(decision: Decision, clears: tuple[str, ...]) -> None:
    """Raises `NothingToApprove`, or `BadInput` for a rule that did not refer the payment."""
    if decision.verdict is not Verdict.REFER:
        blocked = decision.verdict is Verdict.BLOCK
        cure = "nobody clears a block; a new payment is decided anew" if blocked else "it has passed"
        raise NothingToApprove(decision.verdict.name.lower(), cure)
    check_clears({each.rule_id for each in decision.reasons if each.verdict is Verdict.REFER}, clears)


def check_clears(referring: set[str], clears: tuple[str, ...]) -> None:
    """Raises `BadInput` for a rule that did not refer the payment."""
    for rule in clears:
        if rule not in referring:
            raise BadInput("--clear", f"{rule[:80]!r} has not referred this payment", f"one of {sorted(referring)}")


def _signed(
    rules: Rules, number: bytes, decision: Decision, signing: Signing, password_file: Path | None
) -> dict[str, Any]:
    at = now()
    made = signing.sign(number, decision.facts_digest, at, signing.key(password_file))
    approval = Approval(decision.facts_digest, signing.person, signing.clears, at)
    authenticate(rules, approval, Signed(bytes.fromhex(made.signature)), at)
    document: dict[str, Any] = msgspec.to_builtins(made)
    return document


def write_approval(approval: dict[str, Any], path: Path) -> None:
    """Write an approval for `causeway payment approve`."""
    write_durably(path, (json.dumps(approval, indent=2) + "\n").encode(), 0o644)


def read_approval(path: Path) -> SignedApproval:
    """Read it. Raises `BadInput`."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_FILE_BYTES_MAX), type=SignedApproval)
    except OSError as error:
        raise BadInput("--approval", f"{path} cannot be read", "the path of an approval") from error
    except UNREADABLE as error:
        cure = "the file that `causeway rules approve` wrote"
        raise BadInput("--approval", f"{path} is no approval: {error}", cure) from error
