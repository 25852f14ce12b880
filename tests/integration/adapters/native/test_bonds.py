"""Bonds on a real node: roles, delegation, unbonding, commission, and the price of a lie."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.native import events as e
from adapters.native.eip712 import account_of_secret, sign_digest
from adapters.native.errors import (
    AlreadySlashed,
    BadUnbonding,
    BelowMinimumStake,
    NoConflict,
    NoSuchUnbonding,
    NotAnOperator,
    NothingToClaim,
    NotReadyYet,
    NotTheOwner,
    OperatorSlashed,
    PositionClosed,
    StakeTooSmall,
)
from adapters.native.types import DepositClaim, Statement, StatementKind
from foundation.errors import BadInput
from foundation.quantities import TokenUnits, Wei
from infra.anvil import Anvil
from tests.support.native_bridge import ASSET, ETHER, POLICY, STAKE, TERMS, NativeBridge, native_bridge

USER = b"\x0d" * 31 + b"\x03"


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[NativeBridge]:
    """A bridge with three vouchers of one ether each; a block for each transaction and no other."""
    async with Anvil(tmp_path / "anvil", block_seconds=100_000) as node, native_bridge(node) as made:
        await made.set_up()
        yield made


async def test_a_delegation_weighs_earns_and_leaves(bridge: NativeBridge) -> None:
    """A holder's bond counts for its voucher, can be taken out in parts after the unbonding time, and is paid whole."""
    chain, calls = bridge.chain, bridge.chain.calls
    holder, voucher = await bridge.account(), account_of_secret(bridge.vouchers[0])
    (bonded, weighed) = await bridge.events_of(calls.delegate(voucher, Wei(3 * ETHER)), holder)
    assert isinstance(bonded, e.Bonded)
    assert (bonded.operator, bonded.owner, bonded.amount) == (voucher, holder.account, 3 * ETHER)
    assert isinstance(weighed, e.WeightChanged)
    assert (weighed.weight, weighed.total) == (4 * ETHER, 6 * ETHER)
    committee = await chain.vouchers("latest")
    assert (committee.weight_of(voucher), committee.total_weight) == (4 * ETHER, 6 * ETHER)
    (mine,) = await chain.positions_of(holder.account, "latest")
    assert (mine.id, mine.worth, mine.operator, mine.is_open) == (bonded.position, 3 * ETHER, voucher, True)
    assert [p.owner for p in await chain.positions_of(voucher, "latest")] == [voucher, holder.account]

    with pytest.raises(NotTheOwner):
        await bridge.send(calls.unbond(mine.id, Wei(1)))
    with pytest.raises(BadUnbonding):
        await bridge.send(calls.unbond(mine.id, Wei(3 * ETHER + 1)), holder)
    found = await bridge.events_of(calls.unbond(mine.id, Wei(ETHER)), holder)
    (leaving,) = [event for event in found if isinstance(event, e.Unbonding)]
    (closed,) = [event for event in found if isinstance(event, e.PositionClosed)]
    with pytest.raises(PositionClosed):
        await bridge.send(calls.unbond(mine.id, Wei(1)), holder)
    (rest,) = await chain.positions_of(holder.account, "latest")
    assert (rest.id, rest.worth) == (closed.into, 2 * ETHER)
    assert len(await chain.positions_of(holder.account, "latest", with_closed=True)) == 2
    (record,) = await chain.unbondings_of(holder.account, "latest")
    assert (record.id, record.worth, record.ready_at) == (leaving.id, ETHER, leaving.ready_at)
    with pytest.raises(NotReadyYet):
        await bridge.send(calls.withdraw_bond(leaving.id), holder)
    await bridge.pass_time(TERMS.unbonding_seconds)
    (paid,) = await bridge.events_of(calls.withdraw_bond(leaving.id), holder)
    assert isinstance(paid, e.Withdrawn)
    assert (paid.owner, paid.amount) == (holder.account, ETHER)
    with pytest.raises(NoSuchUnbonding):
        await bridge.send(calls.withdraw_bond(leaving.id), holder)
    assert await chain.unbondings_of(holder.account, "latest") == []


async def test_roles_are_taken_and_given_up(bridge: NativeBridge) -> None:
    """A storeman of a group takes bonds; a voucher keeps its minimum until it leaves, and then has no weight at all."""
    chain, calls = bridge.chain, bridge.chain.calls
    storeman, voucher = await bridge.account(bridge.storemen[0]), await bridge.account(bridge.vouchers[1])
    stranger = await bridge.account()
    with pytest.raises(NotAnOperator):
        await bridge.send(calls.join_as_storeman(bridge.group), stranger)
    with pytest.raises(NotAnOperator):
        await bridge.send(calls.delegate(stranger.account, Wei(1)), stranger)
    await bridge.send(calls.join_as_storeman(bridge.group, 500, Wei(ETHER)), storeman)
    joined = await chain.operator(storeman.account, "latest")
    assert joined is not None
    assert (joined.bond, joined.commission_bps, joined.is_storeman, joined.is_voucher) == (ETHER, 500, True, False)
    await bridge.send(calls.set_commission(300), storeman)
    lowered = await chain.operator(storeman.account, "latest")
    assert lowered is not None
    assert lowered.commission_bps == 300
    with pytest.raises(BadInput):
        calls.set_commission(10_001)

    (own,) = await chain.positions_of(voucher.account, "latest")
    with pytest.raises(StakeTooSmall):
        await bridge.send(calls.deposit_bond(Wei(0)), voucher)
    with pytest.raises(BelowMinimumStake):
        await bridge.send(calls.unbond(own.id, Wei(1)), voucher)
    await bridge.send(calls.deposit_bond(Wei(ETHER)), voucher)
    assert (await chain.vouchers("latest")).weight_of(voucher.account) == 2 * ETHER
    found = await bridge.events_of(calls.leave_vouchers(), voucher)
    assert [event.account for event in found if isinstance(event, e.VoucherRemoved)] == [voucher.account]
    committee = await chain.vouchers("latest")
    assert committee.total_weight == 2 * STAKE
    assert [v.index for v in committee.vouchers] == [0, 2]
    left = await chain.operator(voucher.account, "latest")
    assert left is not None
    assert (left.is_voucher, left.was_voucher, left.unbonding_bond) == (False, True, 2 * ETHER)


async def test_two_conflicting_attestations_cost_the_bond(bridge: NativeBridge) -> None:
    """Anybody proves a lie with its two signatures; bond, delegators and role suffer at once, and never twice."""
    chain, calls = bridge.chain, bridge.chain.calls
    liar, reporter, holder = bridge.vouchers[0], await bridge.account(), await bridge.account()
    account = account_of_secret(liar)
    await bridge.send(calls.delegate(account, Wei(ETHER)), holder)

    def attested(amount: int, signer: bytes = liar, number: int = 1) -> Statement:
        words = (ASSET.id, bytes([number]) * 32, word(0), word(amount), account.rjust(32, b"\0"), bridge.group)
        plain = Statement(StatementKind.DEPOSIT_ATTESTATION, words, b"")
        signature = sign_digest(signer, chain.hub_digests.statement(plain))
        return Statement(plain.kind, words, signature)

    for first, second in (
        (attested(1), attested(1)),
        (attested(1), attested(2, number=2)),
        (attested(1), attested(2, signer=bridge.vouchers[1])),
    ):
        with pytest.raises(NoConflict):
            await bridge.send(calls.report(first, second), reporter)
    found = await bridge.events_of(calls.report(attested(1), attested(2)), reporter)
    (slashed,) = [event for event in found if isinstance(event, e.Slashed)]
    assert (slashed.voucher, slashed.reporter) == (account, reporter.account)
    assert (slashed.cut, slashed.reward) == (ETHER, ETHER // 10)
    assert await chain.insurance("latest") == ETHER - ETHER // 10
    committee = await chain.vouchers("latest")
    assert (committee.weight_of(account), committee.total_weight) == (0, 2 * ETHER)
    (mine,) = await chain.positions_of(holder.account, "latest")
    assert mine.worth == ETHER // 2
    with pytest.raises(AlreadySlashed):
        await bridge.send(calls.report(attested(1), attested(3)), reporter)
    with pytest.raises(OperatorSlashed):
        await bridge.send(calls.delegate(account, Wei(1)), holder)
    await bridge.send(calls.pay_insurance(reporter.account, Wei(ETHER // 2)))
    assert await chain.insurance("latest") == ETHER - ETHER // 10 - ETHER // 2


async def test_a_commission_comes_before_the_delegators_share(bridge: NativeBridge) -> None:
    """Of what a voucher earned its commission goes to it, the rest to its bonds by share, and each claims its own."""
    chain, calls = bridge.chain, bridge.chain.calls
    await bridge.send(calls.set_asset_policy(ASSET.id, replace(POLICY, fee_bps=100)))
    voucher, holder = await bridge.account(bridge.vouchers[0]), await bridge.account()
    await bridge.send(calls.delegate(voucher.account, Wei(3 * ETHER)), holder)
    await bridge.pass_time(TERMS.unbonding_seconds)
    await bridge.send(calls.set_commission(1_000), voucher)
    await bridge.pass_time(TERMS.unbonding_seconds)
    claim = DepositClaim(ASSET.id, b"\x01" * 32, 0, TokenUnits(121_000), account_of_secret(USER), bridge.group)
    digest = chain.hub_digests.deposit_attestation(
        claim.asset, claim.txid, claim.vout, claim.amount, claim.recipient, claim.group
    )
    await bridge.send(calls.mint(claim, bridge.signed(digest, bridge.vouchers)))
    await bridge.send(calls.distribute(ASSET.id, None, 0b111))  # 1,200 units: 400 each
    token = await chain.token_of(ASSET.id, "latest")
    assert token is not None
    assert await chain.commission_owed(voucher.account, token, "latest") == 40
    own, delegated = await chain.positions_of(voucher.account, "latest")
    shares = [await chain.claimable(p.id, token, "latest") for p in (own, delegated)]
    # 90 and 270, less the fraction of a unit that each position may be behind.
    assert shares[0] in (89, 90)
    assert shares[1] in (269, 270)
    await bridge.send(calls.claim_fees(delegated.id, token), holder)
    await bridge.send(calls.claim_fees(own.id, token), voucher)
    await bridge.send(calls.claim_commission(token), voucher)
    assert await chain.token_balance(token, holder.account) == shares[1]
    assert await chain.token_balance(token, voucher.account) == 40 + shares[0]
    with pytest.raises(NothingToClaim):
        await bridge.send(calls.claim_fees(delegated.id, token), holder)


def word(value: int) -> bytes:
    """A number as one word."""
    return value.to_bytes(32, "big")
