"""A trader's swaps, their orders, letters and cursors, on one connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, delete, func, insert, select, update

from foundation.database import Repository
from foundation.errors import BadInput, Fatal
from foundation.quantities import Satoshi, UnixMs
from settlement.swap.machine.changes import Wish
from settlement.swap.machine.effects import Effect
from settlement.swap.machine.states import Swap, decode_state, encode_state
from settlement.swap.offers import SignedOffer
from settlement.swap.store.tables import cursors, history, offers, orders, swaps, takings, transactions, wallet, wishes
from settlement.swap.terms import Role

HISTORY_MAX: Final = 400
"""Lines of one swap: a history never fills a disk."""
_SPARE_LOOKS: Final = 64
"""Offers that are looked at for one that has ended."""


class OtherWallet(Fatal):
    """The database belongs to another mnemonic, or to the same one's swaps elsewhere."""

    def __init__(self) -> None:
        super().__init__(
            "the folder's database belongs to another mnemonic, or to other chains or another Escrow than swap.toml "
            "names; use another folder"
        )


class OfferState(StrEnum):
    """What has become of an own offer."""

    OPEN = "open"
    TAKEN = "taken"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class OwnOffer:
    """An offer of this trader's. Fields: index (of its keys); board (URL where it is published; empty: on none)."""

    index: int
    signed: SignedOffer
    state: OfferState
    board: str
    made_at: UnixMs

    @property
    def offer_id(self) -> bytes:
        """32 bytes."""
        return self.signed.offer.offer_id


class TakingState(StrEnum):
    """How far an offer was taken."""

    ASKED = "asked"
    REFUSED = "refused"
    AGREED = "agreed"


@dataclass(frozen=True, slots=True)
class Taking:
    """Somebody's offer that this trader takes.

    Fields: index (of its keys); signed; state; problem (why it was refused); swap_id (32 bytes once terms are complete;
    else None); made_at.
    """

    index: int
    signed: SignedOffer
    state: TakingState
    problem: str
    swap_id: bytes | None
    made_at: UnixMs

    @property
    def offer_id(self) -> bytes:
        """32 bytes."""
        return self.signed.offer.offer_id


@dataclass(frozen=True, slots=True)
class Peer:
    """The other side. Fields: identity (x-only key that signs its letters; empty: unknown, after a recovery); letters
    (X25519 key); place (URL of the mailboxes where both read)."""

    identity: bytes
    letters: bytes
    place: str

    @property
    def is_known(self) -> bool:
        """Whether letters can be sent."""
        return bool(self.identity)


@dataclass(frozen=True, slots=True)
class SwapRow:
    """A swap as the database has it.

    Fields: swap_id; index (of its keys); is_maker; offer (the link; empty after a recovery); peer; peer_signature (over
    the swap's id, 64 bytes; empty: not yet); state; version (how often it has changed); created_at, updated_at.
    """

    swap_id: bytes
    index: int
    is_maker: bool
    offer: str
    peer: Peer
    peer_signature: bytes
    state: Swap
    version: int
    created_at: UnixMs
    updated_at: UnixMs

    @property
    def role(self) -> Role:
        """This side's."""
        return self.state.role

    @property
    def is_open(self) -> bool:
        """Whether something is left to do."""
        return self.state.outcome is None


@dataclass(frozen=True, slots=True)
class DueOrder:
    """An order to carry out. Fields: number (of this giving); attempts (that failed for now); problem (of the last)."""

    swap_id: bytes
    key: str
    effect: Effect
    number: int
    due_at: UnixMs
    attempts: int
    problem: str


@dataclass(frozen=True, slots=True)
class KeptTransaction:
    """A bitcoin transaction that was signed for an order. Fields: txid (32 bytes, internal order); raw; fee."""

    swap_id: bytes
    key: str
    attempt: int
    txid: bytes
    raw: bytes
    fee: Satoshi
    made_at: UnixMs


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a swap's history."""

    at: UnixMs
    note: str


_SWAP: Final = (
    swaps.c.swap_id,
    swaps.c.index,
    swaps.c.is_maker,
    swaps.c.offer,
    swaps.c.peer,
    swaps.c.peer_letters,
    swaps.c.place,
    swaps.c.peer_signature,
    swaps.c.state,
    swaps.c.version,
    swaps.c.created_at,
    swaps.c.updated_at,
)
_ORDER: Final = (
    orders.c.swap_id,
    orders.c.key,
    orders.c.effect,
    orders.c.number,
    orders.c.due_at,
    orders.c.attempts,
    orders.c.problem,
)
_encode_effect = msgspec.msgpack.Encoder().encode
_effects = msgspec.msgpack.Decoder(Effect)


class SwapStore(Repository):
    """See the module."""

    # --- The wallet ---------------------------------------------------------------------------------------------------

    async def claim(self, wallet_id: bytes) -> None:
        """Make sure that the database is this mnemonic's; a new one becomes so. Raises `OtherWallet`."""
        row = {"place": 1, "wallet_id": wallet_id, "next_index": 0}
        await self._connection.execute(self._insert(wallet).values(row).on_conflict_do_nothing())
        found = (await self._connection.execute(select(wallet.c.wallet_id))).scalar_one()
        if bytes(found) != wallet_id:
            raise OtherWallet

    async def new_index(self) -> int:
        """An index that was never used."""
        number = int((await self._connection.execute(select(wallet.c.next_index))).scalar_one())
        await self._connection.execute(update(wallet).values(next_index=number + 1))
        return number

    async def next_index(self) -> int:
        """The index that will be given out next."""
        return int((await self._connection.execute(select(wallet.c.next_index))).scalar_one())

    async def spare_index(self, ended_before: int) -> int | None:
        """An index that an own offer used which came to nothing and ended before a time (seconds since 1970): the offer
        is forgotten. None where there is none. Offers show a public key of it, and nothing that swaps keep secret."""
        unused = (offers.c.state != OfferState.TAKEN.value, offers.c.index.not_in(select(swaps.c.index)))
        query = select(offers.c.offer_id, offers.c.index, offers.c.text).where(*unused)
        found = await self._connection.execute(query.order_by(offers.c.made_at, offers.c.index).limit(_SPARE_LOOKS))
        for offer_id, index, text in found:
            if SignedOffer.read(text).offer.valid_until < ended_before:
                await self._connection.execute(delete(offers).where(offers.c.offer_id == offer_id))
                return int(index)
        return None

    async def waiting_offers(self) -> int:
        """How many own offers came to nothing yet."""
        query = select(func.count()).select_from(offers).where(offers.c.state != OfferState.TAKEN.value)
        return int((await self._connection.execute(query)).scalar_one())

    async def skip_to(self, index: int) -> None:
        """Never use an index below this one again."""
        await self._connection.execute(update(wallet).where(wallet.c.next_index < index).values(next_index=index))

    # --- Offers -------------------------------------------------------------------------------------------------------

    async def put_offer(self, offer: OwnOffer) -> None:
        """Keep a new offer, or its new state."""
        row = {
            "offer_id": offer.offer_id,
            "index": offer.index,
            "text": offer.signed.text,
            "state": offer.state.value,
            "published_at": offer.board,
            "made_at": offer.made_at,
        }
        made = self._insert(offers).values(row)
        news = {"state": row["state"], "published_at": row["published_at"]}
        await self._connection.execute(made.on_conflict_do_update(index_elements=["offer_id"], set_=news))

    async def offer(self, offer_id: bytes) -> OwnOffer | None:
        """An own offer."""
        found = await self._offers(offers.c.offer_id == offer_id)
        return found[0] if found else None

    async def open_offers(self) -> tuple[OwnOffer, ...]:
        """Own offers that may be taken, the oldest first; some may have expired."""
        return await self._offers(offers.c.state == OfferState.OPEN.value)

    async def offers(self) -> tuple[OwnOffer, ...]:
        """All own offers, the oldest first."""
        return await self._offers()

    async def _offers(self, *where: ColumnElement[bool]) -> tuple[OwnOffer, ...]:
        columns = (offers.c.index, offers.c.text, offers.c.state, offers.c.published_at, offers.c.made_at)
        query = select(*columns).where(*where).order_by(offers.c.made_at, offers.c.index)
        return tuple(
            OwnOffer(index, SignedOffer.read(text), OfferState(state), board, UnixMs(made_at))
            for index, text, state, board, made_at in await self._connection.execute(query)
        )

    # --- Offers of others ---------------------------------------------------------------------------------------------

    async def put_taking(self, taking: Taking) -> None:
        """Keep that an offer is taken, or how far."""
        row = {
            "offer_id": taking.offer_id,
            "index": taking.index,
            "offer": taking.signed.text,
            "state": taking.state.value,
            "problem": taking.problem[:500],
            "swap_id": taking.swap_id,
            "made_at": taking.made_at,
        }
        news = {name: row[name] for name in ("state", "problem", "swap_id")}
        made = self._insert(takings).values(row)
        await self._connection.execute(made.on_conflict_do_update(index_elements=["offer_id"], set_=news))

    async def taking(self, offer_id: bytes) -> Taking | None:
        """One of them."""
        found = await self._takings(takings.c.offer_id == offer_id)
        return found[0] if found else None

    async def open_takings(self) -> tuple[Taking, ...]:
        """Those that wait for an answer, the oldest first."""
        return await self._takings(takings.c.state == TakingState.ASKED.value)

    async def _takings(self, *where: ColumnElement[bool]) -> tuple[Taking, ...]:
        columns = (
            takings.c.index,
            takings.c.offer,
            takings.c.state,
            takings.c.problem,
            takings.c.swap_id,
            takings.c.made_at,
        )
        query = select(*columns).where(*where).order_by(takings.c.made_at, takings.c.index)
        return tuple(
            Taking(
                index,
                SignedOffer.read(text),
                TakingState(state),
                problem,
                None if swap_id is None else bytes(swap_id),
                UnixMs(made_at),
            )
            for index, text, state, problem, swap_id, made_at in await self._connection.execute(query)
        )

    # --- Swaps --------------------------------------------------------------------------------------------------------

    async def add(self, row: SwapRow) -> bool:
        """Keep a new swap; False where it is there already."""
        new = {
            "swap_id": row.swap_id,
            "index": row.index,
            "is_maker": row.is_maker,
            "offer": row.offer,
            "peer": row.peer.identity,
            "peer_letters": row.peer.letters,
            "place": row.peer.place,
            "peer_signature": row.peer_signature,
            **_changing(row),
            "created_at": row.created_at,
        }
        made = await self._connection.execute(
            self._insert(swaps).values(new).on_conflict_do_nothing(index_elements=["swap_id"])
        )
        return made.rowcount > 0

    async def save(self, row: SwapRow, state: Swap, now: UnixMs) -> SwapRow:
        """Store a new state; the row as it is then."""
        newer = replace(row, state=state, version=row.version + 1, updated_at=now)
        await self._connection.execute(update(swaps).where(swaps.c.swap_id == row.swap_id).values(_changing(newer)))
        return newer

    async def sign(self, swap_id: bytes, signature: bytes) -> None:
        """Keep the other side's signature over the swap's id."""
        await self._connection.execute(update(swaps).where(swaps.c.swap_id == swap_id).values(peer_signature=signature))

    async def swap_of(self, index: int) -> SwapRow | None:
        """The swap that uses the keys of an index."""
        found = await self._swaps(swaps.c.index == index)
        return found[0] if found else None

    async def swap(self, swap_id: bytes) -> SwapRow | None:
        """One swap."""
        found = await self._swaps(swaps.c.swap_id == swap_id)
        return found[0] if found else None

    async def swaps(self, *, open_only: bool = False) -> tuple[SwapRow, ...]:
        """Swaps, the oldest first."""
        return await self._swaps(*((swaps.c.is_open.is_(True),) if open_only else ()))

    async def ended(self, since: UnixMs) -> tuple[SwapRow, ...]:
        """Swaps of which nothing is left to do, that have changed since then; the oldest first."""
        return await self._swaps(swaps.c.is_open.is_(False), swaps.c.updated_at >= since)

    async def named(self, prefix: str) -> SwapRow:
        """The swap whose id begins so (hexadecimal digits, at least four).

        Raises:
            BadInput: no such text, no swap, or several.
        """
        text = prefix.strip().lower().removeprefix("0x")
        if len(text) < 4 or not all(digit in "0123456789abcdef" for digit in text):
            raise BadInput("swap", f"{prefix[:80]!r} names none", "write at least four digits of its id")
        ids = (await self._connection.execute(select(swaps.c.swap_id))).scalars()
        found = [bytes(one) for one in ids if bytes(one).hex().startswith(text)]
        if len(found) != 1:
            problem = f"{text} names {len(found)} swaps" if found else f"no swap begins with {text}"
            raise BadInput("swap", problem, "`causeway swap list` shows them")
        row = await self.swap(found[0])
        assert row is not None, "it was there"
        return row

    async def _swaps(self, *where: ColumnElement[bool]) -> tuple[SwapRow, ...]:
        query = select(*_SWAP).where(*where).order_by(swaps.c.created_at, swaps.c.index)
        return tuple(
            SwapRow(
                bytes(swap_id),
                index,
                is_maker,
                offer,
                Peer(bytes(peer), bytes(letters), place),
                bytes(signature),
                decode_state(state),
                version,
                UnixMs(created_at),
                UnixMs(updated_at),
            )
            for (
                swap_id,
                index,
                is_maker,
                offer,
                peer,
                letters,
                place,
                signature,
                state,
                version,
                created_at,
                updated_at,
            ) in await self._connection.execute(query)
        )

    # --- Orders -------------------------------------------------------------------------------------------------------

    async def give(self, swap_id: bytes, effects: Sequence[Effect], now: UnixMs) -> None:
        """Keep orders; one with a key that is there takes its place and is due again."""
        for effect in effects:
            row = {
                "swap_id": swap_id,
                "key": effect.key,
                "effect": _encode_effect(effect),
                "number": 1,
                "is_due": True,
                "due_at": now,
                "attempts": 0,
                "problem": "",
            }
            news = {**{name: row[name] for name in ("effect", "is_due", "due_at", "attempts", "problem")}}
            made = self._insert(orders).values(row)
            await self._connection.execute(
                made.on_conflict_do_update(
                    index_elements=["swap_id", "key"], set_={**news, "number": orders.c.number + 1}
                )
            )

    async def due(self, now: UnixMs, most: int = 100) -> tuple[DueOrder, ...]:
        """Orders to carry out now, the longest waiting first."""
        query = select(*_ORDER).where(orders.c.is_due.is_(True), orders.c.due_at <= now)
        return await self._orders(query.order_by(orders.c.due_at, orders.c.key).limit(most))

    async def next_due(self) -> UnixMs | None:
        """When the next order is due; None: there is none."""
        found = await self._connection.scalar(select(func.min(orders.c.due_at)).where(orders.c.is_due.is_(True)))
        return None if found is None else UnixMs(int(found))

    async def orders(self, swap_id: bytes, *, due_only: bool = False) -> tuple[DueOrder, ...]:
        """Orders of a swap, by their keys."""
        query = select(*_ORDER).where(orders.c.swap_id == swap_id)
        if due_only:
            query = query.where(orders.c.is_due.is_(True))
        return await self._orders(query.order_by(orders.c.key))

    async def done(self, order: DueOrder) -> None:
        """An order was carried out; one that was given again meanwhile stays due."""
        await self._connection.execute(update(orders).where(*_this(order)).values(is_due=False, problem=""))

    async def later(self, order: DueOrder, at: UnixMs, problem: str) -> None:
        """An order cannot be carried out now."""
        news = {"due_at": at, "attempts": order.attempts + 1, "problem": problem[:500]}
        await self._connection.execute(update(orders).where(*_this(order)).values(news))

    async def _orders(self, query: Select[*tuple[Any, ...]]) -> tuple[DueOrder, ...]:
        return tuple(
            DueOrder(bytes(swap_id), key, _effects.decode(effect), number, UnixMs(due_at), attempts, problem)
            for swap_id, key, effect, number, due_at, attempts, problem in await self._connection.execute(query)
        )

    # --- Transactions, history, wishes, cursors -----------------------------------------------------------------------

    async def keep(self, transaction: KeptTransaction) -> None:
        """Keep a signed transaction before it leaves; the first one of an attempt stays."""
        row = {
            "swap_id": transaction.swap_id,
            "key": transaction.key,
            "attempt": transaction.attempt,
            "txid": transaction.txid,
            "raw": transaction.raw,
            "fee": transaction.fee,
            "made_at": transaction.made_at,
        }
        await self._connection.execute(self._insert(transactions).values(row).on_conflict_do_nothing())

    async def kept(self, swap_id: bytes, key: str) -> tuple[KeptTransaction, ...]:
        """Transactions of an order, the first attempt first."""
        query = select(transactions).where(transactions.c.swap_id == swap_id, transactions.c.key == key)
        return await self._rows(KeptTransaction, query.order_by(transactions.c.attempt))

    async def all_kept(self, swap_id: bytes) -> tuple[KeptTransaction, ...]:
        """All transactions of a swap."""
        query = select(transactions).where(transactions.c.swap_id == swap_id)
        return await self._rows(KeptTransaction, query.order_by(transactions.c.made_at, transactions.c.attempt))

    async def forget(self, swap_id: bytes, key: str) -> None:
        """Drop transactions that never left."""
        await self._connection.execute(
            delete(transactions).where(transactions.c.swap_id == swap_id, transactions.c.key == key)
        )

    async def note(self, swap_id: bytes, at: UnixMs, note: str) -> None:
        """Add a line to a swap's history, as long as it is not too long."""
        count = select(func.count()).select_from(history).where(history.c.swap_id == swap_id)
        if int((await self._connection.execute(count)).scalar_one()) < HISTORY_MAX:
            await self._connection.execute(insert(history).values(swap_id=swap_id, at=at, note=note[:500]))

    async def lines(self, swap_id: bytes) -> tuple[Line, ...]:
        """A swap's history, the oldest line first."""
        query = select(history.c.at, history.c.note).where(history.c.swap_id == swap_id).order_by(history.c.id)
        return await self._rows(Line, query)

    async def wish(self, swap_id: bytes, wish: Wish) -> None:
        """Write down what the owner wants, for whichever process runs the swaps."""
        await self._connection.execute(insert(wishes).values(swap_id=swap_id, wish=wish.value))

    async def take_wishes(self) -> tuple[tuple[bytes, Wish], ...]:
        """What owners asked for since the last time."""
        query = select(wishes.c.swap_id, wishes.c.wish).order_by(wishes.c.id)
        found = tuple((bytes(one), Wish(wish)) for one, wish in await self._connection.execute(query))
        if found:
            await self._connection.execute(delete(wishes))
        return found

    async def cursor(self, name: str) -> bytes:
        """Where a reader stands; empty: at its beginning."""
        found = await self._connection.scalar(select(cursors.c.value).where(cursors.c.name == name))
        return b"" if found is None else bytes(found)

    async def set_cursor(self, name: str, value: bytes) -> None:
        """Say where a reader stands."""
        made = self._insert(cursors).values(name=name, value=value)
        await self._connection.execute(made.on_conflict_do_update(index_elements=["name"], set_={"value": value}))


def _changing(row: SwapRow) -> dict[str, object]:
    return {
        "state": encode_state(row.state),
        "is_open": row.is_open,
        "wake_at": row.state.wake_at,
        "version": row.version,
        "updated_at": row.updated_at,
    }


def _this(order: DueOrder) -> tuple[ColumnElement[bool], ...]:
    return orders.c.swap_id == order.swap_id, orders.c.key == order.key, orders.c.number == order.number
