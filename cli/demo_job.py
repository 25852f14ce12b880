"""The demo's three transfers on a live network: bitcoin, Ether, and a token that the bridge has never seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bridge.reserves import Reserves, differences, observed
from cli import withdrawing
from cli.demo_bitcoin import bitcoin_there_and_back
from cli.demo_books import until
from cli.demo_ether import ether_there_and_back, unknown_token
from cli.demo_screen import Screen
from cli.demo_stage import STEP_SECONDS, Scene, people
from cli.dev.network import DevNetwork
from cli.output import btc
from registry.assets import Asset
from registry.caip import AssetType, lockbox_asset


@dataclass(frozen=True, slots=True)
class Outcome:
    """What can be looked at afterwards. Fields: reserves (of bitcoin); covered (of everything); deposit, withdrawal,
    lock, release (ids of transfers); address (the payee's on bitcoin).
    """

    reserves: Reserves
    covered: bool
    deposit: bytes
    withdrawal: bytes
    lock: bytes
    release: bytes
    address: str


async def perform(screen: Screen, network: DevNetwork, keys: Path) -> Outcome:
    """All of it on a network that is started here; `keys`: a folder for the people's keys.

    Raises:
        TimedOut: a step took too long.
        What starting the network raises.
    """
    await _start(screen, network)
    async with people(screen, network, keys) as scene:
        deposit, withdrawal = await bitcoin_there_and_back(scene)
        lock, release = await ether_there_and_back(scene)
        await unknown_token(scene)
        reserves, covered = await _close(scene)
        address = await scene.payee.address("bech32")
        return Outcome(reserves, covered, deposit, withdrawal, lock, release, address)


async def _start(screen: Screen, network: DevNetwork) -> None:
    plan = network.plan
    with screen.step("A network starts: three chains and the nodes") as step:
        await network.start()
        assert network.group is not None, "start() sets it"
        assert network.group.key is not None, "start() waits for it"
        step.done(f"{plan.threshold} of {plan.storemen} storemen sign; {plan.vouchers} vouchers")
        step.also(f"bitcoind (regtest) and two anvils, one plays Ethereum; {len(network.nodes)} nodes, each a process")
        step.also(f"the storemen made the bitcoin vault's key {network.group.key.hex()[:16]}… together; nobody has it")
        origin = network.origin
        if origin is not None and origin.registered is not None:
            vault = origin.registered.vault.lockbox
            step.also(f"and another key for the vault on Ethereum, the contract 0x{vault.hex()[:16]}…")


async def _close(scene: Scene) -> tuple[Reserves, bool]:
    """The table, and the proof of reserves. Whether every token is backed."""
    found = scene.network.network()
    with scene.screen.step("Everybody counts: proof of reserves") as step:

        async def agreed() -> Reserves | None:
            ours = await scene.books.reserves()
            chains = await observed(scene.bitcoin, scene.native, found.chain, found.asset, ours.block)
            # Until the settlement is final on the native chain, both still count Bob's payment as not burnt.
            return None if chains.unsettled or differences(ours, chains) else chains

        reserves = await until(agreed, "a storeman's books and the chains agree", STEP_SECONDS)
        vaults = [await _vault(scene, asset) for asset in await scene.native.assets() if asset.id != found.asset]
        step.done("storemen's books and chains agree")
    screen = scene.screen
    token = await withdrawing.token_of(scene.native, found.asset)
    balances = [
        ("Alice's bitcoin tokens now", btc(await scene.native.token_balance(token, scene.alice.account)), ""),
        ("Bob's bitcoin tokens now", btc(await scene.native.token_balance(token, scene.bob.account)), ""),
    ]
    screen.say()
    screen.table("What happened", ("what", "amount", "transaction"), [*scene.happened, *balances])
    screen.say()
    screen.say(f"Proof of reserves: {reserves.line()}", "bold green" if reserves.covered else "bold red")
    for line, covered in vaults:
        screen.say(f"Proof of reserves: {line}", "bold green" if covered else "bold red")
    return reserves, reserves.covered and all(covered for _, covered in vaults)


async def _vault(scene: Scene, asset: Asset) -> tuple[str, bool]:
    """What the vault's contract holds of an asset against what the native chain owes, and whether it covers that."""
    at = await scene.origin.latest()
    held = await scene.origin.reader.balance(lockbox_asset(AssetType.parse(asset.caip19)), at)
    supply, pending = await scene.native.supply(asset.id), await scene.native.pending_total(asset.id)
    covered = held >= supply + pending
    verdict = f"covered, surplus {asset.format(held - supply - pending)}" if covered else "NOT COVERED"
    fees = f" + fees to be minted {asset.format(pending)}" if pending else ""
    sign = "≥" if covered else "<"
    return f"vault {asset.format(held)} {sign} supply {asset.format(supply)}{fees}: {verdict}", covered
