"""Dust that anybody may send costs the storemen no gas, and dear blocks send nobody's coin away for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from adapters.native import events as e
from bridge.agents.office import Office
from bridge.agents.storeman.payments import Sweep
from bridge.agents.storeman.returns import BarMints, ReturnDeposits, least_return
from bridge.agents.storeman.signing import Plan
from bridge.deposits import Deposit
from bridge.settings import PolicySection
from bridge.storage import TransferKind, TransferRow
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB, UnixMs
from registry.ids import deposit_id
from tests.support.bridge_intake import ASSET, GROUP, MEMBER, Chains, pays

RATE = SatPerKvB(2_000)
LEAST = 2 * 111 + 330


class World:
    """A storeman's office on made-up chains. Fields: rate; barred, returned (amounts)."""

    def __init__(self, chains: Chains) -> None:
        self.chains = chains
        self.rate = RATE
        self.barred: list[int] = []
        self.returned: list[int] = []
        office = SimpleNamespace(
            database=chains.database,
            directory=chains.context.directory,
            clock=lambda: UnixMs(10**6),
            is_turn=lambda members: members == (MEMBER.host_key,),
            fees=SimpleNamespace(rate=self._rate),
        )
        self.bar = BarMints(cast(Office, office), cast(Any, None))
        self.bar._bar = self._bar  # type: ignore[method-assign]  # what a bar does is tested elsewhere
        self.give_back = ReturnDeposits(cast(Office, office), cast(Any, SimpleNamespace(sign=self._sign)))

    async def _rate(self) -> SatPerKvB:
        return self.rate

    async def _bar(self, deposit: Deposit) -> None:
        self.barred.append(deposit.amount)

    async def _sign(self, plan: Plan) -> None:
        self.returned.append(plan.transaction.inputs[0].value)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    chains = await Chains.open(tmp_path)
    terms = [chains.terms(salt=n) for n in range(1, 4)]
    await chains.say(*(chains.announced(t) for t in terms))
    amounts = (0, LEAST - 1, LEAST)
    await chains.mine(pays(*((amount, chains.script(t)) for amount, t in zip(amounts, terms, strict=True))))
    yield World(chains)
    await chains.database.close()


async def test_no_gas_is_spent_on_dust_that_cannot_be_sent_back(world: World) -> None:
    """Of three refused deposits only the one is barred that can be returned; the others make nobody busy."""
    assert least_return(RATE) == LEAST
    assert await world.bar.run()
    assert world.barred == [LEAST]
    world.rate = SatPerKvB(3_000)
    assert not await world.bar.run()
    assert world.barred == [LEAST]


async def test_a_return_waits_while_blocks_are_dear_and_not_longer(world: World) -> None:
    """A fee spike at the first try must not strand the coin until the node starts again."""
    ((txid, vout),) = [(coin.txid, coin.vout) for coin in await _coins(world.chains) if coin.value == LEAST]
    id_ = deposit_id(ASSET, txid, vout)
    await world.chains.say(e.DepositReturned(world.chains.at(), id_, ASSET, txid, vout, cast(Any, LEAST), GROUP, 1))
    world.rate = SatPerKvB(50_000)
    assert not await world.give_back.run()
    world.rate = RATE
    assert await world.give_back.run()
    assert world.returned == [LEAST]


async def _coins(chains: Chains) -> Any:
    async with chains.database.view() as view:
        return await view.coins.unspent()


def test_a_sweep_waits_for_nobody_when_its_reclaim_comes_near() -> None:
    """However patient an operator's configuration is: half of the margin is left for blocks that are dear."""
    policy = PolicySection(sweep_after_seconds=10**9, mint_margin=288)
    sweep = Sweep(cast(Office, SimpleNamespace(policy=policy, since=lambda at: 60.0)), cast(Any, None))
    deposit = Deposit(
        b"d" * 32, ASSET, GROUP, b"t" * 32, 0, Satoshi(50_000), b"p" * 20, b"s" * 34, 1_000, height=BlockHeight(100)
    )
    row = TransferRow(b"d" * 32, TransferKind.DEPOSIT, deposit.stage, b"", UnixMs(0), UnixMs(0), None, None)
    other = replace(deposit, delay=9_000)
    for tip, due in ((1_100 - 145, False), (1_100 - 144, True)):
        assert sweep._is_time([(row, other), (row, deposit)], False, BlockHeight(tip)) is due
