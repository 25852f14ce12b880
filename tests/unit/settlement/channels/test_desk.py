"""A bank's desk: orders are carried out once, whatever crashes, and invoices are claimed once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from foundation.database import Moment
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.channels.desk import ChannelDesk, outcome_of
from settlement.channels.orders import (
    CloseOrder,
    Entry,
    InvoiceOrder,
    OpenOrder,
    Order,
    OrderState,
    OrderStore,
    PaymentState,
    PayOrder,
    RouteOrder,
    Standing,
    decode_invoice,
)
from settlement.channels.relay import Relay
from settlement.channels.routing import Invoice, Margins, credential
from settlement.channels.signing import KeySigner
from settlement.channels.state import Phase
from settlement.channels.terms import ChannelId
from settlement.quantities import PartyId, Units
from tests.support.channel_town import Town

AUTHORITY = b"n" * 32
MARGINS = Margins(Units(3), hop_ms=40_000, least_ms=30_000)
_ids = iter(range(1, 1_000))


class Crash(Exception):  # noqa: N818
    """The process has died."""


async def seat(town: Town, name: str) -> ChannelDesk:
    """A desk for a bank that has just been started."""
    bank = town.banks[name]
    assert bank.database is not None
    secret = name.encode().ljust(32, b".")
    desk = ChannelDesk(bank.database, PartyId(name), secret, KeySigner(AUTHORITY).account, town.clock)
    bank.runs._gateway = desk
    return desk


async def order(town: Town, name: str, wanted: Order) -> bytes:
    """Write an order down; its id."""
    order_id = next(_ids).to_bytes(32, "big")
    database = town.banks[name].database
    assert database is not None
    async with database.unit() as unit:
        await OrderStore(unit.connection).add(order_id, wanted, town.now)
        await unit.commit()
    return order_id


async def done(town: Town, name: str, order_id: bytes) -> Standing | Entry | None:
    """What came of it."""
    database = town.banks[name].database
    assert database is not None
    return await outcome_of(database, order_id)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """Three banks without channels."""
    made = await Town(tmp_path).start("ann", "hub", "bob")
    yield made
    await made.stop()


async def test_payment_is_carried_out_and_written_down(town: Town) -> None:
    """Payer and payee each have the payment in their list, and one that there is no money for is told as refused."""
    channel = await town.channel("ann", "bob")
    desks = [await seat(town, name) for name in ("ann", "bob")]
    paid = await order(town, "ann", PayOrder(channel, Units(250)))
    dear = await order(town, "ann", PayOrder(channel, Units(5_000)))
    assert await done(town, "ann", paid) is None
    await desks[0].serve(town.banks["ann"].runs)
    await town.tick()
    found = await done(town, "ann", paid)
    assert isinstance(found, Entry)
    assert (found.state, found.amount, found.incoming) == (PaymentState.PAID, 250, False)
    refused = await done(town, "ann", dear)
    assert isinstance(refused, Entry)
    assert (refused.state, "5000 of" in refused.reason) == (PaymentState.REFUSED, True)
    database = town.banks["bob"].database
    assert database is not None
    async with database.view() as view:
        (entry,) = await OrderStore(view.connection).entries(channel)
    assert (entry.reference, entry.incoming, entry.amount) == (paid, True, 250)


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("skipped", range(4))
async def test_crash_makes_no_payment_twice(town: Town, moment: Moment, skipped: int) -> None:
    """Killed at any commit of an order, before or after, the payer pays once."""
    channel = await town.channel("ann", "bob")
    order_id = await order(town, "ann", PayOrder(channel, Units(100)))
    left = [skipped]

    async def hook(when: Moment) -> None:
        if when is moment and left[0] >= 0:
            left[0] -= 1
            if left[0] < 0:
                raise Crash

    await town.run("ann", hook)
    for _ in range(8):
        try:
            desk = await seat(town, "ann")
            await desk.serve(town.banks["ann"].runs)
            await town.tick()
        except Crash:
            await town.run("ann", hook)
    found = await done(town, "ann", order_id)
    assert isinstance(found, Entry)
    assert found.state is PaymentState.PAID
    assert (await town.side("bob", channel)).sheet.balance_b == 1_100


async def test_channel_is_closed_by_order(town: Town) -> None:
    """An order to close ends the channel on the ledger; what is ordered of no channel fails, and says why."""
    channel = await town.channel("ann", "bob")
    desk = await seat(town, "ann")
    closing = await order(town, "ann", CloseOrder(channel, alone=False))
    nowhere = await order(town, "ann", PayOrder(ChannelId(bytes(32)), Units(1)))
    opening = await order(town, "ann", OpenOrder("bank-z"))
    assert [each.order_id for each in await desk.serve(town.banks["ann"].runs)] == [opening]
    for _ in range(3):
        await town.tick()
    assert (await town.side("ann", channel)).phase is Phase.CLOSED
    ended, failed = await done(town, "ann", closing), await done(town, "ann", nowhere)
    assert isinstance(ended, Standing)
    assert isinstance(failed, Standing)
    assert (ended.state, failed.state) == (OrderState.DONE, OrderState.FAILED)
    assert "not ours" in failed.result


async def routed(town: Town) -> tuple[ChannelId, ChannelId, dict[str, ChannelDesk], Invoice]:
    """Channels of Ann and Bob with the hub, which is a proxy, and an invoice of Bob's for 80."""
    up, down = await town.channel("ann", "hub"), await town.channel("hub", "bob")
    desks = {name: await seat(town, name) for name in ("ann", "hub", "bob")}
    hub = town.banks["hub"]
    assert hub.database is not None
    parties = {PartyId("ann"): up, PartyId("bob"): down}
    hub.runs._gateway = Relay(hub.database, parties, MARGINS, town.clock, desks["hub"])
    asked = await order(town, "bob", InvoiceOrder(Units(80), UnixMs(town.now + 300_000)))
    await desks["bob"].serve(town.banks["bob"].runs)
    found = await done(town, "bob", asked)
    assert isinstance(found, Standing)
    return up, down, desks, decode_invoice(found.result)


def route(up: ChannelId, town: Town, invoice: Invoice, authority: bytes = AUTHORITY) -> RouteOrder:
    """An order to pay an invoice over the hub."""
    vouched = credential(authority, PartyId("hub"), town.banks["hub"].signer.account, UnixMs(town.now + 10**9))
    return RouteOrder(up, invoice, vouched, MARGINS.fee, MARGINS.hop_ms, MARGINS.least_ms)


async def test_invoice_is_paid_over_a_proxy_once(town: Town) -> None:
    """The payee gets what it asked for and the proxy its fee; a second payment of the invoice goes back."""
    up, down, desks, invoice = await routed(town)
    states = []
    for _ in range(2):
        paying = await order(town, "ann", route(up, town, invoice))
        for _ in range(6):
            await desks["ann"].serve(town.banks["ann"].runs)
            await town.tick()
        found = await done(town, "ann", paying)
        assert isinstance(found, Entry)
        states.append(found.state)
    assert states == [PaymentState.PAID, PaymentState.RETURNED]
    one, other = (await town.side("hub", up)).sheet, (await town.side("hub", down)).sheet
    assert (one.balance_a, one.balance_b, other.balance_a, other.balance_b) == (917, 1_083, 920, 1_080)


async def test_only_a_proxy_that_is_vouched_for_is_paid(town: Town) -> None:
    """A credential by another authority, or of another account than the channel's, moves nothing."""
    up, _, desks, invoice = await routed(town)
    good = route(up, town, invoice)
    other = credential(AUTHORITY, PartyId("hub"), KeySigner(b"z" * 32).account, UnixMs(town.now + 10**9))
    for bad in (route(up, town, invoice, b"x" * 32), replace_credential(good, other)):
        paying = await order(town, "ann", bad)
        await desks["ann"].serve(town.banks["ann"].runs)
        found = await done(town, "ann", paying)
        assert isinstance(found, Standing)
        assert found.state is OrderState.FAILED
    assert (await town.side("ann", up)).sheet.sequence == 0


def replace_credential(made: RouteOrder, shown: object) -> RouteOrder:
    """The order with another credential."""
    fields = {name: getattr(made, name) for name in made.__struct_fields__}
    return RouteOrder(**{**fields, "credential": shown})


async def test_changed_invoice_is_not_paid(town: Town) -> None:
    """An invoice whose amount was changed is not the payee's word, and nothing is set aside for it."""
    up, down, desks, invoice = await routed(town)
    cheap = replace(invoice, amount=Units(10))
    paying = await order(town, "ann", route(up, town, cheap))
    for _ in range(6):
        await desks["ann"].serve(town.banks["ann"].runs)
        await town.tick()
    found = await done(town, "ann", paying)
    assert isinstance(found, Standing)  # the payee's signature is not on this amount
    assert found.state is OrderState.FAILED
    assert (await town.side("bob", down)).sheet.balance_b == 1_000


def test_nonsense_is_no_invoice() -> None:
    """A file that holds no invoice is refused with what to do."""
    with pytest.raises(BadInput):
        decode_invoice("{}")
