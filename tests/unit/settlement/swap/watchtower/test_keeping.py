"""A folder of bundles: the engine keeps it, a tower reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import replace as replaced

from foundation.database import Database
from foundation.errors import BadInput, Retryable
from foundation.quantities import UnixMs
from settlement.swap.bitcoin.wallet import NodeWallet
from settlement.swap.engine.office import Office
from settlement.swap.machine.states import Outcome
from settlement.swap.store.store import Peer, SwapRow, SwapStore
from settlement.swap.store.tables import SCHEMA
from settlement.swap.terms import Role
from settlement.swap.wallet.secrets import SwapSecrets, TraderKeys
from settlement.swap.watchtower import keeping
from settlement.swap.watchtower.bundle import Bundle, BundleDamaged
from settlement.swap.watchtower.keeping import BundleKeeper, BundleMaker, ability
from settlement.swap.watchtower.making import make_bundle
from settlement.swap.watchtower.shelf import SUFFIX, Shelf
from tests.support.swap_bitcoin import POLICY
from tests.support.swap_terms import NOW
from tests.support.swap_tower import PAYEE, Trade, on_paper

AT = UnixMs(NOW * 1000)


@dataclass
class Wallet:
    """A node's wallet. Fields: is_away; asked (how often)."""

    is_away: bool = False
    asked: int = 0

    async def new_script(self) -> bytes:
        self.asked += 1
        if self.is_away:
            raise Retryable("away")
        return PAYEE


@dataclass
class Keys:
    """Keys of one swap, whatever its index."""

    secrets: SwapSecrets

    def swap(self, index: int) -> SwapSecrets:
        return self.secrets


@dataclass
class Desk:
    """A database with a swap in it. Fields: trade; row; office; wallet; maker."""

    trade: Trade
    row: SwapRow
    office: Office
    wallet: Wallet
    maker: BundleMaker

    async def save(self, **news: Any) -> None:
        """Another state."""
        async with self.office.database.unit() as unit:
            store = SwapStore(unit.connection)
            self.row = await store.save(self.row, replaced(self.row.state, **news), AT)
            await unit.commit()
        self.office.wake()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A follower whose output is funded."""
    trade, wallet = on_paper(), Wallet()
    state = trade.state(Role.FOLLOWER)
    async with await Database.open(f"sqlite:///{tmp_path / 'swap.db'}", SCHEMA) as database:
        row = SwapRow(trade.terms.swap_id, 0, True, "", Peer(b"", b"", ""), b"", state, 1, AT, AT)
        async with database.unit() as unit:
            store = SwapStore(unit.connection)
            await store.claim(b"w" * 32)
            await store.add(row)
            await store.set_cursor(f"birth/{row.swap_id.hex()}", msgspec.msgpack.encode(77))
            await unit.commit()
        keys = cast(TraderKeys, Keys(trade.follower))
        maker = BundleMaker(database, keys, cast(NodeWallet, wallet), POLICY, lambda: NOW)
        yield Desk(trade, row, Office(database, lambda: AT), wallet, maker)


async def test_a_bundle_is_made_from_the_database(desk: Desk) -> None:
    """Where its bitcoin goes to is chosen once, and is what the engine will use."""
    bundle, data = await desk.maker.make(desk.row)
    again, _ = await desk.maker.make(desk.row)
    assert Bundle.decode(data) == bundle
    assert (bundle.birth, bundle.since, len(bundle.refunds)) == (77, desk.trade.terms.agreed_at, 1)
    assert (again.terms, desk.wallet.asked) == (bundle.terms, 1)
    async with desk.office.database.view() as view:
        assert await SwapStore(view.connection).cursor(f"destination/{desk.row.swap_id.hex()}") == PAYEE


async def test_the_engine_keeps_a_file_until_the_swap_ends(desk: Desk, tmp_path: Path) -> None:
    """Made anew when it can do more, left alone when not, and tried again where the wallet was away."""
    folder = tmp_path / "bundles"
    file = folder / f"{desk.row.swap_id.hex()}{SUFFIX}"
    keeper = BundleKeeper(desk.office, desk.maker, folder)
    desk.wallet.is_away = True
    assert not await keeper.write_all()
    assert not file.exists()
    desk.wallet.is_away = False
    assert await keeper.write_all()
    first = file.read_bytes()
    await desk.save(peer_quit=True)
    assert await keeper.write_all()
    assert file.read_bytes() == first, "nothing of it can do more"
    (output,) = desk.row.state.outputs
    await desk.save(outputs=(output, replaced(output, outpoint=b"\x0d" * 36)))
    assert await keeper.write_all()
    assert len(Bundle.decode(file.read_bytes()).refunds) == 2
    await desk.save(outcome=Outcome.RETURNED)
    assert await keeper.write_all()
    assert not file.exists()


async def test_a_secret_that_a_follower_learns_is_kept_for_its_tower(desk: Desk, tmp_path: Path) -> None:
    """The initiator's claim that it signs by key shows none, and the follower may be gone before its own is mined."""
    folder = tmp_path / "bundles"
    keeper = BundleKeeper(desk.office, desk.maker, folder)
    assert await keeper.write_all()
    shelf = Shelf([folder])
    assert [one.secret for one in shelf.read().values()] == [b""]
    await desk.save(secret=desk.trade.secret)
    assert await keeper.write_all()
    assert [one.secret for one in shelf.read().values()] == [desk.trade.secret]


async def test_what_no_tower_would_read_takes_no_bundles_place(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The good one stays, and it is tried again; a tower goes on with what it has."""
    folder = tmp_path / "bundles"
    keeper = BundleKeeper(desk.office, desk.maker, folder)
    assert await keeper.write_all()
    first = (folder / f"{desk.row.swap_id.hex()}{SUFFIX}").read_bytes()

    def too_much(*given: Any, **more: Any) -> Bundle:
        bundle = make_bundle(*given, **more)
        (ladder, *_) = bundle.refunds
        return replace(bundle, refunds=(*[replaced(ladder, value=one) for one in range(65)],))

    monkeypatch.setattr(keeping, "make_bundle", too_much)
    (output,) = desk.row.state.outputs
    await desk.save(outputs=(output, replaced(output, outpoint=b"\x0d" * 36)))
    assert not await keeper.write_all()
    assert (folder / f"{desk.row.swap_id.hex()}{SUFFIX}").read_bytes() == first
    with pytest.raises(BundleDamaged):
        await desk.maker.make(desk.row)
    monkeypatch.undo()
    assert await keeper.write_all()
    (bundle,) = Shelf([folder]).read().values()
    assert len(bundle.refunds) == 2


async def test_the_keeper_works_at_every_change(desk: Desk, tmp_path: Path) -> None:
    """It waits for news, and ends when it is told to."""
    keeper = BundleKeeper(desk.office, desk.maker, tmp_path / "bundles")
    task = asyncio.create_task(keeper.run())
    try:
        async with asyncio.timeout(20):
            while not list((tmp_path / "bundles").glob(f"*{SUFFIX}")):
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_reveal_makes_a_bundle_able_to_do_more() -> None:
    """And so does each of what a claim is made of."""
    trade = on_paper()
    state, shown = trade.state(Role.INITIATOR), trade.state(Role.INITIATOR, revealed=True)
    assert ability(state) != ability(shown)
    assert ability(state) == ability(replaced(state, peer_quit=True))


def test_a_shelf_reads_what_has_changed(tmp_path: Path) -> None:
    """Files and folders; the newer bundle of an owner stays, damage changes nothing later on."""
    one, other = on_paper(), on_paper()
    named, folder = tmp_path / "one.bundle", tmp_path / "more"
    folder.mkdir()
    named.write_bytes(one.bundle(Role.FOLLOWER))
    shelf = Shelf([named, folder])
    shelf.check()
    assert shelf.is_open_ended
    assert set(shelf.read()) == {one.follower.identity_key}
    (folder / "note.txt").write_bytes(b"no bundle")
    (folder / "broken.bundle").write_bytes(b"no bundle")
    (folder / "two.bundle").write_bytes(other.bundle(Role.INITIATOR))
    assert set(shelf.read()) == {one.follower.identity_key, other.initiator.identity_key}
    named.write_bytes(b"damaged")
    assert len(shelf.read()) == 2
    coin, one.coin = one.coin, None
    older = replace(Bundle.decode(one.bundle(Role.FOLLOWER)), made_at=NOW - 1)
    named.write_bytes(older.encode(one.follower.identity))
    assert shelf.read()[one.follower.identity_key].refunds, "an older one takes no newer one's place"
    assert coin is not None


def test_what_is_named_has_to_be_a_bundle(tmp_path: Path) -> None:
    """A person who named it is told at once."""
    broken = tmp_path / "broken.bundle"
    broken.write_bytes(b"nonsense")
    with pytest.raises(BundleDamaged):
        Shelf([broken]).check()
    with pytest.raises(BadInput):
        Shelf([tmp_path / "none.bundle"]).check()


def test_an_owner_has_one_swap(tmp_path: Path) -> None:
    """A key that signs for another swap is no owner's of both."""
    one, other = on_paper(), on_paper()
    first, second = tmp_path / "1.bundle", tmp_path / "2.bundle"
    first.write_bytes(one.bundle(Role.FOLLOWER))
    forged = replace(Bundle.decode(other.bundle(Role.INITIATOR)), owner=one.follower.identity_key)
    second.write_bytes(forged.encode(one.follower.identity))
    with pytest.raises(BundleDamaged):
        Shelf([first, second]).check()
