"""Two banks with channels on a real EVM node: each an adjudicator and an agent, on a wire that tests hold."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from eth_abi.abi import encode as encode_abi
from eth_utils.crypto import keccak

from adapters.evm.channels.deploy import deploy_channels
from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import VolatileJournal
from adapters.evm.lockbox.bindings import Token
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.evm.types import Call
from adapters.native.eip712 import account_of_secret
from foundation.database import CommitHook, Database, Schema
from foundation.quantities import BlockHeight, UnixMs, Wei
from infra.anvil import Anvil
from registry.caip import evm_chain
from registry.chains import Chain
from settlement.channels import tables
from settlement.channels.agent import ChannelAgent
from settlement.channels.chain_feed import ChainConfig
from settlement.channels.evm import EvmAdjudicator, open_evm_adjudicator
from settlement.channels.judge import Case, Join, Status
from settlement.channels.messages import Message, encode
from settlement.channels.signing import KeySigner, channel_id
from settlement.channels.state import Channel, Policy
from settlement.channels.store import ChannelStore
from settlement.channels.terms import ChannelId, Side, Terms
from settlement.ledgers.evm import tables as ledger_tables
from settlement.ledgers.protocol import LedgerId, LedgerUnavailable
from settlement.quantities import Units
from tests.support.channel_town import Listener
from tests.support.lockbox import helper
from tests.support.patience import PATIENCE_S

SENDING = SenderPolicy(poll_seconds=0.02, tend_seconds=0.2)
SCHEMA = Schema((tables.METADATA, ledger_tables.METADATA))
POLICY = Policy(resend_ms=1_000, accept_ms=5_000, reveal_ms=40_000, patience_ms=60_000)
CHALLENGE_MS = 30_000
COIN = 10**18


@dataclass
class ChainBank:
    """A bank. Fields: path (of its database); secret (its account's key)."""

    side: Side
    path: Path
    secret: bytes
    listener: Listener = field(default_factory=Listener)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    court: EvmAdjudicator | None = None
    agent: ChannelAgent | None = None
    database: Database | None = None

    @property
    def signer(self) -> KeySigner:
        """Its key."""
        return KeySigner(self.secret)

    @property
    def at_court(self) -> EvmAdjudicator:
        """Its adjudicator."""
        assert self.court is not None
        return self.court

    @property
    def runs(self) -> ChannelAgent:
        """Its agent."""
        assert self.agent is not None
        return self.agent

    async def state(self, channel: ChannelId) -> Channel:
        """Its side as it is stored."""
        assert self.database is not None
        async with self.database.view() as view:
            return await ChannelStore(view.connection).get(channel)


class ChainTown:
    """Both banks at one contract. The clock is that of the newest block that was looked at."""

    def __init__(self, node: Anvil, rpc: EvmRpc, config: ChainConfig, folder: Path) -> None:
        self.node = node
        self.rpc = rpc
        self.config = config
        self.folder = folder
        self.now = UnixMs(0)
        self.wire: list[tuple[Side, ChannelId, bytes]] = []
        self.banks: dict[Side, ChainBank] = {}

    def clock(self) -> UnixMs:
        """The chain's time when it was last looked at."""
        return self.now

    async def look(self) -> None:
        """Read the chain's time."""
        header = await self.rpc.block("latest")
        assert header is not None
        self.now = UnixMs(header.timestamp * 1_000)

    async def start(self, side: Side, hook: CommitHook | None = None) -> ChainBank:
        """Start a bank, or start it again."""
        bank = self.banks.get(side)
        if bank is None:
            secret = secrets.token_bytes(32)
            await self.node.faucet("0x" + account_of_secret(secret).hex(), Wei(10 * COIN))
            bank = self.banks[side] = ChainBank(side, self.folder / f"{side.name}.db", secret)
        await bank.stack.aclose()
        bank.stack = AsyncExitStack()
        bank.database = await bank.stack.enter_async_context(
            await Database.open(f"sqlite:///{bank.path}", SCHEMA, commit_hook=hook)
        )
        opened = open_evm_adjudicator(self.config, [self.node.url], bank.secret, bank.database, SENDING)
        bank.court = await bank.stack.enter_async_context(opened)
        court = bank.court
        link = _Link(self, side)
        bank.agent = ChannelAgent(bank.database, bank.signer, lambda _: court, link, bank.listener, self.clock)
        return bank

    def terms(self, deposit_a: int = COIN, deposit_b: int = COIN, asset: bytes = bytes(20)) -> Terms:
        """A new channel's terms."""
        accounts = self.banks[Side.A].signer.account, self.banks[Side.B].signer.account
        units = Units(deposit_a), Units(deposit_b)
        salt = secrets.token_bytes(32)
        return Terms(self.config.domain, *accounts, *units, CHALLENGE_MS, False, salt, asset)

    async def channel(self, terms: Terms | None = None) -> ChannelId:
        """A channel that both see open."""
        terms = terms or self.terms()
        await self.until(self.ready)
        channel = await self.banks[Side.A].at_court.open(terms)
        if terms.deposit_b:
            await self.until(lambda: self.stands(Side.B, channel, Status.WAITING))
            await self.banks[Side.B].at_court.submit(channel, Join(terms.b))
        await self.until(lambda: self.stands(Side.A, channel, Status.OPEN))
        await self.until(lambda: self.stands(Side.B, channel, Status.OPEN))
        for bank in self.banks.values():
            await bank.runs.begin(terms, POLICY)
        await self.tick()
        assert channel == channel_id(terms)
        return channel

    async def ready(self) -> bool:
        """Whether A has read the chain."""
        try:
            await self.banks[Side.A].at_court.standing(ChannelId(bytes(32)), ())
        except LedgerUnavailable:
            return False
        return True

    async def stands(self, side: Side, channel: ChannelId, *statuses: Status) -> bool:
        """Whether a bank sees a channel so."""
        try:
            standing = await self.banks[side].at_court.standing(channel, ())
        except LedgerUnavailable:  # it is being read
            return False
        return standing is not None and standing.case.status in statuses

    async def until(self, ask: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something is so: chains tell nobody of their blocks here."""
        async with asyncio.timeout(PATIENCE_S):
            while not await ask():
                await asyncio.sleep(0.02)

    async def pump(self) -> None:
        """Deliver all messages."""
        while self.wire:
            to, channel, raw = self.wire.pop(0)
            if to in self.banks:
                await self.banks[to].runs.receive(channel, raw)

    async def tick(self, *without: Side) -> None:
        """Time has passed for the banks but some."""
        await self.look()
        for side, bank in self.banks.items():
            if side not in without:
                await bank.runs.tick()
        await self.pump()

    async def pass_time(self, ms: int = CHALLENGE_MS) -> None:
        """Move the chain's clock, to finality."""
        await self.node.rpc.call("evm_increaseTime", ms // 1_000)
        await self.node.mine(4)

    async def token(self, amount: int) -> bytes:
        """A new token, of which each bank has so much; its address."""
        secret = secrets.token_bytes(32)
        await self.node.faucet("0x" + account_of_secret(secret).hex(), Wei(COIN))
        async with TxSender(self.rpc, VolatileJournal(), secret, self.node.chain_id, SENDING) as maker:
            code = helper("odd_token").bytecode + encode_abi(["uint8"], [2])
            token = (await maker.send(Call(None, code, "deploy token"), "token")).receipt.contract
            assert token is not None
            for bank in self.banks.values():
                data = keccak(text="give(address,uint256)")[:4]
                data += encode_abi(["address", "uint256"], [bank.signer.account, amount])
                await maker.send(Call(token, data, "give"), bank.side.name)
        return token

    async def tokens(self, token: bytes, side: Side) -> int:
        """What a bank has of a token by the newest block."""
        call = Call(token, Token.balance_of.encode(self.banks[side].signer.account), Token.balance_of.label)
        return int(Token.balance_of.decode(await self.rpc.call(call))[0])

    async def case(self, side: Side, channel: ChannelId) -> Case:
        """A channel as a bank's adjudicator has it."""
        standing = await self.banks[side].at_court.standing(channel, ())
        assert standing is not None
        return standing.case

    async def ends(self, channel: ChannelId, *without: Side) -> None:
        """Let the banks run until the ledger has paid out."""

        async def ask() -> bool:
            await self.tick(*without)
            sides = [side for side in self.banks if side not in without]
            return all([await self.stands(side, channel, Status.CLOSED) for side in sides])

        await self.until(ask)
        await self.tick(*without)

    async def balance(self, side: Side) -> int:
        """A bank's coin by the newest block."""
        return int(await self.rpc.balance(self.banks[side].signer.account))

    async def stop(self) -> None:
        """Stop both."""
        for bank in self.banks.values():
            await bank.stack.aclose()


class _Link:
    def __init__(self, town: ChainTown, side: Side) -> None:
        self._town = town
        self._side = side

    async def send(self, channel: ChannelId, message: Message) -> None:
        self._town.wire.append((self._side.other, channel, encode(message)))


@asynccontextmanager
async def chain_town(node: Anvil, folder: Path) -> AsyncIterator[ChainTown]:
    """A new contract on a node's chain, and two banks with coin."""
    secret = secrets.token_bytes(32)
    await node.faucet("0x" + account_of_secret(secret).hex(), Wei(10 * COIN))
    async with EvmRpc(node.url) as rpc:
        async with TxSender(rpc, VolatileJournal(), secret, node.chain_id, SENDING) as founder:
            contract, start = await deploy_channels(founder)
        genesis = await rpc.block(BlockHeight(0))
        assert genesis is not None
        chain = Chain.named(evm_chain(node.chain_id), genesis.hash, 0)
        config = ChainConfig(LedgerId("chain"), chain, contract, start, settle_ms=10_000, poll_seconds=0.02)
        town = ChainTown(node, rpc, config, folder)
        await town.look()
        try:
            for side in Side:
                await town.start(side)
            yield town
        finally:
            await town.stop()
