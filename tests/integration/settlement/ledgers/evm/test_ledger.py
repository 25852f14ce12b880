"""The ledger over a real Escrow on a real node: what two account holders see of holds between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from foundation.quantities import UnixMs
from infra.anvil import Anvil
from settlement.ledgers.evm.ledger import EvmLedger
from settlement.ledgers.protocol import (
    Done,
    Fulfilment,
    HoldState,
    LedgerMismatch,
    Refusal,
    Refused,
)
from settlement.quantities import Preimage
from tests.support.evm_escrow import (
    EscrowWorld,
    coin_config,
    escrow_world,
    id_of,
    own_of,
    preimage_of,
    refusal,
    seen,
    urls_in,
)
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.integration


@dataclass
class Pair:
    """A payer with 10.00 and a payee, each with a ledger of its own."""

    world: EscrowWorld
    payer: EvmLedger
    payee: EvmLedger
    secrets: tuple[bytes, bytes]
    urls: tuple[str, str]

    async def held(self, label: str, amount: int = 500) -> None:
        """A hold that the payee's ledger shows."""
        hold = await self.world.hold(self.payer.own, self.payee.own, label, amount)
        (outcome,) = await self.payer.hold([hold])
        assert isinstance(outcome, Done)
        await seen(self.payee, label, HoldState.HELD)


@pytest.fixture
async def pair(world: EscrowWorld, tmp_path: Path) -> AsyncIterator[Pair]:
    """Two people on the token's ledger."""
    keys = await world.person(1_000), await world.person()
    urls = urls_in(tmp_path)
    await world.tick()
    async with AsyncExitStack() as stack:
        payer, payee = [
            await stack.enter_async_context(world.ledger(key, url)) for key, url in zip(keys, urls, strict=True)
        ]
        yield Pair(world, payer, payee, keys, urls)


async def test_hold_is_paid_by_its_preimage(pair: Pair) -> None:
    """What is held leaves what is available at once, and is the payee's once it fulfils; both learn the preimage."""
    hold = await pair.world.hold(pair.payer.own, pair.payee.own, "one")
    (made,) = await pair.payer.hold([hold])
    assert isinstance(made, Done)
    assert (made.view.hold, made.view.state) == (hold, HoldState.HELD)
    account = await pair.payer.account()
    assert (account.balance, account.held, account.available) == (1_000, 500, 500)
    (told,) = await seen(pair.payee, "one", HoldState.HELD)
    assert told.view == made.view
    assert (await pair.payee.account()).incoming == 500
    (paid,) = await pair.payee.fulfil([Fulfilment(id_of("one"), preimage_of("one"))])
    assert isinstance(paid, Done)
    learned = (await seen(pair.payer, "one", HoldState.FULFILLED))[-1]
    assert learned.view == paid.view
    assert learned.view.preimage == preimage_of("one")
    accounts = [await pair.payer.account(), await pair.payee.account()]
    assert [(one.balance, one.held, one.incoming) for one in accounts] == [(500, 0, 0), (500, 0, 0)]


async def test_same_id_is_the_same_hold(pair: Pair) -> None:
    """A repeat answers as the first did and moves nothing; another hold under the id is refused."""
    hold = await pair.world.hold(pair.payer.own, pair.payee.own, "one")
    first, again, other = await pair.payer.hold([hold, hold, replace(hold, memo=b"other")])
    assert isinstance(first, Done)
    assert again == first
    assert (await pair.payer.hold([hold]))[0] == first
    assert refusal(other) is Refusal.SAME_ID_OTHER_TRANSFER
    (changed,) = await pair.payer.hold([replace(hold, amount=hold.amount + 1)])
    assert isinstance(changed, Refused)
    assert changed.view == first.view
    assert (await pair.payer.account()).available == 500


async def test_batch_is_answered_item_by_item(pair: Pair) -> None:
    """Of a batch what can be held is held, and each other item is told why not, in order."""
    good = await pair.world.hold(pair.payer.own, pair.payee.own, "good", 900)
    dear = await pair.world.hold(pair.payer.own, pair.payee.own, "dear", 200)
    batch = [
        replace(good, transfer_id=id_of("zero"), amount=0),
        replace(good, transfer_id=id_of("foreign"), payer=pair.payee.own, payee=pair.payer.own),
        replace(good, transfer_id=id_of("nobody"), payee="0x" + "00" * 20),
        good,
        dear,
        replace(dear, transfer_id=id_of("late"), amount=1, expires_at=pair.world.clock()),
    ]
    outcomes = await pair.payer.hold(batch)
    assert [one.reason if isinstance(one, Refused) else "done" for one in outcomes] == [
        Refusal.BAD_REQUEST,
        Refusal.NOT_ALLOWED,
        Refusal.BAD_REQUEST,
        "done",
        Refusal.INSUFFICIENT_FUNDS,
        Refusal.EXPIRED,
    ]
    assert await pair.payer.transfers([id_of("dear"), id_of("good")]) == (None, outcomes[3].view)


async def test_only_the_payee_with_the_preimage_is_paid(pair: Pair) -> None:
    """A wrong preimage, the payer and an unknown id are refused, and nothing moves."""
    await pair.held("one")
    wrong = await pair.payee.fulfil([Fulfilment(id_of("one"), Preimage(bytes(32)))])
    payer = await pair.payer.fulfil([Fulfilment(id_of("one"), preimage_of("one"))])
    unknown = await pair.payee.fulfil([Fulfilment(id_of("two"), preimage_of("two"))])
    reasons = [refusal(one[0]) for one in (wrong, payer, unknown)]
    assert reasons == [Refusal.WRONG_PREIMAGE, Refusal.NOT_ALLOWED, Refusal.UNKNOWN_TRANSFER]
    assert (await pair.payer.account()).held == 500


async def test_several_holds_are_fulfilled_together(pair: Pair) -> None:
    """A batch of fulfilments is one transaction, and a repeat of it answers alike."""
    for label in ("one", "two"):
        await pair.held(label, 100)
    batch = [Fulfilment(id_of(label), preimage_of(label)) for label in ("one", "two")]
    first = await pair.payee.fulfil(batch)
    assert all(isinstance(one, Done) for one in first)
    assert await pair.payee.fulfil(batch) == first
    assert (await pair.payee.account()).balance == 200


async def test_payee_gives_back_and_payer_cannot_yet(pair: Pair) -> None:
    """The payee's cancellation returns the money before the time-out; the payer's own is refused until then."""
    await pair.held("one")
    (early,) = await pair.payer.cancel([id_of("one")])
    assert refusal(early) is Refusal.NOT_YET_EXPIRED
    (given,) = await pair.payee.cancel([id_of("one")])
    assert isinstance(given, Done)
    assert given.view.state is HoldState.CANCELLED
    assert (await seen(pair.payer, "one", HoldState.CANCELLED))[-1].view == given.view
    assert (await pair.payer.account()).available == 1_000
    (late,) = await pair.payee.fulfil([Fulfilment(id_of("one"), preimage_of("one"))])
    assert refusal(late) is Refusal.ALREADY_RETURNED
    assert (await pair.payee.cancel([id_of("one")]))[0] == given
    (unknown,) = await pair.payee.cancel([id_of("two")])
    assert refusal(unknown) is Refusal.UNKNOWN_TRANSFER


async def test_paid_hold_is_not_given_back(pair: Pair) -> None:
    """Neither party cancels what was fulfilled."""
    await pair.held("one")
    await pair.payee.fulfil([Fulfilment(id_of("one"), preimage_of("one"))])
    await seen(pair.payer, "one", HoldState.FULFILLED)
    outcomes = [(await ledger.cancel([id_of("one")]))[0] for ledger in (pair.payer, pair.payee)]
    assert [refusal(one) for one in outcomes] == [Refusal.ALREADY_FULFILLED] * 2


async def test_preimage_that_others_know_is_claimed_however_late(fresh_anvil: Anvil, tmp_path: Path) -> None:
    """Who claims what the payee has shown already tries it until the hold has ended: stopping would gain nothing."""
    async with escrow_world(fresh_anvil) as world, AsyncExitStack() as stack:
        keys = await world.person(1_000), await world.person()
        payer, payee = [
            await stack.enter_async_context(world.ledger(key, url))
            for key, url in zip(keys, urls_in(tmp_path), strict=True)
        ]
        hold = await world.hold(payer.own, payee.own, "one")
        (made,) = await payer.hold([hold])
        assert isinstance(made, Done)
        await seen(payee, "one", HoldState.HELD)
        world.now_ms = hold.expires_at - 1_000
        asked = Fulfilment(id_of("one"), preimage_of("one"))
        (refused,) = await payee.fulfil([asked])
        assert refusal(refused) is Refusal.NOT_SHOWN
        (done,) = await payee.fulfil([replace(asked, is_known=True)])
        assert isinstance(done, Done)


async def test_preimage_is_not_shown_when_too_little_time_is_left(fresh_anvil: Anvil, tmp_path: Path) -> None:
    """Near the time-out a fulfilment is refused unseen; after it the money goes back by itself, and both are told."""
    async with escrow_world(fresh_anvil) as world, AsyncExitStack() as stack:
        keys = await world.person(1_000), await world.person()
        payer, payee = [
            await stack.enter_async_context(world.ledger(key, url))
            for key, url in zip(keys, urls_in(tmp_path), strict=True)
        ]
        hold = await world.hold(payer.own, payee.own, "one")
        (made,) = await payer.hold([hold])
        assert isinstance(made, Done)
        await seen(payee, "one", HoldState.HELD)
        world.now_ms = hold.expires_at - world.config.reveal_ms
        (refused,) = await payee.fulfil([Fulfilment(id_of("one"), preimage_of("one"))])
        assert refusal(refused) is Refusal.NOT_SHOWN
        await world.pass_time(hold.expires_at // 1_000)
        ends = [(await seen(ledger, "one", HoldState.EXPIRED))[-1].view for ledger in (payer, payee)]
        assert ends[0] == ends[1]
        assert ends[0].preimage is None
        (again,) = await payer.cancel([id_of("one")])
        assert isinstance(again, Done)
        assert (await payer.account()).available == 1_000


async def test_payer_takes_an_expired_hold_back(fresh_anvil: Anvil, tmp_path: Path) -> None:
    """A ledger that takes nothing back by itself does so when the payer cancels after the time-out."""
    async with escrow_world(fresh_anvil) as world:
        keys = await world.person(1_000), await world.person()
        async with world.ledger(keys[0], urls_in(tmp_path)[0], is_refunding=False) as payer:
            hold = await world.hold(payer.own, own_of(keys[1]), "one")
            await payer.hold([hold])
            world.now_ms = hold.expires_at
            (early,) = await payer.cancel([id_of("one")])
            assert refusal(early) is Refusal.NOT_YET_EXPIRED
            await world.pass_time(hold.expires_at // 1_000)
            (back,) = await payer.cancel([id_of("one")])
            assert isinstance(back, Done)
            assert back.view.state is HoldState.EXPIRED


async def test_coin_of_the_chain_is_held_too(world: EscrowWorld, tmp_path: Path) -> None:
    """The same protocol over the chain's own coin, whose base units are counted coarser than the chain does."""
    keys = await world.person(), await world.person()
    async with AsyncExitStack() as stack:
        payer, payee = [
            await stack.enter_async_context(world.ledger(key, url, **coin_config(world)))
            for key, url in zip(keys, urls_in(tmp_path), strict=True)
        ]
        hold = await world.hold(payer.own, payee.own, "coin", 5 * 10**8, memo=b"")
        (made,) = await payer.hold([hold])
        assert isinstance(made, Done)
        before = (await payee.account()).balance
        await seen(payee, "coin", HoldState.HELD)
        (paid,) = await payee.fulfil([Fulfilment(id_of("coin"), preimage_of("coin"))])
        assert isinstance(paid, Done)
        assert before + 499_000_000 < (await payee.account()).balance < before + 500_000_000
        (dear,) = await payer.hold([replace(hold, transfer_id=id_of("dear"), amount=10**9)])
        assert refusal(dear) is Refusal.INSUFFICIENT_FUNDS
        async with world.ledger(keys[1], f"sqlite+aiosqlite:///{tmp_path / 'token.db'}") as tokens:
            # A lock of worthless tokens, or of coin, must never be taken for one of the ledger's asset.
            assert await tokens.transfers([id_of("coin")]) == (None,)
            assert (await tokens.account()).balance == 0


async def test_events_go_on_after_the_cursor(pair: Pair) -> None:
    """A reader that comes back with its cursor gets what came after it, and no event twice."""
    await pair.held("one", 10)
    everything = await seen(pair.payee, "one", HoldState.HELD)
    await pair.held("two", 10)
    async for batch in pair.payee.events(everything[-1].cursor):
        assert [one.view.hold.transfer_id for one in batch] == [id_of("two")]
        break


async def test_another_chain_is_refused(world: EscrowWorld, tmp_path: Path) -> None:
    """A node of another genesis block, an address without our code or a token of other decimals: no answer but that."""
    key = await world.person(1_000)
    chain = replace(world.config.chain, genesis=bytes([7]) * 32)
    wrongs = [{"chain": chain}, {"escrow": world.config.token}, {"decimals": 18}]
    for number, wrong in enumerate(wrongs):
        url = f"sqlite+aiosqlite:///{tmp_path / f'{number}.db'}"
        async with world.ledger(key, url, **wrong) as ledger:
            with pytest.raises(LedgerMismatch):
                await ledger.facts()
            with pytest.raises(LedgerMismatch):
                await ledger.hold([await world.hold(ledger.own, own_of(key), "one")])


async def test_copycat_cannot_have_the_preimage_shown_for_less(pair: Pair, tmp_path: Path) -> None:
    """Whoever copies another's id and condition into a smaller hold only has both of them claimed."""
    world = pair.world
    thief = await world.person(1_000)
    async with world.ledger(thief, f"sqlite+aiosqlite:///{tmp_path / 'thief.db'}") as copier:
        cheap = await world.hold(copier.own, pair.payee.own, "one", 1)
        await copier.hold([cheap])
        await seen(pair.payee, "one", HoldState.HELD)
        await pair.held("one")
        async with asyncio.timeout(PATIENCE_S):
            while (await pair.payee.account()).incoming < 501:
                await asyncio.sleep(0.05)
        (shown,) = await pair.payee.transfers([id_of("one")])
        assert shown is not None
        assert shown.hold.payer == pair.payer.own
        (paid,) = await pair.payee.fulfil([Fulfilment(id_of("one"), preimage_of("one"))])
        assert isinstance(paid, Done)
        assert paid.view.hold.payer == pair.payer.own
        assert (await pair.payee.account()).balance == 501


async def test_smaller_copy_that_lives_longer_does_not_buy_the_preimage(pair: Pair, tmp_path: Path) -> None:
    """Once it is too late to be paid the real hold for sure, the preimage is not shown for a copy that pays less."""
    world = pair.world
    thief = await world.person(1_000)
    async with world.ledger(thief, f"sqlite+aiosqlite:///{tmp_path / 'thief.db'}") as copier:
        await pair.held("one")
        (shown,) = await pair.payee.transfers([id_of("one")])
        assert shown is not None
        later = UnixMs(shown.hold.expires_at + 3_600_000)
        await copier.hold([await world.hold(copier.own, pair.payee.own, "one", 1, expires_at=later)])
        async with asyncio.timeout(PATIENCE_S):
            while (await pair.payee.account()).incoming < 501:
                await asyncio.sleep(0.05)
        world.now_ms = shown.hold.expires_at - world.config.reveal_ms
        (refused,) = await pair.payee.fulfil([Fulfilment(id_of("one"), preimage_of("one"))])
        assert refusal(refused) is Refusal.NOT_SHOWN
        assert (await pair.payee.account()).incoming == 501


async def test_copies_that_were_taken_back_stand_in_nobodys_way(pair: Pair, tmp_path: Path) -> None:
    """A payee gives back all that bears an id, a stranger's larger copy too, and is then told of what is there."""
    world = pair.world
    thief = await world.person(1_000)
    async with world.ledger(thief, f"sqlite+aiosqlite:///{tmp_path / 'thief.db'}") as copier:
        await copier.hold([await world.hold(copier.own, pair.payee.own, "one", 900)])
        await pair.held("one")
        async with asyncio.timeout(PATIENCE_S):
            while (await pair.payee.account()).incoming < 1_400:
                await asyncio.sleep(0.05)
        (given,) = await pair.payee.cancel([id_of("one")])
        assert isinstance(given, Done)
        assert (await pair.payee.account()).incoming == 0


async def test_only_known_payers_count(pair: Pair, tmp_path: Path) -> None:
    """A ledger that names its payers is told of no hold of another."""
    world = pair.world
    url = f"sqlite+aiosqlite:///{tmp_path / 'choosy.db'}"
    key = await world.person()
    async with world.ledger(key, url, payers=frozenset({own_of(pair.secrets[1])})) as choosy:
        (made,) = await pair.payer.hold([await world.hold(pair.payer.own, choosy.own, "one", 10)])
        assert isinstance(made, Done)
        assert await choosy.transfers([id_of("one")]) == (None,)
        assert (await choosy.account()).incoming == 0
