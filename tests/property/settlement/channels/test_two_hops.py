"""A proxy between two channels on two ledgers: whatever is lost, late or silent, it neither loses nor takes."""

from __future__ import annotations

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from foundation.quantities import UnixMs
from settlement.channels.ops import Offer
from settlement.channels.routing import Margins, Onward, RouteRefused, end_upstream, pass_on
from settlement.channels.state import CloseNow, LockEnded, NotDone, Offered, PreimageSeen, Want
from settlement.channels.terms import Lock, LockId, Side
from settlement.quantities import Units, condition_of, fulfils
from tests.support.channels import START, World, secret, terms

FEE = 3
MEMO = msgspec.msgpack.encode(Onward(1, "bob", 100))
MARGINS = Margins(Units(FEE), hop_ms=40_000, least_ms=20_000)
UPSTREAM, DOWNSTREAM = 0, 1
A, B = Side.A, Side.B
"""The payer and the proxy are A and B of the upstream channel; the proxy and the payee are A and B of the other."""


class Path:
    """Both channels, on two ledgers with one clock; the proxy relays what it is told, once each."""

    def __init__(self, seed: int) -> None:
        self.worlds = World(terms(), seed), World(terms(one_way=False), seed + 1)
        self.read = [0, 0]
        self.ids: dict[bytes, bytes] = {}

    def relay(self) -> None:
        """What the proxy makes of what it was told since."""
        up, down = self.worlds
        for notice in self._news(UPSTREAM, B):
            if isinstance(notice, Offered):
                try:
                    _, offer = pass_on(up.sides[B].channel, notice.lock, notice.memo, MARGINS, A, up.now)
                except RouteRefused:
                    up.change(B, Want((end_upstream(notice.lock.lock_id, None),)))
                else:
                    self.ids[offer.lock.lock_id] = notice.lock.lock_id
                    down.change(A, Want((offer,)))
        for notice in self._news(DOWNSTREAM, A):
            match notice:
                case PreimageSeen(lock=lock, preimage=preimage) | LockEnded(lock=lock, preimage=preimage):
                    self._end(lock.lock_id, preimage)
                case NotDone(op=Offer(lock=lock)):
                    self._end(lock.lock_id, None)

    def _end(self, lock_id: bytes, preimage: bytes | None) -> None:
        self.worlds[UPSTREAM].change(B, Want((end_upstream(self.ids[lock_id], preimage),)))  # type: ignore[arg-type]

    def _news(self, which: int, side: Side) -> list[object]:
        told = self.worlds[which].told[side]
        news, self.read[which] = told[self.read[which] :], len(told)
        return list(news)

    def tick(self, ms: int) -> None:
        """Time passes in both channels."""
        for world in self.worlds:
            world.tick(ms)
        self.relay()


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.integers(0, 3), st.integers(62, 90)),
        st.tuples(st.just("claim"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("show"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("deliver"), st.integers(0, 1), st.integers(0, 9)),
        st.tuples(st.just("deliver all"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("deliver all"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("lose"), st.integers(0, 1), st.integers(0, 9)),
        st.tuples(st.just("silent"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("close"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("wait"), st.just(0), st.sampled_from((1, 5, 15))),
        st.tuples(st.just("wait"), st.just(0), st.sampled_from((1, 5, 15))),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(moves=MOVES, seed=st.integers(0, 2**16))
def test_proxy_neither_loses_nor_takes(moves: list[tuple[str, int, int]], seed: int) -> None:
    """The proxy ends with what it had and the fees of payments that were made; the payer pays for no other."""
    path = Path(seed)
    offered: set[int] = set()
    for move in moves:
        _play(path, move, offered)
        path.relay()
    for world in path.worlds:
        for side in Side:
            if side not in world.silent:
                world.change(side, CloseNow())
    for _ in range(150):
        path.tick(2_000)
        for world in path.worlds:
            world.run()
        path.relay()
    up, down = path.worlds
    assert up.court.paid is not None
    assert down.court.paid is not None
    made = (2_000 - up.court.paid.a - 1_000) // (100 + FEE)
    assert up.court.paid.b + down.court.paid.a >= 2_000
    assert down.court.paid.b <= 1_000 + 100 * made
    assert up.court.case.cheated == down.court.case.cheated == (False, False)


def _play(path: Path, move: tuple[str, int, int], offered: set[int]) -> None:
    up, down = path.worlds
    match move:
        case ("offer", number, seconds) if number not in offered:
            offered.add(number)
            end = UnixMs((up.now // 1000 + seconds) * 1000)
            lock = Lock(LockId(bytes([number]) * 32), A, Units(100 + FEE), condition_of(secret(number)), end)
            up.change(A, Want((Offer(lock, MEMO),)))
        case ("claim", number, _):
            for lock in down.sides[B].sheet.locks:
                if fulfils(secret(number), lock.condition):
                    down.change(B, Want((end_upstream(lock.lock_id, secret(number)),)))
        case ("show", number, _):
            # A payee shows a preimage to the ledger once it is sure of its money, and to nobody else.
            if any(fulfils(secret(number), lock.condition) for lock in down.sides[B].sheet.locks):
                down.court.show(secret(number), down.now)
        case ("deliver", which, index):
            path.worlds[which].deliver(index)
        case ("deliver all", which, _):
            path.worlds[which].run()
        case ("lose", which, index) if path.worlds[which].wire:
            path.worlds[which].wire.pop(index % len(path.worlds[which].wire))
        case ("silent", which, _):
            # The payer or the payee goes away; the proxy stays.
            path.worlds[which].silent.add(B if which == DOWNSTREAM else A)
        case ("close", number, _):
            path.worlds[number // 2].change(Side(number % 2), CloseNow())
        case ("wait", _, seconds):
            path.tick(seconds * 1_000)


@pytest.mark.parametrize("before_ms", [1, 1_000, 9_000, 19_000])
def test_preimage_shown_at_the_last_moment_still_pays_the_proxy(before_ms: int) -> None:
    """The payee shows its preimage on its ledger just in time and is silent: the proxy claims on the other one."""
    path = Path(0)
    up, down = path.worlds
    _play(path, ("offer", 0, 90), set())
    for _ in range(4):
        up.run()
        down.run()
        path.relay()
    (lock,) = down.sides[B].sheet.locks
    down.silent.add(B)
    up.silent.add(A)
    while down.now + 5_000 < lock.expires_at - before_ms:
        path.tick(5_000)
    down.court.show(secret(0), UnixMs(lock.expires_at - before_ms))
    for _ in range(60):
        path.tick(5_000)
    assert up.court.paid is not None
    assert (up.court.paid.a, up.court.paid.b) == (897, 1_103)
    assert down.court.paid is not None
    assert down.court.paid.a == 900


def test_harness_makes_payments() -> None:
    """The path of these tests does move money when nothing goes wrong."""
    path = Path(0)
    offered: set[int] = set()
    _play(path, ("offer", 0, 120), offered)
    for _ in range(4):
        for world in path.worlds:
            world.run()
        path.relay()
    _play(path, ("claim", 0, 0), offered)
    for _ in range(4):
        for world in path.worlds:
            world.run()
        path.relay()
    assert path.worlds[UPSTREAM].balances() == (897, 1_103)
    assert path.worlds[DOWNSTREAM].balances() == (900, 1_100)
    assert path.worlds[0].now == START
