"""Engines that settle in bitcoin on a real node: one confirmed transaction a payment, whatever crashes or lingers."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from adapters.bitcoin.addresses import REGTEST
from adapters.bitcoin.fees import FeePolicy
from adapters.bitcoin.primitives import BlockRef, hash_text, parse_hash
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.bitcoin.transactions import parse_transaction
from foundation.database import Database
from foundation.quantities import Satoshi, SatPerKvB, UnixMs
from infra.bitcoind import Bitcoind, Wallet
from settlement.connector.settle.engines.bitcoin import BitcoinPolicy, BitcoinRail
from settlement.connector.settle.engines.bitcoin_wallet import Version, WalletStore
from settlement.connector.settle.engines.core import request_id
from settlement.connector.settle.engines.engine import Engine
from settlement.connector.settle.engines.store import EngineStore
from settlement.connector.settle.quantity import Quantity
from tests.support.engines import Office, engine_of, is_done, offices, payment_of
from tests.support.patience import PATIENCE_S
from tests.support.settling import Death, Killed

pytestmark = pytest.mark.integration

FEES = FeePolicy(SatPerKvB(1_000), SatPerKvB(10_000), SatPerKvB(2_000))
DEARER = FeePolicy(SatPerKvB(50_000), SatPerKvB(100_000), SatPerKvB(50_000))
"""Whatever the node estimates from what other tests have paid."""
CONFIRMATIONS = 2


@dataclass
class World:
    """A node, and an engine on each side."""

    folder: Path
    node: Bitcoind
    policy: BitcoinPolicy
    now: int = 1_000_000
    secrets: dict[str, bytes] = field(
        default_factory=lambda: {name: secrets.token_bytes(32) for name in ("one", "other")}
    )
    offices: dict[str, Office] = field(default_factory=lambda: dict(zip(("one", "other"), offices(), strict=True)))
    databases: dict[str, Database] = field(default_factory=dict)
    rails: dict[str, BitcoinRail] = field(default_factory=dict)
    opened: list[Any] = field(default_factory=list)

    async def start(self, name: str, death: Death | None = None) -> Engine:
        """A process of that side."""
        rpc = BitcoinRpc(self.node.url, self.node.user, self.node.password)

        def rail(database: Database) -> BitcoinRail:
            made = BitcoinRail(database, rpc, self.policy, self.secrets[name], poll_seconds=0.01)
            self.rails[name] = made
            return made

        url = f"sqlite:///{self.folder / name}.db"
        engine, database = await engine_of(self.offices[name], url, rail, lambda: UnixMs(self.now), death)
        self.databases[name] = database
        self.opened += [database, rpc]
        return engine

    async def step(self, engines: list[Engine]) -> None:
        """Everybody reads the chain to its tip, and works once."""
        names = [name for name, office in self.offices.items() if office.engine in engines]
        watching = [asyncio.create_task(engine._rail.watch(lambda: None)) for engine in engines]
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not all([await self._is_at_tip(name) for name in names]):
                    await asyncio.sleep(0.01)
                    if any(task.done() for task in watching):
                        break
        finally:
            for task in watching:
                if not task.done():
                    task.cancel()
            outcomes = await asyncio.gather(*watching, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Killed):
                raise outcome
        for engine in engines:
            await engine.round()
        self.now += 3_000

    async def run(self, engines: list[Engine], rounds: int = 12) -> None:
        """Work until nothing is open, a block after each step."""
        for _ in range(rounds):
            await self.step(engines)
            if all([await is_done(database) for database in self.databases.values()]):
                return
            await self.node.mine()
        raise AssertionError("it does not end")

    async def versions(self, key: str) -> tuple[Version, ...]:
        """What was signed for a request of `one`."""
        async with self.databases["one"].view() as view:
            return await WalletStore(view.connection).versions(request_id("other", key))

    async def received(self) -> int:
        """All that the chain has paid to the other side's address for us, confirmed."""
        async with self.databases["other"].view() as view:
            wallet = WalletStore(view.connection)
            return sum(one.coin.value for one in await wallet.unspent(self.rails["other"]._keys) if one.owner == "one")

    async def _is_at_tip(self, name: str) -> bool:
        async with self.databases[name].view() as view:
            cursor = await EngineStore(view.connection).cursor("bitcoin")
        best = await self.node.rpc.call("getbestblockhash")
        return cursor is not None and cursor.endswith(parse_hash(str(best)))

    async def close(self) -> None:
        for one in self.opened:
            await one.close()


@pytest.fixture
async def world(tmp_path: Path, bitcoind: Bitcoind, funded_wallet: Wallet) -> AsyncIterator[World]:
    """On the session's node; the payer's engine has three coins of 0.01 BTC."""
    world = await world_on(bitcoind, funded_wallet, tmp_path)
    yield world
    await world.close()


async def world_on(bitcoind: Bitcoind, funded_wallet: Wallet, tmp_path: Path) -> World:
    """Two engines, of which `one` has three coins."""
    height = await bitcoind.height()
    start = BlockRef(height, parse_hash(str(await bitcoind.rpc.call("getblockhash", height))))
    policy = BitcoinPolicy(REGTEST, FEES, start, CONFIRMATIONS, bump_blocks=2)
    world = World(tmp_path, bitcoind, policy)
    engine = await world.start("one")
    for _ in range(3):
        await funded_wallet.send(world.rails["one"].funding_address, Satoshi(1_000_000))
    await bitcoind.mine()
    await world.start("other")
    await world.step([engine])
    return world


async def test_a_request_is_paid_exactly_and_credited_when_it_is_buried(world: World):
    """The peer's address gets the amount to the satoshi, the payer bears the fee, and the credit waits."""
    engines = [await world.start(name) for name in ("one", "other")]
    for _ in range(3):
        await engines[0].settle("other", Quantity(12_345_678, 10), "key")  # 123,456.78 satoshi
    await world.step(engines)
    (version,) = await world.versions("key")
    await world.node.mine()
    await world.step(engines)
    assert world.offices["other"].heard == {}  # one confirmation
    await world.run(engines)
    assert list(world.offices["other"].heard.values()) == [("one", Quantity(123_456, 8))]
    assert 123_456 in [output.value for output in parse_transaction(version.raw).outputs]
    assert await world.received() == 123_456


async def test_amounts_too_small_for_the_chain_are_paid_together(world: World):
    """Requests below the least payment stay owed, and are one payment when they reach it."""
    engines = [await world.start(name) for name in ("one", "other")]
    for number in range(4):
        await engines[0].settle("other", Quantity(3_000, 8), f"key{number}")
    await world.run(engines)
    assert [quantity.amount for _, quantity in world.offices["other"].heard.values()] == [12_000]


async def test_payments_at_once_spend_different_coins(world: World):
    """Payments that are made together do not choose the same coins, and all confirm."""
    engines = [await world.start(name) for name in ("one", "other")]
    for number in range(3):
        await engines[0].settle("other", Quantity(200_000 + number, 8), f"key{number}")
    await world.run(engines)
    chosen = [point for number in range(3) for point in (await world.versions(f"key{number}"))[0].inputs]
    assert len(set(chosen)) == len(chosen)
    assert world.offices["other"].total == 600_003


async def test_a_payment_waits_for_money(world: World):
    """What the coins do not cover waits, and is paid when the operator has funded the engine."""
    engines = [await world.start(name) for name in ("one", "other")]
    await engines[0].settle("other", Quantity(5_000_000, 8), "key")
    await world.step(engines)
    assert await world.versions("key") == ()
    await world.node.faucet(world.rails["one"].funding_address, Satoshi(10_000_000))
    await world.node.mine()
    world.now += 3_600_000
    await world.run(engines)
    assert world.offices["other"].total == 5_000_000


async def test_a_payment_that_lingers_bids_more_with_the_same_coins(world: World):
    """What no block takes is replaced by a transaction with a higher fee and the same inputs; one of them confirms."""
    engines = [await world.start(name) for name in ("one", "other")]
    await engines[0].settle("other", Quantity(300_000, 8), "key")
    await world.step(engines)
    (first,) = await world.versions("key")
    # Miners that leave it out, while the price of space rises.
    await world.node.rpc.call("prioritisetransaction", hash_text(first.txid), 0, -10_000_000)
    world.policy = replace(world.policy, fees=DEARER)
    engines[0] = await world.start("one")
    for _ in range(10):
        await world.node.mine()
        await world.step(engines)
        if len(await world.versions("key")) > 1:
            break
    first, second = await world.versions("key")
    assert second.inputs == first.inputs
    assert second.fee > first.fee
    await world.run(engines)
    assert await world.received() == 300_000
    assert world.offices["other"].total == 300_000


@pytest.mark.parametrize("victim", ["one", "other"])
async def test_a_crash_anywhere_pays_and_credits_once(world: World, victim: str):
    """Either engine may die before or after any commit or message: the same transaction is sent again, and no other."""
    paid = 0
    for at in range(0, 40, 3):
        death = Death(at)
        engines = {name: await world.start(name) for name in ("one", "other") if name != victim}
        with contextlib.suppress(Killed):
            engines[victim] = await world.start(victim, death)
            await engines["one"].settle("other", Quantity(20_000, 8), f"key{at}")
            await world.run(list(engines.values()))
        engines = {name: await world.start(name) for name in ("one", "other")}
        await engines["one"].settle("other", Quantity(20_000, 8), f"key{at}")
        await world.run(list(engines.values()))
        paid += 20_000
        assert await world.received() == paid, f"{victim} killed at {at}"
        assert world.offices["other"].total == paid, f"{victim} killed at {at}"
        payment = await payment_of(world.databases["one"], "other", f"key{at}")
        assert payment is not None
        if not death.is_dead:
            assert at > 8
            return
    raise AssertionError("an engine has fewer events than this")


async def test_a_reorganisation_neither_loses_nor_repeats_a_payment(tmp_path: Path, fresh_bitcoind: Bitcoind):
    """A payment whose block is replaced is sent again as it was, and credited once when it is buried at last."""
    node = fresh_bitcoind
    world = await world_on(node, await node.wallet("funds", Satoshi(10 * 100_000_000)), tmp_path)
    engines = [await world.start(name) for name in ("one", "other")]
    await engines[0].settle("other", Quantity(50_000, 8), "key")
    await world.step(engines)
    (block,) = await node.mine()
    await world.step(engines)
    (version,) = await world.versions("key")
    assert version.height is not None
    assert await world.received() == 50_000
    await node.rpc.call("invalidateblock", block)
    await node.rpc.call("generateblock", str(await (await node.wallet("funds")).address()), [])  # without it
    await node.rpc.call("generateblock", str(await (await node.wallet("funds")).address()), [])
    await world.step(engines)
    (again,) = await world.versions("key")
    assert (again.txid, again.height) == (version.txid, None)
    assert await world.received() == 0
    await node.mine()
    await world.run(engines)
    assert await world.received() == 50_000
    assert world.offices["other"].total == 50_000
    await world.close()
