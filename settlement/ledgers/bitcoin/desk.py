"""Holding, fulfilling and cancelling on bitcoin: an outcome for each item, once a final block says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from adapters.bitcoin.errors import InsufficientFunds
from foundation.database.database import Database
from foundation.errors import BadInput
from settlement.ledgers.bitcoin.feed import BitcoinFeed
from settlement.ledgers.bitcoin.notices import NoticeRefused, Notices, encode_notice
from settlement.ledgers.bitcoin.pulse import Pulse
from settlement.ledgers.bitcoin.till import Till
from settlement.ledgers.bitcoin.types import (
    MS,
    BitcoinLedgerConfig,
    Entry,
    EntryKey,
    Terms,
    account_text,
    terms_of,
)
from settlement.ledgers.protocol import (
    Done,
    Fulfilment,
    Hold,
    HoldState,
    LedgerMismatch,
    LedgerUnavailable,
    Outcome,
    Refusal,
    Refused,
    TransferId,
)
from settlement.quantities import Clock, Condition, fulfils

_RANKS: Final[dict[HoldState | None, int]] = {HoldState.FULFILLED: 0, HoldState.HELD: 1}
"""A copy that somebody made under another's id, and took back, stands in nobody's way."""
_OTHER: Final = "another hold was made under this id"


@dataclass(frozen=True, slots=True)
class Desk:
    """One account's place on the ledger. Fields: as their types say."""

    config: BitcoinLedgerConfig
    feed: BitcoinFeed
    pulse: Pulse
    till: Till
    database: Database
    notices: Notices
    clock: Clock

    # --- Holding ---

    async def hold(self, holds: Sequence[Hold]) -> tuple[Outcome, ...]:
        """An outcome for each hold, in order."""
        outcomes: dict[int, Outcome] = {}
        waiting: dict[int, Terms] = {}
        for place, hold in enumerate(holds):
            try:
                terms = terms_of(hold, self.config.hold_min)
            except BadInput as error:
                outcomes[place] = _refused(hold.transfer_id, Refusal.BAD_REQUEST, str(error))
                continue
            if terms.payer != self.till.own:
                problem = f"{hold.payer} is not the account that is held from here"
                outcomes[place] = _refused(hold.transfer_id, Refusal.NOT_ALLOWED, problem)
            else:
                waiting[place] = terms
        kept = await self._kept(waiting.values())
        fresh: dict[bytes, Terms] = {}
        for place, terms in waiting.items():
            if terms.key not in kept and terms.expires_at * MS <= self.clock():
                problem = "its time-out has passed before it began"
                outcomes[place] = _refused(terms.transfer_id, Refusal.EXPIRED, problem)
            elif terms.key not in kept:
                fresh.setdefault(terms.transfer_id, terms)
        await self._fund(list(fresh.values()))
        kept = await self._kept(waiting.values())
        asked = {place: terms for place, terms in waiting.items() if place not in outcomes}
        going = (self._answer_hold(terms, kept.get(terms.key)) for terms in asked.values())
        answers = await asyncio.gather(*going, return_exceptions=True)
        for place, answer in zip(asked, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer  # only now: what could be told and paid has been
            outcomes[place] = answer
        return tuple(outcomes[place] for place in range(len(holds)))

    async def _fund(self, fresh: list[Terms]) -> None:
        """Sign what there is money for, the last ones left out: a transaction a payee, so none waits for another."""
        for payee in dict.fromkeys(terms.payee for terms in fresh):
            made = [Entry(terms, self.feed.height) for terms in fresh if terms.payee == payee]
            while made:
                try:
                    await self.till.fund(made)
                except InsufficientFunds:
                    made.pop()
                else:
                    break

    async def _answer_hold(self, terms: Terms, entry: Entry | None) -> Outcome:
        if entry is None:
            return await self._poor(terms)
        if entry.terms != terms:
            return _refused(terms.transfer_id, Refusal.SAME_ID_OTHER_TRANSFER, _OTHER, entry)
        if entry.state is None:
            is_late = terms.expires_at * MS <= self.clock()
            if is_late and await self.till.abandon(entry):
                problem = "its time-out has passed before its payee could be told"
                return _refused(terms.transfer_id, Refusal.EXPIRED, problem)
            self.feed.expect(entry)
            try:
                await self.notices.tell(account_text(terms.payee), encode_notice(terms, entry.birthday))
            except NoticeRefused as refused:
                if await self.till.abandon(entry):
                    return _refused(terms.transfer_id, Refusal.NOT_ALLOWED, str(refused))
                # It was told before, and may be in a block: whoever was told knows of it.
            await self.till.release(entry)
            entry = await self._until(entry, lambda now: now.state is not None)
        return _done(entry)

    async def _poor(self, terms: Terms) -> Outcome:
        """Too few coins are free: for good, or until the change of what is on its way is final."""
        async with self.database.view() as view:
            store = self.till.store(view.connection)
            coins, entries = await store.coins(), await store.open_entries()
        promised = sum(one.terms.amount for one in entries if one.state is None and one.terms.payer == self.till.own)
        left = sum(coin.value for coin in coins) - promised
        if left > terms.amount + self.config.hold_min:
            raise LedgerUnavailable(self.config.ledger_id, "the change of another payment is not final yet")
        return _refused(terms.transfer_id, Refusal.INSUFFICIENT_FUNDS, f"{left:,} satoshi are not held")

    # --- Fulfilling ---

    async def fulfil(self, fulfilments: Sequence[Fulfilment]) -> tuple[Outcome, ...]:
        """An outcome for each fulfilment, in order.

        Somebody may have copied another's id and condition into a hold of its own. So all that the preimage opens is
        claimed: whoever shows it for one of them has shown it for all.
        """
        return tuple(await asyncio.gather(*(self._fulfil(one) for one in fulfilments)))

    async def _fulfil(self, one: Fulfilment) -> Outcome:
        incoming = [entry for entry in await self._all([one.transfer_id]) if entry.terms.payee == self.till.own]
        opened = [entry for entry in incoming if fulfils(one.preimage, Condition(entry.terms.condition))]
        (named,) = await self.named([one.transfer_id])
        due, missed = self._due(one, opened)
        entry = missed or next(iter((*due, *opened, *incoming)), named)
        refused = self._refused(one, entry)
        if refused is not None:
            return refused
        assert entry is not None, "an unknown one is refused"
        for each in due:
            await self.till.claim(each, one.preimage)
        if entry.state is HoldState.HELD:
            entry = await self._until(entry, lambda now: not now.is_open)
        if entry.state is HoldState.FULFILLED:
            return _done(entry)
        return _refused(one.transfer_id, Refusal.ALREADY_RETURNED, "it went back to its payer", entry)

    def _due(self, one: Fulfilment, opened: Sequence[Entry]) -> tuple[list[Entry], Entry | None]:
        """The holds to be claimed, large ones first; or none, and the hold because of which.

        A preimage that nobody has seen yet is not shown for less than a hold that can no longer be claimed in time: who
        copied its id and condition into a small one that lives longer would have it, and what hangs on it elsewhere. A
        hold that never lived long enough to be relied on is no such reason.
        """
        due = [entry for entry in opened if entry.state is HoldState.HELD and self._refused(one, entry) is None]
        if not due or one.is_known or any(entry.preimage is not None for entry in opened):
            return due, None
        least = self.config.reveal_ms
        final = ((entry, entry.held_at) for entry in opened if entry.held_at is not None)
        real = (entry for entry, held_at in final if entry.terms.expires_at * MS - held_at > least)
        largest = max(real, key=lambda entry: entry.terms.amount, default=due[0])
        return (due, None) if largest in due or largest.terms.amount <= due[0].terms.amount else ([], largest)

    def _refused(self, one: Fulfilment, entry: Entry | None) -> Outcome | None:
        """Why the preimage is not to be shown for a hold; None where it is, or was."""
        if entry is None or entry.state is None:
            return _refused(one.transfer_id, Refusal.UNKNOWN_TRANSFER, "no final output has this id")
        if entry.terms.payee != self.till.own:
            return _refused(one.transfer_id, Refusal.NOT_ALLOWED, "only its payee fulfils a hold", entry)
        if not fulfils(one.preimage, Condition(entry.terms.condition)):
            problem = "the preimage does not hash to the condition"
            return _refused(one.transfer_id, Refusal.WRONG_PREIMAGE, problem, entry)
        if entry.state is HoldState.HELD and entry.is_waived:
            return _refused(one.transfer_id, Refusal.NOT_ALLOWED, "its payee has given it up", entry)
        left = entry.terms.expires_at * MS - self.clock()
        # Once we have begun, the preimage may be out: then nothing is gained by stopping.
        is_out = one.is_known or entry.preimage is not None
        if entry.state is HoldState.HELD and not is_out and left <= self.config.reveal_ms:
            problem = "too little time is left to be paid for sure"
            return _refused(one.transfer_id, Refusal.NOT_SHOWN, problem, entry)
        return None

    # --- Cancelling ---

    async def cancel(self, transfer_ids: Sequence[TransferId]) -> tuple[Outcome, ...]:
        """An outcome for each id, in order."""
        entries = await self.named(transfer_ids)
        # A stranger's copy of another's id must not be given up in the place of it: all for us are.
        named = {entry.key for entry in entries if entry is not None}
        others = [entry for entry in await self._all(transfer_ids) if entry.terms.payee == self.till.own]
        pairs = [*zip(transfer_ids, entries, strict=True)]
        pairs += [(TransferId(one.terms.transfer_id), one) for one in others if one.key not in named]
        outcomes = await asyncio.gather(*(self._cancel(transfer_id, entry) for transfer_id, entry in pairs))
        return tuple(outcomes[: len(transfer_ids)])

    async def _cancel(self, transfer_id: TransferId, entry: Entry | None) -> Outcome:
        if entry is None or entry.state is None:
            return _refused(transfer_id, Refusal.UNKNOWN_TRANSFER, "no final output has this id")
        if entry.state is HoldState.FULFILLED:
            return _refused(transfer_id, Refusal.ALREADY_FULFILLED, "it was paid", entry)
        if entry.state is not HoldState.HELD:
            return _done(entry)
        if entry.terms.payee == self.till.own:
            return await self._waive(entry)
        if self.clock() < entry.terms.expires_at * MS:
            problem = "the payer takes a hold back once its time-out has passed"
            return _refused(transfer_id, Refusal.NOT_YET_EXPIRED, problem, entry)
        await self.till.refund(entry)
        entry = await self._until(entry, lambda now: not now.is_open)
        if entry.state is HoldState.FULFILLED:
            return _refused(transfer_id, Refusal.ALREADY_FULFILLED, "it was paid", entry)
        return _done(entry)

    async def _waive(self, entry: Entry) -> Outcome:
        """A payee cannot send an output back before its time-out: it can only promise never to claim it."""
        async with self.database.unit() as unit:
            store = self.till.store(unit.connection)
            now = await store.entry(entry.key)
            assert now is not None, "it is kept"
            if now.preimage is not None:
                problem = "its claim has begun, which cannot be taken back"
                return _refused(now.terms.transfer_id, Refusal.NOT_ALLOWED, problem, now)
            await store.put([replace(now, is_waived=True)])
            await unit.commit()
        problem = "bitcoin gives it back at its time-out; it will not be claimed from here"
        return _refused(now.terms.transfer_id, Refusal.NOT_YET_EXPIRED, problem, now)

    # --- What is kept ---

    async def check_memory(self) -> None:
        """Refuse to say that there is no hold, or to make one, where we may have forgotten it.

        A hold's terms are in the database alone. A database that is older than its account, restored from a copy, sees
        coins being spent by transactions that it does not know: those may pay holds.

        Raises:
            LedgerMismatch: so it is. A person has to look, and to set `spends_known_until`.
        """
        async with self.database.view() as view:
            height = await self.till.store(view.connection).strange_spend(self.config.spends_known_until)
        if height is not None:
            expected = "spent by transactions of this database alone"
            raise LedgerMismatch(self.config.ledger_id, "account", expected, f"spent by another in block {height:,}")

    async def named(self, transfer_ids: Sequence[bytes]) -> tuple[Entry | None, ...]:
        """The hold under each id: our own one, or else the largest final one that somebody made for us."""
        first: dict[bytes, Entry] = {}
        for entry in await self._all(transfer_ids):
            if entry.terms.payer == self.till.own:
                first[entry.terms.transfer_id] = entry
            else:
                first.setdefault(entry.terms.transfer_id, entry)
        return tuple(first.get(transfer_id) for transfer_id in transfer_ids)

    async def _all(self, transfer_ids: Sequence[bytes]) -> list[Entry]:
        """All holds under these ids, paid and open and large ones first: a payer's id binds no other payer."""
        async with self.database.view() as view:
            entries = await self.till.store(view.connection).named(transfer_ids)
        return sorted(entries, key=lambda entry: (_RANKS.get(entry.state, len(_RANKS)), -entry.terms.amount))

    async def take_back(self) -> None:
        """Sign the refunds of own holds whose time-out has passed; the till looks after them."""
        async with self.database.view() as view:
            entries = await self.till.store(view.connection).open_entries()
        for entry in entries:
            is_due = entry.terms.expires_at * MS <= self.clock()
            if entry.state is HoldState.HELD and entry.terms.payer == self.till.own and is_due:
                await self.till.refund(entry)

    async def _kept(self, terms: Iterable[Terms]) -> dict[EntryKey, Entry]:
        async with self.database.view() as view:
            store = self.till.store(view.connection)
            found = [await store.entry(one.key) for one in terms]
        return {entry.key: entry for entry in found if entry is not None}

    async def _until(self, entry: Entry, is_enough: Callable[[Entry], bool]) -> Entry:
        async def ask() -> Entry | None:
            async with self.database.view() as view:
                now = await self.till.store(view.connection).entry(entry.key)
            assert now is not None, "a hold that is kept stays"
            return now if is_enough(now) else None

        return await self.pulse.until(ask)


def _done(entry: Entry) -> Done:
    view = entry.view()
    assert view is not None, "it was final once"
    return Done(view)


def _refused(transfer_id: bytes, reason: Refusal, detail: str, entry: Entry | None = None) -> Refused:
    return Refused(TransferId(transfer_id), reason, detail, None if entry is None else entry.view())
