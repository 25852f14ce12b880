"""What is not minted goes back, what lingers is bumped, and nothing ever pays a fee above the cap."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.bitcoin.addresses import REGTEST, parse_address
from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.bitcoin.reclaim import reclaim_transaction, sign_reclaim
from adapters.bitcoin.scripts import deposit_script, return_script
from adapters.bitcoin.transactions import parse_transaction
from adapters.native.types import DepositStatus
from bridge.deposits import Refusal, Stage
from bridge.storage import BitcoinTransactionRow, TransactionPurpose
from foundation.quantities import Satoshi, SatPerKvB, TokenUnits
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from registry.assets import AssetPolicy
from tests.support.bridge_life import Life, Paid
from tests.support.bridge_network import ASSET, DEPOSIT_FEE, MINIMUM, BridgeNode, bridge_network, eventually

CAP = 20.0
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
async def life(tmp_path_factory: pytest.TempPathFactory, _shared_anvil: Anvil) -> AsyncIterator[Life]:
    """A small bridge; it sweeps only when a withdrawal waits. Its own bitcoin node cannot estimate fees yet."""
    folder = tmp_path_factory.mktemp("returns")
    policy: dict[str, Any] = {"sweep_after_seconds": 3600.0, "slot_seconds": 0.5, "fee_cap": CAP}
    sizes = {"storemen": 3, "threshold": 2, "vouchers": 3}
    async with (
        Bitcoind(folder / "bitcoind") as bitcoind,
        bridge_network(folder / "net", bitcoind, _shared_anvil, **sizes, **policy) as net,
    ):
        yield await Life.of(net, 20)


async def test_refused_deposits_are_barred_and_come_back_by_the_groups_key(life: Life) -> None:
    """Too small, too near its reclaim, or of a paused asset: barred on the Hub, then paid to the depositor's key."""
    net = life.net
    alice = await net.account("alice")
    balance = await net.balance(alice.account)
    small = await life.deposit(alice.account, MINIMUM - 1)
    hasty = await life.deposit(alice.account, 1_000_000, delay=9)
    await life.mine()
    await _come_back(life, {small: Refusal.BELOW_MINIMUM, hasty: Refusal.RECLAIM_TOO_NEAR})
    await _set_policy(life, paused=True)
    stopped = await life.deposit(alice.account, 2_000_000)
    await life.mine()
    await _come_back(life, {stopped: Refusal.ASSET_PAUSED})
    await _set_policy(life, paused=False)
    assert await net.balance(alice.account) == balance, "nothing was minted"


async def _come_back(life: Life, refused: dict[Paid, Refusal]) -> None:
    """Barred with a reason, returned in a key-path spend to the reclaim key alone, and shown as such."""
    for paid in refused:
        row = await life.in_mempool(TransactionPurpose.RETURN, paid.id)
        assert await life.net.native.deposit_status(paid.id) is DepositStatus.RETURNED
        (output,) = parse_transaction(row.raw).outputs
        assert output.script == return_script(paid.terms.reclaim_key)
        assert output.value == paid.amount - row.fee
        decoded = await life.net.bitcoind.rpc.call("decoderawtransaction", row.raw.hex())
        (witness,) = [entry["txinwitness"] for entry in decoded["vin"]]
        assert [len(item) // 2 for item in witness] == [64], "a signature of the group, no script"
    await life.mine()
    for paid, why in refused.items():
        deposit = await life.reaches(paid, Stage.RETURNED)
        assert deposit.refusal is why
        notes = [note for _, note in await life.stages(paid.id)]
        assert f"final with 1 of 1 confirmations, refused: {why}" in notes
        assert notes[-1] == "returned, final"


async def _set_policy(life: Life, *, paused: bool) -> None:
    policy = AssetPolicy(TokenUnits(MINIMUM), TokenUnits(DEPOSIT_FEE), TokenUnits(MINIMUM), paused)
    key = f"policy {await life.net.anvil.height()}"
    await life.net.owner.send(life.net.native.calls.set_asset_policy(ASSET.id, policy), key)

    async def final() -> bool:
        return (await life.net.native.asset_policy(ASSET.id)).paused is paused

    await eventually(final, "the policy is final")


async def test_a_depositor_takes_its_coin_back_alone_and_nobody_sweeps_near_that_height(life: Life) -> None:
    """Too small to be returned: its depositor reclaims it; minted, but near its reclaim height: it is not swept."""
    net = life.net
    alice = await net.account("alice")
    near = await life.minted(alice.account, 3_000_000, delay=12)
    tiny = await life.deposit(alice.account, 400, delay=10)
    await life.mine()
    await life.reaches(tiny, Stage.REFUSED)  # to bar it would cost gas for nothing
    await life.mine(8)  # the sweep would be possible until three blocks before the reclaim height
    waiting = await life.withdrawn(alice, 2_500_000)
    await life.mine()
    coin = Coin(OutPoint(tiny.txid, tiny.vout), Satoshi(tiny.amount), deposit_script(tiny.terms).script, None)
    home = parse_address(await life.wallet.address(), REGTEST)
    reclaim = reclaim_transaction(tiny.terms, coin, home, SatPerKvB(400))
    raw = sign_reclaim(reclaim, tiny.reclaim_secret)
    await net.bitcoind.rpc.call("generateblock", await life.wallet.address(), [raw.hex()])
    await life.mine()
    await life.reaches(tiny, Stage.RECLAIMED)
    assert (await life.stages(tiny.id))[-1][1] == "reclaimed, final"
    for node in net.storemen:
        deposit = await life.deposit_of(near, node)
        assert deposit is not None
        assert deposit.stage is Stage.MINTED
        async with node.view() as view:
            rows = await view.bitcoin_transactions.waiting()
            assert near.txid not in {
                txid for row in rows for txid, _ in await view.bitcoin_transactions.inputs(row.txid)
            }
    await alice.send(net.native.calls.cancel(waiting), f"cancel:{waiting.hex()}")


async def test_what_lingers_is_bumped_by_replacement_or_by_a_child_and_never_above_the_cap(life: Life) -> None:
    """At a higher rate a sweep and a payout are replaced; where the payees allow no more, the change pays."""
    alice = await life.net.account("alice")
    await life.minted(alice.account, 30_000_000)
    generous = await life.withdrawn(alice, 5_000_000, max_fee=20_000)
    sweep = await life.in_mempool(TransactionPurpose.SWEEP)
    async with _at_rate(life, 6.0):
        bumped = await _replaced(life, sweep)
        assert _rate(bumped) == pytest.approx(6.0, abs=0.1)
    await life.mine()
    payout = await eventually(lambda: life.payout_of(generous), "a reservation")
    first = await life.in_mempool(TransactionPurpose.PAYOUT, payout.payout_id)
    async with _at_rate(life, 9.0):
        assert _rate(await _replaced(life, first)) == pytest.approx(9.0, abs=0.1)
    await life.mine()
    await life.settled(generous)

    thrifty = await life.withdrawn(alice, 4_000_000, max_fee=320)
    payout = await eventually(lambda: life.payout_of(thrifty), "a reservation")
    stuck = await life.in_mempool(TransactionPurpose.PAYOUT, payout.payout_id)
    async with _at_rate(life, 10.0):
        child = await life.in_mempool(TransactionPurpose.CPFP, stuck.txid)
        together = (child.fee + stuck.fee) / (child.vsize + stuck.vsize)
        assert together == pytest.approx(10.0, abs=0.1), "parent and child together pay the wanted rate"
    await life.mine()
    await life.settled(thrifty)
    books = await life.books()
    assert books.reserves >= books.supply
    for node in life.net.storemen:
        async with node.view() as view:
            rows = [await view.bitcoin_transactions.get(row.txid) for row in (sweep, bumped, first, stuck)]
        assert all(row is not None and row.fee <= CAP * row.vsize for row in rows), node.name
    assert child.fee + stuck.fee <= CAP * (child.vsize + stuck.vsize), "the cap holds for both together"


def _rate(row: BitcoinTransactionRow) -> float:
    return row.fee / row.vsize


async def _replaced(life: Life, row: BitcoinTransactionRow) -> BitcoinTransactionRow:
    """Wait until a transaction is replaced on every storeman, and in the bitcoin node."""
    found: BitcoinTransactionRow | None = None
    for node in life.net.storemen:

        async def newest(node: BridgeNode = node) -> BitcoinTransactionRow | None:
            async with node.view() as view:
                rows = await view.bitcoin_transactions.of_subject(row.purpose, row.subject)
            higher = [r for r in rows if r.fee > row.fee and r.first_broadcast_at_ms is not None]
            return max(higher, key=lambda r: r.fee) if higher else None

        found = await eventually(newest, f"{node.name} has a replacement")
    assert found is not None
    pool = await life.net.bitcoind.rpc.call("getrawmempool")
    assert found.txid[::-1].hex() in pool
    assert row.txid[::-1].hex() not in pool
    return found


@contextlib.asynccontextmanager
async def _at_rate(life: Life, rate: float) -> AsyncIterator[None]:
    """All storemen restart with another fee rate, and bump what lingers at once; afterwards as before."""
    before = {node.name: node.settings for node in life.net.storemen}

    async def restart(**changes: Any) -> None:
        for node in life.net.storemen:
            await node.stop()
            policy = before[node.name].policy.model_copy(update=changes)
            node.settings = before[node.name].model_copy(update={"policy": policy})
            await node.start()

    await restart(fee_fallback=rate, bump_after_seconds=0.1)
    yield
    await restart()
