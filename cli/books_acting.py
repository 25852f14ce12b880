"""What an office does with an entry of the books, and the proof that its holder did it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cli.book_times import now
from cli.books_gateway import gateway_unit, gateway_view
from cli.books_reading import Opened, ledger_of
from cli.rules_approving import Signing
from foundation.errors import BadInput, Fatal
from settlement.books.journal import Entry
from settlement.books.postings import chart_of, funding_entry
from settlement.books.reviews import Reviews
from settlement.books.roles import Act, Action, Review, Role
from settlement.books.store import Books
from settlement.gateway.config import GatewayConfig
from settlement.quantities import tagged_hash
from settlement.rules.model import Rules
from settlement.rules.reload import load_rules


class NotInOffice(Fatal):
    """The person does not hold the office, or has not signed. Fields: person; problem; cure."""

    def __init__(self, person: str, problem: str, cure: str) -> None:
        self.person = person
        self.problem = problem
        self.cure = cure
        super().__init__(f"{person[:64]}: {problem}")


@dataclass(frozen=True, slots=True)
class Officer:
    """Who acts. Fields: name; key_file and password_file (of the person's own key; None: none)."""

    name: str
    key_file: Path | None
    password_file: Path | None

    def sign(self, digest: bytes) -> bytes:
        """The person's signature; empty without a key. Raises `BadInput`, `WrongPassword`, `KeystoreDamaged`."""
        if self.key_file is None:
            return b""
        return Signing(self.name, self.key_file, ()).key(self.password_file).sign(digest)


async def act(books: Opened, number: int, action: str, officer: Officer, why: str) -> dict[str, Any]:
    """Do something with an entry; how it stands then.

    The gateway's rules name who holds which office, in their [[person]] entries; where they name a key for the person,
    its signature over the act and the entry is asked for, checked and kept.

    Raises:
        NotInOffice: the person does not hold the role's office, or has not signed.
        UnknownEntry, NotPermitted, SamePerson, WrongState: as `Reviews.act` says.
    """
    rules = load_rules(books.config.rules)
    done = Act(Action(action), books.role, officer.name, why)
    check_office(rules, done.actor, done.role)
    async with gateway_view(books.config) as view:
        posted = await Books(view.connection).entry(number)
    # Signed before the unit begins: a key takes a while to open, and the gateway would wait.
    evidence = officer.sign(done.digest(posted.digest))

    def check(act: Act, digest: bytes, shown: bytes) -> None:
        check_signature(rules, act, digest, shown)

    async with gateway_unit(books.config) as unit:
        review = await Reviews(unit.connection, books.key, check).act(number, done, now(), evidence)
        await unit.commit()
    return _row(review)


@dataclass(frozen=True, slots=True)
class Funding:
    """Money that came to a ledger's account by another way than a payment of this gateway; negative: it left.

    Fields: ledger; amount (decimal text); reference (the same again is the same entry); why (narrative).
    """

    ledger: str
    amount: str
    reference: str
    why: str

    def entry(self, config: GatewayConfig) -> Entry:
        """As it is posted. Raises `BadInput`."""
        asset, accounts = ledger_of(config, self.ledger)
        magnitude = asset.units(self.amount.removeprefix("-"), "--amount")
        if magnitude == 0:
            raise BadInput("--amount", "it is 0", "what came in, or with a minus what went out")
        if not self.reference.strip():
            raise BadInput("--reference", "is empty", "what tells this movement from others")
        entry_id = tagged_hash("books/funding", self.ledger.encode(), self.reference.strip().encode())
        return funding_entry(entry_id, accounts, -magnitude if self.amount.startswith("-") else magnitude, self.why)


async def fund(books: Opened, officer: str, funding: Funding) -> int:
    """Post a funding entry as the accountant; its number. The same again posts nothing.

    Raises:
        NotInOffice: the rules do not name the person as accountant.
        EntryConflict: another amount was posted under the reference.
    """
    check_office(load_rules(books.config.rules), officer, Role.ACCOUNTANT)
    entry = funding.entry(books.config)
    chart = chart_of(books.config.party, {funding.ledger: ledger_of(books.config, funding.ledger)[1]})
    async with gateway_unit(books.config) as unit:
        (number,) = await Books(unit.connection, books.key).post_many([entry], now(), chart)
        await unit.commit()
    return number


def check_office(rules: Rules, name: str, role: Role) -> None:
    """Raises `NotInOffice` where the rules do not give the person the role."""
    person = rules.persons.get(name)
    if person is None or role.value not in person.roles:
        cure = f'[[person]] with name = "{name[:64]}" and roles = ["{role}"] in the gateway\'s rules'
        raise NotInOffice(name, f"the rules do not name this person as {role}", cure)


def check_signature(rules: Rules, act: Act, digest: bytes, evidence: bytes) -> None:
    """Raises `NotInOffice` where the rules name a key for the person, and the evidence is not by it."""
    person = rules.persons[act.actor]
    if person.key is None:
        if evidence:
            raise BadInput("--person-key", f"the rules name no key for {act.actor}", "leave it out, or add the key")
        return
    try:
        Ed25519PublicKey.from_public_bytes(person.key).verify(evidence, digest)
    except (InvalidSignature, ValueError) as error:
        cure = "--person-key with the key whose public half the rules name"
        raise NotInOffice(act.actor, "the act is not signed by this person's key", cure) from error


def _row(review: Review) -> dict[str, Any]:
    return {
        "entry": review.number,
        "state": review.state.value,
        "suspended_by": review.suspended_by or None,
        "reversal": review.reversal,
    }
