"""Payments through whole clients and servers, and connectors that cheat."""

from __future__ import annotations

import asyncio
import os

import pytest

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.ilp.addresses import Address
from settlement.ilp.errors import InsufficientLiquidity, RateLimited
from settlement.ilp.link import LinkDown, Reply
from settlement.ilp.packets import Fulfill, Reject, decode, decode_prepare, decode_reply, encode, forwarded
from settlement.ilp.stream.awaited import AwaitedLink
from settlement.ilp.stream.changes import (
    CloseConnection,
    CloseStream,
    ConsumeData,
    DataArrived,
    Effect,
    MoneyArrived,
    SendData,
    StreamOpened,
    TakeMoney,
)
from settlement.ilp.stream.client import StreamClient
from settlement.ilp.stream.errors import PathFailed, PaymentTimedOut, PeerClosed, RateTooLow, ReceiverRefused
from settlement.ilp.stream.rates import Rate
from settlement.ilp.stream.receipts import ReceiptKey, verify_receipt
from settlement.ilp.stream.server import StreamServer
from settlement.ilp.stream.session import Session
from settlement.ilp.stream.states import Settings
from settlement.quantities import Asset, Preimage, Scale, Units
from tests.support.patience import PATIENCE_S
from tests.support.stream_path import Hop, clock

BANK = Address("test.bank")
US = Address("test.us")
EUR = Asset("EUR", Scale(2))


def server_of(**options: object) -> StreamServer:
    """A server with a secret of its own."""
    return StreamServer(BANK, os.urandom(32), clock, asset=EUR, **options)  # type: ignore[arg-type]


async def test_a_payment_arrives_whole() -> None:
    """Money goes in packets of the path's size, and both ends agree on what arrived."""
    server = server_of()
    hop = Hop(server.handle, rate=(3, 2), max_packet=1_000)
    given = server.invite()
    payment = await StreamClient(hop, clock, address=US, asset=EUR).pay(
        given.address, given.shared_secret, Units(12_345)
    )
    assert (payment.sent, payment.left, payment.unproved) == (12_345, 0, 0)
    assert payment.delivered == 12 * 1_500 + 517
    assert payment.peer_asset == EUR
    assert payment.receipt == b""


async def test_the_receipt_is_the_newest() -> None:
    """A payment in many packets ends with the receipt of all of it."""
    server = server_of()
    key = ReceiptKey(os.urandom(16), os.urandom(32))
    given = server.invite("", key)
    payment = await StreamClient(Hop(server.handle, max_packet=10), clock).pay(
        given.address, given.shared_secret, Units(990)
    )
    assert verify_receipt(key, payment.receipt).total_received == 990


async def test_a_path_that_gets_in_trouble_delays_only() -> None:
    """Packets refused for lack of liquidity or by a rate limit are sent again, and all arrives."""
    server = server_of()
    hop = Hop(server.handle, max_packet=500)
    moods = iter([None] * 9 + [InsufficientLiquidity(), None, RateLimited("slower"), None] * 2)
    hop.trouble = lambda _amount: next(moods, None)
    given = server.invite()
    payment = await StreamClient(hop, clock).pay(given.address, given.shared_secret, Units(20_000))
    assert (payment.sent, payment.delivered) == (20_000, 20_000)


async def test_a_connector_that_lowers_its_rate_gets_nothing_more() -> None:
    """Halfway a connector starts to keep a tenth: the payment stops, and what was paid arrived at the old rate."""
    server = server_of()
    hop = Hop(server.handle, max_packet=100)

    def greedy(_amount: int) -> None:
        if hop.sent > 20:
            hop.rate = (9, 10)

    hop.trouble = greedy
    given = server.invite()
    with pytest.raises(RateTooLow) as stopped:
        await StreamClient(hop, clock).pay(given.address, given.shared_secret, Units(10_000))
    payment = stopped.value.payment
    assert payment is not None
    assert 0 < payment.sent == payment.delivered < 10_000
    assert payment.left == 10_000 - payment.sent


async def test_a_rate_that_is_worse_than_agreed_pays_nothing() -> None:
    """A sender that knows the rate from elsewhere pays nothing over a path that offers less."""
    server = server_of()
    given = server.invite()
    client = StreamClient(Hop(server.handle, rate=(95, 100)), clock, settings=Settings(minimum_rate=Rate(99, 100)))
    with pytest.raises(RateTooLow) as stopped:
        await client.pay(given.address, given.shared_secret, Units(10_000))
    assert stopped.value.payment is not None
    assert stopped.value.payment.sent == 0


async def test_packets_too_small_to_deliver_anything_are_not_sent() -> None:
    """Where the largest packet that passes delivers nothing, the payment fails instead of giving money away."""
    server = server_of()
    given = server.invite()
    with pytest.raises(RateTooLow) as stopped:
        await StreamClient(Hop(server.handle, rate=(1, 100), max_packet=99), clock).pay(
            given.address, given.shared_secret, Units(10_000)
        )
    assert stopped.value.payment is not None
    assert stopped.value.payment.sent == 0


class Thief:
    """A next hop that answers each packet by `answer`, given the honest answer."""

    is_up = True

    def __init__(self, server: StreamServer, answer: object) -> None:
        self._server = server
        self._answer = answer
        self._old = b""

    def send(self, prepare: bytes, reply: Reply) -> None:
        def honest(raw: bytes) -> None:
            old, self._old = self._old, raw
            reply(self._answer(raw, old))  # type: ignore[operator]

        self._server.handle("thief", prepare, honest)


async def test_a_made_up_fulfillment_is_not_believed() -> None:
    """A next hop that fulfils without the preimage is found out, and nothing counts as sent."""

    def forge(raw: bytes, _old: bytes) -> bytes:
        read = decode(raw)
        return encode(Fulfill(Preimage(bytes(32)), read.data)) if isinstance(read, Fulfill) else raw

    server = server_of()
    given = server.invite()
    with pytest.raises(PathFailed) as stopped:
        await StreamClient(Thief(server, forge), clock).pay(given.address, given.shared_secret, Units(100))
    assert stopped.value.payment is not None
    assert stopped.value.payment.sent == 0


async def test_swapped_answers_are_not_believed() -> None:
    """An intermediary that puts the receiver's words of one packet into another's answer proves nothing with them."""

    def swap(raw: bytes, old: bytes) -> bytes:
        read, before = decode(raw), decode(old) if old else None
        if isinstance(read, Fulfill) and isinstance(before, Fulfill | Reject):
            return encode(Fulfill(read.fulfillment, before.data))
        return raw

    server = server_of()
    given = server.invite()
    client = StreamClient(Thief(server, swap), clock, settings=Settings(max_packet=100))
    payment = await client.pay(given.address, given.shared_secret, Units(1_000))
    assert payment.sent == 1_000
    assert payment.unproved == 10
    assert payment.delivered == 990


async def test_garbage_of_the_next_hop_is_a_passing_trouble() -> None:
    """Answers that are no packets are taken as trouble that may pass, until the time is over."""
    server = server_of()
    given = server.invite()
    client = StreamClient(Thief(server, lambda _raw, _old: b"garbage"), clock)
    with pytest.raises(PaymentTimedOut):
        await client.pay(given.address, given.shared_secret, Units(1_000), timeout_ms=200)


class DownLink:
    """A link that is down."""

    is_up = False

    def send(self, prepare: bytes, reply: Reply) -> None:
        raise LinkDown("peer", "it is night")


async def test_a_link_that_is_down_is_tried_until_the_time_is_over() -> None:
    """Nothing is sent over a link that is down, and the payment ends when its time is over."""
    server = server_of()
    given = server.invite()
    with pytest.raises(PaymentTimedOut) as stopped:
        await StreamClient(DownLink(), clock).pay(given.address, given.shared_secret, Units(1), timeout_ms=200)
    assert stopped.value.payment is not None
    assert stopped.value.payment.sent == 0


async def test_a_receiver_that_refuses_all_is_told() -> None:
    """Where the application accepts nothing, the payment stops and nothing was sent."""
    server = server_of(accept=lambda _tag, _money: False)
    given = server.invite()
    with pytest.raises(ReceiverRefused) as stopped:
        await StreamClient(Hop(server.handle), clock).pay(given.address, given.shared_secret, Units(10))
    assert stopped.value.payment is not None
    assert stopped.value.payment.sent == 0


async def test_a_payment_to_a_full_receiver_waits_for_it() -> None:
    """A receiver that raises its maximum later gets the rest."""

    def watch(_tag: str, session: Session, effect: Effect) -> None:
        if isinstance(effect, StreamOpened):
            asyncio.get_running_loop().call_later(0.05, session.perform, TakeMoney(1, 1_000))

    server = server_of(policy=lambda _tag: Settings(receive_max=200), watch=watch)
    given = server.invite()
    client = StreamClient(Hop(server.handle), clock, settings=Settings(max_packet=50))
    payment = await client.pay(given.address, given.shared_secret, Units(800))
    assert payment.delivered == 800


async def test_a_peer_that_closes_early_is_told() -> None:
    """A payment to a connection that the receiver ends tells how far it came."""

    def watch(_tag: str, session: Session, effect: Effect) -> None:
        if isinstance(effect, MoneyArrived) and session.connection.received >= 300:
            asyncio.get_running_loop().call_soon(close, session)

    def close(session: Session) -> None:
        if 1 in session.connection.streams:
            session.perform(CloseStream(1, 9, "enough"))

    server = server_of(watch=watch)
    given = server.invite()
    client = StreamClient(Hop(server.handle), clock, settings=Settings(max_packet=10))
    with pytest.raises(PeerClosed) as stopped:
        await client.pay(given.address, given.shared_secret, Units(100_000))
    payment = stopped.value.payment
    assert payment is not None
    assert 300 <= payment.sent == payment.delivered < 100_000


async def test_a_connection_that_is_closed_in_order_too_early_is_no_success() -> None:
    """A receiver that says good-bye before all was sent leaves a payment that is told as incomplete."""

    def watch(_tag: str, session: Session, effect: Effect) -> None:
        if isinstance(effect, MoneyArrived) and session.connection.received >= 300:
            asyncio.get_running_loop().call_soon(session.perform, CloseConnection())

    server = server_of(watch=watch)
    given = server.invite()
    client = StreamClient(Hop(server.handle), clock, settings=Settings(max_packet=10))
    with pytest.raises(PeerClosed) as stopped:
        await client.pay(given.address, given.shared_secret, Units(100_000))
    payment = stopped.value.payment
    assert payment is not None
    assert 300 <= payment.sent == payment.delivered < 100_000


async def test_a_cancelled_payment_leaves_no_timer_and_sends_no_more() -> None:
    """Cancelling a payment ends its connection."""
    server = server_of()
    hop = Hop(server.handle, max_packet=1)  # so small that it takes long
    given = server.invite()
    task = asyncio.create_task(StreamClient(hop, clock).pay(given.address, given.shared_secret, Units(10**6)))
    while hop.sent < 50:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    sent = hop.sent
    for _ in range(20):
        await asyncio.sleep(0)
    assert hop.sent == sent


async def test_bytes_go_both_ways() -> None:
    """A client that told its address gets the server's bytes back."""
    got = bytearray()

    def echo(_tag: str, session: Session, effect: Effect) -> None:
        if isinstance(effect, DataArrived):
            session.perform(ConsumeData(effect.stream_id, len(effect.data)))
            session.perform(SendData(effect.stream_id, effect.data))

    def keep(effect: Effect) -> None:
        if isinstance(effect, DataArrived):
            got.extend(effect.data)
            session.perform(ConsumeData(effect.stream_id, len(effect.data)))

    back = Hop(lambda account, raw, reply: client.handle(account, raw, reply))
    server = server_of(link=back, watch=echo)
    client = StreamClient(Hop(server.handle), clock, address=US, asset=EUR)
    given = server.invite()
    session = client.connect(given.address, given.shared_secret, observe=keep)
    data = os.urandom(300_000)
    number = client.open(session)
    session.perform(SendData(number, data))
    await asyncio.wait_for(session.until(lambda: len(got) == len(data)), PATIENCE_S)
    await client.close(session)
    server.close()
    assert bytes(got) == data


async def test_any_awaitable_carries_packets() -> None:
    """A link over a coroutine works, and packets that it loses are sent again."""
    server = server_of()
    lost = iter([True])

    async def send(prepare: bytes) -> bytes:
        if next(lost, False):
            raise TimeoutError
        done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        server.handle("a", prepare, done.set_result)
        return await done

    given = server.invite()
    settings = Settings(max_packet=100, packet_ms=60, grace_ms=10)
    payment = await StreamClient(AwaitedLink(send), clock, settings=settings).pay(
        given.address, given.shared_secret, Units(500)
    )
    assert payment.delivered == 500


@pytest.mark.parametrize(("amount", "deliver"), [(0, None), (-1, None), (2**64, None), (1, 0), (1, 2**64)])
async def test_amounts_out_of_bounds_are_refused(amount: int, deliver: int | None) -> None:
    """Nothing, less than nothing and more than 64 bits cannot be paid."""
    server = server_of()
    given = server.invite()
    with pytest.raises(BadInput):
        await StreamClient(Hop(server.handle), clock).pay(
            given.address, given.shared_secret, Units(amount), deliver=deliver
        )


async def test_packets_for_no_connection_are_refused() -> None:
    """A client takes packets for its own connections alone."""
    server = server_of()
    given = server.invite()
    client = StreamClient(Hop(server.handle), clock, address=US)
    prepares: list[bytes] = []
    probe = StreamClient(AwaitedLink(lambda raw: prepares.append(raw) or asyncio.sleep(9, b"")), clock)  # type: ignore[func-returns-value]
    session = probe.connect(Address("test.us.nobody"), given.shared_secret)
    probe.open(session)
    await asyncio.sleep(0)
    answers: list[bytes] = []
    client.handle("a", prepares[0], answers.append)
    client.handle("a", b"garbage", answers.append)
    client.handle("a", forwarded(prepares[0], Units(1), UnixMs(0)), answers.append)
    codes = [reply.code for raw in answers if isinstance(reply := decode_reply(raw), Reject)]
    assert codes == ["F02", "F01", "F02"]
    assert decode_prepare(prepares[0]).destination == "test.us.nobody"
    probe.forget(session)
