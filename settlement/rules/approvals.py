"""Who approved what: proof that a person said so, before the rules count it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from foundation.quantities import UnixMs
from settlement.quantities import tagged_hash
from settlement.rules.errors import ForgedApproval
from settlement.rules.facts import Approval
from settlement.rules.model import Rules


@dataclass(frozen=True, slots=True)
class Signed:
    """The person's Ed25519 signature (64 bytes, RFC 8032) over `approval_digest`, by the key that the rules name."""

    signature: bytes


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The gateway has authenticated the person at its API. Good for persons without a key alone."""

    principal: str


Proof: TypeAlias = Signed | LoggedIn


def approval_digest(approval: Approval) -> bytes:
    """What a person signs, 32 bytes."""
    clears = (rule_id.encode() for rule_id in approval.clears)
    return tagged_hash("rules/approval", approval.subject, approval.person.encode(), _time(approval.at), *clears)


def authenticate(rules: Rules, approval: Approval, proof: Proof, now: UnixMs) -> None:
    """Check that the person said so.

    Raises:
        ForgedApproval: unknown person, another's login, a wrong signature, a login where a key is named, or a time to
            come.
    """
    person = rules.persons.get(approval.person)
    if person is None:
        raise ForgedApproval(approval.person, "the rules name no such person")
    if approval.at > now:
        raise ForgedApproval(approval.person, "it is dated later than now")
    match proof:
        case LoggedIn(principal=principal):
            if person.key is not None:
                raise ForgedApproval(approval.person, "this person signs; a login is not enough")
            if principal != person.name:
                raise ForgedApproval(approval.person, f"{principal[:40]!r} is logged in")
        case Signed(signature=signature):
            if person.key is None:
                raise ForgedApproval(approval.person, "the rules name no key for this person")
            try:
                Ed25519PublicKey.from_public_bytes(person.key).verify(signature, approval_digest(approval))
            except (InvalidSignature, ValueError) as error:
                raise ForgedApproval(approval.person, "the signature is wrong") from error


def _time(at: UnixMs) -> bytes:
    return at.to_bytes(8, "big")
