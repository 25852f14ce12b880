"""The nodes themselves: started, stopped, killed, paused, found again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import psutil
import pytest
import zmq
import zmq.asyncio

from foundation.quantities import Satoshi
from infra import postgres, programs
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from infra.errors import NotReady, StartFailed
from infra.node import Node
from infra.postgres import Postgres
from infra.processes import read_record
from infra.programs import Way
from infra.rpc import Json
from tests.support.patience import PATIENCE_S

LOGGING_CODE = "0x6560006000a000600052600660" + "1af3"
"""Deploys a contract that emits one empty log whenever it is called."""


async def _receipt(node: Anvil, txid: Json) -> dict[str, Json]:
    """The receipt of a transaction, awaited: it is mined at once, but not within the call that sent it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            receipt = await node.rpc.call("eth_getTransactionReceipt", txid)
            if isinstance(receipt, dict):
                return receipt
            await asyncio.sleep(0.01)


async def test_bitcoind_keeps_chain_and_ports_over_a_restart(fresh_bitcoind: Bitcoind) -> None:
    """A stopped node refuses calls; started again it has the same URL, chain, wallet and transaction index."""
    wallet = await fresh_bitcoind.wallet("alice", Satoshi(100_000))
    txid = await wallet.send(await wallet.address(), Satoshi(50_000))
    (block,) = await fresh_bitcoind.mine()
    url, height = fresh_bitcoind.url, await fresh_bitcoind.height()
    await fresh_bitcoind.stop()
    assert not await fresh_bitcoind.healthy()
    with pytest.raises(NotReady):
        await fresh_bitcoind.height()
    await fresh_bitcoind.start()
    assert (fresh_bitcoind.url, await fresh_bitcoind.height()) == (url, height)
    found = await fresh_bitcoind.rpc.call("getrawtransaction", txid, True)
    assert isinstance(found, dict)
    assert found["blockhash"] == block


async def test_bitcoind_publishes_blocks_and_transactions(fresh_bitcoind: Bitcoind) -> None:
    """The three ZeroMQ notices arrive: raw block, block hash, raw transaction."""
    with zmq.asyncio.Context() as context:
        subscriber = context.socket(zmq.SUB)
        for topic in ("rawblock", "hashblock", "rawtx"):
            subscriber.connect(getattr(fresh_bitcoind, f"zmq_{topic}"))
            subscriber.subscribe(topic)
        seen: dict[bytes, bytes] = {}
        async with asyncio.timeout(PATIENCE_S):
            while len(seen) < 3:  # a subscription takes effect after a moment: mine until all have spoken
                (block,) = await fresh_bitcoind.mine()
                while await subscriber.poll(100):
                    topic_name, body, _sequence = await subscriber.recv_multipart()
                    seen[topic_name] = body
        subscriber.close()
    assert len(seen[b"hashblock"]) == 32
    assert set(seen) == {b"rawblock", b"hashblock", b"rawtx"}
    assert len(block) == 64


async def test_bitcoind_listens_on_loopback_only(fresh_bitcoind: Bitcoind) -> None:
    """No port of the node can be reached from another machine."""
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(fresh_bitcoind.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert set(listening) == {"127.0.0.1"}


async def test_anvil_keeps_blocks_logs_and_finality_over_a_restart(fresh_anvil: Anvil) -> None:
    """After a stop the chain goes on: the same blocks and logs, and calls at the finalized block work at once."""
    rpc = fresh_anvil.rpc
    accounts = await rpc.call("eth_accounts")
    assert isinstance(accounts, list)
    sender = accounts[0]
    created = await rpc.call("eth_sendTransaction", {"from": sender, "data": LOGGING_CODE})
    contract = (await _receipt(fresh_anvil, created))["contractAddress"]
    await _receipt(fresh_anvil, await rpc.call("eth_sendTransaction", {"from": sender, "to": contract}))
    block, height = await rpc.call("eth_getBlockByNumber", "0x2", False), await fresh_anvil.height()
    await fresh_anvil.restart()
    assert await rpc.call("eth_getBlockByNumber", "0x2", False) == block
    logs = await rpc.call("eth_getLogs", {"address": contract, "fromBlock": "0x0", "toBlock": "latest"})
    assert isinstance(logs, list)
    assert len(logs) == 1
    assert await fresh_anvil.height("finalized") >= height
    assert await rpc.call("eth_getBalance", sender, "finalized") is not None


async def test_anvil_keeps_its_genesis_block_and_the_time_over_restarts(fresh_anvil: Anvil) -> None:
    """The chain's first block, by which a deployment knows it, stays the same, and new blocks have today's time."""
    genesis = await fresh_anvil.rpc.call("eth_getBlockByNumber", "0x0", False)
    for _ in range(2):  # the first restart alone would keep it in any case
        await fresh_anvil.restart()
        assert await fresh_anvil.rpc.call("eth_getBlockByNumber", "0x0", False) == genesis
    before = int(time.time())
    await fresh_anvil.mine()
    newest = await fresh_anvil.rpc.call("eth_getBlockByNumber", "latest", False)
    assert isinstance(newest, dict)
    assert int(str(newest["timestamp"]), 16) >= before - 1


async def test_anvil_goes_on_from_its_last_save_after_a_kill(tmp_path: Path) -> None:
    """A killed node loses at most what came after its last save; it does not begin a new chain."""
    async with Anvil(tmp_path / "anvil", save_seconds=1) as node:
        await node.mine(50)
        async with asyncio.timeout(PATIENCE_S):
            while not (node.state.exists() and '"best_block_number":' in node.state.read_text()):
                await asyncio.sleep(0.05)
            saved = node.state.stat().st_mtime_ns
            while node.state.stat().st_mtime_ns == saved:
                await asyncio.sleep(0.05)
        genesis = await node.rpc.call("eth_getBlockByNumber", "0x0", False)
        node.kill()
        await node.start()
        assert await node.height() >= 50
        assert await node.rpc.call("eth_getBlockByNumber", "0x0", False) == genesis


async def test_anvil_finality_trails_by_two_blocks_and_transactions_do_not_wait(tmp_path: Path) -> None:
    """A transaction is mined before the next block is due, and `finalized` is two blocks behind `latest`."""
    async with Anvil(tmp_path / "anvil", block_seconds=3600) as node:
        await node.mine(5)
        assert (await node.height(), await node.height("finalized")) == (5, 3)
        accounts = await node.rpc.call("eth_accounts")
        assert isinstance(accounts, list)
        transfer: Json = {"from": accounts[0], "to": accounts[1], "value": "0x1"}
        receipt = await _receipt(node, await node.rpc.call("eth_sendTransaction", transfer))
        assert receipt["blockNumber"] == hex(6)


async def test_anvils_known_accounts_have_the_keys_we_derive(fresh_anvil: Anvil) -> None:
    """The key derived from the mnemonic belongs to the account that anvil funds."""
    from eth_account import Account

    accounts = await fresh_anvil.rpc.call("eth_accounts")
    assert isinstance(accounts, list)
    assert str(Account.from_key(fresh_anvil.account_key(3)).address).lower() == str(accounts[3]).lower()


@pytest.mark.parametrize("kind", [Bitcoind, Anvil])
async def test_paused_node_does_not_answer_until_it_is_resumed(kind: type[Node], tmp_path: Path) -> None:
    """pause() freezes the process, resume() lets it answer again."""
    async with kind(tmp_path / "node") as node:
        node.pause()
        assert psutil.Process(node.pid).status() == psutil.STATUS_STOPPED
        assert node.is_running
        assert not await node.healthy(timeout_seconds=0.2)
        node.resume()
        assert await node.healthy()


async def test_second_run_joins_a_node_that_runs_already(fresh_anvil: Anvil) -> None:
    """The same folder gives the same node: start() joins it, stop() by either ends it."""
    other = await Anvil(fresh_anvil.folder).start()
    assert (other.pid, other.url) == (fresh_anvil.pid, fresh_anvil.url)
    await other.stop()
    assert not fresh_anvil.is_running


async def test_node_that_cannot_start_says_why(fresh_bitcoind: Bitcoind, tmp_path: Path) -> None:
    """A node whose port is taken ends at once, with what it wrote in the error."""
    rival = Bitcoind(tmp_path / "rival", rpc_port=fresh_bitcoind.rpc_port)
    with pytest.raises(StartFailed) as failure:
        await rival.start()
    assert failure.value.name == "bitcoind"
    assert "bind" in failure.value.log.lower()
    assert not rival.is_running


class Hopeless(Anvil):
    """A node that starts but never answers as it should."""

    async def _probe(self, timeout_seconds: float) -> None:
        raise NotReady(self.name, f"not in {timeout_seconds} s, nor ever")


async def test_node_that_nobody_waits_for_any_more_is_ended(tmp_path: Path) -> None:
    """When the wait for a starting node is cancelled, the node does not stay behind."""
    node = Hopeless(tmp_path)
    start = asyncio.create_task(node.start())
    async with asyncio.timeout(PATIENCE_S):
        while not node.is_running:
            await asyncio.sleep(0.01)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not node.is_running


RUN = """
import asyncio, sys
from pathlib import Path
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from infra.postgres import Postgres

async def main():
    folder = Path(sys.argv[1])
    server = Postgres()
    await asyncio.gather(Bitcoind(folder / "bitcoind").start(), Anvil(folder / "anvil").start(), server.start())
    print(server.folder, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_no_node_outlives_the_run_that_started_it(number: signal.Signals, tmp_path: Path) -> None:
    """However a run ends, its bitcoind, anvil and PostgreSQL (with all its workers) end with it."""
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert run.stdout is not None
    server = Path((await asyncio.to_thread(run.stdout.readline)).decode().strip())
    records = [read_record(folder / "process.json") for folder in (tmp_path / "bitcoind", tmp_path / "anvil", server)]
    nodes = [psutil.Process(record.pid) for record in records if record is not None]
    assert len(nodes) == 3
    family = [*nodes, *(child for node in nodes for child in node.children(recursive=True))]
    run.send_signal(number)
    run.wait()
    async with asyncio.timeout(PATIENCE_S):
        while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family):
            await asyncio.sleep(0.05)
    shutil.rmtree(server)


async def test_packaged_postgres_serves_too() -> None:
    """The server that comes as a Python package starts and answers, also as root and from a closed folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres, "find_postgres", lambda name, _ways=None: programs.find_postgres(name, [Way.PACKAGE]))
        async with Postgres() as server:
            connection = await asyncpg.connect(server.url().replace("+asyncpg", ""))
            assert await connection.fetchval("SELECT 6 * 7") == 42
            await connection.close()
        assert not server.folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused by PostgreSQL")
async def test_packaged_postgres_is_copied_where_its_user_cannot_enter(tmp_path: Path) -> None:
    """A server program in a folder that only root may enter is copied to where the unprivileged user can run it."""
    closed = tmp_path / "closed"
    packaged = Path(programs.find_postgres("postgres", [Way.PACKAGE]).command[0])
    package = packaged.parents[2]
    shutil.copytree(package / "pginstall", closed / package.name / "pginstall")
    for libraries in package.parent.glob(f"{package.name}.libs"):
        shutil.copytree(libraries, closed / libraries.name)
    closed.chmod(0o700)

    def find(name: str, _ways: object = None) -> programs.Program:
        return programs.Program(name, Way.PACKAGE, (str(closed / package.name / "pginstall" / "bin" / name),))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres, "find_postgres", find)
        async with Postgres() as server:
            assert await server.healthy()
            assert psutil.Process(server.pid).exe().startswith(str(server.folder))


async def test_postgres_keeps_its_data_over_a_restart() -> None:
    """A database survives a restart, at the same URL."""
    async with Postgres() as server:
        url = await server.create_database("kept")
        await server.restart()
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        await connection.close()
