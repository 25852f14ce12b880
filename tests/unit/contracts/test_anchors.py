"""Anchors: each authority's roots in a chain of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boa
import pytest

from tests.support.escrow import PAYEE, PAYER, deploy_plain
from tests.support.native_contracts import event, refused

NOTHING = bytes(32)
ROOTS = [bytes([number]) * 32 for number in range(1, 5)]


@pytest.fixture
def anchors() -> Iterator[Any]:
    """A new contract."""
    with boa.env.anchor():
        yield deploy_plain("Anchors")


def test_roots_are_numbered_linked_and_told(anchors: Any) -> None:
    """Each anchor names the root before, and covers the records after those of the one before."""
    assert tuple(anchors.latest(PAYER.address)) == (0, NOTHING, 0)
    previous, last = NOTHING, 0
    for index, (root, count) in enumerate(zip(ROOTS, (1, 500, 7, 2**64), strict=True), 1):
        assert anchors.anchor(root, count, previous, sender=PAYER.address) == index
        assert event(anchors, "Anchored") == {
            "authority": PAYER.address,
            "index": index,
            "root": root,
            "previous": previous,
            "first": last + 1,
            "last": last + count,
        }
        previous, last = root, last + count
        assert tuple(anchors.latest(PAYER.address)) == (index, root, last)
    assert [anchors.root_of(PAYER.address, index) for index in range(6)] == [NOTHING, *ROOTS, NOTHING]


@pytest.mark.parametrize("previous", [NOTHING, ROOTS[0], ROOTS[2]])
def test_wrong_past_is_refused(anchors: Any, previous: bytes) -> None:
    """Whoever does not name the last root, as after a lost answer, anchors nothing: so a repeat is no second anchor."""
    anchors.anchor(ROOTS[0], 1, NOTHING, sender=PAYER.address)
    anchors.anchor(ROOTS[1], 1, ROOTS[0], sender=PAYER.address)
    with refused("Anchors: another root is the last"):
        anchors.anchor(ROOTS[2], 1, previous, sender=PAYER.address)


def test_first_anchor_has_no_past(anchors: Any) -> None:
    """An authority's first anchor names no root before it."""
    with refused("Anchors: another root is the last"):
        anchors.anchor(ROOTS[1], 1, ROOTS[0], sender=PAYER.address)


def test_authorities_do_not_meet(anchors: Any) -> None:
    """What one authority anchors is not in another's chain."""
    anchors.anchor(ROOTS[0], 3, NOTHING, sender=PAYER.address)
    anchors.anchor(ROOTS[1], 4, NOTHING, sender=PAYEE.address)
    assert tuple(anchors.latest(PAYER.address)) == (1, ROOTS[0], 3)
    assert tuple(anchors.latest(PAYEE.address)) == (1, ROOTS[1], 4)


def test_empty_root_is_refused(anchors: Any) -> None:
    """A root of zeros is what is read where there is none."""
    with refused("Anchors: no root"):
        anchors.anchor(NOTHING, 1, NOTHING)


@pytest.mark.parametrize("count", [0, 2**127 + 1, 2**256 - 1])
def test_count_without_a_sense_is_refused(anchors: Any, count: int) -> None:
    """A root covers at least one record, and no more than there can be."""
    with refused("Anchors: bad count"):
        anchors.anchor(ROOTS[0], count, NOTHING)


def test_numbers_do_not_run_into_each_other(anchors: Any) -> None:
    """At the greatest number of records the count of anchors is still right, and one record more is refused."""
    anchors.anchor(ROOTS[0], 2**127, NOTHING, sender=PAYER.address)
    assert tuple(anchors.latest(PAYER.address)) == (1, ROOTS[0], 2**127)
    with refused("Anchors: bad count"):
        anchors.anchor(ROOTS[1], 1, ROOTS[0], sender=PAYER.address)
