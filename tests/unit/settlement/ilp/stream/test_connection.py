"""Streams, bytes and words of an endpoint: how they begin, are said again, and end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.ilp.addresses import Address
from settlement.ilp.stream import frames as f
from settlement.ilp.stream.changes import (
    CloseConnection,
    CloseStream,
    OpenStream,
    SendData,
    SendMoney,
    Tick,
)
from settlement.ilp.stream.connection import NoSuchStream, TooManyStreams, step
from settlement.ilp.stream.errors import (
    Exhausted,
)
from settlement.ilp.stream.frames import ErrorCode
from tests.support.stream_sender import CLIENT, NOW, READY, error, fulfil, paying, refuse, reject, sends


def test_bytes_are_resent_exactly() -> None:
    """A rejected piece is sent again with the same offset and the same bytes, before any others."""
    connection, effects = step(READY, OpenStream(), NOW)
    connection, effects = step(connection, SendData(1, b"x" * 20_000), NOW)
    (sent,) = sends(effects)
    first = [frame for frame in sent.packet.frames if isinstance(frame, f.StreamData)]
    assert [(frame.offset, len(frame.data)) for frame in first] == [(0, 16_384)]
    connection, effects = step(connection, reject(sent, "T00"), NOW)
    connection, effects = step(connection, Tick(), connection.pace.resume_at)
    again = [frame for send in sends(effects) for frame in send.packet.frames if isinstance(frame, f.StreamData)]
    assert again == first


def test_more_bytes_than_are_kept_are_refused() -> None:
    """A writer that is faster than the peer has to wait."""
    connection, _ = step(READY, OpenStream(), NOW)
    connection, _ = step(connection, SendData(1, bytes(1_048_576)), NOW)
    with pytest.raises(BadInput):
        step(connection, SendData(1, b"x"), NOW)


def test_our_address_is_told_until_it_is_known() -> None:
    """Packets carry our address and asset until the peer answers one of them itself."""
    connection = replace(CLIENT, address=Address("test.us"))
    connection, effects = step(connection, OpenStream(send_max=1_000), NOW)
    packets = sends(effects)
    assert all(f.ConnectionNewAddress(Address("test.us")) in sent.packet.frames for sent in packets)
    connection, _ = step(connection, refuse(packets[0], 2), NOW)
    connection, effects = step(connection, refuse(packets[1], 200), NOW)
    assert not any(f.ConnectionNewAddress in map(type, sent.packet.frames) for sent in sends(effects))


def test_streams_end_when_all_is_sent() -> None:
    """A stream that is to end does so after its last packet was confirmed, and says so."""
    connection, packets = paying(100)
    connection, _ = step(connection, CloseStream(1), NOW)
    assert 1 in connection.streams
    connection, effects = step(connection, fulfil(packets[0], 200), NOW)
    assert 1 not in connection.streams
    assert sends(effects)[0].packet.frames == (f.StreamClose(1, ErrorCode.NO_ERROR, ""),)


def test_a_rejected_word_is_said_again() -> None:
    """The end of a stream reaches the peer although the first packet that told it was lost."""
    connection, packets = paying(100)
    connection, _ = step(connection, CloseStream(1), NOW)
    connection, effects = step(connection, fulfil(packets[0], 200), NOW)
    connection, _ = step(connection, reject(sends(effects)[0], "T01"), NOW)
    _, effects = step(connection, Tick(), connection.pace.resume_at)
    assert f.StreamClose(1, ErrorCode.NO_ERROR, "") in sends(effects)[0].packet.frames


def test_closing_says_good_bye() -> None:
    """The end of a connection is told with its streams' in one packet, and nothing is sent after it."""
    connection, _ = paying(100_000)
    connection, effects = step(connection, CloseConnection(), NOW)
    (farewell,) = sends(effects)
    assert [type(frame) for frame in farewell.packet.frames] == [f.StreamClose, f.ConnectionClose]
    assert error(effects) is None
    _, effects = step(connection, Tick(), UnixMs(NOW + 60_000))
    assert not sends(effects)


def test_a_key_is_not_used_for_ever() -> None:
    """Before 2^31 packets were sent, the connection ends."""
    _connection, effects = step(replace(READY, next_sequence=2**31 - 5), OpenStream(send_max=5), NOW)
    assert isinstance(error(effects), Exhausted)
    assert not sends(effects)


@pytest.mark.parametrize("amount", [-1, 2**64])
def test_amounts_out_of_bounds_are_refused(amount: int) -> None:
    """Nothing negative and nothing above 64 bits can be sent or taken."""
    for change in (OpenStream(send_max=amount), OpenStream(receive_max=amount)):
        with pytest.raises(BadInput):
            step(READY, change, NOW)
    opened, _ = step(READY, OpenStream(), NOW)
    with pytest.raises(BadInput):
        step(opened, SendMoney(1, amount), NOW)


def test_what_was_sent_cannot_be_unsent() -> None:
    """A maximum below what is under way is refused, and so are streams that are not open."""
    connection, _ = paying(100)
    with pytest.raises(BadInput):
        step(connection, SendMoney(1, 99), NOW)
    with pytest.raises(NoSuchStream):
        step(connection, SendMoney(3, 5), NOW)


def test_the_peer_limits_our_streams() -> None:
    """Ten streams may be open until the peer lets us open more."""
    connection = READY
    for _ in range(10):
        connection, _ = step(connection, OpenStream(), NOW)
    with pytest.raises(TooManyStreams):
        step(connection, OpenStream(), NOW)
