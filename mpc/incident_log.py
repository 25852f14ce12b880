"""Incidents on their way to the log and to storage, no faster than an operator could ever read them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from mpc.cluster_errors import TooManyRequests
from mpc.ports import Culprit, Incident, IncidentKind, Incidents
from mpc.rates import Rates

_LOG: Final = structlog.get_logger("mpc.cluster")
RECORDS_PER_S: Final = 0.2
RECORDS_AT_ONCE: Final = 100
"""For each peer and kind: a member that asks for what it is refused, over and over, does not fill the disk."""


class LimitedIncidents:
    """An `Incidents` port in front of another one. What is held against peers is never left out."""

    def __init__(
        self,
        inner: Incidents,
        *,
        per_s: float = RECORDS_PER_S,
        burst: int = RECORDS_AT_ONCE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._rates = Rates(per_s, burst)
        self._monotonic = monotonic
        self.left_out: Counter[tuple[bytes, IncidentKind]] = Counter()
        """How many incidents were not recorded, by peer and kind."""

    async def record(self, incident: Incident) -> None:
        """Log and keep an incident, unless its peer causes too many of this kind; others of its kinds are kept."""
        place = (incident.peer, incident.kind)
        try:
            self._rates.take(incident.peer + incident.kind.encode(), self._monotonic())
        except TooManyRequests:
            self.left_out[place] += 1
            return
        _LOG.warning(
            "an incident",
            kind=incident.kind,
            peer=incident.peer.hex(),
            group=incident.group.hex(),
            error=incident.error,
            text=incident.text,
            left_out_before=self.left_out[place],
        )
        await self._inner.record(incident)

    async def save(self, culprit: Culprit) -> None:
        await self._inner.save(culprit)

    async def load(self) -> Sequence[Culprit]:
        return await self._inner.load()
