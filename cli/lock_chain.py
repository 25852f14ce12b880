"""An EVM chain on which assets are locked, and its vault: opened only after both were held against the Registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from cli.exits import NotFound
from cli.lock_assets import number_of
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Wei

if TYPE_CHECKING:
    from adapters.evm.endpoints import Endpoints
    from adapters.evm.lockbox.calls import LockboxCalls
    from adapters.evm.lockbox.vault import LockboxVault
    from adapters.evm.rpc import EvmRpc
    from adapters.evm.sender import TxSender
    from adapters.native.chain import NativeChain
    from cli.context import NetworkFile
    from registry.chains import Chain, Vault
    from registry.groups import Group

_TIMEOUT_SECONDS: Final = 30.0

RpcOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--rpc",
        metavar="URL",
        help="A node of the asset's own chain; by default the one in the network file's [[evm]].",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Origin:
    """An EVM chain, checked. Fields: chain; vault, group (as the Registry has them); endpoints, rpc (of one node)."""

    chain: Chain
    vault: Vault
    group: Group
    endpoints: Endpoints
    rpc: EvmRpc
    reader: LockboxVault
    calls: LockboxCalls

    @property
    def number(self) -> int:
        """The chain's EIP-155 number."""
        return number_of(self.chain)

    async def latest(self) -> BlockHeight:
        """The newest block."""
        block = await self.rpc.block("latest")
        assert block is not None, "every chain has a newest block"
        return block.number

    async def gas_price(self) -> Wei:
        """What a unit of gas costs now, in wei, with what makers of blocks want."""
        from adapters.evm.fees import FeePolicy

        block = await self.rpc.block("latest")
        assert block is not None, "every chain has a newest block"
        return Wei(block.base_fee + FeePolicy().tip)


def rpc_urls(network: NetworkFile, chain: Chain, given: str | None) -> tuple[str, ...]:
    """Where a chain is reached: the option, or the network file. Raises `BadInput`."""
    if given is not None:
        return (given,)
    for section in network.settings.evm:
        if section.chain == chain.caip2:
            return section.urls
    raise BadInput(
        "--rpc", f"is missing: no node of {chain.caip2} is named", "--rpc URL, or [[evm]] in the network file"
    )


@asynccontextmanager
async def open_origin(
    network: NetworkFile, native: NativeChain, chain: Chain, rpc: str | None
) -> AsyncIterator[Origin]:
    """An EVM chain and its vault. Nothing may be sent before: a false chain or a false vault keeps what it is given.

    Raises:
        WrongChain: the node serves another chain than the Registry means, by number or genesis.
        NotOurLockbox: what is at the vault's address is no Lockbox of this bridge.
        NotFound: the chain has no vault.
        What the nodes raise.
    """
    from adapters.evm.endpoint import Endpoint
    from adapters.evm.endpoints import Endpoints
    from adapters.evm.lockbox.calls import LockboxCalls
    from adapters.evm.lockbox.errors import NotOurLockbox, typed_revert
    from adapters.evm.lockbox.vault import LockboxVault

    vault = await native.vault(chain.id, "latest")
    group = None if vault is None else await native.group(vault.group, "latest")
    if vault is None or group is None or group.key is None:
        raise NotFound(f"{chain.caip2} has no vault yet", "wait until the bridge's owner has registered it")
    nodes = [
        Endpoint.at(url, timeout_seconds=_TIMEOUT_SECONDS, reverted=typed_revert)
        for url in rpc_urls(network, chain, rpc)
    ]
    async with Endpoints(nodes, chain) as endpoints:
        await endpoints.check()
        reader, first = LockboxVault(endpoints, vault.lockbox), nodes[0].rpc
        origin = Origin(chain, vault, group, endpoints, first, reader, LockboxCalls(vault.lockbox))
        at = await origin.latest()
        try:
            await reader.check(group.key, at)
        except NotOurLockbox as error:
            # After a rotation it obeys another group's key, whom the Registry names as the one that serves.
            serving = await native.active_group(chain.id, "latest")
            successor = None if serving is None else await native.group(serving, "latest")
            if error.field != "key" or successor is None or successor.key is None or successor.key == group.key:
                raise
            await reader.check(successor.key, at)
        yield origin


@asynccontextmanager
async def open_origin_sender(network: NetworkFile, origin: Origin, secret: bytes) -> AsyncIterator[TxSender]:
    """Sends on the origin chain for the account of `secret`; see `cli.context.open_sender`."""
    from adapters.evm.fees import FeePolicy
    from adapters.evm.flight import SenderPolicy
    from adapters.evm.journal import VolatileJournal
    from adapters.evm.sender import TxSender

    section = next((s for s in network.settings.evm if s.chain == origin.chain.caip2), None)
    fees = FeePolicy() if section is None else FeePolicy(cap=section.max_fee)
    async with TxSender(origin.rpc, VolatileJournal(), secret, origin.number, SenderPolicy(fees=fees)) as sender:
        yield sender
