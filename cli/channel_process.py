"""A bank's channels as a process, and a book's adjudicator as one."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from cli.channel_config import BankConfig, CourtConfig, load_bank, load_court
from cli.channel_places import AnyPlace, open_places
from cli.logs import configure_logging
from cli.output import Output
from foundation.database import Database
from foundation.errors import BadInput, Fatal, Retryable
from foundation.signals import heed
from settlement.channels.agent import ChannelAgent
from settlement.channels.book import BookAdjudicator
from settlement.channels.court_service import CourtService
from settlement.channels.desk import ChannelDesk
from settlement.channels.link import HttpPeerLink, PeerDoor
from settlement.channels.opening import may_put_in
from settlement.channels.orders import OpenOrder, OrderState, Standing
from settlement.channels.port import Adjudicator, Gateway
from settlement.channels.relay import Relay
from settlement.channels.schema import SCHEMA
from settlement.channels.signing import KeySigner, book_domain, channel_id
from settlement.channels.state import Announce
from settlement.channels.store import ChannelStore, UnknownChannel
from settlement.channels.terms import ChannelId, Terms
from settlement.connect.envelope_keys import EnvelopeKeys
from settlement.cosign.keyfile import open_key_file
from settlement.gateway.cards import read_cards
from settlement.gateway.keys import Directory, Secrets
from settlement.ledgers.book.client import BookClient
from settlement.ledgers.book.service import wall_clock

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Peers:
    """The parties' cards, and where their channels listen."""

    directory: Directory
    urls: dict[str, str]

    def keys(self, party: str) -> EnvelopeKeys | None:
        """See `link.Peers`."""
        return self.directory.keys(party)

    def url(self, party: str) -> str:
        """See `link.Peers`."""
        return self.urls[party]


class BankProcess:
    """A bank's channels at work. Made by `run_bank`."""

    def __init__(
        self, config: BankConfig, agent: ChannelAgent, desk: ChannelDesk, places: dict[str, AnyPlace], url: str
    ) -> None:
        self._config = config
        self._agent = agent
        self._desk = desk
        self._places = places
        self._signer = KeySigner(config.secret)
        self._opening: dict[bytes, asyncio.Task[None]] = {}
        self.url = url

    async def run(self) -> None:
        """Watch the ledgers, carry orders out, and tell what became of them; for ever."""
        while True:
            try:
                await self._agent.tick()
                for each in await self._desk.serve(self._agent):
                    if each.order_id not in self._opening:
                        self._opening[each.order_id] = asyncio.create_task(self._open(each))
            except Retryable as error:
                _log.warning("channels wait", problem=str(error))
            await asyncio.sleep(self._config.tick_seconds)

    async def close(self) -> None:
        """Stop what is being opened; it goes on at the next start."""
        for task in self._opening.values():
            task.cancel()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)

    async def _open(self, order: Standing) -> None:
        assert isinstance(order.order, OpenOrder)
        try:
            config = self._config.channels.get(order.order.name)
            if config is None:
                raise BadInput("NAME", f"{order.order.name} is no channel of [channels]", "name one of them")
            place = self._places[config.ledger]
            terms = place.terms(config, self._signer)
            channel = await self._agent.begin(terms, self._config.policy)
            while True:
                if await self._is_agreed(channel) and await self._put_in(order.order.name, terms):
                    break
                await asyncio.sleep(self._config.tick_seconds)
            await self._desk.finish(order.order_id, OrderState.DONE, channel_id(terms).hex())
        except (Fatal, BadInput) as error:
            await self._desk.finish(order.order_id, OrderState.FAILED, str(error))

    async def _is_agreed(self, channel: ChannelId) -> bool:
        """Whether the other bank has signed, too, that it wants this very channel: before that nothing goes in."""
        try:
            return may_put_in(await self._agent.change(channel, Announce()))
        except Retryable as error:
            _log.warning("channel is not agreed yet", channel=channel.hex(), problem=str(error))
            return False

    async def _put_in(self, name: str, terms: Terms) -> bool:
        config = self._config.channels[name]
        try:
            return await self._places[config.ledger].put_in(config, terms)
        except Retryable as error:
            _log.warning("channel is not open yet", channel=name, problem=str(error))
            return False


@asynccontextmanager
async def run_bank(config: BankConfig, seed: bytes) -> AsyncIterator[BankProcess]:
    """A bank's channels, with all ledgers, its letters and its desk; `run` of it is the caller's.

    Raises:
        BadInput: a card, a file or a field is not acceptable.
        DatabaseUnavailable: the database does not answer.
    """
    clock = wall_clock
    signer = KeySigner(config.secret)
    letters = Secrets.derive(config.party, seed).letters
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(await Database.open(config.database, SCHEMA))
        places = await open_places(config, signer, database, clock, stack)
        named = {name: places[each.ledger].terms(each, signer) for name, each in config.channels.items()}
        ids = {name: channel_id(terms) for name, terms in named.items()}
        async with database.unit() as unit:
            await ChannelStore(unit.connection).name(ids)
            await unit.commit()
        courts = {ids[name]: places[each.ledger].court for name, each in config.channels.items()}
        partners = {ids[name]: each.peer for name, each in config.channels.items()}
        peers = _Peers(Directory(read_cards(config.cards), clock()), config.urls)
        link = await stack.enter_async_context(HttpPeerLink(letters, peers, partners, clock))
        desk = ChannelDesk(database, config.party, config.secret, config.authority, clock)
        gateway: Gateway = desk
        if config.relaying is not None:
            with_whom = {each.peer: ids[name] for name, each in config.channels.items()}
            gateway = Relay(database, with_whom, config.relaying, clock, desk)

        def court_of(channel: ChannelId) -> Adjudicator:
            found = courts.get(channel)
            if found is None:
                raise UnknownChannel(channel)
            return found

        agent = ChannelAgent(database, signer, court_of, link, gateway, clock)
        door = PeerDoor(letters, peers, partners, agent.receive, clock)
        await door.listen(*config.listen)
        stack.push_async_callback(door.close)
        process = BankProcess(config, agent, desk, places, door.url)
        stack.push_async_callback(process.close)
        yield process


@asynccontextmanager
async def run_court(config: CourtConfig) -> AsyncIterator[CourtService]:
    """A book's adjudicator, listening until the block ends.

    Raises:
        LedgerMismatch: the book is another than configured.
        LedgerUnavailable, DatabaseUnavailable: it does not answer.
    """
    async with (
        await Database.open(config.database, SCHEMA) as database,
        BookClient(config.access) as funds,
    ):
        await funds.facts()
        domain = book_domain(config.access.ledger_id)
        court = BookAdjudicator(database, funds, domain, wall_clock)
        async with CourtService(court, domain, config.members, wall_clock, *config.listen) as service:
            yield service


async def until_stopped(work: asyncio.Task[None] | None = None) -> None:
    """Wait for SIGTERM or SIGINT, or for `work` to fail. Raises what it raised."""
    stopped = asyncio.Event()
    heed(stopped.set, signal.SIGTERM, signal.SIGINT)
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait({waiting, *([work] if work else [])}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if work is None:
        return
    if work.done():
        work.result()
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def watch_until_stopped(path: Path, password: str, level: str, as_json: bool) -> None:
    """Run a bank's channels until SIGTERM or SIGINT.

    Raises:
        BadInput: a file, a field or the password is not acceptable.
        DatabaseUnavailable: the database does not answer.
    """
    configure_logging(level, as_json or not sys.stderr.isatty())
    config = load_bank(path)
    try:
        seed = open_key_file(config.key_file, config.party, password)
    except OSError as error:
        cure = "name the key that `causeway gateway init` made"
        raise BadInput("bank.key_file", f"{config.key_file} cannot be read", cure) from error
    with _only_one(path):
        await _watch(config, seed, as_json)


async def _watch(config: BankConfig, seed: bytes, as_json: bool) -> None:
    async with run_bank(config, seed) as bank:
        Output(as_json).result({"party": config.party, "url": bank.url}, f"{config.party} listens on {bank.url}")
        _log.info("channels run", party=config.party, letters=bank.url)
        await until_stopped(asyncio.create_task(bank.run()))


async def adjudicate_until_stopped(path: Path, level: str, as_json: bool) -> None:
    """Run a book's adjudicator until SIGTERM or SIGINT. Raises as `run_court`."""
    configure_logging(level, as_json or not sys.stderr.isatty())
    async with run_court(load_court(path)) as court:
        Output(as_json).result({"url": court.url}, f"the adjudicator listens on {court.url}")
        _log.info("adjudicator listens", url=court.url)
        await until_stopped()


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """One process for a bank: two would send transactions of one account under the same numbers."""
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadInput("--config", f"another process watches the channels of {path}", "stop it first") from error
        yield
