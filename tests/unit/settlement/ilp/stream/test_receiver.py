"""What a receiver takes, and what it refuses or closes for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foundation.quantities import UnixMs
from settlement.ilp.addresses import Address
from settlement.ilp.packets import FULFILL, PREPARE, REJECT
from settlement.ilp.stream import frames as f
from settlement.ilp.stream.changes import (
    Answer,
    CloseStream,
    ConnectionEnded,
    ConsumeData,
    DataArrived,
    Effect,
    MoneyArrived,
    OpenStream,
    ReceivePacket,
    StreamEnded,
    StreamOpened,
    TakeMoney,
)
from settlement.ilp.stream.connection import step
from settlement.ilp.stream.errors import PeerBroke
from settlement.ilp.stream.frames import ErrorCode, Frame
from settlement.ilp.stream.packet import StreamPacket
from settlement.ilp.stream.receipts import ReceiptKey, verify_receipt
from settlement.ilp.stream.states import Connection, Role, Settings
from settlement.quantities import Asset, Scale

NOW = UnixMs(1_000)
EUR = Asset("EUR", Scale(2))
SERVER = Connection(Role.SERVER, address=Address("test.us"), asset=EUR, announced=True, next_stream=2)


def receive(
    connection: Connection, amount: int, *frames: Frame, minimum: int = 0, fulfillable: bool = True, sequence: int = 1
) -> tuple[Connection, Answer, list[Effect]]:
    """The connection after a packet, the answer, and the other effects."""
    packet = StreamPacket(PREPARE, sequence, minimum, frames)
    after, effects = step(connection, ReceivePacket(packet, amount, fulfillable), NOW)
    (answer,) = [effect for effect in effects if isinstance(effect, Answer)]
    assert answer.packet.kind == (FULFILL if answer.fulfil else REJECT)
    assert answer.packet.sequence == sequence
    assert answer.packet.amount == amount
    return after, answer, [effect for effect in effects if effect is not answer]


def broken(effects: list[Effect]) -> int:
    """The error code for which the connection was closed."""
    (ended,) = [effect for effect in effects if isinstance(effect, ConnectionEnded)]
    assert isinstance(ended.error, PeerBroke)
    return ended.error.error_code


def test_money_opens_a_stream_and_is_counted() -> None:
    """Money for a new stream opens it, is taken, and the answer tells limit and total."""
    after, answer, effects = receive(SERVER, 50, f.StreamMoney(1, 7), minimum=50)
    assert answer.fulfil
    assert answer.packet.frames == (f.StreamMaxMoney(1, SERVER.settings.receive_max, 50),)
    assert effects == [StreamOpened(1), MoneyArrived(1, 50)]
    assert (after.received, after.streams[1].received) == (50, 50)


def test_less_than_the_minimum_is_refused() -> None:
    """An intermediary that keeps a unit more than the sender allows gets nothing, and the sender learns what came."""
    after, answer, effects = receive(SERVER, 49, f.StreamMoney(1, 7), minimum=50)
    assert not answer.fulfil
    assert after.received == 0
    assert not [effect for effect in effects if isinstance(effect, MoneyArrived)]


def test_a_condition_of_others_is_refused_and_its_words_are_heard() -> None:
    """A test packet is never fulfilled; its control frames count, its money and data do not."""
    after, answer, effects = receive(
        SERVER, 50, f.StreamData(1, 0, b"x"), f.ConnectionNewAddress(Address("test.them")), fulfillable=False
    )
    assert not answer.fulfil
    assert after.peer_address == "test.them"
    assert not [effect for effect in effects if isinstance(effect, DataArrived | MoneyArrived)]
    assert f.ConnectionAssetDetails("EUR", 2) in answer.packet.frames


def test_shares_are_rounded_down_and_the_remainder_goes_to_the_lowest() -> None:
    """Of 100 for shares 1, 1 and 1, each gets 33 and the lowest the unit that is left."""
    after, answer, _ = receive(SERVER, 100, f.StreamMoney(5, 1), f.StreamMoney(1, 1), f.StreamMoney(3, 1))
    assert answer.fulfil
    assert {number: stream.received for number, stream in after.streams.items()} == {1: 34, 3: 33, 5: 33}


@pytest.mark.parametrize("frames", [(), (f.StreamMoney(1, 0),)])
def test_money_for_no_stream_is_refused(frames: tuple[Frame, ...]) -> None:
    """Money that belongs to nobody is not taken."""
    after, answer, _ = receive(SERVER, 10, *frames)
    assert not answer.fulfil
    assert after.received == 0


def test_a_stream_takes_its_maximum_and_tells_it() -> None:
    """Beyond its maximum, and one per cent that a sender cannot help, a stream takes nothing."""
    small = replace(SERVER, settings=Settings(receive_max=1000))
    after, answer, _ = receive(small, 1010, f.StreamMoney(1, 1))
    assert answer.fulfil
    refused, answer, _ = receive(after, 1, f.StreamMoney(1, 1), sequence=2)
    assert not answer.fulfil
    assert answer.packet.frames == (f.StreamMaxMoney(1, 1000, 1010),)
    raised, _ = step(refused, TakeMoney(1, 2000), NOW)
    _, answer, _ = receive(raised, 990, f.StreamMoney(1, 1), sequence=3)
    assert answer.fulfil
    assert f.StreamMaxMoney(1, 2000, 1010) in answer.packet.frames


def test_a_maximum_is_never_taken_back() -> None:
    """A lower maximum than was told is ignored."""
    opened, _, _ = receive(SERVER, 1, f.StreamMoney(1, 1))
    same, _ = step(opened, TakeMoney(1, 5), NOW)
    assert same.streams[1].receive_max == opened.streams[1].receive_max


def test_totals_stay_within_64_bits() -> None:
    """What would raise the total above 2^64−1 is refused."""
    full = replace(SERVER, received=2**64 - 5)
    _, answer, _ = receive(full, 5, f.StreamMoney(1, 1))
    assert not answer.fulfil


def test_receipts_certify_what_each_stream_got() -> None:
    """Each fulfil carries a receipt of the stream's total, and a refusal none."""
    key = ReceiptKey(b"n" * 16, b"s" * 32)
    connection = replace(SERVER, receipts=key)
    connection, _, _ = receive(connection, 10, f.StreamMoney(1, 1))
    connection, answer, _ = receive(connection, 30, f.StreamMoney(1, 1), f.StreamMoney(3, 2), sequence=2)
    receipts = [frame for frame in answer.packet.frames if isinstance(frame, f.StreamReceipt)]
    totals = {frame.stream_id: verify_receipt(key, frame.receipt).total_received for frame in receipts}
    assert totals == {1: 20, 3: 20}
    _, answer, _ = receive(connection, 1, f.StreamMoney(1, 1), minimum=2, sequence=3)
    assert not [frame for frame in answer.packet.frames if isinstance(frame, f.StreamReceipt)]


@pytest.mark.parametrize("number", [0, 2, 4])
def test_streams_with_our_numbers_close_the_connection(number: int) -> None:
    """A client that opens an even stream breaks the protocol."""
    after, answer, effects = receive(SERVER, 0, f.StreamData(number, 0, b""))
    assert broken(effects) == ErrorCode.PROTOCOL_VIOLATION
    assert not answer.fulfil
    assert after.ended


def test_too_many_streams_close_the_connection() -> None:
    """A client may open ten streams; an eleventh only when one has ended, so that what we store stays bounded."""
    connection = SERVER
    for number in range(1, 21, 2):
        connection, answer, _ = receive(connection, 1, f.StreamMoney(number, 1), sequence=number)
        assert answer.fulfil
    _, _, effects = receive(connection, 1, f.StreamMoney(21, 1), sequence=30)
    assert broken(effects) == ErrorCode.STREAM_ID_ERROR
    connection, answer, _ = receive(connection, 0, f.StreamClose(5, ErrorCode.NO_ERROR, ""), sequence=31)
    assert f.ConnectionMaxStreamId(22) in answer.packet.frames
    connection, answer, _ = receive(connection, 1, f.StreamMoney(21, 1), sequence=32)
    assert answer.fulfil
    assert len(connection.streams) == 10


def test_ended_streams_stay_ended_at_no_cost() -> None:
    """A thousand streams opened and closed leave nothing behind, and none can be opened again."""
    connection = SERVER
    for number in range(1, 2001, 2):
        connection, _, _ = receive(connection, 1, f.StreamMoney(number, 1), f.StreamClose(number, 1, ""))
        assert number not in connection.streams
    assert (len(connection.streams), len(connection.peer_skipped), len(connection.queued)) == (0, 0, 0)
    again, answer, _ = receive(connection, 1, f.StreamMoney(7, 1))
    assert not answer.fulfil
    assert answer.packet.frames == (f.StreamClose(7, ErrorCode.STREAM_STATE_ERROR, "the stream is closed"),)
    assert 7 not in again.streams


def test_money_that_comes_with_the_end_of_its_stream_is_taken() -> None:
    """A stream ends after the money and bytes of the packet that ends it."""
    after, answer, effects = receive(SERVER, 9, f.StreamClose(1, 1, ""), f.StreamMoney(1, 1), f.StreamData(1, 0, b"x"))
    assert answer.fulfil
    kinds = [type(effect) for effect in effects]
    assert kinds == [StreamOpened, DataArrived, MoneyArrived, StreamEnded]
    assert after.received == 9


def test_bytes_come_in_order_and_once() -> None:
    """Pieces out of order and repeated are put together."""
    connection, got = SERVER, b""
    for offset in (5, 0, 5, 10, 0):
        connection, answer, effects = receive(connection, 0, f.StreamData(1, offset, b"0123456789abcde"[offset:][:5]))
        assert answer.fulfil
        got += b"".join(effect.data for effect in effects if isinstance(effect, DataArrived))
    assert got == b"0123456789abcde"


@pytest.mark.parametrize("second", [(2, b"xx"), (4, b"efgh"), (0, b"abcdef"), (3, b"xyz")])
def test_overlapping_bytes_close_the_connection(second: tuple[int, bytes]) -> None:
    """Bytes that were sent before cannot be sent again in other pieces (RFC 29, 5.3.11)."""
    connection, _, _ = receive(SERVER, 0, f.StreamData(1, 3, b"def"))
    _, _, effects = receive(connection, 0, f.StreamData(1, *second))
    assert broken(effects) == ErrorCode.PROTOCOL_VIOLATION


def test_bytes_beyond_the_limit_close_the_connection() -> None:
    """A peer that sends more than it was let is cut off before anything is stored."""
    _, answer, effects = receive(SERVER, 0, f.StreamData(1, 16_380, b"12345"))
    assert broken(effects) == ErrorCode.FLOW_CONTROL_ERROR
    assert f.ConnectionClose in [type(frame) for frame in answer.packet.frames]


def test_all_streams_together_have_a_limit() -> None:
    """Many streams cannot make us store more than the connection takes."""
    connection = replace(SERVER, settings=Settings(connection_window=20_000))
    connection, answer, _ = receive(connection, 0, f.StreamData(1, 0, bytes(16_000)))
    assert answer.fulfil
    _, _, effects = receive(connection, 0, f.StreamData(3, 0, bytes(5_000)))
    assert broken(effects) == ErrorCode.FLOW_CONTROL_ERROR


def test_a_hail_of_tiny_pieces_is_refused() -> None:
    """More pieces out of order than are kept are refused, to be sent again; the connection goes on."""
    connection = replace(SERVER, settings=Settings(max_fragments=10))
    for place in range(10):
        connection, answer, _ = receive(connection, 0, f.StreamData(1, 2 + 2 * place, b"x"))
        assert answer.fulfil
    after, answer, _ = receive(connection, 0, f.StreamData(1, 40, b"x"))
    assert not answer.fulfil
    assert not after.ended
    _, answer, _ = receive(after, 0, f.StreamData(1, 0, b"yy"))
    assert answer.fulfil


def test_reading_lets_the_peer_send_more() -> None:
    """As the reader takes bytes, the limits of stream and connection grow and are told; not before."""
    connection, answer, _ = receive(SERVER, 0, f.StreamData(1, 0, bytes(16_384)))
    assert f.StreamMaxData(1, 65_536) in answer.packet.frames
    connection, answer, _ = receive(connection, 0, f.StreamData(1, 16_384, bytes(30_000)))
    assert not [frame for frame in answer.packet.frames if isinstance(frame, f.StreamMaxData)]
    connection, _ = step(connection, ConsumeData(1, 46_384), NOW)
    _, answer, _ = receive(connection, 0, f.StreamDataBlocked(1, 70_000))
    assert f.StreamMaxData(1, 46_384 + 65_536) in answer.packet.frames


def test_a_changed_asset_closes_the_connection() -> None:
    """Once told, an asset is what it is; amounts in another would be ambiguous."""
    connection, _, _ = receive(SERVER, 0, f.ConnectionAssetDetails("USD", 2))
    connection, answer, _ = receive(connection, 0, f.ConnectionAssetDetails("USD", 2))
    assert answer.fulfil
    _, _, effects = receive(connection, 0, f.ConnectionAssetDetails("USD", 9))
    assert broken(effects) == ErrorCode.PROTOCOL_VIOLATION


def test_an_old_address_does_not_undo_a_new_one() -> None:
    """A packet that comes late, or is repeated, does not lead our packets to where the peer was before."""
    connection, _, _ = receive(SERVER, 0, f.ConnectionNewAddress(Address("test.old")), sequence=1)
    connection, _, _ = receive(connection, 0, f.ConnectionNewAddress(Address("test.new")), sequence=5)
    connection, _, _ = receive(connection, 0, f.ConnectionNewAddress(Address("test.old")), sequence=1)
    assert connection.peer_address == "test.new"
    assert connection.pace.window == 1


def test_after_the_end_nothing_is_taken() -> None:
    """A connection that the peer closed refuses money, and says that it is closed."""
    connection, answer, effects = receive(SERVER, 0, f.ConnectionClose(ErrorCode.NO_ERROR, ""))
    assert effects == [ConnectionEnded(None)]
    _, answer, _ = receive(connection, 5, f.StreamMoney(1, 1))
    assert not answer.fulfil
    assert answer.packet.frames == (f.ConnectionClose(ErrorCode.NO_ERROR, ""),)


def test_a_stream_that_we_end_is_refused_its_money() -> None:
    """After an error of ours on a stream, money for it is not taken and the peer is told."""
    connection, _, _ = receive(SERVER, 5, f.StreamMoney(1, 1))
    connection, effects = step(connection, CloseStream(1, ErrorCode.APPLICATION_ERROR, "enough"), NOW)
    assert isinstance(effects[0], StreamEnded)
    _, answer, _ = receive(connection, 5, f.StreamMoney(1, 1))
    assert not answer.fulfil
    assert f.StreamClose(1, ErrorCode.APPLICATION_ERROR, "enough") in answer.packet.frames


def test_a_used_up_key_ends_the_connection() -> None:
    """No more than 2^31 packets are encrypted under one key."""
    _, answer, effects = receive(replace(SERVER, answers=2**31), 5, f.StreamMoney(1, 1))
    assert not answer.fulfil
    assert isinstance(effects[-1], ConnectionEnded)


def test_a_peer_cannot_make_us_queue_without_end() -> None:
    """However often a peer says that it is blocked, each limit waits once for the next packet."""
    opened, _ = step(SERVER, OpenStream(receive_max=5), NOW)
    frames = [f.StreamMoneyBlocked(2, 9, 9), f.ConnectionDataBlocked(7), f.ConnectionStreamIdBlocked(99)]
    after, answer, _ = receive(opened, 0, *(frames * 50))
    assert len(answer.packet.frames) == 3
    assert after.queued == ()
