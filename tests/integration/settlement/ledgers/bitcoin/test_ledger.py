"""The ledger over real HTLC outputs on a real node: what two key holders see of holds between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from adapters.bitcoin.addresses import REGTEST, SIGNET, address_text
from adapters.bitcoin.primitives import BlockRef
from foundation.errors import BadInput
from foundation.quantities import Satoshi
from infra.bitcoind import Bitcoind
from settlement.ledgers.bitcoin.feed import FinalBlocks
from settlement.ledgers.bitcoin.ledger import BitcoinLedger
from settlement.ledgers.bitcoin.notices import decode_notice
from settlement.ledgers.protocol import (
    Cursor,
    Done,
    Fulfilment,
    HoldState,
    LedgerMismatch,
    LedgerUnavailable,
    Refusal,
)
from settlement.quantities import Preimage
from tests.support.bitcoin_holds import (
    BitcoinWorld,
    bitcoin_world,
    id_of,
    own_of,
    preimage_of,
    refusal,
    seen,
)
from tests.support.patience import PATIENCE_S, until

pytestmark = pytest.mark.integration

FUNDS = 1_000_000


@dataclass
class Pair:
    """A payer with a coin of 0.01 and a payee, each with a ledger of its own."""

    world: BitcoinWorld
    payer: BitcoinLedger
    payee: BitcoinLedger

    async def held(self, label: str, **other: object) -> None:
        """A hold that the payee's ledger shows."""
        hold = self.world.hold(self.payer.own, self.payee.own, label, **other)
        (outcome,) = await self.world.run(self.payer.hold([hold]))
        assert isinstance(outcome, Done), outcome
        await seen(self.payee, label, HoldState.HELD)


def urls_in(folder: Path) -> tuple[str, str]:
    """Two databases."""
    return f"sqlite+aiosqlite:///{folder / 'payer.db'}", f"sqlite+aiosqlite:///{folder / 'payee.db'}"


@pytest.fixture
async def world(bitcoind: Bitcoind) -> BitcoinWorld:
    """The session's chain, from here on."""
    return await bitcoin_world(bitcoind)


@pytest.fixture
async def pair(world: BitcoinWorld, tmp_path: Path) -> AsyncIterator[Pair]:
    """Two people."""
    keys = await world.person(FUNDS), await world.person()
    async with AsyncExitStack() as stack:
        payer, payee = [
            await stack.enter_async_context(world.ledger(key, url))
            for key, url in zip(keys, urls_in(tmp_path), strict=True)
        ]
        yield Pair(world, payer, payee)


async def test_hold_is_paid_by_its_preimage(pair: Pair) -> None:
    """What is held leaves what is available; the payee gets it less the claim's fee, and the payer the preimage."""
    hold = pair.world.hold(pair.payer.own, pair.payee.own, "one")
    (made,) = await pair.world.run(pair.payer.hold([hold]))
    assert isinstance(made, Done)
    assert (made.view.hold, made.view.state) == (hold, HoldState.HELD)
    account = await pair.payer.account()
    assert account.held == 100_000
    assert FUNDS - 2_000 < account.balance < FUNDS
    (told,) = await seen(pair.payee, "one", HoldState.HELD)
    assert told.view == made.view
    assert (await pair.payee.account()).incoming == 100_000
    paying = asyncio.create_task(pair.payee.fulfil([Fulfilment(id_of("one"), preimage_of("one"))]))
    async with asyncio.timeout(PATIENCE_S):
        while (early := await pair.payer.early_preimage(id_of("one"))) is None:
            await asyncio.sleep(0.02)
    assert early == preimage_of("one")
    assert (await pair.payer.transfers([id_of("one")]))[0] == made.view
    (paid,) = await pair.world.mined(paying)
    assert isinstance(paid, Done)
    learned = (await seen(pair.payer, "one", HoldState.FULFILLED))[-1].view
    assert learned == paid.view
    assert learned.preimage == preimage_of("one")
    assert 98_000 < (await pair.payee.account()).balance < 100_000
    assert (await pair.payer.account()).held == 0


async def test_same_id_is_the_same_hold(pair: Pair) -> None:
    """A repeat answers as the first did and pays nothing more; another hold under the id is refused."""
    hold = pair.world.hold(pair.payer.own, pair.payee.own, "one")
    first, again, other = await pair.world.run(pair.payer.hold([hold, hold, replace(hold, memo=b"other")]))
    assert isinstance(first, Done)
    assert again == first
    assert refusal(other) is Refusal.SAME_ID_OTHER_TRANSFER
    before = (await pair.payer.account()).balance
    assert (await pair.payer.hold([hold]))[0] == first
    (changed,) = await pair.payer.hold([replace(hold, amount=hold.amount + 1)])
    assert refusal(changed) is Refusal.SAME_ID_OTHER_TRANSFER
    assert (await pair.payer.account()).balance == before


async def test_batch_is_one_payment_and_answered_item_by_item(pair: Pair) -> None:
    """Holds of one call share a transaction; what is too dear, too small, too late or not ours is told so, in order."""
    one, two = (pair.world.hold(pair.payer.own, pair.payee.own, label) for label in ("one", "two"))
    batch = [
        replace(one, transfer_id=id_of("small"), amount=100),
        one,
        two,
        replace(one, transfer_id=id_of("late"), expires_at=pair.world.clock()),
        replace(one, transfer_id=id_of("foreign"), payer=pair.payee.own, payee=pair.payer.own),
        replace(one, transfer_id=id_of("dear"), amount=FUNDS),
    ]
    outcomes = await pair.world.run(pair.payer.hold(batch))
    assert [one.view.state if isinstance(one, Done) else one.reason for one in outcomes] == [
        Refusal.BAD_REQUEST,
        HoldState.HELD,
        HoldState.HELD,
        Refusal.EXPIRED,
        Refusal.NOT_ALLOWED,
        Refusal.INSUFFICIENT_FUNDS,
    ]
    words = [Fulfilment(id_of(label), preimage_of(label)) for label in ("one", "two")]
    await seen(pair.payee, "two", HoldState.HELD)
    assert all(isinstance(one, Done) for one in await pair.world.run(pair.payee.fulfil(words)))


async def test_only_the_payee_with_the_preimage_is_paid(pair: Pair) -> None:
    """A wrong preimage, the payer and an unknown id are refused, and nothing moves."""
    await pair.held("one")
    wrong = await pair.payee.fulfil([Fulfilment(id_of("one"), Preimage(bytes(32)))])
    payer = await pair.payer.fulfil([Fulfilment(id_of("one"), preimage_of("one"))])
    unknown = await pair.payee.fulfil([Fulfilment(id_of("two"), preimage_of("two"))])
    reasons = [refusal(one[0]) for one in (wrong, payer, unknown)]
    assert reasons == [Refusal.WRONG_PREIMAGE, Refusal.NOT_ALLOWED, Refusal.UNKNOWN_TRANSFER]
    assert (await pair.payer.account()).held == 100_000


async def test_payees_cancellation_is_a_promise(pair: Pair) -> None:
    """A payee that gives a hold up cannot send it back yet, and claims it never more; the payer cannot take it yet."""
    await pair.held("one")
    (given,) = await pair.payee.cancel([id_of("one")])
    assert refusal(given) is Refusal.NOT_YET_EXPIRED
    (claimed,) = await pair.payee.fulfil([Fulfilment(id_of("one"), preimage_of("one"))])
    assert refusal(claimed) is Refusal.NOT_ALLOWED
    (early,) = await pair.payer.cancel([id_of("one")])
    assert refusal(early) is Refusal.NOT_YET_EXPIRED
    (unknown,) = await pair.payer.cancel([id_of("two")])
    assert refusal(unknown) is Refusal.UNKNOWN_TRANSFER


async def test_nothing_is_paid_before_the_payee_is_told(pair: Pair) -> None:
    """While the payee cannot be told, no output is broadcast; the repeat tells it and pays once."""
    hold = pair.world.hold(pair.payer.own, pair.payee.own, "one")
    pair.world.post.is_down = True
    with pytest.raises(LedgerUnavailable):
        await pair.payer.hold([hold])
    assert await pair.world.node.rpc.call("getrawmempool") == []
    assert (await pair.payer.account()).held == 100_000
    pair.world.post.is_down = False
    (made,) = await pair.world.run(pair.payer.hold([hold]))
    assert isinstance(made, Done)
    await seen(pair.payee, "one", HoldState.HELD)


async def test_hold_that_its_payee_refuses_is_never_made(pair: Pair) -> None:
    """A payee that wants no such hold says so: nothing is broadcast, and the coins are free again."""
    hold = pair.world.hold(pair.payer.own, pair.payee.own, "one", FUNDS - 30_000)
    pair.world.post.refused = "there is no such payment"
    (refused,) = await pair.payer.hold([hold])
    assert refusal(refused) is Refusal.NOT_ALLOWED
    assert (await pair.payer.account()).available == FUNDS
    assert not await pair.world.node.rpc.call("getrawmempool")


async def test_payment_whose_payee_was_never_told_is_forgotten(pair: Pair) -> None:
    """A hold that could not be told of before its time-out is refused, and its coins are free again."""
    hold = pair.world.hold(pair.payer.own, pair.payee.own, "one", FUNDS - 30_000)
    pair.world.post.is_down = True
    with pytest.raises(LedgerUnavailable):
        await pair.payer.hold([hold])
    pair.world.post.is_down = False
    pair.world.now_s = hold.expires_at // 1_000
    (late,) = await pair.payer.hold([hold])
    assert refusal(late) is Refusal.EXPIRED
    assert (await pair.payer.account()).available == FUNDS
    (made,) = await pair.world.run(pair.payer.hold([pair.world.hold(pair.payer.own, pair.payee.own, "one", 900_000)]))
    assert isinstance(made, Done)


async def test_hold_asked_for_twice_at_once_is_paid_once(pair: Pair) -> None:
    """Calls with the same hold at the same time make one output, and set aside the coins of one."""
    for _ in range(2):
        await pair.world.node.faucet(address_text(pair.payer.script, REGTEST), Satoshi(FUNDS))
    await pair.world.node.mine(pair.world.config.confirmations)
    async with asyncio.timeout(PATIENCE_S):
        while (await pair.payer.account()).balance < 3 * FUNDS:
            await asyncio.sleep(0.05)
    hold = pair.world.hold(pair.payer.own, pair.payee.own, "one")
    answers = await pair.world.run(asyncio.gather(*(pair.payer.hold([hold]) for _ in range(3))))
    assert [isinstance(one, Done) for (one,) in answers] == [True] * 3
    account = await pair.payer.account()
    assert account.held == 100_000
    assert account.balance > 3 * FUNDS - 2_000
    (rest,) = await pair.world.run(pair.payer.hold([pair.world.hold(pair.payer.own, pair.payee.own, "two", 2_800_000)]))
    assert isinstance(rest, Done)


async def test_notice_that_comes_late_still_finds_its_hold(world: BitcoinWorld, tmp_path: Path) -> None:
    """A payee that is told only after its hold is final finds it in the blocks that it has read before."""
    keys = await world.person(FUNDS), await world.person()
    urls = urls_in(tmp_path)
    async with world.ledger(keys[0], urls[0]) as payer:
        hold = world.hold(payer.own, own_of(keys[1]), "one")
        (made,) = await world.run(payer.hold([hold]))
    async with world.ledger(keys[1], urls[1]) as payee:
        await payee.facts()
        assert await payee.transfers([id_of("one")]) == (None,)
        (notice,) = world.post.kept
        await payee.accept(notice)
        (told,) = await seen(payee, "one", HoldState.HELD)
        assert told.view == made.view
        await payee.accept(notice)
        with pytest.raises(BadInput):
            await payee.accept(notice[:-1])
        terms, _ = decode_notice(notice)
        assert terms.payee.hex() == payee.own


async def test_notice_for_another_is_refused(pair: Pair) -> None:
    """A notice is for its payee alone, and cannot rewrite a hold that is known."""
    await pair.held("one")
    (notice,) = pair.world.post.kept
    with pytest.raises(BadInput):
        await pair.payer.accept(notice)
    forged = notice.replace(b"memo of one", b"memo of two")
    assert forged != notice
    with pytest.raises(BadInput):
        await pair.payee.accept(forged)


async def test_preimage_that_others_know_is_claimed_however_late(pair: Pair) -> None:
    """Who claims what the payee has shown already tries it until the hold has ended: stopping would gain nothing."""
    await pair.held("one")
    (shown,) = await pair.payee.transfers([id_of("one")])
    assert shown is not None
    pair.world.now_s = shown.hold.expires_at // 1_000 - 1
    asked = Fulfilment(id_of("one"), preimage_of("one"))
    (refused,) = await pair.payee.fulfil([asked])
    assert refusal(refused) is Refusal.NOT_SHOWN
    (done,) = await pair.world.run(pair.payee.fulfil([replace(asked, is_known=True)]))
    assert isinstance(done, Done)


async def test_expired_hold_comes_back(fresh_bitcoind: Bitcoind, tmp_path: Path) -> None:
    """Near the time-out the preimage is not shown; after it the money returns by itself, and both are told."""
    world = await bitcoin_world(fresh_bitcoind)
    keys = await world.person(FUNDS), await world.person()
    async with AsyncExitStack() as stack:
        payer, payee = [
            await stack.enter_async_context(world.ledger(key, url))
            for key, url in zip(keys, urls_in(tmp_path), strict=True)
        ]
        hold = world.hold(payer.own, payee.own, "one")
        (made,) = await world.run(payer.hold([hold]))
        assert isinstance(made, Done)
        await seen(payee, "one", HoldState.HELD)
        world.now_s = (hold.expires_at - world.config.reveal_ms) // 1_000
        (late,) = await payee.fulfil([Fulfilment(id_of("one"), preimage_of("one"))])
        assert refusal(late) is Refusal.NOT_SHOWN
        await world.pass_time(hold.expires_at // 1_000 + 1)
        (back,) = await world.run(payer.cancel([id_of("one")]))
        assert isinstance(back, Done)
        ends = [(await seen(ledger, "one", HoldState.EXPIRED))[-1].view for ledger in (payer, payee)]
        assert ends == [back.view, back.view]
        account = await payer.account()
        assert account.held == 0
        assert FUNDS - 3_000 < account.available < FUNDS
        (gone,) = await payee.fulfil([Fulfilment(id_of("one"), preimage_of("one"))])
        assert refusal(gone) is Refusal.ALREADY_RETURNED


async def test_claim_that_lingers_bids_more(fresh_bitcoind: Bitcoind, tmp_path: Path) -> None:
    """A claim that blocks pass over is replaced by one that pays more, and the payee is paid once."""
    world = await bitcoin_world(fresh_bitcoind)
    keys = await world.person(FUNDS), await world.person()
    node = fresh_bitcoind
    async with AsyncExitStack() as stack:
        payer, payee = [
            await stack.enter_async_context(world.ledger(key, url))
            for key, url in zip(keys, urls_in(tmp_path), strict=True)
        ]
        await world.run(payer.hold([world.hold(payer.own, payee.own, "one")]))
        await seen(payee, "one", HoldState.HELD)
        paying = asyncio.create_task(payee.fulfil([Fulfilment(id_of("one"), preimage_of("one"))]))
        fees = []
        miner = await (await node.wallet("miner")).address()
        async with asyncio.timeout(PATIENCE_S):
            while len(fees) < 3:
                found = await node.rpc.call("getrawmempool", True)
                assert isinstance(found, dict)
                fees += [fee for one in found.values() if (fee := one["fees"]["base"]) not in fees]
                await node.rpc.call("generateblock", miner, [])
                await asyncio.sleep(0.1)
        assert fees == sorted(fees)
        (paid,) = await world.mined(paying)
        assert isinstance(paid, Done)


async def test_restart_goes_on_from_the_journal(world: BitcoinWorld, tmp_path: Path) -> None:
    """A payer that crashes after signing pays by the same transaction; a payee goes on after its cursor."""
    keys = await world.person(FUNDS), await world.person()
    urls = urls_in(tmp_path)
    async with world.ledger(keys[1], urls[1]) as payee:
        async with world.ledger(keys[0], urls[0]) as payer:
            hold = world.hold(payer.own, payee.own, "one")
            waiting = asyncio.create_task(payer.hold([hold]))
            async with asyncio.timeout(PATIENCE_S):
                while not (sent := await world.node.rpc.call("getrawmempool")):
                    await asyncio.sleep(0.02)
            waiting.cancel()
        async with world.ledger(keys[0], urls[0]) as payer:
            again = asyncio.create_task(payer.hold([hold]))
            await asyncio.wait([again], timeout=0.3)
            assert await world.node.rpc.call("getrawmempool") == sent
            (made,) = await world.mined(again)
            assert isinstance(made, Done)
        (told,) = await seen(payee, "one", HoldState.HELD)
    async with world.ledger(keys[1], urls[1]) as payee:
        (paid,) = await world.run(payee.fulfil([Fulfilment(id_of("one"), preimage_of("one"))]))
        assert isinstance(paid, Done)
        async for batch in payee.events(told.cursor):
            assert [one.view.state for one in batch] == [HoldState.FULFILLED]
            break


async def test_hold_is_done_only_when_a_reorg_cannot_undo_it(fresh_bitcoind: Bitcoind, tmp_path: Path) -> None:
    """An output whose block is dropped before it was final is told of once, when it is; a deeper reorg stops all."""
    world = await bitcoin_world(fresh_bitcoind)
    node = fresh_bitcoind
    keys = await world.person(FUNDS), await world.person()
    async with world.ledger(keys[0], urls_in(tmp_path)[0]) as payer:
        waiting = asyncio.create_task(payer.hold([world.hold(payer.own, own_of(keys[1]), "one")]))
        async with asyncio.timeout(PATIENCE_S):
            while not await node.rpc.call("getrawmempool"):
                await asyncio.sleep(0.02)
        (block,) = await node.mine(1)
        await node.rpc.call("invalidateblock", block)
        assert await payer.transfers([id_of("one")]) == (None,)
        assert not waiting.done()
        (made,) = await world.mined(waiting)
        assert isinstance(made, Done)
        (only,) = await seen(payer, "one", HoldState.HELD)
        assert only.view == made.view
        deep = await node.rpc.call("getblockhash", await node.height() - 3)
        await node.rpc.call("invalidateblock", deep)
        await node.mine(6)
        with pytest.raises(LedgerMismatch):
            async with asyncio.timeout(PATIENCE_S):
                async for _ in payer.events(Cursor("")):
                    await asyncio.sleep(0.02)
                    await payer.facts()


async def test_a_chain_that_lost_a_block_on_top_of_final_ones_stops_nothing(
    fresh_bitcoind: Bitcoind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that was restarted, one of several that is behind, or a block that was dropped: what was final is there
    still, or is not there yet, and no other block has its place."""
    world = await bitcoin_world(fresh_bitcoind)
    node, looks = fresh_bitcoind, 0
    keys = await world.person(FUNDS), await world.person()
    tip = FinalBlocks.tip

    async def counted(self: FinalBlocks) -> BlockRef:
        nonlocal looks
        looks += 1
        return await tip(self)

    async def some_looks() -> None:
        before = looks
        await until(lambda: looks > before + 2)

    monkeypatch.setattr(FinalBlocks, "tip", counted)
    async with world.ledger(keys[0], urls_in(tmp_path)[0]) as payer:
        (made,) = await world.run(payer.hold([world.hold(payer.own, own_of(keys[1]), "one")]))
        assert isinstance(made, Done)
        dropped = []
        for _ in range(world.config.confirmations):  # the last of them was final
            dropped.append(await node.rpc.call("getbestblockhash"))
            await node.rpc.call("invalidateblock", dropped[-1])
            await some_looks()
        await node.rpc.call("reconsiderblock", dropped[-1])
        (other,) = await world.run(payer.hold([world.hold(payer.own, own_of(keys[1]), "two")]))
        assert isinstance(other, Done)


async def test_another_network_is_refused(world: BitcoinWorld, tmp_path: Path) -> None:
    """A node of another network gets no payment, and no answer but that."""
    key = await world.person()
    async with world.ledger(key, urls_in(tmp_path)[0], network=SIGNET) as ledger:
        with pytest.raises(LedgerMismatch):
            await ledger.facts()
