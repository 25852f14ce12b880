"""Notices of holds between gateways: kept where they were agreed to, refused for good where not, and never faked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import msgspec
import pytest
from coincurve import PublicKeyXOnly

from foundation.errors import Fatal
from foundation.quantities import BlockHeight, Satoshi, UnixMs
from settlement.custody import clearer, payer
from settlement.custody.packet import Memo
from settlement.custody.states import State
from settlement.custody.terms import Leg, PaymentId, Quote, source_transfer_id, target_transfer_id
from settlement.gateway.hold_notices import NoticeAnswer, NoticeDesk, Payments, PeerNotices
from settlement.gateway.keys import Directory, Secrets
from settlement.gateway.peer_courier import PeerUnavailable
from settlement.ledgers.bitcoin.notices import NoticeRefused, TooManyNotices, encode_notice
from settlement.ledgers.bitcoin.types import Terms, account_text
from settlement.ledgers.protocol import LedgerId
from settlement.quantities import PartyId

A, B, C = PartyId("bank-a"), PartyId("bank-b"), PartyId("clearing")
BITCOIN = LedgerId("bitcoin")
NOW = UnixMs(1_800_000_000_000)
PAYMENT = PaymentId(b"\x01" * 32)
KEYS = {name: bytes(PublicKeyXOnly.from_secret(hashlib.sha256(name.encode()).digest()).format()) for name in (A, C)}
MEMO = msgspec.msgpack.encode(Memo(1, PAYMENT, b"\x02" * 32, b"\x03" * 32, b"\x04" * 32, b"packet", b"signature"))
EXPIRES_S = 1_800_020_000
QUOTE = Quote(
    quote_id=b"\x02" * 32,
    payer=A,
    clearer=C,
    payee=B,
    source=Leg(BITCOIN, "BTC", 8, account_text(KEYS[A]), account_text(KEYS[C]), 100_000, EXPIRES_S * 1_000),
    target=Leg("digital-yuan", "CNY", 2, "clearing", "bank-b", 5_000, (EXPIRES_S - 9_000) * 1_000),
    rate_num=1,
    rate_den=20,
    fee=0,
    expires_at=NOW + 60_000,
)
TERMS = Terms(source_transfer_id(PAYMENT), KEYS[A], KEYS[C], Satoshi(100_000), b"\x05" * 32, EXPIRES_S, MEMO)
QUOTED = clearer.Quoted(clearer.Offer(PAYMENT, QUOTE, b""))
HOLDING = payer.Holding(cast(Any, None), payer.Deal(cast(Any, type("T", (), {"quote": QUOTE})), b"", b"", b"", b""))


@dataclass
class Stored:
    """Payments of one party."""

    states: dict[PaymentId, State] = field(default_factory=dict)

    async def state(self, payment: PaymentId) -> State | None:
        """See `Payments`."""
        return self.states.get(payment)


@dataclass
class Wire:
    """The way from A to C. Fields: change (what becomes of an answer); requests (all that were made)."""

    desk: NoticeDesk
    change: Callable[[bytes], bytes] = lambda answer: answer
    requests: list[bytes] = field(default_factory=list)

    async def notify(self, party: PartyId, body: bytes) -> bytes:
        """See `NoticeBox`."""
        assert party == C
        self.requests.append(body)
        try:
            return self.change(await self.desk.take(body))
        except TooManyNotices as problem:
            raise PeerUnavailable(party, str(problem)) from problem


class Two:
    """A, who tells, and C, who is told."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.is_full = False
        secrets = {party: Secrets.derive(party, hashlib.sha256(party.encode()).digest()) for party in (A, B, C)}
        cards = {party: secret.card("http://x", UnixMs(NOW - 1_000)) for party, secret in secrets.items()}
        self.directory, self.secrets = Directory(cards, NOW), secrets
        self.ours, self.theirs = Stored({PAYMENT: HOLDING}), Stored({PAYMENT: QUOTED})
        desk = NoticeDesk(secrets[C], self.directory, cast(Payments, self.theirs), {BITCOIN: self.accept}, lambda: NOW)
        self.wire = Wire(desk)
        self.notices = self.notices_of(A)

    def notices_of(self, party: PartyId, ledger: LedgerId = BITCOIN) -> PeerNotices:
        """The way from a party to C."""
        stored = cast(Payments, self.ours)
        return PeerNotices(ledger, self.secrets[party], self.directory, stored, self.wire, lambda: NOW)

    async def accept(self, notice: bytes) -> None:
        """See `BitcoinLedger.accept`."""
        if self.is_full:
            raise TooManyNotices(1_000)
        self.kept.append(notice)

    async def tell(self, terms: Terms = TERMS, by: PeerNotices | None = None) -> None:
        """Tell C of a hold."""
        await (by or self.notices).tell(account_text(terms.payee), encode_notice(terms, BlockHeight(7)))


@pytest.fixture
def two() -> Two:
    return Two()


async def test_a_notice_of_an_agreed_hold_is_kept(two: Two) -> None:
    """The payer returns once the payee has it; nobody else can read it, and a repeat is harmless."""
    await two.tell()
    await two.tell()
    assert two.kept == [encode_notice(TERMS, BlockHeight(7))] * 2
    assert all(MEMO not in request and KEYS[A] not in request for request in two.wire.requests)


@pytest.mark.parametrize(
    "other",
    [
        replace(TERMS, amount=Satoshi(100_001)),
        replace(TERMS, expires_at=EXPIRES_S + 1),
        replace(TERMS, payer=KEYS[C], payee=KEYS[A]),
        replace(TERMS, transfer_id=target_transfer_id(PAYMENT)),
        replace(TERMS, transfer_id=b"\x09" * 32),
    ],
)
async def test_another_hold_than_was_quoted_is_told_to_nobody(two: Two, other: Terms) -> None:
    """What differs from the quote in amount, time-out, accounts or id is refused before it leaves, and if it comes."""
    with pytest.raises(NoticeRefused):
        await two.tell(other)
    assert two.wire.requests == []
    await two.tell()
    two.kept.clear()
    forger = two.notices_of(A)
    forger._payee_of = _to_clearing  # type: ignore[method-assign]
    with pytest.raises(NoticeRefused):
        await two.tell(other, forger)
    assert two.kept == []


async def _to_clearing(terms: Terms) -> PartyId:
    return C


async def test_nobody_tells_of_anothers_hold(two: Two) -> None:
    """A party that has a card, and learned of a payment of others, cannot have its payee look for outputs."""
    thief = two.notices_of(B)
    thief._payee_of = _to_clearing  # type: ignore[method-assign]
    with pytest.raises(NoticeRefused) as refusal:
        await two.tell(TERMS, thief)
    assert "another's" in refusal.value.problem
    assert two.kept == []


async def test_a_hold_of_a_payment_that_is_over_is_refused_for_good(two: Two) -> None:
    """Where the payee has no such payment, or it has lapsed, the payer learns at once that nothing is to be held."""
    two.theirs.states[PAYMENT] = clearer.Lapsed(QUOTED.offer)
    with pytest.raises(NoticeRefused):
        await two.tell()
    two.theirs.states.clear()
    with pytest.raises(NoticeRefused):
        await two.tell()
    two.ours.states.clear()
    with pytest.raises(NoticeRefused):
        await two.tell()
    assert len(two.wire.requests) == 2


async def test_a_ledger_that_is_told_of_nothing_refuses(two: Two) -> None:
    """A notice for a ledger that the payee does not have on bitcoin is refused for good."""
    with pytest.raises(NoticeRefused):
        await two.tell(TERMS, two.notices_of(A, LedgerId("litecoin")))


async def test_a_payee_that_keeps_no_more_now_is_asked_again(two: Two) -> None:
    """What may pass is no refusal: the payer repeats the notice."""
    two.is_full = True
    with pytest.raises(PeerUnavailable):
        await two.tell()
    two.is_full = False
    await two.tell()
    assert len(two.kept) == 1


@pytest.mark.parametrize(
    "fake",
    [
        lambda answer: msgspec.msgpack.encode(NoticeAnswer(True, "", bytes(32))),
        lambda answer: msgspec.msgpack.encode(NoticeAnswer(False, "go away", bytes(32))),
        lambda answer: msgspec.msgpack.encode(
            NoticeAnswer(False, "go away", msgspec.msgpack.decode(answer, type=NoticeAnswer).proof)
        ),
        lambda answer: b"",
        lambda answer: b"\xff" * 100,
    ],
)
async def test_who_did_not_open_the_letter_answers_nothing(two: Two, fake: Callable[[bytes], bytes]) -> None:
    """Whoever stands between can neither have the payer pay what nobody knows of, nor end the payment."""
    two.wire.change = fake
    with pytest.raises(PeerUnavailable):
        await two.tell()


async def test_letters_of_strangers_and_altered_ones_are_none(two: Two) -> None:
    """What is no letter of a party with a card is refused, and nothing is kept."""
    await two.tell()
    (request,) = two.wire.requests
    two.kept.clear()
    for broken in (b"", request[:-1], request[:-9] + bytes(9), request.replace(b"bank-a", b"bank-x")):
        with pytest.raises(Fatal):
            await two.wire.desk.take(broken)
    assert two.kept == []
