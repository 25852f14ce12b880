"""The adjudicator of a book: a service of the ledger's operator, by the pure rules of `judge`, on the operator's clock.

A channel's money lies in an account of the operator's. A deposit comes in as a hold for that account, under an id and a
condition that follow from the channel: the adjudicator takes it when it is exactly what the terms say, and it goes back
by itself otherwise. Pay-outs are payments whose ids follow from the channel, so that a repeat is the same payment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import Database, Repository
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.channels.errors import Overruled, Ruling
from settlement.channels.judge import Case, Command, Join, PayOut, Status, judge, open_case, reveal
from settlement.channels.port import Standing
from settlement.channels.signing import channel_id
from settlement.channels.state import Registered
from settlement.channels.tables import cases, payouts, reveals
from settlement.channels.terms import ChannelId, Side, Terms
from settlement.ledgers.book.types import Paid, Payment
from settlement.ledgers.protocol import (
    Done,
    Fulfilment,
    Hold,
    HoldState,
    HoldView,
    LedgerAccount,
    Outcome,
    Refused,
    TransferId,
)
from settlement.quantities import Clock, Condition, Preimage, Units, condition_of, tagged_hash


class Funds(Protocol):
    """The operator's account for channels; `BookClient` is one."""

    @property
    def own(self) -> LedgerAccount:
        """The account."""

    async def transfers(self, transfer_ids: Sequence[TransferId]) -> tuple[HoldView | None, ...]:
        """Holds as they stand. Raises LedgerUnavailable."""

    async def fulfil(self, fulfilments: Sequence[Fulfilment]) -> tuple[Outcome, ...]:
        """Take deposits. Raises LedgerUnavailable."""

    async def pay(self, payments: Sequence[Payment]) -> tuple[Paid | Refused, ...]:
        """Pay out. Raises LedgerUnavailable."""


def book_salt(a: LedgerAccount, b: LedgerAccount, nonce: bytes) -> bytes:
    """The salt of a channel's terms, 32 bytes, that binds the accounts which are paid out to. `nonce`: 32 bytes."""
    return tagged_hash("channels/accounts", a.encode(), b.encode(), nonce)


def deposit_preimage(channel: ChannelId, side: Side) -> Preimage:
    """What the adjudicator takes a deposit with. Public: it only says which channel the hold is for."""
    return Preimage(tagged_hash("channels/deposit", channel, bytes([side])))


def deposit_hold(terms: Terms, side: Side, payer: LedgerAccount, operator: LedgerAccount, expires_at: UnixMs) -> Hold:
    """The hold that a bank makes to put its deposit in."""
    channel = channel_id(terms)
    amount = terms.deposit_a if side is Side.A else terms.deposit_b
    condition = condition_of(deposit_preimage(channel, side))
    return Hold(_transfer_id("deposit", channel, side), payer, operator, amount, condition, expires_at)


class BookAdjudicator:
    """Adjudicates all channels of one book. Callers are authenticated by whoever serves it: `by` names no stranger."""

    def __init__(self, database: Database, funds: Funds, domain: bytes, clock: Clock) -> None:
        """`domain`: `signing.book_domain` of this book."""
        self._database = database
        self._funds = funds
        self._domain = domain
        self._clock = clock

    async def open(self, terms: Terms, a: LedgerAccount, b: LedgerAccount, nonce: bytes) -> ChannelId:
        """Open a channel with A's deposit, which A has held for the operator's account. Again changes nothing.

        Raises:
            BadInput: the terms are for another book, or do not bind the accounts.
            Overruled: the deposit is not there.
            LedgerUnavailable: the book did not answer; ask again.
        """
        if terms.ledger != self._domain or terms.asset != bytes(20):
            raise BadInput("channel.ledger", "the terms are for another ledger", "sign for this one")
        if terms.salt != book_salt(a, b, nonce):
            raise BadInput("channel.salt", "does not bind these accounts", "use book_salt")
        case = open_case(terms, terms.a)
        async with self._database.view() as view:
            if await _Cases(view.connection).get(case.channel) is not None:
                return case.channel
        if terms.deposit_a:
            await self._take(terms, Side.A, a)
        async with self._database.unit() as unit:
            await _Cases(unit.connection).add(case, a, b)
            await unit.commit()
        return case.channel

    async def submit(self, channel: ChannelId, command: Command) -> None:
        """Decide on a command, and pay out what follows.

        Raises:
            Overruled: it is refused, or the channel is unknown.
            LedgerUnavailable: the book did not answer; what was decided stays, and is paid by `pay_out`.
        """
        if isinstance(command, Join):
            await self._before_join(channel, command)
        async with self._database.unit() as unit:
            store = _Cases(unit.connection)
            case = await store.must(channel)
            known = await store.reveals(tuple(lock.condition for lock in case.sheet.sheet.locks))
            times = {condition_of(entry.preimage): entry.at for entry in known}
            case, paid = judge(case, command, times, self._clock())
            await store.put(case)
            if paid is not None:
                await store.add_payouts(case, paid)
            await unit.commit()
        if paid is not None:
            await self.pay_out()

    async def reveal(self, preimage: Preimage) -> None:
        """Register a preimage at the operator's time. Again changes nothing."""
        async with self._database.unit() as unit:
            condition, at = reveal({}, preimage, self._clock())
            await _Cases(unit.connection).add_reveal(condition, preimage, at)
            await unit.commit()

    async def standing(self, channel: ChannelId, conditions: tuple[bytes, ...]) -> Standing | None:
        """How a channel stands, with what is registered of these conditions and of those in its sheet."""
        async with self._database.view() as view:
            store = _Cases(view.connection)
            case = await store.get(channel)
            if case is None:
                return None
            asked = {*conditions, *(lock.condition for lock in case.sheet.sheet.locks)}
            return Standing(case, await store.reveals(tuple(sorted(asked))))

    async def pay_out(self) -> int:
        """Make the payments that were decided and not made; how many. Call it after a crash, and now and then.

        Raises:
            LedgerUnavailable: the book did not answer; nothing is lost.
        """
        async with self._database.view() as view:
            due = await _Cases(view.connection).due(self._funds.own)
        if not due:
            return 0
        for payment, outcome in zip(due, await self._funds.pay(due), strict=True):
            # The operator's account holds what came in, so a refusal is a fault that a person must see.
            assert isinstance(outcome, Paid), f"the book refuses a pay-out: {outcome}"
            async with self._database.unit() as unit:
                await _Cases(unit.connection).paid(payment.transfer_id)
                await unit.commit()
        return len(due)

    async def _before_join(self, channel: ChannelId, command: Join) -> None:
        """Take B's deposit; give it back where A has withdrawn while it was being taken."""
        async with self._database.view() as view:
            found = await _Cases(view.connection).must(channel)
            accounts = await _Cases(view.connection).accounts(channel)
        if command.by != found.terms.b:
            return
        if found.status is Status.WAITING:
            await self._take(found.terms, Side.B, accounts[Side.B])
            return
        if found.status is not Status.CLOSED or sum(found.paid) == found.terms.total:
            return
        (held,) = await self._funds.transfers([_transfer_id("deposit", channel, Side.B)])
        if held is not None and held.state is HoldState.FULFILLED:
            async with self._database.unit() as unit:
                await _Cases(unit.connection).add_refund(channel, accounts[Side.B], found.terms.deposit_b)
                await unit.commit()
            await self.pay_out()

    async def _take(self, terms: Terms, side: Side, payer: LedgerAccount) -> None:
        """Take a deposit that was held. Repeating it is harmless."""
        channel = channel_id(terms)
        asked = deposit_hold(terms, side, payer, self._funds.own, UnixMs(0))
        (view,) = await self._funds.transfers([asked.transfer_id])
        if view is None or (view.hold.payer, view.hold.payee, view.hold.amount, view.hold.condition) != (
            asked.payer, asked.payee, asked.amount, asked.condition,
        ):  # fmt: skip
            raise Overruled(channel, Ruling.WRONG_STATE, "the deposit is not held as the terms say")
        (outcome,) = await self._funds.fulfil([Fulfilment(asked.transfer_id, deposit_preimage(channel, side))])
        if not isinstance(outcome, Done) or outcome.view.state is not HoldState.FULFILLED:
            raise Overruled(channel, Ruling.TOO_LATE, "the deposit has gone back")


class _Cases(Repository):
    """An operator's tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)

    async def get(self, channel: ChannelId) -> Case | None:
        raw = await self._connection.scalar(select(cases.c.state).where(cases.c.channel == channel))
        return None if raw is None else msgspec.msgpack.decode(raw, type=Case)

    async def must(self, channel: ChannelId) -> Case:
        case = await self.get(channel)
        if case is None:
            raise Overruled(channel, Ruling.UNKNOWN_CHANNEL, "no such channel")
        return case

    async def accounts(self, channel: ChannelId) -> tuple[LedgerAccount, LedgerAccount]:
        query = select(cases.c.account_a, cases.c.account_b).where(cases.c.channel == channel)
        a, b = (await self._connection.execute(query)).one()
        return LedgerAccount(a), LedgerAccount(b)

    async def add(self, case: Case, a: LedgerAccount, b: LedgerAccount) -> None:
        row = {"channel": case.channel, "status": case.status.value, "state": msgspec.msgpack.encode(case)}
        await self._write(self._insert(cases).on_conflict_do_nothing(), [{**row, "account_a": a, "account_b": b}])

    async def put(self, case: Case) -> None:
        change = {"status": case.status.value, "state": msgspec.msgpack.encode(case)}
        await self._connection.execute(update(cases).where(cases.c.channel == case.channel).values(**change))

    async def add_reveal(self, condition: Condition, preimage: Preimage, at: UnixMs) -> None:
        row = {"condition": condition, "preimage": preimage, "at": at}
        await self._write(self._insert(reveals).on_conflict_do_nothing(), [row])

    async def reveals(self, conditions: tuple[bytes, ...]) -> tuple[Registered, ...]:
        query = select(reveals.c.preimage, reveals.c.at).where(reveals.c.condition.in_(conditions))
        rows = await self._connection.execute(query.order_by(reveals.c.condition))
        return tuple(Registered(Preimage(preimage), UnixMs(at)) for preimage, at in rows)

    async def add_payouts(self, case: Case, paid: PayOut) -> None:
        accounts = await self.accounts(case.channel)
        rows = [
            {
                "transfer_id": _transfer_id("payout", case.channel, side),
                "account": accounts[side],
                "amount": str(amount),
                "paid": 0,
            }
            for side, amount in ((Side.A, paid.a), (Side.B, paid.b))
            if amount
        ]
        await self._write(insert(payouts), rows)

    async def add_refund(self, channel: ChannelId, account: LedgerAccount, amount: Units) -> None:
        row = {"transfer_id": _transfer_id("refund", channel, Side.B), "account": account, "amount": str(amount)}
        await self._write(self._insert(payouts).on_conflict_do_nothing(), [{**row, "paid": 0}])

    async def due(self, operator: LedgerAccount) -> tuple[Payment, ...]:
        c = payouts.c
        query = select(c.transfer_id, c.account, c.amount).where(c.paid == 0).order_by(c.transfer_id).limit(100)
        return tuple(
            Payment(TransferId(transfer_id), operator, LedgerAccount(account), Units(int(amount)))
            for transfer_id, account, amount in await self._connection.execute(query)
        )

    async def paid(self, transfer_id: TransferId) -> None:
        await self._connection.execute(update(payouts).where(payouts.c.transfer_id == transfer_id).values(paid=1))


def _transfer_id(kind: str, channel: ChannelId, side: Side) -> TransferId:
    return TransferId(tagged_hash(f"channels/{kind}-id", channel, bytes([side])))
