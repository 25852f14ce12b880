"""Nodes crash wherever they write something down, and start again: every transfer is completed, and once."""

from __future__ import annotations

from pathlib import Path

from bridge.deposits import Stage
from bridge.storage import IncidentKind
from cli.dev.network import DevPlan
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from tests.support.bridge_life import Life
from tests.support.bridge_network import ASSET, DEPOSIT_FEE, BridgeNetwork, bridge_network
from tests.support.crashing import AtRandom, Crashing, EachSite, Way
from tests.support.killing import one_after_another_killed, process_network

AMOUNT = 5_000_000
SENT = 2_000_000
SMALL = {"storemen": 3, "threshold": 2, "vouchers": 3}
SITES = {
    "Intake.bitcoin",
    "Intake.native",
    "Attest.run",
    "Post._done",
    "TakeAttestations.on_attestations",
    "DatabaseJournal.record",
    "DatabaseJournal.finish",
    "Submit._note",
    "Cosigner.cosign",
    "Signing.sign",
    "Signing.on_transaction",
    "Signing.broadcast",
}
"""Where a deposit and a withdrawal write something down."""


async def test_a_crash_at_any_commit_loses_and_repeats_nothing(
    tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil
) -> None:
    """Every commit on the way of coins is once undone, once a node's last deed, once done and reported as failed."""
    async with bridge_network(tmp_path / "net", bitcoind, anvil, start=False, **SMALL) as net:
        crashing, plan = Crashing(), EachSite()
        async with crashing.kept_running(net.nodes):
            await net.active_group()
            life = await Life.of(net)
            crashing.plan = plan
            rounds = 0
            missing = {(site, way) for site in SITES for way in Way}
            while missing - plan.happened:
                assert rounds < 3, f"not reached: {missing - plan.happened}, but {plan.seen}"
                await _there_and_back(life, rounds)
                rounds += 1
        await _no_alarm(net)


async def test_nodes_that_crash_at_random_lose_and_repeat_nothing(
    tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil
) -> None:
    """From the making of the group's key on, any node may crash at any commit."""
    async with bridge_network(tmp_path / "net", bitcoind, anvil, start=False, **SMALL) as net:
        crashing, plan = Crashing(), AtRandom(seed=11, one_in=6, most=30)
        crashing.plan = plan
        async with crashing.kept_running(net.nodes):
            await net.active_group()
            await _there_and_back(await Life.of(net), 0)
        assert len(plan.happened) > 10
        await _no_alarm(net)


async def test_killed_processes_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """One process after another gets SIGKILL while a deposit and a withdrawal are on their way."""
    plan = DevPlan(storemen=3, threshold=2, vouchers=3)
    async with process_network(tmp_path / "dev", plan) as net:
        life = await Life.of(net)
        async with one_after_another_killed(life, seed=7, most=6) as killed:
            await _there_and_back(life, 0)
        assert len(killed) > 2
        await _no_alarm(net)


async def _there_and_back(life: Life, number: int) -> None:
    """A deposit, its sweep, and a withdrawal; all is there, and nothing is there twice."""
    net = life.net
    owner = await net.account(f"owner-{number}")
    supply = await net.native.supply(ASSET.id, "latest")
    paid = await life.minted(owner.account, AMOUNT)
    assert await net.balance(owner.account) == AMOUNT - DEPOSIT_FEE
    await life.swept(paid)
    destination = await life.wallet.address()
    withdrawal = await life.withdrawn(owner, SENT, destination)
    await life.paid_and_settled(withdrawal)

    received = await net.bitcoind.rpc.call("scantxoutset", "start", [f"addr({destination})"])
    assert len(received["unspents"]) == 1, "paid once"
    assert SENT - 5_000 <= round(received["total_amount"] * 100_000_000) < SENT
    assert await net.native.supply(ASSET.id, "latest") == supply + AMOUNT - DEPOSIT_FEE - SENT
    assert await life.vault_holds() >= await net.native.supply(ASSET.id, "latest")
    books = {await life.books(node) for node in net.nodes}
    assert len(books) == 1, f"all nodes count the same: {books}"
    assert books.pop().supply == await net.native.supply(ASSET.id)
    deposit = await life.deposit_of(paid)
    assert deposit is not None
    assert deposit.stage is Stage.SWEPT


async def _no_alarm(net: BridgeNetwork) -> None:
    for node in net.nodes:
        async with node.view() as view:
            found = [i for i in await view.incidents.latest() if i.kind is IncidentKind.ALARM]
        assert not found, f"{node.name}: {found}"
