"""The octet encoding rules, by RFC 30's examples."""

from __future__ import annotations

import pytest

from settlement.ilp.errors import BadPacket
from settlement.ilp.oer import Reader, length_prefix, read_length, uint8, uint16, uint32, uint64, var_octets, var_uint


@pytest.mark.parametrize(
    ("length", "raw"),
    [(7, "07"), (127, "7f"), (128, "8180"), (130, "8182"), (4660, "821234"), (11259375, "83abcdef")],
)
def test_lengths_are_written_as_the_rfc_shows(length: int, raw: str) -> None:
    """A length determinant takes the shortest form, and reads back."""
    assert length_prefix(length).hex() == raw
    assert read_length(bytes.fromhex(raw), 0) == (length, len(raw) // 2)


@pytest.mark.parametrize("raw", ["", "80", "8105", "8200ff", "820080", "81", "8212", "89000000000000000001", "ff"])
def test_lengths_that_are_not_canonical_or_cut_off_are_refused(raw: str) -> None:
    """There is one way only to write a length."""
    with pytest.raises(BadPacket):
        read_length(bytes.fromhex(raw), 0)


def test_fixed_integers_read_back() -> None:
    """Fixed-length integers are big-endian."""
    reader = Reader(b"".join((uint8(255), uint16(0x1234), uint32(0xABABABAB), uint64(0xAC01055A1DEBAC1E))))
    assert (reader.uint8(), reader.uint16(), reader.uint32(), reader.uint64()) == (
        255,
        0x1234,
        0xABABABAB,
        0xAC01055A1DEBAC1E,
    )
    assert reader.remaining == 0


def test_a_reader_never_reads_past_the_end() -> None:
    """Each read of more than is left is refused, and leaves the position where it was told."""
    for read in (Reader.uint8, Reader.uint16, Reader.uint32, Reader.uint64, Reader.var_octets, Reader.var_uint):
        with pytest.raises(BadPacket):
            read(Reader(memoryview(b"\x01"), position=1))
    with pytest.raises(BadPacket):
        Reader(b"\x05abcd").var_octets()


def test_variable_integers_are_minimal() -> None:
    """Zero takes one byte, leading zeros and empty contents are refused."""
    assert var_uint(0) == b"\x01\x00"
    assert var_uint(256) == b"\x02\x01\x00"
    for raw in (b"\x00", b"\x02\x00\x01"):
        with pytest.raises(BadPacket):
            Reader(raw).var_uint()


def test_integers_above_64_bits_are_refused_or_saturate() -> None:
    """Only the two frames that RFC 29 names read a larger number as 2^64−1."""
    raw = var_octets(b"\x01" + bytes(8))
    with pytest.raises(BadPacket):
        Reader(raw).var_uint()
    assert Reader(raw).saturating_var_uint() == 2**64 - 1
    assert Reader(raw).big_var_uint() == 2**64
