"""A bitcoin ledger that crashes at its commits, and strangers who copy: each hold is paid once and ends once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from foundation.database.database import Moment
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, UnixMs
from infra.bitcoind import Bitcoind
from settlement.ledgers.bitcoin import feed
from settlement.ledgers.bitcoin import ledger as module
from settlement.ledgers.bitcoin.notices import TooManyNotices, encode_notice
from settlement.ledgers.bitcoin.types import terms_of
from settlement.ledgers.protocol import Done, Fulfilment, HoldState, LedgerMismatch, LedgerUnavailable, Refusal
from tests.support.bitcoin_holds import bitcoin_world, id_of, own_of, preimage_of, refusal, seen
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.integration

FUNDS = 1_000_000


class Crash(Exception):
    """The end of a process, at a commit."""


class CrashAt:
    """A commit hook that crashes at the commit of this number since it was armed, and ever after."""

    def __init__(self, number: int, moment: Moment) -> None:
        self.left = number
        self.moment = moment
        self.is_armed = self.happened = False

    async def __call__(self, moment: Moment) -> None:
        """See `CommitHook`."""
        if self.happened:
            raise Crash
        if self.is_armed and moment is self.moment:
            self.left -= 1
            if self.left == 0:
                self.happened = True
                raise Crash


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("number", [1, 2])
async def test_crashes_pay_once(bitcoind: Bitcoind, tmp_path: Path, number: int, moment: Moment) -> None:
    """Whichever commit of a hold, and then of its fulfilment, a process dies at: the next one finishes it, once."""
    world = await bitcoin_world(bitcoind)
    keys = await world.person(FUNDS), await world.person()
    urls = [f"sqlite+aiosqlite:///{tmp_path / name}.db" for name in ("payer", "payee")]
    hold = world.hold(own_of(keys[0]), own_of(keys[1]), "one")
    async with world.ledger(keys[1], urls[1]) as payee:
        await payee.facts()
        hook = CrashAt(number, moment)
        with suppress(Crash):
            async with world.ledger(keys[0], urls[0], commit_hook=hook) as payer:
                await payer.facts()
                hook.is_armed = True
                with suppress(Crash, LedgerUnavailable, LedgerMismatch, TimeoutError):
                    async with asyncio.timeout(2):
                        await payer.hold([hold])
        async with world.ledger(keys[0], urls[0]) as payer:
            (made,) = await world.run(payer.hold([hold]))
            assert isinstance(made, Done), made
            account = await payer.account()
            assert account.held == 100_000
            assert FUNDS - 2_000 < account.balance < FUNDS
        await seen(payee, "one", HoldState.HELD)
    word = Fulfilment(id_of("one"), preimage_of("one"))
    hook = CrashAt(number, moment)
    with suppress(Crash):
        async with world.ledger(keys[1], urls[1], commit_hook=hook) as payee:
            await payee.facts()
            hook.is_armed = True
            with suppress(Crash, LedgerUnavailable, LedgerMismatch, TimeoutError):
                async with asyncio.timeout(2):
                    await payee.fulfil([word])
    async with world.ledger(keys[1], urls[1]) as payee:
        (paid,) = await world.run(payee.fulfil([word]))
        assert isinstance(paid, Done), paid
        assert 98_000 < (await payee.account()).balance < 100_000


async def test_copycat_cannot_have_the_preimage_shown_for_less(bitcoind: Bitcoind, tmp_path: Path) -> None:
    """Whoever copies another's id and condition into a smaller hold only has both of them claimed."""
    world = await bitcoin_world(bitcoind)
    keys = await world.person(FUNDS), await world.person(), await world.person(FUNDS)
    urls = [f"sqlite+aiosqlite:///{tmp_path / name}.db" for name in ("payer", "payee", "thief")]
    async with (
        world.ledger(keys[0], urls[0]) as payer,
        world.ledger(keys[1], urls[1]) as payee,
        world.ledger(keys[2], urls[2]) as thief,
    ):
        for one, amount in ((thief, 20_000), (payer, 100_000)):
            (made,) = await world.run(one.hold([world.hold(one.own, payee.own, "one", amount)]))
            assert isinstance(made, Done)
        async with asyncio.timeout(PATIENCE_S):
            while (await payee.account()).incoming < 120_000:
                await asyncio.sleep(0.05)
        (shown,) = await payee.transfers([id_of("one")])
        assert shown is not None
        assert shown.hold.payer == payer.own
        (paid,) = await world.run(payee.fulfil([Fulfilment(id_of("one"), preimage_of("one"))]))
        assert isinstance(paid, Done)
        assert paid.view.hold.payer == payer.own

        async def both_are_claimed() -> None:
            while (await payee.account()).balance < 115_000:
                await asyncio.sleep(0.05)

        await world.run(both_are_claimed())  # the other claim may leave after the block with the first


async def test_smaller_copy_that_lives_longer_does_not_buy_the_preimage(bitcoind: Bitcoind, tmp_path: Path) -> None:
    """Once it is too late to be paid the real hold for sure, the preimage is not shown for a copy that pays less."""
    world = await bitcoin_world(bitcoind)
    keys = await world.person(FUNDS), await world.person(), await world.person(FUNDS)
    urls = [f"sqlite+aiosqlite:///{tmp_path / name}.db" for name in ("payer", "payee", "thief")]
    async with (
        world.ledger(keys[0], urls[0]) as payer,
        world.ledger(keys[1], urls[1]) as payee,
        world.ledger(keys[2], urls[2]) as thief,
    ):
        real = world.hold(payer.own, payee.own, "one")
        later = UnixMs(real.expires_at + 7_200_000)
        for one, hold in ((payer, real), (thief, world.hold(thief.own, payee.own, "one", 20_000, expires_at=later))):
            (made,) = await world.run(one.hold([hold]))
            assert isinstance(made, Done)
        async with asyncio.timeout(PATIENCE_S):
            while (await payee.account()).incoming < 120_000:
                await asyncio.sleep(0.05)
        world.now_s = (real.expires_at - world.config.reveal_ms) // 1_000
        (refused,) = await world.run(payee.fulfil([Fulfilment(id_of("one"), preimage_of("one"))]))
        assert refusal(refused) is Refusal.NOT_SHOWN
        assert await payer.early_preimage(id_of("one")) is None


async def test_notice_of_a_hold_without_an_end_is_refused(bitcoind: Bitcoind, tmp_path: Path) -> None:
    """Announced holds that nobody pays make room when they expire, so none may expire in years only."""
    world = await bitcoin_world(bitcoind)
    payer = await world.person()
    async with world.ledger(await world.person(), f"sqlite+aiosqlite:///{tmp_path / 'payee.db'}") as payee:
        endless = world.hold(own_of(payer), payee.own, "one", expires_at=UnixMs((world.now_s + 90 * 86_400) * 1_000))
        with pytest.raises(BadInput, match="expires_at"):
            await payee.accept(encode_notice(terms_of(endless, 1), world.config.start_height))


async def test_flood_of_notices_is_held_off(
    bitcoind: Bitcoind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Announced holds that nobody pays are refused beyond a number, until those before have expired."""
    world = await bitcoin_world(bitcoind)
    keys = await world.person(), await world.person()
    monkeypatch.setattr(module, "MAX_UNPAID", 2)
    async with world.ledger(keys[1], f"sqlite+aiosqlite:///{tmp_path / 'payee.db'}") as payee:
        height = world.config.start_height

        def notice(label: str) -> bytes:
            return encode_notice(terms_of(world.hold(own_of(keys[0]), payee.own, label), 1), height)

        for label in ("one", "two", "two"):
            await payee.accept(notice(label))
        with pytest.raises(TooManyNotices) as refusal:
            await payee.accept(notice("three"))
        assert refusal.value.unpaid == 2
        world.now_s += 2 * 86_400
        await payee.accept(notice("three"))


async def test_a_database_that_is_older_than_its_account_denies_no_hold(bitcoind: Bitcoind, tmp_path: Path) -> None:
    """After a copy was restored no hold is said not to be there, and none is made, until a person has looked."""
    world = await bitcoin_world(bitcoind)
    secret, other = await world.person(1_000_000), await world.person()
    old, new = (f"sqlite:///{tmp_path / name}.db" for name in ("old", "new"))
    async with world.ledger(secret, new) as payer, world.ledger(other, f"sqlite:///{tmp_path / 'payee'}.db") as payee:
        (made,) = await world.run(payer.hold([world.hold(payer.own, payee.own, "one")]))
        assert isinstance(made, Done)
        assert await payer.transfers([id_of("two")]) == (None,)
    height = await world.node.height()
    async with world.ledger(secret, old) as restored:
        again = world.hold(restored.own, own_of(other), "one")
        for asked in (restored.transfers([id_of("one")]), restored.hold([again])):
            with pytest.raises(LedgerMismatch) as refusal:
                await asked
            assert refusal.value.field == "account"
    async with world.ledger(secret, old, spends_known_until=height) as looked_at:
        assert await looked_at.transfers([id_of("one")]) == (None,)


async def test_notices_of_old_holds_cost_one_look_for_all(
    bitcoind: Bitcoind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many notices say that their outputs lie far behind, so many blocks are read for them, and no more."""
    monkeypatch.setattr(feed, "LOOK_BACK", 8)
    monkeypatch.setattr(feed, "NEAR", 2)
    world = await bitcoin_world(bitcoind)
    await bitcoind.mine(6)
    payer, payee = own_of(await world.person()), await world.person()
    async with world.ledger(payee, f"sqlite:///{tmp_path / 'payee'}.db") as ledger:
        await ledger.facts()
        blocks: list[bytes] = []
        source = ledger._feed._source
        read = source.block

        async def counted(block_hash: bytes) -> bytes:
            blocks.append(block_hash)
            return await read(block_hash)

        monkeypatch.setattr(source, "block", counted)
        for number in range(4):
            terms = terms_of(world.hold(payer, ledger.own, f"old {number}"), 1)
            await ledger.accept(encode_notice(terms, BlockHeight(0)))
            async with asyncio.timeout(PATIENCE_S):
                while ledger._feed._fresh:
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(PATIENCE_S):
            while len(ledger._feed._old) < 3:
                await asyncio.sleep(0.01)
        assert len(blocks) == 8
