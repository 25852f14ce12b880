"""Rescue files: all that a machine remembers of its swaps, encrypted, for another machine to carry on with.

A file is a moment. What was decided after it was written is not in it, so an imported swap signs nothing that could
contradict a later decision (it counts as recovered, see `machine.states.new_swap`), unless it had ended; and where the
database knows a swap already, the state that has changed more often stays. Both machines may not work at once: chains
keep money safe even then, but letters and wallets get confused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace as replaced

from foundation.database import Database
from foundation.errors import BadInput, Fatal
from foundation.quantities import Satoshi, UnixMs
from foundation.unreadable import UNREADABLE
from mpc.cluster_errors import KeystoreDamaged
from mpc.keystore import PRODUCTION_COST, ScryptCost
from settlement.swap.machine.effects import Watch
from settlement.swap.machine.states import Follower, Initiator, Swap, decode_state, encode_state
from settlement.swap.offers import SignedOffer
from settlement.swap.sealed_file import FileKind
from settlement.swap.store.store import (
    KeptTransaction,
    OfferState,
    OwnOffer,
    Peer,
    SwapRow,
    SwapStore,
    Taking,
    TakingState,
)

RESCUE_FILE: Final = FileKind(b"CWRESC\x00\x01", "rescue file", 64 << 20)
_CURSORS: Final = ("birth/", "destination/", "funding-sent/")
"""What is kept beside a swap, by the swap's id."""


class OtherMnemonic(Fatal):
    """The rescue file is of another mnemonic than the wallet, or of swaps on other chains or another Escrow."""

    def __init__(self) -> None:
        super().__init__(
            "the rescue file belongs to another mnemonic than this wallet, or to other chains or another Escrow than "
            "swap.toml names"
        )


class _Transaction(Struct, frozen=True, array_like=True):
    key: str
    attempt: int
    txid: bytes
    raw: bytes
    fee: int
    made_at: int


class _Line(Struct, frozen=True, array_like=True):
    at: int
    note: str


class _Swap(Struct, frozen=True):
    swap_id: Annotated[bytes, Meta(min_length=32, max_length=32)]
    index: int
    is_maker: bool
    offer: str
    peer: bytes
    peer_letters: bytes
    place: str
    peer_signature: bytes
    state: bytes
    version: int
    created_at: int
    updated_at: int
    transactions: tuple[_Transaction, ...]
    lines: tuple[_Line, ...]
    beside: dict[str, bytes]


class _Offer(Struct, frozen=True):
    index: int
    text: str
    state: str
    board: str
    made_at: int


class _Taking(Struct, frozen=True):
    index: int
    text: str
    state: str
    problem: str
    swap_id: bytes | None
    made_at: int


class _Rescue(Struct, frozen=True, forbid_unknown_fields=True):
    version: Annotated[int, Meta(ge=1, le=1)]
    wallet_id: bytes
    next_index: int
    mnemonic: str
    swaps: tuple[_Swap, ...]
    offers: tuple[_Offer, ...]
    takings: tuple[_Taking, ...]


async def export(
    database: Database,
    wallet_id: bytes,
    path: Path,
    password: str,
    *,
    only: bytes | None = None,
    mnemonic: str = "",
    cost: ScryptCost = PRODUCTION_COST,
) -> int:
    """Write a rescue file; how many swaps are in it.

    Args:
        database: the trader's.
        wallet_id: of its mnemonic.
        path: a file that is not there yet.
        password: opens the file.
        only: the id of one swap; all where None.
        mnemonic: to be in the file, too; empty: it is not, and the wallet is needed beside the file.
        cost: of deriving keys from the password.

    Raises:
        KeystoreExists: a file is there.
        EmptyPassword, BadInput: see `FileKind.create`.
    """
    async with database.view() as view:
        store = SwapStore(view.connection)
        rows = [row for row in await store.swaps() if only in (None, row.swap_id)]
        swaps = tuple([await _swap(store, row) for row in rows])
        offers = () if only else tuple(_offer(one) for one in await store.offers())
        takings = () if only else tuple(_taking(one) for one in await store.open_takings())
        content = _Rescue(1, wallet_id, await store.next_index(), mnemonic, swaps, offers, takings)
    RESCUE_FILE.create(path, msgspec.msgpack.encode(content), password, cost)
    return len(swaps)


@dataclass(frozen=True, slots=True)
class Rescue:
    """An opened rescue file. Fields: wallet_id; mnemonic (empty: it is not in the file); content."""

    wallet_id: bytes
    mnemonic: str
    content: _Rescue

    def __repr__(self) -> str:
        return f"Rescue({len(self.content.swaps)} swaps, hidden)"


def open_rescue(path: Path, password: str) -> Rescue:
    """Read a rescue file. Raises `WrongPassword`, `KeystoreDamaged`, `OSError`."""
    try:
        content = msgspec.msgpack.decode(RESCUE_FILE.read(path, password), type=_Rescue)
    except UNREADABLE as error:
        raise KeystoreDamaged(path, f"its content is malformed: {error}") from error
    return Rescue(content.wallet_id, content.mnemonic, content)


async def bring_in(database: Database, wallet_id: bytes, rescue: Rescue, now: UnixMs) -> tuple[SwapRow, ...]:
    """Put what a file holds into a database that nobody works on; the swaps that are new there, or were older.

    Raises:
        OtherMnemonic: the file is of another wallet.
        BadInput: a state is of a version that is not known.
    """
    if rescue.wallet_id != wallet_id:
        raise OtherMnemonic
    content, brought = rescue.content, []
    async with database.unit() as unit:
        store = SwapStore(unit.connection)
        known = {row.swap_id: row for row in await store.swaps()}
        for one in content.swaps:
            row = _row(one)
            there = known.get(row.swap_id)
            if there is not None and there.version >= row.version:
                continue
            if there is not None:
                await store.save(replace(there, version=row.version - 1), row.state, now)
            else:
                await store.add(row)
            await _beside(store, one)
            await store.note(row.swap_id, now, "brought in from a rescue file")
            if row.is_open:
                await store.give(row.swap_id, [Watch()], now)
            brought.append(row)
        for offer in content.offers:
            if await store.offer(SignedOffer.read(offer.text).offer.offer_id) is None:
                await store.put_offer(_own(offer))
        for taking in content.takings:
            found = _taken(taking)
            if await store.taking(found.offer_id) is None:
                await store.put_taking(found)
        await store.skip_to(content.next_index)
        await unit.commit()
    return tuple(brought)


def careful(state: Swap) -> Swap:
    """A state of which later decisions may be unknown: it signs and promises nothing any more, claims what it can, and
    takes back what is its own."""
    if state.outcome is not None:
        return state
    if isinstance(state, Initiator):
        # A word that its owner gave before may have been taken back since.
        return replaced(state, recovered=True, locking=True, wish=None)
    assert isinstance(state, Follower), "there are two sides"
    # Who had decided never to fund has kept to it since; anybody else may have funded.
    return state if state.recovered else replaced(state, recovered=True, funding=state.never_fund is None)


async def _swap(store: SwapStore, row: SwapRow) -> _Swap:
    name = row.swap_id.hex()
    beside = {prefix: await store.cursor(prefix + name) for prefix in _CURSORS}
    transactions = tuple(
        _Transaction(one.key, one.attempt, one.txid, one.raw, one.fee, one.made_at)
        for one in await store.all_kept(row.swap_id)
    )
    return _Swap(
        swap_id=row.swap_id,
        index=row.index,
        is_maker=row.is_maker,
        offer=row.offer,
        peer=row.peer.identity,
        peer_letters=row.peer.letters,
        place=row.peer.place,
        peer_signature=row.peer_signature,
        state=encode_state(row.state),
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        transactions=transactions,
        lines=tuple(_Line(line.at, line.note) for line in await store.lines(row.swap_id)),
        beside={prefix: value for prefix, value in beside.items() if value},
    )


def _row(one: _Swap) -> SwapRow:
    state = careful(decode_state(one.state))
    if state.terms.swap_id != one.swap_id:
        raise BadInput("swap", "its id is not that of its terms", "export it anew")
    return SwapRow(
        one.swap_id,
        one.index,
        one.is_maker,
        one.offer,
        Peer(one.peer, one.peer_letters, one.place),
        one.peer_signature,
        state,
        one.version,
        UnixMs(one.created_at),
        UnixMs(one.updated_at),
    )


async def _beside(store: SwapStore, one: _Swap) -> None:
    for prefix, value in one.beside.items():
        if prefix in _CURSORS:
            await store.set_cursor(prefix + one.swap_id.hex(), value)
    for kept in one.transactions:
        await store.keep(
            KeptTransaction(
                one.swap_id, kept.key, kept.attempt, kept.txid, kept.raw, Satoshi(kept.fee), UnixMs(kept.made_at)
            )
        )
    if not await store.lines(one.swap_id):
        for line in one.lines:
            await store.note(one.swap_id, UnixMs(line.at), line.note)


def _offer(one: OwnOffer) -> _Offer:
    return _Offer(one.index, one.signed.text, one.state.value, one.board, one.made_at)


def _own(one: _Offer) -> OwnOffer:
    """An own offer, which nobody can take any more: somebody may have, after the file was written, and a second swap by
    the same keys would know nothing of what the first one promised."""
    state = OfferState(one.state)
    state = OfferState.WITHDRAWN if state.is_open else state
    return OwnOffer(one.index, SignedOffer.read(one.text), state, one.board, UnixMs(one.made_at))


def _taking(one: Taking) -> _Taking:
    return _Taking(one.index, one.signed.text, one.state.value, one.problem, one.swap_id, one.made_at)


def _taken(one: _Taking) -> Taking:
    """A taking, which begins no swap any more: its maker may have answered after the file was written (see `_own`)."""
    state, problem = TakingState(one.state), one.problem
    if state is TakingState.ASKED:
        state, problem = TakingState.REFUSED, "it was asked for before the rescue file was brought in"
    return Taking(one.index, SignedOffer.read(one.text), state, problem, one.swap_id, UnixMs(one.made_at))
