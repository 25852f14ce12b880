"""Escrow and Anchors: what they cost stays within its bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boa
import pytest
from boa.util.abi import Address

from benchmarks.bench_contracts import chain_of_its_own, transaction_gas
from contracts.build import CODE_LIMIT_BYTES
from tests.support.escrow import (
    ETHER,
    HOUR,
    KEEPER,
    PAYEE,
    PAYER,
    STRANGER,
    Desk,
    PointTerms,
    Terms,
    build_desk,
    compiled,
    deploy_plain,
    preimage_of,
)
from tests.support.lockbox import at, odd_token

SHORT_MEMO_BYTES = 60
"""What the lock of a swap by a hash tells its two sides (`settlement.swap.evm.memo`)."""


def gas(contract: Any, sender: str, call: Callable[[], object]) -> int:
    """The gas of a call as a transaction of its own, whose sender is warm (EIP-2929)."""

    def run() -> None:
        boa.env.evm.vm.state.mark_address_warm(Address(sender).canonical_address)
        call()

    return transaction_gas(contract, run)


def coin(desk: Desk) -> dict[str, int]:
    """A lock, a claim and a refund of coin, to accounts that exist; a memo; a batch."""
    one, two = desk.terms(), desk.terms("two")
    claims = [(desk.lock(desk.terms(f"{number}")), preimage_of(f"{number}")) for number in range(10)]
    send = {"sender": STRANGER.address}
    return {
        "lock": max(gas(desk.escrow, PAYER.address, lambda terms=terms: desk.lock(terms)) for terms in (one, two)),
        "lock with a memo of 600 bytes": gas(
            desk.escrow, PAYER.address, lambda: desk.lock(desk.terms("memo"), b"\xaa" * 600)
        ),
        "claim": gas(desk.escrow, STRANGER.address, lambda: desk.claim(one)),
        "claim, of ten": gas(desk.escrow, STRANGER.address, lambda: desk.escrow.claim_batch(claims, **send)) // 10,
        "refund": gas(desk.escrow, STRANGER.address, lambda: refund_late(desk, two)),
    }


def swaps(desk: Desk) -> dict[str, int]:
    """What swaps of coin do: locks with the memos that they carry, and the ends of point locks."""
    noted, one, two, three = desk.terms("noted"), *(desk.point_terms(label) for label in ("p1", "p2", "p3"))

    def lock(terms: PointTerms, memo: bytes) -> int:
        return gas(desk.escrow, PAYER.address, lambda: desk.lock_point(terms, memo))

    return {
        "lock with a note of 60 bytes": gas(
            desk.escrow, PAYER.address, lambda: desk.lock_noted(noted, b"\xaa" * SHORT_MEMO_BYTES)
        ),
        "lock by a point": lock(one, b""),
        "lock by a point with a note of 60 bytes": lock(two, b"\xaa" * SHORT_MEMO_BYTES),
        "lock by a point with a note of 400 bytes": lock(three, b"\xaa" * 400),
        "claim by a scalar": gas(desk.escrow, STRANGER.address, lambda: desk.claim_point(one, "p1")),
        "refund by a point": gas(desk.escrow, STRANGER.address, lambda: refund_late(desk, two)),
    }


def refund_late(desk: Desk, terms: Terms | PointTerms) -> None:
    """Refund after the time-out."""
    boa.env.timestamp = terms.expires_at + HOUR
    refund = desk.escrow.refund if isinstance(terms, Terms) else desk.escrow.refund_point
    refund(terms, sender=STRANGER.address)


def tokens(desk: Desk) -> dict[str, int]:
    """A lock and a claim of a token that both have, its own part included."""
    token = odd_token(PAYER.address, 10**6)
    token.give(PAYEE.address, 1)
    token.approve(desk.address, 2**255, sender=PAYER.address)
    first = desk.lock(desk.terms("first-token", asset=at(token), amount=5))
    terms = desk.terms("token", asset=at(token), amount=5)
    return {
        "lock of a token": gas(desk.escrow, PAYER.address, lambda: desk.lock(terms)),
        "claim of a token": gas(desk.escrow, STRANGER.address, lambda: desk.claim(first, "first-token")),
    }


def anchors() -> dict[str, int]:
    """An authority's first anchor and its second."""
    contract = deploy_plain("Anchors")
    roots = [bytes(32), b"\x11" * 32, b"\x22" * 32]

    def anchor(number: int) -> int:
        values = (roots[number], 500, roots[number - 1])
        return gas(contract, PAYER.address, lambda: contract.anchor(*values, sender=PAYER.address))

    return {"first anchor": anchor(1), "anchor": anchor(2)}


@pytest.fixture(scope="module")
def figures() -> dict[str, int]:
    """Gas of whole transactions, on a chain of its own where everybody has an account."""
    with chain_of_its_own():
        desk = build_desk()
        for one in (PAYER, PAYEE, KEEPER, STRANGER):
            boa.env.set_balance(one.address, ETHER)
        return {**coin(desk), **swaps(desk), **tokens(desk), **anchors()}


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("lock", 55_000),
        ("claim", 46_000),
        ("refund", 43_000),
        ("lock with a memo of 600 bytes", 75_000),
        ("lock with a note of 60 bytes", 55_000),
        ("lock by a point", 55_000),
        ("lock by a point with a note of 60 bytes", 55_000),
        ("lock by a point with a note of 400 bytes", 65_000),
        ("claim by a scalar", 46_000),
        ("refund by a point", 43_000),
        ("claim, of ten", 26_000),
        ("lock of a token", 110_000),
        ("claim of a token", 95_000),
        ("anchor", 60_000),
        ("first anchor", 76_000),
    ],
)
def test_gas_is_bounded(figures: dict[str, int], name: str, most: int) -> None:
    """A whole transaction, with cold storage and its data, costs at most this."""
    assert figures[name] <= most


@pytest.mark.parametrize("name", ["Escrow", "Anchors"])
def test_code_is_far_below_the_limit(name: str) -> None:
    """They can be deployed on any EVM chain."""
    assert compiled(name)["size"] < CODE_LIMIT_BYTES * 2 // 3
