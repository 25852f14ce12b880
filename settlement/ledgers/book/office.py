"""REST for operators (accounts, keys, the check of the whole book) and for everybody's own account."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from foundation.database import Database
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.ledgers.book.access import answered, authenticated, operator, readable
from settlement.ledgers.book.config import BookConfig
from settlement.ledgers.book.keys import OPERATOR, Doorkeeper, KeyRow, KeyStore, new_key
from settlement.ledgers.book.problems import Refusal
from settlement.ledgers.book.statement import Statements
from settlement.ledgers.book.store import BookStore
from settlement.ledgers.book.types import (
    ACCOUNT_NAME,
    ACCOUNT_NAME_CURE,
    LATEST_MS,
    UNBOUNDED_FLOOR,
    Account,
    AccountKind,
    Holder,
)
from settlement.ledgers.book.verify import Verifier
from settlement.ledgers.book.wire import (
    AccountIn,
    AccountOut,
    FactsOut,
    FreezeIn,
    KeyIn,
    KeyOut,
    StatementOut,
    VerdictOut,
    decoded,
)
from settlement.ledgers.protocol import LedgerAccount
from settlement.quantities import MAX_UNITS, Clock, party_id

STATEMENT_LINES_MAX: Final = 1_000
_LINES: Final = 100
_DIGITS_MAX: Final = 18


class Office:
    """Opens accounts, gives out keys, and tells how things stand."""

    def __init__(self, config: BookConfig, database: Database, doors: Doorkeeper, clock: Clock) -> None:
        self._config = config
        self._database = database
        self._doors = doors
        self._clock = clock
        self._verifying = asyncio.Lock()
        self._accounts: msgspec.json.Decoder[AccountIn] = msgspec.json.Decoder(AccountIn)
        self._freezes: msgspec.json.Decoder[FreezeIn] = msgspec.json.Decoder(FreezeIn)
        self._keys: msgspec.json.Decoder[KeyIn] = msgspec.json.Decoder(KeyIn)

    def routes(self) -> list[web.RouteDef]:
        """Where it is reached."""
        return [
            web.get("/health", self._health),
            web.get("/ledger", self._facts),
            web.post("/accounts", self._open),
            web.get("/accounts/{name}", self._account),
            web.put("/accounts/{name}/frozen", self._freeze),
            web.get("/accounts/{name}/statement", self._statement),
            web.post("/keys", self._make_key),
            web.delete("/keys/{key_id}", self._revoke_key),
            web.get("/verify", self._verify),
        ]

    async def _health(self, request: web.Request) -> web.Response:
        async with self._database.view() as view:
            number, _ = await BookStore(view.connection).last_entry()
        return answered({"status": "ok", "entries": number})

    async def _facts(self, request: web.Request) -> web.Response:
        await authenticated(self._doors, request)
        config = self._config
        return answered(FactsOut(config.ledger_id, 0, config.hold_ms_min, config.hold_ms_max, self._clock()))

    async def _open(self, request: web.Request) -> web.Response:
        await operator(self._doors, request)
        account = new_account(decoded(self._accounts, await request.read()), self._clock())
        async with self._database.unit() as unit:
            store = BookStore(unit.connection)
            before = (await store.accounts([account.name])).get(account.name)
            if before is None:
                await store.open(account)
                await unit.commit()
                return answered(AccountOut.of(account), HTTPStatus.CREATED)
        if _terms(before) != _terms(account):
            cure = "choose another name"
            raise Refusal(HTTPStatus.CONFLICT, f"{account.name} is another account already", "name", cure)
        return answered(AccountOut.of(before))

    async def _account(self, request: web.Request) -> web.Response:
        caller = await authenticated(self._doors, request)
        return answered(AccountOut.of(await readable(self._database, caller, request.match_info["name"])))

    async def _freeze(self, request: web.Request) -> web.Response:
        caller = await operator(self._doors, request)
        frozen = decoded(self._freezes, await request.read()).frozen
        account = await readable(self._database, caller, request.match_info["name"])
        async with self._database.unit() as unit:
            store = BookStore(unit.connection)
            await store.freeze(account.name, frozen)
            account = (await store.accounts([account.name]))[account.name]
            await unit.commit()
        return answered(AccountOut.of(account))

    async def _statement(self, request: web.Request) -> web.Response:
        caller = await authenticated(self._doors, request)
        account = await readable(self._database, caller, request.match_info["name"])
        since = UnixMs(_number(request, "since", 0, LATEST_MS))
        until = UnixMs(_number(request, "until", LATEST_MS, LATEST_MS))
        after = _number(request, "after", 0, LATEST_MS)
        limit = _number(request, "limit", _LINES, STATEMENT_LINES_MAX)
        async with self._database.view() as view:
            page = await Statements(view.connection).page(account.name, since, until, after, max(limit, 1))
        return answered(StatementOut.of(page, account.asset))

    async def _make_key(self, request: web.Request) -> web.Response:
        await operator(self._doors, request)
        asked = decoded(self._keys, await request.read())
        holder = _holder(asked.holder, "holder")
        if holder == OPERATOR:
            raise BadInput("holder", "operators' keys are in the configuration alone", "name a bank")
        text, digest = new_key(asked.key_id)
        taken = Refusal(HTTPStatus.CONFLICT, f"there is a key {asked.key_id} already", "key_id", "choose another id")
        if asked.key_id in self._config.operators:
            raise taken
        async with self._database.unit() as unit:
            store = KeyStore(unit.connection)
            if await store.get(asked.key_id) is not None:
                raise taken
            await store.add(KeyRow(asked.key_id, holder, digest, self._clock()))
            await unit.commit()
        self._doors.forget(asked.key_id)
        return answered(KeyOut(asked.key_id, holder, text), HTTPStatus.CREATED)

    async def _revoke_key(self, request: web.Request) -> web.Response:
        await operator(self._doors, request)
        key_id = request.match_info["key_id"]
        async with self._database.unit() as unit:
            store = KeyStore(unit.connection)
            if not key_id.isprintable() or await store.get(key_id) is None:
                raise Refusal(HTTPStatus.NOT_FOUND, "there is no such key", "key_id")
            await store.revoke(key_id, self._clock())
            await unit.commit()
        self._doors.forget(key_id)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _verify(self, request: web.Request) -> web.Response:
        await operator(self._doors, request)
        async with self._verifying, self._database.view() as view:
            verdict = await Verifier(view.connection).verdict()
        sums = {asset: str(total) for asset, total in verdict.sums.items()}
        return answered(VerdictOut(not verdict.faults, verdict.entries, sums, list(verdict.faults)))


def new_account(asked: AccountIn, now: UnixMs) -> Account:
    """The account that is asked for, without money.

    Raises:
        BadInput: a value that no account can have.
    """
    if not ACCOUNT_NAME.fullmatch(asked.name):
        raise BadInput("name", f"{asked.name!r} is no name", ACCOUNT_NAME_CURE)
    owner = _holder(asked.owner, "owner")
    if asked.kind is not AccountKind.LIABILITY and owner != OPERATOR:
        raise BadInput("owner", f"{asked.kind} accounts are the book's own", f"write {OPERATOR}")
    usual = 0 if asked.kind is AccountKind.LIABILITY else UNBOUNDED_FLOOR
    floor = usual if asked.floor is None else int(asked.floor)
    if abs(floor) > MAX_UNITS:
        raise BadInput("floor", f"{floor} is beyond 2^64−1", "base units")
    name, asset = LedgerAccount(asked.name), asked.asset.asset()
    return Account(name, asset, asked.kind, owner, floor, False, 0, 0, 0, now)


def _terms(account: Account) -> Account:
    """What an account was opened as."""
    return replace(account, frozen=False, balance=0, held=0, incoming=0, opened_at=UnixMs(0))


def _holder(text: str, field: str) -> Holder:
    return Holder(party_id(text, field))


def _number(request: web.Request, field: str, usual: int, most: int) -> int:
    text: Any = request.query.get(field)
    if text is None:
        return usual
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX and int(text) <= most):
        raise BadInput(field, f"{text[:80]!r} is not between 0 and {most}", "a whole number")
    return int(text)
