"""REST for those who move money: transfers, fulfilments, cancellations, payments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from foundation.database import Database
from foundation.errors import BadInput
from settlement.ledgers.book.access import answered, authenticated
from settlement.ledgers.book.desk import Desk
from settlement.ledgers.book.keys import Doorkeeper
from settlement.ledgers.book.problems import Handler, Refusal
from settlement.ledgers.book.store import BookStore
from settlement.ledgers.book.types import (
    Caller,
    CancelHold,
    Command,
    FulfilHold,
    MakeHold,
    MakePayment,
    Transfer,
)
from settlement.ledgers.book.wire import (
    CancellationIn,
    CancellationsIn,
    FulfilmentIn,
    FulfilmentsIn,
    OutcomeOut,
    PaymentIn,
    PaymentsIn,
    TransferIn,
    TransferOut,
    TransfersIn,
    decoded,
)
from settlement.ledgers.protocol import HoldView, TransferId

LOOKUP_MAX: Final = 100
_ID_HEX: Final = 64


class Teller:
    """Takes batches and hands them to the desk; answers one outcome for each item, in order."""

    def __init__(self, database: Database, desk: Desk, doors: Doorkeeper) -> None:
        self._database = database
        self._desk = desk
        self._doors = doors

    def routes(self) -> list[web.RouteDef]:
        """Where it is reached."""
        return [
            web.post("/transfers", self._batch(TransfersIn, _holds)),
            web.post("/payments", self._batch(PaymentsIn, _payments)),
            web.post("/fulfilments", self._batch(FulfilmentsIn, _fulfilments)),
            web.post("/cancellations", self._batch(CancellationsIn, _cancellations)),
            web.get("/transfers", self._several),
            web.get("/transfers/{id}", self._one),
        ]

    def _batch(self, items: Any, commands: Callable[[Caller, Any], Sequence[Command]]) -> Handler:
        decoder = msgspec.json.Decoder(items)

        async def handle(request: web.Request) -> web.Response:
            caller = await authenticated(self._doors, request)
            asked = decoded(decoder, await request.read())
            answers = await self._desk.submit(commands(caller, asked)) if asked else ()
            return answered([OutcomeOut.of(answer) for answer in answers])

        return handle

    async def _one(self, request: web.Request) -> web.Response:
        caller = await authenticated(self._doors, request)
        (view,) = await self._views(caller, [_transfer_id(request.match_info["id"])])
        if view is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "there is no such hold for you", "id")
        return answered(TransferOut.of(view))

    async def _several(self, request: web.Request) -> web.Response:
        caller = await authenticated(self._doors, request)
        ids = [_transfer_id(text) for text in request.query.getall("id", [])]
        if len(ids) > LOOKUP_MAX:
            raise BadInput("id", f"{len(ids)} ids, at most {LOOKUP_MAX}", "ask several times")
        views = await self._views(caller, ids)
        return answered([None if view is None else TransferOut.of(view) for view in views])

    async def _views(self, caller: Caller, ids: Sequence[TransferId]) -> list[HoldView | None]:
        """Each hold as it stands, for its parties and operators; None for everybody else."""
        async with self._database.view() as view:
            store = BookStore(view.connection)
            found = {row.transfer_id: row for row in await store.transfers(set(ids))}
            accounts = await store.accounts({name for row in found.values() for name in (row.payer, row.payee)})

        def shown(row: Transfer | None) -> HoldView | None:
            if row is None:
                return None
            parties = [accounts[name] for name in (row.payer, row.payee) if name in accounts]
            return row.view if caller.is_operator or any(map(caller.owns, parties)) else None

        return [shown(found.get(transfer_id)) for transfer_id in ids]


def _holds(caller: Caller, items: Sequence[TransferIn]) -> list[Command]:
    return [MakeHold(caller, item.hold()) for item in items]


def _payments(caller: Caller, items: Sequence[PaymentIn]) -> list[Command]:
    return [MakePayment(caller, item.payment()) for item in items]


def _fulfilments(caller: Caller, items: Sequence[FulfilmentIn]) -> list[Command]:
    return [FulfilHold(caller, item.fulfilment()) for item in items]


def _cancellations(caller: Caller, items: Sequence[CancellationIn]) -> list[Command]:
    return [CancelHold(caller, TransferId(bytes.fromhex(item.id))) for item in items]


def _transfer_id(text: str) -> TransferId:
    try:
        if len(text) == _ID_HEX and text == text.lower():
            return TransferId(bytes.fromhex(text))
    except ValueError:
        pass
    raise BadInput("id", f"{text[:80]!r} is no id", "64 lower-case hexadecimal digits")
