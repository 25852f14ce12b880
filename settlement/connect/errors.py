"""Why two banks do not agree, or a message of theirs is not taken. No error carries a personal datum."""

from __future__ import annotations

from enum import StrEnum

from foundation.errors import BadInput, Fatal
from foundation.quantities import UnixMs
from settlement.quantities import PartyId


class Mismatch(StrEnum):
    """In what an acceptance differs from what it is to be of."""

    PARTY = "party"
    COUNTERPARTY = "counterparty"
    PAYMENT = "payment_id"
    TERMS = "terms_hash"
    DATA = "data_digest"
    SIGNER = "signer"


class OtherAcceptance(Fatal):
    """An acceptance is of another payment, other terms, other data, or by or for another party: a replay or a forgery.

    Fields: party (who is to have accepted); mismatch (the first field that differs).
    """

    def __init__(self, party: PartyId, mismatch: Mismatch) -> None:
        self.party = party
        self.mismatch = mismatch
        super().__init__(f"the acceptance of {party} is of another {mismatch}")


class AcceptanceExpired(Fatal):
    """An acceptance came after its time, and binds nobody any more.

    Fields: party; valid_until, now (Unix milliseconds).
    """

    def __init__(self, party: PartyId, valid_until: UnixMs, now: UnixMs) -> None:
        self.party = party
        self.valid_until = valid_until
        self.now = now
        super().__init__(f"the acceptance of {party} was valid until {valid_until}; it is {now}")


class AcceptanceEarly(Fatal):
    """An acceptance is dated in the future, by more than clocks may differ.

    Fields: party; accepted_at, now (Unix milliseconds).
    """

    def __init__(self, party: PartyId, accepted_at: UnixMs, now: UnixMs) -> None:
        self.party = party
        self.accepted_at = accepted_at
        self.now = now
        super().__init__(f"the acceptance of {party} is dated {accepted_at}; it is {now}")


class NotCleared(Fatal):
    """An acceptance says itself that somebody was not cleared, or not screened.

    Fields: party (who accepted).
    """

    def __init__(self, party: PartyId) -> None:
        self.party = party
        super().__init__(f"the acceptance of {party} holds a verdict that is no pass, or lacks one")


class MalformedConnect(BadInput):
    """Bytes of a counterparty do not have the form of a message, or a value in them is none."""


class Doubt(StrEnum):
    """Why an envelope is not opened."""

    RECIPIENT = "it is for somebody else"
    SENDER = "it is not by whom it should be"
    CONTEXT = "it belongs to another payment"
    EXPIRED = "its time is over"
    EARLY = "it is dated in the future"
    LIFETIME = "it claims to live for too long"
    AUTHENTICITY = "it was changed, or made by somebody else"
    REPLAYED = "it was received before"


class EnvelopeRefused(Fatal):
    """An envelope is not opened, and nothing in it is believed.

    Fields: sender (who it claims to be from); doubt (why).
    """

    def __init__(self, sender: PartyId, doubt: Doubt) -> None:
        self.sender = sender
        self.doubt = doubt
        super().__init__(f"an envelope that claims to be from {sender} is refused: {doubt}")
