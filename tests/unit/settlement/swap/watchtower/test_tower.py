"""A watchtower at work, where nodes are away, lie or lose their memory: it drops nobody, and goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as replaced

from adapters.bitcoin import errors as bitcoin_errors
from adapters.evm import errors as evm_errors
from foundation.quantities import BlockHeight
from settlement.swap.bitcoin.watch import OutputView
from settlement.swap.machine.facts import LockStatus
from settlement.swap.terms import Mode, Role
from settlement.swap.watchtower import tower as module
from settlement.swap.watchtower.bundle import Bundle
from settlement.swap.watchtower.rests import LONGEST_SECONDS, Rests
from tests.support.swap_terms import NOW
from tests.support.swap_tower import Trade, made, on_paper
from tests.support.swap_towers import FakeChains, lock_of

GRACE = 600
AWAY = evm_errors.NodeUnavailable("eth_getLogs", "no answer in time")
REORGED = evm_errors.CursorReorged(BlockHeight(1), b"\x01" * 32, b"\x02" * 32)


def bundle_of(trade: Trade, role: Role) -> Bundle:
    """A side's, before the reveal."""
    keys = trade.follower if role is Role.FOLLOWER else trade.initiator
    return made(trade.state(role), keys, NOW)


def chains_for(*bundles: Bundle, is_folder: bool = True) -> FakeChains:
    """Their locks are open, and nothing was paid."""
    chains = FakeChains({one.owner: one for one in bundles}, is_folder)
    chains.locks = {lock_of(one): LockStatus.OPEN for one in bundles}
    return chains


def after_t1() -> tuple[Bundle, Bundle, FakeChains]:
    """An initiator's bundle on the shelf whose lock may be returned, and one of an older swap that is not there yet."""
    bundle = bundle_of(on_paper(), Role.INITIATOR)
    older = replace(bundle_of(on_paper(), Role.INITIATOR), since=NOW - 1_000)
    chains = chains_for(bundle)
    chains.evm_time = bundle.terms.evm.expires_at + 1
    return bundle, older, chains


def funded(trade: Trade) -> dict[bytes, tuple[OutputView, ...]]:
    """The output of a swap."""
    assert trade.coin is not None
    return {trade.output.script: (OutputView(trade.coin.outpoint, trade.coin.value, 3),)}


async def test_a_lock_is_not_over_while_it_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a deep reorganisation nothing is known of it: T1 has passed, and still it is returned when the node is
    back."""
    bundle = bundle_of(on_paper(), Role.INITIATOR)
    chains = chains_for(bundle, is_folder=False)
    chains.evm_time = bundle.terms.evm.expires_at + GRACE - 1
    async with chains.tower(tmp_path / "memory", monkeypatch) as run:
        await chains.once_that(lambda: run.tower.sight(bundle).lock, "the lock is seen")
        chains.once["evm"], chains.trouble["evm"] = REORGED, AWAY
        await chains.once_that(lambda: run.tower.sight(bundle).lock is None, "all is read anew")
        await chains.look()
        assert not run.task.done()
        assert not run.tower.over
        assert run.tower.sight(bundle).evm_time == 0
        chains.trouble.clear()
        chains.evm_time += 1
        await chains.once_that(lambda: chains.returned, "the lock is returned")


async def test_an_older_bundle_drops_no_other_and_is_read_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes all locks be read from an earlier block on, and a node is away meanwhile."""
    bundle, older, chains = after_t1()
    async with chains.tower(tmp_path / "memory", monkeypatch) as run:
        await chains.once_that(lambda: run.tower.sight(bundle).lock, "the lock is seen")
        chains.trouble["evm"] = AWAY
        chains.bundles[older.owner] = older
        chains.locks[lock_of(older)] = LockStatus.OPEN
        await chains.once_that(lambda: older.owner in run.tower.bundles, "the older one is there")
        await chains.look()
        assert not run.tower.over
        chains.trouble.clear()
        await chains.once_that(lambda: run.tower.sight(older).lock, "the older one's lock is read")
        chains.evm_time += GRACE
        await chains.once_that(lambda: len(set(chains.returned)) == 2, "both locks are returned")
    assert chains.begun == [NOW, NOW - 1_000]


async def test_locks_that_are_read_from_an_earlier_block_are_not_over_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node found the block, and was away when it was asked for the events."""
    bundle, older, chains = after_t1()
    async with chains.tower(tmp_path / "memory", monkeypatch) as run:
        await chains.once_that(lambda: run.tower.sight(bundle).lock, "the lock is seen")
        chains.trouble["events"] = AWAY
        chains.bundles[older.owner] = older
        await chains.once_that(lambda: len(chains.begun) == 2, "all is read anew")
        await chains.look()
        assert not run.tower.over
        assert run.tower.sight(bundle).evm_time == 0


async def test_a_bundle_is_not_over_before_bitcoin_was_read_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes after T1, and the node is away: the refund goes out when it is back."""
    other, trade = bundle_of(on_paper(), Role.FOLLOWER), on_paper()
    late = bundle_of(trade, Role.FOLLOWER)
    chains = chains_for(other)
    chains.outputs = funded(trade)
    chains.evm_time = chains.median_time = late.terms.evm.expires_at + 1
    async with chains.tower(tmp_path / "memory", monkeypatch) as run:
        await chains.once_that(lambda: other.owner in run.tower.over, "nobody has paid in the other swap")
        chains.trouble["bitcoin"] = bitcoin_errors.NodeUnavailable("getblock", "is away")
        chains.bundles[late.owner] = late
        chains.locks[lock_of(late)] = LockStatus.OPEN
        await chains.once_that(lambda: run.tower.sight(late).lock, "the lock is read")
        await chains.look()
        assert late.owner not in run.tower.over
        chains.trouble.clear()
        await chains.once_that(lambda: chains.sent, "the refund is broadcast")


async def test_a_lock_that_was_not_read_may_be_the_followers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock was claimed, so that the bitcoin is the initiator's, late as it is: an EVM node that is away changes
    nothing of that."""
    trade = on_paper()
    bundle = bundle_of(trade, Role.FOLLOWER)
    chains = chains_for(bundle)
    chains.outputs, chains.secret = funded(trade), trade.secret
    chains.locks[lock_of(bundle)] = LockStatus.CLAIMED
    chains.evm_time = chains.median_time = bundle.terms.bitcoin.expires_at + GRACE + 1
    chains.trouble["evm"] = AWAY
    async with chains.tower(tmp_path / "memory", monkeypatch) as run:
        await chains.once_that(lambda: run.tower.sight(bundle).outputs, "the output is seen")
        await chains.look()
        chains.trouble.clear()
        await chains.once_that(lambda: run.tower.over, "the lock is seen to be the follower's")
        assert not chains.sent


WRONG = [
    ("evm", evm_errors.RpcRefused("eth_getLogs", -32000, "too many")),
    ("evm", evm_errors.BadAnswer("eth_getLogs", "result", "is no list")),
    ("evm", evm_errors.AccessDenied("eth_getLogs", 403)),
    ("bitcoin", bitcoin_errors.RpcRefused("getblock", -1, "pruned data")),
    ("bitcoin", bitcoin_errors.BadAnswer("getblock", "result", "is no text")),
    ("bitcoin", bitcoin_errors.AccessDenied("getblock", 401)),
]


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(("name", "error"), WRONG)
async def test_no_answer_of_a_node_ends_a_tower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception, is_first: bool
) -> None:
    """Whether it comes at first or later on: it is told of once, and asked again, and what the other chain asks for is
    done meanwhile."""
    trade = on_paper()
    sleeper, payer = bundle_of(trade, Role.FOLLOWER), bundle_of(on_paper(Mode.POINT), Role.INITIATOR)
    chains = chains_for(sleeper, payer)
    chains.outputs = funded(trade)
    if is_first:
        chains.trouble[name] = error
    async with chains.tower(tmp_path / "memory", monkeypatch) as run:
        await chains.look()
        chains.trouble[name] = error
        await chains.once_that(lambda: name in run.tower.problems, "it is in trouble")
        chains.median_time = sleeper.act_by
        chains.evm_time = payer.terms.evm.expires_at + GRACE
        if name == "evm":
            await chains.once_that(lambda: chains.sent, "the refund is broadcast all the same")
            assert not chains.returned
        else:
            await chains.once_that(lambda: chains.returned, "the lock is returned all the same")
            assert not chains.sent
        chains.trouble.clear()
        await chains.once_that(lambda: chains.sent and chains.returned, "it goes on")
        assert not run.tower.problems
    told = [text for text in chains.said if type(error).__name__ in text]
    assert len(told) == 2, "once for each bundle"


async def test_the_funding_is_looked_for_at_every_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Last of all: what else was paid to the script, and fell out of its blocks, pushes it out of no memory."""
    bundle = bundle_of(on_paper(), Role.FOLLOWER)
    (ladder,) = bundle.refunds
    other = replaced(ladder, outpoint=b"\x0d" * 36, value=5_000)
    bundle = replace(bundle, refunds=(ladder, other))
    chains = chains_for(bundle)
    async with chains.tower(tmp_path / "memory", monkeypatch):
        await chains.look(3)
    assert chains.expected[:4] == [other.outpoint[:32], ladder.outpoint[:32]] * 2


async def test_a_node_that_refuses_to_take_anything_ends_no_tower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refund is handed over again; nor does a disk that is full matter."""
    trade = on_paper()
    bundle = bundle_of(trade, Role.FOLLOWER)
    chains = chains_for(bundle)
    chains.outputs = funded(trade)
    chains.median_time = bundle.terms.bitcoin.expires_at + GRACE + 1
    chains.trouble["mempool"] = bitcoin_errors.RpcRefused("sendrawtransaction", -32601, "Method not found")
    async with chains.tower(tmp_path / "nowhere" / "memory", monkeypatch):
        await chains.once_that(lambda: any("RpcRefused" in text for text in chains.said), "it is refused")
        chains.trouble.clear()
        await chains.once_that(lambda: chains.sent, "the refund is broadcast")
        await chains.look()


async def test_a_tower_leaves_a_node_in_trouble_alone_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And asks the other chain's meanwhile."""
    now = 0.0
    monkeypatch.setattr(module, "Rests", lambda first: Rests(first, lambda: now))
    chains = chains_for(bundle_of(on_paper(), Role.FOLLOWER))
    chains.trouble["evm"] = AWAY
    async with chains.tower(tmp_path / "memory", monkeypatch):
        await chains.look(5)
        assert chains.asked.count("evm") == 1
        assert chains.asked.count("bitcoin") >= 4
        now = LONGEST_SECONDS
        await chains.look(5)
        assert chains.asked.count("evm") == 2


def test_a_chain_that_cannot_be_read_is_asked_less_and_less() -> None:
    """Up to half a minute, and at once again when it has answered; another one's rest is its own."""
    now = 0.0
    rests = Rests(1.0, lambda: now)
    found = []
    for _ in range(8):
        rests.give("evm")
        begin = now
        while rests.has("evm"):
            now += 0.5
        found.append(now - begin)
        assert not rests.has("bitcoin")
    assert found == [1, 2, 4, 8, 16, LONGEST_SECONDS, LONGEST_SECONDS, LONGEST_SECONDS]
    rests.end("evm")
    rests.give("evm")
    now += 1.0
    assert not rests.has("evm")
