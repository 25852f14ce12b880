"""Two people swap on real chains: each with an engine of its own, and nothing between them but a board."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from settlement.swap.machine.states import Outcome
from settlement.swap.terms import Mode
from tests.support.swap_people import COIN, ETHER, agreed, ended, town

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("gives_bitcoin", [True, False])
async def test_a_swap_ends_with_both_having_what_they_wanted(
    tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil, mode: Mode, gives_bitcoin: bool
) -> None:
    """Whoever made the offer, by a hash or by a point; no more than fees is lost."""
    async with (
        town(tmp_path, bitcoind, anvil) as place,
        place.alice.at_work() as alice,
        place.bob.at_work() as bob,
    ):
        offer = await place.alice.offer(alice, gives_bitcoin=gives_bitcoin, mode=mode)
        await bob.trading.take(offer)
        swap_id = await agreed(bob, offer)
        mine = place.mine
        rows = [await ended(alice, swap_id, mine), await ended(bob, swap_id, mine)]
        assert [row.state.outcome for row in rows] == [Outcome.SWAPPED, Outcome.SWAPPED]
        buyer, seller = (bob, alice) if gives_bitcoin else (alice, bob)  # of bitcoin
        assert await buyer.desk.wallet.balance() > 4 * COIN - 10_000
        assert 2 * COIN - 10_000 < await seller.desk.wallet.balance() < 2 * COIN
        assert await seller.desk.evm.funds(bytes(20)) > 119 * ETHER
        assert 79 * ETHER < await buyer.desk.evm.funds(bytes(20)) < 80 * ETHER
