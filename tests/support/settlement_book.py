"""Books for tests: a service, its operator, and banks with accounts, money and keys."""

from __future__ import annotations

import hashlib
import itertools
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from foundation.database import Schema
from foundation.quantities import UnixMs
from settlement.ledgers.book.client import BookAccess, BookClient
from settlement.ledgers.book.config import BookConfig
from settlement.ledgers.book.keys import new_key
from settlement.ledgers.book.operator import BookOperator
from settlement.ledgers.book.service import BookService, wall_clock
from settlement.ledgers.book.tables import METADATA
from settlement.ledgers.book.types import AccountKind, Payment
from settlement.ledgers.protocol import Fulfilment, Hold, LedgerAccount, LedgerId, TransferId
from settlement.quantities import Asset, Clock, Preimage, Scale, Units, condition_of

EUR: Final = Asset("EUR", Scale(2))
LEDGER: Final = LedgerId("digital-euro")
ISSUER: Final = LedgerAccount("issuer")
BOOK_SCHEMA: Final = Schema((METADATA,))
OPERATOR_KEY, OPERATOR_DIGEST = new_key("root")
_numbers = itertools.count(1)


class Time:
    """A clock that tests set."""

    def __init__(self, now: int = 1_800_000_000_000) -> None:
        self.now = now

    def __call__(self) -> UnixMs:
        return UnixMs(self.now)


def transfer_id(number: int | None = None) -> TransferId:
    """An id: of this number, or one that no other call gave."""
    text = f"unique {next(_numbers)}" if number is None else f"numbered {number}"
    return TransferId(hashlib.sha256(text.encode()).digest())


def preimage_of(identity: TransferId) -> Preimage:
    """The preimage that these tests take for a hold."""
    return Preimage(hashlib.sha256(b"preimage" + identity).digest())


def a_hold(
    payer: str, payee: str, amount: int, expires_at: int, *, identity: TransferId | None = None, memo: bytes = b""
) -> Hold:
    """A hold under the condition of `preimage_of` its id."""
    identity = identity or transfer_id()
    condition = condition_of(preimage_of(identity))
    account = LedgerAccount
    return Hold(identity, account(payer), account(payee), Units(amount), condition, UnixMs(expires_at), memo)


def fulfilment_of(hold: Hold) -> Fulfilment:
    """What fulfils it."""
    return Fulfilment(hold.transfer_id, preimage_of(hold.transfer_id))


def book_config(database: str, **changes: object) -> BookConfig:
    """A configuration for tests: a free port, one operator, a quick tick (which costs two queries, so no quicker)."""
    content = {
        "ledger_id": LEDGER,
        "database": database,
        "port": 0,
        "operators": {"root": OPERATOR_DIGEST.hex()},
        "tick_ms": 50,
        "heartbeat_seconds": 0.1,
        **changes,
    }
    return BookConfig(**content)  # type: ignore[arg-type]


class Bank:
    """A running book in this process, and what people do with it. Use as `async with`."""

    def __init__(self, database: str, clock: Clock = wall_clock, **changes: object) -> None:
        self.service = BookService(book_config(database, **changes), clock, BOOK_SCHEMA)
        self._stack = AsyncExitStack()
        self.keys: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.service)
        self.operator = await self._stack.enter_async_context(BookOperator(LEDGER, self.url, OPERATOR_KEY))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        return self.service.url

    async def account(self, name: str, money: int = 0, *, floor: int | None = None) -> BookClient:
        """Open an account of a bank of the same name, with money; a client of its holder."""
        self.keys[name] = await open_account(self.operator, name, money, floor)
        return await self.client(name)

    async def client(self, name: str, *, key_of: str | None = None) -> BookClient:
        """A client of the account, with its holder's key or another one's."""
        access = BookAccess(LEDGER, EUR, self.url, LedgerAccount(name), self.keys[key_of or name])
        return await self._stack.enter_async_context(BookClient(access))


async def open_account(operator: BookOperator, name: str, money: int, floor: int | None = None) -> str:
    """Open an account with money, which the issuer makes; the API key of its holder."""
    await operator.open_account(ISSUER, EUR, "operator", AccountKind.ISSUER)
    await operator.open_account(name, EUR, name, floor=floor)
    key = await operator.make_key(f"{name}-key", name)
    if money:
        issued = Payment(transfer_id(), ISSUER, LedgerAccount(name), Units(money))
        await operator.pay([issued])
    return key
