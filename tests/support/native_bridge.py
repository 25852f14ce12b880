"""A bridge on a real EVM node, with an owner, storemen and vouchers whose keys the tests have."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from coincurve import PrivateKey

from adapters.evm.flight import SenderPolicy, TxResult
from adapters.evm.journal import VolatileJournal
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.evm.types import Call
from adapters.native.chain import NativeChain
from adapters.native.deploy import deploy
from adapters.native.eip712 import account_of_secret, by_signer, sign_digest
from adapters.native.errors import typed_revert
from adapters.native.events import GroupProposed, NativeEvent
from adapters.native.proofs import group_proof
from adapters.native.types import BondTerms
from foundation.quantities import BlockHeight, TokenUnits, Wei
from infra.anvil import Anvil
from registry.assets import Asset, AssetPolicy
from registry.caip import AssetType
from registry.chains import Chain
from registry.groups import Member

ETHER = 10**18
STAKE = Wei(ETHER)
TERMS = BondTerms(STAKE, unbonding_seconds=1_000, slash_bps=5_000, reward_bps=1_000)
POLICY = AssetPolicy(TokenUnits(10_000), TokenUnits(1_000), TokenUnits(5_000))
ASSET = Asset.named(
    AssetType.parse("bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:1"), "Regtest Bitcoin", "BTC", 8, POLICY
)
GENESIS = bytes(range(32))
CHAIN = Chain.named(AssetType.parse(ASSET.caip19).chain, GENESIS, 1)
GROUP_KEY = PrivateKey(bytes(31) + b"\x77")


def address(account: bytes) -> str:
    """An account as the node's own tools want it."""
    return "0x" + account.hex()


def member(secret: bytes, port: int) -> Member:
    """The identity of the node whose account key is `secret`."""
    return Member(account_of_secret(secret), PrivateKey(secret).public_key.format(), secret, f"tcp://127.0.0.1:{port}")


@dataclass
class NativeBridge:
    """A deployed bridge. `storemen` and `vouchers` are account keys; `receipts` all that was sent, in order."""

    anvil: Anvil
    rpc: EvmRpc
    chain: NativeChain
    owner: TxSender
    storemen: tuple[bytes, ...]
    vouchers: tuple[bytes, ...]
    stack: AsyncExitStack
    group: bytes = b""
    sent: int = 0

    async def send(self, call: Call, sender: TxSender | None = None) -> TxResult:
        """Send a call once, by the owner if nobody else is named."""
        self.sent += 1
        return await (sender or self.owner).send(call, f"test {self.sent}")

    async def events_of(self, call: Call, sender: TxSender | None = None) -> tuple[NativeEvent, ...]:
        """Send a call, and return its events."""
        return self.chain.decoded((await self.send(call, sender)).receipt.logs)

    async def account(self, secret: bytes | None = None) -> TxSender:
        """A running sender with 10 ether, of a new account if none is named."""
        key = secret or secrets.token_bytes(32)
        await self.anvil.faucet(address(account_of_secret(key)), Wei(10 * ETHER))
        sender = TxSender(self.rpc, VolatileJournal(), key, self.anvil.chain_id)
        return await self.stack.enter_async_context(sender)

    async def finality(self) -> BlockHeight:
        """Make all that was mined final; the final block's number."""
        await self.anvil.mine(2)
        return (await self.chain.finalized_block()).number

    async def pass_time(self, seconds: int) -> None:
        """Let the chain's clock run ahead; the next blocks are so much later."""
        await self.anvil.rpc.call("evm_increaseTime", seconds)
        await self.anvil.mine()

    def signed(self, digest: bytes, keys: Iterable[bytes]) -> tuple[bytes, ...]:
        """The signatures of several keys over a digest, in the contracts' order."""
        return by_signer({account_of_secret(key): sign_digest(key, digest) for key in keys})

    async def set_up(self) -> None:
        """Register chain and asset, propose and activate a group, and let the vouchers join."""
        calls = self.chain.calls
        await self.send(calls.register_chain(CHAIN))
        await self.send(calls.register_asset(ASSET))
        self.group = await self.found_group(ASSET.chain)
        for index, secret in enumerate(self.vouchers):
            await self.send(calls.admit_voucher(account_of_secret(secret)))
            named = member(secret, 8_000 + index)
            join = calls.join_vouchers(named.host_key, named.transport_key, named.endpoint, STAKE)
            await self.send(join, await self.account(secret))

    async def found_group(self, chain: bytes, key: PrivateKey = GROUP_KEY) -> bytes:
        """Propose the storemen as the group of a chain, and activate it with a key."""
        members = [member(secret, 7_000 + index) for index, secret in enumerate(self.storemen)]
        proposal = self.chain.calls.propose_group(chain, len(members) // 2 + 1, members)
        (proposed,) = await self.events_of(proposal)
        assert isinstance(proposed, GroupProposed)
        await self.send(self.activation(key, proposed.id))
        return proposed.id

    def activation(self, key: PrivateKey = GROUP_KEY, group: bytes | None = None) -> Call:
        """The call that gives a group, the bitcoin chain's if none is named, its key."""
        group = group or self.group
        x_only = key.public_key.format()[1:]
        message = self.chain.group_proof_message(group, 0, x_only)
        digest = self.chain.registry_digests.group_key(group, 0, x_only)
        order = sorted(range(len(self.storemen)), key=lambda index: account_of_secret(self.storemen[index]))
        confirmations = [(index, sign_digest(self.storemen[index], digest)) for index in order]
        proof = group_proof(key.sign_schnorr(message), x_only, message)
        return self.chain.calls.activate_group(group, x_only, proof, confirmations)


@asynccontextmanager
async def native_bridge(anvil: Anvil, policy: SenderPolicy | None = None) -> AsyncIterator[NativeBridge]:
    """Deploy a bridge of one's own on `anvil`; nothing is registered yet."""
    async with AsyncExitStack() as stack:
        rpc = await stack.enter_async_context(EvmRpc(anvil.url, reverted=typed_revert))
        secret = secrets.token_bytes(32)
        await anvil.faucet(address(account_of_secret(secret)), Wei(100 * ETHER))
        owner = TxSender(rpc, VolatileJournal(), secret, anvil.chain_id, policy)
        await stack.enter_async_context(owner)
        deployment = await deploy(rpc, owner, TERMS)
        storemen, vouchers = (tuple(secrets.token_bytes(32) for _ in range(3)) for _ in range(2))
        yield NativeBridge(anvil, rpc, NativeChain(rpc, deployment), owner, storemen, vouchers, stack)
