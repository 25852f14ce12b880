"""Incidents are logged and kept, but a peer cannot fill the disk with them."""

from dataclasses import replace

from structlog.testing import capture_logs

from mpc.incident_log import LimitedIncidents
from mpc.ports import Culprit, Incident
from tests.support.cluster import GROUP, MemoryIncidents

REFUSED = Incident(1, "refused", b"\x02" * 33, GROUP, "UnaskedOutput", "an output pays a stranger")


async def test_an_incident_is_logged_and_kept():
    """The typed error of an incident stands in the log and in the storage."""
    inner = MemoryIncidents()
    with capture_logs() as logs:
        await LimitedIncidents(inner).record(REFUSED)
    assert inner.recorded == [REFUSED]
    assert (logs[0]["error"], logs[0]["peer"], logs[0]["log_level"]) == ("UnaskedOutput", "02" * 33, "warning")


async def test_one_peer_cannot_fill_the_disk():
    """Beyond its rate a peer's incidents are counted only; other peers, other kinds and faults are still kept."""
    inner, now = MemoryIncidents(), [0.0]
    limited = LimitedIncidents(inner, per_s=1, burst=3, monotonic=lambda: now[0])
    for _ in range(1_000):
        await limited.record(REFUSED)
    assert len(inner.recorded) == 3
    assert limited.left_out.total() == 997
    await limited.record(replace(REFUSED, peer=b"\x03" * 33))
    await limited.record(replace(REFUSED, kind="wrong-share"))
    now[0] += 1
    await limited.record(REFUSED)
    assert len(inner.recorded) == 6
    culprit = Culprit(REFUSED.peer, 1, 1, 1, "wrong")
    await limited.save(culprit)
    assert list(await limited.load()) == [culprit]
