"""The rules of a book, pure: what a batch of commands does to the accounts and transfers that it touches.

Batches come strictly one after the other, each at one moment. A batch first returns those of the holds that it knows
whose time-out has passed, then takes its commands in order; each sees what those before it did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from foundation.quantities import UnixMs
from settlement.ledgers.book.types import (
    ACCOUNT_NAME,
    ACCOUNT_NAME_CURE,
    LATEST_MS,
    TRANSFER_ID_BYTES,
    Account,
    Answer,
    Bucket,
    Caller,
    CancelHold,
    Command,
    Entry,
    EntryKind,
    FulfilHold,
    Line,
    MakeHold,
    MakePayment,
    Paid,
    Payment,
    Transfer,
    TransferState,
)
from settlement.ledgers.protocol import (
    MEMO_BYTES_MAX,
    Done,
    Fulfilment,
    Hold,
    LedgerAccount,
    Refusal,
    Refused,
    TransferId,
)
from settlement.quantities import HASH_BYTES, MAX_UNITS, fulfils

_ENDS = {
    TransferState.FULFILLED: (EntryKind.FULFIL, "it is fulfilled"),
    TransferState.CANCELLED: (EntryKind.CANCEL, "the payee has cancelled it"),
    TransferState.EXPIRED: (EntryKind.EXPIRE, "its time-out has passed"),
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a book demands of a hold. Fields: hold_ms_max (how long money may be held at most)."""

    hold_ms_max: int = 31 * 86_400_000


USUAL_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Known:
    """What a batch has to know: every account and transfer that its commands name, as the book has them.

    Fields: accounts; transfers (perhaps others too, to be returned if they are due); last_entry (number of the newest
    entry, 0 where there is none).
    """

    accounts: Mapping[LedgerAccount, Account]
    transfers: Mapping[TransferId, Transfer]
    last_entry: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What a batch did, to be stored at once or not at all.

    Fields: now; answers (one for each command, in order); made (new transfers); moved (older ones that ended); accounts
    (those whose totals changed); entries (in order).
    """

    now: UnixMs
    answers: tuple[Answer, ...]
    made: tuple[Transfer, ...]
    moved: tuple[Transfer, ...]
    accounts: tuple[Account, ...]
    entries: tuple[Entry, ...]


def apply(known: Known, commands: Sequence[Command], now: UnixMs, terms: Terms = USUAL_TERMS) -> Changes:
    """The changes that `commands` make at `now`. Pure: the same arguments give the same changes."""
    batch = _Batch(known, now, terms)
    for transfer in known.transfers.values():
        if transfer.state is TransferState.HELD and transfer.expires_at <= now:
            batch.end(transfer, TransferState.EXPIRED)
    answers = tuple(batch.answer(command) for command in commands)
    return batch.changes(answers)


def bad_form(asked: Hold | Payment) -> str:
    """Why no ledger accepts this transfer, whoever asks and whenever; empty where nothing is wrong with its form."""
    if len(asked.transfer_id) != TRANSFER_ID_BYTES:
        return f"transfer_id: {len(asked.transfer_id)} bytes, it has {TRANSFER_ID_BYTES}"
    if not 0 < asked.amount <= MAX_UNITS:
        return f"amount: {asked.amount} is not between 1 and 2^64−1"
    for field, name in (("payer", asked.payer), ("payee", asked.payee)):
        if not ACCOUNT_NAME.fullmatch(name):
            return f"{field}: {ACCOUNT_NAME_CURE}"
    if asked.payer == asked.payee:
        return "payee: it is the payer"
    if len(asked.memo) > MEMO_BYTES_MAX:
        return f"memo: {len(asked.memo)} bytes, at most {MEMO_BYTES_MAX}"
    if isinstance(asked, Hold) and len(asked.condition) != HASH_BYTES:
        return f"condition: {len(asked.condition)} bytes, it has {HASH_BYTES}"
    if isinstance(asked, Hold) and not 0 <= asked.expires_at <= LATEST_MS:
        return f"expires_at: {asked.expires_at} is not between 0 and 2^53−1"
    return ""


class _Batch:
    """A batch at work: the book's rows as they become."""

    def __init__(self, known: Known, now: UnixMs, terms: Terms) -> None:
        self._now = now
        self._terms = terms
        self._accounts = dict(known.accounts)
        self._transfers = dict(known.transfers)
        self._known = known
        self._entries: list[Entry] = []
        self._last_entry = known.last_entry
        self._touched: dict[TransferId, None] = {}

    def changes(self, answers: tuple[Answer, ...]) -> Changes:
        """All that has changed since the start."""
        touched = [self._transfers[transfer_id] for transfer_id in self._touched]
        return Changes(
            self._now,
            answers,
            tuple(transfer for transfer in touched if transfer.transfer_id not in self._known.transfers),
            tuple(transfer for transfer in touched if transfer.transfer_id in self._known.transfers),
            tuple(account for name, account in self._accounts.items() if account is not self._known.accounts[name]),
            tuple(self._entries),
        )

    def answer(self, command: Command) -> Answer:
        """Do one command."""
        match command:
            case MakeHold(caller, hold):
                return self._make(caller, hold)
            case MakePayment(caller, payment):
                return self._make(caller, payment)
            case FulfilHold(caller, fulfilment):
                return self._fulfil(caller, fulfilment)
            case CancelHold(caller, transfer_id):
                return self._cancel(caller, transfer_id)

    def _make(self, caller: Caller, asked: Hold | Payment) -> Answer:
        if problem := bad_form(asked):
            return Refused(asked.transfer_id, Refusal.BAD_REQUEST, problem)
        payer = self._accounts.get(asked.payer)
        if payer is None:
            return Refused(asked.transfer_id, Refusal.UNKNOWN_ACCOUNT, f"payer: there is no account {asked.payer}")
        if not caller.owns(payer):
            return Refused(asked.transfer_id, Refusal.NOT_ALLOWED, f"payer: {asked.payer} is not yours")
        before = self._transfers.get(asked.transfer_id)
        if before is not None:
            return self._repeated(caller, asked, before)
        payee = self._accounts.get(asked.payee)
        refusal = self._refusal(asked, payer, payee)
        if refusal is not None:
            reason, detail = refusal
            self._keep(_transfer(asked, TransferState.REFUSED, self._now, reason, detail))
            return Refused(asked.transfer_id, reason, detail)
        assert payee is not None, "_refusal has looked"
        if isinstance(asked, Payment):
            self._keep(_transfer(asked, TransferState.POSTED, self._now))
            self._enter(EntryKind.PAYMENT, asked.transfer_id, payer.name, payee.name, asked.amount)
            return Paid(asked, self._now)
        held = self._keep(_transfer(asked, TransferState.HELD, self._now))
        self._enter(EntryKind.HOLD, asked.transfer_id, payer.name, payee.name, asked.amount)
        return _done(held)

    def _refusal(self, asked: Hold | Payment, payer: Account, payee: Account | None) -> tuple[Refusal, str] | None:
        """Why the book, as it stands now, does not do what a rightful caller asks."""
        if payee is None:
            return Refusal.UNKNOWN_ACCOUNT, f"payee: there is no account {asked.payee}"
        if payee.asset != payer.asset:
            return Refusal.BAD_REQUEST, f"payee: {payee.name} is in {payee.asset.code}, not in {payer.asset.code}"
        for account in (payer, payee):
            if account.frozen:
                return Refusal.NOT_ALLOWED, f"{account.name} is frozen"
        if isinstance(asked, Hold) and asked.expires_at <= self._now:
            return Refusal.EXPIRED, f"expires_at: {asked.expires_at} has passed, it is {self._now}"
        if isinstance(asked, Hold) and asked.expires_at > self._now + self._terms.hold_ms_max:
            return Refusal.BAD_REQUEST, f"expires_at: at most {self._terms.hold_ms_max} ms from now"
        if payer.available - asked.amount < payer.floor:
            return Refusal.INSUFFICIENT_FUNDS, f"amount: {asked.amount} of {payer.available} above {payer.floor}"
        return None

    def _repeated(self, caller: Caller, asked: Hold | Payment, before: Transfer) -> Answer:
        """The answer to an id that the book knows: as it was, where the content is the same."""
        is_hold = before.condition is not None
        if is_hold is not isinstance(asked, Hold) or asked != (before.hold if is_hold else before.payment):
            seen = before.view if self._may_see(caller, before) else None
            return Refused(asked.transfer_id, Refusal.SAME_ID_OTHER_TRANSFER, "the id is another transfer's", seen)
        if before.state is TransferState.REFUSED:
            assert before.reason is not None, "stored with its reason"
            return Refused(asked.transfer_id, before.reason, before.detail)
        return _done(before) if is_hold else Paid(before.payment, before.made_at)

    def _fulfil(self, caller: Caller, asked: Fulfilment) -> Answer:
        held = self._hold_of(asked.transfer_id)
        if held is None:
            return _unknown(asked.transfer_id)
        if not caller.owns(self._accounts[held.payee]):
            return Refused(asked.transfer_id, Refusal.NOT_ALLOWED, "only the payee fulfils")
        assert held.condition is not None, "_hold_of returns holds"
        if not fulfils(asked.preimage, held.condition):
            detail = "preimage: it does not hash to the condition"
            return Refused(asked.transfer_id, Refusal.WRONG_PREIMAGE, detail, held.view)
        match held.state:
            case TransferState.HELD:  # in time: what is due has been returned before
                return _done(self.end(replace(held, preimage=asked.preimage), TransferState.FULFILLED))
            case TransferState.FULFILLED:
                return _done(held)
            case TransferState.EXPIRED:
                return self._ended(held, Refusal.EXPIRED)
            case _:
                return self._ended(held, Refusal.ALREADY_RETURNED)

    def _cancel(self, caller: Caller, transfer_id: TransferId) -> Answer:
        held = self._hold_of(transfer_id)
        if held is None:
            return _unknown(transfer_id)
        is_payee = caller.owns(self._accounts[held.payee])
        if not is_payee and not caller.owns(self._accounts[held.payer]):
            return Refused(transfer_id, Refusal.NOT_ALLOWED, "neither the payer's nor the payee's key")
        if held.state is TransferState.FULFILLED:
            return self._ended(held, Refusal.ALREADY_FULFILLED)
        if held.state is TransferState.HELD:
            if not is_payee:
                detail = f"the payer may take it back from {held.expires_at} on, it is {self._now}"
                return Refused(transfer_id, Refusal.NOT_YET_EXPIRED, detail, held.view)
            held = self.end(held, TransferState.CANCELLED)
        return _done(held)

    def end(self, held: Transfer, state: TransferState) -> Transfer:
        """End a hold: the money goes to the payee, or back to the payer."""
        assert held.state is TransferState.HELD, "a hold ends once"
        ended = self._keep(replace(held, state=state, decided_at=self._now))
        kind, _ = _ENDS[state]
        self._enter(kind, held.transfer_id, held.payer, held.payee, held.amount)
        return ended

    def _ended(self, held: Transfer, reason: Refusal) -> Refused:
        return Refused(held.transfer_id, reason, _ENDS[held.state][1], held.view)

    def _hold_of(self, transfer_id: TransferId) -> Transfer | None:
        found = self._transfers.get(transfer_id)
        return None if found is None or found.view is None else found

    def _may_see(self, caller: Caller, transfer: Transfer) -> bool:
        parties = (self._accounts.get(transfer.payer), self._accounts.get(transfer.payee))
        return any(caller.owns(party) for party in parties if party is not None)

    def _keep(self, transfer: Transfer) -> Transfer:
        self._transfers[transfer.transfer_id] = transfer
        self._touched[transfer.transfer_id] = None
        return transfer

    def _enter(
        self, kind: EntryKind, transfer_id: TransferId, payer: LedgerAccount, payee: LedgerAccount, amount: int
    ) -> None:
        """Write an entry, and move the totals of both accounts with it."""
        source, target = self._accounts[payer], self._accounts[payee]
        match kind:
            case EntryKind.HOLD:
                source = replace(source, held=source.held + amount)
                target = replace(target, incoming=target.incoming + amount)
                legs = ((source, Bucket.OWN), (source, Bucket.HELD))
            case EntryKind.FULFIL:
                source = replace(source, balance=source.balance - amount, held=source.held - amount)
                target = replace(target, balance=target.balance + amount, incoming=target.incoming - amount)
                legs = ((source, Bucket.HELD), (target, Bucket.OWN))
            case EntryKind.CANCEL | EntryKind.EXPIRE:
                source = replace(source, held=source.held - amount)
                target = replace(target, incoming=target.incoming - amount)
                legs = ((source, Bucket.HELD), (source, Bucket.OWN))
            case EntryKind.PAYMENT:
                source = replace(source, balance=source.balance - amount)
                target = replace(target, balance=target.balance + amount)
                legs = ((source, Bucket.OWN), (target, Bucket.OWN))
        lines = tuple(
            Line(account.name, bucket, signed, account.balance)
            for (account, bucket), signed in zip(legs, (-amount, amount), strict=True)
        )
        _check((source, target), lines, kind)
        self._accounts[payer], self._accounts[payee] = source, target
        self._last_entry += 1
        first, second = lines
        self._entries.append(Entry(self._last_entry, kind, transfer_id, payer, payee, self._now, (first, second)))


def _check(accounts: Iterable[Account], lines: Iterable[Line], kind: EntryKind) -> None:
    """What holds after each entry; a batch that broke it is not stored."""
    assert sum(line.amount for line in lines) == 0, "an entry sums to zero"
    for account in accounts:
        assert account.held >= 0, "no more is returned or paid than was held"
        assert account.incoming >= 0, "no more arrives than was on its way"
    if kind in (EntryKind.HOLD, EntryKind.PAYMENT):
        payer = next(iter(accounts))
        assert payer.available >= payer.floor, "nothing is promised that is not there"


def _transfer(
    asked: Hold | Payment, state: TransferState, now: UnixMs, reason: Refusal | None = None, detail: str = ""
) -> Transfer:
    condition, expires_at = (asked.condition, asked.expires_at) if isinstance(asked, Hold) else (None, UnixMs(0))
    return Transfer(
        transfer_id=asked.transfer_id,
        payer=asked.payer,
        payee=asked.payee,
        amount=asked.amount,
        condition=condition,
        expires_at=expires_at,
        memo=asked.memo,
        state=state,
        made_at=now,
        decided_at=None if state is TransferState.HELD else now,
        reason=reason,
        detail=detail,
    )


def _done(held: Transfer) -> Done:
    assert held.view is not None, "a hold has a view"
    return Done(held.view)


def _unknown(transfer_id: TransferId) -> Refused:
    return Refused(transfer_id, Refusal.UNKNOWN_TRANSFER, "there is no such hold")
