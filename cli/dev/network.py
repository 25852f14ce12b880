"""The development network: both chains, the contracts, storemen and vouchers, each node a process of its own."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from cli.context import CONFIG
from cli.dev.nodes import DevNode
from cli.dev.origin import DevOrigin
from cli.dev.plan import DevPlan as DevPlan
from cli.dev.plan import kept_plan as kept_plan
from cli.evm_config import evm_block
from cli.exits import NotFound, TimedOut
from cli.node_folder import toml_text
from foundation.errors import BadInput
from foundation.files import write_durably
from foundation.quantities import TokenUnits, Wei
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from infra.cache import locked_async
from infra.errors import StartFailed
from infra.node import Node

if TYPE_CHECKING:
    from adapters.evm.sender import TxSender
    from adapters.native.chain import NativeChain
    from adapters.native.deployment import Deployment
    from cli.context import NetworkFile
    from infra.postgres import Postgres
    from registry.assets import AssetPolicy
    from registry.groups import Group

_READY_SECONDS: Final = 120.0
_MATURITY: Final = 101
"""Blocks until the first reward can be spent."""
_ETHER: Final = 10**18
_OWNER_FUNDS: Final = Wei(10_000 * _ETHER)
_NODE_FUNDS: Final = Wei(1_000 * _ETHER)
_STAKE: Final = Wei(_ETHER)
_LOOK_SECONDS: Final = 0.4
"""Each look opens the databases of nodes that are just starting; more of them would slow the start down."""


class DevNetwork:
    """A development network in a folder; an asynchronous context manager that starts and stops it.

    Attributes:
        bitcoind, anvil: the chains' nodes, with `mine` and `faucet`; postgres: None with SQLite.
        origin: the EVM origin chain, None without one.
        nodes: all nodes, the storemen first; storemen, vouchers: the parts.
        network_file, owner_key: paths for `--network` and `--account-key`.
        deployment: where the contracts are; known after `start`.
        group: the group of storemen; known after `start`.
    """

    def __init__(
        self,
        folder: Path,
        plan: DevPlan | None = None,
        *,
        detached: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        """Describe the network; nothing is written or started.

        Args:
            folder: for everything of it.
            plan: how large it is.
            detached: let everything outlive this process, as `causeway dev up` does.
            progress: told of each step.

        Raises:
            BadInput: the plan is not possible.
        """
        self.folder = folder.absolute()
        self.plan = plan or DevPlan()
        self.plan.check()
        self._progress = progress or (lambda _: None)
        self.bitcoind = Bitcoind(self.folder / "bitcoind", detached=detached)
        self.anvil = Anvil(self.folder / "anvil", detached=detached)
        number = self.plan.evm_chain
        self.origin = DevOrigin(self.folder, number, detached=detached) if number else None
        self.postgres = self._postgres(detached)
        names = [(f"storeman-{number}", "storeman") for number in range(1, self.plan.storemen + 1)]
        names += [(f"voucher-{number}", "voucher") for number in range(1, self.plan.vouchers + 1)]
        self.nodes = [DevNode(self.folder / name, role, detached=detached) for name, role in names]
        self.network_file = self.folder / "network.toml"
        self.owner_key = self.folder / "owner.key"
        self._plan_file = self.folder / "plan.json"
        self._deployment_file = self.folder / "deployment.json"
        self.deployment: Deployment | None = None
        self.group: Group | None = None

    @classmethod
    def at(cls, folder: Path, *, detached: bool = True, progress: Callable[[str], None] | None = None) -> DevNetwork:
        """The network that was made in `folder`. Raises `NotFound`."""
        plan = kept_plan(folder)
        if plan is None:
            raise NotFound(f"no development network is in {folder}", "causeway dev up makes one")
        return cls(folder, plan, detached=detached, progress=progress)

    @property
    def storemen(self) -> list[DevNode]:
        """The storemen."""
        return self.nodes[: self.plan.storemen]

    @property
    def vouchers(self) -> list[DevNode]:
        """The vouchers."""
        return self.nodes[self.plan.storemen :]

    @property
    def owner_secret(self) -> bytes:
        """The key of the account that owns the contracts, 32 bytes."""
        return bytes.fromhex(self.owner_key.read_text().strip())

    @property
    def chains(self) -> list[Node]:
        """The programs of others that it runs."""
        origin = [self.origin.anvil] if self.origin else []
        return [self.bitcoind, self.anvil, *origin, *([self.postgres] if self.postgres else [])]

    def network(self) -> NetworkFile:
        """The network file, loaded. Raises `BadInput` before `start`."""
        from cli.context import NetworkFile

        return NetworkFile.load(self.network_file)

    async def start(self) -> Self:
        """Start what does not run, and finish what an earlier start left undone. Returns once the group is active.

        Where that fails, what it started is stopped again; what ran before runs on.

        Raises:
            BadInput: the folder holds a network of another size.
            ToolMissing, StartFailed, NotReady: a program cannot be had, or does not come up.
            TimedOut: the storemen did not make their key in time.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        async with locked_async(self.folder / "lock"):
            self._keep_plan()
            before = {node.name for node in self.nodes if node.is_running}
            before |= {node.name for node in self.chains if node.is_running}
            try:
                await self._start()
            except BaseException:  # also when we are cancelled: what nobody waits for would stay behind
                await self._stop(keep=before)
                raise
        return self

    async def stop(self) -> None:
        """End every process of it, in order. Its data stays, and a later start goes on from there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        async with locked_async(self.folder / "lock"):
            await self._stop()

    async def remove(self) -> None:
        """Stop it and delete its folder."""
        await self.stop()
        await asyncio.to_thread(shutil.rmtree, self.folder)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_exception: object) -> None:
        await self.stop()

    async def _start(self) -> None:
        down = [node.name for node in self.chains if not node.is_running]
        if down:
            self._progress(f"starting {', '.join(down)}")
        # The imports that follow take a second, which is free while others' programs start.
        await asyncio.gather(asyncio.to_thread(_import_adapters), *(node.start() for node in self.chains))
        missing = _MATURITY - await self.bitcoind.height()
        if missing > 0:
            await self.bitcoind.mine(missing)
        self._write_network_file()
        await self._make_folders()
        async with AsyncExitStack() as stack:
            native, owner = await self._contracts(stack)
            await self._people(native, owner)
            # The storemen make the keys of both groups at the same time.
            async with self._registering(native, owner):
                await self._run_nodes()
                await self._until_active(native)
        self._progress("up")

    async def _stop(self, keep: Collection[str] = ()) -> None:
        """End all processes but those named in `keep`."""
        if not keep:  # first: without it no command takes the network for running
            self.network_file.unlink(missing_ok=True)
        nodes = [node for node in self.nodes if node.name not in keep and node.is_running]
        if nodes:
            self._progress(f"stopping {len(nodes)} node(s)")
            await asyncio.gather(*(node.stop() for node in nodes))
        chains = [node for node in self.chains if node.name not in keep and node.is_running]
        if chains:
            self._progress(f"stopping {', '.join(node.name for node in chains)}")
            await asyncio.gather(*(node.stop() for node in chains))

    def _write_network_file(self) -> None:
        sections = {"bitcoin": self._bitcoin(), "native": self._native("deployment.json")}
        blocks = [] if self.origin is None else [self.origin.block]
        blocks += self._other_chains()
        write_durably(self.network_file, "\n".join([toml_text(sections), *blocks]).encode())

    def _other_chains(self) -> list[str]:
        """The blocks of the EVM chains that somebody has added to the nodes: users' commands need them too."""
        from bridge.settings import Settings

        first = self.nodes[0]
        if not first.exists:
            return []
        own = None if self.origin is None else self.origin.chain
        others = [section for section in Settings.load(first.folder / CONFIG).evm if section.chain != own]
        return [evm_block(section.chain, section.urls) for section in others]

    def _bitcoin(self) -> dict[str, Any]:
        node = self.bitcoind
        credentials = {"user": node.user, "password": node.password}
        return {"network": "regtest", "url": node.url, **credentials, "zmq": node.zmq_hashblock}

    def _native(self, deployment: str) -> dict[str, Any]:
        return {"url": self.anvil.url, "deployment": deployment}

    async def _make_folders(self) -> None:
        fresh = [node for node in self.nodes if not node.exists]
        if fresh:
            self._progress(f"making keys for {self.plan.storemen} storemen and {self.plan.vouchers} vouchers")
        for node in fresh:
            database = "sqlite:///node.db"
            if self.postgres is not None:
                name = node.name.replace("-", "_")
                await self.postgres.drop_database(name)  # of a start that was cut short
                database = (await self.postgres.create_database(name)).replace("+asyncpg", "")
            native = self._native("../deployment.json")
            await asyncio.to_thread(node.create, self._bitcoin(), native, database)
        if self.origin is not None:
            for node in self.nodes:
                self.origin.configure(node.folder / CONFIG)

    async def _contracts(self, stack: AsyncExitStack) -> tuple[NativeChain, TxSender]:
        """The contracts, deployed where they are not, and the owner's account."""
        from adapters.evm.rpc import EvmRpc
        from adapters.native.chain import NativeChain
        from adapters.native.deploy import DEFAULT_TERMS, deploy
        from adapters.native.deployment import Deployment
        from adapters.native.errors import typed_revert
        from cli.founding import register_bitcoin

        rpc = await stack.enter_async_context(EvmRpc(self.anvil.url, reverted=typed_revert))
        if not self.owner_key.exists():
            write_durably(self.owner_key, secrets.token_hex(32).encode())
        owner = await self._sender(stack, rpc, self.owner_secret)
        if not self._deployment_file.exists():
            self._progress("deploying the contracts")
            await self._fund(owner.account, _OWNER_FUNDS)
            (await deploy(rpc, owner, replace(DEFAULT_TERMS, minimum_stake=_STAKE))).save(self._deployment_file)
        self.deployment = Deployment.load(self._deployment_file)
        native = NativeChain(rpc, self.deployment)
        await native.check()
        if await register_bitcoin(native, owner, self.network().network, _dev_asset_policy()):
            self._progress("registered bitcoin (regtest) and its asset")
        return native, owner

    async def _people(self, native: NativeChain, owner: TxSender) -> None:
        """Vouchers admitted and joined, and the group proposed; what was done before is left alone."""
        from cli.founding import admit, join, proposals, propose

        chain = self.network().chain
        joined = {voucher.member.account for voucher in (await native.vouchers("latest")).vouchers}
        public = {node.name: node.public.member for node in self.nodes}
        new = [node for node in self.vouchers if public[node.name].account not in joined]
        proposed = await proposals(native, chain)
        if not new and proposed:
            return
        await asyncio.gather(*(self._fund(member.account, _NODE_FUNDS) for member in public.values()))
        if new:
            self._progress(f"admitting {len(new)} vouchers, each with a stake of 1")
            await asyncio.gather(*(admit(native, owner, public[node.name].account) for node in new))
        for node in new:  # one after the other, so that their numbers are those of their names
            identity = await asyncio.to_thread(node.identity)
            async with AsyncExitStack() as stack:
                sender = await self._sender(stack, native.rpc, identity.account_secret)
                await join(native, sender, public[node.name], _STAKE)
        if not proposed:
            self._progress(f"proposing the group: {self.plan.threshold} of {self.plan.storemen} sign")
            members = [public[node.name] for node in self.storemen]
            await propose(native, owner, chain, self.plan.threshold, members)

    async def _run_nodes(self) -> None:
        """Start the nodes that do not run, and wait until they do. Raises `StartFailed`, `TimedOut`."""
        starting = [node for node in self.nodes if not node.is_running]
        if not starting:
            self._progress("all nodes run")
            return
        self._progress(f"starting {len(starting)} nodes")
        # The storemen first: while the vouchers start, they make their key.
        for part in (self.storemen, self.vouchers):
            await asyncio.gather(*(node.start() for node in part))
            await asyncio.gather(*(self._until_up(node) for node in part))
        self._progress("all nodes run")

    async def _until_up(self, node: DevNode) -> None:
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        while not await node.is_up():
            self._check_running()
            if asyncio.get_running_loop().time() > deadline:
                raise TimedOut(f"{node.name} is not up", _READY_SECONDS, f"look at {node.process.log}")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _until_active(self, native: NativeChain) -> None:
        """Wait until the newest group has its key."""
        from cli.founding import proposals, until_active

        async def check(_: object) -> None:
            self._check_running()

        newest = (await proposals(native, self.network().chain))[-1]
        self._progress("waiting for the storemen to make their key")
        self.group = await until_active(native, newest, _READY_SECONDS, check)

    @asynccontextmanager
    async def _registering(self, native: NativeChain, owner: TxSender) -> AsyncIterator[None]:
        """Make the EVM origin chain one of the bridge's chains, while what is inside goes on. Raises as `register`."""
        if self.origin is None:
            yield
            return
        members = tuple(node.public.member for node in self.storemen)
        await self.origin.fund([owner.account, *(member.account for member in members)], self.anvil)
        bitcoin, threshold = self.network().chain, self.plan.threshold
        work = self.origin.register(
            native, owner, self.owner_secret, bitcoin, members, threshold, self._progress, _READY_SECONDS
        )
        task = asyncio.create_task(work, name="registering the EVM chain")
        try:
            yield
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _check_running(self) -> None:
        """Raises `StartFailed` for a node that has ended."""
        for node in self.nodes:
            if node.was_started and not node.is_running:
                raise StartFailed(node.name, node.process.status, node.log_tail())

    async def _sender(self, stack: AsyncExitStack, rpc: Any, secret: bytes) -> TxSender:
        from adapters.evm.fees import FeePolicy
        from adapters.evm.flight import SenderPolicy
        from adapters.evm.journal import VolatileJournal
        from adapters.evm.sender import TxSender

        policy = SenderPolicy(fees=FeePolicy(), poll_seconds=0.02)
        sender = TxSender(rpc, VolatileJournal(), secret, self.anvil.chain_id, policy)
        return await stack.enter_async_context(sender)

    async def _fund(self, account: bytes, amount: Wei) -> None:
        await self.anvil.faucet("0x" + account.hex(), amount)

    def _postgres(self, detached: bool) -> Postgres | None:
        if self.plan.database != "postgresql":
            return None
        from infra.postgres import Postgres

        return Postgres(self.folder / "postgres", detached=detached)

    def _keep_plan(self) -> None:
        """Write the plan at the first start. Raises `BadInput` where the folder holds another network."""
        kept = kept_plan(self.folder)
        if kept is None:
            write_durably(self._plan_file, (json.dumps(asdict(self.plan), indent=2) + "\n").encode(), mode=0o644)
            return
        for name, value in asdict(kept).items():
            if getattr(self.plan, name) != value:
                cure = "begin anew with causeway dev down --remove"
                raise BadInput(f"--{name.replace('_', '-')}", f"the network in {self.folder} has {value}", cure)


def _import_adapters() -> None:
    for name in ("adapters.native.chain", "bridge.storage", "cli.chain_registering", "cli.founding", "mpc.keystore"):
        import_module(name)


def _dev_asset_policy() -> AssetPolicy:
    from registry.assets import AssetPolicy

    return AssetPolicy(TokenUnits(10_000), TokenUnits(2_000), TokenUnits(10_000))
