"""A gateway out of its configuration: what `causeway gateway run` runs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from adapters.evm.agreed_node import AgreedNode
from adapters.evm.endpoints import Endpoints
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from foundation.database import Database
from foundation.errors import BadInput, Fatal
from foundation.quantities import UnixMs
from settlement.books.anchoring import Anchoring
from settlement.books.evm_anchors import EvmAnchors, EvmRoots
from settlement.books.journal import Entry, EntryId
from settlement.books.monitors import Monitors, WatchedLedger
from settlement.books.postings import funding_entry
from settlement.books.store import Books
from settlement.connect.policy import decode_policy
from settlement.connector.wiring import make_rates
from settlement.custody.margins import Margins, plan
from settlement.gateway.bookkeeping import GatewayBooks
from settlement.gateway.cards import read_cards
from settlement.gateway.config import AnchoringConfig, GatewayConfig
from settlement.gateway.customers import CustomerFolder
from settlement.gateway.hold_notices import NoticeDesk, Payments
from settlement.gateway.housekeeping import keep_forgetting
from settlement.gateway.http import HttpLetterBoxes, LetterBoxServer
from settlement.gateway.keys import Directory, Secrets
from settlement.gateway.ledger_opening import Opening
from settlement.gateway.letter_box import Pricing
from settlement.gateway.network_fees import NetworkFees
from settlement.gateway.pricing import CorridorPricing, Standing
from settlement.gateway.runtime import SCHEMA, Gateway, Parts
from settlement.gateway.stamps import Stamps
from settlement.ledgers.bitcoin.ledger import BitcoinLedger
from settlement.ledgers.evm.journal import DatabaseJournal
from settlement.ledgers.protocol import Ledger, LedgerAccount, LedgerFacts, LedgerId
from settlement.quantities import Clock, PartyId, tagged_hash
from settlement.rules.errors import BadRules
from settlement.rules.reload import Replaced, RulesFile

RELOAD_SECONDS = 5.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Running:
    """A gateway at work. Fields: gateway; parts; letters (where its letter box listens); rules (reloaded by itself)."""

    gateway: Gateway
    parts: Parts
    letters: str
    rules: RulesFile


@dataclass(frozen=True, slots=True)
class Receiving:
    """Where this bank is paid, whoever pays."""

    place: tuple[LedgerId, LedgerAccount] | None

    def account(self, payer: PartyId) -> tuple[str, str] | None:
        """See `letter_box.Receiving`."""
        return None if self.place is None else (str(self.place[0]), str(self.place[1]))


def wall_clock() -> UnixMs:
    """Milliseconds since 1970, as this machine has them."""
    return UnixMs(time.time_ns() // 1_000_000)


@asynccontextmanager
async def run_gateway(config: GatewayConfig, seed: bytes, clock: Clock = wall_clock) -> AsyncIterator[Running]:
    """The gateway of a configuration, at work until the block ends.

    Args:
        config: what `load_config` read.
        seed: the party's 32 secret bytes.
        clock: ours.

    Raises:
        BadInput, BadRules: a file or a field of the configuration is not acceptable.
        LedgerMismatch: a ledger is another than configured.
        LedgerUnavailable, DatabaseUnavailable: it does not answer.
    """
    secrets = Secrets.derive(config.party, seed)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(await Database.open(config.database, SCHEMA))
        directory = _directory(config, secrets, clock())
        rules = RulesFile(config.rules, _alarmed)
        policy = decode_policy(_read(config.policy, "gateway.policy"))
        stamps = Stamps(secrets.letters, directory, clock)
        boxes = await stack.enter_async_context(HttpLetterBoxes(directory, stamps))
        payments = Payments(database, secrets)
        opening = Opening(secrets, directory, database, payments, boxes, clock)
        ledgers = {each.ledger_id: await opening.ledger(each, stack) for each in config.ledgers}
        facts = {name: await ledger.facts() for name, ledger in ledgers.items()}
        books = GatewayBooks(config.party, {str(name): each.asset for name, each in facts.items()}, secrets.books_key)
        parts = Parts(
            secrets=secrets,
            directory=directory,
            database=database,
            ledgers=ledgers,
            facts=facts,
            rules=rules.current,
            policy=lambda: policy,
            margins=config.margins,
            customers=CustomerFolder(config.customers),
            books=books,
            receiving=Receiving(config.receiving),
            pricing=await _pricing(config, secrets, directory, ledgers, facts, clock, stack),
            box=boxes,
            peers=directory.others(config.party),
            address=config.address,
            clock=clock,
        )
        await _open_books(database, books, ledgers, clock())
        gateway = await stack.enter_async_context(Gateway(parts))
        told = {name: ledger.accept for name, ledger in ledgers.items() if isinstance(ledger, BitcoinLedger)}
        notices = NoticeDesk(secrets, directory, payments, told, clock) if told else None
        server = LetterBoxServer(gateway.letter_box, stamps, *config.listen, notices)
        await stack.enter_async_context(server)
        roots: EvmRoots | None = None
        beside = {"rules": _watch(rules), "retention": keep_forgetting(database, secrets, config.retention, clock)}
        if config.anchoring is not None:
            anchoring, roots = await _anchoring(config.anchoring, database, secrets, clock, stack)
            beside["anchoring"] = anchoring.run()
        on_bitcoin = {
            name: (ledger, books.accounts[str(name)])
            for name, ledger in ledgers.items()
            if isinstance(ledger, BitcoinLedger)
        }
        if on_bitcoin:
            beside["network fees"] = NetworkFees(database, config.party, on_bitcoin, books.key, clock).run()
        watched = {str(name): WatchedLedger(ledger, books.accounts[str(name)]) for name, ledger in ledgers.items()}
        monitors = Monitors(database, config.party, watched, directory.registry, roots, clock, books.key)
        beside["monitors"] = monitors.run()
        for name, work in beside.items():
            stack.push_async_callback(_ended, asyncio.create_task(_guarded(name, work)))
        yield Running(gateway, parts, server.url, rules)


def _directory(config: GatewayConfig, secrets: Secrets, now: UnixMs) -> Directory:
    cards = read_cards(config.cards)
    own = cards.get(config.party)
    if own is None:
        cure = "keep the one that `causeway gateway init` made"
        raise BadInput("gateway.cards", f"no card of {config.party} itself is there", cure)
    if own.possession.key != secrets.signer.member.key:
        raise BadInput("gateway.cards", f"the card of {config.party} is of another key", "make a new card")
    return Directory(cards, now)


async def _pricing(
    config: GatewayConfig,
    secrets: Secrets,
    directory: Directory,
    ledgers: dict[LedgerId, Ledger],
    facts: dict[LedgerId, LedgerFacts],
    clock: Clock,
    stack: AsyncExitStack,
) -> Pricing | None:
    if config.clearing is None:
        return None
    rates = make_rates(config.clearing.rates, clock)
    await rates.start()
    stack.push_async_callback(rates.close)
    for source, target in config.clearing.corridors:
        # Else each quote would be refused, and nobody would know why.
        plan(clock(), facts[LedgerId(source)], facts[LedgerId(target)], config.margins)
    standings = {str(name): Standing(facts[name], ledger.own) for name, ledger in ledgers.items()}
    margins: Margins = config.margins
    return CorridorPricing(secrets, directory, standings, config.clearing.corridors, rates, margins)


async def _open_books(database: Database, books: GatewayBooks, ledgers: dict[LedgerId, Ledger], now: UnixMs) -> None:
    """Enter what the accounts held before the books began: once, before anything else is posted for a ledger.

    Raises:
        LedgerUnavailable, DatabaseUnavailable: it does not answer.
    """
    async with database.view() as view:
        opened = {account.name for account in await Books(view.connection, books.key).balances()}
    entries: list[Entry] = []
    for name, ledger in ledgers.items():
        accounts = books.accounts[str(name)]
        if accounts.nostro.name not in opened:
            balance = (await ledger.account()).balance
            number = EntryId(tagged_hash("gateway/opening", name.encode(), ledger.own.encode()))
            entries += [funding_entry(number, accounts, balance)] if balance else []
    if entries:
        async with database.unit() as unit:
            await Books(unit.connection, books.key).post_many(entries, now, books.chart)
            await unit.commit()


async def _anchoring(
    config: AnchoringConfig, database: Database, secrets: Secrets, clock: Clock, stack: AsyncExitStack
) -> tuple[Anchoring, EvmRoots]:
    endpoints = await stack.enter_async_context(Endpoints.at(config.urls, config.chain))
    rpc = await stack.enter_async_context(EvmRpc(config.urls[0]))
    journal = DatabaseJournal(database, config.chain.caip2)
    number = int(config.chain.chain_id.reference)
    sender = await stack.enter_async_context(TxSender(AgreedNode(endpoints), journal, config.secret, number))
    anchors = EvmAnchors(endpoints, rpc, sender, config.contract, start=config.start_block)
    return Anchoring(database, anchors, secrets.signer, clock, config.batch_ms), EvmRoots(endpoints)


async def _guarded(name: str, work: Coroutine[Any, Any, None]) -> None:
    """Work beside the payments: what ends it is told, and the payments go on."""
    try:
        await work
    except Fatal as problem:
        _log.error("stopped for good: a person has to look", work=name, problem=str(problem))
    except Exception:
        _log.exception("stopped by a bug", work=name)
        raise


async def _watch(rules: RulesFile) -> None:
    """Take changed rules in; a broken file changes nothing and raises the alarm."""
    while True:
        await asyncio.sleep(RELOAD_SECONDS)
        outcome = await asyncio.to_thread(rules.reload)  # a refusal has raised the alarm itself
        if isinstance(outcome, Replaced):
            _log.info("rules replaced", version=outcome.new.hex())


def _alarmed(problem: BadRules) -> None:
    _log.error("rules refused; the old ones stay in force", problem=str(problem))


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _read(path: Path, field: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(field, f"{path} cannot be read: {error.strerror}", "name a file that is there") from error
