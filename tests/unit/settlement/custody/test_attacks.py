"""What others try: each party's machine holds to what it asked for, from whom, and until when."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody import clearer, payee, payer
from settlement.custody.packet import preimage_of
from tests.support.custody_recorded import AMOUNT, REVEAL_MS, Recorded


@pytest.fixture(scope="module")
def run() -> Recorded:
    """One good payment, for all tests of this module: none of them changes it."""
    return Recorded()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", 1),
        ("expires_at", 1_700_000_000_001),
        ("condition", bytes(32)),
        ("memo", b""),
        ("instructed", False),
    ],
)
def test_a_hold_that_is_not_as_quoted_is_given_back(run: Recorded, field: str, value: object) -> None:
    """The clearing bank forwards exactly what was quoted and both banks signed, and gives all else back."""
    seen = msgspec.structs.replace(run.changes["clearing", c.HoldSeen], **{field: value})
    assert isinstance(run.step("clearing", "quoted", run.changes["clearing", c.HoldSeen])[0], clearer.Clearing)
    run.given_back(*run.step("clearing", "quoted", seen))


def test_a_hold_that_came_early_is_kept_when_it_is_told_again(run: Recorded) -> None:
    """A hold that came before the payer's word, told twice, is not given back, or its preimage would be in vain."""
    seen, consenting = run.changes["bank-b", c.HoldSeen], run.stages["bank-b", "consenting"]
    early, effects = payee.step(consenting, seen, UnixMs(run.begun_at), REVEAL_MS)
    assert (early.early, effects) == (seen, ())  # type: ignore[union-attr]
    assert payee.step(early, seen, UnixMs(run.begun_at), REVEAL_MS) == (early, ())


def test_a_payee_lets_nobody_keep_it_waiting_for_long(run: Recorded) -> None:
    """Terms whose hold would last longer than the payee allows are declined; the longest that it allows are not."""
    offered, terms = run.stages["bank-b", "offered"], run.changes["bank-b", c.Proposed].terms
    for more, taken in ((0, True), (1, False)):
        until = run.begun_at + offered.invitation.hold_ms_max + more
        later = _with(
            _with(terms, ["quote", "target", "expires_at"], until), ["quote", "source", "expires_at"], until + 1
        )
        assert isinstance(run.step("bank-b", "offered", c.Proposed(later))[0], payee.Considering) is taken


@pytest.mark.parametrize(
    ("field", "value"),
    [("amount", AMOUNT - 1), ("expires_at", 1), ("condition", bytes(32)), ("memo", b"")],
)
def test_a_payee_shows_the_preimage_for_what_was_agreed_alone(run: Recorded, field: str, value: object) -> None:
    """A hold that differs from the deal in anything is refused, and the preimage is not shown."""
    seen = msgspec.structs.replace(run.changes["bank-b", c.HoldSeen], **{field: value})
    state, effects = run.step("bank-b", "expecting", seen)
    assert isinstance(state, payee.Refusing)
    assert effects[0] == c.GiveBack("yuan", run.target)
    assert not any(isinstance(effect, c.Fulfil) for effect in effects)


def test_a_payee_shows_no_preimage_when_too_little_time_is_left(run: Recorded) -> None:
    """To the last moment of its margin a payee fulfils, one millisecond later it refuses."""
    seen = run.changes["bank-b", c.HoldSeen]
    last = run.quote.target.expires_at - REVEAL_MS - run.begun_at
    state, effects = run.step("bank-b", "expecting", seen, last)
    assert isinstance(state, payee.Fulfilling)
    assert isinstance(effects[0], c.Fulfil)
    assert effects[0].not_after == run.quote.target.expires_at - REVEAL_MS
    state, effects = run.step("bank-b", "expecting", seen, last + 1)
    assert isinstance(state, payee.Refusing)


def test_a_clearing_bank_begins_no_hold_too_late(run: Recorded) -> None:
    """To the last moment of its margin a clearing bank holds the target, one millisecond later it gives back."""
    last = run.quote.target.expires_at - REVEAL_MS - run.begun_at
    state, _ = run.step("clearing", "clearing", c.Cleared("1"), last)
    assert isinstance(state, clearer.Forwarding)
    run.given_back(*run.step("clearing", "clearing", c.Cleared("1"), last + 1))


def test_a_clearing_bank_takes_nothing_after_its_quote(run: Recorded) -> None:
    """A hold that is seen at the quote's end, or later, is given back."""
    seen = run.changes["clearing", c.HoldSeen]
    end = run.quote.expires_at - run.begun_at
    assert isinstance(run.step("clearing", "quoted", seen, end - 1)[0], clearer.Clearing)
    run.given_back(*run.step("clearing", "quoted", seen, end))
    lapsed, _ = run.step("clearing", "quoted", c.Tick(), end)
    assert isinstance(lapsed, clearer.Lapsed)
    run.given_back(*clearer.step(lapsed, seen, UnixMs(run.begun_at), REVEAL_MS))


def test_the_secret_is_told_to_the_payer_alone(run: Recorded) -> None:
    """Who asks for another's payment's secret, as a clearing bank might, is not answered: it would be paid for it."""
    run.unmoved("bank-b", "offered", c.SecretAsked("clearing", b"k" * 32))
    _, effects = run.step("bank-b", "offered", c.SecretAsked("bank-a", b"k" * 32))
    assert isinstance(effects[0], c.GiveSecret)
    run.unmoved("bank-b", "expecting", c.SecretAsked("bank-a", b"k" * 32))


def test_a_quote_is_told_to_its_payer_alone(run: Recorded) -> None:
    """Who asks for another's quote is not answered."""
    run.unmoved("clearing", "quoted", c.QuoteAsked("bank-b"))
    _, effects = run.step("clearing", "quoted", c.QuoteAsked("bank-a"))
    assert isinstance(effects[0], c.GiveQuote)


def test_a_stranger_ends_no_payment(run: Recorded) -> None:
    """Only the clearing bank refuses a quote, and only the parties of a payment end it by their word."""
    run.unmoved("bank-a", "pricing", c.QuoteRefused("bank-x", c.Why.NO_ROUTE, ""))
    assert isinstance(run.step("bank-a", "pricing", c.QuoteRefused("clearing", c.Why.NO_ROUTE, ""))[0], payer.Failed)
    for stage in ("asking", "pricing", "clearing", "agreeing", "held"):
        run.unmoved("bank-a", stage, c.Told("bank-x", c.Why.CANCELLED, ""))
    for stage in ("offered", "considering", "consenting"):
        run.unmoved("bank-b", stage, c.Told("clearing", c.Why.CANCELLED, ""))
        assert isinstance(run.step("bank-b", stage, c.Told("bank-a", c.Why.CANCELLED, ""))[0], payee.Failed)


def test_words_end_nothing_that_is_held(run: Recorded) -> None:
    """Once money is held, a word, a cancellation or a refusal from anybody moves nothing but the note."""
    for change in (
        c.Cancel(""),
        c.AgreementFailed(c.Why.CANCELLED, ""),
        c.QuoteRefused("clearing", c.Why.NO_ROUTE, ""),
    ):
        for stage in ("holding", "held"):
            run.unmoved("bank-a", stage, change)
    assert isinstance(run.step("bank-a", "held", c.Told("bank-b", c.Why.CANCELLED, ""))[0], payer.Held)
    for stage in ("forwarding", "waiting", "claiming"):
        run.unmoved("clearing", stage, c.Cancel(""))
        run.unmoved("clearing", stage, c.Barred("1", ""))


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("payer", "bank-x", "payer"),
        ("clearer", "bank-x", "clearing bank"),
        ("payee", "bank-x", "payee"),
        ("source.ledger", "gold", "source ledger"),
        ("source.payer", "bank-x", "source account"),
        ("target.ledger", "gold", "target ledger"),
        ("target.payee", "bank-x", "target account"),
        ("target.amount", AMOUNT - 1, "target amount"),
    ],
)
def test_a_quote_of_something_else_is_not_taken(run: Recorded, path: str, value: object, word: str) -> None:
    """A payer takes the quote of what it asked for, and names what differs in any other."""
    quote = run.quote
    head, _, rest = path.partition(".")
    changed = msgspec.structs.replace(getattr(quote, head), **{rest: value}) if rest else value
    wrong = msgspec.structs.replace(quote, **{head: changed})
    state, _ = run.step("bank-a", "pricing", c.QuoteGiven(wrong, b""))
    assert isinstance(state, payer.Failed)
    assert (state.why, word in state.detail) == (c.Why.QUOTE_WRONG, True)


@pytest.mark.parametrize(("asset", "scale", "taken"), [("CNY", 2, True), ("CNX", 2, False), ("CNY", 3, False)])
def test_an_amount_in_another_currency_or_scale_is_not_what_was_ordered(
    run: Recorded, asset: str, scale: int, taken: bool
) -> None:
    """A quote counts the same currency in the same decimals as an order that names them, or is not taken."""
    state, quote = run.stages["bank-a", "pricing"], run.quote
    order = msgspec.structs.replace(state.order, target_asset="CNY", target_scale=2)
    target = msgspec.structs.replace(quote.target, asset=asset, scale=scale)
    given = c.QuoteGiven(msgspec.structs.replace(quote, target=target), b"")
    after, _ = payer.step(msgspec.structs.replace(state, order=order), given, UnixMs(run.begun_at))
    assert isinstance(after, payer.Clearing) is taken


def test_a_payer_lets_nobody_keep_its_money_for_long(run: Recorded) -> None:
    """A quote whose hold would last longer than the order allows is not taken; the longest that it allows is."""
    quote, order = run.quote, run.stages["bank-a", "pricing"].order
    for more, taken in ((0, True), (1, False)):
        source = msgspec.structs.replace(quote.source, expires_at=run.begun_at + order.hold_ms_max + more)
        given = c.QuoteGiven(msgspec.structs.replace(quote, source=source), b"")
        assert isinstance(run.step("bank-a", "pricing", given)[0], payer.Clearing) is taken


def test_a_payer_pays_no_more_than_it_allows(run: Recorded) -> None:
    """A quote that costs one unit more than allowed is refused because the rate has moved."""
    state = run.stages["bank-a", "pricing"]
    given = c.QuoteGiven(run.quote, b"")
    for most, taken in ((run.quote.source.amount, True), (run.quote.source.amount - 1, False)):
        tight = msgspec.structs.replace(state, order=msgspec.structs.replace(state.order, source_max=most))
        after, _ = payer.step(tight, given, UnixMs(run.begun_at))
        assert isinstance(after, payer.Clearing) is taken


@pytest.mark.parametrize("stage", ["clearing", "agreeing"])
def test_a_payer_holds_nothing_after_the_quotes_end(run: Recorded, stage: str) -> None:
    """At the quote's end a payer that holds nothing yet gives up, also when both acceptances come then."""
    end = run.quote.expires_at - run.begun_at
    assert isinstance(run.step("bank-a", stage, c.Tick(), end)[0], payer.Failed)
    if stage == "agreeing":
        agreed = run.changes["bank-a", c.Agreed]
        assert isinstance(run.step("bank-a", stage, agreed, end)[0], payer.Failed)
        assert isinstance(run.step("bank-a", stage, agreed, end - 1)[0], payer.Holding)


@pytest.mark.parametrize("name", ["bank-a", "bank-b"])
def test_an_agreement_on_other_terms_is_none(run: Recorded, name: str) -> None:
    """Acceptances of other terms than a bank wanted move nothing."""
    agreed = run.changes[name, c.Agreed]
    other = msgspec.structs.replace(agreed, terms=msgspec.structs.replace(agreed.terms, address="g.bank-b.other"))
    run.unmoved(name, "agreeing" if name == "bank-a" else "consenting", other)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("payment_id", b"x" * 32),
        ("address", "g.bank-x"),
        ("quote.payer", "bank-x"),
        ("quote.payee", "bank-x"),
        ("quote.target.ledger", "gold"),
        ("quote.target.payee", "bank-x"),
        ("quote.fee", 10**9),
        ("quote.expires_at", 1),
    ],
)
def test_terms_that_pay_the_payee_otherwise_are_declined(run: Recorded, path: str, value: object) -> None:
    """A payee accepts terms that pay it where it wants to be paid, and declines all others."""
    terms = run.changes["bank-b", c.Proposed].terms
    state, effects = run.step("bank-b", "offered", c.Proposed(_with(terms, path.split("."), value)))
    assert isinstance(state, payee.Failed)
    assert isinstance(effects[0], c.Decline)


def _with(value: Any, path: list[str], to: object) -> Any:
    head, *rest = path
    return msgspec.structs.replace(value, **{head: _with(getattr(value, head), rest, to) if rest else to})


def test_a_payment_that_is_unwanted_is_declined(run: Recorded) -> None:
    """A payee that will not take a payment says so to the payer, whatever its terms are."""
    state, effects = run.step("bank-b", "offered", c.Unwanted(c.Why.UNKNOWN_CUSTOMER, "none"))
    assert isinstance(state, payee.Failed)
    assert effects == (c.Decline(c.Why.UNKNOWN_CUSTOMER, "none"),)


def test_a_receipt_needs_all_three_on_one_text(run: Recorded) -> None:
    """A payment is closed by three signatures on its own receipt, and by no other texts or parties."""
    paid = run.stages["bank-a", "paid"]
    text = next(one for one in run.stages["bank-a", "closed"].signatures).receipt_hash
    empty = msgspec.structs.replace(paid, signatures=())

    def closed(*signed: c.Signed) -> bool:
        state: Any = empty
        for one in signed:
            state, _ = payer.step(state, one, UnixMs(run.begun_at))
        return isinstance(state, payer.Closed)

    a, b, third = (c.Signed(name, text, b"s") for name in ("bank-a", "bank-b", "clearing"))
    assert closed(a, b, third)
    assert closed(c.Signed("bank-x", text, b"s"), a, b, third)
    assert not closed(a, b, b, a)
    assert not closed(a, b, c.Signed("bank-x", text, b"s"))
    assert not closed(a, b, c.Signed("clearing", bytes(32), b"s"))


def test_the_preimage_is_the_agreements_own(run: Recorded) -> None:
    """Another secret, payment or agreement gives another preimage."""
    deal, secret = run.stages["bank-b", "expecting"].deal, run.stages["bank-b", "offered"].invitation.secret
    payment = run.payment
    assert preimage_of(secret, payment, deal.agreement) == run.preimage  # type: ignore[arg-type]
    others = [
        preimage_of(bytes(32), payment, deal.agreement),  # type: ignore[arg-type]
        preimage_of(secret, bytes(32), deal.agreement),  # type: ignore[arg-type]
        preimage_of(secret, payment, bytes(32)),  # type: ignore[arg-type]
    ]
    assert run.preimage not in others
