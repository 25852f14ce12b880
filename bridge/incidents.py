"""Keeps what the cluster reports (`mpc.ports.Incidents`) in the node's database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.codec import decode, encode
from bridge.refusals import AssetHalted, NotYet
from bridge.storage import Database, IncidentKind
from foundation.quantities import UnixMs
from mpc.ports import Culprit, Incident

CULPRITS: Final = "culprits"
"""Node fact: what is held against peers."""
_KINDS: Final = {"refused": IncidentKind.REFUSAL}
_PASSING: Final = frozenset({NotYet.__name__, AssetHalted.__name__})
"""Refusals that only mean: ask again. They are in the log."""


class DatabaseIncidents:
    """Incidents as rows, culprits as one fact."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, incident: Incident) -> None:
        """Keep an incident. Raises `DatabaseUnavailable`."""
        if incident.error in _PASSING:
            return
        async with self._database.unit() as uow:
            await uow.incidents.record(
                _KINDS.get(incident.kind, IncidentKind.FAULT),
                incident.error,
                incident.at,
                party=incident.peer,
                subject=incident.group,
                fields={"kind": incident.kind, "text": incident.text, "evidence": incident.evidence},
            )
            await uow.commit()

    async def save(self, culprit: Culprit) -> None:
        """Keep what is held against a peer. Raises `DatabaseUnavailable`."""
        async with self._database.unit() as uow:
            known = _by_peer(await uow.node_meta.get(CULPRITS))
            known[culprit.peer] = culprit
            await uow.node_meta.put(CULPRITS, encode(list(known.values())))
            await uow.commit()

    async def load(self) -> Sequence[Culprit]:
        """What was kept. Raises `DatabaseUnavailable`."""
        async with self._database.view() as view:
            return tuple(_by_peer(await view.node_meta.get(CULPRITS)).values())


def is_excluded(culprit: Culprit, now: UnixMs) -> bool:
    """Whether the peer is not asked to sign at `now`."""
    return culprit.excluded_until > now


def _by_peer(stored: bytes | None) -> dict[bytes, Culprit]:
    if stored is None:
        return {}
    return {culprit.peer: culprit for culprit in decode(stored, list[Culprit], CULPRITS)}
