"""An EVM chain as the native contracts know it, on a real node: vault, introduction, mint, release, return, halt."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from adapters.native import events as e
from adapters.native.eip712 import account_of_secret
from adapters.native.errors import (
    AlreadyBound,
    AlreadyRegistered,
    AlreadyReserved,
    AssetDenied,
    AssetHalted,
    BadAssetText,
    BadDestination,
    BadHalt,
    FeeRefused,
    InputsNotExpected,
    IntroductionsClosed,
    MoreThanWithdrawn,
    NoAnchor,
    NoQuorum,
    NotAnEvmChain,
    NotHalted,
    NothingPending,
    NotSettled,
    OverTheLimit,
)
from adapters.native.ports import NativeDirectory
from adapters.native.proofs import Proof
from adapters.native.types import DepositClaim, Outpoint, PayoutStatus, Reservation, WithdrawalStatus
from foundation.quantities import BlockHeight, TokenUnits
from infra.anvil import Anvil
from registry.assets import Asset, AssetPolicy
from registry.caip import ChainId, erc20, evm_coin
from registry.chains import OWN_FINALITY, Chain, Vault
from registry.ids import NO_ANCHOR, lock_id, payout_id, withdrawal_id
from tests.support.native_bridge import ASSET, CHAIN, NativeBridge, native_bridge

USER = b"\x0d" * 31 + b"\x02"
NUMBER = 5_001
ORIGIN = Chain.named(ChainId("eip155", str(NUMBER)), b"\x0e" * 32, OWN_FINALITY)
LOCKBOX, TOKEN, PAYEE = b"\x10" * 20, b"\xab" * 20, b"\x12" * 20
# A fee of 1 % and at least 10; at most a million a day each way.
TERMS = AssetPolicy(
    TokenUnits(1_000),
    TokenUnits(100),
    TokenUnits(500),
    fee_bps=100,
    fee_floor=TokenUnits(10),
    deposit_limit=TokenUnits(1_000_000),
    withdrawal_limit=TokenUnits(50_000),
)
COIN = Asset.named(evm_coin(ORIGIN.chain_id), "Ether", "ETH", 18, TERMS)
STRANGE = erc20(ORIGIN.chain_id, TOKEN)
EVERYTHING = bytes(32)


@dataclass
class Origin:
    """A bridge with an EVM chain whose vault is registered."""

    bridge: NativeBridge
    group: bytes

    def claim(self, number: int, amount: int, asset: bytes = COIN.id) -> DepositClaim:
        """What was locked in the Lockbox, for the user."""
        lock, user = lock_id(NUMBER, LOCKBOX, number), account_of_secret(USER)
        return DepositClaim(asset, lock, 0, TokenUnits(amount), user, self.group)

    async def minted(self, given: DepositClaim) -> tuple[e.NativeEvent, ...]:
        """Mint with all vouchers' signatures."""
        chain = self.bridge.chain
        digest = chain.hub_digests.deposit_attestation(
            given.asset, given.txid, given.vout, given.amount, given.recipient, given.group
        )
        return await self.bridge.events_of(chain.calls.mint(given, self.signed(digest)))

    def signed(self, digest: bytes, count: int = 3) -> tuple[bytes, ...]:
        """The signatures of vouchers."""
        return self.bridge.signed(digest, self.bridge.vouchers[:count])

    def reserve(self, withdrawals: tuple[bytes, ...], *coins: Outpoint) -> tuple[Reservation, tuple[bytes, ...]]:
        """A reservation that the first and the last storeman signed; coins, where somebody names any, unsigned."""
        digest = self.bridge.chain.hub_digests.payout_reservation(self.group, COIN.id, withdrawals, [])
        reservation = Reservation(self.group, COIN.id, withdrawals, coins)
        return reservation, self.bridge.signed(digest, self.bridge.storemen[::2])


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    """A bridge that serves an EVM chain besides bitcoin; a block for each transaction and no other."""
    async with Anvil(tmp_path / "anvil", block_seconds=100_000) as node, native_bridge(node) as bridge:
        await bridge.set_up()
        await bridge.send(bridge.chain.calls.register_chain(ORIGIN))
        group = await bridge.found_group(ORIGIN.id)
        vault = Vault(LOCKBOX, BlockHeight(17), group)
        await bridge.send(bridge.chain.calls.register_vault(ORIGIN.id, vault))
        await bridge.send(bridge.chain.calls.register_asset(COIN))
        yield Origin(bridge, group)


async def test_a_vault_is_registered_once(origin: Origin) -> None:
    """The Registry tells the chain, its finality and its vault; a second vault, and one on bitcoin, are refused."""
    chain, bridge = origin.bridge.chain, origin.bridge
    directory: NativeDirectory = chain
    vault = Vault(LOCKBOX, BlockHeight(17), origin.group)
    assert await directory.chains("latest") == (CHAIN, ORIGIN)
    assert await directory.vault(ORIGIN.id, "latest") == vault
    assert await directory.assets("latest") == (ASSET, COIN)
    with pytest.raises(AlreadyRegistered):
        await bridge.send(chain.calls.register_vault(ORIGIN.id, vault))
    with pytest.raises(NotAnEvmChain):
        await bridge.send(chain.calls.register_vault(CHAIN.id, vault))
    with pytest.raises(AlreadyBound):
        await bridge.send(chain.calls.bind())
    with pytest.raises(AlreadyBound):
        await bridge.send(chain.calls.set_registrar(chain.deployment.hub))


async def test_vouchers_introduce_a_token(origin: Origin) -> None:
    """An unknown ERC-20 gets its chain's policy, once two thirds attest what it says, and the chain is open."""
    chain, bridge = origin.bridge.chain, origin.bridge
    named = (ORIGIN.id, str(STRANGE), "Strange Token", "STR", 6)
    signatures = origin.signed(chain.hub_digests.asset_introduction(*named))
    introduce = chain.calls.introduce(*named, signatures)
    with pytest.raises(IntroductionsClosed):
        await bridge.send(introduce)
    assert await chain.chain_policy(ORIGIN.id, "latest") is None
    (opened,) = await bridge.events_of(chain.calls.set_chain_policy(ORIGIN.id, TERMS, is_open=True))
    assert isinstance(opened, e.ChainPolicyChanged)
    assert (opened.open, opened.policy) == (True, TERMS)
    assert await chain.chain_policy(ORIGIN.id, "latest") == TERMS
    with pytest.raises(NoQuorum):
        await bridge.send(chain.calls.introduce(*named, signatures[:2]))
    coin = (ORIGIN.id, COIN.caip19, "Ether", "ETH", 18)
    with pytest.raises(BadAssetText):
        await bridge.send(chain.calls.introduce(*coin, origin.signed(chain.hub_digests.asset_introduction(*coin))))
    registered, policy = await bridge.events_of(introduce)
    assert isinstance(registered, e.AssetRegistered)
    assert isinstance(policy, e.AssetPolicyChanged)
    assert policy.policy == TERMS
    assert await chain.asset(STRANGE.id, "latest") == Asset.named(STRANGE, "Strange Token", "STR", 6, TERMS)
    with pytest.raises(AlreadyRegistered):
        await bridge.send(introduce)

    await origin.minted(origin.claim(1, 10_000, STRANGE.id))
    token = await chain.token_of(STRANGE.id, "latest")
    assert token is not None
    assert await chain.asset_of(token, "latest") == STRANGE.id
    assert (await chain.token_info(token, "latest")).symbol == "cwSTR"


async def test_a_mint_keeps_fees_pending_until_they_are_shared(origin: Origin) -> None:
    """The service fee of a mint waits for exactly its attesters, is credited once, and claimed by them."""
    chain, bridge = origin.bridge.chain, origin.bridge
    fees = chain
    *_, done = await origin.minted(origin.claim(1, 20_100))
    assert isinstance(done, e.DepositMinted)
    assert (done.amount, done.minted, done.fee, done.attesters) == (20_100, 19_800, 200, 0b111)
    assert (done.txid, done.vout, done.group) == (lock_id(NUMBER, LOCKBOX, 1), 0, origin.group)
    assert await fees.pending_fees(COIN.id, None, 0b111, "latest") == 200
    assert await fees.pending_fees(COIN.id, None, 0b011, "latest") == 0
    assert await chain.pending_total(COIN.id, "latest") == 200
    assert await chain.supply(COIN.id, "latest") == 19_800
    *credited, shared = await bridge.events_of(chain.calls.distribute(COIN.id, None, 0b111))
    assert isinstance(shared, e.FeesDistributed)
    assert (shared.group, shared.signers, shared.amount) == (bytes(32), 0b111, 200)
    assert [event.amount for event in credited if isinstance(event, e.FeesCredited)] == [67, 67, 66]
    with pytest.raises(NothingPending):
        await bridge.send(chain.calls.distribute(COIN.id, None, 0b111))
    assert await chain.supply(COIN.id, "latest") == 20_000
    token = await chain.token_of(COIN.id, "latest")
    assert token is not None
    committee = await chain.vouchers("latest")
    assert done.attesters == committee.bitmap(voucher.member.account for voucher in committee.vouchers)
    earned = 0
    for secret in bridge.vouchers:
        sender = await bridge.account(secret)
        operator = await fees.operator(sender.account, "latest")
        assert operator is not None
        earned += await fees.claimable(operator.own_position, token, "latest")
        (claimed,) = await bridge.events_of(chain.calls.claim_fees(operator.own_position, token), sender)
        assert isinstance(claimed, e.FeesClaimed)
        assert await chain.token_balance(token, sender.account) == claimed.amount
    # Each position may be a fraction of a unit behind.
    assert 197 <= earned <= 200


async def test_a_release_is_settled_and_what_is_never_paid_comes_back(origin: Origin) -> None:
    """A withdrawal to an account is reserved once, without coins, published, settled, and restored if it never paid."""
    chain, calls, bridge = origin.bridge.chain, origin.bridge.chain.calls, origin.bridge
    user = await bridge.account(USER)
    await origin.minted(origin.claim(1, 101_000))
    token = await chain.token_of(COIN.id, "latest")
    assert token is not None
    await bridge.send(calls.approve(token, TokenUnits(10**6)), user)
    with pytest.raises(BadDestination):
        await bridge.send(calls.withdraw(COIN.id, TokenUnits(20_000), TokenUnits(300), b"\0\x14" + PAYEE), user)
    with pytest.raises(FeeRefused):
        await bridge.send(calls.withdraw(COIN.id, TokenUnits(20_000), TokenUnits(19_800), PAYEE), user)
    with pytest.raises(OverTheLimit):
        await bridge.send(calls.withdraw(COIN.id, TokenUnits(50_001), TokenUnits(300), PAYEE), user)
    (asked,) = await bridge.events_of(calls.withdraw(COIN.id, TokenUnits(20_000), TokenUnits(300), PAYEE), user)
    assert isinstance(asked, e.WithdrawalRequested)
    assert (asked.amount, asked.fee, asked.max_fee, asked.number) == (19_800, 200, 300, 1)
    assert (asked.destination, asked.id) == (PAYEE, withdrawal_id(bridge.anvil.chain_id, chain.deployment.hub, 1))

    with pytest.raises(InputsNotExpected):
        await bridge.send(calls.reserve(*origin.reserve((asked.id,), Outpoint(b"\x41" * 32, 0))))
    reservation, signatures = origin.reserve((asked.id,))
    (reserved,) = await bridge.events_of(calls.reserve(reservation, signatures))
    assert isinstance(reserved, e.PayoutReserved)
    payout = payout_id(origin.group, [asked.id], NO_ANCHOR)
    assert (reserved.id, reserved.version, reserved.inputs, reserved.signers) == (payout, 1, (), 0b101)
    more, more_signatures = Reservation(origin.group, COIN.id, (asked.id, asked.id), ()), bridge.storemen
    digest = chain.hub_digests.payout_reservation(origin.group, COIN.id, more.withdrawals, [])
    with pytest.raises(AlreadyReserved):
        await bridge.send(calls.reserve(more, bridge.signed(digest, more_signatures)))
    with pytest.raises(NoAnchor):
        spent = chain.hub_digests.anchor_spent(payout, b"\x43" * 32)
        await bridge.send(calls.void_payout(payout, b"\x43" * 32, origin.signed(spent)))
    proof = Proof(b"\x01" * 32, b"\x02" * 32, b"\x03" * 32)
    (published,) = await bridge.events_of(calls.publish_release(payout, 4, proof))
    assert isinstance(published, e.ReleasePublished)
    assert (published.payout, published.epoch, published.proof) == (payout, 4, proof)

    cancelled = chain.hub_digests.release_cancelled(asked.id, 19_800)
    with pytest.raises(NotSettled):
        await bridge.send(calls.restore(asked.id, TokenUnits(19_800), origin.signed(cancelled)))
    supply = await chain.supply(COIN.id, "latest")
    paid = chain.hub_digests.payout_settlement(payout, b"\x45" * 32, 300)
    settle = calls.settle(payout, b"\x45" * 32, TokenUnits(300), origin.signed(paid))
    (settled,) = [event for event in await bridge.events_of(settle) if isinstance(event, e.PayoutSettled)]
    assert (settled.burnt, settled.service_fee, settled.fee, settled.attesters) == (20_000, 200, 300, 0b111)
    assert await chain.supply(COIN.id, "latest") == supply - 20_000
    record = await chain.payout(payout, "latest")
    assert record is not None
    assert (record.status, record.signers, record.anchor, record.inputs) == (
        PayoutStatus.SETTLED,
        0b101,
        NO_ANCHOR,
        (),
    )
    assert await chain.pending_fees(COIN.id, origin.group, 0b101, "latest") == 100
    *credited, _ = await bridge.events_of(calls.distribute(COIN.id, origin.group, 0b101))
    assert sum(event.amount for event in credited if isinstance(event, e.FeesCredited)) == 100

    with pytest.raises(MoreThanWithdrawn):
        beyond = chain.hub_digests.release_cancelled(asked.id, 19_801)
        await bridge.send(calls.restore(asked.id, TokenUnits(19_801), origin.signed(beyond)))
    restore = calls.restore(asked.id, TokenUnits(19_800), origin.signed(cancelled))
    (restored,) = await bridge.events_of(restore)
    assert isinstance(restored, e.WithdrawalRestored)
    assert (restored.id, restored.amount) == (asked.id, 19_800)
    with pytest.raises(NotSettled):
        await bridge.send(restore)
    withdrawal = await chain.withdrawal(asked.id, "latest")
    assert withdrawal is not None
    assert withdrawal.status is WithdrawalStatus.RESTORED
    assert (withdrawal.number, withdrawal.fee, withdrawal.payout) == (1, 200, payout)


async def test_a_halt_stops_an_asset_until_it_is_lifted(origin: Origin) -> None:
    """More than a third of the weight stops mints, of one asset or of all; two thirds lift exactly that halt."""
    chain, calls, bridge = origin.bridge.chain, origin.bridge.chain.calls, origin.bridge
    header = await chain.block("latest")
    assert header is not None
    until = header.timestamp + 86_400

    def halt(asset: bytes, end: int, count: int) -> tuple[bytes, int, tuple[bytes, ...]]:
        return asset, end, origin.signed(chain.hub_digests.halt(asset, end), count)

    with pytest.raises(NoQuorum):
        await bridge.send(calls.halt(*halt(COIN.id, until, 1)))
    (halted,) = await bridge.events_of(calls.halt(*halt(COIN.id, until, 2)))
    assert isinstance(halted, e.Halted)
    assert (halted.asset, halted.until) == (COIN.id, until)
    assert await chain.halted_until(COIN.id, "latest") == until
    with pytest.raises(BadHalt):
        await bridge.send(calls.halt(*halt(COIN.id, until, 2)))
    with pytest.raises(BadHalt):
        await bridge.send(calls.halt(*halt(COIN.id, until + 8 * 86_400, 2)))
    with pytest.raises(AssetHalted):
        await origin.minted(origin.claim(1, 20_100))
    resume = calls.resume(COIN.id, until, origin.signed(chain.hub_digests.resume(COIN.id, until)))
    with pytest.raises(NoQuorum):
        few = origin.signed(chain.hub_digests.resume(COIN.id, until), 2)
        await bridge.send(calls.resume(COIN.id, until, few))
    (resumed,) = await bridge.events_of(resume)
    assert isinstance(resumed, e.Resumed)
    with pytest.raises(NotHalted):
        await bridge.send(resume)
    await origin.minted(origin.claim(1, 20_100))
    await bridge.send(calls.halt(*halt(EVERYTHING, until + 1, 2)))
    with pytest.raises(AssetHalted):
        await origin.minted(origin.claim(2, 20_100))


async def test_a_denied_asset_and_a_full_window_refuse(origin: Origin) -> None:
    """A delisted asset is neither minted nor withdrawn; what is above the day's limit waits for the next day."""
    chain, calls, bridge = origin.bridge.chain, origin.bridge.chain.calls, origin.bridge
    await origin.minted(origin.claim(1, 900_000))
    with pytest.raises(OverTheLimit):
        await origin.minted(origin.claim(2, 100_001))
    await origin.minted(origin.claim(2, 100_000))
    await bridge.send(calls.set_asset_policy(COIN.id, replace(TERMS, denied=True)))
    assert await chain.asset_policy(COIN.id, "latest") == replace(TERMS, denied=True)
    with pytest.raises(AssetDenied):
        await origin.minted(origin.claim(3, 20_100))
    with pytest.raises(AssetDenied):
        user = await bridge.account(USER)
        await bridge.send(calls.withdraw(COIN.id, TokenUnits(20_000), TokenUnits(300), PAYEE), user)
