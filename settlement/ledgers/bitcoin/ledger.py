"""The ledger protocol over HTLC outputs on bitcoin, for one key.

What differs from other ledgers, because bitcoin does:
- A hold's amount is its output's. Who makes the transaction bears its fee: the payer that of the output, the payee that
  of the claim (its balance grows by less than the amount), the payer that of a refund.
- The claim has no end: after the time-out it races the refund, which the chain's median time lets in about an hour
  later. This ledger claims nothing so late; but a hold is over only when an event says so, and never before.
- A payee cannot send an output back. Its cancellation is a promise never to claim; the money returns at the time-out.
- Payees learn of holds by `Notices`, and believe them only when the output is final.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self

from adapters.bitcoin.primitives import hash_text, parse_hash
from adapters.bitcoin.transactions import parse_transaction
from foundation.database.database import Database
from foundation.errors import BadInput, Fatal, Retryable
from settlement.ledgers.bitcoin.desk import Desk
from settlement.ledgers.bitcoin.feed import BitcoinFeed
from settlement.ledgers.bitcoin.nodes import LedgerNode
from settlement.ledgers.bitcoin.notices import HOLD_S_MAX, MAX_UNPAID, Notices, TooManyNotices, decode_notice
from settlement.ledgers.bitcoin.pulse import Pulse
from settlement.ledgers.bitcoin.till import Till
from settlement.ledgers.bitcoin.types import MS, BitcoinLedgerConfig, Entry, account_text
from settlement.ledgers.protocol import (
    AccountView,
    Cursor,
    Fulfilment,
    Hold,
    HoldState,
    HoldView,
    LedgerAccount,
    LedgerEvent,
    LedgerFacts,
    LedgerMismatch,
    LedgerUnavailable,
    Outcome,
    TransferId,
)
from settlement.quantities import Clock, Condition, Preimage, Units, fulfils

_EVENTS: Final = 256
"""Events in one batch."""
_WAIT_SECONDS: Final = 5.0
_DAY_S: Final = 86_400


class BitcoinLedger:
    """One key's holds; an asynchronous context manager. Implements `protocol.Ledger`. One process for a key."""

    def __init__(
        self,
        config: BitcoinLedgerConfig,
        rpc: LedgerNode,
        secret: bytes,
        database: Database,
        notices: Notices,
        clock: Clock,
    ) -> None:
        """Describe the ledger; nothing is read or sent yet.

        Args:
            config: which network, and how it is used.
            rpc: a node, without a wallet; the caller closes it.
            secret: of the account's key, 32 bytes. Its coins are at its BIP-86 output.
            database: has this package's tables.
            notices: the way to payees.
            clock: ours.

        Raises:
            BadInput: no secret key.
        """
        self._config = config
        self._rpc = rpc
        self._clock = clock
        self._database = database
        self._till = Till(config, rpc, database, secret)
        self._pulse = Pulse(config.ledger_id, config.answer_ms)
        self._feed = BitcoinFeed(config, rpc, database, self._till.script, self._pulse)
        self._desk = Desk(config, self._feed, self._pulse, self._till, database, notices, clock)

    async def __aenter__(self) -> Self:
        """Begin to follow the chain. It may be down."""
        self._feed.tend = self._tend
        await self._feed.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Stop following."""
        await self._feed.close()

    @property
    def own(self) -> LedgerAccount:
        """See `Ledger`: the x-only key in hex."""
        return account_text(self._till.own)

    @property
    def script(self) -> bytes:
        """Where the account's coins are paid to (scriptPubKey)."""
        return self._till.script

    async def accept(self, notice: bytes) -> None:
        """Keep a payer's notice of a hold for us, and look for its output. The same notice again changes nothing.

        Raises:
            BadInput: malformed, for somebody else, too long, or another than the one that is known under its id.
            TooManyNotices: too many wait for their outputs.
            DatabaseUnavailable: nothing was kept.
        """
        terms, birthday = decode_notice(notice)
        if terms.payee != self._till.own:
            raise BadInput("notice.payee", "is somebody else")
        if terms.expires_at > self._clock() // MS + HOLD_S_MAX:
            # What nobody pays is dropped once it has expired: it would take the place of others' holds until then.
            raise BadInput("notice.expires_at", f"is more than {HOLD_S_MAX} seconds away", "hold for a shorter time")
        async with self._database.unit() as unit:
            store = self._till.store(unit.connection)
            known = await store.entry(terms.key)
            if known is not None and known.terms != terms:
                raise BadInput("notice.transfer_id", "another hold of this payer is known under it")
            if known is None:
                # What expired a day ago unpaid will not be paid any more: whoever did has only its own money to lose.
                await store.drop_unpaid(self._till.own, before_s=self._clock() // MS - _DAY_S)
                if (unpaid := await store.count_unpaid(self._till.own)) >= MAX_UNPAID:
                    raise TooManyNotices(unpaid)
                await store.put([Entry(terms, birthday)])
                await unit.commit()
        if known is None or known.state is None:
            self._feed.expect(known or Entry(terms, birthday))

    async def facts(self) -> LedgerFacts:
        """See `Ledger`."""
        async with self._answering():
            await self._pulse.current()
        return self._config.facts

    async def hold(self, holds: Sequence[Hold]) -> tuple[Outcome, ...]:
        """See `Ledger`. Holds of one call for one payee are paid by one transaction."""
        async with self._answering():
            await self._pulse.current()
            await self._desk.check_memory()
            return await self._desk.hold(holds)

    async def fulfil(self, fulfilments: Sequence[Fulfilment]) -> tuple[Outcome, ...]:
        """See `Ledger`. Where too little time is left to be paid for sure, the preimage is not shown: NOT_SHOWN."""
        async with self._answering():
            await self._pulse.current()
            return await self._desk.fulfil(fulfilments)

    async def cancel(self, transfer_ids: Sequence[TransferId]) -> tuple[Outcome, ...]:
        """See `Ledger`. A payee's cancellation is a promise (NOT_YET_EXPIRED): the money returns at the time-out."""
        async with self._answering():
            await self._pulse.current()
            return await self._desk.cancel(transfer_ids)

    async def transfers(self, transfer_ids: Sequence[TransferId]) -> tuple[HoldView | None, ...]:
        """See `Ledger`."""
        async with self._answering():
            await self._pulse.current()
            found = await self._desk.named(transfer_ids)
            if None in found:
                await self._desk.check_memory()
        return tuple(None if entry is None else entry.view() for entry in found)

    async def account(self) -> AccountView:
        """See `Ledger`. As of the last final block; what is set aside counts from the moment it is signed."""
        async with self._answering():
            await self._pulse.current()
            async with self._database.view() as view:
                store = self._till.store(view.connection)
                coins, entries = await store.coins(), await store.open_entries()
        own = self._till.own
        final = sum(one.terms.amount for one in entries if one.terms.payer == own and one.state is HoldState.HELD)
        signed = sum(one.terms.amount for one in entries if one.terms.payer == own and one.state is None)
        incoming = sum(one.terms.amount for one in entries if one.terms.payee == own and one.state is HoldState.HELD)
        balance = sum(coin.value for coin in coins) + final
        return AccountView(self.own, self._config.asset, balance, Units(final + signed), Units(incoming), floor=0)

    async def events(self, after: Cursor) -> AsyncIterator[tuple[LedgerEvent, ...]]:
        """See `Ledger`."""
        number = _number(after)
        async with self._answering():
            await self._pulse.current()
        while True:
            async with self._answering():
                self._pulse.check()
                async with self._database.view() as view:
                    news = await self._till.store(view.connection).news_after(number, _EVENTS)
            if not news:
                await self._pulse.moved(_WAIT_SECONDS)
                continue
            number = news[-1][0]
            shown = ((at, entry.view(state)) for at, entry, state in news)
            yield tuple(LedgerEvent(Cursor(str(at)), view) for at, view in shown if view is not None)

    async def early_preimage(self, transfer_id: TransferId) -> Preimage | None:
        """The preimage of an own hold that a claim shows which no final block has yet; None where none does.

        It is as good as a final one for fulfilling upstream, for it hashes to the condition; that the payee is paid is
        certain only when an event says so.

        Raises:
            LedgerUnavailable: the node did not answer.
        """
        async with self._answering():
            (entry,) = await self._desk.named([transfer_id])
            if entry is None or entry.coin is None:
                return None
            point = {"txid": hash_text(entry.coin.txid), "vout": entry.coin.vout}
            (found,) = await self._rpc.call("gettxspendingprevout", [point])
            spender = found.get("spendingtxid") if isinstance(found, dict) else None
            raw = None if spender is None else await self._rpc.transaction(parse_hash(spender))
        if raw is None:
            return None
        return _shown_by(raw, entry, self._config)

    async def _tend(self) -> None:
        """After each look at the node: what is on its way, and what is due to come back."""
        if self._config.is_refunding:
            await self._desk.take_back()
        await self._till.tend()

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """What is not the protocol's own error becomes one."""
        try:
            yield
        except (LedgerUnavailable, LedgerMismatch, BadInput):
            raise
        except Retryable as error:
            raise LedgerUnavailable(self._config.ledger_id, str(error)) from error
        except Fatal as error:
            raise LedgerMismatch(self._config.ledger_id, type(error).__name__, "none", str(error)) from error


def _shown_by(raw: bytes, entry: Entry, config: BitcoinLedgerConfig) -> Preimage | None:
    parsed = parse_transaction(raw)
    htlc = entry.terms.htlc(config.network)
    for point, witness in zip(parsed.inputs, parsed.witnesses, strict=True):
        preimage = htlc.preimage_in(witness) if point == entry.coin else None
        if preimage is not None and fulfils(preimage, Condition(entry.terms.condition)):
            return Preimage(preimage)
    return None


def _number(cursor: Cursor) -> int:
    """How many pieces of news a reader has dealt with; 0 at the beginning. Raises `BadInput`."""
    if not cursor:
        return 0
    if not (cursor.isascii() and cursor.isdigit()) or len(cursor) > 18:
        raise BadInput("cursor", f"{cursor[:80]!r} is none of this ledger's", "one that an event told, or empty")
    return int(cursor)
