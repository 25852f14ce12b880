"""A development network with an EVM origin chain: registered by one command, followed by every node, and used."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from adapters.evm.lockbox.bindings import Token
from adapters.evm.lockbox.calls import LockboxCalls
from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.evm.sender import TxSender
from adapters.evm.types import Call
from adapters.native.chain import NativeChain
from adapters.native.eip712 import account_of_secret
from cli.context import open_native, open_sender
from cli.dev.network import DevNetwork
from cli.dev.origin import DevOrigin
from cli.exits import ExitCode
from foundation.quantities import TokenUnits, Wei
from infra.anvil import Anvil
from registry.caip import ChainId, erc20, evm_coin
from registry.chains import Vault
from tests.support.bridge_network import eventually
from tests.support.command import Causeway, InProcess

NUMBER = 4_242
CHAIN = ChainId("eip155", str(NUMBER))
ETH = evm_coin(CHAIN)
ETHER = 10**18
FEE = 1_000
"""Ten basis points are a thousandth."""


@pytest.fixture(scope="module")
def causeway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Causeway]:
    """The command, with a network that runs and has an EVM chain; taken down at the end."""
    home = tmp_path_factory.mktemp("home")
    command = Causeway(home, {})
    size = ("--storemen", "3", "--threshold", "2", "--vouchers", "2", "--evm-chain", str(NUMBER))
    try:
        command.run("dev", "up", *size)
        yield InProcess(home, {})
    finally:
        command.run("dev", "down")


@dataclass
class Scene:
    """The network from inside this process. Fields: network; origin; native; vault; alice (on the EVM chain)."""

    network: DevNetwork
    origin: DevOrigin
    native: NativeChain
    vault: Vault
    alice: TxSender

    @property
    def calls(self) -> LockboxCalls:
        """Of the vault."""
        return LockboxCalls(self.vault.lockbox)

    def account(self, person: str) -> bytes:
        return account_of_secret(self.origin.secret_of(person))

    async def minted(self, asset: bytes, holder: bytes, beyond: int = 0) -> int:
        """The mapping tokens of an account, once it has more than `beyond`."""

        async def look() -> int | None:
            token = await self.native.token_of(asset, "latest")
            units = 0 if token is None else await self.native.token_balance(token, holder)
            return units if units > beyond else None

        return await eventually(look, "the tokens are minted")


@pytest.fixture
async def scene(causeway: Causeway) -> AsyncIterator[Scene]:
    """What tests need to act on both chains."""
    async with _scene(causeway.home / "dev") as found:
        yield found


@asynccontextmanager
async def _scene(folder: Path) -> AsyncIterator[Scene]:
    network = DevNetwork.at(folder)
    origin = network.origin
    assert origin is not None
    async with open_native(network.network()) as native, origin.sender(origin.secret_of("alice")) as alice:
        vault = await native.vault(CHAIN.id, "latest")
        assert vault is not None
        yield Scene(network, origin, native, vault, alice)


def test_the_chain_is_registered_with_its_vault_and_its_coin(causeway: Causeway) -> None:
    """`chain show` and `asset show` find it by text and by id, with a group of the same storemen, open for tokens."""
    chain = causeway.json("chain", "show", str(CHAIN))
    assert causeway.json("chain", "show", chain["id"][:10])["id"] == chain["id"] == CHAIN.id.hex()
    assert (chain["kind"], chain["finality"], chain["open"]) == ("evm", "finalized", True)
    vault, group = chain["vault"], causeway.json("group", "show")
    assert (vault["key"], vault["epoch"], vault["paused_until"]) == (chain["group"]["key"], 0, None)
    assert (chain["group"]["members"], chain["group"]["threshold"]) == (len(group["members"]), group["threshold"])
    assert chain["group"]["id"] != group["id"]
    assert [c["caip2"] for c in causeway.json("chain", "list")["chains"]][1] == str(CHAIN)
    asset = causeway.json("asset", "show", "ETH")
    assert (asset["caip19"], asset["policy"]["fee_bps"]) == (str(ETH), 10)
    listed = causeway.run("chain", "list").stdout
    assert str(CHAIN) in listed
    assert vault["address"][:4] in listed  # the last column is cut to the terminal


def test_every_node_follows_it(causeway: Causeway) -> None:
    """`node status` shows the chain as ok, with its endpoint, for storemen and vouchers."""

    async def follows(name: str) -> bool:
        status = await asyncio.to_thread(causeway.json, "node", "status", causeway.home / "dev" / name)
        return [(one["chain"], one["state"]) for one in status["status"]["evm"]] == [(str(CHAIN), "ok")]

    for node in ("storeman-1", "voucher-2"):
        asyncio.run(eventually(partial(follows, node), f"{node} follows"))
    processes = causeway.json("dev", "status")["chains"]
    assert [p["name"] for p in processes if p["up"]] == ["bitcoind", "anvil", "ethereum"]


async def test_ether_that_is_locked_becomes_tokens_and_goes_back(scene: Scene) -> None:
    """Alice locks 1 ETH for Bob, who gets it as cwETH but for the service fee, and withdraws half of it to Chris."""
    bob, chris = scene.account("bob"), secrets.token_bytes(20)
    await scene.alice.send(scene.calls.lock(NATIVE_COIN, TokenUnits(ETHER), bob), "lock")
    assert await scene.minted(ETH.id, bob) == ETHER - ETHER // FEE
    token = await scene.native.token_of(ETH.id, "latest")
    assert token is not None
    assert (await scene.native.token_info(token, "latest")).symbol == "cwETH"

    half, relay_fee = TokenUnits(ETHER // 2), TokenUnits(10**15)
    network, calls = scene.network.network(), scene.native.calls
    async with open_sender(network, scene.native, scene.origin.secret_of("bob")) as sender:
        await sender.send(calls.approve(token, half), "approve")
        await sender.send(calls.withdraw(ETH.id, half, relay_fee, chris), "withdraw")

    async def paid() -> int | None:
        return int(str(await scene.origin.anvil.rpc.call("eth_getBalance", "0x" + chris.hex(), "latest")), 16)

    assert await eventually(paid, "the vault pays") == half - half // FEE - relay_fee


async def test_a_token_that_nobody_knows_is_introduced(causeway: Causeway, scene: Scene) -> None:
    """`dev token` deploys an ERC-20; its first deposit makes vouchers register it, and its mapping token is made."""
    made = await asyncio.to_thread(
        causeway.json, "dev", "token", "Trout Dollar", "TRD", "--to", "alice", "--amount", "1000", "--decimals", "6"
    )
    token, units = bytes.fromhex(made["token"][2:]), TokenUnits(250 * 10**6)
    await scene.alice.send(Call(token, Token.approve.encode(scene.vault.lockbox, units), "approve"), "approve token")
    await scene.alice.send(scene.calls.lock(token, units, scene.account("bob")), "lock token")
    asset = erc20(CHAIN, token)
    assert str(asset) == made["asset"]
    assert await scene.minted(asset.id, scene.account("bob")) == units - units // FEE
    shown = await asyncio.to_thread(causeway.json, "asset", "show", "TRD")
    assert (shown["caip19"], shown["name"], shown["decimals"]) == (str(asset), "Trout Dollar", 6)
    by_token = await asyncio.to_thread(causeway.json, "asset", "show", shown["token"])
    assert by_token["id"] == shown["id"]


def test_registering_it_again_does_nothing_and_writes_the_block(causeway: Causeway) -> None:
    """The command itself, on a chain that is registered: nothing more is done; a configuration that lacks the block
    gets it. Endpoints of another chain are refused."""
    dev = causeway.home / "dev"
    key = ("--account-key", dev / "owner.key")
    config = dev / "voucher-1" / "config.toml"
    text = config.read_text()
    config.write_text(text[: text.index("[[evm]]")])
    done = causeway.json(
        "chain", "register", str(CHAIN), *key, "--write", config, "--write", dev / "voucher-2/config.toml"
    )
    assert (done["done"], done["written"]) == ([], [str(config)])
    assert done["toml"] in config.read_text()
    config.write_text(text)
    native = causeway.json("dev", "up")["native"]
    refused = causeway.run("chain", "register", str(CHAIN), "--rpc", native, *key, status=ExitCode.REFUSED)
    assert "chain id is 31337, not 4242" in refused.stderr


async def test_a_registration_that_is_killed_is_finished_by_the_same_command(causeway: Causeway, scene: Scene) -> None:
    """One more chain with one command, with the storemen of bitcoin. It is killed once the vault is on its way; given
    again it deploys no second one: the owner's account has sent a single transaction there."""
    owner = "0x" + account_of_secret(scene.network.owner_secret).hex()
    async with Anvil(causeway.home / "another", chain_id=NUMBER + 1) as another:
        command = ["chain", "register", f"eip155:{NUMBER + 1}", "--rpc", another.url, "--finality", "depth:3"]
        command += ["--coin", "POL", "--coin-name", "Polygon", "--coin-type", "966"]
        command += ["--account-key", str(scene.network.owner_key)]
        poor = await asyncio.to_thread(causeway.run, *command, status=ExitCode.NOT_YET)
        assert f"cure: send {owner} some of the coin" in poor.stderr
        await another.faucet(owner, Wei(ETHER))

        env = {**os.environ, "CAUSEWAY_HOME": str(causeway.home)}
        killed = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli.main", *command, env=env, stderr=asyncio.subprocess.PIPE
        )
        assert killed.stderr is not None
        async for line in killed.stderr:
            if b"the vault is deployed in block" in line:
                break
        killed.kill()
        await killed.wait()

        done = await asyncio.to_thread(causeway.json, *command)
        assert await another.rpc.call("eth_getTransactionCount", owner, "latest") == "0x1"
        assert [step.split(" 0x")[0] for step in done["done"]] == ["deployed the vault", "registered vault"]
        shown = await asyncio.to_thread(causeway.json, "chain", "show", f"eip155:{NUMBER + 1}", "--rpc", another.url)
        assert shown["vault"]["address"] == done["vault"]["address"]
        assert (shown["finality"], shown["open"], shown["vault"]["key"]) == ("depth:3", False, done["group"]["key"])
        assert (await asyncio.to_thread(causeway.json, "asset", "show", "POL"))["caip19"].endswith("/slip44:966")


def test_a_policy_is_changed_by_its_owner_alone(causeway: Causeway) -> None:
    """What is named changes, the rest stays; who does not own the contracts is refused."""
    dev = causeway.home / "dev"
    before = causeway.json("asset", "show", str(ETH))["policy"]
    causeway.run("asset", "policy", "cwETH", "--pause", "--deposit-limit", "500", "--account-key", dev / "owner.key")
    after = causeway.json("asset", "show", "cwETH")["policy"]
    assert after == {**before, "paused": True, "deposit_limit_units": str(500 * ETHER)}
    assert "PAUSED" in causeway.run("asset", "list").stdout
    causeway.run("asset", "policy", "ETH", "--resume", "--deposit-limit", "0", "--account-key", dev / "owner.key")
    assert causeway.json("asset", "show", "ETH")["policy"] == before
    stranger = ("--account-key", dev / "people" / "bob.key")
    refused = causeway.run("asset", "policy", "ETH", "--pause", *stranger, status=ExitCode.REFUSED)
    assert "not the owner" in refused.stderr
