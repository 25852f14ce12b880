"""An EVM origin chain in tests, as people use it: accounts, locks, tokens, and what its vault holds."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak
from vyper.cli.vyper_compile import compile_files  # type: ignore[import-untyped]  # vyper ships no types

from adapters.evm.abi import encode_values
from adapters.evm.endpoints import Endpoints
from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderPolicy, TxResult
from adapters.evm.journal import VolatileJournal
from adapters.evm.lockbox.calls import LockboxCalls
from adapters.evm.lockbox.errors import typed_revert
from adapters.evm.lockbox.events import Locked, decode_event
from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.evm.lockbox.vault import LockboxVault
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.evm.types import Call
from adapters.native.eip712 import account_of_secret
from foundation.quantities import BlockHeight, TokenUnits
from infra.rpc import JsonRpc
from mpc.curve import tagged_hash
from registry.assets import Asset
from registry.caip import ChainId, erc20
from registry.chains import Chain, Vault
from registry.ids import deposit_id
from tests.support.bridge_network import ETHER, BridgeNetwork

SOURCES = Path(__file__).parent / "vyper"
QUICK = SenderPolicy(fees=FeePolicy(), poll_seconds=0.02)


@dataclass(frozen=True, slots=True)
class Deposited:
    """A lock as its sender knows it. Fields: id (the deposit's); asset; token; locked (the vault's event)."""

    id: bytes
    asset: bytes
    token: bytes
    locked: Locked

    @property
    def amount(self) -> int:
        """What arrived, in base units."""
        return self.locked.amount


@dataclass
class EvmChain:
    """An origin chain as people use it. Fields: chain, coin, vault (as registered); url; rpc; senders (by account)."""

    chain: Chain
    coin: Asset
    vault: Vault
    url: str
    rpc: EvmRpc
    endpoints: Endpoints
    senders: dict[bytes, TxSender] = field(default_factory=dict)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, net: BridgeNetwork, name: str, url: str) -> AsyncIterator[EvmChain]:
        """The chain at a node's URL, as the Registry has it."""
        chain = await net.native.chain_by_text(name, "latest")
        assert chain is not None
        vault = await net.native.vault(chain.id, "latest")
        assert vault is not None
        (coin,) = [a for a in await net.native.assets("latest") if a.chain == chain.id and "slip44" in a.caip19]
        async with (
            EvmRpc(url, reverted=typed_revert) as rpc,
            Endpoints.at([url], chain, reverted=typed_revert) as endpoints,
        ):
            opened = cls(chain, coin, vault, url, rpc, endpoints)
            try:
                yield opened
            finally:
                for sender in opened.senders.values():
                    await sender.close()

    @property
    def node(self) -> JsonRpc:
        """The node's own interface."""
        return JsonRpc(self.chain.caip2, self.url)

    @property
    def calls(self) -> LockboxCalls:
        """Calls to its vault."""
        return LockboxCalls(self.vault.lockbox)

    @property
    def reads(self) -> LockboxVault:
        """Reads of its vault."""
        return LockboxVault(self.endpoints, self.vault.lockbox)

    async def account(self, label: str) -> TxSender:
        """An account of a person, with coin; on the native chain it is the same one."""
        secret = tagged_hash("test account", label.encode())
        account = account_of_secret(secret)
        if account not in self.senders:
            await self.set_balance(account, 1_000 * ETHER)
            self.senders[account] = await self.sender(secret).start()
        return self.senders[account]

    def sender(self, secret: bytes) -> TxSender:
        """Sends for the account of a key (32 bytes); to be started and closed."""
        return TxSender(self.rpc, VolatileJournal(), secret, int(self.chain.caip2.partition(":")[2]), QUICK)

    async def set_balance(self, account: bytes, amount: int) -> None:
        """Let an account have so much coin."""
        await self.node.call("anvil_setBalance", "0x" + account.hex(), hex(amount))

    async def balance(self, account: bytes, token: bytes = NATIVE_COIN) -> int:
        """What an account has now."""
        if token == NATIVE_COIN:
            return await self.rpc.balance(account)
        data = encode_call("balanceOf(address)", ["address"], [account])
        return int.from_bytes(await self.rpc.call(Call(token, data, "balanceOf")), "big")

    async def held(self, token: bytes = NATIVE_COIN) -> int:
        """What the vault has now."""
        return await self.balance(self.vault.lockbox, token)

    async def height(self) -> BlockHeight:
        """The number of the newest block."""
        (block,) = await self.rpc.blocks(["latest"])
        assert block is not None
        return block.number

    def asset(self, token: bytes = NATIVE_COIN) -> bytes:
        """The id of an asset of this chain."""
        return self.coin.id if token == NATIVE_COIN else erc20(ChainId.parse(self.chain.caip2), token).id

    async def lock(self, sender: TxSender, amount: int, recipient: bytes, token: bytes = NATIVE_COIN) -> Deposited:
        """Lock an amount for a recipient on the native chain; the block is mined."""
        if token != NATIVE_COIN:
            await send(sender, self.calls.approve(token, TokenUnits(amount)))
        result = await send(sender, self.calls.lock(token, TokenUnits(amount), recipient))
        logs = [log for log in result.receipt.logs if log.address == self.vault.lockbox]
        (locked,) = [event for event in map(decode_event, logs) if isinstance(event, Locked)]
        asset = self.asset(token)
        return Deposited(deposit_id(asset, locked.id, 0), asset, token, locked)

    async def deploy(
        self, sender: TxSender, source: str, types: Sequence[str] = (), values: Sequence[Any] = ()
    ) -> bytes:
        """Deploy one of the tests' contracts; its address."""
        code = await asyncio.to_thread(compiled, source)
        arguments = encode_values(list(types), list(values), source) if types else b""
        result = await send(sender, Call(None, code + arguments, f"deploy {source}"))
        assert result.receipt.contract is not None
        return result.receipt.contract

    async def tell(self, sender: TxSender, contract: bytes, signature: str, *values: Any) -> TxResult:
        """Call a function of one of the tests' contracts, named with its types: `give(address,uint256)`."""
        types = [part for part in signature.partition("(")[2].removesuffix(")").split(",") if part]
        return await send(sender, Call(contract, encode_call(signature, types, values), signature))


async def send(sender: TxSender, call: Call) -> TxResult:
    """Send, once for each time that this is called."""
    return await sender.send(call, f"{call.label} {secrets.token_hex(8)}")


def encode_call(signature: str, types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Call data of a function that is named with its types."""
    return keccak(signature.encode())[:4] + encode_values(list(types), list(values), signature)


@lru_cache(maxsize=4)
def compiled(source: str) -> bytes:
    """The creation code of one of the tests' contracts."""
    (output,) = compile_files([str(SOURCES / f"{source}.vy")], ["bytecode"]).values()
    return bytes.fromhex(output["bytecode"].removeprefix("0x"))
