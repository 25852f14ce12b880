"""Nodes that read two chains in other orders, and crash, want the same signed in the end; and never two payments."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.evm.lockbox import events as lb
from adapters.evm.lockbox.types import NATIVE_COIN, RETURN, Payment
from adapters.evm.types import BlockRef
from adapters.native import events as e
from bridge.agents.vaults.wanted import wanted_of
from bridge.vault_requests import VaultRequest, cancel_request, release_request
from foundation.errors import CausewayError
from foundation.quantities import BlockHeight, TokenUnits
from tests.support.bridge_evm import ETH, EVM_GROUP, SENDER, Asked
from tests.support.bridge_intake import Chains

pytestmark = pytest.mark.slow

PAYOUT, OTHER_PAYOUT = b"p" * 32, b"q" * 32
HELD = 100 * ETH
ONE, RAISED, PLAIN = Asked(1), Asked(2, amount=3 * ETH, max_fee=500), Asked(5, amount=2 * ETH)
TAKEN_BACK, UNBOUND = Asked(3), Asked(4)
PAID = replace(RAISED, max_fee=700)
"""As its owner asked for it before it was reserved."""
OUTCOMES = ("waits", "paid", "failed", "claimed", "cancelled")


@dataclass(frozen=True)
class Reading:
    """How a node reads. `turns`: whose batch is next, how many events it has, and what happens at its commit: nothing,
    the node starts anew after it, or its answer is lost and the batch is brought again.
    """

    turns: tuple[tuple[bool, int, str], ...]


readings = st.lists(
    st.tuples(st.booleans(), st.integers(1, 4), st.sampled_from(["", "", "restart", "again"])), max_size=14
).map(lambda turns: Reading(tuple(turns)))


@dataclass
class Signed:
    """What nodes would have put their shares to, at any time. Fields: payments by number; cancelled numbers."""

    payments: dict[int, set[Payment]] = field(default_factory=lambda: defaultdict(set))
    cancelled: set[int] = field(default_factory=set)


def payment(asked: Asked) -> Payment:
    return Payment(asked.number, NATIVE_COIN, asked.destination, TokenUnits(asked.rest), TokenUnits(asked.max_fee))


def goes_back(number: int, amount: int) -> Payment:
    return Payment(RETURN | number, NATIVE_COIN, SENDER, TokenUnits(amount), TokenUnits(0))


HONEST = (payment(ONE), payment(PAID), payment(PLAIN), goes_back(2, ETH))
PROPOSED = (
    *HONEST,
    payment(RAISED),
    payment(TAKEN_BACK),
    payment(UNBOUND),
    goes_back(1, HELD),
    goes_back(3, 2 * ETH),
    *(replace(paid, payee=b"x" * 20) for paid in HONEST),
    *(replace(paid, amount=TokenUnits(paid.amount + 1)) for paid in HONEST),
)


def scripts(chains: Chains, outcome: str) -> tuple[list[lb.LockboxEvent], list[Any]]:
    """What the vault emits and what the Hub emits, each in its own order."""
    side, hub = chains.ethereum, chains.context.withdrawal_id
    vault: list[lb.LockboxEvent] = [side.locked(1, HELD), side.locked(2, ETH), side.locked(3, 2 * ETH)]
    if outcome == "paid":
        vault.append(side.released(1, ONE.rest, ONE.max_fee))
    elif outcome == "cancelled":
        vault.append(side.cancelled(1))
    elif outcome != "waits":
        vault.append(side.failed(1, ONE.rest, ONE.max_fee))
    if outcome == "claimed":
        vault.append(side.claimed(1, ONE.rest))
    native = [
        chains.mints(1, HELD),
        *(chains.asks(asked) for asked in (ONE, RAISED, TAKEN_BACK, UNBOUND, PLAIN)),
        e.WithdrawalCancelled(chains.at(), hub(TAKEN_BACK.number)),
        e.MaxFeeRaised(chains.at(), hub(RAISED.number), TokenUnits(PAID.max_fee)),
        chains.bars(2, ETH),
        chains.reserves(PAYOUT, ONE, RAISED),
        chains.reserves(OTHER_PAYOUT, PLAIN),
    ]
    return vault, native


async def try_all(chains: Chains, signed: Signed) -> None:
    """Propose everything, honest or not, and note what this node would sign now."""
    authorizer, chain = chains.vaults(), chains.ethereum.chain.id

    async def is_signed(request: VaultRequest) -> bool:
        try:
            await authorizer.authorize(EVM_GROUP, request.kind, request.body)
        except CausewayError:
            return False
        return True

    for proposed in PROPOSED:
        if await is_signed(release_request(chain, 0, [proposed])):
            signed.payments[proposed.number].add(proposed)
    for number in (1, 2, 3, 4, 5, RETURN | 1, RETURN | 2):
        if await is_signed(cancel_request(chain, 0, [number])):
            signed.cancelled.add(number)


async def read(folder: Path, reading: Reading, outcome: str, signed: Signed) -> set[bytes]:
    """Read both chains to the end, and return the messages that the node wants signed then."""
    chains = await Chains.open(folder)
    await chains.serve(chains.ethereum)
    vault, native = scripts(chains, outcome)
    turns = list(reading.turns)
    while vault or native:
        of_vault, size, happens = turns.pop(0) if turns else (True, 3, "")
        if (of_vault and vault) or not native:
            batch = chains.ethereum.batch(vault[:size])
            vault = vault[size:]
            for _ in range(2 if happens == "again" else 1):
                await chains.intake.evm(chains.ethereum.chain.id, batch)
        else:
            chains.block += 1
            last = BlockRef(BlockHeight(chains.block), bytes([chains.block]) * 32)
            events = e.EventBatch(BlockHeight(chains.block), last, tuple(native[:size]))
            native = native[size:]
            for _ in range(2 if happens == "again" else 1):
                await chains.intake.native(events)
        if happens == "restart":
            chains = await chains.restarted()
        if turns or not (vault or native):
            await try_all(chains, signed)
    origin = chains.context.directory.origins[chains.ethereum.chain.id]
    async with chains.database.view() as view:
        found = {item.request.body for item in await wanted_of(view, chains.context, origin, 0, 0)}
    await chains.database.close()
    return found


async def run(nodes: list[Reading], outcome: str) -> tuple[list[set[bytes]], Signed]:
    signed = Signed()
    wanted = []
    for reading in nodes:
        with tempfile.TemporaryDirectory() as folder:
            wanted.append(await read(Path(folder), reading, outcome, signed))
    return wanted, signed


@settings(max_examples=10, deadline=None)
@given(st.lists(readings, min_size=2, max_size=3), st.sampled_from(OUTCOMES))
def test_all_nodes_want_the_same_and_none_signs_two_payments_for_a_number(nodes: list[Reading], outcome: str) -> None:
    """Whatever was read when, and whatever a coordinator proposes: one payment a number, to whom it was asked for."""
    wanted, signed = asyncio.run(run(nodes, outcome))
    assert all(found == wanted[0] for found in wanted)
    assert wanted[0], "something waits in the end"
    assert {number: {paid} for number, paid in ((p.number, p) for p in HONEST)} == dict(signed.payments)
    assert signed.cancelled == set()
