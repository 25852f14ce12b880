"""The committee's arithmetic: quorums, alarms and the Hub's bitmaps."""

from __future__ import annotations

import pytest

from adapters.native.types import BondTerms, Voucher, VoucherSet
from foundation.errors import BadInput
from foundation.quantities import Wei
from registry.groups import Member

ACCOUNTS = [bytes([number]) * 20 for number in range(3)]


def committee(*weights: int) -> VoucherSet:
    """Vouchers with the indices 0, 3, 6, … ."""
    vouchers = tuple(
        Voucher(Member(account, b"\2" * 33, b"\3" * 32, "tcp://127.0.0.1:1"), Wei(weight), 3 * number)
        for number, (account, weight) in enumerate(zip(ACCOUNTS, weights, strict=True))
    )
    return VoucherSet(vouchers, Wei(sum(weights)))


def test_a_quorum_is_more_than_two_thirds_and_an_alarm_more_than_one() -> None:
    """Exactly two thirds, or one, is not enough; nobody counts twice, and strangers not at all."""
    three = committee(1, 1, 1)
    assert not three.is_quorum(ACCOUNTS[:2])
    assert three.is_quorum(ACCOUNTS)
    assert not three.is_alarm([ACCOUNTS[0], ACCOUNTS[0], b"\x99" * 20])
    assert three.is_alarm(ACCOUNTS[:2])


def test_a_bitmap_holds_who_attested_by_index() -> None:
    """Each member has the bit of its index, whatever its place in the list; strangers have none."""
    three = committee(1, 2, 3)
    assert three.bitmap([ACCOUNTS[2], ACCOUNTS[0], ACCOUNTS[2], b"\x99" * 20]) == 0b1000001
    assert three.bitmap([]) == 0
    assert three.of_bitmap(0b1001000) == (ACCOUNTS[1], ACCOUNTS[2])
    assert three.of_bitmap(three.bitmap(ACCOUNTS)) == tuple(ACCOUNTS)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        (BondTerms(Wei(0), 1, 1, 0), "bonds.minimum_stake"),
        (BondTerms(Wei(1), 0, 1, 0), "bonds.unbonding_seconds"),
        (BondTerms(Wei(1), 2**32, 1, 0), "bonds.unbonding_seconds"),
        (BondTerms(Wei(1), 1, 0, 0), "bonds.slash_bps"),
        (BondTerms(Wei(1), 1, 10_001, 0), "bonds.slash_bps"),
        (BondTerms(Wei(1), 1, 1, 5_001), "bonds.reward_bps"),
    ],
)
def test_terms_that_bonds_refuses_are_refused_first(terms: BondTerms, field: str) -> None:
    """Numbers that the contract would refuse cost no deployment, and are named."""
    with pytest.raises(BadInput) as refusal:
        terms.check()
    assert refusal.value.field == field
    BondTerms(Wei(1), 1, 10_000, 5_000).check()
