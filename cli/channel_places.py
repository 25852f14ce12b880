"""The ledgers on which a bank has channels: the terms there, and putting its deposit in."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final, TypeAlias

from cli.channel_config import BankConfig, BookPlace, ChainPlace, ChannelConfig
from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.channels.book import book_salt, deposit_hold
from settlement.channels.court_client import CourtClient
from settlement.channels.evm import EvmAdjudicator, open_evm_adjudicator
from settlement.channels.judge import Join, Status
from settlement.channels.signing import KeySigner, book_domain, channel_id
from settlement.channels.terms import Side, Terms
from settlement.ledgers.book.client import BookClient
from settlement.ledgers.protocol import LedgerAccount, LedgerUnavailable, Refusal, Refused
from settlement.quantities import Clock

_DEPOSIT_MS: Final = 15 * 60_000
"""How long a deposit is held for an adjudicator that does not take it."""


class AtBook:
    """Channels at a book."""

    def __init__(self, place: BookPlace, book: BookClient, court: CourtClient, clock: Clock) -> None:
        """For our account at `place`."""
        self._place = place
        self._book = book
        self._clock = clock
        self.court = court

    def terms(self, config: ChannelConfig, own: KeySigner) -> Terms:
        """What both banks have written down."""
        return _terms(config, own, self.court.domain, book_salt(*self._accounts(config), config.nonce))

    async def put_in(self, config: ChannelConfig, terms: Terms) -> bool:
        """Put our deposit in, as far as that can be done now; True once the channel is open. Raises Retryable."""
        channel = channel_id(terms)
        standing = await self.court.standing(channel, ())
        if config.side is Side.A:
            if standing is None:
                await self._hold(terms, Side.A)
                await self.court.open(terms, *self._accounts(config), config.nonce)
        elif standing is not None and standing.case.status is Status.WAITING:
            await self._hold(terms, Side.B)
            await self.court.submit(channel, Join(terms.b))
        standing = await self.court.standing(channel, ())
        return standing is not None and standing.case.status is not Status.WAITING

    async def _hold(self, terms: Terms, side: Side) -> None:
        until = UnixMs(self._clock() + _DEPOSIT_MS)
        hold = deposit_hold(terms, side, self._book.own, self._place.operator, until)
        if not hold.amount:
            return
        (view,) = await self._book.transfers([hold.transfer_id])
        if view is not None:
            return
        (outcome,) = await self._book.hold([hold])
        if isinstance(outcome, Refused) and outcome.reason is not Refusal.SAME_ID_OTHER_TRANSFER:
            problem = f"the deposit is refused: {outcome.reason.value}: {outcome.detail}"
            raise LedgerUnavailable(self._place.access.ledger_id, problem)

    def _accounts(self, config: ChannelConfig) -> tuple[LedgerAccount, LedgerAccount]:
        ours, theirs = self._book.own, config.peer_book
        return (ours, theirs) if config.side is Side.A else (theirs, ours)


class AtChain:
    """Channels at a contract."""

    def __init__(self, place: ChainPlace, court: EvmAdjudicator) -> None:
        """At `place`."""
        self._place = place
        self.court = court

    def terms(self, config: ChannelConfig, own: KeySigner) -> Terms:
        """What both banks have written down."""
        return _terms(config, own, self.court.domain, config.nonce, self._place.token)

    async def put_in(self, config: ChannelConfig, terms: Terms) -> bool:
        """Put our deposit in, as far as that can be done now; True once the channel is open. Raises Retryable."""
        self.court.check_terms(terms)
        channel = channel_id(terms)
        standing = await self.court.standing(channel, ())
        if standing is None:
            if config.side is Side.A:
                await self.court.open(terms)
            return False
        if config.side is Side.B and standing.case.status is Status.WAITING:
            await self.court.submit(channel, Join(terms.b))
        return standing.case.status is not Status.WAITING


AnyPlace: TypeAlias = AtBook | AtChain


async def open_places(
    config: BankConfig, signer: KeySigner, database: Database, clock: Clock, stack: AsyncExitStack
) -> dict[str, AnyPlace]:
    """All ledgers of the configuration, until the stack closes."""
    made: dict[str, AnyPlace] = {}
    for name, place in config.ledgers.items():
        if isinstance(place, ChainPlace):
            opened = open_evm_adjudicator(place.config, place.urls, config.secret, database)
            made[name] = AtChain(place, await stack.enter_async_context(opened))
            continue
        book = await stack.enter_async_context(BookClient(place.access))
        ledger = place.access.ledger_id
        client = CourtClient(ledger, place.court, book_domain(ledger), signer, clock)
        made[name] = AtBook(place, book, await stack.enter_async_context(client), clock)
    return made


def _terms(config: ChannelConfig, own: KeySigner, domain: bytes, salt: bytes, asset: bytes = bytes(20)) -> Terms:
    is_a = config.side is Side.A
    accounts = (own.account, config.peer_account) if is_a else (config.peer_account, own.account)
    deposits = (config.ours, config.theirs) if is_a else (config.theirs, config.ours)
    return Terms(domain, *accounts, *deposits, config.challenge_ms, config.one_way, salt, asset)
