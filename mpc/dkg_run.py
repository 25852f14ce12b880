"""One key generation at work, on the coordinator's side: carries `mpc.dkg_session`'s messages and brings answers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from foundation.errors import CausewayError
from mpc import dkg_session, messages, offload
from mpc.chilldkg import SessionParams
from mpc.cluster_errors import GroupNotProposed, KeyGenerationFailed, MalformedMessage
from mpc.dkg_service import DkgService
from mpc.dkg_session import Acked, Broken, Change, Completed, Confirmed, First, Known, Refused, Second, Send
from mpc.messages import DkgAck, DkgDone, DkgFirst, DkgSecond, DkgStart, DkgStep
from mpc.signing_run import refusal_of
from mpc.transport import PeerNetwork

PREFIX: Final = "dkg."
ANSWER_TIMEOUT_S: Final = 10.0
RETRY_PAUSE_S: Final = 0.5
_LATER: Final = frozenset({GroupNotProposed.__name__, "TooManyRequests"})
"""Refusals that time may cure, as when a member has not yet seen the proposal."""


class DkgRun:
    """Coordinates one key generation. Use once: `await run()`."""

    def __init__(self, peers: PeerNetwork, own: DkgService, start: DkgStart) -> None:
        self._peers = peers
        self._own = own
        self._start = start
        self._params = SessionParams(start.members, start.threshold)
        self._session = dkg_session.session_id(
            start.group, start.epoch, start.attempt, peers.identity.host_key, self._params
        )
        self._changes: asyncio.Queue[Change] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, timeout_s: float) -> Completed:
        """Run to the end.

        Raises:
            KeyGenerationFailed: somebody is at fault, refuses, or did not answer in time.
            SessionParamsError: the members' keys or the threshold are invalid.
        """
        state: dkg_session.State
        state, sends = dkg_session.coordinate(self._params)
        try:
            self._deliver(sends)
            async with asyncio.timeout(timeout_s):
                while not isinstance(state, (Completed, Broken)):
                    change = await self._changes.get()
                    state, sends = await offload.compute(self._params.n**2, dkg_session.step, state, change)
                    self._deliver(sends)
        except TimeoutError:
            state = Broken((), dict.fromkeys(dkg_session.owing(state), "did not answer in time"))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if isinstance(state, Broken):
            raise KeyGenerationFailed(self._start.group, self._start.attempt, state.accusations, state.missing)
        assert isinstance(state, Completed)
        return state

    def _deliver(self, sends: tuple[Send, ...]) -> None:
        for send in sends:
            work: Coroutine[Any, Any, None] = self._ask(send)
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, send: Send) -> None:
        """Ask until the participant answers one way or the other; all its answers are the same when asked again."""
        while True:
            try:
                change = await self._ask_once(send)
            except MalformedMessage as error:
                change = Refused(send.participant, f"its answer is malformed: {error}")
            except (CausewayError, OSError) as error:
                name, text = refusal_of(error)
                if name is None or name in _LATER:
                    await asyncio.sleep(RETRY_PAUSE_S)
                    continue
                change = Refused(send.participant, f"{name}: {text}")
            self._changes.put_nowait(change)
            return

    async def _ask_once(self, send: Send) -> Change:
        i, own = send.participant, self._own
        host_key = self._start.members[i]
        step = DkgStep(self._session, send.payload)
        me = self._peers.identity.host_key
        local = host_key == me
        match send.stage:
            case "start":
                first = await own.start(me, self._start) if local else await self._call(host_key, send, DkgFirst)
                self._check(first.session)
                return Known(i, first.recovery_data) if first.recovery_data else First(i, first.pmsg1)
            case "second" | "investigate":
                if local:
                    second = await (own.second if send.stage == "second" else own.investigate)(me, step)
                else:
                    second = await self._call(host_key, send, DkgSecond)
                self._check(second.session)
                return Second(i, second.pmsg2, second.blamed, second.problem)
            case "finish" | "adopt":
                if local:
                    ack = await (own.finish if send.stage == "finish" else own.adopt)(me, step)
                else:
                    ack = await self._call(host_key, send, DkgAck)
                self._check(ack.session)
                return Acked(i, ack.signature)
            case "done":
                done = DkgDone(self._session, send.payload, list(send.acks))
                if local:
                    await own.done(me, done)
                else:
                    await self._peers.request(host_key, PREFIX + "done", messages.encode(done), ANSWER_TIMEOUT_S)
                return Confirmed(i)

    async def _call(self, host_key: bytes, send: Send, kind: type[messages.AnyMessage]) -> messages.AnyMessage:
        message = self._start if send.stage == "start" else DkgStep(self._session, send.payload)
        body = messages.encode(message)
        answer = await self._peers.request(host_key, PREFIX + send.stage, body, ANSWER_TIMEOUT_S)
        return messages.decode(answer, kind)

    def _check(self, session: bytes) -> None:
        if session != self._session:
            raise MalformedMessage("session", "is another one")
