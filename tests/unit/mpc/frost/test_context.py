"""Signer sets and key material."""

import pytest

from mpc import frost
from mpc.curve import INFINITY, G, N, Point
from mpc.errors import MalformedInput


def test_lagrange_coefficients_interpolate_at_zero():
    """The coefficients give back the constant of a polynomial from its values at id + 1."""
    ids = (0, 3, 4, 99)
    values = [7 + 5 * (i + 1) + 11 * (i + 1) ** 2 for i in ids]
    assert sum(c * v for c, v in zip(frost.lagrange_coefficients(ids), values, strict=True)) % N == 7


@pytest.mark.parametrize("ids", [(0, 1, 1), (-1, 0), (0, 2**32)])
def test_lagrange_coefficients_refuse_bad_identifiers(ids):
    """Doubled and out-of-range identifiers have no coefficients."""
    with pytest.raises(MalformedInput):
        frost.lagrange_coefficients(ids)


@pytest.mark.parametrize("ids", [(0, 1, 5), (0, 1, -1), (0, 1, 1), (0, 1)], ids=["high", "negative", "doubled", "few"])
def test_identifiers_out_of_range_doubled_or_too_few(group, ids):
    """Attack: a signer set with an identifier that is out of range, doubled, or with too few is refused."""
    with pytest.raises(MalformedInput):
        frost.SignersContext(5, 3, ids, [group.pubshares[i % 5] for i in ids], group.thresh_pk)


def test_an_identifier_beyond_n_is_refused_even_if_its_share_fits(group):
    """Attack: a share on the polynomial beyond the group's size, that nobody should hold, does not join."""
    ids = (0, 1, group.n - 1)
    shares = [group.pubshares[i] for i in ids]
    with pytest.raises(MalformedInput, match="out of range"):
        frost.SignersContext(group.n - 1, 3, ids, shares, group.thresh_pk)


@pytest.mark.parametrize(("n", "t"), [(5, 0), (2, 3)])
def test_impossible_thresholds(group, n, t):
    """A threshold of zero or above n is refused."""
    with pytest.raises(MalformedInput) as refusal:
        frost.SignersContext(n, t, (0, 1, 2), group.pubshares[:3], group.thresh_pk)
    assert refusal.value.field == "t"


def test_pubshares_must_be_points_and_as_many_as_ids(group):
    """A public share that is no point is refused with its position; so is a list of another length."""
    with pytest.raises(MalformedInput) as refusal:
        frost.SignersContext(5, 3, (0, 1, 2), [*group.pubshares[:2], bytes(33)], group.thresh_pk)
    assert refusal.value.field == "pubshares[2]"
    with pytest.raises(MalformedInput):
        frost.SignersContext(5, 3, (0, 1, 2), group.pubshares[:2], group.thresh_pk)


def test_position_of_a_stranger(group):
    """A participant outside the signer set has no position."""
    with pytest.raises(MalformedInput):
        group.signers((0, 1, 2)).position_of(4)


@pytest.mark.parametrize("missing", [(), (0,), (1, 3)])
def test_threshold_info_is_valid(group, missing):
    """All shares of a group, and any t or more of them, are valid threshold information."""
    shares = [None if i in missing else share for i, share in enumerate(group.pubshares)]
    frost.validate_threshold_info(frost.ThresholdInfo(3, group.thresh_pk, shares))


def test_threshold_info_with_one_wrong_share(deal, group):
    """One share of another group anywhere among the shares is found."""
    other = deal(3, 5, b"other")
    for wrong in range(5):
        shares = [other.pubshares[i] if i == wrong else share for i, share in enumerate(group.pubshares)]
        with pytest.raises(MalformedInput):
            frost.validate_threshold_info(frost.ThresholdInfo(3, group.thresh_pk, shares))


def test_threshold_info_with_wrong_shares_that_cancel(group):
    """Two wrong shares whose errors cancel in the full interpolation are found."""
    ids = range(5)
    c = frost.lagrange_coefficients(ids)
    shares = list(group.pubshares)
    for i, error in ((3, c[4]), (4, -c[3])):
        shares[i] = (Point.from_bytes(shares[i]) + G * error).to_bytes()
    total = INFINITY
    for factor, share in zip(c, shares, strict=True):
        total = total + Point.from_bytes(share) * factor
    assert total.to_bytes() == group.thresh_pk
    with pytest.raises(MalformedInput, match="one polynomial"):
        frost.validate_threshold_info(frost.ThresholdInfo(3, group.thresh_pk, shares))


def test_threshold_info_with_a_lower_degree_is_of_the_lower_threshold(deal):
    """Shares of a 2-of-5 group are valid for t = 3 as well, those of a 3-of-5 group not for t = 2."""
    low, high = deal(2, 5), deal(3, 5)
    frost.validate_threshold_info(frost.ThresholdInfo(3, low.thresh_pk, low.pubshares))
    with pytest.raises(MalformedInput):
        frost.validate_threshold_info(frost.ThresholdInfo(2, high.thresh_pk, high.pubshares))


@pytest.mark.parametrize("t", [0, 6])
def test_threshold_info_with_an_impossible_threshold(group, t):
    """A threshold outside 1…n is refused."""
    with pytest.raises(MalformedInput):
        frost.validate_threshold_info(frost.ThresholdInfo(t, group.thresh_pk, group.pubshares))


def test_threshold_info_with_too_few_known_shares_or_a_bad_key(group):
    """Fewer than t known shares are refused, and so is a threshold key that is no point or the negated one."""
    with pytest.raises(MalformedInput):
        frost.validate_threshold_info(frost.ThresholdInfo(3, group.thresh_pk, [*group.pubshares[:2], None, None, None]))
    negated = bytes([5 - group.thresh_pk[0]]) + group.thresh_pk[1:]
    for key in (bytes(33), negated):
        with pytest.raises(MalformedInput):
            frost.validate_threshold_info(frost.ThresholdInfo(3, key, group.pubshares))
