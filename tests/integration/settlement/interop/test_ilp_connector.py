"""`ilp-connector` 23 as our next hop: packets, routes and addresses, both ways, over BTP and over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from cli.paying import Order, PayConnection, paid
from infra.ports import free_port
from settlement.ilp.btp import parse_endpoint

pytestmark = pytest.mark.integration

AMOUNT = 1_000_000_000
USD = {"code": "USD", "scale": 9}
WAYS = [("btp", True), ("btp", False), ("http", True)]


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """A command sets the log up for its own process; tests share one."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize(("transport", "we_listen"), WAYS)
async def test_peers_learn_routes_and_pay_each_other(meet, transport, we_listen):
    """As peers each learns the other's route by CCP, and STREAM payments go through both connectors, both ways."""
    both = await meet(transport, "peer", we_listen=we_listen, account={"max_packet": "0.05"})
    await both.routed("test.js", "test.ours")
    paid = await both.pay_us(AMOUNT)
    assert (paid["sent"], paid["asset"]) == (str(AMOUNT), ["EUR", 9])
    # 1.00 USD is 0.909090909 EUR; each packet is rounded down by less than one base unit.
    assert AMOUNT * 10 // 11 - 100 < int(paid["delivered"]) <= AMOUNT * 10 // 11
    ours = both.ours.accounts
    assert ours["js"].volume_in == AMOUNT
    assert ours["js"].fulfilled >= 20, "no packet above 0.05"
    assert await both.ours.balances.balance("local") == int(paid["delivered"])
    payment, received = await both.pay_them(AMOUNT)
    assert (payment.sent, payment.delivered) == (AMOUNT, received)
    assert AMOUNT * 11 // 10 - 100 < received <= AMOUNT * 11 // 10
    assert await both.ours.balances.balance("js") == received - AMOUNT


@pytest.mark.parametrize("transport", ["btp", "http"])
async def test_we_are_the_child_of_ilp_connector(meet, transport):
    """It tells us our address by ILDCP, is our way to everybody, and pays us below its own address."""
    both = await meet(transport, "parent", we_listen=transport == "http")
    assert both.ours.address == "test.js.ours"
    payment, received = await both.pay_them(AMOUNT)
    assert (payment.sent, payment.delivered) == (AMOUNT, received)
    paid = await both.pay_us(AMOUNT)
    assert paid["sent"] == str(AMOUNT)


@pytest.mark.parametrize("transport", ["btp", "http"])
async def test_ilp_connector_is_our_child(meet, transport):
    """It takes its address from us by ILDCP, and payments pass both ways below our address."""
    both = await meet(transport, "child")
    assert both.theirs.address == "test.ours.js"
    paid = await both.pay_us(AMOUNT)
    assert paid["sent"] == str(AMOUNT)
    payment, received = await both.pay_them(AMOUNT)
    assert (payment.sent, payment.delivered) == (AMOUNT, received)


async def test_route_is_forgotten_when_ilp_connector_ends(meet):
    """When it goes away its route goes with it, and a payment to it is refused instead of held."""
    both = await meet("btp", "peer")
    await both.routed("test.js", "test.ours")
    await both.theirs.stop()
    while "test.js" in both.ours.routes():
        await both.ours._changed.wait()
        both.ours._changed.clear()
    assert not both.ours.accounts["js"].link.is_up


async def test_we_carry_a_payment_between_two_of_them(between):
    """JavaScript pays JavaScript through three connectors, of which ours is the middle one; we keep nothing of it."""
    ours, left, right = between
    told = await right.ask("listening", do="listen")
    paid = await left.ask("paid", do="pay", address=told["address"], secret=told["secret"], amount=str(AMOUNT))
    assert (paid["sent"], paid["delivered"]) == (str(AMOUNT), str(AMOUNT))
    assert await right.hear("closed") == str(AMOUNT)
    assert await ours.balances.balance("left") == -AMOUNT
    assert await ours.balances.balance("right") == AMOUNT


async def test_our_command_pays_through_ilp_connector(meet):
    """`causeway pay` is its child over BTP, asks our payment pointer, and pays us through it."""
    port = free_port()
    purse = {"relation": "child", "plugin": "ilp-plugin-btp", "assetCode": "USD", "assetScale": 9}
    purse["options"] = {"listener": {"port": port, "secret": "of-the-purse"}}
    both = await meet("btp", "peer", more={"purse": purse})
    where = PayConnection(btp=parse_endpoint(f"btp+ws://127.0.0.1:{port}/", "of-the-purse"))
    await both.routed("test.js", "test.ours")
    pointer = f"$127.0.0.1:{both.ours.ports()['spsp']}/shop"
    said = []
    found = await paid(Order(pointer, "2.5", is_insecure=True), where, said.append)
    assert (found["sent"], found["asset"], found["peer_asset"]["code"]) == ("2.500000000", USD, "EUR")
    assert found["destination"].startswith("test.ours.local.")
    assert await both.ours.balances.balance("local") == int(found["delivered_units"]) == 2_500_000_000 * 10 // 11
