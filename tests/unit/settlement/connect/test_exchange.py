"""The exchange between two banks: from demands to acceptances, and whatever may go wrong on the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foundation.quantities import UnixMs
from settlement.connect.acceptance import PaymentId, SignedAcceptance, sign_acceptance
from settlement.connect.errors import MalformedConnect
from settlement.connect.exchange import begin, disclosure_digest
from settlement.connect.exchange_types import (
    Demand,
    Disclosed,
    Exchange,
    OwnDisclosure,
    Phase,
    Reason,
    Screened,
    TheirAcceptance,
    TheirRefusal,
    Tick,
)
from settlement.connect.messages import AcceptanceMessage, Disclosure, decode, encode
from settlement.connect.policy import Datum, PersonKind
from settlement.connect.screening import Outcome
from tests.support.settlement_exchange import (
    CLEAR,
    ENDS,
    FACTS,
    NOW,
    PAYMENT,
    SIGNERS,
    TERMS,
    Bank,
    banks,
    policy,
    talk,
)


def until_screened() -> tuple[Bank, Bank]:
    """Both banks, the first of which has accepted, while the second has not heard of it."""
    first, second = banks()
    first.receive(second.outbox.pop(0))
    second.receive(first.outbox.pop(0))
    first.receive(second.outbox.pop(0))
    assert first.state.phase is Phase.SCREENED
    return first, second


def acceptance_of(bank: Bank) -> SignedAcceptance:
    signed = bank.state.own_acceptance
    assert signed is not None
    return signed


def test_two_banks_come_to_accept() -> None:
    """Both disclose what the other requires, screen, sign, and hold both acceptances of the same data."""
    first, second = banks()
    talk(first, second)
    assert first.state.phase is second.state.phase is Phase.ACCEPTED
    (done,), (mirror,) = first.accepted, second.accepted
    assert (done.own, done.theirs) == (mirror.theirs, mirror.own)
    assert done.own.acceptance.data_digest == done.theirs.acceptance.data_digest
    assert [record.reason for record in first.records] == [Reason.CLEARED, Reason.ACCEPTED]
    assert first.records[0].rule_version == "7"
    assert first.records[0].verdicts == CLEAR


def test_all_again_changes_nothing() -> None:
    """Whatever was sent, sent again after the end, is answered at most by what was said, and nothing is stored."""
    first, second = banks()
    sent: list[bytes] = []
    for _ in range(6):
        for sender, receiver in ((first, second), (second, first)):
            while sender.outbox:
                sent.append(sender.outbox.pop(0))
                receiver.receive(sent[-1])
    before = (first.state, second.state)
    for text in sent:
        for bank in (first, second):
            bank.receive(text) if _is_for(text, bank) else None
    talk(first, second)
    assert (first.state, second.state) == before
    assert len(first.accepted) == len(second.accepted) == 1
    assert first.screenings == second.screenings == 1


def _is_for(text: bytes, bank: Bank) -> bool:
    message = decode(text)
    if isinstance(message, AcceptanceMessage):
        return message.signed.acceptance.party != bank.name
    if isinstance(message, Disclosure):
        return bank.stored is None or message.salt != bank.stored.salt
    return True


def test_lost_messages_are_said_again_at_the_tick() -> None:
    """Where everything was lost once, ticks bring both banks to the end."""
    first, second = banks()
    for _ in range(5):
        first.outbox.clear()
        second.outbox.clear()
        first.feed(Tick())
        second.feed(Tick())
        for sender, receiver in ((first, second), (second, first)):
            if sender.outbox:
                receiver.receive(sender.outbox.pop(0))
    for _ in range(4):
        talk(first, second)
        first.feed(Tick())
        second.feed(Tick())
    talk(first, second)
    assert first.state.phase is second.state.phase is Phase.ACCEPTED


def test_who_has_all_answers_who_has_not() -> None:
    """The bank that is done says its acceptance again to one that lost it and asks."""
    first, second = banks()
    first.receive(second.outbox.pop(0))
    second.receive(first.outbox.pop(0))
    while second.outbox:
        first.receive(second.outbox.pop(0))
    second.receive(first.outbox.pop(0))
    while second.outbox:
        first.receive(second.outbox.pop(0))
    assert first.state.phase is Phase.ACCEPTED
    first.outbox.clear()
    assert second.accepted == []
    second.feed(Tick())
    talk(first, second)
    assert second.state.phase is Phase.ACCEPTED


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Demand(b"\x09" * 32, frozenset()), Reason.TERMS),
        (Demand(TERMS, frozenset({Datum.BIRTH})), Reason.DISCLOSURE),
        (Disclosed(bytes(32), frozenset(), None), Reason.DATA),
        (Disclosed(bytes(32), frozenset({Datum.NAME, Datum.ADDRESS}), PersonKind.NATURAL), Reason.DATA),
        (Disclosed(bytes(32), frozenset(Datum), PersonKind.LEGAL, "ivms101.beneficiary"), Reason.DATA),
        (TheirRefusal(), Reason.COUNTERPARTY),
    ],
)
def test_what_does_not_fit_ends_the_exchange(change: Demand | Disclosed | TheirRefusal, reason: Reason) -> None:
    """Other terms, data that may not be told, data that lack or break something, and a refusal end it for good."""
    first, second = banks(policy(discloses=frozenset({Datum.NAME, Datum.ADDRESS})))
    first.feed(change)
    assert (first.state.phase, first.state.reason) == (Phase.REFUSED, reason)
    talk(first, second)
    assert second.state.phase is Phase.REFUSED
    assert first.records[-1].reason is reason
    assert first.accepted == second.accepted == []


def test_a_refusal_does_not_say_why() -> None:
    """What the other bank hears of a refusal is the same for a blocked person as for a fee."""
    blocked, other = banks()
    blocked.answers = lambda: Screened((replace(CLEAR[0], outcome=Outcome.BLOCK), CLEAR[1]), "7")
    talk(blocked, other)
    assert blocked.state.reason is Reason.SCREENING
    assert other.state.reason is Reason.COUNTERPARTY
    costly, _ = banks(policy(max_fee_ppm=1))
    costly.outbox.clear()
    costly.feed(Demand(TERMS, frozenset()))
    blocked.feed(Demand(TERMS, frozenset()))
    assert costly.state.reason is Reason.FEE
    assert costly.outbox[-1] == blocked.outbox[-1]


def test_a_referral_waits_for_a_person() -> None:
    """A referred payment is not accepted, nor screened again by itself, until a person decides."""
    first, second = banks()
    referred = Screened((replace(CLEAR[0], outcome=Outcome.REFER), CLEAR[1]), "7")
    first.answers = lambda: referred
    talk(first, second)
    first.feed(Tick())
    talk(first, second)
    assert (first.state.phase, first.asked, first.screenings) == (Phase.DISCLOSED, 1, 1)
    assert [record.reason for record in first.records] == [Reason.REFERRED]
    first.feed(Screened(CLEAR, "officer"))
    second.feed(Tick())
    talk(first, second)
    assert first.state.phase is second.state.phase is Phase.ACCEPTED


@pytest.mark.parametrize("verdicts", [(), CLEAR[:1]])
def test_who_was_not_screened_is_not_accepted(verdicts: tuple[()]) -> None:
    """Verdicts on one person, or on none, do not suffice."""
    first, second = banks()
    first.answers = lambda: Screened(verdicts, "7")
    talk(first, second)
    assert first.state.own_acceptance is None
    assert second.accepted == []


def test_another_disclosure_in_place_of_the_first_is_a_contradiction() -> None:
    """Who sends other data, or another demand, after the first is refused; data cannot be changed after a screening."""
    first, _ = until_screened()
    first.feed(Disclosed(bytes(32), frozenset(Datum), PersonKind.LEGAL))
    assert first.state.reason is Reason.CONTRADICTION
    other, _ = until_screened()
    other.feed(Demand(TERMS, frozenset({Datum.BIRTH})))
    assert other.state.reason is Reason.CONTRADICTION


def test_we_never_send_two_disclosures() -> None:
    """Another disclosure than the one on its way ends the exchange, and before a demand none is taken."""
    first, _ = until_screened()
    first.feed(OwnDisclosure(bytes(32)))
    assert first.state.reason is Reason.CONTRADICTION
    early, _ = banks()
    early.feed(OwnDisclosure(bytes(32)))
    assert early.state.own_digest is None


@pytest.mark.parametrize(
    "change",
    [
        {"payment_id": PaymentId(b"\x09" * 32)},
        {"terms_hash": b"\x09" * 32},
        {"data_digest": b"\x09" * 32},
        {"valid_until": NOW},
        {"accepted_at": UnixMs(NOW + 5_001)},
    ],
)
def test_an_acceptance_of_something_else_is_not_taken(change: dict[str, object]) -> None:
    """A replayed, expired or foreign acceptance changes nothing, and the right one is taken after it."""
    first, second = until_screened()
    while first.outbox:
        second.receive(first.outbox.pop(0))
    good = acceptance_of(second)
    first.feed(TheirAcceptance(sign_acceptance(SIGNERS["bank-b"], replace(good.acceptance, **change))))  # type: ignore[arg-type]
    assert first.state.their_acceptance is None
    first.feed(TheirAcceptance(acceptance_of(first)))
    assert first.state.their_acceptance is None
    first.feed(TheirAcceptance(good))
    assert first.state.phase is Phase.ACCEPTED


def test_only_what_was_to_be_signed_is_taken_as_ours() -> None:
    """A signer that returns another acceptance, or another's signature, is asked again, and nothing is sent."""
    first, second = banks()
    first.sign = lambda acceptance: sign_acceptance(
        SIGNERS["bank-a"], replace(acceptance, valid_until=UnixMs(acceptance.valid_until + 1))
    )
    talk(first, second)
    assert first.state.own_acceptance is None
    assert second.accepted == []
    first.sign = lambda acceptance: sign_acceptance(SIGNERS["bank-a"], acceptance)
    for bank in (first, second):
        bank.feed(Tick())
    talk(first, second)
    assert first.state.phase is Phase.ACCEPTED


def test_the_exchange_ends_in_time() -> None:
    """At `expires_at` an exchange that is not accepted is refused; one that is accepted stays so."""
    first, _ = until_screened()
    first.feed(Tick(), UnixMs(ENDS - 1))
    assert first.state.phase is Phase.SCREENED
    first.feed(Tick(), ENDS)
    assert (first.state.phase, first.state.reason) == (Phase.REFUSED, Reason.EXPIRED)
    done, other = banks()
    talk(done, other)
    done.feed(Tick(), ENDS)
    done.feed(TheirRefusal(), ENDS)
    assert done.state.phase is Phase.ACCEPTED


def test_a_refused_exchange_stays_refused() -> None:
    """No message revives a refused exchange; who asks again hears that it is refused."""
    first, second = until_screened()
    first.feed(TheirRefusal())
    first.outbox.clear()
    while second.outbox:
        first.receive(second.outbox.pop(0))
    first.feed(Screened(CLEAR, "7"))
    assert first.state.phase is Phase.REFUSED
    assert first.outbox == []
    first.feed(Demand(TERMS, frozenset()))
    assert len(first.outbox) == 1


def test_a_flawed_payload_is_refused_by_its_field() -> None:
    """A disclosure that breaks IVMS 101 is refused, and the record names the field without its value."""
    _, second = banks()
    stored = Disclosure(bytes(32), b'{"originator":{"originatorPerson":[{}]}}')
    second.receive(encode(stored))
    assert second.state.reason is Reason.DATA
    assert second.records[-1].field == "originator.originatorPerson[0]"


def test_the_digest_of_a_disclosure_hides_it_and_binds_it() -> None:
    """The same data under another salt, payment or bank have another digest."""
    digests = {
        disclosure_digest(payment, party, salt, b"{}")
        for payment in (PAYMENT, PaymentId(bytes(32)))
        for party in (SIGNERS["bank-a"].party, SIGNERS["bank-b"].party)
        for salt in (bytes(32), b"\x01" * 32)
    }
    assert len(digests) == 8


@pytest.mark.parametrize("text", [b"", b"\x90", b"\x91\xa6demand", b"\x92\xa5other\x01", b"\xc1"])
def test_texts_that_are_no_message_are_refused(text: bytes) -> None:
    """Bytes that are no message of an exchange are refused."""
    with pytest.raises(MalformedConnect):
        decode(text)


def test_a_machine_survives_storage() -> None:
    """A state in the middle of the exchange is the same after it was stored and read."""
    import msgspec

    for state in (
        until_screened()[0].state,
        begin(
            PAYMENT,
            SIGNERS["bank-a"].party,
            SIGNERS["bank-b"].party,
            until_screened()[0].subject,
            TERMS,
            FACTS,
            policy(),
            ENDS,
        )[0],
    ):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=Exchange) == state
