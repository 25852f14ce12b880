"""Nodes crash on the way of coin over an EVM vault, and start again: every transfer is completed, and once."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from adapters.evm.lockbox.events import Locked, Released, decode_event
from bridge.storage import TransferKind
from cli.dev.network import DevPlan
from foundation.quantities import BlockHeight
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from tests.support.bridge_network import ETHER, BridgeNode, eventually
from tests.support.crashing import Crashing, EachSite, Way
from tests.support.evm_life import EvmLife, evm_life
from tests.support.evm_network import FEE_BPS, ORIGIN, OriginAnvil
from tests.support.evm_origin import EvmChain
from tests.support.killing import one_after_another_killed, process_network

RELAY_FEE = ETHER // 1000
SMALL = {"storemen": 3, "threshold": 2, "vouchers": 3}
SITES = {
    "Intake.evm",
    "Intake.native",
    "Attest.run",
    "Post._done",
    "TakeAttestations.on_attestations",
    "DatabaseJournal.record",
    "DatabaseJournal.finish",
    "Submit._note",
    "Cosigner.cosign",
    "SignForVaults._sign",
    "SignForVaults.on_signature",
    "CarryToVaults._open",
    "CarryToVaults._publish",
}
"""Where a lock and its way back write something down."""


async def test_a_crash_at_any_commit_loses_and_repeats_nothing(
    tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil
) -> None:
    """Each commit is once undone, once the node's last deed, once said to fail; then two nodes lose their memory."""
    async with (
        OriginAnvil(tmp_path / "origin") as origin,
        evm_life(tmp_path / "net", bitcoind, anvil, [origin], **SMALL) as life,
    ):
        nodes = life.net.nodes
        await asyncio.gather(*(node.stop() for node in nodes))
        crashing, plan = Crashing(), EachSite()
        crashing.plan = plan
        missing = {(site, way) for site in SITES for way in Way}
        async with crashing.kept_running(nodes):
            rounds = 0
            while missing - plan.happened:
                assert rounds < 4, f"not reached: {missing - plan.happened}, but {plan.seen}"
                await _there_and_back(life, rounds)
                rounds += 1
        await _rebuilt(life)
        await _there_and_back(life, rounds)
        await life.no_alarm()


async def _rebuilt(life: EvmLife) -> None:
    """A storeman and a voucher lose their databases, and know the same as before soon after."""
    await asyncio.gather(*(node.stop() for node in life.net.nodes))
    forgetful = [life.net.storemen[0], life.net.vouchers[0]]
    for node in life.net.nodes:
        node.hook = None
    before = [await _known(node) for node in forgetful]
    assert all(before), "there is something to forget"
    for node in forgetful:
        for file in node.settings.folder.glob("node.db*"):
            file.unlink()
    await asyncio.gather(*(node.start() for node in life.net.nodes))
    for node, known in zip(forgetful, before, strict=True):

        async def again(node: BridgeNode = node, known: dict[bytes, str] = known) -> bool:
            return await _known(node) == known

        await eventually(again, f"{node.name} has read all again")


async def _known(node: BridgeNode) -> dict[bytes, str]:
    """What a node knows of all transfers: the stage of each."""
    with contextlib.suppress(Exception):  # the database is being made
        async with node.view() as view:
            rows = [
                row
                for kind, stages in (
                    (TransferKind.DEPOSIT, ("held", "minted")),
                    (TransferKind.WITHDRAWAL, ("settled",)),
                )
                for row in await view.transfers.by_stage(kind, *stages)
            ]
        return {row.id: row.stage for row in rows}
    return {}


async def test_killed_processes_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """One process after another gets SIGKILL while a lock and a withdrawal are on their way."""
    plan = DevPlan(storemen=3, threshold=2, vouchers=3, evm_chain=ORIGIN)
    async with process_network(tmp_path / "dev", plan) as net:
        (section,) = net.nodes[0].settings.evm
        async with EvmChain.open(net, section.chain, section.urls[0]) as chain:
            life = await EvmLife.on(net, [chain])
            async with one_after_another_killed(life, seed=7, most=6) as killed:
                await _there_and_back(life, 0)
            assert len(killed) > 2
            await life.no_alarm()


async def _there_and_back(life: EvmLife, number: int) -> None:
    """Three ether there, two of them back; all is there, and nothing is there twice."""
    chain, asset = life.chain, life.chain.asset()
    alice, owner = await chain.account("alice"), await life.net.account(f"owner-{number}")
    payee, amount, sent = bytes([0x81 + number]) * 20, 3 * ETHER, 2 * ETHER
    owed, held = await life.owed(asset), await chain.held()
    await life.held(chain, alice, amount, owner.account)
    minted = amount - amount * FEE_BPS // 10_000
    assert await life.tokens(asset, owner.account) == minted
    withdrawal = await life.to_chain(owner, asset, sent, payee, RELAY_FEE)
    await life.settled(withdrawal)
    due = sent - sent * FEE_BPS // 10_000
    assert await chain.balance(payee) == due - RELAY_FEE, "paid once"
    assert await life.owed(asset) == owed + amount - due
    assert await chain.held() == held + amount - due
    assert not await life.shortage()
    await _each_once(life)


async def _each_once(life: EvmLife) -> None:
    """The vault's own story: every number released is released once, and as many as people asked for."""
    chain = life.chain
    logs = await chain.rpc.logs([chain.vault.lockbox], BlockHeight(0), await chain.height())
    events = [decode_event(log) for log in logs]
    released = [event.number for event in events if isinstance(event, Released)]
    locked = [event for event in events if isinstance(event, Locked)]
    assert len(released) == len(set(released)) == len(locked)
