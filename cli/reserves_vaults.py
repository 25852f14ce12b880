"""The part of `causeway reserves` for assets of EVM chains: from a node's database, and from the chains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.directory import Directory
from bridge.reserves_evm import VaultReserves, observed_vault, recorded_vaults, vault_differences
from bridge.settings import Settings
from bridge.storage import Database
from cli.context import CONFIG, NetworkFile, open_native
from cli.lock_chain import open_origin
from cli.output import cut, facts, width
from foundation.errors import CausewayError
from foundation.quantities import BlockHeight
from registry.chains import ChainKind


@dataclass(frozen=True, slots=True)
class Vaults:
    """What was counted. Fields: ours (by a node's database; None: none was asked); theirs (by the chains; None
    likewise); notes (what could not be counted, and why).
    """

    ours: tuple[VaultReserves, ...] | None
    theirs: tuple[VaultReserves, ...] | None
    notes: tuple[str, ...] = ()

    @property
    def newest(self) -> tuple[VaultReserves, ...]:
        """The chains' count of an asset where there is one, else the database's."""
        found = {one.asset.id: one for one in [*(self.ours or ()), *(self.theirs or ())]}
        return tuple(found.values())

    @property
    def differences(self) -> tuple[str, ...]:
        """Where the two disagree."""
        return vault_differences(self.ours or (), self.theirs or ())

    @property
    def covered(self) -> bool:
        """Whether every asset is."""
        return all(one.covered for one in self.newest)


async def counted_vaults(folder: Path | None, network: NetworkFile | None) -> Vaults:
    """From the database and from the chains, each where it is asked for.

    Raises:
        WrongChain, NotOurLockbox: a node of the network file serves a false chain, or a false vault.
        What the nodes raise.
    """
    notes: list[str] = []
    ours = None if folder is None else await _recorded(folder, notes)
    theirs = None if network is None else await _observed(network, ours or (), notes)
    return Vaults(ours, theirs, tuple(notes))


async def _recorded(folder: Path, notes: list[str]) -> tuple[VaultReserves, ...]:
    settings = Settings.load(folder / CONFIG)
    if not settings.evm:
        return ()
    try:
        async with open_native(NetworkFile(folder / CONFIG, settings), check=False) as native:
            directory = Directory(native, settings.chain, settings.asset)
            directory.assets = {asset.id: asset for asset in await native.assets("latest")}
    except CausewayError as error:
        notes.append(f"assets of EVM chains are not counted: the native chain, which names them, is away ({error})")
        return ()
    async with await Database.open(settings.database_url) as database, database.view() as view:
        return await recorded_vaults(view, directory)


async def _observed(network: NetworkFile, ours: Sequence[VaultReserves], notes: list[str]) -> tuple[VaultReserves, ...]:
    """Each chain that the network file reaches, at the blocks at which the database was counted, if it was."""
    found: list[VaultReserves] = []
    async with open_native(network) as native:
        final = (await native.finalized_block()).number
        assets = await native.assets(final)
        for chain in await native.chains(final):
            mine = [asset for asset in assets if asset.chain == chain.id]
            if chain.kind is not ChainKind.EVM or not mine or await native.vault(chain.id, final) is None:
                continue
            if all(section.chain != chain.caip2 for section in network.settings.evm):
                notes.append(f"{chain.caip2} is not verified: the network file has no [[evm]] for it")
                continue
            told = next((one for one in ours if one.chain == chain.caip2), None)
            async with open_origin(network, native, chain, None) as origin:
                newest = await origin.endpoints.final()
                height = BlockHeight(0) if newest is None else newest.number
                at = height if told is None or told.height is None else told.height
                block = final if told is None or told.block is None else told.block
                counted = await observed_vault(origin.rpc, origin.reader, native, origin.vault, mine, at, block)
                found += counted
    return tuple(found)


def vault_facts(one: VaultReserves) -> str:
    """One asset for people."""
    show = one.asset.format
    at = "" if one.height is None else f", at block {one.height:,}"
    pairs = [(one.asset.symbol, f"{one.asset.caip19}{at}"), ("vault", show(one.held))]
    if one.balance is not None:
        pairs.append(("really there", show(one.balance)))
    pairs += [
        ("set aside", show(one.set_aside)),
        ("paid, not burnt", show(one.unsettled)),
        ("supply", show(one.supply)),
        ("surplus", show(one.surplus)),
    ]
    return "\n".join(cut(f"  {line}", width()) for line in facts(pairs).splitlines())
