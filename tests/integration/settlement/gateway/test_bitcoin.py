"""Bank A pays from a book of euros, and bank B is paid on bitcoin: real gateways, and a real node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.bitcoind import Bitcoind
from settlement.custody import clearer
from tests.support.bitcoin_holds import bitcoin_world
from tests.support.bitcoin_town import COINS, BitcoinTown
from tests.support.settlement_gateway import FUNDS, A, B, C

pytestmark = pytest.mark.integration

PAID = 200_000


@pytest.fixture
async def town(fresh_bitcoind: Bitcoind, tmp_path: Path) -> AsyncIterator[BitcoinTown]:
    """Three banks at work; the node's time is the town's."""
    async with BitcoinTown(tmp_path, await bitcoin_world(fresh_bitcoind)) as made:
        yield made


async def test_a_payment_ends_on_bitcoin(town: BitcoinTown) -> None:
    """All thirteen steps: A pays 100 euro, B has the bitcoin less the fee of its claim, and the books know all fees."""
    payment = await town.pay(PAID)
    stages = await town.world.run(town.stages(payment))
    assert stages == {A: "closed", B: "closed", C: "closed"}
    assert (await town.operator.account(A)).balance == FUNDS - 100_00
    assert (await town.operator.account(C)).balance == FUNDS + 100_00
    received, left = await town.account(B), await town.account(C)
    assert 0 < received.balance < PAID
    assert COINS - PAID - 10_000 < left.balance < COINS - PAID
    assert (received.held, received.incoming, left.held, left.incoming) == (0, 0, 0, 0)
    assert await town.booked(B) == received.balance
    assert await town.booked(C) == left.balance


async def test_a_payment_begins_on_bitcoin(fresh_bitcoind: Bitcoind, tmp_path: Path) -> None:
    """A holds bitcoin for C, which is told of it by A; B is paid euros, and C claims with the preimage."""
    async with BitcoinTown(tmp_path, await bitcoin_world(fresh_bitcoind), from_bitcoin=True) as town:
        payment = await town.pay(100_00)
        stages = await town.world.run(town.stages(payment))
        assert stages == {A: "closed", B: "closed", C: "closed"}
        assert (await town.operator.account(B)).balance == FUNDS + 100_00
        assert (await town.operator.account(C)).balance == FUNDS - 100_00
        spent, earned = await town.account(A), await town.account(C)
        assert COINS - PAID - 10_000 < spent.balance < COINS - PAID
        assert COINS < earned.balance < COINS + PAID
        assert await town.booked(A) == spent.balance
        assert await town.booked(C) == earned.balance


async def test_what_the_payee_does_not_fulfil_comes_back_at_its_time_out(town: BitcoinTown) -> None:
    """A hold that was final too late is not fulfilled: C takes it back after its time-out, and only then A has its
    euros back.
    """
    payment = await town.pay(PAID)
    await town.broadcast()
    state = await town.state(C, payment)
    assert isinstance(state, clearer.Forwarding)
    time_out_s = state.offer.quote.target.expires_at // 1_000
    await town.late(time_out_s - 300)
    await town.world.node.mine(town.world.config.confirmations)
    await town.stage(B, payment, "refusing")
    assert (await town.operator.account(A)).held == 100_00
    await town.world.pass_time(time_out_s + 1)
    await town.late(time_out_s + 1)
    stages = await town.world.run(town.stages(payment))
    assert stages == {A: "back", B: "failed", C: "failed"}
    assert (await town.operator.account(A)).balance == (await town.operator.account(C)).balance == FUNDS
    left = await town.account(C)
    assert COINS - 10_000 < left.balance < COINS
    assert left.held == 0
    assert await town.booked(C) == left.balance
