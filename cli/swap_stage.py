"""The swap demo's stage: two people, each with a bitcoin node and a wallet of their own, and a chain with an Escrow."""

from __future__ import annotations

import asyncio
import re
import secrets
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TypeVar

from adapters.evm.escrow.deploy import deploy_escrow
from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import VolatileJournal
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.native.eip712 import account_of_secret
from cli.exits import TimedOut
from cli.swap_folder import WALLET_NAME
from foundation.quantities import Satoshi, Wei
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind, Wallet
from infra.ports import free_port
from infra.processes import Process
from settlement.swap.engine.runtime import open_store
from settlement.swap.engine.settings import load_settings
from settlement.swap.store.store import SwapRow, SwapStore
from settlement.swap.wallet.secrets import TraderKeys
from settlement.swap.wallet.wallet_file import open_wallet

COIN: Final = 100_000_000
ETHER: Final = 10**18
STEP_SECONDS: Final = 300.0
"""Until a step counts as never done: far more than it takes, because some machines are slow."""
_LOOK_SECONDS: Final = 0.1
_POLICY: Final = SenderPolicy(poll_seconds=0.05, tend_seconds=0.5)
_LINK: Final = re.compile(r"causeway-swap:[a-z2-7]+")
T = TypeVar("T")


@dataclass
class Trader:
    """One of the two. Fields: name; folder; node, wallet (bitcoin); keys; process (the running command)."""

    name: str
    folder: Path
    node: Bitcoind
    wallet: Wallet
    password: Path
    process: Process | None = None
    keys: TraderKeys = field(init=False)

    def open(self) -> None:
        """Read the words that `swap init` made."""
        self.keys = TraderKeys(open_wallet(self.folder / WALLET_NAME, self.password.read_text()))

    def command(self, *arguments: str) -> list[str]:
        """A `causeway swap` command of this person's."""
        options = ["--folder", str(self.folder), "--password-file", str(self.password)]
        return [sys.executable, "-m", "cli.main", "swap", *arguments, *options]

    async def run(self, *arguments: str) -> str:
        """Run a command to its end; what it printed. Raises `RuntimeError` where it fails."""
        process = await asyncio.create_subprocess_exec(
            *self.command(*arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, problem = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{self.name}: swap {arguments[0]}: {problem.decode()}")
        return output.decode()

    async def begin(self, *arguments: str) -> None:
        """Start a command that goes on."""
        log = self.folder / f"{arguments[0]}.log"
        self.process = Process(f"{self.name}'s swap", self.command(*arguments), log=log, env={"COLUMNS": "100"})
        await self.process.start()

    @property
    def told(self) -> str:
        """What the running command has printed."""
        return "" if self.process is None else self.process.log.read_text(errors="replace")

    def link(self) -> str | None:
        """The offer that the running command has made."""
        found = _LINK.search(self.told)
        return None if found is None else found.group()

    async def swap(self) -> SwapRow | None:
        """This person's newest swap."""
        if not (self.folder / "swap.db").exists():
            return None
        async with open_store(self.folder) as database, database.view() as view:
            rows = await SwapStore(view.connection).swaps()
        return rows[-1] if rows else None

    async def satoshi(self) -> int:
        """What the bitcoin wallet has."""
        return int(await self.wallet.balance())


class Stage:
    """Use as `async with`. `progress` is told what is being started."""

    def __init__(self, folder: Path, progress: Callable[[str], None]) -> None:
        self.folder = folder
        self._progress = progress
        self.chain = Anvil(folder / "chain", block_seconds=1.0)
        self._peer_port = free_port()
        self.nodes = (Bitcoind(folder / "bitcoin-alice", peer_port=self._peer_port), Bitcoind(folder / "bitcoin-bob"))
        self.escrow = b""
        self.start = 0
        self.alice: Trader
        self.bob: Trader
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._progress("two bitcoin nodes and an EVM chain")
            for node in (*self.nodes, self.chain):
                stack.push_async_callback(node.stop)
            await asyncio.gather(self.chain.start(), *(node.start() for node in self.nodes))
            await self.nodes[1].rpc.call("addnode", f"127.0.0.1:{self._peer_port}", "add")
            self._progress("the contract Escrow")
            await self._deploy()
            self.alice = await self._trader("alice", self.nodes[0])
            self.bob = await self._trader("bob", self.nodes[1])
            stack.push_async_callback(self._end_commands)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()

    async def fund(self, trader: Trader, satoshi: int, wei: int) -> None:
        """Give somebody money, confirmed on both chains."""
        if satoshi:
            await self.nodes[0].faucet(await trader.wallet.address(), Satoshi(satoshi))
            await self.mine()
        await self.chain.faucet("0x" + trader.keys.account.hex(), Wei(wei))

    async def mine(self) -> None:
        """A bitcoin block, which both nodes have then."""
        await self.nodes[0].mine()
        height = await self.nodes[0].height()

        async def same() -> bool:
            return await self.nodes[1].height() == height

        await until(same, "both bitcoin nodes have the block")

    async def mine_if_asked(self) -> None:
        """A block where a transaction waits for one."""
        if await self.nodes[0].rpc.call("getrawmempool"):
            await self.mine()

    async def ether(self, trader: Trader) -> int:
        """What somebody's EVM account has, in wei."""
        async with EvmRpc(self.chain.url) as rpc:
            return int(await rpc.balance(trader.keys.account))

    async def init(self, trader: Trader) -> None:
        """`causeway swap init` with the person's own node."""
        password = trader.folder.parent / f"{trader.name}.rpc"
        password.write_text(trader.node.password)
        options = {
            "--escrow": "0x" + self.escrow.hex(),
            "--escrow-start": str(self.start),
            "--bitcoin-url": trader.node.url,
            "--bitcoin-wallet": trader.wallet.name,
            "--bitcoin-user": trader.node.user,
            "--bitcoin-password-file": str(password),
            "--bitcoin-zmq": trader.node.zmq_hashblock,
            "--evm-url": self.chain.url,
            "--poll-seconds": "0.2",
        }
        await trader.run("init", *(part for pair in options.items() for part in pair), "--json")
        load_settings(trader.folder)
        trader.open()

    async def _deploy(self) -> None:
        secret = secrets.token_bytes(32)
        await self.chain.faucet("0x" + account_of_secret(secret).hex(), Wei(10**20))
        number = self.chain.chain_id
        async with EvmRpc(self.chain.url) as rpc, TxSender(rpc, VolatileJournal(), secret, number, _POLICY) as sender:
            self.escrow, self.start = await deploy_escrow(sender)

    async def _trader(self, name: str, node: Bitcoind) -> Trader:
        password = self.folder / f"{name}.password"
        password.write_text(secrets.token_hex(16))
        wallet = await node.wallet(name)
        return Trader(name, self.folder / name, node, wallet, password)

    async def _end_commands(self) -> None:
        for trader in (self.alice, self.bob):
            if trader.process is not None:
                await trader.process.stop()


async def until(look: Callable[[], Awaitable[T | None]], what: str, seconds: float = STEP_SECONDS) -> T:
    """Look again and again until there is something. Raises `TimedOut`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        found = await look()
        if found:
            return found
        if asyncio.get_running_loop().time() > deadline:
            raise TimedOut(what, seconds)
        await asyncio.sleep(_LOOK_SECONDS)
