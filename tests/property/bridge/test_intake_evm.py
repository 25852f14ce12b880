"""A node's books are the same in whatever order it reads two chains, however batched, however often it restarts."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.evm.lockbox.events import LockboxEvent
from adapters.evm.lockbox.types import RETURN
from adapters.native import events as e
from bridge.agents.attesting import claims_due
from bridge.deposits import Stage
from bridge.intake.common import supply_fact
from bridge.payouts import PayoutStage, WithdrawalStage
from foundation.quantities import BlockHeight, TokenUnits
from tests.support.bridge_evm import ETH, PAYEE, SENDER, Asked
from tests.support.bridge_intake import Chains

pytestmark = pytest.mark.slow

PAYOUT = b"p" * 32
OUTCOMES = ("paid", "failed", "claimed", "given up", "never tried")
amounts = st.sampled_from([20_000, 10 * ETH, 2**64, 2**200])


@dataclass(frozen=True)
class Plan:
    """What happens on the two chains. `order`: whose batch the node reads next; `sizes`: how many events are in it."""

    kept: int
    refused: int
    outcomes: tuple[str, str]
    order: tuple[bool, ...] = ()
    sizes: tuple[int, ...] = ()
    restarts: frozenset[int] = frozenset()


plans = st.builds(
    Plan,
    kept=amounts,
    refused=st.integers(1, 9_999),
    outcomes=st.tuples(st.sampled_from(OUTCOMES), st.sampled_from(OUTCOMES)),
    order=st.lists(st.booleans(), max_size=16).map(tuple),
    sizes=st.lists(st.integers(1, 4), max_size=16).map(tuple),
    restarts=st.frozensets(st.integers(0, 8), max_size=2),
)


@dataclass
class Script:
    """What the vault emits and what the Hub emits, each in its own order."""

    vault: list[LockboxEvent] = field(default_factory=list)
    hub: list[Any] = field(default_factory=list)


def script(chains: Chains, plan: Plan) -> Script:
    side, half = chains.ethereum, plan.kept // 2
    asked = [Asked(1, half, 100, 3, PAYEE), Asked(2, plan.kept - half, 200, 0, PAYEE)]
    found = Script()
    found.vault = [side.locked(1, plan.kept), side.locked(2, plan.refused)]
    last = b""
    for a, outcome in zip(asked, plan.outcomes, strict=True):
        if outcome == "never tried":
            events: list[LockboxEvent] = [side.cancelled(a.number)]
        elif outcome == "paid":
            events = [side.released(a.number, a.rest, a.max_fee)]
        else:
            events = [side.failed(a.number, a.rest, a.max_fee)]
        last = events[0].at.transaction
        if outcome == "claimed":
            events.append(side.claimed(a.number, a.rest))
        elif outcome == "given up":
            events.append(side.cancelled(a.number, a.rest))
        found.vault += events
    found.vault.append(side.released(RETURN | 2, plan.refused, 0, payee=SENDER))
    restored = [
        e.WithdrawalRestored(chains.at(), chains.context.withdrawal_id(a.number), TokenUnits(given))
        for a, outcome in zip(asked, plan.outcomes, strict=True)
        if (given := {"given up": a.rest, "never tried": a.amount}.get(outcome))
    ]
    found.hub = [
        chains.mints(1, plan.kept),
        *(chains.asks(a) for a in asked),
        chains.bars(2, plan.refused),
        chains.reserves(PAYOUT, *asked),
        chains.settles(PAYOUT, last, *asked),
        *restored,
    ]
    return found


async def read(folder: Path, plan: Plan, *, whole: bool = False) -> dict[str, object]:
    """What a node's database says in the end. `whole`: it reads the vault's chain first, in one batch."""
    chains = await Chains.open(folder)
    await chains.serve(chains.ethereum)
    todo = script(chains, plan)
    if whole:
        await chains.evm(*todo.vault)
        await chains.say(*todo.hub)
    order, sizes, turn = list(plan.order), list(plan.sizes), 0
    while not whole and (todo.vault or todo.hub):
        of_vault = order.pop(0) if order else True
        size = sizes.pop(0) if sizes else 2
        if (of_vault and todo.vault) or not todo.hub:
            batch, todo.vault = todo.vault[:size], todo.vault[size:]
            await chains.evm(*batch)
        else:
            events, todo.hub = todo.hub[:size], todo.hub[size:]
            await chains.say(*events)
        turn += 1
        if turn in plan.restarts:
            chains = await chains.restarted()
    books = await summary(chains)
    await chains.database.close()
    return books


async def summary(chains: Chains) -> dict[str, object]:
    ids = [chains.context.withdrawal_id(number) for number in (1, 2)]
    async with chains.database.view() as view:
        due = await claims_due(view, BlockHeight(0), 2, chains.context)
        releases = await view.releases.get_many(chains.ethereum.chain.id, [1, 2, RETURN | 2])
    # Heights differ with the batches; why a deposit was refused is not asked any more once it is sent back.
    ignored = {"height": None, "spend": None, "refusal": None}
    deposits = [await chains.locked(number) for number in (1, 2)]
    assert all(deposit is not None for deposit in deposits)
    plain = [{**{n: getattr(d, n) for n in d.__slots__}, **ignored} for d in deposits if d is not None]
    payout = await chains.payout(PAYOUT)
    assert payout is not None
    assert payout.confirmed is not None
    return {
        "deposits": plain,
        "withdrawals": [_without_block(await chains.withdrawal(id_)) for id_ in ids],
        "payout": (payout.stage, payout.settled, payout.confirmed.txid, payout.confirmed.fee),
        "releases": {number: (row.outcome, row.amount, row.fee) for number, row in releases.items()},
        "held": await chains.held(),
        "supply": int(await chains.fact(supply_fact(chains.ethereum.coin.id)) or b"0"),
        "due": [item.claim for item in due],
        "alarms": await chains.alarms(),
    }


def _without_block(withdrawal: Any) -> dict[str, object]:
    return {n: getattr(withdrawal, n) for n in withdrawal.__slots__ if n not in {"requested_at", "request_transaction"}}


@settings(max_examples=8, deadline=None)
@given(plan=plans)
def test_the_order_in_which_two_chains_are_read_does_not_matter(plan: Plan) -> None:
    """Every lock is kept or sent back, every number accounted for once, and tokens and coin agree to the last unit."""

    async def both() -> tuple[dict[str, Any], dict[str, Any]]:
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            return await read(Path(one), plan), await read(Path(two), plan, whole=True)

    books, expected = asyncio.run(both())
    assert books == expected
    assert [deposit["stage"] for deposit in books["deposits"]] == [Stage.HELD, Stage.RETURNED]
    assert books["payout"][0] is PayoutStage.SETTLED
    back = {"given up": WithdrawalStage.RESTORED, "never tried": WithdrawalStage.RESTORED}
    stages = [withdrawal["stage"] for withdrawal in books["withdrawals"]]
    assert stages == [back.get(outcome, WithdrawalStage.SETTLED) for outcome in plan.outcomes]
    assert books["held"] == books["supply"] + 3, "the service fee backs nothing yet"
    assert books["due"] == []
    assert books["alarms"] == []
