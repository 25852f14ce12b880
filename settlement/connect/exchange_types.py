"""The state of an exchange, what changes it, and what it wants done. None of it holds a personal datum."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

from foundation.quantities import UnixMs
from settlement.connect.acceptance import Acceptance, PaymentId, SignedAcceptance
from settlement.connect.policy import Datum, Facts, PersonKind, Policy
from settlement.connect.screening import Subject, Verdict
from settlement.quantities import PartyId


class Phase(StrEnum):
    """Where the exchange stands. The last two are ends."""

    PROPOSED = "proposed"  # our demand is sent
    DISCLOSED = "disclosed"  # our disclosure is sent
    SCREENED = "screened"  # both persons are cleared; we accept, and wait for the other
    ACCEPTED = "accepted"  # both acceptances are here
    REFUSED = "refused"


class Reason(StrEnum):
    """Why a decision came out as it did."""

    ACCEPTED = "accepted"
    CLEARED = "cleared"
    REFERRED = "referred"  # no decision yet: a person has to look
    PURPOSE = "purpose"
    FEE = "fee"
    DISCLOSURE = "disclosure"  # the other requires what we may not disclose
    DEMAND = "demand"
    TERMS = "terms"  # the other speaks of other terms
    DATA = "data"  # what was disclosed lacks something, or is not valid
    SCREENING = "screening"
    CONTRADICTION = "contradiction"  # the other said first this, then that
    COUNTERPARTY = "counterparty"  # the other has refused
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Demand:
    """What a side requires to be told in this payment, on these terms (32 bytes). Change and message in one."""

    terms_hash: bytes
    data: frozenset[Datum]


@dataclass(frozen=True, slots=True)
class OwnDisclosure:
    """The shell has written and stored our disclosure. Fields: digest (32 bytes, `exchange.disclosure_digest`)."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class Disclosed:
    """The shell has opened, checked and stored the other's disclosure.

    Fields: digest (32 bytes, computed by us); data (the kinds of data that are there, `policy.present`); kind (of the
    person; None where nothing was asked for); flaw (the field that breaks IVMS 101; empty: none).
    """

    digest: bytes
    data: frozenset[Datum]
    kind: PersonKind | None
    flaw: str = ""


@dataclass(frozen=True, slots=True)
class Screened:
    """Screening has answered, or a person has decided. Fields: verdicts (on both persons); rule_version."""

    verdicts: tuple[Verdict, ...]
    rule_version: str


@dataclass(frozen=True, slots=True)
class OwnAcceptance:
    """Our signer has signed."""

    signed: SignedAcceptance


@dataclass(frozen=True, slots=True)
class TheirAcceptance:
    """The other's acceptance has come."""

    signed: SignedAcceptance


@dataclass(frozen=True, slots=True)
class TheirRefusal:
    """The other does not take part. It does not say why."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Change: TypeAlias = (
    Demand | OwnDisclosure | Disclosed | Screened | OwnAcceptance | TheirAcceptance | TheirRefusal | Tick
)


@dataclass(frozen=True, slots=True)
class SendDemand:
    """Tell the other what we require."""

    demand: Demand


@dataclass(frozen=True, slots=True)
class Disclose:
    """Write our customer's data, no more than these kinds, store them, and report `OwnDisclosure`.

    Done again, the stored disclosure is reported again: never a second one.
    """

    data: frozenset[Datum]


@dataclass(frozen=True, slots=True)
class SendDisclosure:
    """Send the stored disclosure of this digest."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class Screen:
    """Screen both persons, and report `Screened`."""


@dataclass(frozen=True, slots=True)
class AskPerson:
    """Ask a compliance officer, whose decision comes as `Screened`."""


@dataclass(frozen=True, slots=True)
class Sign:
    """Sign this acceptance, and report `OwnAcceptance`."""

    acceptance: Acceptance


@dataclass(frozen=True, slots=True)
class SendAcceptance:
    """Send our acceptance."""

    signed: SignedAcceptance


@dataclass(frozen=True, slots=True)
class SendRefusal:
    """Tell the other that we do not take part."""


@dataclass(frozen=True, slots=True)
class Record:
    """Store this decision.

    Fields: payment_id; reason; field (what it is about: a name, no value); policy_version, rule_version; verdicts; at.
    """

    payment_id: PaymentId
    reason: Reason
    field: str
    policy_version: str
    rule_version: str
    verdicts: tuple[Verdict, ...]
    at: UnixMs


@dataclass(frozen=True, slots=True)
class Accepted:
    """Both have accepted: the payment may go on with these."""

    own: SignedAcceptance
    theirs: SignedAcceptance


Effect: TypeAlias = (
    SendDemand
    | Disclose
    | SendDisclosure
    | Screen
    | AskPerson
    | Sign
    | SendAcceptance
    | SendRefusal
    | Record
    | Accepted
)


class Exchange(Struct, frozen=True):
    """One side's view of the exchange on one payment.

    Fields: payment_id; me, counterparty; subject (the role of our customer); terms_hash (32 bytes); facts; policy;
    expires_at (Unix ms); demand (ours); phase; their_demand; to_disclose; own_digest, their_digest (32 bytes each);
    is_referred (a person has to decide); to_sign; own_acceptance, their_acceptance; reason and field (of a refusal).
    """

    payment_id: PaymentId
    me: PartyId
    counterparty: PartyId
    subject: Subject
    terms_hash: bytes
    facts: Facts
    policy: Policy
    expires_at: UnixMs
    demand: Demand
    phase: Phase
    their_demand: Demand | None = None
    to_disclose: frozenset[Datum] | None = None
    own_digest: bytes | None = None
    their_digest: bytes | None = None
    is_referred: bool = False
    to_sign: Acceptance | None = None
    own_acceptance: SignedAcceptance | None = None
    their_acceptance: SignedAcceptance | None = None
    reason: Reason | None = None
    field: str = ""
