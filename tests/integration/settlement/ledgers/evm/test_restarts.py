"""An EVM ledger that crashes, forgets, or sees its chain reorganised: each hold is made once and ends once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from adapters.native.eip712 import account_of_secret
from foundation.database.database import Moment
from infra.anvil import Anvil
from settlement.ledgers.evm.errands import Errands
from settlement.ledgers.evm.ledger import EvmLedger
from settlement.ledgers.protocol import (
    Done,
    Fulfilment,
    HoldState,
    LedgerMismatch,
    LedgerUnavailable,
    Outcome,
    Refusal,
)
from tests.support.evm_escrow import (
    EscrowWorld,
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


class Crash(Exception):
    """The end of a process, at a commit."""


class CrashAt:
    """A commit hook that crashes once, at the commit of this number after it was armed, before or after it."""

    def __init__(self, number: int, moment: Moment) -> None:
        self.left = number
        self.moment = moment
        self.is_armed = self.happened = False

    async def __call__(self, moment: Moment) -> None:
        """See `CommitHook`."""
        if self.happened:
            raise Crash  # a process that has crashed writes nothing more
        if self.is_armed and moment is self.moment:
            self.left -= 1
            if self.left == 0:
                self.happened = True
                raise Crash


@pytest.fixture
async def still(tmp_path: Path) -> AsyncIterator[Anvil]:
    """A node that makes no blocks by itself but those for transactions."""
    async with Anvil(tmp_path / "still", block_seconds=100_000) as node:
        yield node


async def final(node: Anvil, waiting: asyncio.Task[tuple[Outcome, ...]]) -> tuple[Outcome, ...]:
    """What a call answers while blocks are made."""
    async with asyncio.timeout(PATIENCE_S):
        while not waiting.done():
            await node.mine()
            await asyncio.sleep(0.05)
    return waiting.result()


async def pending(world: EscrowWorld, secret: bytes) -> int:
    """How many transactions of an account wait for a block."""
    account = account_of_secret(secret)
    latest, all_ = await world.rpc.transaction_counts(account, ["latest", "pending"])
    return all_ - latest


async def held_before(world: EscrowWorld, ledger: EvmLedger, payee: bytes) -> None:
    """A first hold, which makes the allowance."""
    hold = await world.hold(ledger.own, own_of(payee), "before", 100)
    (made,) = await final(world.node, asyncio.create_task(ledger.hold([hold])))
    assert isinstance(made, Done)


async def test_hold_that_was_on_its_way_is_not_made_again(still: Anvil, tmp_path: Path) -> None:
    """A ledger that is closed while its lock waits for a block finds the same transaction again after its restart."""
    async with escrow_world(still) as world:
        payer, payee = await world.person(1_000), await world.person()
        url = urls_in(tmp_path)[0]
        async with world.ledger(payer, url) as ledger:
            await held_before(world, ledger, payee)
            hold = await world.hold(ledger.own, own_of(payee), "one", 500)
            await still.rpc.call("evm_setIntervalMining", 0)
            waiting = asyncio.create_task(ledger.hold([hold]))
            async with asyncio.timeout(PATIENCE_S):
                while await pending(world, payer) == 0:
                    await asyncio.sleep(0.02)
        with pytest.raises((LedgerUnavailable, LedgerMismatch)):
            await waiting
        sent = await world.rpc.transaction_counts(account_of_secret(payer), ["pending"])
        async with world.ledger(payer, url) as ledger:
            (made,) = await final(still, asyncio.create_task(ledger.hold([hold])))
            assert isinstance(made, Done)
            assert (await ledger.account()).available == 400
        assert await world.rpc.transaction_counts(account_of_secret(payer), ["latest"]) == sent


async def test_hold_that_may_be_in_a_block_is_not_said_to_have_expired(still: Anvil, tmp_path: Path) -> None:
    """A lock that was sent may have been made in time: that it was not is never said because our clock has moved on."""
    async with escrow_world(still) as world:
        payer, payee = await world.person(1_000), await world.person()
        url = urls_in(tmp_path)[0]
        async with world.ledger(payer, url) as ledger:
            await held_before(world, ledger, payee)
            hold = await world.hold(ledger.own, own_of(payee), "one", 500)
            waiting = asyncio.create_task(ledger.hold([hold]))
            async with asyncio.timeout(PATIENCE_S):
                while not (await world.rpc.transaction_counts(account_of_secret(payer), ["latest"]))[0] > 2:
                    await asyncio.sleep(0.02)
        with pytest.raises((LedgerUnavailable, LedgerMismatch)):
            await waiting
        world.now_ms = hold.expires_at + 1
        async with world.ledger(payer, url, is_refunding=False) as ledger:
            (made,) = await final(still, asyncio.create_task(ledger.hold([hold])))
            assert isinstance(made, Done), made
            assert made.view.state is HoldState.HELD


async def test_hold_that_never_got_into_a_block_has_expired(still: Anvil, tmp_path: Path) -> None:
    """A lock that waited for a block until its time-out is refused for good only once the chain has passed it over."""
    async with escrow_world(still) as world:
        payer, payee = await world.person(1_000), await world.person()
        url = urls_in(tmp_path)[0]
        async with world.ledger(payer, url) as ledger:
            await held_before(world, ledger, payee)
            hold = await world.hold(ledger.own, own_of(payee), "one", 500)
            await still.rpc.call("evm_setAutomine", False)
            await still.rpc.call("evm_setIntervalMining", 0)
            waiting = asyncio.create_task(ledger.hold([hold]))
            async with asyncio.timeout(PATIENCE_S):
                while await pending(world, payer) == 0:
                    await asyncio.sleep(0.02)
        with pytest.raises((LedgerUnavailable, LedgerMismatch)):
            await waiting
        world.now_ms = hold.expires_at + 1
        async with world.ledger(payer, url) as ledger:
            asked = asyncio.create_task(ledger.hold([hold]))
            await asyncio.sleep(0.5)
            assert not asked.done()
            await still.rpc.call("evm_setNextBlockTimestamp", hold.expires_at // 1_000)
            (late,) = await final(still, asked)
            assert refusal(late) is Refusal.EXPIRED
            assert await ledger.transfers([hold.transfer_id]) == (None,)


async def test_hold_is_done_only_when_a_reorg_cannot_undo_it(still: Anvil, tmp_path: Path) -> None:
    """A lock whose block is dropped before it was final is sent again, and told of once, when it is final."""
    async with escrow_world(still) as world:
        payer, payee = await world.person(1_000), await world.person()
        async with world.ledger(payer, urls_in(tmp_path)[0]) as ledger:
            await held_before(world, ledger, payee)
            await still.rpc.call("evm_setIntervalMining", 0)
            hold = await world.hold(ledger.own, own_of(payee), "one", 500)
            waiting = asyncio.create_task(ledger.hold([hold]))
            async with asyncio.timeout(PATIENCE_S):
                while await pending(world, payer) == 0:
                    await asyncio.sleep(0.02)
            await still.mine()
            assert await pending(world, payer) == 0
            await still.rpc.call("anvil_reorg", 1, [])
            assert await ledger.transfers([id_of("one")]) == (None,)
            assert not waiting.done()
            (made,) = await final(still, waiting)
            assert isinstance(made, Done)
            events = await seen(ledger, "one", HoldState.HELD)
            assert [one.view.hold.transfer_id for one in events] == [id_of("before"), id_of("one")]
            assert (await ledger.account()).available == 400


async def test_lost_database_is_read_from_the_chain_again(world: EscrowWorld, tmp_path: Path) -> None:
    """A ledger without its database knows its holds again, and a repeat of one is the same."""
    payer, payee = await world.person(1_000), await world.person()
    first, second = urls_in(tmp_path)
    async with world.ledger(payer, first) as ledger:
        hold = await world.hold(ledger.own, own_of(payee), "one", 500)
        (made,) = await ledger.hold([hold])
        told = await seen(ledger, "one", HoldState.HELD)
    async with world.ledger(payer, second) as ledger:
        assert (await ledger.hold([hold]))[0] == made
        assert await seen(ledger, "one", HoldState.HELD) == told
        assert (await ledger.account()).available == 500


@pytest.mark.parametrize("moment", list(Moment))
async def test_crashes_while_fulfilling_pay_once(world: EscrowWorld, tmp_path: Path, moment: Moment) -> None:
    """Whichever commit of a fulfilment a process dies at, the next one finishes it, and is paid once."""
    payer, payee = await world.person(1_000), await world.person()
    urls = urls_in(tmp_path)
    labels = [f"{moment}-{number}" for number in range(1, 5)]
    async with world.ledger(payer, urls[0]) as ledger:
        holds = [await world.hold(ledger.own, own_of(payee), label, 100) for label in labels]
        assert all(isinstance(one, Done) for one in await ledger.hold(holds))
    for number, label in enumerate(labels, 1):
        hook = CrashAt(number, moment)
        word = Fulfilment(id_of(label), preimage_of(label))
        with suppress(Crash):
            async with world.ledger(payee, urls[1], commit_hook=hook) as ledger:
                await seen(ledger, label, HoldState.HELD)
                hook.is_armed = True
                with suppress(LedgerUnavailable, LedgerMismatch, Crash):
                    async with asyncio.timeout(PATIENCE_S):
                        await ledger.fulfil([word])
        async with world.ledger(payee, urls[1]) as ledger:
            (paid,) = await ledger.fulfil([word])
            assert isinstance(paid, Done), (label, paid)
            assert (await ledger.account()).balance == 100 * number


async def test_claim_that_was_begun_goes_on(
    world: EscrowWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preimage that may be out already is brought however little time is left, and its hold is not given back."""
    payer, payee = await world.person(1_000), await world.person()
    urls = urls_in(tmp_path)
    async with world.ledger(payer, urls[0]) as ledger:
        hold = await world.hold(ledger.own, own_of(payee), "one", 100)
        await ledger.hold([hold])
    word = Fulfilment(hold.transfer_id, preimage_of("one"))

    async def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(Errands, "claim", crash)
        async with world.ledger(payee, urls[1]) as ledger:
            await seen(ledger, "one", HoldState.HELD)
            with pytest.raises(Crash):
                await ledger.fulfil([word])
    async with world.ledger(payee, urls[1]) as ledger:
        (kept,) = await ledger.cancel([hold.transfer_id])
        assert refusal(kept) is Refusal.NOT_ALLOWED
        assert (await ledger.transfers([hold.transfer_id]))[0].preimage is None
        world.now_ms = hold.expires_at - 1
        (paid,) = await ledger.fulfil([word])
        assert isinstance(paid, Done)
