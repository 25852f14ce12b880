"""A rescue file carries swaps to another machine, which brings them to their end."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from mpc.cluster_errors import KeystoreDamaged, KeystoreExists, WrongPassword
from mpc.keystore import ScryptCost
from settlement.swap.engine.runtime import open_store, wall_clock
from settlement.swap.machine.states import Outcome
from settlement.swap.rescue import OtherMnemonic, bring_in, export, open_rescue
from settlement.swap.store.store import SwapStore
from tests.support.patience import eventually
from tests.support.swap_people import Person, agreed, ended, redeem, town

pytestmark = pytest.mark.integration
CHEAP = ScryptCost(log_n=4)
PASSWORD = "rescue"  # noqa: S105 - of a test


async def rescued(person: Person, folder: Path) -> Person:
    """The same person on a machine that has only swap.toml and the rescue file."""
    file = folder / f"{person.name}.rescue"
    async with open_store(person.folder, person.keys) as database:
        assert await export(database, person.keys.wallet_id, file, PASSWORD, cost=CHEAP) == 1
        with pytest.raises(KeystoreExists):
            await export(database, person.keys.wallet_id, file, PASSWORD, cost=CHEAP)
    home = folder / f"{person.name}-elsewhere"
    home.mkdir()
    shutil.copy(person.folder / "swap.toml", home)
    shutil.rmtree(person.folder)
    rescue = open_rescue(file, PASSWORD)
    async with open_store(home, person.keys) as database:
        (row,) = await bring_in(database, person.keys.wallet_id, rescue, wall_clock())
        assert row.state.recovered
        assert not await bring_in(database, person.keys.wallet_id, rescue, wall_clock()), "once is enough"
        async with database.view() as view:
            assert await SwapStore(view.connection).next_index() == 1
    return replace(person, folder=home)


async def test_both_sides_move_house_in_the_middle_of_a_swap(tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil) -> None:
    """The bitcoin output is funded: on the new machines, and by the initiator's word, it ends as on the old."""
    async with town(tmp_path, bitcoind, anvil) as place:
        async with place.alice.at_work() as alice, place.bob.at_work() as bob:
            offer = await place.alice.offer(alice, gives_bitcoin=True)
            await bob.trading.take(offer)
            swap_id = await agreed(bob, offer)

            async def funded() -> bool:
                row = await alice.office.swap(swap_id)
                return row is not None and bool(row.state.outputs)

            await eventually(funded, "the output is in the mempool")
        new_alice, new_bob = await rescued(place.alice, tmp_path), await rescued(place.bob, tmp_path)
        async with new_alice.at_work() as alice, new_bob.at_work() as bob:
            await redeem(bob, swap_id)
            rows = [await ended(engine, swap_id, place.mine) for engine in (alice, bob)]
        assert [row.state.outcome for row in rows] == [Outcome.SWAPPED, Outcome.SWAPPED]


async def test_a_file_opens_by_its_password_for_its_wallet_alone(
    tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil
) -> None:
    """Damage, another password and another wallet are told apart, and change nothing."""
    async with town(tmp_path, bitcoind, anvil) as place:
        file = tmp_path / "rescue"
        async with open_store(place.alice.folder, place.alice.keys) as database:
            await export(database, place.alice.keys.wallet_id, file, PASSWORD, cost=CHEAP)
        with pytest.raises(WrongPassword):
            open_rescue(file, "other")
        rescue = open_rescue(file, PASSWORD)
        assert "hidden" in repr(rescue)
        async with open_store(place.bob.folder, place.bob.keys) as database:
            with pytest.raises(OtherMnemonic):
                await bring_in(database, place.bob.keys.wallet_id, rescue, wall_clock())
        file.write_bytes(file.read_bytes()[:-1] + b"\0")
        with pytest.raises(KeystoreDamaged):
            open_rescue(file, PASSWORD)
