"""Both ends of CCP with one peer, as pure state machines: what we know of its routes, and what it knows of ours.

An end holds no routes itself: `RouteBook` does. A receiver takes updates in the order of epochs; one that leaves a gap,
and one from before, changes nothing. A speaker moves on only when an update was acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from foundation.quantities import UnixMs
from settlement.connector.routing.ccp_codec import NO_TABLE, Announced, Mode, RouteControl, RouteUpdate
from settlement.connector.routing.routes import Timing

_LONG_AGO = UnixMs(0)


class Unfit(StrEnum):
    """Why an announced route is not taken."""

    NO_ADDRESS = "its prefix is no address below the network's scheme"
    LOOP = "its path leads through us"
    NO_PATH = "its path does not begin with a connector"
    OURS = "it is our own address, or lies below it and is no child's"
    STATIC = "it lies below a static route of another account"
    NOT_ALLOWED = "the operator does not let this peer announce it"
    TOO_LONG = "its path is longer than one that can be told on"
    TOO_MANY = "the peer announces more routes than it may"


@dataclass(frozen=True, slots=True)
class Learning:
    """What we know of a peer's routes.

    Fields: table_id, epoch (of its table, as far as we know it); prefixes (taken, and not withdrawn); stale (those of
    an earlier table that the new one has not repeated yet); expires_at (when all are forgotten, 0 where none are);
    asked_at (when routes were last requested); gap (updates are missing: ask again at once).
    """

    table_id: bytes = NO_TABLE
    epoch: int = 0
    prefixes: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    expires_at: UnixMs = _LONG_AGO
    asked_at: UnixMs = _LONG_AGO
    gap: bool = True

    def request(self) -> RouteControl:
        """What to ask the peer for."""
        return RouteControl(Mode.SYNC, self.table_id, self.epoch)


@dataclass(frozen=True, slots=True)
class Learnt:
    """What an update changes. Fields: taken; gone (prefixes); unfit (prefix and reason)."""

    taken: tuple[Announced, ...] = ()
    gone: frozenset[str] = frozenset()
    unfit: tuple[tuple[str, Unfit], ...] = ()


def take_update(
    state: Learning,
    update: RouteUpdate,
    judge: Callable[[Announced], Unfit | None],
    routes_max: int,
    timing: Timing,
    now: UnixMs,
) -> tuple[Learning, Learnt]:
    """Take a peer's update. Repeating one changes nothing.

    A route that is not taken also ends the one that was taken before under its prefix: the peer no longer has that.

    Args:
        judge: whether a route may be taken.
        routes_max: how many routes of this peer may be held.
    """
    hold_down = min(update.hold_down_ms, timing.hold_down_ms_max)
    state = replace(state, expires_at=UnixMs(max(state.expires_at, now + hold_down)))
    if update.table_id != state.table_id:
        state = replace(state, table_id=update.table_id, epoch=0, stale=state.prefixes)
    if update.from_epoch > state.epoch:
        return replace(state, gap=True), Learnt()
    if update.to_epoch < state.epoch:
        return state, Learnt()
    prefixes, stale = set(state.prefixes), set(state.stale)
    gone: set[str] = set()
    for prefix in update.withdrawn:
        if prefix in prefixes:
            prefixes.discard(prefix)
            gone.add(prefix)
    taken: dict[str, Announced] = {}
    unfit: list[tuple[str, Unfit]] = []
    for route in update.announced:
        reason = judge(route)
        if reason is None and route.prefix not in prefixes and len(prefixes) >= routes_max:
            reason = Unfit.TOO_MANY
        stale.discard(route.prefix)
        if reason is None:
            prefixes.add(route.prefix)
            gone.discard(route.prefix)
            taken[route.prefix] = route
            continue
        unfit.append((route.prefix, reason))
        taken.pop(route.prefix, None)
        if route.prefix in prefixes:
            prefixes.discard(route.prefix)
            gone.add(route.prefix)
    if update.to_epoch == update.current_epoch:  # the whole new table is known: what it did not repeat is over
        gone |= stale & prefixes
        prefixes -= stale
        stale = set()
    state = replace(
        state, epoch=update.to_epoch, prefixes=frozenset(prefixes), stale=frozenset(stale & prefixes), gap=False
    )
    return state, Learnt(tuple(taken.values()), frozenset(gone), tuple(unfit))


def expire(state: Learning, now: UnixMs) -> tuple[Learning, frozenset[str]]:
    """Forget the routes of a peer that was silent for too long. Returns the prefixes that are gone."""
    if not state.expires_at or now < state.expires_at:
        return state, frozenset()
    return Learning(asked_at=state.asked_at), state.prefixes


def control_due(state: Learning, timing: Timing) -> UnixMs | None:
    """When to ask for routes; None where the peer sends them."""
    if not state.gap:
        return None
    return UnixMs(state.asked_at + timing.control_ms) if state.asked_at else _LONG_AGO


def asked(state: Learning, now: UnixMs) -> Learning:
    """Routes are being requested."""
    return replace(state, asked_at=now)


def heard(state: Learning, timing: Timing, now: UnixMs) -> Learning:
    """The peer asks for routes, so it speaks CCP now: where it did not take our own request, because it was not ready
    when the link came up, that is made again after a pause.
    """
    if not state.gap or state.asked_at == _LONG_AGO:
        return state
    soon = now + timing.pause_ms - timing.control_ms
    return replace(state, asked_at=UnixMs(max(1, min(state.asked_at, soon))))


def accepted(state: Learning, timing: Timing, now: UnixMs) -> Learning:
    """The request was acknowledged, so updates follow. If none does within our own hold-down, it is made again."""
    return replace(state, gap=False, expires_at=UnixMs(max(state.expires_at, now + timing.hold_down_ms)))


@dataclass(frozen=True, slots=True)
class Telling:
    """What a peer knows of our routes.

    Fields: mode (as it asked); table_id, epoch (what it has acknowledged); sent_at (the last update); sending_to (the
    epoch that it will have when it acknowledges the update on its way; None where none is); late_at (when that one
    counts as lost); prompt (the next update is due after a short pause, news or not).
    """

    mode: Mode = Mode.IDLE
    table_id: bytes = NO_TABLE
    epoch: int = 0
    sent_at: UnixMs = _LONG_AGO
    sending_to: int | None = None
    late_at: UnixMs = _LONG_AGO
    prompt: bool = False


def take_control(state: Telling, control: RouteControl, table_id: bytes, epoch: int) -> Telling:
    """Take a peer's request; `table_id` and `epoch` are our table's.

    An update on its way is forgotten: the peer has just said what it knows.
    """
    known = control.epoch if control.table_id == table_id and control.epoch <= epoch else 0
    return replace(state, mode=control.mode, table_id=table_id, epoch=known, sending_to=None, prompt=True)


def update_due(state: Telling, table_id: bytes, epoch: int, timing: Timing) -> UnixMs | None:
    """When to send the next update: soon where there is news, else as a sign of life; None where none is wanted."""
    if state.mode is not Mode.SYNC:
        return None
    if state.sending_to is not None:
        return state.late_at
    has_news = state.prompt or state.table_id != table_id or state.epoch < epoch
    return UnixMs(state.sent_at + (timing.pause_ms if has_news else timing.heartbeat_ms))


def told(state: Telling, update: RouteUpdate, timing: Timing, now: UnixMs) -> Telling:
    """An update is being sent."""
    return replace(
        state,
        table_id=update.table_id,
        epoch=update.from_epoch,
        sent_at=now,
        sending_to=update.to_epoch,
        late_at=UnixMs(now + timing.heartbeat_ms),
        prompt=False,
    )


def acknowledged(state: Telling, update: RouteUpdate) -> Telling:
    """The peer acknowledged `update`; an answer to an earlier one, or to another table's, changes nothing."""
    if state.sending_to != update.to_epoch or state.table_id != update.table_id or state.epoch != update.from_epoch:
        return state
    return replace(state, epoch=update.to_epoch, sending_to=None)
