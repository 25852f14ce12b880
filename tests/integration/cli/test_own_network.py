"""Founding a bridge on chains of one's own, with nothing but commands: what docs/operators.md describes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from cli.exits import ExitCode
from cli.node_folder import PublicIdentity
from foundation.quantities import Wei
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from infra.ports import free_port
from infra.processes import Process
from tests.support.command import Causeway

OWNER = "4f" * 32
ETHER = 10**18


@pytest.fixture
async def network_file(fresh_bitcoind: Bitcoind, fresh_anvil: Anvil, tmp_path: Path) -> AsyncIterator[Path]:
    """A network file for two chains that know nothing of a bridge; owner.key lies beside it."""
    await fresh_bitcoind.mine(101)
    file = tmp_path / "network.toml"
    bitcoin = f'url = "{fresh_bitcoind.url}"\nuser = "{fresh_bitcoind.user}"\npassword = "{fresh_bitcoind.password}"'
    file.write_text(f'[bitcoin]\nnetwork = "regtest"\n{bitcoin}\n\n[native]\nurl = "{fresh_anvil.url}"\n')
    (tmp_path / "owner.key").write_text(f"0x{OWNER}\n")
    return file


def _argv(folder: Path) -> list[str]:
    import sys

    return [sys.executable, "-m", "cli.main", "node", "run", str(folder)]


async def test_a_bridge_is_founded_with_commands_alone(network_file: Path, fresh_anvil: Anvil, tmp_path: Path) -> None:
    """deploy, init, admit, join, group create --wait: at the end a group of separate processes has its key."""
    from adapters.native.eip712 import account_of_secret

    causeway = Causeway(tmp_path / "home", {"CAUSEWAY_NETWORK": str(network_file), "CAUSEWAY_PASSWORD": "secret"})
    await fresh_anvil.faucet("0x" + account_of_secret(bytes.fromhex(OWNER)).hex(), Wei(100 * ETHER))
    owner = ("--account-key", tmp_path / "owner.key")

    causeway.run("node", "init", tmp_path / "x", "--role", "voucher", "--name", "x", "--listen", "tcp://127.0.0.1:1",
                 status=ExitCode.BAD_INPUT)  # there is no deployment yet  # fmt: skip
    founded = causeway.json("deploy", *owner)
    assert founded["newly_registered"] is True
    assert causeway.json("deploy", *owner)["newly_registered"] is False

    folders = {}
    for name, role in (("s-1", "storeman"), ("s-2", "storeman"), ("s-3", "storeman"), ("v-1", "voucher")):
        folders[name] = tmp_path / name
        listen = f"tcp://127.0.0.1:{free_port()}"
        causeway.run("node", "init", folders[name], "--role", role, "--name", name, "--listen", listen)
        account = "0x" + PublicIdentity.load(folders[name]).member.account.hex()
        await fresh_anvil.faucet(account, Wei(10 * ETHER))

    early = causeway.run("voucher", "join", folders["v-1"], status=ExitCode.REFUSED)
    assert "causeway voucher admit" in early.stderr
    assert causeway.json("voucher", "admit", folders["v-1"] / "identity.json", *owner)["new"] is True
    assert causeway.json("voucher", "join", folders["v-1"], "--stake", "2")["stake_wei"] == 2 * ETHER
    assert [v["weight_wei"] for v in causeway.json("voucher", "list")["vouchers"]] == [str(2 * ETHER)]

    members = ",".join(str(folders[name] / "identity.json") for name in ("s-1", "s-2", "s-3"))
    async with AsyncExitStack() as stack:
        for folder in folders.values():
            env = {"CAUSEWAY_PASSWORD": "secret"}
            await stack.enter_async_context(Process(folder.name, _argv(folder), log=folder / "node.log", env=env))
        group = causeway.json("group", "create", "--members", members, "--threshold", "2", *owner, "--wait")
    assert (group["status"], group["serves"]) == ("active", True)
    assert causeway.json("group", "show", group["id"][:10])["vault_address"] == group["vault_address"]

    exported = causeway.json("node", "export", folders["s-1"])
    assert exported["groups"] == [group["id"]]
    causeway.run("node", "recover", folders["s-1"], exported["file"])


async def test_only_the_owner_proposes_and_admits(network_file: Path, fresh_anvil: Anvil, tmp_path: Path) -> None:
    """A stranger's admission is refused by the contract, with the reason and what to do."""
    from adapters.native.eip712 import account_of_secret

    causeway = Causeway(tmp_path / "home", {"CAUSEWAY_NETWORK": str(network_file)})
    stranger = "5a" * 32
    (tmp_path / "stranger.key").write_text(stranger)
    for secret in (OWNER, stranger):
        await fresh_anvil.faucet("0x" + account_of_secret(bytes.fromhex(secret)).hex(), Wei(ETHER))
    causeway.run("deploy", "--account-key", tmp_path / "owner.key")
    key = ("--account-key", tmp_path / "stranger.key")
    refused = causeway.run("voucher", "admit", "0x" + "ab" * 20, *key, status=ExitCode.REFUSED)
    assert "caller is not the owner" in refused.stderr
    assert "cure: sign with the key that deployed the contracts" in refused.stderr
