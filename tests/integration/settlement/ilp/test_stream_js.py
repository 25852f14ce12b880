"""STREAM with ilp-protocol-stream at the other end, in both roles and both directions."""

from __future__ import annotations

import asyncio
import hashlib
import os

from settlement.ilp.addresses import Address
from settlement.ilp.stream.changes import (
    ConsumeData,
    DataArrived,
    Effect,
    MoneyArrived,
    SendData,
    SendMoney,
    StreamOpened,
)
from settlement.ilp.stream.client import StreamClient
from settlement.ilp.stream.receipts import ReceiptKey, verify_receipt
from settlement.ilp.stream.server import StreamServer
from settlement.ilp.stream.session import Session
from settlement.ilp.stream.states import Settings
from settlement.quantities import Asset, Scale, Units
from tests.support.patience import PATIENCE_S
from tests.support.stream_path import Hop, StreamPeer, clock

OURS = Address("test.bank.pay")
THEIRS = Address("test.bank.js")
EUR = Asset("EUR", Scale(2))
XRP = Asset("XRP", Scale(6))


async def test_javascript_pays_our_server() -> None:
    """A payment in many packets through a rate arrives whole, and the sender knows what arrived."""
    server = StreamServer(OURS, os.urandom(32), clock, asset=EUR)
    hop = Hop(server.handle, rate=(1, 2), max_packet=1_000)
    async with StreamPeer(THEIRS, XRP, lambda _account, raw, reply: hop.send(raw, reply)) as peer:
        given = server.invite("order")
        paid = await peer.command(
            "paid", do="pay", address=given.address, secret=given.shared_secret.hex(), amount="20000"
        )
    assert (paid["sent"], paid["delivered"], paid["asset"]) == ("20000", "10000", ["EUR", 2])
    assert hop.sent >= 20


async def test_javascript_carries_our_receipts() -> None:
    """The receipt that JavaScript hands on proves to a verifier what our server received."""
    server = StreamServer(OURS, os.urandom(32), clock, asset=EUR)
    key = ReceiptKey(os.urandom(16), os.urandom(32))
    hop = Hop(server.handle, max_packet=700)
    async with StreamPeer(THEIRS, EUR, lambda _account, raw, reply: hop.send(raw, reply)) as peer:
        given = server.invite("", key)
        paid = await peer.command(
            "paid", do="pay", address=given.address, secret=given.shared_secret.hex(), amount="5000", streams=3
        )
    receipt = verify_receipt(key, bytes.fromhex(paid["receipt"]))
    assert (receipt.stream_id, receipt.total_received) == (1, 5000)
    assert paid["delivered"] == "15000"


async def test_data_and_money_go_both_ways_with_a_javascript_client() -> None:
    """Our server echoes 100,000 bytes through all flow control, and pays back over the client's stream."""
    hopes: dict[str, int] = {"data": 0, "money": 0}

    def watch(_tag: str, session: Session, effect: Effect) -> None:
        if isinstance(effect, StreamOpened):
            session.perform(SendMoney(effect.stream_id, 300))
        if isinstance(effect, DataArrived):
            hopes["data"] += len(effect.data)
            session.perform(ConsumeData(effect.stream_id, len(effect.data)))
            session.perform(SendData(effect.stream_id, effect.data))
        if isinstance(effect, MoneyArrived):
            hopes["money"] += effect.amount

    async with StreamPeer(THEIRS, EUR) as peer:
        server = StreamServer(OURS, os.urandom(32), clock, asset=EUR, link=peer, watch=watch)
        peer.handler = server.handle
        given = server.invite()
        data = os.urandom(100_000)
        paid = await peer.command(
            "paid",
            do="pay",
            address=given.address,
            secret=given.shared_secret.hex(),
            amount="1000",
            data=data.hex(),
            receive="300",
            echo=True,
        )
        server.close()
    assert hopes == {"data": 100_000, "money": 1000}
    assert hashlib.sha256(bytes.fromhex(paid["data"])).digest() == hashlib.sha256(data).digest()
    assert paid["received"] == "300"


async def test_we_pay_a_javascript_server() -> None:
    """Our sender finds rate and packet size, delivers all, learns the asset, and the receiver sees the end."""
    async with StreamPeer(THEIRS, XRP) as peer:
        told = await peer.command("listening", do="listen", receiveMax="1000000000")
        hop = Hop(lambda _account, raw, reply: peer.send(raw, reply), rate=(3, 1), max_packet=900)
        client = StreamClient(hop, clock, address=Address("test.bank.us"), asset=EUR)
        peer.handler = client.handle
        payment = await client.pay(Address(told["address"]), bytes.fromhex(told["secret"]), Units(50_000))
        assert (payment.sent, payment.delivered, payment.left) == (50_000, 150_000, 0)
        assert payment.peer_asset == XRP
        assert payment.packets >= 50
        assert await peer.hear("closed")
        assert peer.told["total"][-1] == "150000"


async def test_we_stop_at_what_a_javascript_invoice_takes() -> None:
    """An amount to deliver is reached exactly, and a receiver's own maximum is never passed."""
    key = ReceiptKey(os.urandom(16), os.urandom(32))
    async with StreamPeer(THEIRS, XRP) as peer:
        told = await peer.command(
            "listening",
            do="listen",
            receiveMax="4000",
            receipts={"nonce": key.nonce.hex(), "secret": key.secret.hex()},
        )
        hop = Hop(lambda _account, raw, reply: peer.send(raw, reply), rate=(1, 2), max_packet=500)
        client = StreamClient(hop, clock)
        payment = await client.pay(
            Address(told["address"]), bytes.fromhex(told["secret"]), Units(100_000), deliver=4_000
        )
    assert payment.delivered == 4_000
    assert payment.sent == 8_000
    assert verify_receipt(key, payment.receipt).total_received == 4_000


async def test_javascript_reads_our_bytes() -> None:
    """A stream of ours carries bytes to a JavaScript server and its echo back."""
    arrived = bytearray()
    data = os.urandom(60_000)
    async with StreamPeer(THEIRS, EUR) as peer:
        told = await peer.command("listening", do="listen", receiveMax="0", echo=True)
        client = StreamClient(peer, clock, address=Address("test.bank.us"), asset=EUR, settings=Settings())
        peer.handler = client.handle

        def observe(effect: Effect) -> None:
            if isinstance(effect, DataArrived):
                arrived.extend(effect.data)
                session.perform(ConsumeData(effect.stream_id, len(effect.data)))

        session = client.connect(Address(told["address"]), bytes.fromhex(told["secret"]), observe=observe)
        number = client.open(session)
        session.perform(SendData(number, data))
        await asyncio.wait_for(session.until(lambda: len(arrived) >= len(data)), PATIENCE_S)
        await client.close(session)
    assert bytes(arrived) == data
