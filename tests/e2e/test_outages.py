"""Chains, databases and memories go away while transfers are on their way; what comes back goes on, once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.codec import decode_deposit, decode_payout, decode_withdrawal
from bridge.deposits import Deposit, Stage
from bridge.payouts import Payout, PayoutStage, Withdrawal
from bridge.storage import CoinRow, IncidentKind, TransactionPurpose, TransferKind
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from infra.postgres import Postgres
from tests.support.bridge_life import Life
from tests.support.bridge_network import ASSET, DEPOSIT_FEE, BridgeNode, bridge_network, eventually
from tests.support.reorgs import in_step, mine_only

AMOUNT = 5_000_000
SENT = 1_000_000
SIZE = {"storemen": 3, "threshold": 2, "vouchers": 3}
POLICY = {"slot_seconds": 0.5, "rescan_limit": 1}
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
async def life(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Life]:
    """A bridge on chains of its own, which may be stopped; no node looks back far for what was announced late."""
    root = tmp_path_factory.mktemp("outages")
    async with (
        Bitcoind(root / "bitcoind") as bitcoind,
        Anvil(root / "anvil") as anvil,
        bridge_network(root / "net", bitcoind, anvil, **SIZE, **POLICY) as net,
    ):
        yield await Life.of(net)


async def test_nodes_wait_for_chains_that_are_away_and_go_on(life: Life) -> None:
    """Each chain is away in a deposit, both in a withdrawal; the status says so, and each happens once."""
    net = life.net
    alice = await net.account("alice")
    paid = await life.deposit(alice.account, AMOUNT)
    await net.bitcoind.stop()
    await _waits_for(life, "bitcoin")
    await _bitcoind_again(life)
    await net.bitcoind.mine()
    await net.anvil.stop()
    await _waits_for(life, "native")
    await net.anvil.start()
    await life.reaches(paid, Stage.MINTED)
    assert await net.balance(alice.account) == AMOUNT - DEPOSIT_FEE
    await life.swept(paid)

    destination = await life.wallet.address()
    withdrawal = await life.withdrawn(alice, SENT, destination)
    payout = await eventually(lambda: life.payout_of(withdrawal), "a reservation")
    await life.in_mempool(TransactionPurpose.PAYOUT, payout.payout_id)
    await net.anvil.stop()
    await net.bitcoind.stop()
    (net.bitcoind.folder / "regtest" / "mempool.dat").unlink()  # the node has forgotten the payout
    await _waits_for(life, "bitcoin", "native")
    await _bitcoind_again(life)
    await net.anvil.start()
    await mine_only(life)  # a block without the payout, after which storemen broadcast it anew
    await _in_mempool_again(life)
    await life.mine()
    await life.settled(withdrawal)
    received = await net.bitcoind.rpc.call("scantxoutset", "start", [f"addr({destination})"])
    assert len(received["unspents"]) == 1
    assert await net.native.supply(ASSET.id, "latest") == AMOUNT - DEPOSIT_FEE - SENT
    for node in net.nodes:

        async def counts(node: BridgeNode = node) -> bool:
            status = await _status_ok(life, node)  # as of the last heartbeat
            return status is not None and status["supply_sat"] == AMOUNT - DEPOSIT_FEE - SENT

        await eventually(counts, f"{node.name} is well and counts the supply")
    await _no_alarm(life)


async def test_a_node_that_lost_its_database_rebuilds_it_from_the_chains(life: Life) -> None:
    """Deposits, payouts, coins, supply and reserves are the others' again, and the node takes part again."""
    net = life.net
    alice = await net.account("alice")
    paid = await life.minted(alice.account, AMOUNT)
    await life.swept(paid)
    await life.paid_and_settled(await life.withdrawn(alice, SENT))
    await life.mine(20)  # far below the tip now
    waiting = await life.deposit(alice.account, 200_000_000)  # two confirmations are asked for
    await life.mine()
    await life.reaches(waiting, Stage.CONFIRMING)
    storeman, voucher = net.storemen[0], net.vouchers[0]
    for node in (storeman, voucher):
        await node.stop()
        for file in node.settings.folder.glob("node.db*"):
            file.unlink()
        await node.start()
    await in_step(life)
    for node, other in ((storeman, net.storemen[1]), (voucher, net.vouchers[1])):
        await eventually(lambda node=node, other=other: _same_memory(node, other), f"{node.name} remembers all")
        assert await life.books(node) == await life.books(other)
        status = await eventually(lambda node=node: _status_ok(life, node), f"{node.name} is well")
        assert status["reserves_sat"] >= status["supply_sat"] > 0

    await net.storemen[2].stop()  # now nothing is signed without the storeman, nor attested without the voucher
    await life.mine()
    await life.reaches(waiting, Stage.MINTED)
    await life.swept(waiting)
    await life.paid_and_settled(await life.withdrawn(alice, 3 * AMOUNT))
    assert await life.books(storeman) == await life.books(net.storemen[1])
    await net.storemen[2].start()
    await _no_alarm(life)


async def test_a_node_waits_for_its_database_server_and_goes_on(
    tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil, postgres: Postgres
) -> None:
    """PostgreSQL restarts while a deposit and a withdrawal need the nodes that remember there."""
    async with bridge_network(tmp_path / "net", bitcoind, anvil, start=False, **SIZE, **POLICY) as net:
        for node in (net.storemen[0], net.vouchers[0]):
            name = f"{node.name}-{tmp_path.name}".replace("-", "_")[:60]
            section = node.settings.node.model_copy(update={"database": await postgres.create_database(name)})
            node.settings = node.settings.model_copy(update={"node": section})
        for node in net.nodes:
            await node.start()
        await net.active_group()
        life = await Life.of(net)
        await net.storemen[2].stop()
        alice = await net.account("alice")
        paid = await life.deposit(alice.account, AMOUNT)
        await postgres.stop()
        await life.mine(nodes=[net.storemen[1], *net.vouchers[1:]])
        await life.reaches(paid, Stage.FINAL, nodes=[net.storemen[1], *net.vouchers[1:]])
        assert await net.balance(alice.account) == 0, "a voucher is missing"
        await postgres.start()
        await life.reaches(paid, Stage.MINTED)
        await life.swept(paid)
        withdrawal = await net.withdraw(alice, SENT, await life.wallet.address())
        await postgres.restart()
        await life.paid_and_settled(withdrawal)
        assert await net.balance(alice.account) == AMOUNT - DEPOSIT_FEE - SENT
        await _no_alarm(life)


async def _bitcoind_again(life: Life) -> None:
    """Start the bitcoin node; the depositor opens the wallet."""
    await life.net.bitcoind.start()
    await life.net.bitcoind.open_wallet(life.wallet.name)


async def _waits_for(life: Life, *chains: str) -> None:
    """Wait until every node says of itself that it waits for these chains, and why."""
    for node in life.running:

        async def waits(node: BridgeNode = node) -> bool:
            status = await life.status(node)
            return all(status[chain]["state"] == "waiting" and status[chain]["problem"] for chain in chains)

        await eventually(waits, f"{node.name} waits for {chains}")


async def _status_ok(life: Life, node: BridgeNode) -> dict[str, int] | None:
    status = await life.status(node)
    return status if status["bitcoin"]["state"] == status["native"]["state"] == "ok" else None


async def _in_mempool_again(life: Life) -> None:
    """Wait until the bitcoin node has something to mine."""

    async def there() -> bool:
        return bool(await life.net.bitcoind.rpc.call("getrawmempool"))

    await eventually(there, "the payout is broadcast again")


async def _same_memory(node: BridgeNode, other: BridgeNode) -> bool:
    return await _memory(node) == await _memory(other)


async def _memory(
    node: BridgeNode,
) -> tuple[list[Deposit], list[Withdrawal], list[Payout], list[CoinRow]]:
    """All that a node knows of the bridge's affairs."""
    async with node.view() as view:
        found = [await view.transfers.by_stage(kind, *_stages(kind)) for kind in TransferKind]
        rows = [row for rows in found for row in rows]
        deposits = [decode_deposit(row) for row in rows if row.kind is TransferKind.DEPOSIT]
        withdrawals = [decode_withdrawal(row) for row in rows if row.kind is TransferKind.WITHDRAWAL]
        payouts = [decode_payout(row) for row in await view.payouts.by_stage(*PayoutStage)]
        coins = list(await view.coins.unspent())
    return (
        sorted(deposits, key=lambda d: d.deposit_id),
        sorted(withdrawals, key=lambda w: w.withdrawal_id),
        sorted(payouts, key=lambda p: p.payout_id),
        coins,
    )


def _stages(kind: TransferKind) -> list[str]:
    from bridge.payouts import WithdrawalStage

    return list(Stage) if kind is TransferKind.DEPOSIT else list(WithdrawalStage)


async def _no_alarm(life: Life) -> None:
    for node in life.net.nodes:
        async with node.view() as view:
            found = [i for i in await view.incidents.latest() if i.kind is IncidentKind.ALARM]
        assert not found, f"{node.name}: {found}"
