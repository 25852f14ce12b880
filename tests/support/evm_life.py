"""What people do with a bridge to EVM chains, and what can be seen of it: locks, withdrawals, reserves, fees."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.evm.sender import TxSender
from adapters.native.events import WithdrawalRequested
from bridge.codec import decode_deposit
from bridge.deposits import Deposit, Stage
from bridge.storage import IncidentKind, ReleaseOutcome, ReleaseRow
from foundation.quantities import BlockHeight, TokenUnits
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from registry.assets import Asset
from registry.caip import AssetType, lockbox_asset
from tests.support.bridge_life import Life
from tests.support.bridge_network import BridgeNetwork, BridgeNode, eventually
from tests.support.evm_network import evm_network
from tests.support.evm_origin import Deposited, EvmChain, send

_LOOK_S = 0.25


@dataclass
class EvmLife(Life):
    """One bridge with EVM origin chains, and the people around it."""

    chains: list[EvmChain] = field(default_factory=list)

    @classmethod
    async def on(cls, net: BridgeNetwork, chains: list[EvmChain]) -> EvmLife:
        """The life of a network."""
        return cls(net, await net.bitcoind.wallet("evm-" + secrets.token_hex(4)), chains=chains)

    @property
    def chain(self) -> EvmChain:
        """The first chain."""
        return self.chains[0]

    async def lock_of(self, deposited: Deposited, node: BridgeNode) -> Deposit | None:
        """A lock as a node sees it."""
        async with node.view() as view:
            row = await view.transfers.get(deposited.id)
        return None if row is None else decode_deposit(row)

    async def becomes(self, deposited: Deposited, *stages: Stage, nodes: Sequence[BridgeNode] | None = None) -> Deposit:
        """Wait until all running nodes (or `nodes`) see the deposit in one of `stages`."""
        found: Deposit | None = None
        for node in self.running if nodes is None else nodes:

            async def reached(node: BridgeNode = node) -> Deposit | None:
                deposit = await self.lock_of(deposited, node)
                return deposit if deposit is not None and deposit.stage in stages else None

            found = await eventually(reached, f"the deposit is {stages} on {node.name}")
        assert found is not None
        return found

    async def held(
        self, chain: EvmChain, sender: TxSender, amount: int, recipient: bytes, token: bytes = NATIVE_COIN
    ) -> Deposited:
        """A lock of which every node knows that it is minted."""
        deposited = await chain.lock(sender, amount, recipient, token)
        await self.becomes(deposited, Stage.HELD)
        return deposited

    async def tokens(self, asset: bytes, account: bytes) -> int:
        """Mapping tokens of an account, in the newest block."""
        token = await self.net.native.token_of(asset, "latest")
        return 0 if token is None else await self.net.native.token_balance(token, account)

    async def supply(self, asset: bytes) -> int:
        """All mapping tokens of an asset, in the newest block."""
        return await self.net.native.supply(asset, "latest")

    async def to_chain(self, owner: TxSender, asset: bytes, amount: int, payee: bytes, relay_fee: int) -> bytes:
        """Lock tokens on the Hub for a payment on an EVM chain; the withdrawal's id."""
        native = self.net.native
        token = await native.token_of(asset, "latest")
        assert token is not None
        await send(owner, native.calls.approve(token, TokenUnits(amount)))
        result = await send(owner, native.calls.withdraw(asset, TokenUnits(amount), TokenUnits(relay_fee), payee))
        (event,) = [e for e in native.decoded(result.receipt.logs) if isinstance(e, WithdrawalRequested)]
        return event.id

    async def released(
        self, chain: EvmChain, number: int, *outcomes: ReleaseOutcome, nodes: Sequence[BridgeNode] | None = None
    ) -> ReleaseRow:
        """Wait until all running nodes (or `nodes`) know what became of a number."""
        row: ReleaseRow | None = None
        for node in self.running if nodes is None else nodes:

            async def known(node: BridgeNode = node) -> ReleaseRow | None:
                async with node.view() as view:
                    found = await view.releases.get(chain.chain.id, number)
                return found if found is not None and found.outcome in outcomes else None

            row = await eventually(known, f"number {number} is {outcomes} on {node.name}")
        assert row is not None
        return row

    async def number_of(self, withdrawal: bytes) -> int:
        """The number of a withdrawal."""
        record = await self.net.native.withdrawal(withdrawal, "latest")
        assert record is not None
        return record.number

    async def settled_block(self) -> BlockHeight:
        """The native chain's last block but one: anvil answers for the newest one while it makes the next."""
        return BlockHeight((await self.net.native.latest_block()).number - 1)

    async def owed(self, asset: bytes) -> int:
        """All tokens that exist, and the fees that the Hub will mint."""
        at = await self.settled_block()
        return await self.net.native.supply(asset, at) + await self.net.native.pending_total(asset, at)

    async def shortage(self) -> str:
        """What of the tokens in people's hands is not backed by the vaults, in words; nothing where all is.

        What the Hub holds was asked back already: a vault may have paid it before it is burnt.
        """
        native, hub = self.net.native, self.net.deployment.hub
        for chain in self.chains:
            for asset in [a for a in await native.assets("latest") if a.chain == chain.chain.id]:
                at = await self.settled_block()
                token = await native.token_of(asset.id, at)
                if token is None:
                    continue
                supply, pending = await native.supply(asset.id, at), await native.pending_total(asset.id, at)
                owed = supply + pending - await native.token_balance(token, hub, at)
                held = await chain.held(vault_name(asset))
                if held < owed:
                    return f"{asset.caip19}: {held} in the vault, {owed} owed"
        return ""

    @contextlib.asynccontextmanager
    async def always_backed(self) -> AsyncIterator[None]:
        """Look at reserves and supply all the time meanwhile, and once more at the end."""
        looks: list[str] = []

        async def watch() -> None:
            while True:
                looks.append(await self.shortage())
                await asyncio.sleep(_LOOK_S)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        looks.append(await self.shortage())
        assert len(looks) > 1
        assert not any(looks), [look for look in looks if look]

    async def no_alarm(self) -> None:
        """No node has raised an alarm."""
        for node in self.net.nodes:
            async with node.view() as view:
                found = [i for i in await view.incidents.latest() if i.kind is IncidentKind.ALARM]
            assert not found, f"{node.name}: {found}"


def vault_name(asset: Asset) -> bytes:
    """How a vault names an asset."""
    return lockbox_asset(AssetType.parse(asset.caip19))


@contextlib.asynccontextmanager
async def evm_life(
    root: Path, bitcoind: Bitcoind, anvil: Anvil, origins: Sequence[Anvil], **options: object
) -> AsyncIterator[EvmLife]:
    """The life of a network that serves these origin chains; see `evm_network`."""
    async with evm_network(root, bitcoind, anvil, origins, **options) as (net, chains):
        yield await EvmLife.on(net, chains)
