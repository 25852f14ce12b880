"""`causeway dev`, as a person uses it, and the library form of the same network."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli.dev.network import DevNetwork, DevPlan
from cli.exits import ExitCode
from tests.support.command import Causeway

SMALL = ("--storemen", "3", "--threshold", "2", "--vouchers", "1", "--evm-chain", "0")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def causeway(home: Path) -> Iterator[Causeway]:
    """The command with a network that runs, shared by the tests of this module; taken down at the end."""
    command = Causeway(home, {})
    try:
        command.run("dev", "up", *SMALL)
        yield command
    finally:
        command.run("dev", "down")
        assert _processes(home) == []


def _processes(home: Path) -> list[int]:
    """Processes that name the folder in their command line."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        if any(str(home) in part for part in process.info["cmdline"] or []):
            found.append(process.info["pid"])
    return sorted(found)


def _up(status: dict[str, Any]) -> dict[str, int]:
    return {one["name"]: one["pid"] for one in [*status["chains"], *status["nodes"]] if one["up"]}


def test_up_leaves_a_whole_network_running(causeway: Causeway, home: Path) -> None:
    """After `dev up` has ended, both chains and every node run on, and the group has its key."""
    status = causeway.json("dev", "status")
    names = {"bitcoind", "anvil", "storeman-1", "storeman-2", "storeman-3", "voucher-1"}
    assert status["up"] is True
    assert set(_up(status)) == names
    assert set(_up(status).values()) <= set(_processes(home))
    group = causeway.json("group", "show")
    assert (group["status"], group["serves"], group["threshold"], len(group["members"])) == ("active", True, 2, 3)
    assert group["vault_address"].startswith("bcrt1p")
    assert "storeman-1" in causeway.run("dev", "status").stdout


def test_up_twice_starts_nothing_twice(causeway: Causeway) -> None:
    """A second `dev up` leaves the running processes alone."""
    before = _up(causeway.json("dev", "status"))
    causeway.run("dev", "up")
    assert _up(causeway.json("dev", "status")) == before


def test_up_with_another_size_is_refused(causeway: Causeway) -> None:
    """The network in the folder is not silently taken for another one; the option that differs is named."""
    refused = causeway.run("dev", "up", "--vouchers", "2", status=ExitCode.BAD_INPUT)
    assert refused.stderr.startswith("error: --vouchers: ")
    assert causeway.json("dev", "status")["up"] is True


def test_up_heals_a_node_that_was_killed(causeway: Causeway) -> None:
    """A node that died by kill -9 is shown as down, and `dev up` starts it again, and only it."""
    before = _up(causeway.json("dev", "status"))
    os.kill(before["storeman-2"], signal.SIGKILL)
    broken = causeway.json("dev", "status", status=ExitCode.NOT_YET)
    assert set(before) - set(_up(broken)) == {"storeman-2"}
    causeway.run("dev", "up")
    healed = _up(causeway.json("dev", "status"))
    assert {name for name in before if healed[name] != before[name]} == {"storeman-2"}


def test_a_node_that_cannot_start_stops_no_other(causeway: Causeway, home: Path) -> None:
    """Where `dev up` cannot heal a node it says what is wrong with that node, and leaves running what ran."""
    before = _up(causeway.json("dev", "status"))
    os.kill(before["voucher-1"], signal.SIGKILL)
    config = home / "dev" / "voucher-1" / "config.toml"
    good = config.read_text()
    config.write_text(good.replace("input_depth", "input_deepness"))
    refused = causeway.run("dev", "up", status=ExitCode.BAD_INPUT)
    assert f"error: {config}: policy.input_deepness: is not known" in refused.stderr
    config.write_text(good)
    left = _up(causeway.json("dev", "status", status=ExitCode.NOT_YET))
    assert left == {name: pid for name, pid in before.items() if name != "voucher-1"}
    causeway.run("dev", "up")


def test_mine_makes_blocks_that_the_nodes_see(causeway: Causeway) -> None:
    """`dev mine N` raises the height by N."""
    first = causeway.json("dev", "mine")
    then = causeway.json("dev", "mine", "3")
    assert then["height"] == first["height"] + 3
    assert len(then["blocks"]) == 3


def test_faucet_pays_both_kinds(causeway: Causeway, home: Path) -> None:
    """`dev faucet` pays bitcoin to an address and coin to an account, and names what it cannot pay."""
    network = DevNetwork.at(home / "dev")
    address = str(network.bitcoind.rpc.call_blocking("getnewaddress", path="/wallet/miner"))
    paid = causeway.json("dev", "faucet", address, "0.25")
    assert network.bitcoind.rpc.call_blocking("getmempoolentry", paid["txid"])
    account = "0x" + "ab" * 20
    causeway.run("dev", "faucet", account, "1.5")
    assert network.anvil.rpc.call_blocking("eth_getBalance", account, "latest") == hex(15 * 10**17)
    for arguments, field in (
        ((account[:-1], "1"), "ADDRESS|0xACCOUNT"),
        (("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "1"), "ADDRESS|0xACCOUNT"),
        ((account, "1,5"), "AMOUNT"),
        ((address, "0"), "AMOUNT"),
    ):
        refused = causeway.run("dev", "faucet", *arguments, status=ExitCode.BAD_INPUT)
        assert refused.stderr.startswith(f"error: {field}: ")


def test_node_status_shows_the_first_storeman(causeway: Causeway) -> None:
    """Without a folder `node status` looks at the development network's first storeman."""
    document = causeway.json("node", "status")
    assert (document["alive"], document["name"]) == (True, "storeman-1")
    assert document["status"]["bitcoin"]["state"] == "ok"


def test_a_node_that_runs_keeps_its_keystore_for_itself(causeway: Causeway, home: Path) -> None:
    """Commands that need a node's keys are told to stop the node first, and that they may try again."""
    refused = causeway.run("node", "export", home / "dev" / "storeman-1", status=ExitCode.NOT_YET)
    assert "stop it first" in refused.stderr


def test_down_keeps_the_data_for_the_next_up(causeway: Causeway, home: Path) -> None:
    """After `down` no process is left and commands find no network; the next `up` has the same chain and group."""
    group, height = causeway.json("group", "show")["id"], causeway.json("dev", "mine")["height"]
    causeway.run("dev", "down")
    assert _processes(home) == []
    assert "STOPPED" in causeway.run("node", "status", home / "dev" / "voucher-1", status=ExitCode.NOT_YET).stdout
    causeway.run("group", "show", status=ExitCode.NOT_FOUND)
    causeway.run("dev", "up")
    assert causeway.json("group", "show")["id"] == group
    assert causeway.json("dev", "mine")["height"] == height + 1


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[DevNetwork]:
    """A network of this process: it dies with it."""
    async with DevNetwork(tmp_path / "dev", DevPlan(storemen=2, threshold=2, vouchers=1)) as network:
        yield network


async def test_the_library_form_kills_and_starts_single_nodes(network: DevNetwork) -> None:
    """A test can crash one node and start it again; its status is that of the new process, its key the old one."""
    node = network.storemen[1]
    before = node.process.pid
    node.kill()
    assert not node.is_running
    assert await node.status() is not None
    await node.start()
    while not await node.is_up():
        assert node.is_running, node.log_tail()
    assert node.process.pid != before
    status = await node.status()
    assert status is not None
    assert [group["key"] for group in status["groups"]] == [network.group.key.hex()]  # type: ignore[union-attr]  # it has started
