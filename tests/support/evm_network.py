"""A whole bridge with EVM origin chains on real nodes. What its nodes know of those chains is a block of TOML each."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from bridge.settings import EvmSection, Settings
from cli.chain_origin import open_journal, open_origin
from cli.chain_registering import ChainPlan, Coin, Registration
from cli.context import CONFIG
from cli.evm_config import add_evm_block, evm_block
from foundation.quantities import TokenUnits, Wei
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from mpc.curve import tagged_hash
from registry.assets import AssetPolicy
from registry.caip import SLIP44_ETHER, ChainId
from registry.groups import Member
from tests.support.bridge_network import ETHER, PASSWORD, BridgeNetwork, BridgeNode, bridge_network
from tests.support.command import Causeway
from tests.support.evm_origin import EvmChain
from tests.support.patience import PATIENCE_S

FEE_BPS = 10
LEAST = 10**15
"""The smallest deposit and withdrawal of a chain's coin, in wei."""
COIN_POLICY = AssetPolicy(TokenUnits(LEAST), TokenUnits(0), TokenUnits(LEAST), fee_bps=FEE_BPS)
INTRODUCED = AssetPolicy(TokenUnits(1), TokenUnits(0), TokenUnits(1), fee_bps=FEE_BPS)
ORIGIN = 31_338
POLL_SECONDS = 0.2
"""Nodes that share two processors with all others had better not ask all the time."""
NETWORK_FILE = "network.toml"
SMALL = {"storemen": 3, "threshold": 2, "vouchers": 4}


class OriginAnvil(Anvil):
    """An anvil that plays an origin chain; what is in its blocks is final soon."""

    name: ClassVar[str] = "ethereum"

    def __init__(self, folder: Path, chain_id: int = ORIGIN) -> None:
        super().__init__(folder, chain_id=chain_id, block_seconds=0.25)


@contextlib.asynccontextmanager
async def evm_network(
    root: Path,
    bitcoind: Bitcoind,
    anvil: Anvil,
    origins: Sequence[Anvil],
    *,
    section: dict[str, Any] | None = None,
    urls: Callable[[BridgeNode, Anvil], list[str]] | None = None,
    **options: Any,
) -> AsyncIterator[tuple[BridgeNetwork, list[EvmChain]]]:
    """A network that serves these origin chains, with its groups active and its nodes running.

    Args:
        section: what differs in each `[[evm]]` block.
        urls: the endpoints of a node for a chain; the chain's own node by default.
        options: of `bridge_network`.
    """
    values = {"poll_seconds": POLL_SECONDS} | (section or {})
    options = SMALL | {"slot_seconds": 1.0, "alarm_after_seconds": 1.0} | options
    async with (
        bridge_network(root, bitcoind, anvil, start=False, **options) as net,
        contextlib.AsyncExitStack() as stack,
    ):
        names = [f"eip155:{origin.chain_id}" for origin in origins]
        for node in net.nodes:
            write_config(node)
            for name, origin in zip(names, origins, strict=True):
                endpoints = [origin.url] if urls is None else urls(node, origin)
                add_evm_block(node.settings.folder / CONFIG, name, evm_block(name, endpoints, values))
            node.settings = Settings.load(node.settings.folder / CONFIG)
        write_network_file(net, names, origins)
        members = tuple(node.member for node in net.storemen)
        for origin in origins:
            for member in members:
                await origin.faucet("0x" + member.account.hex(), Wei(1000 * ETHER))
            await origin.faucet("0x" + net.owner.account.hex(), Wei(1000 * ETHER))
        for node in net.nodes:
            await node.start()
        threshold = int(options["threshold"])
        pairs = zip(names, origins, strict=True)
        await asyncio.gather(*(_register(net, name, origin, members, threshold) for name, origin in pairs))
        await net.active_group()
        chains = [
            await stack.enter_async_context(EvmChain.open(net, name, origin.url))
            for name, origin in zip(names, origins, strict=True)
        ]
        yield net, chains


async def _register(net: BridgeNetwork, name: str, origin: Anvil, members: tuple[Member, ...], threshold: int) -> None:
    """Make a chain one of the bridge's, as `causeway chain register` does."""
    plan = ChainPlan(
        chain=ChainId.parse(name),
        coin=Coin("Ether", "ETH", 18, SLIP44_ETHER, COIN_POLICY),
        guardian=net.owner.account,
        window_seconds=86_400,
        introduced=INTRODUCED,
        is_open=True,
        members=members,
        threshold=threshold,
    )
    secret = owner_secret(net)
    async with (
        open_journal(net.folder / f"registration-{origin.chain_id}.db") as journal,
        open_origin(plan.chain, [origin.url], secret, journal, PATIENCE_S, _quiet) as at,
    ):
        await Registration(net.native, net.owner, at, net.nodes[0].settings.chain, plan, _quiet, PATIENCE_S).run()


def owner_secret(net: BridgeNetwork) -> bytes:
    """The key of the account that owns the contracts, 32 bytes."""
    return tagged_hash("test owner", str(net.folder).encode())


def write_config(node: BridgeNode) -> None:
    """Write a node's settings into its folder, as an operator does."""
    content = node.settings.model_dump(mode="json", exclude_none=True, exclude={"evm"})
    content["bitcoin"]["password"] = node.settings.bitcoin.password
    content["native"] |= {"poll_seconds": POLL_SECONDS}
    write_toml(node.settings.folder / CONFIG, content)


def write_network_file(net: BridgeNetwork, names: Sequence[str], origins: Sequence[Anvil]) -> None:
    """Write the file for `--network`."""
    node = net.bitcoind
    bitcoin = {"network": "regtest", "url": node.url, "user": node.user, "password": node.password}
    native = {"url": net.anvil.url, "deployment": "deployment.json"}
    path = net.folder / NETWORK_FILE
    write_toml(path, {"bitcoin": bitcoin, "native": native})
    blocks = [evm_block(name, [origin.url]) for name, origin in zip(names, origins, strict=True)]
    path.write_text("\n".join([path.read_text(), *blocks]))


def write_toml(path: Path, content: dict[str, Any]) -> None:
    """Write sections, in which lists of tables are written in one line."""
    lines: list[str] = []
    for name, section in content.items():
        lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in section.items()), ""]
    path.write_text("\n".join(lines))


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _quiet(_: str) -> None:
    pass


def people(net: BridgeNetwork) -> Causeway:
    """The command as people on this network give it: `--network` is known."""
    env = {"CAUSEWAY_NETWORK": str(net.folder / NETWORK_FILE), "CAUSEWAY_PASSWORD": PASSWORD}
    return Causeway(net.folder / "home", env)


def key_file(net: BridgeNetwork, label: str) -> Path:
    """The file for `--account-key` of a person's account, the same on all EVM chains."""
    path = net.folder / f"{label}.key"
    path.write_text(tagged_hash("test account", label.encode()).hex())
    path.chmod(0o600)
    return path


@contextlib.asynccontextmanager
async def with_section(nodes: Sequence[BridgeNode], **changes: Any) -> AsyncIterator[None]:
    """Nodes restart with other values in each `[[evm]]` block; afterwards as before."""
    before = [node.settings for node in nodes]

    async def restart(settings: Sequence[Settings]) -> None:
        await asyncio.gather(*(node.stop() for node in nodes))
        for node, setting in zip(nodes, settings, strict=True):
            node.settings = setting
        await asyncio.gather(*(node.start() for node in nodes))

    await restart([changed(settings, **changes) for settings in before])
    try:
        yield
    finally:
        await restart(before)


def changed(settings: Settings, **changes: Any) -> Settings:
    """Settings with other values in each `[[evm]]` block."""
    sections = tuple(EvmSection.model_validate(s.model_dump() | changes) for s in settings.evm)
    return settings.model_copy(update={"evm": sections})
