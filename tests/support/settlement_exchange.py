"""Two banks that exchange data on one payment, with a network between them that a test may disturb."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from foundation.quantities import UnixMs
from settlement.connect.acceptance import (
    Acceptance,
    Expected,
    PaymentId,
    SignedAcceptance,
    check_acceptance,
    sign_acceptance,
)
from settlement.connect.exchange import begin, step
from settlement.connect.exchange_types import (
    Accepted,
    AskPerson,
    Change,
    Disclose,
    Effect,
    Exchange,
    OwnAcceptance,
    OwnDisclosure,
    Record,
    Screen,
    Screened,
    SendAcceptance,
    SendDemand,
    SendDisclosure,
    SendRefusal,
    Sign,
    TheirAcceptance,
    TheirRefusal,
)
from settlement.connect.ivms101 import IdentityPayload
from settlement.connect.messages import (
    AcceptanceMessage,
    DemandMessage,
    Disclosure,
    RefusalMessage,
    decode,
    demand_message,
    encode,
    read_disclosure,
    write_disclosure,
)
from settlement.connect.policy import Datum, Facts, PersonKind, Policy, Rule
from settlement.connect.screening import Outcome, Subject, Verdict
from settlement.cosign.keys import LocalSigner
from settlement.cosign.registry import KeyRegistry
from settlement.quantities import PartyId, Units
from tests.support.settlement_connect import BENEFICIARY, ORIGINATOR

NOW = UnixMs(1_795_000_000_000)
ENDS = UnixMs(NOW + 60_000)
PAYMENT = PaymentId(b"\x01" * 32)
TERMS = b"\x02" * 32
FACTS = Facts("DE", "SG", "EUR", Units(200_000), Units(500), "SUPP", PersonKind.NATURAL, PersonKind.LEGAL)
CLEAR = tuple(Verdict(subject, Outcome.PASS, "eu-sanctions", "2026-11-20", "7") for subject in Subject)
SIGNERS = {name: LocalSigner(PartyId(name), name.encode().ljust(32, b"\x07")) for name in ("bank-a", "bank-b")}
REGISTRY = KeyRegistry([signer.possession(UnixMs(0)) for signer in SIGNERS.values()])
ALL = frozenset(Datum)


def policy(
    requires: frozenset[Datum] = frozenset({Datum.NAME, Datum.ADDRESS}),
    discloses: frozenset[Datum] = ALL,
    version: str = "3",
    max_fee_ppm: int | None = None,
    purposes: frozenset[str] = frozenset(),
) -> Policy:
    """A policy with one rule each, for both subjects."""
    return Policy(
        version,
        tuple(Rule(subject, requires) for subject in Subject),
        tuple(Rule(subject, discloses) for subject in Subject),
        purposes,
        max_fee_ppm,
    )


def check(signed: SignedAcceptance, expected: Expected, now: UnixMs) -> None:
    """The real check, on both banks' keys."""
    check_acceptance(signed, expected, REGISTRY, now)


@dataclass
class Bank:
    """The shell of one side: does what its machine wants, and keeps what it sends until the test delivers it."""

    name: str
    subject: Subject
    payload: IdentityPayload
    state: Exchange
    answers: Callable[[], Screened] = lambda: Screened(CLEAR, "7")
    sign: Callable[[Acceptance], SignedAcceptance] | None = None
    outbox: list[bytes] = field(default_factory=list, repr=False)  # not sealed yet
    stored: Disclosure | None = None
    records: list[Record] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    asked: int = 0
    screenings: int = 0

    def _signed(self, acceptance: Acceptance) -> SignedAcceptance:
        return self.sign(acceptance) if self.sign else sign_acceptance(SIGNERS[self.name], acceptance)

    def feed(self, change: Change, now: UnixMs = NOW) -> None:
        """Let the machine take a change and do what it wants."""
        self.state, effects = step(self.state, change, now, check)
        self.perform(effects, now)

    def perform(self, effects: tuple[Effect, ...], now: UnixMs = NOW) -> None:
        """Do what the machine wants."""
        for effect in effects:
            match effect:
                case SendDemand(demand):
                    self.outbox.append(encode(demand_message(demand)))
                case Disclose(data):
                    self.stored = self.stored or write_disclosure(self.payload, self.subject, data)
                    self.feed(OwnDisclosure(self.stored.digest(PAYMENT, PartyId(self.name))), now)
                case SendDisclosure():
                    assert self.stored is not None
                    self.outbox.append(encode(self.stored))
                case Screen():
                    self.screenings += 1
                    self.feed(self.answers(), now)
                case AskPerson():
                    self.asked += 1
                case Sign(acceptance):
                    self.feed(OwnAcceptance(self._signed(acceptance)), now)
                case SendAcceptance(signed):
                    self.outbox.append(encode(AcceptanceMessage(signed)))
                case SendRefusal():
                    self.outbox.append(encode(RefusalMessage()))
                case Record():
                    self.records.append(effect)
                case Accepted():
                    self.accepted.append(effect)

    def receive(self, text: bytes, now: UnixMs = NOW) -> None:
        """Take a message of the other bank."""
        match decode(text):
            case DemandMessage() as message:
                self.feed(message.demand, now)
            case Disclosure() as disclosure:
                other = Subject.BENEFICIARY if self.subject is Subject.ORIGINATOR else Subject.ORIGINATOR
                disclosed, _ = read_disclosure(disclosure, PAYMENT, self.state.counterparty, other, now)
                self.feed(disclosed, now)
            case AcceptanceMessage(signed):
                self.feed(TheirAcceptance(signed), now)
            case RefusalMessage():
                self.feed(TheirRefusal(), now)


def banks(mine: Policy | None = None, theirs: Policy | None = None, facts: Facts = FACTS) -> tuple[Bank, Bank]:
    """Both banks, each with its demand in the outbox."""
    made = []
    for name, other, subject, payload, rules in (
        ("bank-a", "bank-b", Subject.ORIGINATOR, ORIGINATOR, mine),
        ("bank-b", "bank-a", Subject.BENEFICIARY, BENEFICIARY, theirs),
    ):
        state, effects = begin(PAYMENT, PartyId(name), PartyId(other), subject, TERMS, facts, rules or policy(), ENDS)
        bank = Bank(name, subject, payload, state)
        bank.perform(effects)
        made.append(bank)
    return made[0], made[1]


def talk(first: Bank, second: Bank, now: UnixMs = NOW, most: int = 60) -> None:
    """Deliver all messages, in order, until both are silent."""
    for _ in range(most):
        if not first.outbox and not second.outbox:
            return
        for sender, receiver in ((first, second), (second, first)):
            while sender.outbox:
                receiver.receive(sender.outbox.pop(0), now)
    raise AssertionError("they never stop talking")
