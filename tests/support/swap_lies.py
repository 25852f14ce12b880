"""What dishonest traders do in place of their machines' orders: hands for `swap_cases.Side.hands`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from adapters.bitcoin.primitives import TxOut
from adapters.evm.escrow.types import PointTerms, Terms
from foundation.quantities import Satoshi, SatPerKvB
from mpc.curve import SecretScalar
from settlement.swap.bitcoin.output import SwapOutput, output_of
from settlement.swap.engine.hands.desk import Changes, Desk, NotNow
from settlement.swap.engine.hands.evm import memo_of
from settlement.swap.engine.performer import HANDS, Hand
from settlement.swap.evm.leg import EscrowLeg
from settlement.swap.evm.memo import seal_memo
from settlement.swap.evm.site import EscrowSite
from settlement.swap.evm.terms import lock_terms
from settlement.swap.machine.messages import ClaimCosigned, Message, Secret
from settlement.swap.store.store import SwapRow
from settlement.swap.terms import Mode

RATE = SatPerKvB(3_000)
NO_MEMO = b"\x01" * 53
_EVER = 1 << 40


async def lock(desk: Desk, row: SwapRow, *, site: EscrowSite | None = None, **other: Any) -> None:
    """Make a lock that is not the agreed one, or is elsewhere; `other` replaces fields."""
    terms = replace(lock_terms(row.state.terms), **other)
    secrets = desk.secrets(row)
    named_by = secrets.bitcoin if row.state.terms.mode is Mode.HASH else secrets.lock
    if "id" in other:
        memo = NO_MEMO  # it can be sealed by the key alone that names the lock
    else:
        memo = seal_memo(site or desk.evm.site, terms, memo_of(row), SecretScalar.nonzero(named_by))
    await leg_at(desk, site).place(terms.id, terms, memo)


async def lock_of_the_other_kind(desk: Desk, row: SwapRow) -> None:
    """A point lock where a hash lock was agreed, under the same id."""
    agreed = lock_terms(row.state.terms)
    assert isinstance(agreed, Terms)
    fields = {name: getattr(agreed, name) for name in PointTerms.__slots__ if name != "point"}
    terms = PointTerms(**fields, point=agreed.condition[-20:])
    await desk.evm.place(terms.id, terms, NO_MEMO)


def leg_at(desk: Desk, site: EscrowSite | None) -> EscrowLeg:
    """The account's leg at another Escrow."""
    leg = desk.evm
    if site is None:
        return leg
    return EscrowLeg(site, leg._heads, leg._rpc, leg._sender, leg._journal, leg._secret)  # noqa: SLF001


async def pay(desk: Desk, row: SwapRow, value: int, output: SwapOutput | None = None) -> bytes:
    """Pay so many satoshi to the swap's output, or to another one; the transaction's id."""
    paid = TxOut(Satoshi(value), (output or output_of(row.state.terms)).script)
    funding = await desk.wallet.fund(paid, RATE, at_most=Satoshi(100_000))
    await desk.rpc.submit(funding.raw)
    return funding.txid


def once(act: Callable[[Desk, SwapRow], Awaitable[object]]) -> Hand:
    """A hand that does something else, once, and says that all is done."""
    done = False

    async def carry_out(desk: Desk, row: SwapRow, order: Any) -> Changes:
        nonlocal done
        if not done:
            await act(desk, row)
            done = True
        return ()

    return carry_out


def besides(kind: type[Any], act: Callable[[Desk, SwapRow], Awaitable[object]]) -> Hand:
    """A hand that does what it should, and something else, once."""
    also = once(act)

    async def carry_out(desk: Desk, row: SwapRow, order: Any) -> Changes:
        await also(desk, row, order)
        return await HANDS[kind](desk, row, order)

    return carry_out


def after(event: asyncio.Event, kind: type[Any]) -> Hand:
    """A hand that does what it should, but only after something has happened."""

    async def carry_out(desk: Desk, row: SwapRow, order: Any) -> Changes:
        if not event.is_set():
            raise NotNow("later", 0.1)
        return await HANDS[kind](desk, row, order)

    return carry_out


def not_before(kind: type[Any], moment: Callable[[SwapRow], int]) -> Hand:
    """A hand that does what it should, but only after a moment (seconds since 1970), whatever its machine's gates."""

    async def carry_out(desk: Desk, row: SwapRow, order: Any) -> Changes:
        if desk.seconds <= moment(row):
            raise NotNow("later", 0.2)
        if hasattr(order, "not_after"):
            order = type(order)(
                **{name: getattr(order, name) for name in order.__struct_fields__} | {"not_after": _EVER}
            )
        return await HANDS[kind](desk, row, order)

    return carry_out


def saying(*messages: Callable[[Desk, SwapRow], Message]) -> Hand:
    """A hand that writes these letters instead."""

    async def write(desk: Desk, row: SwapRow) -> None:
        for message in messages:
            await desk.say(row, message(desk, row))

    return once(write)


def wrong_secrets() -> Hand:
    """Letters with secrets of every wrong length, and one that opens nothing."""
    return saying(
        lambda desk, row: Secret(desk.secrets(row).preimage[:31], b"request"),
        lambda desk, row: Secret(desk.secrets(row).preimage + b"\0", b"request"),
        lambda desk, row: Secret(desk.secrets(row).preimage * 2, b"request"),
        lambda desk, row: Secret(bytes(32), b"request"),
        lambda desk, row: Secret(b"", b"request"),
    )


def bad_signature() -> Hand:
    """An answer to the call for a signature whose partial signature is none."""

    async def answer(desk: Desk, row: SwapRow, order: Any) -> Changes:
        await desk.say(row, ClaimCosigned(bytes([1]) + b"\x02" + bytes(31) + b"\x01" + bytes(65)))
        return ()

    return answer
