"""What the commands of `causeway channel` do: they write orders down, and read what came of them.

Only `watch` (`channel_process`) signs and sends; it has to be running for an order to be carried out.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from cli.channel_config import BankConfig, ChannelConfig, load_bank
from cli.exits import NotFound, TimedOut
from foundation.database import Database
from foundation.errors import BadInput, Fatal
from foundation.files import write_durably
from foundation.quantities import UnixMs
from foundation.unreadable import UNREADABLE
from settlement.channels.desk import outcome_of
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
    decode_invoice,
)
from settlement.channels.routing import Credential, credential
from settlement.channels.schema import SCHEMA
from settlement.channels.signing import KeySigner
from settlement.channels.state import Channel, Phase
from settlement.channels.store import ChannelStore
from settlement.channels.terms import Account
from settlement.ledgers.book.service import wall_clock
from settlement.quantities import Asset, party_id

_DAY_MS: Final = 86_400_000
_POLL_SECONDS: Final = 0.1
_IS_WATCHING: Final = "see that `causeway channel watch` runs, and that the other bank's does"


class NotPaid(Fatal):
    """A payment was not made, for good; nothing was lost. Fields: reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"not paid: {reason}")


class OrderFailed(Fatal):
    """An order could not be carried out. Fields: reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


# --- Orders -----------------------------------------------------------------------------------------------------------


async def order_open(path: Path, name: str, wait: float) -> dict[str, Any]:
    """Have a channel opened. Raises `OrderFailed`, `TimedOut`."""
    config = load_bank(path)
    _channel(config, name)
    return await _ordered(config, OpenOrder(name), wait, "channel")


async def order_payment(path: Path, name: str, amount: str | None, invoice: Path | None, wait: float) -> dict[str, Any]:
    """Have a payment made, directly or over a proxy.

    Raises:
        NotPaid: it was not made.
        TimedOut: it has not ended yet.
    """
    config = load_bank(path)
    if (amount is None) == (invoice is None):
        raise BadInput("AMOUNT", "either an amount or --invoice", "give one of them")
    async with await Database.open(config.database, SCHEMA) as database:
        state = await _state(database, config, name)
        asset = _asset(config, name)
        if amount is not None:
            units = asset.units(amount, "AMOUNT")
            if not units:
                raise BadInput("AMOUNT", "is nothing", "more than 0")
            return await _placed(database, PayOrder(state.channel, units), wait, asset)
        assert invoice is not None, "one of both"
        return await _placed(database, _route(config, name, state, invoice), wait, asset)


async def order_invoice(path: Path, name: str, amount: str, out: Path, minutes: int, wait: float) -> dict[str, Any]:
    """Have an invoice made, and write it to a file. Raises `TimedOut`."""
    config = load_bank(path)
    units = _asset(config, name).units(amount, "AMOUNT")
    if not units:
        raise BadInput("AMOUNT", "is nothing", "more than 0")
    if not wait:
        raise BadInput("--wait", "is 0", "an invoice has to be waited for")
    made = await _ordered(config, InvoiceOrder(units, UnixMs(wall_clock() + minutes * 60_000)), wait, "invoice")
    write_durably(out, str(made["invoice"]).encode() + b"\n")
    return {"invoice": str(out), "amount": amount}


async def order_close(path: Path, name: str, alone: bool, wait: float) -> dict[str, Any]:
    """Have a channel ended; what is waited for is that the end has begun. Raises `OrderFailed`, `TimedOut`."""
    config = load_bank(path)
    async with await Database.open(config.database, SCHEMA) as database:
        state = await _state(database, config, name)
    made = await _ordered(config, CloseOrder(state.channel, alone), wait, "close")
    return {**made, "close": "begun; see `causeway channel show`" if wait else made.get("close", "")}


def vouched(party: str, account: str, key_file: Path, out: Path, days: int) -> dict[str, Any]:
    """A credential for a proxy, in a file. Raises `BadInput`."""
    try:
        authority = bytes.fromhex(key_file.read_text().strip().removeprefix("0x"))
        signs = bytes.fromhex(account.removeprefix("0x"))
    except (OSError, ValueError) as error:
        raise BadInput("--key-file", f"a key or an account cannot be read: {error}", "hex digits") from error
    if len(signs) != 20:
        raise BadInput("ACCOUNT", "no account", "0x and 40 hex digits")
    until = UnixMs(wall_clock() + days * _DAY_MS)
    made = credential(authority, party_id(party, "PARTY"), Account(signs), until)
    write_durably(out, msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n", mode=0o644)
    return {"party": party, "credential": str(out), "authority": f"0x{KeySigner(authority).account.hex()}"}


async def shown(path: Path, name: str | None) -> list[dict[str, Any]]:
    """Channels of the configuration, as they are stored. Raises `BadInput` for a name that is none."""
    config = load_bank(path)
    found: list[dict[str, Any]] = []
    async with await Database.open(config.database, SCHEMA) as database:
        for each in config.channels.values() if name is None else [_channel(config, name)]:
            async with database.view() as view:
                state = await ChannelStore(view.connection).named(each.name)
                entries = () if state is None else await OrderStore(view.connection).entries(state.channel)
            if state is None:
                found.append({"name": each.name, "peer": each.peer, "ledger": each.ledger, "phase": "not opened"})
                continue
            found.append(_shown(each, state, entries, _asset(config, each.name)))
    return found


def _agreed(state: Channel) -> str:
    """Who has signed that this channel is wanted: both, or nobody is asked for money."""
    if state.phase is not Phase.OPENING or (state.announced_at and state.agreed):
        return "both"
    return "they" if state.agreed else "we" if state.announced_at else "nobody"


def _shown(config: ChannelConfig, state: Channel, entries: tuple[Entry, ...], asset: Asset) -> dict[str, Any]:
    sheet = state.sheet
    return {
        "name": config.name,
        "peer": config.peer,
        "ledger": config.ledger,
        "phase": state.phase.value,
        "agreed": _agreed(state),
        "channel": state.channel.hex(),
        "asset": asset.code,
        "ours": asset.text(sheet.balance(state.side)),
        "theirs": asset.text(sheet.balance(state.side.other)),
        "set_aside": asset.text(sum(lock.amount for lock in sheet.locks)),
        "sheet": sheet.sequence,
        "on_ledger": state.case.status.value if state.case is not None else "unknown",
        "payments": [
            {
                "reference": entry.reference.hex(),
                "direction": "in" if entry.incoming else "out",
                "amount": asset.text(entry.amount),
                "state": entry.state.value,
                "reason": entry.reason,
            }
            for entry in entries
        ],
    }


# --- Inside -----------------------------------------------------------------------------------------------------------


async def _ordered(config: BankConfig, order: Order, wait: float, what: str) -> dict[str, Any]:
    async with await Database.open(config.database, SCHEMA) as database:
        return await _placed(database, order, wait, what=what)


async def _placed(
    database: Database, order: Order, wait: float, asset: Asset | None = None, what: str = "result"
) -> dict[str, Any]:
    """Write an order down, and wait for what comes of it."""
    order_id = secrets.token_bytes(32)
    async with database.unit() as unit:
        await OrderStore(unit.connection).add(order_id, order, wall_clock())
        await unit.commit()
    until = time.monotonic() + wait
    while time.monotonic() < until:
        found = await outcome_of(database, order_id)
        if isinstance(found, Entry):
            if found.state is not PaymentState.PAID:
                raise NotPaid(found.reason or found.state.value)
            assert asset is not None, "a payment is in a channel's asset"
            return {"order": order_id.hex(), "state": found.state.value, "amount": asset.text(found.amount)}
        if found is not None and found.state is OrderState.FAILED:
            raise OrderFailed(found.result)
        if found is not None:
            return {"order": order_id.hex(), "state": found.state.value, what: found.result}
        await asyncio.sleep(_POLL_SECONDS)
    if wait:
        raise TimedOut(f"the order {order_id.hex()}", wait, _IS_WATCHING)
    return {"order": order_id.hex(), "state": OrderState.WAITING.value}


def _route(config: BankConfig, name: str, state: Channel, path: Path) -> RouteOrder:
    proxy = next((each for each in config.proxies.values() if each.channel == name), None)
    if proxy is None:
        raise BadInput("NAME", f"{name} is no proxy's channel", "write [proxies.NAME] with its credential and terms")
    try:
        asked = decode_invoice(path.read_text())
        shown_credential = msgspec.json.decode(proxy.credential.read_bytes(), type=Credential)
    except OSError as error:
        raise BadInput(str(error.filename), error.strerror or "cannot be read", "name a file that is there") from error
    except UNREADABLE as error:
        raise BadInput(str(proxy.credential), f"no credential: {error}", "ask the network's authority") from error
    margins = proxy.margins
    return RouteOrder(state.channel, asked, shown_credential, margins.fee, margins.hop_ms, margins.least_ms)


def _channel(config: BankConfig, name: str) -> ChannelConfig:
    found = config.channels.get(name)
    if found is None:
        raise NotFound(f"channel {name}", "name one of [channels]: " + ", ".join(sorted(config.channels)))
    return found


def _asset(config: BankConfig, name: str) -> Asset:
    return config.ledgers[_channel(config, name).ledger].asset


async def _state(database: Database, config: BankConfig, name: str) -> Channel:
    _channel(config, name)
    async with database.view() as view:
        found = await ChannelStore(view.connection).named(name)
    if found is None:
        raise NotFound(f"channel {name}", f"open it first: causeway channel open {name}")
    return found
