"""What all of the book's REST shares: who asks, what they may read, and answers in JSON."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from foundation.database import Database
from settlement.ledgers.book.keys import Doorkeeper
from settlement.ledgers.book.problems import Refusal
from settlement.ledgers.book.store import BookStore
from settlement.ledgers.book.types import ACCOUNT_NAME, Account, Caller
from settlement.ledgers.book.wire import encode
from settlement.ledgers.protocol import LedgerAccount


def answered(body: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """An answer in JSON."""
    return web.Response(body=encode(body), status=status, content_type="application/json")


async def authenticated(doors: Doorkeeper, request: web.Request) -> Caller:
    """Who asks.

    Raises:
        Refusal: nobody we know.
    """
    caller = await doors.caller(request.headers.get("Authorization", ""))
    if caller is None:
        cure = "send Authorization: Bearer <your API key>"
        raise Refusal(HTTPStatus.UNAUTHORIZED, "no API key, or none that is good", "Authorization", cure)
    return caller


async def operator(doors: Doorkeeper, request: web.Request) -> Caller:
    """Who asks, where it is an operator.

    Raises:
        Refusal: it is not.
    """
    caller = await authenticated(doors, request)
    if not caller.is_operator:
        raise Refusal(HTTPStatus.FORBIDDEN, "operators alone may do this", "Authorization", "use an operator's key")
    return caller


async def readable(database: Database, caller: Caller, name: str) -> Account:
    """The account, where the caller owns it or is an operator.

    Raises:
        Refusal: it is not there, or the caller may not read it; the two look the same.
    """
    account = None
    if ACCOUNT_NAME.fullmatch(name):
        async with database.view() as view:
            account = (await BookStore(view.connection).accounts([LedgerAccount(name)])).get(LedgerAccount(name))
    if account is None or not (caller.is_operator or caller.owns(account)):
        raise Refusal(HTTPStatus.NOT_FOUND, "there is no such account for you", "account")
    return account
