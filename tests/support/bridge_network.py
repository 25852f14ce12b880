"""A whole bridge in one process on real chains: contracts, storemen and vouchers, each with its keys and database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from adapters.bitcoin.addresses import REGTEST, address_text, parse_address
from adapters.bitcoin.scripts import DepositTerms, deposit_script
from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import VolatileJournal
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.native.chain import NativeChain
from adapters.native.deploy import deploy
from adapters.native.deployment import Deployment
from adapters.native.eip712 import account_of_secret
from adapters.native.errors import typed_revert
from adapters.native.types import Announcement
from bridge.runtime import run_node
from bridge.settings import Role, Settings, bitcoin_asset
from bridge.storage import CommitHook, Database, View
from foundation.quantities import BlockHeight, Satoshi, TokenUnits, Wei
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind, Wallet
from infra.ports import free_port
from mpc.curve import tagged_hash
from mpc.identity import Identity
from mpc.keystore import Keystore, ScryptCost
from registry.assets import Asset, AssetPolicy
from registry.caip import ChainId
from registry.chains import Chain
from registry.groups import Member
from tests.support.patience import eventually

PASSWORD = "a test's password"
CHEAP = ScryptCost(log_n=4)
ETHER = Wei(10**18)
DEPOSIT_FEE = 2_000
MINIMUM = 10_000
ASSET = bitcoin_asset(REGTEST)
CHAIN = ChainId.parse(REGTEST.caip2)
_LOG = structlog.get_logger("tests")


def settings_for(
    role: Role, name: str, folder: Path, port: int, bitcoind: Bitcoind, anvil: Anvil, **policy: Any
) -> Settings:
    """A node's configuration for tests: one confirmation, quick turns."""
    content = {
        "node": {"role": role, "name": name, "listen": f"tcp://127.0.0.1:{port}"},
        "bitcoin": {
            "network": "regtest",
            "url": bitcoind.url,
            "user": bitcoind.user,
            "password": bitcoind.password,
            "zmq": bitcoind.zmq_hashblock,
            "poll_seconds": 0.5,
        },
        "native": {"url": anvil.url, "deployment": "../deployment.json", "poll_seconds": 0.05},
        "policy": {
            "tiers": [{"up_to": "1", "confirmations": 1}, {"confirmations": 2}],
            "input_depth": 1,
            "settled_depth": 1,
            "mint_margin": 10,
            "fee_floor": 1.0,
            "fee_fallback": 2.0,
            "slot_seconds": 1.0,
            "sweep_after_seconds": 0.5,
            "bump_after_seconds": 3600.0,
            **policy,
        },
    }
    return Settings.checked(content, folder)


@dataclass
class BridgeNode:
    """One node; it runs as a task of this process."""

    settings: Settings
    identity: Identity
    member: Member
    hook: CommitHook | None = None
    task: asyncio.Task[None] | None = None
    _reader: Database | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def name(self) -> str:
        return self.settings.node.name

    @property
    def runs(self) -> bool:
        """Whether it was started and not stopped."""
        return self.task is not None

    async def start(self) -> None:
        """Start, and wait until it follows and answers."""
        await self.forget()
        ready = asyncio.Event()
        self.task = asyncio.create_task(run_node(self.settings, PASSWORD, commit_hook=self.hook, ready=ready))
        self.task.add_done_callback(self._ended)
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({self.task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.task.done():
            self.task.result()

    async def stop(self) -> None:
        """Cancel it, as a kill would: nothing is told to anybody."""
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.forget()

    async def forget(self) -> None:
        """Close what `view` reads through: the database may be another one from now on."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Tell of a node that ended by itself: all that waits for it would wait in vain, and nobody would know why."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("a node has ended", name=self.name, exc_info=error)

    @contextlib.asynccontextmanager
    async def view(self) -> AsyncIterator[View]:
        """Read its database, which stays open: tests look very often, and to open one costs six times as much."""
        async with self._opening:
            reader = self._reader = self._reader or await Database.open(self.settings.database_url)
        async with reader.view() as view:
            yield view


@dataclass
class BridgeNetwork:
    """Chains, contracts and nodes."""

    folder: Path
    bitcoind: Bitcoind
    anvil: Anvil
    deployment: Deployment
    native: NativeChain
    owner: TxSender
    storemen: list[BridgeNode] = field(default_factory=list)
    vouchers: list[BridgeNode] = field(default_factory=list)
    senders: dict[bytes, TxSender] = field(default_factory=dict)

    @property
    def nodes(self) -> list[BridgeNode]:
        return [*self.storemen, *self.vouchers]

    async def account(self, label: str) -> TxSender:
        """An account of a person, with gas."""
        secret = tagged_hash("test account", label.encode())
        account = account_of_secret(secret)
        if account not in self.senders:
            await self.anvil.faucet("0x" + account.hex(), Wei(100 * ETHER))
            policy = SenderPolicy(fees=FeePolicy(), poll_seconds=0.02)
            sender = TxSender(self.native.rpc, VolatileJournal(), secret, self.deployment.chain_id, policy)
            self.senders[account] = await sender.start()
        return self.senders[account]

    async def active_group(self) -> bytes:
        """The id of the group, once it has its key."""

        async def active() -> bytes | None:
            return await self.native.active_group(CHAIN.id)

        return await eventually(active, "the group is activated")

    async def deposit_address(
        self, recipient: bytes, reclaim_key: bytes, *, delay: int = 144, salt: bytes = bytes(32)
    ) -> tuple[DepositTerms, str]:
        """Announced terms, and the address that they give."""
        group_id = await self.active_group()
        group = await self.native.group(group_id)
        assert group is not None
        assert group.key is not None
        d = self.deployment
        terms = DepositTerms(d.chain_id, d.hub, ASSET.id, group_id, group.key, recipient, reclaim_key, delay, salt)
        birthday = await self.bitcoind.height() + 1
        announcement = Announcement(ASSET.id, group_id, recipient, reclaim_key, delay, salt, birthday)
        await self.owner.send(
            self.native.calls.announce_deposit(announcement), f"announce:{salt.hex()}:{recipient.hex()}"
        )
        return terms, address_text(deposit_script(terms).script, REGTEST)

    async def balance(self, account: bytes) -> TokenUnits:
        """Mapping tokens of an account, in the newest block."""
        token = await self.native.token_of(ASSET.id, "latest")
        return TokenUnits(0) if token is None else await self.native.token_balance(token, account)

    async def withdraw(self, owner: TxSender, amount: int, address: str, max_fee: int = 5_000) -> bytes:
        """Lock tokens for a payment; the withdrawal's id."""
        from adapters.native.events import WithdrawalRequested

        token = await self.native.token_of(ASSET.id, "latest")
        assert token is not None
        key = f"{owner.on_their_way}:{amount}:{address}:{max_fee}"
        await owner.send(self.native.calls.approve(token, TokenUnits(amount)), f"approve:{key}")
        destination = parse_address(address, REGTEST)
        call = self.native.calls.withdraw(ASSET.id, TokenUnits(amount), TokenUnits(max_fee), destination)
        result = await owner.send(call, f"withdraw:{key}")
        (event,) = [e for e in self.native.decoded(result.receipt.logs) if isinstance(e, WithdrawalRequested)]
        return event.id


async def _mine_native(anvil: Anvil) -> None:
    """Blocks in quick succession, so that finality comes quickly."""
    while True:
        with contextlib.suppress(Exception):  # a test may have stopped the node
            await anvil.mine()
        await asyncio.sleep(0.15)


def make_node(role: Role, number: int, root: Path, bitcoind: Bitcoind, anvil: Anvil, **policy: Any) -> BridgeNode:
    """A node's folder with its keystore."""
    name = f"{role}-{number}"
    folder = root / name
    folder.mkdir(exist_ok=True)
    port = free_port()
    settings = settings_for(role, name, folder, port, bitcoind, anvil, **policy)
    identity = Identity.from_host_secret(tagged_hash("test bridge node", f"{root}{name}".encode()))
    Keystore.create(settings.path(settings.node.keystore), PASSWORD, identity.host_secret, CHEAP).close()
    account = account_of_secret(identity.account_secret)
    member = Member(account, identity.host_key, identity.transport_key, settings.node.listen)
    return BridgeNode(settings, identity, member)


@contextlib.asynccontextmanager
async def bridge_network(
    root: Path,
    bitcoind: Bitcoind,
    anvil: Anvil,
    *,
    storemen: int = 5,
    threshold: int = 3,
    vouchers: int = 4,
    start: bool = True,
    **policy: Any,
) -> AsyncIterator[BridgeNetwork]:
    """A network whose group is activated (unless `start` is False), on the given chains."""
    root.mkdir(exist_ok=True)
    if await bitcoind.height() < 101:
        await bitcoind.mine(101 - await bitcoind.height())
    async with contextlib.AsyncExitStack() as stack:
        rpc = await stack.enter_async_context(EvmRpc(anvil.url, reverted=typed_revert))
        miner = asyncio.create_task(_mine_native(anvil))
        stack.push_async_callback(_cancelled, miner)
        chain_id = await rpc.chain_id()
        owner_secret = tagged_hash("test owner", str(root).encode())
        await anvil.faucet("0x" + account_of_secret(owner_secret).hex(), Wei(1000 * ETHER))
        quick = SenderPolicy(fees=FeePolicy(), poll_seconds=0.02)
        owner = await stack.enter_async_context(TxSender(rpc, VolatileJournal(), owner_secret, chain_id, quick))
        deployment = await deploy(rpc, owner)
        deployment.save(root / "deployment.json")
        network = BridgeNetwork(root, bitcoind, anvil, deployment, NativeChain(rpc, deployment), owner)
        stack.push_async_callback(_close_senders, network)
        await _register(network)
        for number in range(1, storemen + 1):
            network.storemen.append(make_node(Role.STOREMAN, number, root, bitcoind, anvil, **policy))
        for number in range(1, vouchers + 1):
            network.vouchers.append(make_node(Role.VOUCHER, number, root, bitcoind, anvil, **policy))
        await _join(network, threshold)
        stack.push_async_callback(_stop, network.nodes)
        if start:
            await asyncio.gather(*(node.start() for node in network.nodes))
            await network.active_group()
        yield network


async def _register(network: BridgeNetwork) -> None:
    calls = network.native.calls
    policy = AssetPolicy(TokenUnits(MINIMUM), TokenUnits(DEPOSIT_FEE), TokenUnits(MINIMUM))
    await network.owner.send(calls.register_chain(Chain.named(CHAIN, REGTEST.genesis, 1)), "chain")
    await network.owner.send(calls.register_asset(Asset.named(ASSET, "Bitcoin", "BTC", 8, policy)), "asset")


async def _join(network: BridgeNetwork, threshold: int) -> None:
    calls = network.native.calls
    for node in network.nodes:
        await network.anvil.faucet("0x" + node.member.account.hex(), Wei(1000 * ETHER))
    rpc, chain_id = network.native.rpc, network.deployment.chain_id

    async def join(node: BridgeNode) -> None:
        m = node.member
        await network.owner.send(calls.admit_voucher(m.account), f"admit:{m.account.hex()}")
        async with TxSender(rpc, VolatileJournal(), node.identity.account_secret, chain_id) as sender:
            await sender.send(calls.join_vouchers(m.host_key, m.transport_key, m.endpoint, ETHER), "join")

    for node in network.vouchers:
        await join(node)
    members = [node.member for node in network.storemen]
    await network.owner.send(calls.propose_group(CHAIN.id, threshold, members), "group")


async def _stop(nodes: Sequence[BridgeNode]) -> None:
    await asyncio.gather(*(node.stop() for node in nodes))


async def _close_senders(network: BridgeNetwork) -> None:
    for sender in network.senders.values():
        await sender.close()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def pay(wallet: Wallet, address: str, amount: int) -> str:
    """Pay from a real wallet; the txid."""
    return await wallet.send(address, Satoshi(amount))


__all__ = ["BlockHeight", "BridgeNetwork", "BridgeNode", "bridge_network", "eventually", "pay"]
