"""Settling on any ledger that can hold money: a hold for the peer, under a condition that only the peer can fulfil.

The payee chooses the condition of each transfer, from a secret of its own, the transfer's id and the account that asks,
so it needs no memory of it: however many conditions a peer asks for, nothing is kept. The payer's money is never
without an owner: the peer fulfils, or it comes back at the time-out, and only then is another transfer made.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final

from foundation.database import Database
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connector.settle.engines.core import Credit, Payment
from settlement.connector.settle.engines.rail import (
    Answer,
    Ask,
    PeerUnclear,
    Question,
    RailTerms,
    Verdict,
    check_asset,
)
from settlement.connector.settle.engines.store import EngineStore
from settlement.ledgers.protocol import (
    Cursor,
    Done,
    Fulfilment,
    Hold,
    HoldState,
    HoldView,
    Ledger,
    LedgerAccount,
    LedgerFacts,
    Outcome,
    Refusal,
    TransferId,
)
from settlement.quantities import HASH_BYTES, Clock, Condition, Preimage, Units, condition_of, tagged_hash

_CURSOR: Final = "escrow"


class EscrowRail:
    """Holds on one ledger. See `Rail`."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        facts: LedgerFacts,
        secret: bytes,
        clock: Clock,
        *,
        hold_ms: int = 600_000,
    ) -> None:
        """Describe the rail.

        Args:
            database: the engine's.
            ledger: as our account's holder.
            facts: the ledger's.
            secret: 32 bytes; preimages are made of it, so it stays the same for as long as holds are open.
            clock: tells the time.
            hold_ms: how long the peer has to fulfil; more than the ledger's least, and its time to settle.

        Raises:
            BadInput: the secret is short, or the time is.
        """
        if len(secret) != HASH_BYTES:
            raise BadInput("secret", f"{len(secret)} bytes", "32 random bytes")
        if hold_ms < facts.hold_ms_min + 2 * facts.settle_ms:
            raise BadInput("hold_ms", f"{hold_ms:,} ms", f"at least {facts.hold_ms_min + 2 * facts.settle_ms:,}")
        self._database = database
        self._ledger = ledger
        self._facts = facts
        self._secret = secret
        self._clock = clock
        self._hold_ms = hold_ms

    @property
    def terms(self) -> RailTerms:
        """See `Rail`."""
        asset = self._facts.asset
        return RailTerms(f"ledger:{self._facts.ledger_id}/{asset.code}", asset.scale)

    async def meet(self, account: str, ask: Ask) -> str:
        """See `Rail`."""
        told = await ask(account, Question("payTo", self.terms.asset))
        if not told.address or told.address == self._ledger.own:
            raise PeerUnclear(account, "it names no account of its own on the ledger")
        return told.address

    async def answer(self, account: str, question: Question) -> Answer:
        """See `Rail`."""
        check_asset(question, self.terms)
        if question.type == "payTo":
            return Answer(address=self._ledger.own)
        if question.type != "condition":
            raise BadInput("type", f"{question.type[:40]!r} is no question here", "payTo or condition")
        transfer_id = _hash_of(question.transfer, "transfer")
        return Answer(condition=condition_of(self._preimage(account, transfer_id)).hex())

    async def pay(self, payment: Payment, ask: Ask) -> Verdict:
        """See `Rail`. An attempt is one transfer id, under which a ledger holds once for ever."""
        transfer_id = TransferId(payment.digest)
        (view,) = await self._ledger.transfers([transfer_id])
        if view is None:
            view = await self._hold(payment, transfer_id, ask)
            if view is None:
                return Verdict.STUCK
        if view.hold.amount != payment.units or view.hold.payee != payment.target:
            return Verdict.STUCK
        if view.state is HoldState.FULFILLED:
            return Verdict.PAID
        if view.state in (HoldState.CANCELLED, HoldState.EXPIRED):
            return Verdict.WITHOUT_EFFECT
        if self._clock() >= view.hold.expires_at:
            await self._ledger.cancel([transfer_id])  # where a ledger needs to be told; looked at again after it
        return Verdict.UNDERWAY

    async def watch(self, changed: Callable[[], None]) -> None:
        """See `Rail`."""
        async with self._database.view() as view:
            raw = await EngineStore(view.connection).cursor(_CURSOR)
        after = Cursor("" if raw is None else raw.decode())
        async for events in self._ledger.events(after):
            if not events:
                continue
            mine = [event.view for event in events if event.view.hold.payee == self._ledger.own]
            await self._take([view for view in mine if view.state is HoldState.HELD])
            await self._write_down(mine, events[-1].cursor)
            changed()

    async def _hold(self, payment: Payment, transfer_id: TransferId, ask: Ask) -> HoldView | None:
        """Hold the money for the peer; None where the ledger refuses what a repetition will not cure."""
        question = Question("condition", self.terms.asset, transfer=transfer_id.hex())
        told = await ask(payment.account, question)
        try:
            condition = Condition(_hash_of(told.condition, "condition"))
        except BadInput as error:
            raise PeerUnclear(payment.account, str(error)) from error
        hold = Hold(
            transfer_id,
            self._ledger.own,
            LedgerAccount(payment.target),
            Units(payment.units),
            condition,
            UnixMs(self._clock() + self._hold_ms),
        )
        (outcome,) = await self._ledger.hold([hold])
        if isinstance(outcome, Done):
            return outcome.view
        if outcome.reason in (Refusal.INSUFFICIENT_FUNDS, Refusal.EXPIRED):
            raise PeerUnclear(payment.account, f"the ledger does not hold it now: {outcome.detail}")
        return outcome.view  # such as a hold from before a crash, which differs in nothing but its time-out

    async def _take(self, views: list[HoldView]) -> None:
        """Fulfil what is held for us, where the preimage is ours and there is time."""
        if not views:
            return
        async with self._database.view() as view:
            accounts = await EngineStore(view.connection).known_accounts()
        found = [(held, self._asked_by(accounts, held)) for held in views]
        ready = [Fulfilment(held.hold.transfer_id, by[1]) for held, by in found if by is not None]
        outcomes: tuple[Outcome, ...] = await self._ledger.fulfil(ready) if ready else ()
        done = [outcome.view for outcome in outcomes if isinstance(outcome, Done)]
        await self._write_down(done, None)

    async def _write_down(self, views: list[HoldView], cursor: Cursor | None) -> None:
        """Credit what was fulfilled for us. The event of it comes too, and counts once."""
        async with self._database.unit() as unit:
            store = EngineStore(unit.connection)
            ended = [view for view in views if view.state is HoldState.FULFILLED]
            accounts = await store.known_accounts() if ended else frozenset()
            for view in ended:
                by = self._asked_by(accounts, view)
                if by is None:
                    continue
                source = view.hold.transfer_id.hex()
                await store.add_credit(Credit(f"escrow:{source}", by[0], source, view.hold.amount))
            if cursor is not None:
                await store.move_cursor(_CURSOR, cursor.encode())
            await unit.commit()

    def _asked_by(self, accounts: Iterable[str], view: HoldView) -> tuple[str, Preimage] | None:
        """The account that was given a hold's condition, with its preimage; None where it is none of ours."""
        for account in accounts:
            preimage = self._preimage(account, view.hold.transfer_id)
            if hmac.compare_digest(condition_of(preimage), view.hold.condition):
                return account, preimage
        return None

    def _preimage(self, account: str, transfer_id: bytes) -> Preimage:
        place = self._facts.ledger_id.encode(), account.encode(), transfer_id
        return Preimage(hmac.digest(self._secret, tagged_hash("engine/escrow-preimage", *place), sha256))


def _hash_of(text: str, field: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError as error:
        raise BadInput(field, "is not hex", "64 hex digits") from error
    if len(found) != HASH_BYTES:
        raise BadInput(field, f"{len(found)} bytes", "32 bytes in hex")
    return found
