"""The rules of a book, one batch at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foundation.quantities import UnixMs
from settlement.ledgers.book.core import Changes, Known, Terms, apply
from settlement.ledgers.book.types import (
    Account,
    AccountKind,
    Answer,
    Caller,
    CancelHold,
    Command,
    EntryKind,
    FulfilHold,
    Holder,
    MakeHold,
    MakePayment,
    Paid,
    Payment,
    TransferState,
)
from settlement.ledgers.protocol import (
    MEMO_BYTES_MAX,
    Done,
    Fulfilment,
    Hold,
    HoldState,
    LedgerAccount,
    Refusal,
    Refused,
    TransferId,
)
from settlement.quantities import MAX_UNITS, Asset, Condition, Preimage, Scale, Units
from tests.support.settlement_book import EUR, a_hold, fulfilment_of, preimage_of, transfer_id

NOW = 1_000_000
ALICE, BOB, EVE = (Caller(Holder(name)) for name in ("alice", "bob", "eve"))
HOLD = a_hold("alice", "bob", 60, NOW + 1_000, identity=transfer_id(1))


def account(name: str, balance: int = 0, floor: int = 0, asset: Asset = EUR) -> Account:
    kind = AccountKind.LIABILITY
    return Account(LedgerAccount(name), asset, kind, Holder(name), floor, False, balance, 0, 0, UnixMs(0))


class Book:
    """A book in memory, on which batches are done."""

    def __init__(self, *accounts: Account) -> None:
        self.known = Known({account.name: account for account in accounts}, {}, 0)
        self.entries: list[EntryKind] = []

    def batch(self, *commands: Command, now: int = NOW) -> Changes:
        changes = apply(self.known, commands, UnixMs(now), Terms(hold_ms_max=10_000))
        transfers = {**self.known.transfers, **{t.transfer_id: t for t in (*changes.made, *changes.moved)}}
        accounts = {**self.known.accounts, **{a.name: a for a in changes.accounts}}
        self.known = Known(accounts, transfers, self.known.last_entry + len(changes.entries))
        self.entries.extend(entry.kind for entry in changes.entries)
        return changes

    def one(self, command: Command, now: int = NOW) -> Answer:
        (answer,) = self.batch(command, now=now).answers
        return answer

    def money(self, name: str) -> tuple[int, int, int]:
        found = self.known.accounts[LedgerAccount(name)]
        return found.balance, found.held, found.incoming


@pytest.fixture
def book() -> Book:
    return Book(account("alice", 100), account("bob"), account("eve"))


def reason(answer: Answer) -> Refusal:
    assert isinstance(answer, Refused)
    return answer.reason


def state(answer: Answer) -> HoldState:
    assert isinstance(answer, Done)
    return answer.view.state


def test_a_hold_sets_money_aside_and_a_fulfilment_pays_it(book: Book) -> None:
    """Held money leaves the payer's available money at once, and becomes the payee's with the preimage."""
    assert state(book.one(MakeHold(ALICE, HOLD))) is HoldState.HELD
    assert book.money("alice") == (100, 60, 0)
    assert book.money("bob") == (0, 0, 60)
    done = book.one(FulfilHold(BOB, fulfilment_of(HOLD)), NOW + 5)
    assert isinstance(done, Done)
    assert (done.view.preimage, done.view.decided_at) == (preimage_of(HOLD.transfer_id), NOW + 5)
    assert book.money("alice") == (40, 0, 0)
    assert book.money("bob") == (60, 0, 0)


def test_what_is_held_cannot_be_promised_again(book: Book) -> None:
    """A second hold, and a payment, are refused that only the money under the first would cover."""
    book.one(MakeHold(ALICE, HOLD))
    assert reason(book.one(MakeHold(ALICE, a_hold("alice", "bob", 41, NOW + 1_000)))) is Refusal.INSUFFICIENT_FUNDS
    payment = Payment(transfer_id(), HOLD.payer, HOLD.payee, Units(41))
    assert reason(book.one(MakePayment(ALICE, payment))) is Refusal.INSUFFICIENT_FUNDS
    assert state(book.one(MakeHold(ALICE, a_hold("alice", "bob", 40, NOW + 1_000)))) is HoldState.HELD


def test_one_batch_cannot_spend_the_same_money_twice(book: Book) -> None:
    """Each command of a batch sees what those before it took."""
    holds = [a_hold("alice", "bob", 60, NOW + 1_000) for _ in range(2)]
    answers = book.batch(*(MakeHold(ALICE, hold) for hold in holds)).answers
    assert state(answers[0]) is HoldState.HELD
    assert reason(answers[1]) is Refusal.INSUFFICIENT_FUNDS


def test_a_repeat_is_the_same_transfer(book: Book) -> None:
    """The same id with the same content answers how the transfer stands, and moves nothing."""
    book.one(MakeHold(ALICE, HOLD))
    assert state(book.one(MakeHold(ALICE, HOLD))) is HoldState.HELD
    book.one(FulfilHold(BOB, fulfilment_of(HOLD)))
    assert state(book.one(FulfilHold(BOB, fulfilment_of(HOLD)))) is HoldState.FULFILLED
    assert state(book.one(MakeHold(ALICE, HOLD), NOW + 99_999)) is HoldState.FULFILLED
    assert book.entries == [EntryKind.HOLD, EntryKind.FULFIL]


@pytest.mark.parametrize(
    "other",
    [
        replace(HOLD, amount=Units(61)),
        replace(HOLD, payee=LedgerAccount("eve")),
        replace(HOLD, expires_at=UnixMs(NOW + 1_001)),
        replace(HOLD, memo=b"other"),
        replace(HOLD, condition=a_hold("alice", "bob", 1, 1).condition),
    ],
)
def test_an_id_names_one_transfer_for_ever(book: Book, other: Hold) -> None:
    """Another content under a known id is refused, and its sender is shown what the id stands for."""
    book.one(MakeHold(ALICE, HOLD))
    answer = book.one(MakeHold(ALICE, other))
    assert reason(answer) is Refusal.SAME_ID_OTHER_TRANSFER
    assert isinstance(answer, Refused)
    assert answer.view is not None
    assert answer.view.hold == HOLD
    payment = Payment(HOLD.transfer_id, HOLD.payer, HOLD.payee, HOLD.amount)
    assert reason(book.one(MakePayment(ALICE, payment))) is Refusal.SAME_ID_OTHER_TRANSFER


def test_a_stranger_learns_nothing_from_an_id_that_is_taken(book: Book) -> None:
    """Who reuses another party's id is refused without being shown that party's transfer."""
    book.one(MakeHold(ALICE, replace(HOLD, payee=LedgerAccount("bob"))))
    answer = book.one(MakeHold(EVE, a_hold("eve", "bob", 1, NOW + 1_000, identity=HOLD.transfer_id)))
    assert answer == Refused(HOLD.transfer_id, Refusal.SAME_ID_OTHER_TRANSFER, "the id is another transfer's")


def test_a_refused_transfer_stays_refused(book: Book) -> None:
    """A late repeat of a hold that was refused for lack of money is refused still when the money has come.

    Its sender has been told that nothing is held, and may have paid back what stood against it.
    """
    late = a_hold("bob", "alice", 10, NOW + 1_000)
    assert reason(book.one(MakeHold(BOB, late))) is Refusal.INSUFFICIENT_FUNDS
    book.one(MakePayment(ALICE, Payment(transfer_id(), HOLD.payer, HOLD.payee, Units(50))))
    assert reason(book.one(MakeHold(BOB, late))) is Refusal.INSUFFICIENT_FUNDS
    assert state(book.one(MakeHold(BOB, replace(late, transfer_id=transfer_id())))) is HoldState.HELD


def test_a_refused_hold_cannot_be_fulfilled_or_cancelled(book: Book) -> None:
    """What was refused is no hold for anybody."""
    poor = a_hold("bob", "alice", 10, NOW + 1_000)
    book.one(MakeHold(BOB, poor))
    assert reason(book.one(FulfilHold(ALICE, fulfilment_of(poor)))) is Refusal.UNKNOWN_TRANSFER
    assert reason(book.one(CancelHold(ALICE, poor.transfer_id))) is Refusal.UNKNOWN_TRANSFER


@pytest.mark.parametrize(("at", "fulfilled"), [(NOW + 999, True), (NOW + 1_000, False), (NOW + 1_001, False)])
def test_the_time_out_is_the_first_moment_that_is_too_late(book: Book, at: int, fulfilled: bool) -> None:
    """A fulfilment before the time-out counts for ever; one at it returns the money to the payer."""
    book.one(MakeHold(ALICE, HOLD))
    answer = book.one(FulfilHold(BOB, fulfilment_of(HOLD)), at)
    if fulfilled:
        assert state(answer) is HoldState.FULFILLED
        assert state(book.one(MakeHold(ALICE, HOLD), NOW + 9_999)) is HoldState.FULFILLED
    else:
        assert reason(answer) is Refusal.EXPIRED
        assert isinstance(answer, Refused)
        assert answer.view is not None
        assert answer.view.state is HoldState.EXPIRED
        assert book.money("alice") == (100, 0, 0)


def test_a_fulfilment_after_the_end_says_which_end_it_was(book: Book) -> None:
    """The answer to a late fulfilment is the same however often it is asked."""
    other = a_hold("alice", "bob", 10, NOW + 1_000)
    book.batch(MakeHold(ALICE, HOLD), MakeHold(ALICE, other))
    book.one(CancelHold(BOB, HOLD.transfer_id))
    for _ in range(2):
        assert reason(book.one(FulfilHold(BOB, fulfilment_of(HOLD)), NOW + 2_000)) is Refusal.ALREADY_RETURNED
        assert reason(book.one(FulfilHold(BOB, fulfilment_of(other)), NOW + 2_000)) is Refusal.EXPIRED


def test_holds_that_are_due_go_back_before_anything_else(book: Book) -> None:
    """A batch can use money whose hold has expired, even if nobody had returned it."""
    book.one(MakeHold(ALICE, replace(HOLD, amount=Units(100))))
    again = a_hold("alice", "bob", 100, NOW + 5_000)
    assert state(book.one(MakeHold(ALICE, again), NOW + 1_000)) is HoldState.HELD
    assert book.entries == [EntryKind.HOLD, EntryKind.EXPIRE, EntryKind.HOLD]


@pytest.mark.parametrize("wrong", [bytes(32), b"", bytes(31), preimage_of(HOLD.transfer_id) + b"\0"])
def test_a_wrong_preimage_moves_nothing(book: Book, wrong: bytes) -> None:
    """Nothing but the 32 bytes that hash to the condition fulfils."""
    book.one(MakeHold(ALICE, HOLD))
    answer = book.one(FulfilHold(BOB, Fulfilment(HOLD.transfer_id, Preimage(wrong))))
    assert reason(answer) is Refusal.WRONG_PREIMAGE
    assert book.money("bob") == (0, 0, 60)


def test_the_payee_alone_fulfils(book: Book) -> None:
    """Neither the payer nor a stranger who knows the preimage can fulfil, and a stranger is shown nothing."""
    book.one(MakeHold(ALICE, HOLD))
    for caller in (ALICE, EVE, Caller(Holder("operator"), True)):
        answer = book.one(FulfilHold(caller, fulfilment_of(HOLD)))
        assert answer == Refused(HOLD.transfer_id, Refusal.NOT_ALLOWED, "only the payee fulfils")


def test_the_payer_alone_holds_and_pays(book: Book) -> None:
    """Nobody else, an operator included, spends from a holder's account."""
    for caller in (BOB, EVE, Caller(Holder("operator"), True)):
        assert reason(book.one(MakeHold(caller, HOLD))) is Refusal.NOT_ALLOWED
        payment = Payment(HOLD.transfer_id, HOLD.payer, HOLD.payee, Units(1))
        assert reason(book.one(MakePayment(caller, payment))) is Refusal.NOT_ALLOWED
    assert state(book.one(MakeHold(ALICE, HOLD))) is HoldState.HELD


def test_the_payee_cancels_at_any_time_and_the_payer_after_the_time_out(book: Book) -> None:
    """Before its time-out a hold goes back by the payee's word alone; after it, it has."""
    other = a_hold("alice", "bob", 10, NOW + 1_000)
    book.batch(MakeHold(ALICE, HOLD), MakeHold(ALICE, other))
    assert reason(book.one(CancelHold(ALICE, HOLD.transfer_id), NOW + 999)) is Refusal.NOT_YET_EXPIRED
    assert reason(book.one(CancelHold(EVE, HOLD.transfer_id))) is Refusal.NOT_ALLOWED
    assert state(book.one(CancelHold(BOB, HOLD.transfer_id))) is HoldState.CANCELLED
    assert state(book.one(CancelHold(ALICE, HOLD.transfer_id))) is HoldState.CANCELLED
    assert state(book.one(CancelHold(ALICE, other.transfer_id), NOW + 1_000)) is HoldState.EXPIRED
    assert book.money("alice") == (100, 0, 0)
    assert book.money("bob") == (0, 0, 0)


def test_what_is_fulfilled_cannot_be_cancelled(book: Book) -> None:
    """Money that was paid stays paid."""
    book.batch(MakeHold(ALICE, HOLD), FulfilHold(BOB, fulfilment_of(HOLD)))
    for caller in (ALICE, BOB):
        assert reason(book.one(CancelHold(caller, HOLD.transfer_id), NOW + 2_000)) is Refusal.ALREADY_FULFILLED


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (replace(HOLD, amount=Units(0)), "amount"),
        (replace(HOLD, amount=Units(-1)), "amount"),
        (replace(HOLD, amount=Units(MAX_UNITS + 1)), "amount"),
        (replace(HOLD, payee=LedgerAccount("alice")), "payee"),
        (replace(HOLD, payee=LedgerAccount("b\0b")), "payee"),
        (replace(HOLD, payer=LedgerAccount("")), "payer"),
        (replace(HOLD, memo=bytes(MEMO_BYTES_MAX + 1)), "memo"),
        (replace(HOLD, condition=Condition(HOLD.condition[:31])), "condition"),
        (replace(HOLD, transfer_id=TransferId(bytes(31))), "transfer_id"),
        (replace(HOLD, expires_at=UnixMs(-1)), "expires_at"),
        (replace(HOLD, expires_at=UnixMs(2**63)), "expires_at"),
        (replace(HOLD, expires_at=UnixMs(NOW + 10_001)), "expires_at"),
    ],
)
def test_a_hold_that_no_ledger_accepts_names_the_field(book: Book, bad: Hold, field: str) -> None:
    """A wrong amount, account, memo, condition, id or time-out is refused by name, and nothing moves."""
    answer = book.one(MakeHold(ALICE, bad))
    assert isinstance(answer, Refused)
    assert answer.reason is Refusal.BAD_REQUEST
    assert answer.detail.startswith(f"{field}:")
    assert book.entries == []


def test_the_greatest_amount_is_exact() -> None:
    """2^64−1 base units are held and paid to the last one."""
    book = Book(account("alice", MAX_UNITS), account("bob", MAX_UNITS))
    whole = a_hold("alice", "bob", MAX_UNITS, NOW + 1)
    book.batch(MakeHold(ALICE, whole), FulfilHold(BOB, fulfilment_of(whole)))
    assert book.money("alice") == (0, 0, 0)
    assert book.money("bob") == (2 * MAX_UNITS, 0, 0)


def test_a_hold_whose_time_out_has_passed_is_not_made(book: Book) -> None:
    """A hold that could not be fulfilled for a moment is refused."""
    assert reason(book.one(MakeHold(ALICE, replace(HOLD, expires_at=UnixMs(NOW))))) is Refusal.EXPIRED


def test_accounts_that_are_not_there_or_in_another_asset_are_refused(book: Book) -> None:
    """Money goes from an account to another of the same asset and scale."""
    book = Book(*book.known.accounts.values(), account("dora", asset=Asset("EUR", Scale(3))))
    for payee, why in (("nobody", Refusal.UNKNOWN_ACCOUNT), ("dora", Refusal.BAD_REQUEST)):
        assert reason(book.one(MakeHold(ALICE, a_hold("alice", payee, 1, NOW + 1)))) is why
    assert reason(book.one(MakeHold(ALICE, a_hold("nobody", "bob", 1, NOW + 1)))) is Refusal.UNKNOWN_ACCOUNT


def test_a_frozen_account_takes_part_in_nothing_new_and_ends_what_stands(book: Book) -> None:
    """A hold that was accepted is a promise: freezing its payee or payer does not break it."""
    book.one(MakeHold(ALICE, HOLD))
    frozen = {name: replace(found, frozen=True) for name, found in book.known.accounts.items()}
    for name in ("alice", "bob"):
        one = {**book.known.accounts, LedgerAccount(name): frozen[LedgerAccount(name)]}
        book.known = Known(one, book.known.transfers, book.known.last_entry)
        assert reason(book.one(MakeHold(ALICE, a_hold("alice", "bob", 1, NOW + 9)))) is Refusal.NOT_ALLOWED
    assert state(book.one(FulfilHold(BOB, fulfilment_of(HOLD)))) is HoldState.FULFILLED


def test_a_floor_below_zero_lets_an_account_owe_so_much() -> None:
    """An account's available money may go down to its floor, and not one unit below."""
    book = Book(account("alice", floor=-50), account("bob"))
    assert reason(book.one(MakeHold(ALICE, a_hold("alice", "bob", 51, NOW + 9)))) is Refusal.INSUFFICIENT_FUNDS
    assert state(book.one(MakeHold(ALICE, a_hold("alice", "bob", 50, NOW + 9)))) is HoldState.HELD


def test_a_payment_is_made_at_once_and_once(book: Book) -> None:
    """A repeated payment answers with the moment of the first."""
    payment = Payment(transfer_id(), HOLD.payer, HOLD.payee, Units(7), b"rent")
    assert book.one(MakePayment(ALICE, payment)) == Paid(payment, UnixMs(NOW))
    assert book.one(MakePayment(ALICE, payment), NOW + 50) == Paid(payment, UnixMs(NOW))
    assert book.money("bob") == (7, 0, 0)
    assert reason(book.one(FulfilHold(BOB, fulfilment_of(replace(HOLD, transfer_id=payment.transfer_id))))) is (
        Refusal.UNKNOWN_TRANSFER
    )


def test_a_batch_is_a_function_of_its_arguments(book: Book) -> None:
    """The same batch on the same book gives the same changes, entry numbers without a gap, and lines that sum to 0."""
    commands: list[Command] = [MakeHold(ALICE, HOLD), FulfilHold(BOB, fulfilment_of(HOLD))]
    first, second = (apply(book.known, commands, UnixMs(NOW)) for _ in range(2))
    assert first == second
    assert [entry.number for entry in first.entries] == [1, 2]
    assert all(sum(line.amount for line in entry.lines) == 0 for entry in first.entries)
    assert [transfer.state for transfer in first.made] == [TransferState.FULFILLED]
