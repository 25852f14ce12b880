"""What others try: each party's machine holds to what it asked for, from whom, and on which ledger."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody import clearer, payee, payer
from settlement.custody.packet import preimage_of
from settlement.custody.terms import Quote, source_transfer_id, target_transfer_id
from tests.support.custody_world import World

REVEAL_MS = 3_000
AMOUNT = 7_000


class Recorded(World):
    """A payment that goes well, with each state that a party was in, and each change that came to it."""

    def __init__(self) -> None:
        self.stages: dict[tuple[str, str], Any] = {}
        self.changes: dict[tuple[str, type], Any] = {}
        self.begun_at = 0
        super().__init__(7)
        self.begun_at = self.now
        self.payment = self.order(AMOUNT, "euro", "yuan")
        self.heal()

    def _change(self, party: Any, payment: bytes, change: c.AnyChange) -> None:
        self.changes.setdefault((party.name, type(change)), change)
        super()._change(party, payment, change)

    def _commit(self, party: Any, payment: bytes, made: tuple[Any, c.Effects]) -> None:
        stage = type(made[0]).__struct_config__.tag
        self.stages.setdefault((party.name, stage), made[0])
        super()._commit(party, payment, made)

    def step(self, name: str, stage: str, change: c.AnyChange, later: int = 0) -> tuple[Any, c.Effects]:
        state, now = self.stages[name, stage], UnixMs(self.begun_at + later)
        match state:
            case payer.State():
                return payer.step(state, change, now)  # type: ignore[arg-type]
            case clearer.State():
                return clearer.step(state, change, now, REVEAL_MS)  # type: ignore[arg-type]
            case _:
                return payee.step(state, change, now, REVEAL_MS)

    def unmoved(self, name: str, stage: str, change: c.AnyChange, later: int = 0) -> None:
        """The change moves nothing at all."""
        state, effects = self.step(name, stage, change, later)
        assert (state, effects) == (self.stages[name, stage], ())

    @property
    def quote(self) -> Quote:
        return self.stages["clearing", "quoted"].offer.quote  # type: ignore[no-any-return]

    @property
    def source(self) -> bytes:
        return source_transfer_id(self.payment)  # type: ignore[arg-type]

    @property
    def target(self) -> bytes:
        return target_transfer_id(self.payment)  # type: ignore[arg-type]

    @property
    def preimage(self) -> bytes:
        return self.stages["bank-a", "paid"].preimage  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def run() -> Recorded:
    """One good payment, for all tests of this module: none of them changes it."""
    return Recorded()


def test_a_hold_that_ends_elsewhere_does_not_free_the_clearing_bank(run: Recorded) -> None:
    """A payer that makes a hold with the target's id on its own ledger, and lets it end, gets no source back."""
    for stage in ("forwarding", "waiting"):
        run.unmoved("clearing", stage, c.Returned("euro", run.target, False))
        state, effects = run.step("clearing", stage, c.Returned("yuan", run.target, False))
        assert isinstance(state, clearer.Returning)
        assert c.GiveBack("euro", run.source) in effects


def test_the_source_cannot_stand_for_the_target(run: Recorded) -> None:
    """The end of the source's hold says nothing of the target's, at the clearing bank."""
    run.unmoved("clearing", "waiting", c.Returned("yuan", run.source, False))
    run.unmoved("clearing", "waiting", c.Fulfilled("yuan", run.source, run.preimage))
    run.unmoved("clearing", "waiting", c.Fulfilled("yuan", run.target, bytes(32)))
    run.unmoved("clearing", "claiming", c.Fulfilled("euro", run.target, run.preimage))
    run.unmoved("clearing", "claiming", c.Returned("euro", run.target, True))


@pytest.mark.parametrize("stage", ["holding", "held"])
def test_a_payer_hears_of_its_own_hold_alone(run: Recorded, stage: str) -> None:
    """A hold with the source's id on another ledger neither pays nor returns a payment."""
    run.unmoved("bank-a", stage, c.Returned("yuan", run.source, True))
    run.unmoved("bank-a", stage, c.Fulfilled("yuan", run.source, run.preimage))
    run.unmoved("bank-a", stage, c.HoldMade("yuan", run.source))
    run.unmoved("bank-a", stage, c.HoldMade("euro", run.target))
    run.unmoved("bank-a", stage, c.Fulfilled("euro", run.source, bytes(32)))


def test_a_payee_hears_of_its_own_hold_alone(run: Recorded) -> None:
    """A hold with the target's id on another ledger neither ends nor pays a payment that is being fulfilled."""
    for change in (
        c.Returned("euro", run.target, True),
        c.NotSent("euro", run.target),
        c.Fulfilled("euro", run.target, run.preimage),
        c.Fulfilled("yuan", run.target, bytes(32)),
    ):
        run.unmoved("bank-b", "fulfilling", change)


def test_a_hold_without_both_banks_signatures_is_given_back(run: Recorded) -> None:
    """A hold that is as quoted, but not instructed by both banks, is given back by the clearing bank."""
    seen = run.changes["clearing", c.HoldSeen]
    state, _ = run.step("clearing", "quoted", seen)
    assert isinstance(state, clearer.Clearing)
    state, effects = run.step("clearing", "quoted", msgspec.structs.replace(seen, instructed=False))
    assert isinstance(state, clearer.Returning)
    assert effects[0] == c.GiveBack("euro", run.source)
    assert not any(isinstance(effect, c.MakeHold) for effect in effects)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", 1),
        ("expires_at", 1_700_000_000_001),
        ("payer", "bank-x"),
        ("condition", bytes(32)),
        ("memo", b""),
    ],
)
def test_a_hold_that_is_not_as_quoted_is_given_back(run: Recorded, field: str, value: object) -> None:
    """The clearing bank forwards exactly what was quoted, and gives all else back."""
    seen = msgspec.structs.replace(run.changes["clearing", c.HoldSeen], **{field: value})
    state, effects = run.step("clearing", "quoted", seen)
    assert isinstance(state, clearer.Returning)
    assert effects[0] == c.GiveBack("euro", run.source)


@pytest.mark.parametrize("field", ["ledger", "transfer_id", "payee"])
@pytest.mark.parametrize("stage", ["quoted", "clearing", "forwarding", "waiting", "claiming", "earned", "closed"])
def test_a_strangers_hold_moves_no_payment_of_the_clearing_bank(run: Recorded, field: str, stage: str) -> None:
    """A hold with a payment's memo that is not its source goes back, and the payment stands where it was."""
    seen = run.changes["clearing", c.HoldSeen]
    value = bytes(32) if field == "transfer_id" else "elsewhere"
    strange = msgspec.structs.replace(seen, **{field: value})
    state, effects = run.step("clearing", stage, strange)
    assert state == run.stages["clearing", stage]
    assert effects == (c.GiveBack(strange.ledger, strange.transfer_id),)


@pytest.mark.parametrize(
    ("field", "value"),
    [("amount", AMOUNT - 1), ("expires_at", 1), ("payer", "bank-x"), ("condition", bytes(32)), ("memo", b"")],
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
    state, effects = run.step("clearing", "clearing", c.Cleared("1"), last + 1)
    assert isinstance(state, clearer.Returning)
    assert effects[0] == c.GiveBack("euro", run.source)


def test_a_clearing_bank_takes_nothing_after_its_quote(run: Recorded) -> None:
    """A hold that is seen at the quote's end, or later, is given back."""
    seen = run.changes["clearing", c.HoldSeen]
    end = run.quote.expires_at - run.begun_at
    assert isinstance(run.step("clearing", "quoted", seen, end - 1)[0], clearer.Clearing)
    assert isinstance(run.step("clearing", "quoted", seen, end)[0], clearer.Returning)
    lapsed, _ = run.step("clearing", "quoted", c.Tick(), end)
    assert isinstance(lapsed, clearer.Lapsed)
    late, effects = clearer.step(lapsed, seen, UnixMs(run.begun_at), REVEAL_MS)
    assert isinstance(late, clearer.Returning)
    assert effects[0] == c.GiveBack("euro", run.source)


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


def test_a_lost_margin_is_an_alarm(run: Recorded) -> None:
    """What cannot happen while the margins hold is told to the operator: the clearing bank's loss, and the payee's."""
    state, effects = run.step("clearing", "claiming", c.Returned("euro", run.source, True))
    assert (isinstance(state, clearer.Lost), isinstance(effects[0], c.Alarm)) == (True, True)
    lost, told = run.step("bank-b", "fulfilling", c.Returned("yuan", run.target, True))
    assert (isinstance(lost, payee.Lost), isinstance(told[0], c.Alarm)) == (True, True)


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
