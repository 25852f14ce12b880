"""A peer that is away for long keeps the others' post waiting no longer than one round."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridge.agents import post as module
from bridge.agents.attesting import deposit_claim
from bridge.agents.post import ATTESTATION, Post, post
from bridge.codec import encode
from bridge.messages import Taken
from tests.support.bridge_office import World, attested, deposit, identity

SILENT, GOOD = identity(2).host_key, identity(3).host_key


async def test_all_that_waits_for_a_dead_peer_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More deliveries than are looked at together wait for a peer that does not answer: the next one still goes out."""
    monkeypatch.setattr(module, "_AT_ONCE", 3)
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.01)
    world = await World.open(tmp_path)
    world.peers.silent[SILENT] = asyncio.Event()
    world.peers.answers[GOOD] = lambda kind, body: encode(Taken([True]))
    body = encode(attested(deposit_claim(deposit(0)), 1))
    async with world.database.unit() as uow:
        for number in range(9):
            await post(uow, ATTESTATION, f"old{number}", body, [SILENT], world.office.clock())
        await post(uow, ATTESTATION, "new", body, [GOOD], world.office.clock())
        await uow.commit()
    delivery = Post(world.office)
    for _ in range(2):
        await delivery.run()
    assert [peer for peer, _, _ in world.peers.asked] == [SILENT, GOOD]
    await delivery.close()
    await world.database.close()
