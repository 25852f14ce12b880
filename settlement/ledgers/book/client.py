"""The gateway's side of a book: `Ledger` over REST, for one account.

What is asked at the same time goes in one request: calls made while two requests are under way wait for the next.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp
import msgspec

from foundation.quantities import UnixMs
from settlement.ledgers.book.core import bad_form
from settlement.ledgers.book.gatherer import Gatherer
from settlement.ledgers.book.http import BookHttp, client_tls
from settlement.ledgers.book.statement import Statement
from settlement.ledgers.book.types import LATEST_MS, TRANSFER_ID_BYTES, Answer, Paid, Payment
from settlement.ledgers.book.wire import (
    AccountOut,
    CancellationIn,
    FactsOut,
    FulfilmentIn,
    PaymentIn,
    StatementOut,
    TransferIn,
    TransferOut,
)
from settlement.ledgers.protocol import (
    AccountView,
    Cursor,
    Done,
    Fulfilment,
    Hold,
    HoldState,
    HoldView,
    LedgerAccount,
    LedgerEvent,
    LedgerFacts,
    LedgerId,
    Outcome,
    Refusal,
    Refused,
    TransferId,
)
from settlement.quantities import HASH_BYTES, Asset, fulfils

_LOOKUP: Final = 100
_EVENT_BYTES_MAX: Final = 1 << 20
_event: Final = msgspec.json.Decoder(TransferOut)
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class BookAccess:
    """How a party reaches its account.

    Fields: ledger_id and asset (checked against what the book says); url; account; api_key (a secret); timeout_seconds
    (for one request); tls_certificate (PEM, empty for what the system trusts).
    """

    ledger_id: LedgerId
    asset: Asset
    url: str
    account: LedgerAccount
    api_key: str = field(repr=False)
    timeout_seconds: float = 10.0
    tls_certificate: str = ""


class BookClient:
    """One account of a book, as `settlement.ledgers.protocol.Ledger`. Use as `async with`."""

    def __init__(self, access: BookAccess) -> None:
        """Raises `BadInput` where the certificate cannot be used."""
        self._access = access
        tls = client_tls(access.tls_certificate)
        self._http = BookHttp(access.ledger_id, access.url, access.api_key, access.timeout_seconds, tls)
        self._holds = Gatherer[TransferIn](self._http, "/transfers")
        self._payments = Gatherer[PaymentIn](self._http, "/payments")
        self._fulfilments = Gatherer[FulfilmentIn](self._http, "/fulfilments")
        self._cancellations = Gatherer[CancellationIn](self._http, "/cancellations")

    async def __aenter__(self) -> Self:
        """Ready to ask."""
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections; requests under way end as unknown."""
        await self._http.__aexit__(kind, error, trace)

    @property
    def own(self) -> LedgerAccount:
        """The account."""
        return self._access.account

    async def facts(self) -> LedgerFacts:
        """What the ledger is. Raises as `Ledger.facts`."""
        found: FactsOut = await self._http.get("/ledger", FactsOut)
        if found.ledger_id != self._access.ledger_id:
            raise self._http.mismatch("ledger_id", self._access.ledger_id, found.ledger_id)
        asset = (await self.account()).asset
        if asset != self._access.asset:
            raise self._http.mismatch("asset", str(self._access.asset), str(asset))
        return LedgerFacts(self._access.ledger_id, asset, found.settle_ms, found.hold_ms_min)

    async def hold(self, holds: Sequence[Hold]) -> tuple[Outcome, ...]:
        """Set money aside. Raises as `Ledger.hold`; LedgerMismatch where the book answers something else."""

        def sent(hold: Hold) -> TransferIn:
            condition, amount = hold.condition.hex(), str(hold.amount)
            return TransferIn(
                hold.transfer_id.hex(), hold.payer, hold.payee, amount, condition, hold.expires_at, hold.memo
            )

        answers = await self._batch(holds, self._holds, _id, bad_form, sent)
        for asked, answer in zip(holds, answers, strict=True):
            if isinstance(answer, Done) and answer.view.hold != asked:
                raise self._http.mismatch("transfer", "as it was asked for", "another")
        return self._outcomes(answers)

    async def pay(self, payments: Sequence[Payment]) -> tuple[Paid | Refused, ...]:
        """Pay at once, without a hold. Raises as `hold`."""

        def sent(paid: Payment) -> PaymentIn:
            return PaymentIn(paid.transfer_id.hex(), paid.payer, paid.payee, str(paid.amount), paid.memo)

        answers = await self._batch(payments, self._payments, _id, bad_form, sent)
        paid: list[Paid | Refused] = []
        for asked, answer in zip(payments, answers, strict=True):
            if isinstance(answer, Done) or (isinstance(answer, Paid) and answer.payment != asked):
                raise self._http.mismatch("payment", "as it was asked for", "another")
            paid.append(answer)
        return tuple(paid)

    async def fulfil(self, fulfilments: Sequence[Fulfilment]) -> tuple[Outcome, ...]:
        """Pay what is held. Raises as `hold`."""

        def wrong(asked: Fulfilment) -> str:
            for name, value in (("transfer_id", asked.transfer_id), ("preimage", asked.preimage)):
                if len(value) != HASH_BYTES:
                    return f"{name}: {len(value)} bytes, it has {HASH_BYTES}"
            return ""

        def sent(asked: Fulfilment) -> FulfilmentIn:
            return FulfilmentIn(asked.transfer_id.hex(), asked.preimage.hex())

        answers = await self._batch(fulfilments, self._fulfilments, _id, wrong, sent)
        for answer in answers:
            if isinstance(answer, Done) and not _is_fulfilled(answer.view):
                raise self._http.mismatch("state", "fulfilled, with its preimage", answer.view.state)
        return self._outcomes(answers)

    async def cancel(self, transfer_ids: Sequence[TransferId]) -> tuple[Outcome, ...]:
        """Give back what is held. Raises as `hold`."""

        def wrong(asked: TransferId) -> str:
            return "" if len(asked) == TRANSFER_ID_BYTES else f"transfer_id: {len(asked)} bytes"

        def sent(asked: TransferId) -> CancellationIn:
            return CancellationIn(asked.hex())

        answers = await self._batch(transfer_ids, self._cancellations, lambda asked: asked, wrong, sent)
        for answer in answers:
            if isinstance(answer, Done) and answer.view.state not in (HoldState.CANCELLED, HoldState.EXPIRED):
                raise self._http.mismatch("state", HoldState.CANCELLED, answer.view.state)
        return self._outcomes(answers)

    async def transfers(self, transfer_ids: Sequence[TransferId]) -> tuple[HoldView | None, ...]:
        """How each hold stands. Raises as `Ledger.transfers`."""
        found: list[HoldView | None] = []
        for start in range(0, len(transfer_ids), _LOOKUP):
            asked = transfer_ids[start : start + _LOOKUP]
            params = [("id", transfer_id.hex()) for transfer_id in asked]
            answer: list[TransferOut | None] = await self._http.get("/transfers", list[TransferOut | None], params)
            if len(answer) != len(asked):
                raise self._http.mismatch("answer", f"{len(asked)} holds", str(len(answer)))
            found.extend(None if shown is None else self._view(shown) for shown in answer)
        return tuple(found)

    async def account(self) -> AccountView:
        """The money of `own`. Raises as `Ledger.account`."""
        found: AccountOut = await self._http.get(f"/accounts/{self.own}", AccountOut)
        return found.view()

    async def statement(
        self, since: UnixMs = UnixMs(0), until: UnixMs = UnixMs(LATEST_MS), after: int = 0, limit: int = 1_000
    ) -> Statement:
        """A page of what was booked at or after `since` and before `until`. Raises as `Ledger.account`."""
        params = {"since": since, "until": until, "after": after, "limit": limit}
        found: StatementOut = await self._http.get(f"/accounts/{self.own}/statement", StatementOut, params)
        return found.page()

    async def events(self, after: Cursor) -> AsyncIterator[tuple[LedgerEvent, ...]]:
        """Holds as they change. Raises as `Ledger.events`; LedgerMismatch where the book does not know the cursor."""
        params = {"account": str(self.own), "after": after or "0"}
        last = int(params["after"]) if params["after"].isdigit() else 0
        response = await self._http.stream("/events", params)
        buffer = b""
        try:
            while chunk := await response.content.readany():
                *complete, buffer = (buffer + chunk).split(b"\n\n")
                if len(buffer) > _EVENT_BYTES_MAX:
                    raise self._http.mismatch("event", f"at most {_EVENT_BYTES_MAX} bytes", "more")
                events = []
                for number, body in filter(None, map(_parsed, complete)):
                    if number <= last:
                        raise self._http.mismatch("event", f"a number above {last}", str(number))
                    last = number
                    events.append(LedgerEvent(Cursor(str(number)), self._view(_event.decode(body))))
                if events:
                    yield tuple(events)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._http.unavailable(error) from error
        except (ValueError, msgspec.DecodeError) as error:
            raise self._http.mismatch("event", "a book's", str(error)) from error
        finally:
            response.close()
        raise self._http.unavailable(ConnectionError("the stream of events has ended"))

    async def _batch(
        self,
        items: Sequence[Item],
        gatherer: Gatherer[Any],
        named: Callable[[Item], TransferId],
        wrong: Callable[[Item], str],
        sent: Callable[[Item], Any],
    ) -> list[Answer]:
        """Ask for what has a form that the book can read; the rest is refused here, as the book would."""
        problems = [wrong(item) for item in items]
        good = [sent(item) for item, problem in zip(items, problems, strict=True) if not problem]
        found = iter(await gatherer.ask(good) if good else ())
        answers: list[Answer] = []
        for item, problem in zip(items, problems, strict=True):
            if problem:
                answers.append(Refused(named(item), Refusal.BAD_REQUEST, problem))
                continue
            try:
                answers.append(next(found).answer())
            except ValueError as error:
                raise self._http.mismatch("outcome", "done or refused", str(error)) from error
            seen = getattr(answers[-1], "view", None)
            if isinstance(seen, HoldView) and seen.hold.transfer_id != named(item):
                raise self._http.mismatch("transfer", named(item).hex(), seen.hold.transfer_id.hex())
        return answers

    def _outcomes(self, answers: Sequence[Answer]) -> tuple[Outcome, ...]:
        found: list[Outcome] = []
        for answer in answers:
            if isinstance(answer, Paid):
                raise self._http.mismatch("outcome", "a hold's", "a payment's")
            found.append(answer)
        return tuple(found)

    def _view(self, shown: TransferOut) -> HoldView:
        try:
            return shown.view()
        except ValueError as error:
            raise self._http.mismatch("transfer", "a hold", str(error)) from error


def _id(asked: Hold | Payment | Fulfilment) -> TransferId:
    return asked.transfer_id


def _is_fulfilled(view: HoldView) -> bool:
    """Whether it is, and shows it by the preimage."""
    is_shown = view.preimage is not None and fulfils(view.preimage, view.hold.condition)
    return view.state is HoldState.FULFILLED and is_shown


def _parsed(event: bytes) -> tuple[int, bytes] | None:
    """Number and body of an event; None for a comment. Raises ValueError for anything else."""
    if event.startswith(b":"):
        return None
    first, _, second = event.partition(b"\n")
    if not first.startswith(b"id: ") or not second.startswith(b"data: "):
        raise ValueError(f"no event: {event[:40]!r}")
    return int(first[4:]), second[6:]
