"""Books as processes: two on one PostgreSQL, and one that is killed while it works."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Self, TypeVar

import pytest

from settlement.ledgers.book.client import BookAccess, BookClient
from settlement.ledgers.book.operator import BookOperator
from settlement.ledgers.book.service import wall_clock
from settlement.ledgers.protocol import (
    Cursor,
    Done,
    Hold,
    HoldState,
    LedgerAccount,
    LedgerEvent,
    LedgerUnavailable,
    Outcome,
    Refusal,
    Refused,
)
from tests.support.patience import PATIENCE_S
from tests.support.settlement_book import (
    EUR,
    LEDGER,
    OPERATOR_DIGEST,
    OPERATOR_KEY,
    a_hold,
    fulfilment_of,
    open_account,
)

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[5]
MONEY = 300
Item = TypeVar("Item")


class BookProcess:
    """A book of its own process, which can be killed and started again at the same address."""

    def __init__(self, folder: Path, database: str, name: str) -> None:
        self._config = folder / f"{name}.toml"
        self._database = database
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        lines = {
            "ledger_id": f'"{LEDGER}"',
            "database": f'"{self._database}"',
            "port": str(self._port),
            "tick_ms": "20",
            "operators": f'{{ root = "{OPERATOR_DIGEST.hex()}" }}',
        }
        self._config.write_text("[book]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items()))
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "settlement.ledgers.book", str(self._config)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.url = (await self._process.stdout.readline()).decode().strip()
        self._port = int(self.url.rpartition(":")[2])

    async def kill(self) -> None:
        """Kill -9."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def client(url: str, name: str, key: str) -> AsyncIterator[BookClient]:
    async with BookClient(BookAccess(LEDGER, EUR, url, LedgerAccount(name), key)) as opened:
        yield opened


async def until_known(
    call: Callable[[list[Item]], Awaitable[tuple[Outcome, ...]]], items: list[Item]
) -> tuple[Outcome, ...]:
    """Ask until the ledger answers, as every client has to."""
    while True:
        try:
            return await call(items)
        except LedgerUnavailable:
            await asyncio.sleep(0.01)


async def followed(reader: BookClient, enough: Callable[[list[LedgerEvent]], bool]) -> list[LedgerEvent]:
    """All events, across every break of the feed, until there are enough."""
    found: list[LedgerEvent] = []
    cursor = Cursor("")
    while not enough(found):
        with contextlib.suppress(LedgerUnavailable):
            async with aclosing(reader.events(cursor)) as stream:  # type: ignore[type-var]
                async for events in stream:
                    found.extend(events)
                    cursor = events[-1].cursor
                    if enough(found):
                        break
        await asyncio.sleep(0.01)
    return found


def check_lives(events: list[LedgerEvent], holds: list[Hold]) -> None:
    """Every hold was told once when it began and once when it ended, in this order; no number came twice or late."""
    numbers = [int(event.cursor) for event in events]
    assert numbers == sorted(set(numbers))
    lives: dict[bytes, list[HoldState]] = {}
    for event in events:
        lives.setdefault(event.view.hold.transfer_id, []).append(event.view.state)
    assert lives.keys() == {hold.transfer_id for hold in holds}
    for life in lives.values():
        assert life[0] is HoldState.HELD
        assert len(life) == 2


async def test_two_processes_never_spend_the_same_money(postgres_url: str, tmp_path: Path) -> None:
    """Payers who spend one balance through two processes at once spend it exactly once, and every reader of either
    process sees every event.
    """
    async with AsyncExitStack() as stack:
        books = [await stack.enter_async_context(BookProcess(tmp_path, postgres_url, name)) for name in ("one", "two")]
        operator = await stack.enter_async_context(BookOperator(LEDGER, books[0].url, OPERATOR_KEY))
        payer_key = await open_account(operator, "payer", MONEY)
        payee_key = await open_account(operator, "payee", 0)
        payers = [await stack.enter_async_context(client(book.url, "payer", payer_key)) for book in books]
        payees = [await stack.enter_async_context(client(book.url, "payee", payee_key)) for book in books]
        holds = [a_hold("payer", "payee", 1, wall_clock() + 60_000) for _ in range(2 * MONEY)]
        reading = [
            asyncio.create_task(followed(reader, lambda seen: len(seen) == 2 * MONEY))
            for reader in (*payees, payers[0])
        ]

        async def pay(place: int, hold: Hold) -> Outcome:
            # Every hold is asked of both processes at once: the same id is the same transfer wherever it arrives.
            (first,), (second,) = await asyncio.gather(*(payer.hold([hold]) for payer in payers))
            assert type(first) is type(second)
            if isinstance(first, Done):
                return (await payees[place % 2].fulfil([fulfilment_of(hold)]))[0]
            return first

        outcomes = await asyncio.gather(*(pay(place, hold) for place, hold in enumerate(holds)))
        done = [hold for hold, outcome in zip(holds, outcomes, strict=True) if isinstance(outcome, Done)]
        reasons = Counter(outcome.reason for outcome in outcomes if isinstance(outcome, Refused))
        assert (len(done), reasons) == (MONEY, {Refusal.INSUFFICIENT_FUNDS: MONEY})
        for events in await asyncio.wait_for(asyncio.gather(*reading), PATIENCE_S):
            check_lives(events, done)
        assert (await payers[1].account()).balance == 0
        assert (await payees[1].account()).balance == MONEY
        verdict = await operator.verify()
        assert verdict.ok, verdict.faults


async def test_a_book_that_is_killed_loses_nothing(database_url: str, tmp_path: Path) -> None:
    """Killed amid load and started again, a book has done each transfer once, and its feed has no gap."""
    async with AsyncExitStack() as stack:
        book = await stack.enter_async_context(BookProcess(tmp_path, database_url, "book"))
        operator = await stack.enter_async_context(BookOperator(LEDGER, book.url, OPERATOR_KEY))
        names = ("one", "two", "three")
        keys = {name: await open_account(operator, name, MONEY if name == "one" else 0) for name in names}
        one, two, three = [await stack.enter_async_context(client(book.url, name, key)) for name, key in keys.items()]
        made: list[Hold] = []
        finished, settled = asyncio.Event(), asyncio.Event()

        async def pay(payer: BookClient, payee: BookClient) -> None:
            while not finished.is_set():
                hold = a_hold(payer.own, payee.own, 1, wall_clock() + 60_000)
                (held,) = await until_known(payer.hold, [hold])
                if not isinstance(held, Done):
                    continue
                made.append(hold)
                if len(made) % 3:
                    (ended,) = await until_known(payee.fulfil, [fulfilment_of(hold)])
                else:
                    (ended,) = await until_known(payee.cancel, [hold.transfer_id])
                assert isinstance(ended, Done), "nobody else touches it"

        paying = [
            asyncio.create_task(pay(*pair)) for pair in ((one, two), (two, three), (three, one)) for _ in range(6)
        ]
        reading = asyncio.create_task(followed(two, lambda seen: settled.is_set() and complete(seen, made, two)))
        for _ in range(3):
            before = len(made)
            while len(made) < before + 40:
                await asyncio.sleep(0.01)
            await book.kill()
            await book.start()
        finished.set()
        await asyncio.gather(*paying)
        payers = [(await payer.account(), payer, payee) for payer, payee in ((one, two), (two, three), (three, two))]
        payer, payee = next((payer, payee) for account, payer, payee in payers if account.available)
        last = a_hold(payer.own, payee.own, 1, wall_clock() + 60_000)  # so that the reader, who waits, looks once more
        made.append(last)
        settled.set()
        (held,) = await payer.hold([last])
        assert isinstance(held, Done)
        await payee.cancel([last.transfer_id])
        events = await asyncio.wait_for(reading, PATIENCE_S)
        check_lives(events, concerning(made, two))
        verdict = await operator.verify()
        assert verdict.ok, verdict.faults
        balances = [(await account.account()).balance for account in (one, two, three)]
        assert sum(balances) == MONEY


def concerning(made: list[Hold], account: BookClient) -> list[Hold]:
    return [hold for hold in made if account.own in (hold.payer, hold.payee)]


def complete(seen: list[LedgerEvent], made: list[Hold], account: BookClient) -> bool:
    return len(seen) >= 2 * len(concerning(made, account))
