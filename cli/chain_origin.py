"""An EVM chain while it is being registered: what its endpoints say of it, and the deployment of its vault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from adapters.evm.abi import encode_values
from adapters.evm.endpoint import Endpoint, distinct
from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import BadAnswer, InsufficientBalance, NodeUnavailable, WrongChain
from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderPolicy, TxResult
from adapters.evm.lockbox.errors import typed_revert
from adapters.evm.lockbox.vault import LockboxVault
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.evm.types import Call
from adapters.native.ports import Sender
from cli.exits import TimedOut
from contracts import artifacts
from foundation.errors import Retryable
from foundation.quantities import BlockHeight, UnixMs, Wei
from registry.caip import ChainId, chain_number
from registry.chains import Chain

if TYPE_CHECKING:
    from bridge.storage import Database

_LOOK_SECONDS: Final = 0.25
_LOOK_SECONDS_MOST: Final = 5.0


class DurableSender(Sender, Protocol):
    """A sender whose journal outlives the command."""

    async def is_used_up(self, key: str) -> bool:
        """Whether what was sent under `key` is final and had no effect."""
        ...


class NoGasOnChain(Retryable):
    """The account has too little of the chain's coin to deploy the vault. Fields: account (20 bytes); chain; cure."""

    def __init__(self, account: bytes, chain: str, problem: str) -> None:
        self.account = account
        self.chain = chain
        self.cure = f"send 0x{account.hex()} some of the coin of {chain}, and give the same command again"
        super().__init__(f"0x{account.hex()} cannot pay for the vault's deployment on {chain}: {problem}")


class Origin(Protocol):
    """What registering a chain asks of it."""

    async def genesis(self) -> bytes:
        """The hash of its first block, on which all endpoints agree."""
        ...

    async def deploy_lockbox(
        self, chain: Chain, key: bytes, guardian: bytes, window_seconds: int
    ) -> tuple[bytes, BlockHeight]:
        """The Lockbox of a group's key, deployed once and final: its address and its block."""
        ...

    async def check_lockbox(self, chain: Chain, lockbox: bytes, key: bytes) -> None:
        """Make sure that the contract there is ours and obeys the key."""
        ...


class EvmOrigin:
    """The chain through its endpoints, none of which is believed; see `Origin`. `open_origin` makes one."""

    def __init__(
        self, name: ChainId, endpoints: Sequence[Endpoint], sender: DurableSender, rpc: EvmRpc, timeout_seconds: float,
        tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        """`sender`, `rpc`: the deploying account, over the first endpoint; `tell`: told of what is waited for."""
        self._name = name
        self._plain = distinct(endpoints)
        self._sender = sender
        self._rpc = rpc
        self._timeout_seconds = timeout_seconds
        self._tell = tell

    async def genesis(self) -> bytes:
        """See `Origin`.

        Raises:
            WrongChain: an endpoint has another number, or another genesis block than the first one.
            FalseHeader: a block does not hash to its hash.
            What `Endpoint` raises.
        """
        found: bytes | None = None
        for endpoint in self._plain:
            number = await endpoint.rpc.chain_id()
            if number != chain_number(self._name):
                raise WrongChain("chain id", self._name.reference, str(number), endpoint.name)
            (header,) = await endpoint.headers([BlockHeight(0)])
            if header is None:
                raise NodeUnavailable("eth_getBlockByNumber", f"{endpoint.name} has no genesis block")
            if found is not None and header.hash != found:
                raise WrongChain("genesis block", found.hex(), header.hash.hex(), endpoint.name)
            found = header.hash
        assert found is not None, "there is an endpoint"
        return found

    async def deploy_lockbox(
        self, chain: Chain, key: bytes, guardian: bytes, window_seconds: int
    ) -> tuple[bytes, BlockHeight]:
        """See `Origin`.

        Raises:
            NoGasOnChain: the account cannot pay.
            TimedOut: the deployment is not final in time; it is waited for again by the same call.
            ArtifactUnavailable: the contracts are not built.
            What `TxSender.send` and `Endpoints` raise.
        """
        arguments = encode_values(["bytes32", "address", "uint256"], [key, guardian, window_seconds], "lockbox")
        call = Call(None, artifacts.load("Lockbox").bytecode + arguments, "deploy Lockbox")
        # The same arguments are the same deployment, for ever: a second vault of one group would be a mistake.
        name = f"lockbox:{key.hex()}:{guardian.hex()}:{window_seconds}"
        try:
            result = await once(self._sender, call, name)
        except InsufficientBalance as error:
            raise NoGasOnChain(error.account, str(self._name), error.problem) from error
        await self._until_final(chain, result)
        (receipt,) = await self._rpc.receipts([result.transaction])
        if receipt is None:
            raise NodeUnavailable("eth_getTransactionReceipt", "the node has lost the deployment, which was final")
        if receipt.contract is None:
            raise BadAnswer("eth_getTransactionReceipt", "contractAddress", "the deployment has none")
        return receipt.contract, receipt.block.number

    async def check_lockbox(self, chain: Chain, lockbox: bytes, key: bytes) -> None:
        """See `Origin`. Raises `NotOurLockbox`, and what `Endpoints` raises."""
        endpoints = Endpoints(self._plain, chain)
        final = await endpoints.final()
        if final is None:
            raise NodeUnavailable("eth_getBlockByNumber", "no block is final yet")
        await LockboxVault(endpoints, lockbox).check(key, final.number)

    async def _until_final(self, chain: Chain, result: TxResult) -> None:
        """Wait: a vault is registered once, so where it begins must not change any more."""
        endpoints = Endpoints(self._plain, chain)
        deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        pause, told = _LOOK_SECONDS, False
        while True:
            final = await endpoints.final()
            number = result.receipt.block.number
            if final is not None and final.number >= number:
                return
            if not told:
                self._tell(f"the vault is deployed in block {number:,}; waiting until that is final")
                told = True
            if asyncio.get_running_loop().time() > deadline:
                cure = "give the same command again: it goes on from here"
                raise TimedOut(f"block {number:,} of {self._name} is not final", self._timeout_seconds, cure)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LOOK_SECONDS_MOST)


async def once(sender: DurableSender, call: Call, key: str) -> TxResult:
    """Send, and where this was sent before, by an earlier run too, return what became of that.

    What was sent and can never have an effect any more is sent again. Raises as `TxSender.send`.
    """
    attempt = 1
    while await sender.is_used_up(f"{key}#{attempt}"):
        attempt += 1
    return await sender.send(call, f"{key}#{attempt}")


@asynccontextmanager
async def open_journal(path: Path) -> AsyncIterator[Database]:
    """The file in which commands keep what they sent, so that one that was interrupted can go on."""
    from bridge.storage import Database

    path.parent.mkdir(parents=True, exist_ok=True)
    async with await Database.open(f"sqlite:///{path}") as database:
        yield database


@asynccontextmanager
async def durable_sender(
    rpc: EvmRpc, database: Database, secret: bytes, chain_id: int, *, scope: str = "", cap: Wei | None = None
) -> AsyncIterator[TxSender]:
    """Sends for the account of `secret` (32 bytes), and remembers. `scope`: the chain's CAIP-2 text; "": the native."""
    from bridge.storage import DatabaseJournal
    from mpc.transport import wall_clock

    def clock() -> UnixMs:
        return wall_clock()

    policy = SenderPolicy(fees=FeePolicy() if cap is None else FeePolicy(cap=cap))
    async with TxSender(rpc, DatabaseJournal(database, clock, scope), secret, chain_id, policy) as sender:
        yield sender


@asynccontextmanager
async def open_origin(
    name: ChainId, urls: Sequence[str], secret: bytes, database: Database, timeout_seconds: float,
    tell: Callable[[str], None],
) -> AsyncIterator[EvmOrigin]:  # fmt: skip
    """The chain at these endpoints (URLs), with the deploying account's sender. Raises `BadInput`."""
    async with AsyncExitStack() as stack:
        endpoints = [Endpoint.at(url, reverted=typed_revert) for url in urls]
        for endpoint in endpoints:
            stack.push_async_callback(endpoint.close)
        rpc = await stack.enter_async_context(EvmRpc(urls[0], reverted=typed_revert))
        sender = await stack.enter_async_context(
            durable_sender(rpc, database, secret, chain_number(name), scope=str(name))
        )
        yield EvmOrigin(name, endpoints, sender, rpc, timeout_seconds, tell)
