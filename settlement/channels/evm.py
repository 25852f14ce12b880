"""The adjudicator on an EVM chain: one bank's commands to `Channels.vy`, and what final blocks say of its channels.

A command is a transaction under a key that follows from its content: asked again, after a crash too, it is the same
transaction. Nothing counts before it is final; so a challenge period has to be longer than that takes, and then some.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.evm.agreed_node import AgreedNode
from adapters.evm.channels.calls import ChannelsCalls
from adapters.evm.channels.errors import (
    Answered,
    BadSheet,
    ChannelsRefused,
    NotNewer,
    TooEarly,
    TooLate,
    typed_revert,
)
from adapters.evm.channels.types import Sheet
from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import Reverted, TransactionAbandoned
from adapters.evm.flight import SenderNode, SenderPolicy
from adapters.evm.lockbox.bindings import Token
from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.evm.sender import TxSender
from adapters.evm.types import Call
from foundation.database import Database
from foundation.errors import BadInput
from settlement.channels.chain_cases import sheet_on_chain, terms_on_chain
from settlement.channels.chain_feed import ChainConfig, ChainFeed
from settlement.channels.chain_store import ChainStore
from settlement.channels.errors import Overruled, Ruling
from settlement.channels.judge import Case, Challenge, Close, CloseAgreed, Command, Join, Settle, Withdraw
from settlement.channels.port import Standing
from settlement.channels.signing import channel_id
from settlement.channels.terms import Account, ChannelId, SignedSheet, Terms
from settlement.ledgers.evm.journal import DatabaseJournal
from settlement.ledgers.protocol import LedgerUnavailable
from settlement.quantities import Preimage, condition_of

_CHALLENGE_SETTLES: Final = 3
"""How often a transaction must be able to become final within a challenge period: the close is seen, the answer sent,
and there is as much left again."""

_log = structlog.get_logger(__name__)

_RULINGS: Final[dict[type[ChannelsRefused], Ruling]] = {
    TooEarly: Ruling.TOO_EARLY,
    TooLate: Ruling.TOO_LATE,
    NotNewer: Ruling.NOT_NEWER,
    Answered: Ruling.ALREADY_ANSWERED,
    BadSheet: Ruling.BAD_SHEET,
}
_SAID: Final = {"forged": Ruling.FORGED, "not A": Ruling.NOT_A_PARTY, "not B": Ruling.NOT_A_PARTY}


class EvmAdjudicator:
    """One bank at a Channels contract; an asynchronous context manager. Implements `port.Adjudicator`."""

    def __init__(
        self, config: ChainConfig, endpoints: Endpoints, rpc: SenderNode, sender: TxSender, database: Database
    ) -> None:
        """Describe it; nothing is read or sent yet.

        Args:
            config: which contract on which chain.
            endpoints: the chain's nodes, to be read and not believed.
            rpc: a node that simulates, made with `reverted=adapters.evm.channels.errors.typed_revert`.
            sender: sends for the bank's account, which signs its sheets too; started, with a durable journal. One
                sender for an account, whatever else it sends.
            database: has the tables of `settlement.channels` and of the sender's journal.
        """
        self._config = config
        self._rpc = rpc
        self._sender = sender
        self._database = database
        self._own = Account(sender.account)
        self._calls = ChannelsCalls(config.contract)
        self._feed = ChainFeed(config, endpoints, database, self._own)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        """Begin to follow the chain. It may be down."""
        self._feed.on_quiet = self._collect
        await self._feed.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Stop; what was sent is taken up at the next start."""
        await self._feed.close()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    @property
    def domain(self) -> bytes:
        """What the terms' `ledger` has to be, 32 bytes."""
        return self._config.domain

    def check_terms(self, terms: Terms) -> None:
        """Whether a channel of these terms can be held safely at this contract.

        Raises:
            BadInput: it is for another one, or there would be too little time to answer a stale close.
        """
        if terms.ledger != self.domain:
            raise BadInput("channel.ledger", "the terms are for another contract or chain", "sign for this one")
        least = _CHALLENGE_SETTLES * self._config.settle_ms
        if terms.challenge_ms < least:
            raise BadInput("channel.challenge_ms", f"{terms.challenge_ms}", f"at least {least}: finality comes late")

    async def open(self, terms: Terms) -> ChannelId:
        """Open a channel with A's deposit, ours; returns when that is in a block. Again changes nothing.

        Raises:
            BadInput: as `check_terms`, or A is another bank.
            ChannelsRefused: the contract refuses; nothing was paid.
            What `TxSender.send` raises.
        """
        self.check_terms(terms)
        if terms.a != self._own:
            raise BadInput("channel.a", "is another account", "A opens a channel")
        await self._allow(terms, terms.deposit_a)
        await self._send(self._calls.open(terms_on_chain(terms)), "open")
        return channel_id(terms)

    async def submit(self, channel: ChannelId, command: Command) -> None:
        """Send a command of ours; returns when it is in a block.

        Raises:
            Overruled: the contract refuses it, or the channel is none of ours in final blocks.
            LedgerUnavailable: not in a block yet; ask again.
            What `TxSender.send` raises for a chain that is down or busy, or an account without coin.
        """
        if isinstance(command, Join | Withdraw | Close | Challenge) and command.by != self._own:
            raise Overruled(channel, Ruling.NOT_A_PARTY, "a bank acts from its own account alone")
        async with self._database.view() as view:
            case = (await self._store(view.connection).cases([channel])).get(channel)
        if case is None:
            raise Overruled(channel, Ruling.UNKNOWN_CHANNEL, "no such channel in final blocks")
        if isinstance(command, Join):
            self.check_terms(case.terms)
            await self._allow(case.terms, case.terms.deposit_b)
        try:
            await self._do(self._call(case, command), type(command).__name__.lower())
        except ChannelsRefused as error:
            ruling = _RULINGS.get(type(error)) or _SAID.get(error.reason, Ruling.WRONG_STATE)
            raise Overruled(channel, ruling, error.reason) from error

    async def reveal(self, preimage: Preimage) -> None:
        """Register a preimage; a final one is not sent again. Raises as `submit`."""
        async with self._database.view() as view:
            if await self._store(view.connection).is_shown(condition_of(preimage)):
                return
        await self._do(self._calls.reveal(preimage), "reveal")

    async def standing(self, channel: ChannelId, conditions: tuple[bytes, ...]) -> Standing | None:
        """How a channel stands by final blocks.

        Raises:
            LedgerUnavailable: the chain is silent, or was not read to its end yet.
            LedgerMismatch: it is another chain or contract.
        """
        self._feed.check_health()
        async with self._database.view() as view:
            store = self._store(view.connection)
            case = (await store.cases([channel])).get(channel)
            if case is None:
                return None
            asked = {*conditions, *(lock.condition for lock in case.sheet.sheet.locks)}
            return Standing(case, await store.reveals(asked))

    def _call(self, case: Case, command: Command) -> Call:
        terms = terms_on_chain(case.terms)
        match command:
            case Join():
                return self._calls.join(terms)
            case Withdraw():
                return self._calls.abandon(terms)
            case Close(sheet=signed):
                return self._calls.close(terms, *_signed(signed))
            case Challenge(sheet=signed, held=held):
                return self._calls.challenge(terms, *_signed(signed), held)
            case CloseAgreed(sheet=sheet, signature_a=a, signature_b=b):
                return self._calls.close_agreed(terms, sheet_on_chain(sheet), a, b)
            case Settle():
                return self._calls.settle(terms, sheet_on_chain(case.sheet.sheet))

    async def _collect(self) -> None:
        """Have sent to us what ended channels owe us. Named by what was ever paid out, so each is fetched once."""
        final = self._feed.final
        if final is None:
            return
        async with self._database.view() as view:
            ended = await self._store(view.connection).ended()
        earned: dict[bytes, int] = {}
        for case in ended:
            asset = case.terms.asset
            earned[asset] = earned.get(asset, 0) + sum(
                paid
                for account, paid in zip((case.terms.a, case.terms.b), case.paid, strict=True)
                if account == self._own
            )
        for asset, total in earned.items():
            if total and await self._feed.contract.owed(self._own, asset, final.number):
                try:
                    await self._do(self._calls.collect(asset, self._own), f"collect:{total}")
                except Reverted as error:
                    # Somebody has collected for us, or a token refuses: it stays ours, and nothing else waits for it.
                    _log.warning("not collected", ledger=self._config.ledger_id, problem=error.reason)

    async def _allow(self, terms: Terms, amount: int) -> None:
        """Make sure that the contract, whose code was compared with ours, may take a deposit."""
        if terms.asset == NATIVE_COIN or not amount:
            return
        self._feed.check_health()
        call = Call(terms.asset, Token.allowance.encode(self._own, self._config.contract), Token.allowance.label)
        allowed = int(Token.allowance.decode(await self._rpc.call(call))[0])
        if allowed < amount:
            salt = terms.salt.hex()
            if allowed:  # some tokens refuse to change an allowance that is not zero
                await self._send(self._calls.approve(terms.asset, 0), f"disallow:{salt}")
            await self._send(self._calls.approve(terms.asset, amount), f"approve:{salt}")

    async def _do(self, call: Call, kind: str) -> None:
        """Send, and wait a little while: a slow chain must not keep a bank from watching its other channels."""
        key = self._key(call, kind)
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(self._send(call, kind), name=key)
        done, _ = await asyncio.wait({task}, timeout=self._config.patience_seconds)
        if not done:
            raise LedgerUnavailable(self._config.ledger_id, f"{call.label} is in no block yet")
        self._tasks.pop(key, None)
        await task

    async def _send(self, call: Call, kind: str) -> None:
        """Send once. Where somebody else took the nonce, the next time it is sent anew."""
        try:
            await self._sender.send(call, await self._open_key(self._key(call, kind)))
        except TransactionAbandoned as error:
            raise LedgerUnavailable(self._config.ledger_id, str(error)) from error

    async def _open_key(self, name: str) -> str:
        """The first key of this name that is not used up: what came to nothing is tried again."""
        attempt = 1
        while await self._sender.is_used_up(f"{name}:{attempt}"):
            attempt += 1
        return f"{name}:{attempt}"

    def _key(self, call: Call, kind: str) -> str:
        return f"channels:{self._config.contract.hex()}:{kind}:{hashlib.sha256(call.data).hexdigest()}"

    def _store(self, connection: AsyncConnection) -> ChainStore:
        return ChainStore(connection, self.domain)


def _signed(signed: SignedSheet) -> tuple[Sheet, bytes, bytes]:
    return sheet_on_chain(signed.sheet), signed.signature_a, signed.signature_b


@asynccontextmanager
async def open_evm_adjudicator(
    config: ChainConfig,
    urls: Sequence[str],
    secret: bytes,
    database: Database,
    policy: SenderPolicy | None = None,
) -> AsyncIterator[EvmAdjudicator]:
    """The adjudicator with all that it needs, for an account that nothing else sends from, until the block ends.

    Args:
        config: which contract on which chain.
        urls: the chain's nodes; all that answer have to agree, and all are sent to.
        secret: the account's key, 32 bytes, which signs sheets too.
        database: has the tables of `settlement.channels` and of `settlement.ledgers.evm`.
        policy: bids and waits of the sender.

    Raises:
        BadInput: a URL or the key is none.
    """
    number = int(config.chain.chain_id.reference)
    journal = DatabaseJournal(database, config.chain.caip2)
    async with Endpoints.at(urls, config.chain, reverted=typed_revert) as endpoints:
        node = AgreedNode(endpoints)
        async with (
            TxSender(node, journal, secret, number, policy) as sender,
            EvmAdjudicator(config, endpoints, node, sender, database) as adjudicator,
        ):
            yield adjudicator
