"""Signing many items leaves the event loop free."""

import asyncio
import threading

from mpc import bip340, frost, offload, roast, signing_run
from mpc.cluster_errors import SessionUnknown
from mpc.messages import Close, Invite
from tests.support.cluster import GROUP, item, members

ITEMS = 64


async def test_small_work_is_done_at_once_and_large_work_beside_the_loop():
    """A small cost runs in the loop's thread, a large one in another, with its result or its error."""
    here = threading.get_ident()
    assert await offload.compute(offload.INLINE_COST, threading.get_ident) == here
    assert await offload.compute(offload.INLINE_COST + 1, threading.get_ident) != here
    assert await offload.compute(10**6, lambda a, *, b: a + b, 1, b=2) == 3


async def test_a_sweep_is_signed_in_one_session_beside_the_loop(tmp_path, monkeypatch):
    """64 items are one session of one round; nonces, partial signatures and sums are made beside the loop's thread."""
    threads = {"nonce": set(), "sign": set(), "aggregate": set()}
    rounds = set()

    def watch(module, name, label):
        inner = getattr(module, name)

        def watched(*args, **options):
            threads[label].add(threading.get_ident())
            return inner(*args, **options)

        monkeypatch.setattr(module, name, watched)

    watch(frost, "nonce_gen", "nonce")
    watch(frost, "sign", "sign")
    watch(frost, "aggregate_and_verify", "aggregate")
    step = roast.step

    def watched_step(state, change, now):
        following, effects = step(state, change, now)
        rounds.update(effect.round.number for effect in effects if isinstance(effect, roast.Ask))
        return following, effects

    monkeypatch.setattr(signing_run.roast, "step", watched_step)
    monkeypatch.setattr(
        roast, "HEAD_START_MS", 60_000
    )  # a round that a busy machine makes slow is no reason for another
    body = b"".join(bytes([i]) * 32 for i in range(ITEMS))
    async with members(tmp_path, 3, 5) as (nodes, _):
        signatures = await nodes[0].cluster.sign(GROUP, "test", body, 60)
        key = nodes[0].cluster.key(GROUP)
    for i, signature in enumerate(signatures):
        assert bip340.verify(item(bytes([i]) * 32).message, key.tweaked(item(bytes([i]) * 32)), signature)
    assert len(signatures) == ITEMS
    assert rounds == {0}
    assert all(threads.values())
    assert threading.get_ident() not in set().union(*threads.values())


async def test_a_session_closed_while_nonces_are_made_leaves_none(tmp_path):
    """A coordinator that closes a session while its nonces are being made leaves no nonce in the signer's memory."""
    body = b"".join(bytes([i]) * 32 for i in range(ITEMS))
    async with members(tmp_path, 2, 3) as (nodes, _):
        service, coordinator, session = nodes[0].cluster.signer, nodes[1].identity.host_key, bytes(32)
        make = service._nonces.make

        async def slow(*arguments):
            made = await make(*arguments)
            service.close_session(coordinator, Close(session))
            return made

        service._nonces.make = slow
        (outcome,) = await asyncio.gather(
            service.invite(coordinator, Invite(session, GROUP, 0, "test", body)), return_exceptions=True
        )
        assert isinstance(outcome, SessionUnknown)
        assert service._nonces.outstanding(coordinator) == 0
        assert service.open_sessions == 0
