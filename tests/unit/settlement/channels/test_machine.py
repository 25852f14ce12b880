"""Two sides of a channel, message by message."""

from __future__ import annotations

import pytest

from settlement.channels.errors import BadStep, ForgedSheet
from settlement.channels.judge import Close, Status
from settlement.channels.machine import step
from settlement.channels.messages import AskTurn, Propose, decode
from settlement.channels.ops import apply
from settlement.channels.signing import sheet_digest
from settlement.channels.state import (
    CloseNow,
    Learnt,
    Leave,
    LockEnded,
    NotDone,
    Offered,
    Paid,
    Phase,
    Received,
    Tick,
    Want,
)
from settlement.channels.terms import Side
from tests.support.channels import (
    KEYS,
    POLICY,
    START,
    World,
    fulfil,
    give_back,
    lock,
    offer,
    pay,
    secret,
    terms,
)

A, B = Side.A, Side.B


def test_payments_go_both_ways_and_change_the_balances() -> None:
    """Each side pays the other, both sign every sheet, and both are told of it once."""
    world = (
        World().want(A, pay(100, 1)).run().want(B, pay(30, 2)).run().want(B, pay(5, 3)).run().want(A, pay(1, 4)).run()
    )
    assert world.balances() == (934, 1_066)
    assert [paid.amount for paid in world.events(B, Paid) if paid.incoming] == [100, 1]
    assert [paid.amount for paid in world.events(A, Paid) if paid.incoming] == [30, 5]
    assert not world.refused


def test_one_way_channel_pays_one_way() -> None:
    """In a one-way channel A pays as often as it likes, and B cannot."""
    world = World(terms(1_000, 0, one_way=True))
    for number in range(5):
        world.want(A, pay(10, number)).run()
    world.want(B, pay(1)).run()
    assert world.balances() == (950, 50)
    assert len(world.events(B, NotDone)) == 1


def test_one_way_payee_claims_and_gives_back_without_a_turn() -> None:
    """In a one-way channel the payee shows a preimage, or gives up its claim, and the payer proposes the sheet."""
    world = World(terms(1_000, 0, one_way=True)).want(A, offer(1, A), offer(2, A)).run()
    world.want(B, fulfil(1)).run().want(B, give_back(2)).run()
    assert world.balances() == (900, 100)


def test_nobody_pays_more_than_the_balance() -> None:
    """A payment beyond the balance is not made, and the next one is."""
    world = World().want(A, pay(1_001, 1), pay(1_000, 2), pay(1, 3)).run()
    assert world.balances() == (0, 2_000)
    assert [failed.op for failed in world.events(A, NotDone)] == [pay(1_001, 1), pay(1, 3)]


@pytest.mark.parametrize("claimer", [A, B])
def test_conditional_payment_is_made_by_the_preimage(claimer: Side) -> None:
    """Money set aside is the payee's once it shows the preimage, whoever has the turn."""
    world = World().want(claimer.other, offer(1, claimer.other)).run()
    assert [event.lock for event in world.events(claimer, Offered)] == [lock(1, claimer.other)]
    world.want(claimer, fulfil(1)).run()
    assert world.sides[A].sheet.balance(claimer) == 1_100
    for side in Side:
        assert [end.preimage for end in world.events(side, LockEnded)] == [secret(1)]


def test_conditional_payment_goes_back_by_its_payee_at_once() -> None:
    """A payee that does not want the money gives it back before the time-out."""
    world = World().want(A, offer(1, A)).run().want(B, give_back(1)).run()
    assert world.balances() == (1_000, 1_000)
    assert [end.preimage for end in world.events(A, LockEnded)] == [None]


def test_conditional_payment_goes_back_after_its_time_out() -> None:
    """Without a preimage the payer takes the money back once the time-out has passed, and not before."""
    world = World().want(A, offer(1, A)).run()
    world.want(A, give_back(1)).run()
    assert [type(failed.op).__name__ for failed in world.events(A, NotDone)] == ["Return"]
    world.tick(100_000).run()
    assert world.balances() == (1_000, 1_000)
    assert world.court.case.status is Status.OPEN


def test_late_conditional_payment_is_refused_and_void() -> None:
    """An offer with too little time left is refused; its payer is told once another sheet has both signatures."""
    world = World().want(A, offer(1, A, expires_at=START + POLICY.accept_ms - 1_000)).run()
    assert world.balances() == (1_000, 1_000)
    assert len(world.events(A, NotDone)) == 1
    assert world.sides[A].sheet.sequence == 3


def test_unanswered_claim_is_shown_to_the_adjudicator_in_time() -> None:
    """A payee whose payer is silent shows the preimage to the adjudicator before the time-out, and is paid by it."""
    world = World().want(A, offer(1, A)).run()
    world.silent.add(A)
    world.want(B, fulfil(1))
    for _ in range(91):
        world.tick()
    assert list(world.court.reveals) == [lock(1, A).condition]
    assert world.end().b == 1_100


def test_payer_learns_from_the_adjudicator_and_does_not_take_back() -> None:
    """A preimage that the adjudicator registered in time pays, though the payer saw it after the time-out only."""
    world = World().want(A, offer(1, A)).run()
    world.court.show(secret(1), lock(1, A).expires_at - 1)
    world.tick(100_500).run()
    assert world.balances() == (900, 1_100)


def test_preimage_that_was_registered_late_does_not_pay() -> None:
    """A preimage shown at the time-out is too late: the money goes back."""
    world = World().want(A, offer(1, A)).run()
    world.court.show(secret(1), lock(1, A).expires_at)
    world.tick(100_500).run()
    assert world.balances() == (1_000, 1_000)


def test_lost_messages_are_sent_again() -> None:
    """A proposal and an acceptance that are lost are repeated, and the payment counts once."""
    world = World().want(A, pay(10))
    world.wire.clear()
    world.tick(2_000).deliver()
    world.wire.clear()  # the acceptance
    world.tick(2_000).run()
    assert world.balances() == (990, 1_010)
    assert len(world.events(B, Paid)) == 1


def test_repeated_and_late_messages_change_nothing() -> None:
    """Every message of two payments, delivered again at the end in any order, is without effect."""
    world = World().want(A, pay(10))
    seen = []
    while world.wire:
        seen.append(world.wire[0])
        world.deliver()
    world.want(B, pay(3))
    while world.wire:
        seen.append(world.wire[0])
        world.deliver()
    before = world.balances(), dict(world.signed)
    for again in (seen, seen[::-1]):
        world.wire.extend(again)
        world.run()
    assert (world.balances(), dict(world.signed)) == before


def test_leaving_together_pays_out_at_once() -> None:
    """Two banks that both agree to end are paid out without waiting for answers."""
    world = World().want(A, pay(250)).run()
    world.change(B, Leave())
    world.run()
    assert world.court.paid is not None
    assert (world.court.paid.a, world.court.paid.b) == (750, 1_250)
    world.tick()
    assert world.sides[A].phase is world.sides[B].phase is Phase.CLOSED


def test_leaving_waits_for_conditional_payments_and_takes_no_new_ones() -> None:
    """A bank that leaves ends what is open first, and refuses new payments."""
    world = World().want(A, offer(1, A)).run()
    world.change(A, Leave())
    world.want(A, pay(1)).run().want(B, pay(5)).run()
    assert len(world.events(A, NotDone)) == 1
    world.want(B, fulfil(1)).run()
    assert world.court.paid is not None
    assert (world.court.paid.a, world.court.paid.b) == (900, 1_100)


def test_leaving_a_silent_bank_closes_without_it() -> None:
    """A bank whose counterparty does not answer its farewell closes by itself after its patience."""
    world = World().want(A, pay(250)).run()
    world.silent.add(B)
    world.change(A, Leave())
    assert world.end().a == 750


def test_closing_side_signs_nothing_more() -> None:
    """From its close on a side accepts no proposal, so that what it submitted stays its newest sheet."""
    world = World().want(A, pay(10)).run().want(B, pay(1))
    world.change(A, CloseNow())
    world.run()
    assert world.sides[A].phase is Phase.CLOSING
    assert world.sides[A].sheet.sequence == world.court.case.submitted[A]
    assert world.end().a == 990
    assert world.court.case.cheated == (False, False)


def test_stale_close_is_answered_and_forfeits_everything() -> None:
    """A bank that closes with an older sheet than it held loses all money to the other, which answered."""
    world = World()
    for number in range(4):
        world.want(A, pay(100, number)).run()
    stale = world.held[A][0]
    assert world.submit(Close(world.account(A), stale))
    world.silent.add(A)
    paid = world.end()
    assert (paid.a, paid.b) == (0, 2_000)


def test_acknowledged_sheet_punishes_even_one_step_back() -> None:
    """A proposer that acknowledged a sheet and closes with the one before loses everything."""
    world = World().want(A, pay(100)).run()
    stale = world.held[A][0]
    assert world.submit(Close(world.account(A), stale))
    world.silent.add(A)
    assert world.end().b == 2_000


def test_proposer_without_the_answer_is_not_punished() -> None:
    """A bank that never got the answer to its proposal closes with what it holds, and is not punished."""
    world = World().want(A, pay(100))
    world.deliver()
    world.wire.clear()  # the acceptance is lost
    world.change(A, CloseNow())
    paid = world.end()
    assert (paid.a, paid.b) == (900, 1_100)
    assert world.court.case.cheated == (False, False)
    assert len(world.events(A, Paid)) == 1


# --- Attacks ----------------------------------------------------------------------------------------------------------


def proposal(world: World, **changes: object) -> Propose:
    """A's first proposal, with some of it changed."""
    (_, raw) = world.wire[-1]
    message = decode(raw)
    assert isinstance(message, Propose)
    fields = {name: getattr(message, name) for name in ("channel", "sequence", "held", "ops", "signature")}
    return Propose(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"ops": (pay(9),)}, ForgedSheet),
        ({"signature": b"\0" * 65}, ForgedSheet),
        ({"signature": b""}, ForgedSheet),
        ({"sequence": 3}, ForgedSheet),
        ({"sequence": 2}, BadStep),
        ({"held": 1}, BadStep),
        ({"ops": (pay(1_001),)}, BadStep),
        ({"ops": (pay(-5),)}, BadStep),
        ({"ops": (pay(0),)}, BadStep),
        ({"ops": (offer(1, B),)}, BadStep),
        ({"ops": (fulfil(1),)}, BadStep),
        ({"ops": (give_back(1),)}, BadStep),
        ({"ops": (pay(1),) * 65}, BadStep),
        ({"ops": tuple(offer(n, A, 1) for n in range(17))}, BadStep),
        ({"ops": (offer(1, A), offer(1, A))}, BadStep),
        ({"channel": b"x" * 32}, BadStep),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_proposal_that_does_not_fit_changes_nothing(changes: dict[str, object], error: type[Exception]) -> None:
    """A proposal with another content than was signed, out of turn, or beyond the rules is refused with its reason."""
    world = World().want(A, pay(10))
    message = proposal(world, **changes)
    with pytest.raises(error):
        step(world.sides[B], Received(message), world.now, KEYS[B])


def test_other_channels_signature_does_not_count() -> None:
    """A sheet signed for the same two banks on another ledger is forged here."""
    world = World().want(A, pay(10))
    sheet = apply(world.terms, world.sides[A].sheet, A, (pay(10),), 1)
    elsewhere = KEYS[A].sign_sheet(b"e" * 32, sheet)
    assert elsewhere != KEYS[A].sign_sheet(world.terms.ledger, sheet)
    assert sheet_digest(b"e" * 32, sheet) != sheet_digest(world.terms.ledger, sheet)
    with pytest.raises(ForgedSheet):
        step(world.sides[B], Received(proposal(world, signature=elsewhere)), world.now, KEYS[B])


def test_refused_sheet_is_never_signed_later() -> None:
    """A proposal that was refused is refused again, even when the reason has gone."""
    world = World().want(A, offer(1, A, expires_at=START + POLICY.accept_ms - 1_000))
    raw = world.wire[0]
    world.run()
    world.wire.append(raw)
    world.now = START
    world.run()
    assert (B, 1) not in world.signed


def test_refused_sheet_is_refused_again_though_nothing_took_its_place() -> None:
    """A proposal that comes again after its refusal is refused, even where it would be accepted by now."""
    world = World().want(A, offer(1, A, expires_at=START + POLICY.accept_ms - 1_000))
    raw = world.wire[0]
    world.deliver()
    world.wire[:] = [raw]
    world.now = START - 10_000  # type: ignore[assignment]
    world.deliver()
    assert (B, 1) not in world.signed
    assert world.sides[B].sheet.sequence == 0


def test_payee_that_has_shown_its_preimage_agrees_to_no_return() -> None:
    """While the ledger's answer is on its way, a payee that knows the preimage refuses to give the money back."""
    world = World().want(A, offer(1, A)).run()
    world.want(B, fulfil(1))
    world.wire.clear()
    world.now = START + 100_000  # type: ignore[assignment]
    world.change(A, Tick())
    world.change(B, Tick())
    world.run()
    assert world.sides[B].sheet.sequence > 2
    assert world.sides[B].sheet.locks
    assert world.sides[A].sheet.locks


def test_asking_for_the_turn_cannot_make_a_side_sign_twice() -> None:
    """However often the turn is asked for, one empty proposal is made for it."""
    world = World()
    for _ in range(5):
        world.change(A, Received(AskTurn(world.sides[A].channel, 0)))
    assert len(world.wire) == 1


def test_replaying_a_change_is_harmless() -> None:
    """A step on the same state with the same change gives the same state and effects, signatures included."""
    world = World()
    change = Want((pay(10), offer(1, A)))
    assert step(world.sides[A], change, START, KEYS[A]) == step(world.sides[A], change, START, KEYS[A])


def test_late_preimage_does_not_make_the_payer_pay() -> None:
    """A payer that is told a preimage after the time-out takes its money back all the same."""
    world = World().want(A, offer(1, A)).run()
    world.now = START + 100_000  # type: ignore[assignment]
    world.change(A, Learnt(secret(1)))
    world.tick().run()
    assert world.balances() == (1_000, 1_000)


def test_secret_is_in_no_repr() -> None:
    """A signer's repr shows its account and not its key."""
    assert (b"a" * 32).hex() not in repr(KEYS[A])
    assert KEYS[A].account.hex() in repr(KEYS[A])


def test_closing_side_acknowledges_nothing() -> None:
    """An acceptance that arrives after this side has closed is not acknowledged: it would prove a stale close."""
    world = World().want(A, pay(1)).run()
    world.change(B, Received(AskTurn(world.sides[B].channel, 1)))  # B hands the turn on
    world.change(B, CloseNow())
    world.run()
    paid = world.end()
    assert (paid.a, paid.b) == (999, 1_001)
    assert world.court.case.cheated == (False, False)
