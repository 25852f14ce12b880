"""What a node says of itself, read from its database, for people and for monitoring."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge.settings import Settings
from bridge.status import STATUS
from bridge.storage import Database, IncidentRow
from cli.node_folder import load_settings
from cli.output import btc, clock, coin, cut, duration, facts, short, table, width

FRESH_MS: Final = 10_000
"""A node speaks every two seconds; one that was silent for longer than this is not alive."""
GONE_MS: Final = 4_000
"""A node whose process is not here needs to be silent for this long only: it was killed, or runs in a container."""


@dataclass(frozen=True)
class NodeReport:
    """How a node is. Fields: settings; status (what it last said; None: it never ran); incidents; now_ms."""

    settings: Settings
    status: Mapping[str, Any] | None
    incidents: Sequence[IncidentRow]
    now_ms: int

    @property
    def alive(self) -> bool:
        """Whether it has spoken lately, and not said that it stops."""
        if self.status is None or "stopped_at_ms" in self.status:
            return False
        silent_ms = self.now_ms - int(self.status["at_ms"])
        return silent_ms < (FRESH_MS if _runs(int(self.status["pid"])) else GONE_MS)

    def as_json(self) -> dict[str, Any]:
        """For monitoring."""
        return {
            "alive": self.alive,
            "name": self.settings.node.name,
            "role": self.settings.node.role,
            "status": self.status,
            "incidents": [_incident(row) for row in self.incidents],
        }

    def text(self) -> str:
        """For people, at most 100 columns."""
        parts = [self._head()]
        if self.status is not None:
            parts += [part for part in _sections(self.status, self.now_ms) if part]
        if self.incidents:
            rows = [_incident_line(row, self.now_ms) for row in self.incidents]
            parts.append(
                "Latest incidents\n" + table(("ago", "kind", "error", "times", "what"), rows, right=("times",))
            )
        return "\n\n".join(parts)

    def _head(self) -> str:
        node, status = self.settings.node, self.status
        if status is None:
            return f"{node.name} ({node.role}): has never run"
        if "stopped_at_ms" in status:
            return f"{node.name} ({node.role}): STOPPED {clock(status['stopped_at_ms'])}"
        if not self.alive:
            return f"{node.name} ({node.role}): NOT ALIVE, last heard {clock(status['at_ms'])}"
        since = duration(self.now_ms - int(status["started_at_ms"]))
        return f"{node.name} ({node.role}): alive for {since}, process {status['pid']}, version {status['version']}"


async def read_report(folder: Path, incidents: int) -> NodeReport:
    """Read a node's report. Raises `BadInput`, `DatabaseUnavailable`."""
    settings = load_settings(folder)
    status, rows = await read_status(settings, incidents)
    return NodeReport(settings, status, rows, int(time.time() * 1000))


async def read_status(settings: Settings, incidents: int = 0) -> tuple[dict[str, Any] | None, tuple[IncidentRow, ...]]:
    """What the node last said, and its latest incidents. Raises `DatabaseUnavailable`."""
    url = settings.database_url
    if _is_missing(url):
        return None, ()
    async with await Database.open(url) as database, database.view() as view:
        body = await view.node_meta.get(STATUS)
        rows = await view.incidents.latest(incidents) if incidents else ()
    return (None if body is None else json.loads(body)), rows


def _runs(pid: int) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def _is_missing(url: str) -> bool:
    """Whether a SQLite file is not there yet: opening it would make it, and a look must leave no trace."""
    return url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists()


def _sections(status: Mapping[str, Any], now_ms: int) -> Iterator[str]:
    yield facts(
        [
            ("account", f"{status['account']}, {coin(status['account_balance_wei'], places=4)} for gas"),
            ("host key", status["host_key"]),
            ("endpoint", status["endpoint"]),
            ("bitcoin", _chain(status["bitcoin"], "height")),
            ("native chain", _chain(status["native"], "block")),
            *((chain["chain"], _chain(chain, "block")) for chain in status.get("evm", ())),
            *((f"  {name}", cut(problem, width() - 14)) for name, problem in _faulty(status)),
            ("vault", f"{btc(status['reserves_sat'])} held, {btc(status['supply_sat'])} minted"),
        ]
    )
    groups = [
        (
            short(g["id"]),
            g["status"],
            f"{g['threshold']} of {g['size']}",
            _index(g),
            g["epoch"],
            short(g["key"], head=24),
        )
        for g in status["groups"]
    ]
    if groups:
        yield "Groups\n" + table(("id", "status", "signs", "we are", "epoch", "key"), groups)
    peers = [(p.get("name"), short(p["host_key"]), p["endpoint"]) for p in status["peers"]]
    if peers:
        yield "Peers\n" + table(("name", "host key", "endpoint"), peers)
    duties = [
        (name, d["state"], duration(now_ms - int(d["at_ms"])), d["problem"]) for name, d in status["duties"].items()
    ]
    yield "Duties\n" + table(("duty", "state", "for", "problem"), duties)
    culprits = [(c.get("name"), c["faults"], _excluded(c, now_ms), c["reason"]) for c in status["culprits"]]
    if culprits:
        yield "Peers at fault\n" + table(("peer", "faults", "excluded", "reason"), culprits, right=("faults",))
    if status["dropped"]:
        yield cut("Dropped messages: " + ", ".join(f"{n} x {error}" for error, n in status["dropped"].items()), width())


def _chain(chain: Mapping[str, Any], place: str) -> str:
    at = "no block yet" if chain[place] is None else f"{chain['state']} at {chain[place]:,}"
    return cut(f"{at}: {chain['problem']}" if chain["problem"] else at, width() - 14)


def _faulty(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The endpoints of EVM chains that failed when they were last asked, and why."""
    for chain in status.get("evm", ()):
        yield from ((name, problem) for name, problem in chain["endpoints"].items() if problem)


def _index(group: Mapping[str, Any]) -> str | None:
    return None if group["index"] is None else f"no. {group['index'] + 1}"


def _excluded(culprit: Mapping[str, Any], now_ms: int) -> str:
    until = culprit["excluded_until_ms"]
    return "no" if until is None else f"for {duration(int(until) - now_ms)}"


def _incident(row: IncidentRow) -> dict[str, Any]:
    return {
        "first_at_ms": row.first_at_ms,
        "at_ms": row.at_ms,
        "kind": row.kind,
        "error": row.error,
        "party": row.party.hex(),
        "subject": row.subject.hex(),
        "count": row.count,
        "fields": json.loads(row.fields),
    }


def _incident_line(row: IncidentRow, now_ms: int) -> tuple[Any, ...]:
    fields = json.loads(row.fields)
    what = str(fields.get("text") or row.fields)
    return duration(now_ms - row.at_ms), row.kind, row.error, row.count, what
