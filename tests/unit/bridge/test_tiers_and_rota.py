"""Confirmations by amount, and whose turn it is."""

from __future__ import annotations

import pytest

from bridge.rota import coordinator
from bridge.tiers import Tier, Tiers, confirmations
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi, UnixMs

MEMBERS = (b"a", b"b", b"c")


def tier(up_to: int | None, asked: int) -> Tier:
    return Tier(None if up_to is None else Satoshi(up_to), asked)


def test_an_amount_needs_the_confirmations_of_the_first_tier_that_holds_it() -> None:
    """A tier's limit belongs to it; one satoshi more asks for the next."""
    tiers = Tiers((tier(100, 1), tier(1_000, 3), tier(None, 6)))
    assert [tiers.required(Satoshi(n)) for n in (0, 100, 101, 1_000, 1_001, 10**15)] == [1, 1, 3, 3, 6, 6]
    assert tiers.deepest == 6


@pytest.mark.parametrize(
    "tiers",
    [
        (),
        (tier(100, 1),),
        (tier(None, 1), tier(None, 2)),
        (tier(None, 1), tier(100, 2)),
        (tier(100, 1), tier(100, 2), tier(None, 3)),
        (tier(200, 1), tier(100, 2), tier(None, 3)),
        (tier(None, 0),),
        (tier(100, 3), tier(None, 2)),
    ],
)
def test_tiers_that_make_no_sense_name_the_setting(tiers: tuple[Tier, ...]) -> None:
    """None, unbounded in the middle, bounded at the end, not ascending, or fewer confirmations for more money."""
    with pytest.raises(BadInput) as refusal:
        Tiers(tiers)
    assert refusal.value.field == "confirmations"


@pytest.mark.parametrize(("height", "tip", "have"), [(10, 10, 1), (10, 15, 6), (10, 9, 0), (None, 10, 0), (0, 0, 1)])
def test_confirmations_count_the_block_itself(height: int | None, tip: int, have: int) -> None:
    """One in the newest block, none outside the chain or above its tip."""
    assert confirmations(None if height is None else BlockHeight(height), BlockHeight(tip)) == have


def test_the_turn_goes_round_by_the_clock() -> None:
    """Each member has a whole slot, in the registry's order, and then again."""
    turns = [coordinator(MEMBERS, UnixMs(now), 1_000) for now in (0, 999, 1_000, 2_000, 3_000, 3_999)]
    assert turns == [b"a", b"a", b"b", b"c", b"a", b"a"]


@pytest.mark.parametrize(("members", "slot_ms"), [((), 1_000), (MEMBERS, 0), (MEMBERS, -1)])
def test_a_rota_without_members_or_time_is_a_mistake(members: tuple[bytes, ...], slot_ms: int) -> None:
    """It would be nobody's turn for ever."""
    with pytest.raises(ValueError, match="rota"):
        coordinator(members, UnixMs(0), slot_ms)
