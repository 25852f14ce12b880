"""A swap's EVM leg: what each step costs in gas, and what a memo costs to open. Pure EVM, no node.

Gas is that of whole transactions between accounts that exist, as `bench_contracts` counts it: deterministic, so that
one sample says all. Locks carry the memos that swaps put beside them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import boa
from boa.util.abi import Address

from benchmarks.bench_contracts import chain_of_its_own, transaction_gas
from settlement.swap.evm.memo import open_as_beneficiary, seal_memo
from tests.support.escrow import ETHER, KEEPER, PAYEE, PAYER, STRANGER, Desk, PointTerms, Terms, build_desk
from tests.support.swap_evm import sides_of, site_of

SAMPLES = 15
OPENINGS = 20
LOCK_GAS, CLAIM_GAS, REFUND_GAS = 55_000, 46_000, 43_000
OPEN_MS = 5.0
"""Whoever recovers tries each of its keys beside each lock that is for it: ten seconds for 100 locks and 20 keys."""

SITE = site_of()
SIDES = sides_of()
MEMOS = {is_hash: seal_memo(SITE, SIDES.terms(is_hash), SIDES.memo(is_hash), SIDES.namer) for is_hash in (True, False)}


def gas(desk: Desk, sender: str, call: Callable[[], object]) -> int:
    """The gas of a call as a transaction of its own, whose sender is warm (EIP-2929)."""

    def run_warm() -> None:
        boa.env.evm.vm.state.mark_address_warm(Address(sender).canonical_address)
        call()

    return transaction_gas(desk.escrow, run_warm)


def steps(
    desk: Desk, locks: tuple[Any, Any], lock: Callable[[Any], object], claim: Callable[[Any], object]
) -> list[int]:
    """Gas of a lock, a claim and a refund."""
    paid, returned = locks
    made = [gas(desk, PAYER.address, lambda terms=terms: lock(terms)) for terms in locks]
    claimed = gas(desk, STRANGER.address, lambda: claim(paid))
    boa.env.timestamp = returned.expires_at
    refund = desk.escrow.refund if isinstance(returned, Terms) else desk.escrow.refund_point
    return [max(made), claimed, gas(desk, STRANGER.address, lambda: refund(returned, sender=STRANGER.address))]


def measured() -> tuple[list[int], list[int]]:
    """The steps of a swap by a hash, and of a private one."""
    with chain_of_its_own():
        desk = build_desk()
        for one in (PAYER, PAYEE, KEEPER, STRANGER):
            boa.env.set_balance(one.address, ETHER)
        hashed: tuple[Terms, Terms] = (desk.terms("one"), desk.terms("two"))
        by_hash = steps(
            desk, hashed, lambda terms: desk.lock_noted(terms, MEMOS[True]), lambda terms: desk.claim(terms, "one")
        )
        points: tuple[PointTerms, PointTerms] = (desk.point_terms("three"), desk.point_terms("four"))
        by_point = steps(
            desk,
            points,
            lambda terms: desk.lock_point(terms, MEMOS[False]),
            lambda terms: desk.claim_point(terms, "three"),
        )
        return by_hash, by_point


def opening_ms() -> list[float]:
    """Times of opening a private swap's memo with the follower's key."""
    terms, times = SIDES.terms(False), []
    for _ in range(SAMPLES):
        start = time.perf_counter()
        for _ in range(OPENINGS):
            open_as_beneficiary(SITE, terms, MEMOS[False], SIDES.refunder)
        times.append((time.perf_counter() - start) * 1_000 / OPENINGS)
    return times


def figure(name: str, value: float, target: float | None, unit: str = "gas", samples: object = 1) -> dict[str, object]:
    """One figure."""
    return {"name": f"swap: {name}", "value": value, "unit": unit, "target": target, "samples": samples}


def run() -> list[dict[str, object]]:
    """Gas of all steps of both kinds of swaps of coin, and the time of opening a memo."""
    by_hash, by_point = measured()
    times = opening_ms()
    return [
        figure(f"lock ETH, with its memo of {len(MEMOS[True])} bytes", by_hash[0], LOCK_GAS),
        figure("claim ETH by a preimage", by_hash[1], CLAIM_GAS),
        figure("refund ETH", by_hash[2], REFUND_GAS),
        figure(f"lock ETH by a point, with its memo of {len(MEMOS[False])} bytes", by_point[0], None),
        figure("claim ETH by a scalar", by_point[1], CLAIM_GAS),
        figure("refund ETH of a point lock", by_point[2], REFUND_GAS),
        figure("open a memo", round(statistics.median(times), 3), OPEN_MS, "ms", times),
    ]
