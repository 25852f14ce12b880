"""The whole life of a bridge's contracts on a real node, through typed calls, reads and events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from eth_abi.abi import encode

from adapters.evm.errors import NodeUnavailable, WrongChain
from adapters.evm.rpc import EvmRpc
from adapters.evm.types import BlockRef, Call
from adapters.native import events as e
from adapters.native.bindings import Bonds
from adapters.native.chain import NativeChain
from adapters.native.eip712 import Domain, account_of_secret, permit_digest, sign_digest
from adapters.native.errors import (
    AlreadyActivated,
    AlreadyAVoucher,
    AlreadyRegistered,
    BalanceTooLow,
    ContractRefused,
    DepositAlreadyFinal,
    FeeRefused,
    NoQuorum,
    NotAdmitted,
    NoToken,
    NotTheOwner,
    PayoutNotLive,
    ReservationUsed,
    SignatureRefused,
    StakeTooSmall,
    WithdrawalNotRequested,
)
from adapters.native.types import (
    Announcement,
    DepositClaim,
    DepositStatus,
    Outpoint,
    PayoutStatus,
    Reservation,
    WithdrawalStatus,
)
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, TokenUnits, Wei
from infra.anvil import Anvil
from registry.groups import GroupStatus
from registry.ids import announcement_id, deposit_id, outpoint_id, payout_id, withdrawal_id
from tests.support.native_bridge import (
    ASSET,
    CHAIN,
    ETHER,
    GROUP_KEY,
    POLICY,
    STAKE,
    TERMS,
    NativeBridge,
    native_bridge,
)

USER = b"\x0d" * 31 + b"\x01"
P2WPKH = b"\x00\x14" + b"\x99" * 20
X_ONLY = GROUP_KEY.public_key.format()[1:]


@pytest.fixture
async def still_anvil(tmp_path: Path) -> AsyncIterator[Anvil]:
    """A node that makes a block for each transaction and no other, so that a test decides what is final."""
    async with Anvil(tmp_path / "anvil", block_seconds=100_000) as node:
        yield node


@pytest.fixture
async def bridge(still_anvil: Anvil) -> AsyncIterator[NativeBridge]:
    """A bridge that serves: an active group of three storemen, three vouchers of equal weight."""
    async with native_bridge(still_anvil) as made:
        await made.set_up()
        yield made


def claim(bridge: NativeBridge, number: int, amount: int = 101_000) -> DepositClaim:
    """A deposit to the user."""
    return DepositClaim(ASSET.id, bytes([number]) * 32, 1, TokenUnits(amount), account_of_secret(USER), bridge.group)


async def minted(bridge: NativeBridge, given: DepositClaim) -> tuple[e.NativeEvent, ...]:
    """Mint a deposit with all vouchers' signatures."""
    digest = bridge.chain.hub_digests.deposit_attestation(
        given.asset, given.txid, given.vout, given.amount, given.recipient, given.group
    )
    return await bridge.events_of(bridge.chain.calls.mint(given, bridge.signed(digest, bridge.vouchers)))


def reserve(bridge: NativeBridge, withdrawals: tuple[bytes, ...], *coins: Outpoint) -> Call:
    """A reservation that two storemen signed."""
    reservation = Reservation(bridge.group, ASSET.id, withdrawals, coins)
    inputs = [outpoint_id(*coin) for coin in coins]
    digest = bridge.chain.hub_digests.payout_reservation(bridge.group, ASSET.id, withdrawals, inputs)
    return bridge.chain.calls.reserve(reservation, bridge.signed(digest, bridge.storemen[:2]))


async def everything(chain: NativeChain, cursor: BlockRef | None = None) -> list[e.NativeEvent]:
    """All final events after the cursor, as a node reads them."""
    found: list[e.NativeEvent] = []
    while (batch := await chain.next_events(cursor)) is not None:
        found += batch.events
        cursor = batch.last
    return found


async def test_the_registry_and_the_committee(bridge: NativeBridge) -> None:
    """What the owner registers, and who joins, is read back typed, and comes as events in order."""
    chain = bridge.chain
    await bridge.finality()
    await chain.check()
    assert await chain.chain_info(ASSET.chain) == CHAIN
    assert await chain.chain_by_text(CHAIN.caip2) == CHAIN
    assert await chain.chains() == (CHAIN,)
    assert await chain.asset_by_text(ASSET.caip19) == ASSET
    assert await chain.assets() == (ASSET,)
    assert await chain.asset(ASSET.id) == ASSET
    assert await chain.asset_policy(ASSET.id) == POLICY
    group = await chain.group(bridge.group)
    assert group is not None
    assert (group.chain, group.threshold, group.epoch, group.key) == (ASSET.chain, 2, 0, X_ONLY)
    assert group.status is GroupStatus.ACTIVE
    assert [m.account for m in group.members] == [account_of_secret(secret) for secret in bridge.storemen]
    assert await chain.members(bridge.group) == group.members
    assert await chain.active_group(ASSET.chain) == bridge.group
    committee = await chain.vouchers()
    assert [v.member.account for v in committee.vouchers] == [account_of_secret(secret) for secret in bridge.vouchers]
    assert [v.weight for v in committee.vouchers] == [STAKE] * 3
    assert committee.total_weight == 3 * STAKE
    assert [v.index for v in committee.vouchers] == [0, 1, 2]
    assert await chain.minimum_stake() == STAKE
    assert await chain.bond_terms() == TERMS
    joining = [e.VoucherAdmitted, e.CommissionChanged, e.Bonded, e.WeightChanged, e.VoucherJoined] * 3
    setting = [
        e.CompanionsBound,
        e.RegistrarSet,
        e.ChainRegistered,
        e.AssetRegistered,
        e.AssetPolicyChanged,
        e.GroupProposed,
        e.GroupActivated,
    ]
    found = await everything(chain)
    assert [type(event) for event in found] == setting + joining
    assert found == sorted(found, key=lambda event: (event.at.block.number, event.at.index))
    first = chain.deployment.start_block
    assert await chain.events(first, BlockHeight((await chain.finalized_block()).number)) == found


async def test_what_is_not_there_is_none(bridge: NativeBridge) -> None:
    """Unknown ids are None, zero or UNKNOWN, never errors."""
    chain, nothing = bridge.chain, b"\x66" * 32
    await bridge.finality()
    for read in (chain.chain_info, chain.asset, chain.group, chain.active_group, chain.withdrawal, chain.payout):
        assert await read(nothing) is None
    assert await chain.vault(nothing) is None
    assert await chain.chain_policy(nothing) is None
    assert await chain.chain_by_text("eip155:5") is None
    assert await chain.asset_by_text("eip155:5/slip44:60") is None
    assert await chain.asset_of(b"\x66" * 20) is None
    assert await chain.operator(b"\x66" * 20) is None
    assert await chain.bond_position(10**6) is None
    assert await chain.halted_until(nothing) == await chain.pending_total(nothing) == 0
    assert await chain.token_of(ASSET.id) is None
    assert await chain.announcement(nothing) is None
    assert await chain.members(nothing) == ()
    assert await chain.deposit_statuses([nothing] * 300) == [DepositStatus.UNKNOWN] * 300
    assert await chain.reserved_by([nothing, b"\x67" * 32]) == [None, None]
    assert await chain.withdrawals([]) == []
    assert await chain.supply(nothing) == 0
    assert await chain.block(BlockHeight(10**9)) is None


async def test_reads_at_final_blocks_lag_behind(bridge: NativeBridge) -> None:
    """A mint is seen at `latest` at once, and at `finalized`, like its event, only when its block is final."""
    chain, given = bridge.chain, claim(bridge, 1)
    await bridge.finality()
    cursor = await chain.finalized_block()
    await minted(bridge, given)
    deposit = deposit_id(given.asset, given.txid, given.vout)
    assert await chain.deposit_status(deposit, "latest") is DepositStatus.MINTED
    assert await chain.deposit_status(deposit) is DepositStatus.UNKNOWN
    assert not [event for event in await everything(chain, cursor) if isinstance(event, e.DepositMinted)]
    latest = await chain.latest_block()
    assert await chain.supply(ASSET.id, latest.number) == 100_000
    assert await chain.supply(ASSET.id, BlockHeight(latest.number - 1)) == 0
    await bridge.finality()
    assert await chain.deposit_status(deposit) is DepositStatus.MINTED
    (event,) = [event for event in await everything(chain, cursor) if isinstance(event, e.DepositMinted)]
    assert (event.id, event.recipient, event.amount, event.minted) == (deposit, given.recipient, 101_000, 100_000)
    header = await chain.block(event.at.block.number)
    assert header is not None
    assert header.ref == event.at.block
    assert header.timestamp > 0


async def test_a_deposit_is_announced_and_minted_once(bridge: NativeBridge) -> None:
    """Announced terms are found by their id; a deposit is minted once, with a quorum alone, or returned, never both."""
    chain, calls, given = bridge.chain, bridge.chain.calls, claim(bridge, 1)
    terms = Announcement(ASSET.id, bridge.group, given.recipient, b"\x31" * 32, 144, b"\x32" * 32, 90)
    (announced,) = await bridge.events_of(calls.announce_deposit(terms))
    await bridge.send(calls.announce_deposit(replace(terms, birthday=70)))
    identity = announcement_id(*(getattr(terms, name) for name in terms.__slots__[:-1]))
    assert isinstance(announced, e.DepositAnnounced)
    assert (announced.id, announced.terms) == (identity, terms)
    assert await chain.announcement(identity) is None
    await bridge.finality()
    assert await chain.announcement(identity) == replace(terms, birthday=70)

    digest = chain.hub_digests.deposit_attestation(ASSET.id, given.txid, 1, 101_000, given.recipient, bridge.group)
    with pytest.raises(NoQuorum):
        await bridge.send(calls.mint(given, bridge.signed(digest, bridge.vouchers[:2])))
    with pytest.raises(SignatureRefused):
        await bridge.send(calls.mint(given, tuple(reversed(bridge.signed(digest, bridge.vouchers)))))
    deployed, done = await minted(bridge, given)
    assert isinstance(deployed, e.TokenDeployed)
    assert isinstance(done, e.DepositMinted)
    with pytest.raises(DepositAlreadyFinal):
        await minted(bridge, given)
    other = claim(bridge, 2)
    returning = chain.hub_digests.deposit_return(ASSET.id, other.txid, 1, 101_000, bridge.group, 2)
    signatures = bridge.signed(returning, bridge.storemen[1:])
    back = calls.return_deposit(ASSET.id, other.txid, 1, TokenUnits(101_000), bridge.group, 2, signatures)
    (returned,) = await bridge.events_of(back)
    assert isinstance(returned, e.DepositReturned)
    assert (returned.reason, returned.txid) == (2, other.txid)
    with pytest.raises(DepositAlreadyFinal):
        await minted(bridge, other)
    assert await chain.deposit_status(deposit_id(ASSET.id, other.txid, 1), "latest") is DepositStatus.RETURNED


async def test_a_withdrawal_is_paid_once(bridge: NativeBridge) -> None:
    """A withdrawal is reserved, replaced, voided, reserved again and settled, and each step is read and told."""
    chain, calls = bridge.chain, bridge.chain.calls
    user = await bridge.account(USER)
    with pytest.raises(NoToken):
        await bridge.send(calls.withdraw(ASSET.id, TokenUnits(50_000), TokenUnits(2_000), P2WPKH), user)
    await minted(bridge, claim(bridge, 1))
    token = await chain.token_of(ASSET.id, "latest")
    assert token is not None
    with pytest.raises(BalanceTooLow):
        await bridge.send(calls.withdraw(ASSET.id, TokenUnits(50_000), TokenUnits(2_000), P2WPKH), user)
    await bridge.send(calls.approve(token, TokenUnits(50_000)), user)
    (asked,) = await bridge.events_of(calls.withdraw(ASSET.id, TokenUnits(50_000), TokenUnits(2_000), P2WPKH), user)
    first = withdrawal_id(bridge.anvil.chain_id, chain.deployment.hub, 1)
    assert isinstance(asked, e.WithdrawalRequested)
    assert (asked.id, asked.owner, asked.destination) == (first, user.account, P2WPKH)
    with pytest.raises(NotTheOwner):
        await bridge.send(calls.cancel(first))
    with pytest.raises(FeeRefused):
        await bridge.send(calls.raise_max_fee(first, TokenUnits(2_000)), user)
    (raised,) = await bridge.events_of(calls.raise_max_fee(first, TokenUnits(3_000)), user)
    assert isinstance(raised, e.MaxFeeRaised)

    anchor, coin = Outpoint(b"\x41" * 32, 0), Outpoint(b"\x42" * 32, 5)
    (reserved,) = await bridge.events_of(reserve(bridge, (first,), anchor))
    assert isinstance(reserved, e.PayoutReserved)
    payout = payout_id(bridge.group, [first], outpoint_id(*anchor))
    assert (reserved.id, reserved.version, reserved.inputs) == (payout, 1, (anchor,))
    (replaced,) = await bridge.events_of(reserve(bridge, (first,), anchor, coin))
    assert isinstance(replaced, e.PayoutReserved)
    assert (replaced.id, replaced.version, replaced.inputs) == (payout, 2, (anchor, coin))
    with pytest.raises(ReservationUsed):
        await bridge.send(reserve(bridge, (first,), anchor))
    with pytest.raises(WithdrawalNotRequested):
        await bridge.send(calls.cancel(first), user)
    assert await chain.reserved_by([outpoint_id(*anchor), outpoint_id(*coin)], "latest") == [payout, payout]
    record = await chain.payout(payout, "latest")
    assert record is not None
    assert (record.version, record.status, record.withdrawals) == (2, PayoutStatus.LIVE, (first,))

    spent = chain.hub_digests.anchor_spent(payout, b"\x43" * 32)
    (voided,) = await bridge.events_of(calls.void_payout(payout, b"\x43" * 32, bridge.signed(spent, bridge.vouchers)))
    assert isinstance(voided, e.PayoutVoided)
    again = Outpoint(b"\x44" * 32, 0)
    await bridge.send(reserve(bridge, (first,), again))
    second = payout_id(bridge.group, [first], outpoint_id(*again))
    paid = chain.hub_digests.payout_settlement(second, b"\x45" * 32, 1_500)
    settle = calls.settle(second, b"\x45" * 32, TokenUnits(1_500), bridge.signed(paid, bridge.vouchers))
    (settled,) = await bridge.events_of(settle)
    assert isinstance(settled, e.PayoutSettled)
    assert (settled.fee, settled.burnt, settled.txid) == (1_500, 50_000, b"\x45" * 32)
    with pytest.raises(PayoutNotLive):
        await bridge.send(settle)
    withdrawal = await chain.withdrawal(first, "latest")
    assert withdrawal is not None
    assert (withdrawal.status, withdrawal.payout) == (WithdrawalStatus.SETTLED, second)
    assert (withdrawal.amount, withdrawal.max_fee) == (50_000, 3_000)
    assert await chain.supply(ASSET.id, "latest") == 50_000

    await bridge.send(calls.approve(token, TokenUnits(50_000)), user)
    await bridge.send(calls.withdraw(ASSET.id, TokenUnits(50_000), TokenUnits(0), P2WPKH), user)
    third = withdrawal_id(bridge.anvil.chain_id, chain.deployment.hub, 2)
    (cancelled,) = await bridge.events_of(calls.cancel(third), user)
    assert isinstance(cancelled, e.WithdrawalCancelled)
    assert await chain.token_balance(token, user.account) == 50_000


async def test_tokens_and_coins_move(bridge: NativeBridge) -> None:
    """Tokens are named, transferred, approved and permitted; the chain's own coin is paid to a new account."""
    chain, calls = bridge.chain, bridge.chain.calls
    user, friend = await bridge.account(USER), b"\x0e" * 20
    await minted(bridge, claim(bridge, 1))
    token = await chain.token_of(ASSET.id, "latest")
    assert token is not None
    info = await chain.token_info(token, "latest")
    assert (info.name, info.symbol, info.decimals) == ("Regtest Bitcoin (Causeway)", "cwBTC", 8)
    await bridge.send(calls.transfer(token, friend, TokenUnits(30_000)), user)
    assert await chain.token_balance(token, friend) == 30_000
    with pytest.raises(BalanceTooLow):
        await bridge.send(calls.transfer(token, friend, TokenUnits(80_000)), user)
    await bridge.send(calls.approve(token, TokenUnits(7)), user)
    assert await chain.token_allowance(token, user.account) == 7

    deadline = 4_000_000_000
    nonce = await chain.token_nonce(token, user.account)
    domain = Domain(bridge.anvil.chain_id, token, info.name)
    digest = permit_digest(domain, user.account, chain.deployment.hub, 60_000, nonce, deadline)
    permit = calls.permit(token, user.account, TokenUnits(60_000), deadline, sign_digest(USER, digest))
    await bridge.send(permit)
    assert await chain.token_allowance(token, user.account) == 60_000
    assert await chain.token_nonce(token, user.account) == nonce + 1
    with pytest.raises(ContractRefused):
        await bridge.send(permit)
    await bridge.send(calls.withdraw(ASSET.id, TokenUnits(60_000), TokenUnits(0), P2WPKH), user)

    await bridge.send(calls.pay(friend, Wei(ETHER)), user)
    assert await chain.balance(friend) == ETHER


async def test_refusals_are_typed(bridge: NativeBridge) -> None:
    """What is done already, and what is not allowed, is refused with a type of its own, before it costs anything."""
    calls, stranger = bridge.chain.calls, await bridge.account()
    balance = await bridge.chain.balance(stranger.account)
    voucher = account_of_secret(bridge.vouchers[0])
    for call, kind in (
        (calls.register_chain(CHAIN), AlreadyRegistered),
        (calls.register_asset(ASSET), AlreadyRegistered),
        (bridge.activation(), AlreadyActivated),
        (calls.admit_voucher(voucher), AlreadyAVoucher),
    ):
        with pytest.raises(kind) as refusal:
            await bridge.send(call)
        assert refusal.value.transaction is None
    join = calls.join_vouchers(b"\x02" * 33, b"\x01" * 32, "tcp://127.0.0.1:1", STAKE)
    for call, kind in ((calls.admit_voucher(voucher), NotTheOwner), (join, NotAdmitted)):
        with pytest.raises(kind):
            await bridge.send(call, stranger)
    await bridge.send(calls.admit_voucher(stranger.account))
    with pytest.raises(StakeTooSmall):
        await bridge.send(replace(join, value=Wei(1)), stranger)
    assert await bridge.chain.balance(stranger.account) == balance


async def test_a_voucher_with_nonsense_stops_nobody(bridge: NativeBridge) -> None:
    """A voucher that registers bytes which are no text is seen, and all others go on reading."""
    intruder = await bridge.account()
    await bridge.send(bridge.chain.calls.admit_voucher(intruder.account))
    content = encode(["bytes", "bytes32", "bytes"], [b"\x02" * 33, b"\x01" * 32, b"\xff\xfe\x00"])
    await bridge.send(Call(bridge.chain.deployment.bonds, Bonds.join.selector + content, "join", STAKE), intruder)
    await bridge.finality()
    committee = await bridge.chain.vouchers()
    assert committee.weight_of(intruder.account) == STAKE
    assert [voucher.member.is_reachable for voucher in committee.vouchers] == [True, True, True, False]
    joined = [event for event in await everything(bridge.chain) if isinstance(event, e.VoucherJoined)]
    assert joined[-1].account == intruder.account


async def test_another_chain_is_refused(bridge: NativeBridge) -> None:
    """A deployment of another chain, or of contracts that are not there, is refused before anything relies on it."""
    good = bridge.chain.deployment
    for wrong, kind in (
        (replace(good, chain_id=5), WrongChain),
        (replace(good, genesis=bytes(32)), WrongChain),
        (replace(good, hub=b"\x05" * 20), BadInput),
    ):
        with pytest.raises(kind):
            await NativeChain(bridge.rpc, wrong).check()
    async with EvmRpc("http://127.0.0.1:1") as nowhere:
        with pytest.raises(NodeUnavailable):
            await NativeChain(nowhere, good).check()
