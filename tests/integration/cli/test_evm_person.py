"""People with an EVM chain: lock, withdraw, carry, claim and bond, by the command line, against real contracts.

One node is both chains: what stands for a node of the bridge (vouchers, storemen, the group) is its keys alone.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.evm.endpoints import Endpoints
from adapters.evm.lockbox.messages import proof as release_proof
from adapters.evm.lockbox.vault import LockboxVault
from adapters.evm.types import Call
from adapters.native.eip712 import account_of_secret, sign_digest
from adapters.native.events import PayoutReserved
from adapters.native.proofs import Proof
from adapters.native.types import DepositClaim, Reservation
from cli.context import NetworkFile
from cli.exits import ExitCode
from cli.lock_receipt import LockReceipt
from cli.main import app
from cli.relaying import payment_of
from cli.reserves_vaults import counted_vaults
from contracts import artifacts
from foundation.quantities import BlockHeight, TokenUnits
from infra.anvil import Anvil
from registry.assets import Asset, AssetPolicy
from registry.caip import erc20, evm_chain, evm_coin
from registry.chains import Chain, Vault
from tests.support.native_bridge import ETHER, GROUP_KEY, NativeBridge, native_bridge

pytestmark = pytest.mark.integration

KEY = GROUP_KEY.public_key.format()[1:]
USER, PAYEE, CARRIER = (bytes([0x51 + place]) * 32 for place in range(3))
TERMS = AssetPolicy(
    TokenUnits(1_000), TokenUnits(0), TokenUnits(1_000), fee_bps=100, withdrawal_limit=TokenUnits(50 * ETHER)
)
COIN_ZERO = bytes(20)
REFUSING = "0x60006000fd"
"""Code that takes no coin."""


@dataclass
class World:
    """A bridge, its vault, and a person's files. `files`: key files by secret."""

    bridge: NativeBridge
    node: Anvil
    chain: Chain
    coin: Asset
    group: bytes
    lockbox: bytes
    env: dict[str, str]
    folder: Path

    def key(self, secret: bytes) -> Path:
        """A key file."""
        path = self.folder / f"{secret[:2].hex()}.key"
        path.write_text(secret.hex())
        return path

    def run(self, *arguments: object, key: bytes | None = None, status: int = 0) -> Any:
        """What a command prints as JSON, of its error where it fails. In a thread: a command has a loop of its own."""
        signed = [] if key is None else ["--account-key", self.key(key)]
        command = [str(argument) for argument in (*arguments, *signed, "--json")]
        with ThreadPoolExecutor(1) as thread:
            done = thread.submit(CliRunner().invoke, app, command, env=self.env).result()
        assert done.exit_code == status, f"{command}: status {done.exit_code}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout) if status == 0 else json.loads(done.stderr[done.stderr.index("{\n") :])["error"]

    async def mint(self, receipt: LockReceipt) -> None:
        """What the vouchers do with a lock."""
        calls, digests = self.bridge.chain.calls, self.bridge.chain.hub_digests
        claim = DepositClaim(receipt.asset.id, receipt.lock, 0, receipt.amount, receipt.recipient, self.group)
        digest = digests.deposit_attestation(
            claim.asset, claim.txid, claim.vout, claim.amount, claim.recipient, claim.group
        )
        await self.bridge.send(calls.mint(claim, self.bridge.signed(digest, self.bridge.vouchers)))

    async def reserve(self, withdrawal: bytes) -> bytes:
        """What the storemen do with a request; the payout's id."""
        chain = self.bridge.chain
        digest = chain.hub_digests.payout_reservation(self.group, self.coin.id, (withdrawal,), [])
        signatures = self.bridge.signed(digest, self.bridge.storemen[:2])
        reservation = Reservation(self.group, self.coin.id, (withdrawal,), ())
        (reserved,) = await self.bridge.events_of(chain.calls.reserve(reservation, signatures))
        assert isinstance(reserved, PayoutReserved)
        return reserved.id

    async def publish(self, payout: bytes, withdrawal: bytes) -> None:
        """What the group does with a payout; somebody publishes nonsense before."""
        chain = self.bridge.chain
        await self.bridge.send(chain.calls.publish_release(payout, 0, Proof(b"\x01" * 32, b"\x02" * 32, b"\x03" * 32)))
        record = await chain.withdrawal(withdrawal, "latest")
        assert record is not None
        async with Endpoints.at([self.node.url], self.chain) as endpoints:
            reader = LockboxVault(endpoints, self.lockbox)
            message = (await reader.messages(BlockHeight(await self.node.height()))).release(
                [payment_of(record, COIN_ZERO)]
            )
        signed = release_proof(GROUP_KEY.sign_schnorr(message), KEY, message)
        await self.bridge.send(chain.calls.publish_release(payout, 0, signed))

    async def settle(self, payout: bytes, transaction: bytes, fee: int) -> None:
        """What the vouchers do with a payment."""
        chain = self.bridge.chain
        digest = chain.hub_digests.payout_settlement(payout, transaction, fee)
        signatures = self.bridge.signed(digest, self.bridge.vouchers)
        await self.bridge.send(chain.calls.settle(payout, transaction, TokenUnits(fee), signatures))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A bridge on a node of its own, with a vault on the same node, and a network file."""
    async with Anvil(tmp_path / "anvil", block_seconds=100_000) as node, native_bridge(node) as bridge:
        await bridge.set_up()
        calls, caip2 = bridge.chain.calls, evm_chain(node.chain_id)
        chain = Chain.named(caip2, bridge.chain.deployment.genesis, 1)
        await bridge.send(calls.register_chain(chain))
        group = await bridge.found_group(chain.id)
        arguments = KEY + bytes(32) + (3_600).to_bytes(32, "big")
        deployed = await bridge.send(Call(None, artifacts.load("Lockbox").bytecode + arguments, "deploy Lockbox"))
        lockbox = deployed.receipt.contract
        assert lockbox is not None
        await bridge.send(calls.register_vault(chain.id, Vault(lockbox, deployed.receipt.block.number, group)))
        coin = Asset.named(evm_coin(caip2), "Ether", "ETH", 18, TERMS)
        await bridge.send(calls.register_asset(coin))
        for secret in (USER, PAYEE, CARRIER):
            await bridge.account(secret)
        bridge.chain.deployment.save(tmp_path / "deployment.json")
        (tmp_path / "network.toml").write_text(
            '[bitcoin]\nnetwork = "regtest"\nurl = "http://127.0.0.1:1"\nuser = "u"\npassword = "p"\n'
            f'[native]\nurl = "{node.url}"\n[[evm]]\nchain = "{caip2}"\nurls = ["{node.url}"]\n'
        )
        env = {"CAUSEWAY_NETWORK": str(tmp_path / "network.toml"), "CAUSEWAY_HOME": str(tmp_path / "home")}
        yield World(bridge, node, chain, coin, group, lockbox, env, tmp_path)


async def _locked(world: World, asset: str, amount: str, *more: object) -> LockReceipt:
    path = world.folder / f"lock-{asset[-4:]}.json"
    user = "0x" + account_of_secret(USER).hex()
    world.run("lock", asset, amount, "--recipient", user, "--receipt", path, *more, key=USER)
    return LockReceipt.read(path)


async def _withdrawn(world: World, amount: str, to: bytes) -> bytes:
    await world.bridge.finality()
    to_ = f"{world.chain.caip2}:0x{to.hex()}"
    return bytes.fromhex(world.run("withdraw", amount, "--to", to_, "--relay-fee", "0.01", key=USER)["id"])


async def test_coin_goes_over_and_back(world: World) -> None:
    """Coin is locked and minted; a part is withdrawn, signed, and carried by a stranger, who earns its fee."""
    world.run("lock", "ETH", "0.0000000000000001", "--recipient", "0x" + "11" * 20, key=USER, status=ExitCode.BAD_INPUT)
    receipt = await _locked(world, "ETH", "5")
    path = world.folder / "lock-ETH.json"
    assert receipt.amount == 5 * ETHER
    assert world.run("lock", "status", path)["stage"] == "final"
    await world.mint(receipt)
    minted = world.run("lock", "status", path)
    assert (minted["stage"], minted["minted"], minted["fees"]) == ("minted", str(495 * ETHER // 100), str(ETHER // 20))

    id_ = await _withdrawn(world, "2", account_of_secret(PAYEE))
    assert world.run("withdraw", "status", id_.hex()[:10])["stage"] == "requested"
    world.run("withdraw", "raise-fee", id_.hex(), "--relay-fee", "0.02", key=USER)
    payout = await world.reserve(id_)
    named = ("--chain", world.chain.caip2)
    (left,) = world.run("relay", "--all", *named, "--dry-run")
    assert (left["result"], "signature" in left["why"]) == ("left", True)
    world.run("withdraw", "raise-fee", id_.hex(), "--relay-fee", "0.03", key=USER, status=ExitCode.REFUSED)
    await world.publish(payout, id_)
    assert world.run("withdraw", "status", id_.hex())["stage"] == "signed"
    (tried,) = world.run("relay", id_.hex()[:12], *named, "--dry-run")
    assert (tried["fee"], tried["result"]) == (str(ETHER // 50), "dry run")
    assert 0 < int(tried["profit_wei"]) < ETHER // 50
    (left,) = world.run("relay", "--all", *named, "--min-profit", "1", key=CARRIER)
    assert left["result"] == "left"
    (carried,) = world.run("relay", payout.hex()[:12], *named, key=CARRIER)
    assert [one["outcome"] for one in carried["payments"]] == ["released"]
    assert await world.bridge.chain.balance(account_of_secret(PAYEE)) == 10 * ETHER + 196 * ETHER // 100
    (again,) = world.run("relay", "--all", *named, key=CARRIER)
    assert again["result"] == "nothing to carry"
    assert world.run("withdraw", "status", id_.hex())["stage"] == "released"
    await world.settle(payout, bytes.fromhex(carried["transaction"][2:]), ETHER // 50)
    assert world.run("withdraw", "status", id_.hex())["stage"] == "settled"
    assert world.run("relay", "--all", *named, key=CARRIER) == []
    await world.bridge.finality()
    (vault,) = (await counted_vaults(None, NetworkFile.load(world.folder / "network.toml"))).newest
    assert vault.covered
    assert vault.held == vault.balance == 302 * ETHER // 100


async def test_a_refused_payment_is_claimed_by_its_payee(world: World) -> None:
    """A payee that takes no coin keeps nobody back: it is told that it failed, and its key takes it elsewhere."""
    await world.mint(await _locked(world, "ETH", "5"))
    payee = account_of_secret(PAYEE)
    id_ = await _withdrawn(world, "1", payee)
    payout = await world.reserve(id_)
    await world.publish(payout, id_)
    await world.node.rpc.call("anvil_setCode", "0x" + payee.hex(), REFUSING)
    named = ("--chain", world.chain.caip2)
    (carried,) = world.run("relay", "--all", *named, key=CARRIER)
    (one,) = carried["payments"]
    assert one["outcome"] == "failed"
    assert f"causeway relay claim {one['number']}" in one["detail"]
    state = world.run("withdraw", "status", id_.hex())
    assert (state["stage"], "relay claim" in state["next"]) == ("failed", True)
    await world.node.rpc.call("anvil_setCode", "0x" + payee.hex(), "0x")
    world.run("relay", "claim", one["number"], *named, "--to", "0x" + "99" * 20, key=USER, status=ExitCode.BAD_INPUT)
    world.run("relay", "claim", one["number"], *named, "--to", "0x" + "99" * 20, key=PAYEE)
    assert await world.bridge.chain.balance(b"\x99" * 20) == 98 * ETHER // 100
    world.run("relay", "claim", one["number"], *named, key=PAYEE, status=ExitCode.NOT_FOUND)
    world.run("relay", "claim-fee", "ETH", key=CARRIER, status=ExitCode.REFUSED)


async def test_a_token_that_nobody_knows_is_locked_with_a_permit_or_an_approval(world: World) -> None:
    """Where the chain is open a strange token is taken by its CAIP-19 name; where it is closed, it is not found."""
    await world.mint(await _locked(world, "ETH", "5"))
    token = await world.bridge.chain.token_of(world.coin.id, "latest")
    assert token is not None
    name = str(erc20(world.chain.chain_id, token))
    user = ("--recipient", "0x" + account_of_secret(USER).hex())
    world.run("lock", name, "1", *user, key=USER, status=ExitCode.NOT_FOUND)
    policy = world.bridge.chain.calls.set_chain_policy(world.chain.id, TERMS, is_open=True)
    await world.bridge.send(policy)
    for number, how in ((2, "--permit"), (3, "--no-permit")):
        receipt = world.folder / f"{number}.json"
        locked = world.run("lock", name, "1.5", *user, how, "--receipt", receipt, key=USER)
        assert (locked["number"], locked["amount"]) == (number, str(3 * ETHER // 2))
    assert world.run("lock", "status", world.folder / "2.json")["next"].startswith("wait: the vouchers introduce")
    error = world.run("lock", name, "100", *user, key=USER, status=ExitCode.BAD_INPUT)
    assert error["fields"]["field"] == "AMOUNT"
    error = world.run("lock", "ETH", "1", *user, "--permit", key=USER, status=ExitCode.BAD_INPUT)
    assert error["fields"]["field"] == "--permit"


async def test_a_false_chain_gets_nothing(world: World, tmp_path: Path) -> None:
    """A node of another chain, or of one with the same number and another first block, is found out before a lock."""
    user = ("--recipient", "0x" + account_of_secret(USER).hex())
    async with Anvil(tmp_path / "other", chain_id=world.node.chain_id + 1) as other:
        error = world.run("lock", "ETH", "1", *user, "--rpc", other.url, key=USER, status=ExitCode.REFUSED)
    assert error["type"] == "WrongChain"
    async with Anvil(tmp_path / "fork", chain_id=world.node.chain_id) as other:
        error = world.run("lock", "ETH", "1", *user, "--rpc", other.url, key=USER, status=ExitCode.REFUSED)
    assert error["type"] in ("WrongChain", "NotOurLockbox")


async def test_bonds_are_given_taken_back_and_slashed(world: World) -> None:
    """A delegator bonds, sees it, takes a part out after its time; two conflicting statements slash a voucher."""
    first = account_of_secret(world.bridge.vouchers[0])
    bonded = world.run("bond", "delegate", "voucher-1", "3", key=USER)
    assert bonded["operator"] == "0x" + first.hex()
    shown = world.run("bond", "show", "0x" + account_of_secret(USER).hex())
    assert shown["operators"][0]["delegated_wei"] == str(3 * ETHER)
    assert [p["worth_wei"] for p in shown["positions"]] == [str(3 * ETHER)]
    world.run("bond", "unbond", bonded["position"], "4", key=USER, status=ExitCode.BAD_INPUT)
    left = world.run("bond", "unbond", bonded["position"], "1", key=USER)
    early = world.run("bond", "withdraw", key=USER, status=ExitCode.NOT_YET)
    assert "causeway bond withdraw" in early["cure"]
    await world.bridge.pass_time(1_001)
    (paid,) = world.run("bond", "withdraw", key=USER)
    assert (paid["unbonding"], paid["amount_wei"]) == (left["unbonding"], str(ETHER))
    assert world.run("bond", "claim", key=USER) == []
    world.run("bond", "deposit", "1", key=USER, status=ExitCode.BAD_INPUT)
    report = world.folder / "conflict.json"
    report.write_text(json.dumps(_conflict(world, world.bridge.vouchers[0], fees=(1, 2))))
    slashed = world.run("bond", "report", report, key=CARRIER)
    assert slashed["voucher"] == "0x" + first.hex()
    assert int(slashed["reward_wei"]) * 10 == int(slashed["cut_wei"]) == 3 * ETHER // 2
    again = world.run("bond", "report", report, key=CARRIER, status=ExitCode.REFUSED)
    assert again["type"] == "AlreadySlashed"
    world.run("bond", "delegate", "0x" + first.hex(), "1", key=USER, status=ExitCode.BAD_INPUT)


def _conflict(world: World, secret: bytes, fees: tuple[int, int]) -> dict[str, Any]:
    """Two settlements of one payout."""
    statements = []
    for fee in fees:
        digest = world.bridge.chain.hub_digests.payout_settlement(b"\x01" * 32, b"\x02" * 32, fee)
        message = {"payout": "0x" + "01" * 32, "txid": "0x" + "02" * 32, "fee": str(fee)}
        signature = "0x" + sign_digest(secret, digest).hex()
        statements.append({"kind": "PayoutSettlement", "message": message, "signature": signature})
    return {"first": statements[0], "second": statements[1]}
