"""Hub: deposits from and withdrawals to an EVM chain, releases that anyone carries, and those that are cancelled."""

from __future__ import annotations

import boa
import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.support.native_contracts import (
    COIN_POLICY,
    NOBODY,
    P2TR,
    World,
    account,
    deposit_id,
    event,
    events,
    fee_key,
    outpoint,
    refused,
    refused_silently,
)
from tests.support.native_vaults import PAYEE, EvmSide, lock_id

USER = account("user").address
MINIMUM = COIN_POLICY[2]


def status(evm: EvmSide, id_: bytes) -> int:
    """The status of a withdrawal."""
    return int(evm.world.hub.withdrawal(id_)[5])


# --- In ---------------------------------------------------------------------------------------------------------------


def test_lock_is_minted_once(evm: EvmSide) -> None:
    """What was locked is minted under the lock's id, whatever is said about it a second time."""
    world, deposit = evm.world, evm.deposit(1)
    world.mint(deposit)
    assert event(world.hub, "DepositMinted")["id"] == deposit_id(evm.coin, lock_id(1), 0)
    assert world.hub.supply(evm.coin) == evm.token.balanceOf(USER) == 10**18
    with refused("Hub: deposit already final"):
        world.mint(evm.deposit(1, 10**20), by=world.vouchers)
    world.mint(evm.deposit(2))


def test_largest_amount_is_minted_and_locked(evm: EvmSide) -> None:
    """Amounts have 256 bits."""
    evm.fund(2**256 - 1)
    evm.withdraw(2**256 - 1, 2**256 - 2)
    assert evm.token.balanceOf(USER) == 0


def test_group_of_bitcoin_holds_no_ether(evm: EvmSide) -> None:
    """The vault's group is of the coin's own chain."""
    with refused("Hub: group not of asset"):
        evm.world.mint(evm.deposit(1, group=evm.world.group), by=evm.world.vouchers)


def test_refused_lock_is_returned_and_never_minted(evm: EvmSide) -> None:
    """t storemen of the chain's group bar a lock, so that the Lockbox can send it back."""
    values = (evm.coin, lock_id(3), 0, 999, evm.group, 2)
    signed = evm.world.countersign("DepositReturn", *values, by=evm.storemen[:2])
    evm.world.hub.return_deposit(*values, signed)
    with refused("Hub: deposit already final"):
        evm.world.mint(evm.deposit(3), by=evm.world.vouchers)


# --- Out --------------------------------------------------------------------------------------------------------------


def test_withdrawal_names_an_account_and_a_relay_fee(rich: EvmSide) -> None:
    """The number is what the Lockbox pays by; it counts from 1 over all assets."""
    hub = rich.world.hub
    id_ = rich.withdraw(10**9, 1_000)
    told = {"id": id_, "asset": rich.coin, "owner": USER, "amount": 10**9, "max_fee": 1_000, "destination": PAYEE}
    assert event(hub, "WithdrawalRequested") == told | {"number": 1, "fee": 0}
    rich.world.fund(100_000)
    rich.world.withdraw()
    assert hub.withdrawal(rich.withdraw())[7] == 3
    assert id_ == keccak(encode(["uint256", "address", "uint256"], (1, str(hub.address), 1)))


@pytest.mark.parametrize("destination", [b"", PAYEE[:19], PAYEE + b"\x00", bytes(20), P2TR, b"\x00\x14" + PAYEE])
def test_destination_that_is_no_account_is_refused(rich: EvmSide, destination: bytes) -> None:
    """20 bytes that are not all zero: no script is paid on an EVM chain."""
    with refused("Hub: bad destination"):
        rich.withdraw(destination=destination)


def test_account_is_no_destination_for_bitcoin(funded: World) -> None:
    """20 bytes are no script."""
    with refused("Hub: bad destination"):
        funded.withdraw(destination=PAYEE)


def test_relay_fee_leaves_something_for_the_payee(rich: EvmSide) -> None:
    """The carrier's fee is below what is left after the service fee; there is no dust on an EVM chain."""
    rich.set_policy(fee_floor=100)
    for fee in (900, 901, 2**256 - 1):
        with refused("Hub: relay fee too high"):
            rich.withdraw(1_000, fee)
    rich.withdraw(1_000, 899)
    with refused("Hub: withdrawal too small"):
        rich.withdraw(MINIMUM - 1, 0)


def test_relay_fee_is_raised_only_before_the_reservation(rich: EvmSide) -> None:
    """A signed release says what its carrier gets, so the fee stands from the reservation on."""
    hub = rich.world.hub
    id_ = rich.withdraw(10_000, 5)
    with refused("Hub: relay fee too high"):
        hub.raise_max_fee(id_, 10_000, sender=USER)
    hub.raise_max_fee(id_, 9_999, sender=USER)
    rich.reserve([id_])
    with refused("Hub: relay fee is fixed"):
        hub.raise_max_fee(id_, 9_999, sender=USER)


def test_reservation_has_no_inputs_and_is_final(rich: EvmSide) -> None:
    """A payout of an EVM chain binds withdrawals alone; it is stored with a zero anchor and never made again."""
    hub = rich.world.hub
    ids = [rich.withdraw(), rich.withdraw()]
    with refused("Hub: inputs not expected"):
        rich.reserve(ids, inputs=[outpoint(1)])
    made = rich.reserve(ids)
    assert made == keccak(encode(["bytes32", "bytes32[]", "bytes32"], (rich.group, ids, NOBODY)))
    assert tuple(hub.payout(made)) == (rich.group, rich.coin, NOBODY, 1, 1, ids, [], 0b011)
    with refused("Hub: reservation used"):
        rich.reserve(ids, by=rich.storemen)
    with refused("Hub: already reserved"):
        rich.reserve(ids[:1])
    with refused("Hub: withdrawal not requested"):
        rich.reserve([rich.withdraw(), ids[0]])
    with refused("Hub: not the owner"):
        hub.cancel(ids[0])
    with refused("Hub: withdrawal not requested"):
        hub.cancel(ids[0], sender=USER)


def test_bitcoin_still_needs_inputs(funded: World) -> None:
    """A payout of bitcoin without coins is refused."""
    with refused("Hub: no inputs"):
        funded.reserve([funded.withdraw()], [])


def test_payout_of_one_chain_takes_no_withdrawal_of_another(rich: EvmSide) -> None:
    """Withdrawals of bitcoin are not bound by the EVM chain's storemen."""
    rich.world.fund(100_000)
    with refused("Hub: withdrawal of other asset"):
        rich.reserve([rich.withdraw(), rich.world.withdraw()])
    with refused("Hub: no quorum of storemen"):
        rich.reserve([rich.withdraw()], by=rich.world.storemen[:2])


def test_release_is_never_voided(rich: EvmSide) -> None:
    """What was signed stays good for ever, so no majority can make its withdrawals requested again."""
    payout = rich.reserve([rich.withdraw()])
    with refused("Hub: no anchor"):
        rich.world.void(payout)


def test_settlement_burns_and_notes_the_fees(rich: EvmSide) -> None:
    """The relay fees that were paid are at most those that were named; service fees go to signers and attesters."""
    hub = rich.world.hub
    rich.set_policy(fee_bps=10)
    ids = [rich.withdraw(10**9, 1_000), rich.withdraw(10**9, 2_000)]
    payout = rich.reserve(ids, by=rich.storemen[1:])
    with refused("Hub: fee above the limits"):
        rich.world.settle(payout, fee=3_001)
    rich.world.settle(payout, fee=3_000)
    told = event(hub, "PayoutSettled")
    assert (told["burnt"], told["service_fee"]) == (2 * 10**9, 2 * 10**6)
    assert hub.supply(rich.coin) == 10**18 - 2 * 10**9
    keys = (fee_key(rich.group, 0b110), fee_key(NOBODY, 0b111))
    assert [hub.pending_fees(rich.coin, key) for key in keys] == [10**6, 10**6]
    with refused("Hub: payout not live"):
        rich.world.settle(payout, fee=0)


# --- Releases ---------------------------------------------------------------------------------------------------------


def test_release_is_published_by_anyone_while_its_payout_lives(rich: EvmSide) -> None:
    """The signature is told to everybody who would carry it, and nothing else happens."""
    hub = rich.world.hub
    payout = rich.reserve([rich.withdraw()])
    proof = (b"\x01" * 32, b"\x02" * 32, b"\x03" * 32)
    hub.publish_release(payout, 4, proof, sender=account("stranger").address)
    told = {"payout": payout, "epoch": 4, "rx": proof[0], "s": proof[1], "ry": proof[2]}
    assert events(hub) == [("ReleasePublished", told)]
    rich.world.settle(payout, fee=0)
    for ended in (payout, b"\x09" * 32):
        with refused("Hub: payout not live"):
            hub.publish_release(ended, 4, proof)


# --- Back -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [1, 10**9 - 1_000, 10**9])
def test_cancelled_release_is_minted_back_once(rich: EvmSide, amount: int) -> None:
    """The owner gets what the Lockbox kept, at most the withdrawal's amount, and nothing ever again."""
    hub = rich.world.hub
    id_ = rich.settled()
    supply, balance = hub.supply(rich.coin), rich.token.balanceOf(USER)
    rich.world.restore(id_, amount)
    assert ("WithdrawalRestored", {"id": id_, "amount": amount}) in events(hub)
    assert (hub.supply(rich.coin), rich.token.balanceOf(USER)) == (supply + amount, balance + amount)
    assert status(rich, id_) == 5
    with refused("Hub: not settled"):
        rich.world.restore(id_, 1, by=rich.world.vouchers)
    with refused("Hub: withdrawal not requested"):
        hub.cancel(id_, sender=USER)


@pytest.mark.parametrize("amount", [0, 10**9 + 1, 2**256 - 1])
def test_no_more_is_restored_than_was_withdrawn(rich: EvmSide, amount: int) -> None:
    """All vouchers together cannot restore more than the amount, the service fee not included; nor nothing."""
    rich.set_policy(fee_bps=10)
    id_ = rich.settled(10**9 + 10**6)
    limit = rich.world.hub.withdrawal(id_)[2]
    with refused("Hub: more than withdrawn"):
        rich.world.restore(id_, amount if amount == 0 else max(amount, limit + 1), by=rich.world.vouchers)
    rich.world.restore(id_, limit)


def test_only_what_is_settled_is_restored(rich: EvmSide) -> None:
    """Neither unknown, requested, reserved nor cancelled withdrawals."""
    requested, reserved, cancelled = rich.withdraw(), rich.withdraw(), rich.withdraw()
    rich.reserve([reserved])
    rich.world.hub.cancel(cancelled, sender=USER)
    for id_ in (requested, reserved, cancelled, b"\x09" * 32):
        with refused("Hub: not settled"):
            rich.world.restore(id_, 1, by=rich.world.vouchers)


def test_bitcoin_is_never_restored(funded: World) -> None:
    """What bitcoin paid is paid: there is no release to cancel."""
    id_ = funded.withdraw()
    funded.settle(funded.reserve([id_], [outpoint(1)]))
    with refused("Hub: not a release"):
        funded.restore(id_, 1, by=funded.vouchers)


def test_restoring_needs_more_than_two_thirds_and_works_while_halted(rich: EvmSide) -> None:
    """Two of four vouchers restore nothing; neither a halt nor a delisting keeps an owner from its tokens."""
    id_ = rich.settled()
    rich.set_policy(denied=True, paused=True)
    rich.world.halt(boa.env.timestamp + 60, rich.coin)
    with refused("Hub: not enough weight"):
        rich.world.restore(id_, 10**9, by=rich.world.vouchers[:2])
    rich.world.restore(id_, 10**9)


def test_largest_batch_fits(rich: EvmSide) -> None:
    """32 withdrawals in one release."""
    ids = [rich.withdraw(1_000, 1) for _ in range(33)]
    with refused_silently():
        rich.reserve(ids)
    rich.world.settle(rich.reserve(ids[:32]), fee=32)
    assert {status(rich, id_) for id_ in ids} == {3, 1}
