"""Carries events to webhooks: first into a durable queue, then out, until they are taken or given up."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec
import structlog

from api.forms import time_text
from api.ports import EventShown, GatewayPort
from api.webhooks.guard import PublicResolver, check_url
from api.webhooks.signing import Signing
from api.webhooks.store import DELIVERED, GIVEN_UP, DeliveryRow, WebhookRow, WebhookStore
from foundation.database import Database
from foundation.errors import BadInput, Retryable
from foundation.quantities import UnixMs

_BATCH: Final = 200
_AT_ONCE: Final = 16
_IDLE_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.05
_TROUBLE_SECONDS: Final = 1.0
_TOGETHER_MS: Final = 60_000
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """Fields: pauses_ms (after each attempt that failed; then it is given up: about three days); timeout_seconds (of an
    attempt); allow_private (http and private addresses too)."""

    pauses_ms: tuple[int, ...] = tuple(
        1_000 * seconds for seconds in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
    )
    timeout_seconds: float = 15.0
    allow_private: bool = False


class Deliverer:
    """Use as `async with`; `wake` when webhooks have changed."""

    def __init__(self, gateway: GatewayPort, database: Database, signing: Signing, rules: DeliveryRules) -> None:
        self._gateway = gateway
        self._database = database
        self._signing = signing
        self._rules = rules
        self._awake = asyncio.Event()
        self._stack = contextlib.AsyncExitStack()
        self._has_hooks = True
        self.counts = {DELIVERED: 0, "failed": 0, GIVEN_UP: 0}

    async def __aenter__(self) -> Self:
        """Begin to deliver; what was queued before goes on."""
        resolver = None if self._rules.allow_private else PublicResolver()
        connector = aiohttp.TCPConnector(resolver=resolver, limit=_AT_ONCE, limit_per_host=4)
        timeout = aiohttp.ClientTimeout(total=self._rules.timeout_seconds)
        session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        await self._stack.enter_async_context(session)
        self._stack.callback(self._gateway.on_commit(self._awake.set))
        task = asyncio.create_task(self._run(session))
        self._stack.push_async_callback(_ended, task)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; what is queued is sent at the next start."""
        await self._stack.aclose()

    def wake(self) -> None:
        """Webhooks have changed: look again."""
        self._has_hooks = True
        self._awake.set()

    async def _run(self, session: aiohttp.ClientSession) -> None:
        while True:
            try:
                self._awake.clear()
                is_more = await self._queue() if self._has_hooks else False
                sent = await self._send(session)
                pause = _PAUSE_SECONDS if is_more or sent else await self._until_due()
            except Retryable as problem:
                _log.warning("webhooks wait", problem=str(problem))
                pause = _TROUBLE_SECONDS
            except Exception:  # noqa: BLE001 - one bad event or answer must not end all webhooks
                _log.exception("webhooks failed")
                pause = _TROUBLE_SECONDS
            await asyncio.sleep(min(pause, _PAUSE_SECONDS))  # many commits, one look
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, pause - _PAUSE_SECONDS)):
                    await self._awake.wait()

    async def _queue(self) -> bool:
        """Queue what has happened; whether there may be more."""
        async with self._database.view() as view:
            hooks = await WebhookStore(view.connection).active()
        self._has_hooks = bool(hooks)
        is_more = False
        for hook in hooks:
            events = await self._gateway.events(hook.cursor, _BATCH)
            if not events:
                continue
            bodies = [(one.number, event_body(one)) for one in events if is_wanted(hook.events, one)]
            async with self._database.unit() as unit:
                store = WebhookStore(unit.connection)
                now_there = await store.find(hook.webhook_id)
                if now_there is not None and now_there.cursor == hook.cursor:
                    await store.queue(hook.webhook_id, bodies, events[-1].number, self._gateway.now())
                    await unit.commit()
            is_more = is_more or len(events) == _BATCH
        return is_more

    async def _send(self, session: aiohttp.ClientSession) -> bool:
        """Send what is due; whether anything was."""
        now = self._gateway.now()
        async with self._database.view() as view:
            store = WebhookStore(view.connection)
            due = await store.due(now, _BATCH)
            hooks = {one: await store.find(one) for one in {delivery.webhook_id for delivery in due}}
        # One after the other for each webhook, so that they come in order as long as they are taken.
        lines: dict[str, list[DeliveryRow]] = {}
        for delivery in due:
            lines.setdefault(delivery.webhook_id, []).append(delivery)
        await asyncio.gather(*(self._line(session, hooks[name], line) for name, line in lines.items()))
        return bool(due)

    async def _line(self, session: aiohttp.ClientSession, hook: WebhookRow | None, line: Sequence[DeliveryRow]) -> None:
        for delivery in line:
            if hook is None:
                return
            status, problem = await self._attempt(session, hook, delivery)
            if not await self._note(hook, delivery, status, problem):
                return

    async def _attempt(
        self, session: aiohttp.ClientSession, hook: WebhookRow, delivery: DeliveryRow
    ) -> tuple[int | None, str]:
        headers = self._signing.headers(
            hook.webhook_id, hook.generation, hook.rotated_at, delivery.event, delivery.body, self._gateway.now()
        )
        try:
            check_url(hook.url, allow_private=self._rules.allow_private)
            async with session.post(hook.url, data=delivery.body, headers=headers, allow_redirects=False) as answer:
                return answer.status, ""
        except (aiohttp.ClientError, OSError, TimeoutError, BadInput) as error:
            return None, type(error).__name__  # its text may tell of a network that is none of the receiver's

    async def _note(self, hook: WebhookRow, delivery: DeliveryRow, status: int | None, problem: str) -> bool:
        """Write down what has become of an attempt; whether it was taken.

        If not, the others wait too, a minute at most: so a receiver that is down is not asked for each, and an event
        that it never takes does not keep back the others.
        """
        now, attempts = self._gateway.now(), delivery.attempts + 1
        is_taken = status is not None and 200 <= status < 300
        is_gone = status == HTTPStatus.GONE
        pause_ms = _varied(self._rules.pauses_ms[min(attempts, len(self._rules.pauses_ms)) - 1])
        columns: dict[str, object] = {"attempts": attempts, "status": status, "problem": problem}
        if is_taken:
            columns |= {"state": DELIVERED, "ended_at": now}
        elif is_gone or attempts > len(self._rules.pauses_ms):
            columns |= {"state": GIVEN_UP, "ended_at": now}
        else:
            columns["next_at"] = now + pause_ms
        self.counts[str(columns.get("state", "failed"))] += 1
        async with self._database.unit() as unit:
            store = WebhookStore(unit.connection)
            await store.tried(delivery.id, **columns)
            if is_gone:
                await store.disable(hook.webhook_id, now)
            elif not is_taken:
                await store.postpone(hook.webhook_id, UnixMs(now + min(pause_ms, _TOGETHER_MS)))
            await store.forget_old(now)
            await unit.commit()
        return is_taken

    async def _until_due(self) -> float:
        async with self._database.view() as view:
            moment = await WebhookStore(view.connection).next_due()
        if moment is None:
            return _IDLE_SECONDS
        return min(_IDLE_SECONDS, max(0.0, (moment - self._gateway.now()) / 1_000))


def event_type(event: EventShown) -> str:
    """Such as `payment.closed`."""
    return f"payment.{event.stage}"


def is_wanted(wanted: Sequence[str], event: EventShown) -> bool:
    """Whether a receiver wants an event; one that names none wants all."""
    return not wanted or event_type(event) in wanted


def event_body(event: EventShown) -> bytes:
    """What is sent: JSON, the same bytes at each attempt."""
    number = event.payment_id.hex()
    data = {
        "number": event.number,
        "payment_id": number,
        "stage": event.stage,
        "note": event.note,
        "payment": f"/v1/payments/{number}",
    }
    return msgspec.json.encode({"type": event_type(event), "timestamp": time_text(event.at), "data": data})


def _varied(pause_ms: int) -> int:
    return int(pause_ms * random.uniform(0.9, 1.1))  # noqa: S311 - no secret


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
