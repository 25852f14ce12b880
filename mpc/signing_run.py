"""One ROAST session at work: carries the effects of `mpc.roast` to the members and their answers back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from foundation.errors import CausewayError
from foundation.quantities import UnixMs
from mpc import messages, offload, roast
from mpc.cluster_errors import (
    MalformedMessage,
    NetworkClosed,
    NonceUnavailable,
    PeerRefused,
    PeerSilent,
    PeerUnknown,
    SessionUnknown,
)
from mpc.evidence import Evidence, GroupKey
from mpc.messages import Close, Invite, Offer, Round, Shares
from mpc.ports import Clock, SigningItem, items_hash
from mpc.signer_service import SignerService
from mpc.standing import Candidates
from mpc.transport import PeerNetwork

INVITE: Final = "sign.invite"
ROUND: Final = "sign.round"
CLOSE: Final = "sign.close"
ANSWER_TIMEOUT_S: Final = 5.0
RETRY_PAUSE_S: Final = 0.5
PATIENCE_S: Final = 2.0
"""After this time members are asked too that were left out because of their faults."""
_LOST: Final = frozenset({NonceUnavailable.__name__, SessionUnknown.__name__, "TooManyRequests"})
"""Refusals that say nothing about the request: the member is asked again."""


class SigningRun:
    """Coordinates one session. Use once: `await run()`."""

    def __init__(
        self,
        peers: PeerNetwork,
        own: SignerService,
        key: GroupKey,
        items: tuple[SigningItem, ...],
        request: tuple[str, bytes],
        candidates: Candidates,
        clock: Clock,
        on_blame: Callable[[Evidence], Awaitable[None]],
    ) -> None:
        self._peers = peers
        self._own = own
        self._key = key
        self._items = items
        self._session = os.urandom(32)
        self._invite = Invite(self._session, key.group, key.epoch, *request)
        self._candidates = candidates
        self._clock = clock
        self._on_blame = on_blame
        self._changes: asyncio.Queue[roast.Change] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._bug: BaseException | None = None

    async def run(self, timeout_s: float) -> roast.Signed | roast.Failed:
        """Run to the end.

        Raises:
            MalformedInput: see `check_items`.
            Whatever this node's own signer raises by mistake: a bug shows here, not as a time-out.
        """
        started = asyncio.get_running_loop().time()
        deadline = UnixMs(self._clock() + int(timeout_s * 1000))
        state: roast.State
        state, effects = roast.start(self._session, self._key, self._items, self._candidates.first, deadline)
        try:
            await self._carry_out(effects)
            widened, patience_s = not self._candidates.later, min(PATIENCE_S, timeout_s / 2)
            while isinstance(state, roast.Signing):
                elapsed = asyncio.get_running_loop().time() - started
                if not widened and elapsed >= patience_s:
                    widened = True
                    state, effects = roast.widen(state, self._candidates.later)
                    await self._carry_out(effects)
                wait_s = (timeout_s if widened else patience_s) - elapsed
                state = await self._next(state, wait_s, timed_out=elapsed >= timeout_s)
        finally:
            await self._finish()
        return state

    async def _next(self, state: roast.State, wait_s: float, *, timed_out: bool) -> roast.State:
        """Wait for one change and step with it. The end's time is monotonic, because the wall clock may jump."""
        assert isinstance(state, roast.Signing)
        if len(state.ready) >= self._key.threshold:
            wait_s = min(wait_s, roast.HEAD_START_MS / 1000)
        change: roast.Change
        try:
            async with asyncio.timeout(max(wait_s, 0)):
                change = await self._changes.get()
        except TimeoutError:
            change = roast.Tick()
        now = state.deadline if timed_out else UnixMs(min(self._clock(), state.deadline - 1))
        if self._bug is not None:
            raise self._bug
        cost = len(self._items) * self._key.threshold // 4  # most steps only note an answer; a few add shares up
        following, effects = await offload.compute(cost, roast.step, state, change, now)
        await self._carry_out(effects)
        return following

    async def _carry_out(self, effects: tuple[roast.Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case roast.Invite(signer=signer):
                    self._spawn(self._ask_offer(signer))
                case roast.Ask(signer=signer, round=asked):
                    self._spawn(self._ask_shares(signer, asked))
                case roast.Blame(evidence=evidence):
                    await self._on_blame(evidence)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._bug = error
            self._changes.put_nowait(roast.Tick())

    async def _ask_offer(self, signer: int) -> None:
        """Ask until the member answers one way or the other."""
        host_key = self._key.members[signer]
        while True:
            envelope = b""
            try:
                if host_key == self._peers.identity.host_key:
                    offer = await self._own.invite(host_key, self._invite)
                else:
                    body = messages.encode(self._invite)
                    answer = await self._peers.exchange(host_key, INVITE, body, ANSWER_TIMEOUT_S)
                    envelope = answer.envelope
                    offer = messages.decode(answer.body, Offer)
            except MalformedMessage:
                self._changes.put_nowait(roast.Garbled(signer, None, envelope))
            except CausewayError as error:
                name, text = refusal_of(error)
                if name is None or name in _LOST:
                    await asyncio.sleep(RETRY_PAUSE_S)
                    continue
                self._changes.put_nowait(roast.Declined(signer, name, text))
            else:
                self._changes.put_nowait(self._offered(signer, offer, envelope))
            return

    def _offered(self, signer: int, offer: Offer, envelope: bytes) -> roast.Change:
        if offer.session != self._session or offer.items != items_hash(self._items):
            # It sees other coins or other fees than we do: no fault, but nothing can be signed together.
            return roast.Declined(signer, "ItemsDiffer", "it would sign something else for this request")
        return roast.Offered(signer, roast.Nonces(tuple(offer.pubnonces), envelope))

    async def _ask_shares(self, signer: int, asked: Round) -> None:
        host_key = self._key.members[signer]
        envelope = b""
        try:
            if host_key == self._peers.identity.host_key:
                shares = await self._own.sign(host_key, asked)
            else:
                body = messages.encode(asked)
                answer = await self._peers.exchange(host_key, ROUND, body, ANSWER_TIMEOUT_S)
                envelope = answer.envelope
                shares = messages.decode(answer.body, Shares)
        except MalformedMessage:
            self._changes.put_nowait(roast.Garbled(signer, asked.number, envelope))
            return
        except (CausewayError, OSError) as error:
            name, text = refusal_of(error)
            if name is None or name in _LOST:
                self._changes.put_nowait(roast.Lost(signer, asked.number))
            else:
                self._changes.put_nowait(roast.Declined(signer, name, text))
            return
        if (shares.session, shares.round, shares.items) != (self._session, asked.digest(), items_hash(self._items)):
            self._changes.put_nowait(roast.Declined(signer, "WrongAnswer", "it answered another round"))
            return
        nonces = roast.Nonces(tuple(shares.pubnonces), envelope)
        self._changes.put_nowait(roast.Shared(signer, asked.number, tuple(shares.psigs), nonces))

    async def _finish(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        close = Close(self._session)
        self._own.close_session(self._peers.identity.host_key, close)
        await self._peers.broadcast(CLOSE, messages.encode(close), self._key.members)


def refusal_of(error: BaseException) -> tuple[str | None, str]:
    """The type and the text of a refusal; None for the type where the member gave no answer at all."""
    if isinstance(error, PeerRefused):
        return error.error, error.text
    if isinstance(error, (PeerSilent, PeerUnknown, NetworkClosed)):
        return None, str(error)
    return type(error).__name__, str(error)
