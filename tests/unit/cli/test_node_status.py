"""What `causeway node status` says."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bridge.status import STATUS
from bridge.storage import Database, IncidentKind
from cli.exits import ExitCode
from cli.main import app
from cli.node_folder import NodePlan, create_node
from foundation.quantities import UnixMs
from mpc.keystore import ScryptCost

BITCOIN = {"network": "regtest", "url": "http://127.0.0.1:18443", "user": "me", "password": "x"}
NATIVE = {"url": "http://127.0.0.1:8545"}
LONG = "the coordinator " * 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A node that has never run."""
    create_node(
        tmp_path, NodePlan("storeman", "s-1", "tcp://127.0.0.1:7400", BITCOIN, NATIVE), "x", ScryptCost(log_n=4)
    )
    return tmp_path


def _said(at_ms: int) -> dict[str, Any]:
    return {
        "at_ms": at_ms,
        "started_at_ms": at_ms - 90_000,
        "pid": 4711,
        "version": "0.1.0",
        "name": "s-1",
        "role": "storeman",
        "host_key": "02" * 33,
        "account": "0x" + "ab" * 20,
        "endpoint": "tcp://127.0.0.1:7400",
        "bitcoin": {"state": "ok", "problem": "", "height": 812_345, "hash": "00" * 32},
        "native": {"state": "waiting", "problem": LONG, "block": 17, "hash": "00" * 32},
        "groups": [
            {
                "id": "12" * 32,
                "chain": "34" * 32,
                "key": "56" * 32,
                "index": 0,
                "threshold": 3,
                "size": 5,
                "epoch": 0,
                "status": "active",
                "serves": True,
            }
        ],
        "peers": [{"host_key": "03" * 33, "name": "voucher-1", "endpoint": "tcp://127.0.0.1:7401"}],
        "account_balance_wei": 15 * 10**17,
        "reserves_sat": 150_000_000,
        "unsettled_sat": 0,
        "supply_sat": 149_000_000,
        "duties": {"pay": {"state": "waiting", "problem": LONG, "at_ms": at_ms}},
        "culprits": [
            {"peer": "03" * 33, "name": "storeman-2", "faults": 3, "reason": LONG, "excluded_until_ms": at_ms + 60_000}
        ],
        "dropped": {"UnauthenticMessage": 2},
    }


async def _write(folder: Path, said: dict[str, Any]) -> None:
    async with await Database.open(f"sqlite:///{folder}/node.db") as database, database.unit() as uow:
        await uow.node_meta.put(STATUS, json.dumps(said).encode())
        fields = {"kind": "refused", "text": LONG}
        await uow.incidents.record(IncidentKind.FAULT, "BadPartialSignature", UnixMs(said["at_ms"]), fields=fields)
        await uow.commit()


def _status(folder: Path, *options: str) -> Any:
    return CliRunner().invoke(app, ["node", "status", str(folder), *options])


def _now() -> int:
    return int(time.time() * 1000)


def test_a_node_that_has_never_run_leaves_no_trace_of_the_look(folder: Path) -> None:
    """Looking at a node that has never run says so, and makes no database."""
    shown = _status(folder)
    assert shown.exit_code == ExitCode.NOT_YET
    assert shown.stdout == "s-1 (storeman): has never run\n"
    assert not (folder / "node.db").exists()


def test_a_running_node_is_shown_whole_in_a_hundred_columns(folder: Path) -> None:
    """Chains, groups, peers, duties, who is at fault and incidents are all there, however long a problem is."""
    import asyncio

    asyncio.run(_write(folder, _said(_now())))
    shown = _status(folder)
    assert shown.exit_code == 0, shown.stderr
    text = shown.stdout
    for part in (
        "alive for 1 min",
        "812,345",
        "3 of 5",
        "voucher-1",
        "pay",
        "storeman-2",
        "BadPartialSignature",
        "1.5 BTC",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("age_ms", "stopped", "head"), [(60_000, {}, "NOT ALIVE"), (0, {"stopped_at_ms": 5}, "STOPPED")]
)
def test_a_silent_or_stopped_node_is_not_alive(folder: Path, age_ms: int, stopped: dict[str, int], head: str) -> None:
    """A node that was silent too long, or said that it stops, is shown so, and the exit status says it too."""
    import asyncio

    asyncio.run(_write(folder, _said(_now() - age_ms) | stopped))
    shown = _status(folder)
    assert shown.exit_code == ExitCode.NOT_YET
    assert head in shown.stdout.splitlines()[0]
    document = json.loads(_status(folder, "--json").stdout)
    assert document["alive"] is False


@pytest.mark.parametrize(("pid", "alive"), [(os.getpid(), True), (2**30, False)], ids=["running", "gone"])
def test_a_killed_node_is_soon_not_alive(folder: Path, pid: int, alive: bool) -> None:
    """A node whose process is gone is given less time than one that may only be slow."""
    import asyncio

    asyncio.run(_write(folder, _said(_now() - 6_000) | {"pid": pid}))
    assert json.loads(_status(folder, "--json").stdout)["alive"] is alive


def test_json_has_everything_for_monitoring(folder: Path) -> None:
    """With --json: alive, the node's own words unchanged, and as many incidents as were asked for."""
    import asyncio

    said = _said(_now())
    asyncio.run(_write(folder, said))
    document = json.loads(_status(folder, "--json").stdout)
    assert document["alive"] is True
    assert document["status"] == said
    assert [incident["error"] for incident in document["incidents"]] == ["BadPartialSignature"]
    assert json.loads(_status(folder, "--json", "--incidents", "0").stdout)["incidents"] == []


def test_a_folder_that_is_no_nodes_is_not_found(tmp_path: Path) -> None:
    """A wrong folder ends with the status for what does not exist."""
    assert _status(tmp_path / "nowhere").exit_code == ExitCode.NOT_FOUND


def test_each_evm_chain_is_shown_with_its_endpoints_that_fail(folder: Path) -> None:
    """Operators see how far each chain is followed, and which endpoint is the trouble and why."""
    evm = [
        {
            "chain": "eip155:5",
            "state": "waiting",
            "problem": "too few endpoints answer",
            "block": 1_234,
            "hash": "00" * 32,
            "endpoints": {"one.example": "", "two.example": "false receipts"},
        }
    ]
    import asyncio

    asyncio.run(_write(folder, {**_said(_now()), "evm": evm}))
    lines = [" ".join(line.split()) for line in _status(folder).stdout.splitlines()]
    assert "eip155:5 waiting at 1,234: too few endpoints answer" in lines
    assert "two.example false receipts" in lines
    assert not any(line.startswith("one.example") for line in lines)
