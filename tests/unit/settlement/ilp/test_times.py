"""Interledger time, by RFC 30's examples."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.ilp.errors import BadPacket
from settlement.ilp.times import interledger_time, parse_interledger_time


def at(*parts: int) -> UnixMs:
    """Milliseconds of a moment in UTC."""
    return UnixMs(int(datetime(*parts, tzinfo=UTC).timestamp()) * 1000)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (UnixMs(at(2017, 12, 24, 16, 14, 32) + 279), b"20171224161432279"),
        (at(2017, 12, 25), b"20171225000000000"),
        (UnixMs(at(9999, 12, 31, 23, 59, 59) + 999), b"99991231235959999"),
        (UnixMs(-1), b"19691231235959999"),
    ],
)
def test_moments_are_17_digits(moment: UnixMs, text: bytes) -> None:
    """A moment is written as the RFC shows and reads back."""
    assert interledger_time(moment) == text
    assert parse_interledger_time(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        b"20171324161432200",
        b"20171224240000000",
        b"20161231235960852",
        b"20171224161432 00",
        b"2017122416143220",
        b"201712241614322000",
        b"2017122416143+200",
        b"00001224161432200",
        b"20170229161432200",
        b"",
    ],
)
def test_what_is_no_moment_is_refused(text: bytes) -> None:
    """Months, hours and seconds out of range, signs, spaces and missing digits are refused."""
    with pytest.raises(BadPacket):
        parse_interledger_time(text)


@pytest.mark.parametrize("moment", [at(9999, 12, 31) + 86_400_000, -(10**15)])
def test_moments_outside_four_digits_of_years_are_refused(moment: int) -> None:
    """A year that does not fit is an error, not a wrong date."""
    with pytest.raises(BadInput):
        interledger_time(UnixMs(moment))
