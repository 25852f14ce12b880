"""`ilp-connector` 23 as our next hop: packets, routes and addresses, both ways, over BTP and over HTTP."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration

AMOUNT = 1_000_000_000
WAYS = [("btp", True), ("btp", False), ("http", True)]


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
