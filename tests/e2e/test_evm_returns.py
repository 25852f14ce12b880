"""What cannot be minted goes back, what a payee refuses waits for it or is given back, and anyone can carry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from adapters.evm.lockbox.types import return_number
from adapters.native.types import DepositStatus, WithdrawalStatus
from bridge.deposits import Refusal, Stage
from bridge.payouts import PayoutStage
from bridge.storage import ReleaseOutcome
from foundation.quantities import TokenUnits
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from tests.support.bridge_network import ETHER, eventually
from tests.support.evm_life import EvmLife, evm_life
from tests.support.evm_network import (
    COIN_POLICY,
    FEE_BPS,
    LEAST,
    OriginAnvil,
    key_file,
    owner_secret,
    people,
    with_section,
)
from tests.support.evm_origin import Deposited, encode_call, send

pytestmark = pytest.mark.asyncio(loop_scope="session")
RELAY_FEE = ETHER // 1000
REFUSE, ACCEPT = 1, 0


@pytest.fixture(scope="module")
async def life(
    tmp_path_factory: pytest.TempPathFactory, _shared_bitcoind: Bitcoind, _shared_anvil: Anvil
) -> AsyncIterator[EvmLife]:
    """A small bridge that serves one EVM chain."""
    root = tmp_path_factory.mktemp("evm-returns")
    async with (
        OriginAnvil(root / "origin") as origin,
        evm_life(root / "net", _shared_bitcoind, _shared_anvil, [origin]) as life,
    ):
        yield life


def net_of_fee(amount: int) -> int:
    """What is left of an amount after the service fee."""
    return amount - amount * FEE_BPS // 10_000


async def test_refused_deposits_come_back_whole(life: EvmLife) -> None:
    """Too small, to the Hub itself, or of a paused asset: barred on the Hub, sent back by the vault to the last wei."""
    chain, net = life.chain, life.net
    alice, bob = await chain.account("alice"), await net.account("bob")
    supply, held = await life.supply(chain.asset()), await chain.held()
    small = await chain.lock(alice, LEAST - 1, bob.account)
    lost = await chain.lock(alice, 3 * ETHER, net.deployment.hub)
    await _come_back(life, {small: Refusal.BELOW_MINIMUM, lost: Refusal.BAD_RECIPIENT})
    await _pause(life, paused=True)
    stopped = await chain.lock(alice, 2 * ETHER, bob.account)
    await _come_back(life, {stopped: Refusal.ASSET_PAUSED})
    await _pause(life, paused=False)
    assert await chain.held() == held
    assert await life.supply(chain.asset()) == supply, "nothing was minted"
    await life.no_alarm()


async def _pause(life: EvmLife, *, paused: bool) -> None:
    native, asset = life.net.native, life.chain.asset()
    await send(life.net.owner, native.calls.set_asset_policy(asset, replace(COIN_POLICY, paused=paused)))

    async def final() -> bool:
        return (await native.asset_policy(asset)).paused is paused

    await eventually(final, "the policy is final")


async def _come_back(life: EvmLife, refused: dict[Deposited, Refusal]) -> None:
    for deposited, why in refused.items():
        deposit = await life.becomes(deposited, Stage.RETURNED)
        assert deposit.refusal is why
        assert await life.net.native.deposit_status(deposited.id) is DepositStatus.RETURNED
        number = return_number(deposited.locked.number)
        row = await life.released(life.chain, number, ReleaseOutcome.PAID)
        assert (row.payee, row.amount, row.fee) == (deposited.locked.sender, deposited.amount, 0)


async def test_a_payee_that_refuses_holds_nobody_up_and_claims_or_is_given_back(life: EvmLife) -> None:
    """Of three payments in a batch two fail; one payee claims, the tokens of the other go back after a while."""
    chain, net = life.chain, life.net
    alice, bob = await chain.account("alice"), await net.account("bob")
    claimer, never = [await chain.deploy(alice, "actor") for _ in range(2)]
    for actor in (claimer, never):
        await chain.tell(alice, actor, "behaves(uint256,address,bytes)", REFUSE, bytes(20), b"")
    person, asset = b"\x51" * 20, chain.asset()
    await life.held(chain, alice, 9 * ETHER, bob.account)
    await asyncio.gather(*(node.stop() for node in net.storemen))  # so that all three are in one batch
    withdrawals = [await life.to_chain(bob, asset, ETHER, payee, RELAY_FEE) for payee in (claimer, person, never)]
    await asyncio.gather(*(node.start() for node in net.storemen))
    for withdrawal in withdrawals:
        await life.settled(withdrawal)
    payouts = {(await _payout_id(life, withdrawal)) for withdrawal in withdrawals}
    assert len(payouts) == 1, "one batch"
    due = net_of_fee(ETHER) - RELAY_FEE
    assert await chain.balance(person) == due
    numbers = [await life.number_of(withdrawal) for withdrawal in withdrawals]
    for number in (numbers[0], numbers[2]):
        await life.released(chain, number, ReleaseOutcome.FAILED)

    home = b"\x52" * 20
    claim = encode_call(
        "claim(uint256,address,uint256,address)",
        ["uint256", "address", "uint256", "address"],
        [numbers[0], bytes(20), due, home],
    )
    await chain.tell(alice, claimer, "execute(address,bytes,uint256)", chain.vault.lockbox, claim, 300_000)
    assert await chain.balance(home) == due
    await life.released(chain, numbers[0], ReleaseOutcome.CLAIMED)

    had = await life.tokens(asset, bob.account)
    async with with_section(net.storemen, give_back_after_seconds=0.5):
        await life.released(chain, numbers[2], ReleaseOutcome.CANCELLED)

        async def given_back() -> bool:
            record = await net.native.withdrawal(withdrawals[2])
            return record is not None and record.status is WithdrawalStatus.RESTORED

        await eventually(given_back, "the Hub gives the tokens back")
    assert await life.tokens(asset, bob.account) == had + due
    assert await chain.reads.failed_amount(numbers[2], await chain.height()) == 0
    assert not await life.shortage()
    await life.no_alarm()


async def _payout_id(life: EvmLife, withdrawal: bytes) -> bytes:
    payout = await life.payout_of(withdrawal)
    assert payout is not None
    return payout.payout_id


async def test_an_outsider_carries_what_storemen_do_not_and_earns_the_fee(life: EvmLife) -> None:
    """With `relay = false` everywhere the signature is published; `causeway relay` brings it, and is paid for it."""
    chain, net = life.chain, life.net
    alice, bob = await chain.account("alice"), await net.account("bob")
    carrier = await chain.account("carrier")
    await life.held(chain, alice, 4 * ETHER, bob.account)
    payee = b"\x53" * 20
    async with with_section(net.storemen, relay=False):
        withdrawal = await life.to_chain(bob, chain.asset(), 2 * ETHER, payee, RELAY_FEE)
        payout = await eventually(lambda: life.payout_of(withdrawal), "the withdrawal is reserved")

        async def published() -> bool:
            async with life.storeman.view() as view:
                rows = await view.vault_signatures.of_subject(payout.payout_id)
            return any(row.published_at_ms is not None for row in rows)

        await eventually(published, "the signature is on the native chain")
        assert await chain.balance(payee) == 0
        before = await chain.balance(carrier.account)
        arguments = ("relay", "--all", "--chain", chain.chain.caip2, "--account-key", key_file(net, "carrier"))
        (report,) = await asyncio.to_thread(people(net).json, *arguments)
        await life.settled(withdrawal)
    assert await chain.balance(payee) == net_of_fee(2 * ETHER) - RELAY_FEE
    gas = before + RELAY_FEE - await chain.balance(carrier.account)
    assert 0 < gas < RELAY_FEE, f"the fee is worth the gas: {report}"


async def test_a_release_whose_transaction_is_lost_is_brought_again_and_pays_once(life: EvmLife) -> None:
    """The carrying transaction is dropped from the mempool; the same signature is carried again."""
    chain, net = life.chain, life.net
    alice, bob = await chain.account("alice"), await net.account("bob")
    payee = b"\x54" * 20
    await life.held(chain, alice, 4 * ETHER, bob.account)
    await chain.node.call("evm_setIntervalMining", 0)
    await chain.node.call("evm_setAutomine", False)
    try:
        withdrawal = await life.to_chain(bob, chain.asset(), 2 * ETHER, payee, RELAY_FEE)

        async def pending() -> list[str]:
            content = await chain.node.call("txpool_content")
            to = "0x" + chain.vault.lockbox.hex()
            return [tx["hash"] for txs in content["pending"].values() for tx in txs.values() if tx["to"].lower() == to]

        for transaction in await eventually(pending, "the release is on its way"):
            assert await chain.node.call("anvil_dropTransaction", transaction) == transaction
    finally:
        await chain.node.call("evm_setAutomine", True)
        await chain.node.call("anvil_setIntervalMining", 1)
    await life.settled(withdrawal)
    assert await chain.balance(payee) == net_of_fee(2 * ETHER) - RELAY_FEE
    payout = await life.payout_of(withdrawal)
    assert payout is not None
    assert payout.stage is PayoutStage.SETTLED
    async with life.storeman.view() as view:
        rows = await view.vault_signatures.of_subject(payout.payout_id)
    assert len(rows) == 1, "nothing else was signed"


async def test_what_a_denied_asset_owes_is_given_back(life: EvmLife) -> None:
    """The token is denied while the vault is paused: the group cancels, and the Hub gives the tokens back."""
    chain, net = life.chain, life.net
    alice, bob = await chain.account("alice"), await net.account("bob")
    token = await chain.deploy(alice, "odd_token", ["uint8"], [18])
    await chain.tell(alice, token, "give(address,uint256)", alice.account, 10**20)
    asset = chain.asset(token)
    await life.held(chain, alice, 10**19, bob.account, token)
    async with chain.sender(owner_secret(net)) as guardian:
        await send(guardian, chain.calls.pause())  # for a day: what is signed meanwhile cannot be paid
    withdrawal = await life.to_chain(bob, asset, 10**18, b"\x55" * 20, 1_000)
    await eventually(lambda: life.payout_of(withdrawal), "the withdrawal is reserved")
    policy = await net.native.asset_policy(asset, "latest")
    await send(net.owner, net.native.calls.set_asset_policy(asset, replace(policy, denied=True)))
    number = await life.number_of(withdrawal)
    await life.released(chain, number, ReleaseOutcome.CANCELLED)

    async def restored() -> bool:
        record = await net.native.withdrawal(withdrawal)
        return record is not None and record.status is WithdrawalStatus.RESTORED

    await eventually(restored, "the Hub gives the tokens back")
    assert await life.tokens(asset, bob.account) == net_of_fee(10**19) - 10**18 + net_of_fee(10**18)
    assert await chain.balance(b"\x55" * 20, token) == 0
    assert await chain.held(token) == 10**19
    assert TokenUnits(0) == await chain.reads.failed_amount(number, await chain.height())
