"""What happens to a custodial payment (changes); what its machines ask for is in `effects`, and named here too.

Changes are facts: each was checked as far as it can be without the payment's state (signatures above all) before it
came here.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from settlement.custody.effects import Alarm as Alarm
from settlement.custody.effects import AnyEffect as AnyEffect
from settlement.custody.effects import AskQuote as AskQuote
from settlement.custody.effects import AskSecret as AskSecret
from settlement.custody.effects import Close as Close
from settlement.custody.effects import Consent as Consent
from settlement.custody.effects import Decline as Decline
from settlement.custody.effects import Effect as Effect
from settlement.custody.effects import Effects as Effects
from settlement.custody.effects import Fulfil as Fulfil
from settlement.custody.effects import GiveBack as GiveBack
from settlement.custody.effects import GiveQuote as GiveQuote
from settlement.custody.effects import GiveSecret as GiveSecret
from settlement.custody.effects import Look as Look
from settlement.custody.effects import MakeHold as MakeHold
from settlement.custody.effects import Post as Post
from settlement.custody.effects import RefuseQuote as RefuseQuote
from settlement.custody.effects import Salvage as Salvage
from settlement.custody.effects import Send as Send
from settlement.custody.effects import ShareSignature as ShareSignature
from settlement.custody.effects import SignReceipt as SignReceipt
from settlement.custody.effects import Tell as Tell
from settlement.custody.effects import Validate as Validate
from settlement.custody.effects import Why as Why
from settlement.custody.terms import HoldKey, Quote, Terms


class Change(Struct, frozen=True, tag_field="kind"):
    """Root of what happens."""


class SecretGiven(Change, frozen=True, tag="secret_given"):
    """Step 1: the payee's answer. Fields: secret (32 bytes); address (ILP); account (on the target's ledger)."""

    secret: bytes
    address: str
    account: str


class SecretAsked(Change, frozen=True, tag="secret_asked"):
    """To the payee: `party` asks for the secret of a payment that has begun, with another key to seal the answer to
    (32 bytes). Nobody but its payer is answered: a secret sealed to another's key would show it the preimage."""

    party: str
    reply_key: bytes


class QuoteAsked(Change, frozen=True, tag="quote_asked"):
    """To the clearing bank: `party` asks for the quote of a payment that has one."""

    party: str


class QuoteGiven(Change, frozen=True, tag="quote_given"):
    """Step 2: the clearing bank's offer; its signature was verified against its registered key."""

    quote: Quote
    signature: bytes


class QuoteRefused(Change, frozen=True, tag="quote_refused"):
    """`party` says that it makes no offer."""

    party: str
    why: Why
    detail: str


class Cleared(Change, frozen=True, tag="cleared"):
    """This party's rules let the payment pass, or a person has approved it. Fields: decision (its id in `rules`)."""

    decision: str


class Barred(Change, frozen=True, tag="barred"):
    """This party's rules, or a person, bar the payment."""

    decision: str
    detail: str


class Proposed(Change, frozen=True, tag="proposed"):
    """To the payee: the payer's terms; the clearing bank's signature on the quote was verified."""

    terms: Terms


class Unwanted(Change, frozen=True, tag="unwanted"):
    """To the payee: this bank will not take the payment, whatever the terms are."""

    why: Why
    detail: str


class Agreed(Change, frozen=True, tag="agreed"):
    """Both banks have accepted these terms; the acceptances were verified. Fields: terms; the acceptances as signed;
    co_signature (both signatures on the instruction, as `cosign` encodes them)."""

    terms: Terms
    payer_acceptance: bytes
    payee_acceptance: bytes
    co_signature: bytes


class AgreementFailed(Change, frozen=True, tag="agreement_failed"):
    """The exchange of data ended without both acceptances."""

    why: Why
    detail: str


class HoldMade(Change, frozen=True, tag="hold_made"):
    """The ledger holds what this party asked it to hold, or did before. Fields: ledger; transfer_id."""

    ledger: str
    transfer_id: bytes


class HoldRefused(Change, frozen=True, tag="hold_refused"):
    """The ledger does not hold it, and never will under this id."""

    why: Why
    detail: str


class HoldSeen(Change, frozen=True, tag="hold_seen"):
    """A final hold for this party.

    Fields: ledger; transfer_id; payer, payee (accounts); amount; condition; expires_at; memo; instructed (both
    banks' signatures on the instruction were verified; without, the clearing bank gives the money back).
    """

    ledger: str
    transfer_id: bytes
    payer: str
    payee: str
    amount: int
    condition: bytes
    expires_at: int
    memo: bytes
    instructed: bool = False


class Fulfilled(Change, frozen=True, tag="fulfilled"):
    """A hold was paid by its preimage; final. Fields: ledger, transfer_id and payer (an id names one hold of its payer
    on one ledger: on a chain a stranger may use it for another); preimage."""

    ledger: str
    transfer_id: bytes
    payer: str
    preimage: bytes


class Returned(Change, frozen=True, tag="returned"):
    """A hold went back to its payer; final. Fields: ledger, transfer_id, payer (as `Fulfilled`); expired (else
    cancelled by its payee)."""

    ledger: str
    transfer_id: bytes
    payer: str
    expired: bool


class Absent(Change, frozen=True, tag="absent"):
    """The ledger was asked, and shows no hold of ours under this id by its final word."""

    ledger: str
    transfer_id: bytes


class NotSent(Change, frozen=True, tag="not_sent"):
    """A fulfilment was not begun, because its `not_after` had passed; nobody saw the preimage."""

    ledger: str
    transfer_id: bytes


class Told(Change, frozen=True, tag="told"):
    """Another party says why it ended the payment on its side; for people, and moves nothing."""

    party: str
    why: Why
    detail: str


class Signed(Change, frozen=True, tag="signed"):
    """A party's signature on a receipt; verified. Fields: party; receipt_hash (32 bytes, what it signed); signature."""

    party: str
    receipt_hash: bytes
    signature: bytes


class Cancel(Change, frozen=True, tag="cancel"):
    """A person of this party wants the payment to end while it still can."""

    detail: str


class Resolved(Change, frozen=True, tag="resolved"):
    """A person of this party has looked at a payment that was lost.

    Fields: by (who); counts (whether it keeps what it took of the rules' limits); detail (what was found).
    """

    by: str
    counts: bool
    detail: str


class Tick(Change, frozen=True, tag="tick"):
    """Time has passed."""


AnyChange: TypeAlias = (
    SecretGiven
    | SecretAsked
    | QuoteAsked
    | QuoteGiven
    | QuoteRefused
    | Cleared
    | Barred
    | Proposed
    | Unwanted
    | Agreed
    | AgreementFailed
    | HoldMade
    | HoldRefused
    | HoldSeen
    | Fulfilled
    | Returned
    | Absent
    | NotSent
    | Told
    | Signed
    | Cancel
    | Resolved
    | Tick
)


def hold_key(change: HoldSeen | Fulfilled | Returned) -> HoldKey:
    """Which hold a change is of."""
    return change.ledger, change.transfer_id, change.payer
