"""What comes by the letter box: repeated, forged, malformed or out of place, it moves no payment and holds up none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from foundation.quantities import UnixMs
from settlement.connect.envelope import Form, SharedSecret, seal_letter, seal_note, write_header
from settlement.connect.handshake import ask
from settlement.custody import changes as c
from settlement.custody import payer
from settlement.custody.terms import PaymentId
from settlement.gateway import messages as m
from settlement.gateway.keys import Directory, encode_part
from settlement.gateway.letter_box import secret_of
from settlement.quantities import PartyId
from tests.support.gateway_crashes import without_pauses
from tests.support.patience import PATIENCE_S
from tests.support.settlement_book import Time
from tests.support.settlement_gateway import EURO_LEDGER, YUAN_LEDGER, A, B, C, Town, stages

pytestmark = pytest.mark.integration
CLOSED = {A: "closed", B: "closed", C: "closed"}


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    """Three banks at work, by a clock that tests set."""
    without_pauses(monkeypatch)
    async with Town(tmp_path, clock=Time()) as made:
        yield made


def _letter(town: Town, sender: PartyId, to: PartyId, *words: m.Word) -> bytes:
    """A request with one letter, as `sender` itself would make it."""
    now = town.clock()
    header = write_header(Form.LETTER, sender, to, PaymentId(bytes(32)), now, UnixMs(now + 60_000))
    keys = _directory(town).keys(to)
    assert keys is not None
    letter = seal_letter(town.secrets[sender].letters, keys.seal_key, header, m.encode(tuple(words)))
    return m.encode((letter.encode(),))


def _directory(town: Town) -> Directory:
    cards = {name: secret.card(f"memory:{name}", UnixMs(town.clock() - 1_000)) for name, secret in town.secrets.items()}
    return Directory(cards, town.clock())


async def test_all_mail_once_more(town: Town) -> None:
    """All letters of a payment that are delivered again change nothing: not while it goes on, nor after its end."""

    def twice(party: PartyId, body: bytes) -> bytes:
        return m.encode((*m.decode_body(body), *m.decode_body(body)))

    town.post.change = twice
    payment = await town.pay()
    assert stages(await town.ended(payment)) == CLOSED
    town.post.change = lambda party, body: body
    before = {party: await town.posts(party) for party in (A, B, C)}
    for party, body in tuple(town.post.seen):
        await town.post.put(party, body)
    assert stages(await town.ended(payment)) == CLOSED
    assert {party: await town.posts(party) for party in (A, B, C)} == before


async def test_a_malformed_note_stops_nobody(town: Town) -> None:
    """A note that is none, and a request that is none, are refused; what came with them is taken."""
    town.ledgers[B, YUAN_LEDGER].silent |= {"events"}
    await town.stop(B)
    await town.start(B)
    payment = await town.pay()
    state = await town.stage(B, payment, "expecting")
    secret, _ = secret_of(state)
    assert secret is not None
    now = town.clock()
    notes = []
    for text in (b"\xc1", m.encode(m.Exchanged(b"\xff")), m.encode(m.Accepting(b"{}", b""))):
        header = write_header(Form.NOTE, A, B, payment, now, UnixMs(now + 60_000))
        notes.append(seal_note(SharedSecret(secret), header, text).encode())
    ends = m.decode_body(_letter(town, A, B, m.End(payment, c.Why.CANCELLED, "too late to matter")))
    await town.gateways[B].letter_box.take(m.encode((b"nothing", *notes, *ends)))
    town.ledgers[B, YUAN_LEDGER].silent.clear()
    assert stages(await town.ended(payment)) == CLOSED


async def test_the_clearing_bank_cannot_ask_for_the_secret(town: Town) -> None:
    """Who asks for the secret of another's payment makes the payee say nothing: with it, it could claim the payment."""
    held_back: list[bytes] = []

    def without_proposals(party: PartyId, body: bytes) -> bytes:
        if party == A:
            held_back.append(body)
            return m.encode(())
        return body

    town.post.change = without_proposals
    payment = await town.pay()
    await town.stage(B, payment, "offered")
    keys = _directory(town).keys(B)
    assert keys is not None
    said = len(held_back)
    _, question = ask(town.secrets[C].letters, keys, payment, town.clock())
    await town.gateways[B].letter_box.take(m.encode((question.encode(),)))
    assert await town.outbox(B) == []
    assert len(held_back) == said


async def test_a_party_sends_its_own_messages_alone(town: Town) -> None:
    """What another party has signed is not looked at in a request of the wrong sender, and taken in its own."""
    await town.stop(C)
    payment = await town.pay()
    await town.stage(A, payment, "pricing")
    for sender, stage in ((B, "pricing"), (C, "failed")):
        no = _letter(town, C, A, m.QuoteNo(payment, c.Why.NO_ROUTE, "not today"))
        await town.gateways[A].letter_box.take(no, sender)
        await town.stage(A, payment, stage)


async def test_a_forged_quote_is_not_taken(town: Town) -> None:
    """A quote that the clearing bank did not sign moves nothing, even in one request with what opens the way to it."""
    other = await town.pay()
    offered = (await town.ended(other))[C].offer  # type: ignore[union-attr]
    await town.stop(C)
    payment = await town.pay()
    await town.stage(A, payment, "pricing")
    await town.gateways[A].letter_box.take(_letter(town, B, A, m.QuoteOffer(payment, offered.quote, b"\x90")))
    part = encode_part(town.secrets[B].signer.sign(_directory(town).receipt_statement(offered.quote, bytes(32))))
    await town.gateways[A].letter_box.take(_letter(town, B, A, m.QuoteOffer(payment, offered.quote, part)))
    await town.gateways[A].letter_box.take(_letter(town, B, A, m.QuoteNo(payment, c.Why.NO_ROUTE, "says a stranger")))
    assert isinstance(await town.state(A, payment), payer.Pricing)
    await town.start(C)
    assert stages(await town.ended(payment)) == CLOSED


async def test_a_false_part_of_a_receipt_closes_nothing(town: Town) -> None:
    """Parts of a receipt's signature that do not hold are taken out, and the good ones close the payment."""
    town.ledgers[A, EURO_LEDGER].silent |= {"events"}
    await town.stop(A)
    await town.start(A)
    payment = await town.pay()
    await town.stage(C, payment, "earned")
    state = await town.stage(A, payment, "held", "holding")
    quote = state.deal.terms.quote  # type: ignore[union-attr]
    signed = (await town.state(C, payment)).signatures[0]  # type: ignore[union-attr]
    wrong = encode_part(town.secrets[B].signer.sign(_directory(town).receipt_statement(quote, bytes(32))))
    async with asyncio.timeout(PATIENCE_S):
        while len((await town.state(A, payment)).signatures) < 2:  # type: ignore[union-attr]
            await asyncio.sleep(0.01)
    signatures = (await town.state(A, payment)).signatures  # type: ignore[union-attr]
    honest = next(one for one in signatures if one.party == B)
    forged = m.ReceiptPart(payment, signed.receipt_hash, wrong)
    await town.gateways[A].letter_box.take(_letter(town, B, A, forged))
    town.ledgers[A, EURO_LEDGER].silent.clear()
    await town.stage(A, payment, "paid")
    assert await town.posts(A) == [(payment, "hold"), (payment, "paid")]
    again = m.ReceiptPart(payment, honest.receipt_hash, honest.signature)
    await town.gateways[A].letter_box.take(_letter(town, B, A, again))
    assert stages(await town.ended(payment)) == CLOSED


async def test_what_is_kept_is_sealed(town: Town) -> None:
    """Neither the shared secret nor the preimage is in any party's database file, nor in its log, while it goes on."""
    town.ledgers[B, YUAN_LEDGER].silent |= {"fulfil"}
    payment = await town.pay()
    state = await town.stage(B, payment, "fulfilling")
    secret, _ = secret_of(state)
    fulfil = next(due.effect for due in await town.outbox(B) if isinstance(due.effect, c.Fulfil))
    assert secret is not None
    for path in town.folder.iterdir():
        raw = path.read_bytes()
        assert secret not in raw, path
        assert fulfil.preimage not in raw, path
    town.ledgers[B, YUAN_LEDGER].silent.clear()
    assert stages(await town.ended(payment)) == CLOSED
