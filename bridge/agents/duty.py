"""Running a duty: when something changes and when a turn begins, again with back-off when the world is not ready."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

import structlog

from bridge.agents.office import Office
from bridge.refusals import Refused
from bridge.storage import IncidentKind
from foundation.errors import CausewayError, Retryable
from foundation.quantities import UnixMs

_LOG: Final = structlog.get_logger(__name__)
_IDLE_SECONDS: Final = 5.0
_BUSY_SECONDS: Final = 0.25
_FIRST_BACK_OFF: Final = 0.2
_MOST_BACK_OFF: Final = 15.0


class Duty(Protocol):
    """Something that a node does again and again."""

    @property
    def name(self) -> str:
        """For the log and `node status`."""
        ...

    async def run(self) -> bool:
        """Do what is due now. Returns whether something waits for a turn or an answer, so that it is run soon again."""
        ...


@runtime_checkable
class Closing(Protocol):
    """A duty that has work under way between its runs."""

    async def close(self) -> None:
        """End that work; nothing is left of it."""
        ...


class DutyState(StrEnum):
    """What a duty is doing."""

    IDLE = "idle"
    WORKING = "working"
    WAITING = "waiting"


@dataclass(slots=True)
class DutyStatus:
    """For `node status`. Fields: state; problem (of the last run, empty when it went well); at."""

    state: DutyState = DutyState.IDLE
    problem: str = ""
    at: UnixMs = UnixMs(0)


class Runner:
    """Runs one duty for ever."""

    def __init__(self, duty: Duty, office: Office) -> None:
        self.duty = duty
        self.status = DutyStatus()
        self._office = office
        self._back_off = _FIRST_BACK_OFF
        self._refused = ""

    async def run(self) -> None:
        """Until it is cancelled. A bug in a duty stops that run alone; it is logged, counted, and tried again."""
        try:
            while True:
                seen = self._office.changed.version
                pause = await self._once()
                await self._office.changed.wait(seen, pause)
        finally:
            if isinstance(self.duty, Closing):
                await self.duty.close()

    async def _once(self) -> float:
        """One run; how long to wait for a change before the next."""
        self._became(DutyState.WORKING)
        try:
            busy = await self.duty.run()
        except Retryable as error:
            return self._failed(error)
        except Refused as error:
            # Something may have come in between what the duty had looked at and this node's own check, which looks at
            # what is stored now. Only what is refused again does not fit for good.
            if str(error) == self._refused:
                await self._record(error)
            self._refused = str(error)
            return self._failed(error)
        except CausewayError as error:
            await self._record(error)
            return self._failed(error)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug in one duty must not stop the others, nor the node
            _LOG.exception("a duty failed", duty=self.duty.name)
            await self._record(error)
            return self._failed(error)
        self._back_off, self._refused = _FIRST_BACK_OFF, ""
        self._became(DutyState.WAITING if busy else DutyState.IDLE)
        return min(_BUSY_SECONDS, self._office.slot_left_seconds() + 0.01) if busy else _IDLE_SECONDS

    def _failed(self, error: Exception) -> float:
        if self.status.problem != str(error):
            _LOG.info("a duty waits", duty=self.duty.name, problem=str(error), error=type(error).__name__)
        self._became(DutyState.WAITING, str(error) or type(error).__name__)
        pause, self._back_off = self._back_off, min(2 * self._back_off, _MOST_BACK_OFF)
        return pause

    def _became(self, state: DutyState, problem: str | None = None) -> None:
        if state is not DutyState.WORKING:
            self.status.problem = problem or ""
        self.status.state = state
        self.status.at = self._office.clock()

    async def _record(self, error: Exception) -> None:
        """Keep what operators should look at; the database itself may be what fails."""
        try:
            async with self._office.database.unit() as uow:
                kind = IncidentKind.ALARM
                fields = {"text": str(error), "duty": self.duty.name}
                await uow.incidents.record(kind, type(error).__name__, self._office.clock(), fields=fields)
                await uow.commit()
        except CausewayError as second:
            _LOG.warning("an incident could not be kept", problem=str(second))
