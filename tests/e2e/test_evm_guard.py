"""Vouchers watch the vaults: what is not backed is halted, a vote delays, and who says two things loses its voice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.native.eip712 import sign_digest
from adapters.native.errors import AssetHalted
from adapters.native.types import DepositStatus, WithdrawalStatus
from bridge.deposits import Stage
from bridge.storage import IncidentKind
from cli.context import NetworkFile
from cli.voucher_votes import vote_halt, vote_resume
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from tests.support.bridge_network import ETHER, BridgeNode, eventually
from tests.support.evm_life import EvmLife, evm_life
from tests.support.evm_network import FEE_BPS, NETWORK_FILE, OriginAnvil, key_file, people
from tests.support.evm_origin import Deposited, send

pytestmark = pytest.mark.asyncio(loop_scope="session")
RELAY_FEE = ETHER // 1000


@pytest.fixture(scope="module")
async def life(
    tmp_path_factory: pytest.TempPathFactory, _shared_bitcoind: Bitcoind, _shared_anvil: Anvil
) -> AsyncIterator[EvmLife]:
    """A small bridge that serves one EVM chain."""
    root = tmp_path_factory.mktemp("evm-guard")
    async with (
        OriginAnvil(root / "origin") as origin,
        evm_life(root / "net", _shared_bitcoind, _shared_anvil, [origin]) as life,
    ):
        yield life


async def test_a_halt_by_vote_only_delays(life: EvmLife) -> None:
    """Two of four vouchers halt; a lock waits and new withdrawals are refused; three end it, and the lock is minted."""
    chain, net = life.chain, life.net
    alice, bob = await chain.account("alice"), await net.account("bob")
    await life.held(chain, alice, 4 * ETHER, bob.account)
    await _command(life, net.vouchers[0], "halt", "ETH", "--hours", 1)
    network = NetworkFile.load(net.folder / NETWORK_FILE)
    await vote_halt(net.vouchers[1].settings.folder, network, "ETH", 1)  # what the command does, without its start
    await _halted(life, True)
    late = await chain.lock(alice, 2 * ETHER, bob.account)
    await life.becomes(late, Stage.FINAL)
    with pytest.raises(AssetHalted):
        await life.to_chain(bob, chain.asset(), ETHER, b"\x61" * 20, RELAY_FEE)
    assert await net.native.deposit_status(late.id, "latest") is DepositStatus.UNKNOWN
    await _resume(life)
    await life.becomes(late, Stage.HELD)
    withdrawal = await life.to_chain(bob, chain.asset(), ETHER, b"\x61" * 20, RELAY_FEE)
    await life.settled(withdrawal)
    assert await chain.balance(b"\x61" * 20) == ETHER - ETHER * FEE_BPS // 10_000 - RELAY_FEE
    await life.no_alarm()


async def _command(life: EvmLife, node: BridgeNode, *words: object) -> Any:
    """What an operator gives as a command."""
    return await asyncio.to_thread(people(life.net).json, "voucher", *words, "--node", node.settings.folder)


async def _resume(life: EvmLife) -> None:
    """Three of four vouchers end the halt."""
    net = life.net
    await _command(life, net.vouchers[0], "resume", "ETH")
    network = NetworkFile.load(net.folder / NETWORK_FILE)
    for node in net.vouchers[1:3]:
        await vote_resume(node.settings.folder, network, "ETH")
    await _halted(life, False)


async def _halted(life: EvmLife, wanted: bool) -> None:
    async def there() -> bool:
        return bool(await life.net.native.halted_until(life.chain.asset())) is wanted

    await eventually(there, f"the asset is {'' if wanted else 'not '}halted")


async def test_a_drained_vault_halts_its_asset(life: EvmLife) -> None:
    """Coin vanishes behind the bridge: all vouchers raise the alarm, mints stop, and who asked back can cancel."""
    chain, net = life.chain, life.net
    alice, bob = await chain.account("alice"), await net.account("bob")
    await life.held(chain, alice, 5 * ETHER, bob.account)
    await asyncio.gather(*(node.stop() for node in net.storemen))  # so that nothing is reserved
    tokens = await life.tokens(chain.asset(), bob.account)
    asked = await life.to_chain(bob, chain.asset(), ETHER, b"\x62" * 20, RELAY_FEE)
    held = await chain.held()
    await chain.set_balance(chain.vault.lockbox, held - 2 * ETHER)
    await _halted(life, True)
    for node in net.vouchers:
        await _alarmed(node)
    late = await chain.lock(alice, ETHER, bob.account)
    await life.becomes(late, Stage.FINAL)
    await send(bob, net.native.calls.cancel(asked))
    record = await net.native.withdrawal(asked, "latest")
    assert record is not None
    assert record.status is WithdrawalStatus.CANCELLED
    assert await life.tokens(chain.asset(), bob.account) == tokens, "amount and fee came back"
    assert await net.native.deposit_status(late.id, "latest") is DepositStatus.UNKNOWN

    await chain.set_balance(chain.vault.lockbox, held + ETHER)
    await _seen(life, await chain.height() + 1)
    await asyncio.gather(*(node.start() for node in net.storemen))
    await _resume(life)
    await life.becomes(late, Stage.HELD)
    assert not await life.shortage()


async def _seen(life: EvmLife, height: int) -> None:
    """Wait until all vouchers have read the chain so far."""
    for node in life.net.vouchers:

        async def there(node: BridgeNode = node) -> bool:
            (found,) = (await life.status(node))["evm"]
            return found["block"] is not None and found["block"] >= height

        await eventually(there, f"{node.name} is at block {height}")


async def _alarmed(node: BridgeNode) -> None:
    async def told() -> bool:
        async with node.view() as view:
            found = await view.incidents.latest(kind=IncidentKind.ALARM)
        return any(row.error == "NotBacked" for row in found)

    await eventually(told, f"{node.name} raises the alarm")


async def test_who_attests_two_things_is_reported_by_a_stranger_and_has_no_weight(life: EvmLife) -> None:
    """`causeway bond report` cuts the bond and pays the stranger; the next deposit is minted by the others."""
    chain, net = life.chain, life.net
    alice, bob, stranger = await chain.account("alice"), await net.account("bob"), await net.account("stranger")
    deposited = await life.held(chain, alice, ETHER, bob.account)
    liar = net.vouchers[3]
    before = await net.native.vouchers("latest")
    assert before.weight_of(liar.member.account) > 0
    file = net.folder / "conflict.json"
    statements = [_statement(life, liar, deposited, amount) for amount in (deposited.amount, 10 * deposited.amount)]
    file.write_text(json.dumps(dict(zip(("first", "second"), statements, strict=True))))
    had = await net.native.balance(stranger.account)
    arguments = ("bond", "report", file, "--account-key", key_file(net, "stranger"))
    report = await asyncio.to_thread(people(net).json, *arguments)
    assert report["voucher"] == "0x" + liar.member.account.hex()
    after = await net.native.vouchers("latest")
    assert after.weight_of(liar.member.account) == 0
    assert after.total_weight == before.total_weight - before.weight_of(liar.member.account)
    assert int(report["cut_wei"]) == before.weight_of(liar.member.account) // 2
    assert await net.native.balance(stranger.account) > had, "the reward is worth the report"

    supply = await life.supply(chain.asset())
    second = await life.held(chain, alice, ETHER, bob.account)
    assert await life.supply(chain.asset()) > supply
    async with net.vouchers[0].view() as view:
        signers = {row.signer for row in await view.attestations.of_subject(second.id)}
    honest = {node.member.account for node in net.vouchers[:3]}
    assert honest <= signers <= {*honest, liar.member.account}


def _statement(life: EvmLife, voucher: BridgeNode, deposited: Deposited, amount: int) -> dict[str, Any]:
    """What a voucher says of a deposit, as `causeway bond report` takes it."""
    group, recipient = life.chain.vault.group, deposited.locked.recipient
    digest = life.net.native.hub_digests.deposit_attestation(
        deposited.asset, deposited.locked.id, 0, amount, recipient, group
    )
    message = {
        "asset": deposited.asset.hex(),
        "txid": deposited.locked.id.hex(),
        "vout": 0,
        "amount": str(amount),
        "recipient": "0x" + recipient.hex(),
        "group": group.hex(),
    }
    signature = sign_digest(voucher.identity.account_secret, digest)
    return {"kind": "DepositAttestation", "message": message, "signature": signature.hex()}
