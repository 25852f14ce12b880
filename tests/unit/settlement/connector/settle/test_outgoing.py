"""Thresholds and the stages of an outgoing settlement."""

from __future__ import annotations

import pytest

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connector.settle import outgoing
from settlement.connector.settle.outgoing import SettleRule, Stage
from settlement.connector.settle.quantity import Quantity
from settlement.quantities import Scale, Units

RULE = SettleRule("bank", Scale(2), threshold=1_000, settle_to=200, most=Units(5_000))


@pytest.mark.parametrize(
    ("balance", "amount"), [(-50, None), (0, None), (999, None), (1_000, 800), (5_200, 5_000), (90_000, 5_000)]
)
def test_an_account_is_settled_from_its_threshold_on(balance: int, amount: int | None):
    """Below the threshold nothing is settled; from it on, what is owed above `settle_to`, up to the most at once."""
    assert outgoing.due(RULE, balance) == amount


def test_waits_double_up_to_an_hour():
    """Failures wait twice as long each time, half of it by chance, and never longer than RFC 38 allows."""
    waits = [outgoing.back_off_ms(attempts, 0) for attempts in range(60)]
    assert waits[:3] == [500, 1_000, 2_000]
    assert waits[-1] == 3_600_000
    assert outgoing.back_off_ms(3, 1) == outgoing.back_off_ms(3, 0) // 2


def test_only_what_was_never_taken_may_be_dropped():
    """A settlement whose balance was lowered cannot be dropped: the engine may have paid it."""
    state = outgoing.reserved(outgoing.wanted(RULE, Units(5), "k", UnixMs(0)))
    with pytest.raises(AssertionError):
        outgoing.dropped(state)
    assert outgoing.accepted(state).stage is Stage.ACCEPTED


def test_a_rule_that_would_settle_for_ever_is_refused():
    """`settle_to` must lie below the threshold, or each settlement would cause the next."""
    with pytest.raises(BadInput) as refusal:
        SettleRule("bank", Scale(2), threshold=100, settle_to=100)
    assert refusal.value.field == "accounts.bank.settle_to"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"amount": 5, "scale": 2}',
        b'{"amount": "-5", "scale": 2}',
        b'{"amount": "5.0", "scale": 2}',
        b'{"amount": "05", "scale": 2}',
        b'{"amount": "5", "scale": 256}',
        b'{"amount": "5", "scale": -1}',
        b'{"amount": "5", "scale": 2.5}',
        b'{"amount": "' + b"9" * 401 + b'", "scale": 2}',
        '{"amount": "٥", "scale": 2}'.encode(),
    ],
)
def test_a_quantity_that_is_none_is_refused(body: bytes):
    """Only plain decimal text with a scale from 0 to 255 is a quantity."""
    with pytest.raises(BadInput):
        Quantity.parse(body)
