"""Lockbox, Hub and Bonds together, under any order of acts: what is locked covers what exists, to the last unit.

A majority of the vouchers and the group tell the truth, late or early, in any order and as often as they like;
everybody else does what pays. CAUSEWAY_STATEFUL_EXAMPLES=500 makes a long run of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import boa
import pytest
from coincurve import PublicKeyXOnly
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.bridge_model import CLAIMED, ENDED, FAILED, PAID, UNPAID, Lock, Model, Release
from tests.support.hub_model import CANCELLED, REQUESTED, RESERVED, RESTORED, SETTLED, accepted
from tests.support.lockbox import BOB, REFUSE, RETURN, Payment, Vault, actor, at, deploy_lockbox
from tests.support.native_contracts import (
    COIN_POLICY,
    NOBODY,
    SLASH_BPS,
    UNBONDING_SECONDS,
    ZERO,
    account,
    build_world,
    event,
    events,
    outpoint,
    policy_with,
    service_fee,
    sign,
    typed,
)
from tests.support.native_vaults import EVM_SECRET, EvmSide, add_evm_side

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("CAUSEWAY_STATEFUL_EXAMPLES", "7"))
STEPS = 30 if EXAMPLES <= 12 else 60
START = 1_800_000_000

ALICE, USER, DELEGATOR, THIEF = (account(name).address for name in ("alice", "user", "delegator", "thief"))
POLICY = policy_with(COIN_POLICY, fee_bps=37, fee_floor=3)

pick = st.integers(0, 7)
crowd = st.sampled_from([[0, 1, 2], [1, 2, 3], [0, 2, 3], [0, 1, 2, 3], [0, 1], [3], []])
"""Which of the vouchers sign; half of the time more than two thirds, while nobody was slashed."""


@lru_cache(maxsize=1)
def deployed() -> tuple[EvmSide, Vault, Any]:
    """One deployment for all examples, which put it back as it was; and a payee that refuses coin."""
    vault = Vault(deploy_lockbox(PublicKeyXOnly.from_secret(EVM_SECRET).format()), EVM_SECRET)
    evm = add_evm_side(build_world(), vault.address)
    evm.world.registry.set_asset_policy(evm.coin, POLICY, sender=evm.world.owner)
    stubborn = actor()
    stubborn.behaves(REFUSE, ZERO, b"")
    return evm, vault, stubborn


@pytest.fixture(scope="module", autouse=True)
def _deployed_before_the_examples() -> None:
    """boa takes back whatever an example deploys, so that the deployment has to be there before the first."""
    deployed()


class BridgeMachine(RuleBasedStateMachine):
    """Two chains in one EVM: every answer of Lockbox, Hub and Bonds is foretold."""

    def __init__(self) -> None:
        super().__init__()
        self._anchor, self._time = boa.env.anchor(), boa.env.timestamp
        self._anchor.__enter__()
        boa.env.timestamp = START
        evm, vault, self.stubborn = deployed()
        self.world = replace(evm.world)
        self.evm, self.vault = replace(evm, world=self.world), replace(vault)
        self.hub, self.bonds, self.model = self.world.hub, self.world.bonds, Model()
        self.brought: list[Callable[[], object]] = []
        # From the start there is something to withdraw, and a payment that will fail.
        self.coin_is_locked(amount=10**9)
        self.lock_is_minted(number=0, by=[0, 1, 2], more=0)
        self.token = self.evm.token
        self.token.approve(self.hub.address, 2**256 - 1, sender=USER)
        for refuses in (False, True):
            self.user_withdraws(amount=10**6, fee=77, refuses=refuses)
        self.withdrawals_are_reserved(count=2)

    def teardown(self) -> None:
        """Put the deployment back as it was."""
        self._anchor.__exit__(None, None, None)
        boa.env.timestamp = self._time

    # --- In ---

    @rule(amount=st.sampled_from([999, 1_000, 123_457, 10**9]))
    def coin_is_locked(self, amount: int) -> None:
        """Somebody locks coin, perhaps too little to be minted."""
        self.model.locks.append(Lock(self.vault.lock(amount), amount))

    @precondition(lambda self: self.model.locks)
    @rule(number=pick, by=crowd, more=st.sampled_from([0, 0, 0, 1]))
    def lock_is_minted(self, number: int, by: list[int], more: int) -> None:
        """Vouchers attest a lock; a single one would attest more than was locked."""
        lock = self.model.locks[number % len(self.model.locks)]
        by = by[:1] if more else by
        deposit = self.evm.deposit(0, lock.amount + more, txid=lock.id)
        signatures = self.signatures(by, "DepositAttestation", *deposit)
        fine = self.model.enough(by) and not lock.end and lock.amount >= POLICY[0]
        self.bring(lambda: self.hub.mint(deposit, signatures), fine)
        if fine:
            assert not more
            lock.end = "minted"
            self.model.note(NOBODY, self.model.bits(by), service_fee(POLICY, lock.amount))

    @precondition(lambda self: self.model.locks)
    @rule(number=pick)
    def lock_is_returned(self, number: int) -> None:
        """The group bars a lock's mint, and sends it back once it is barred."""
        place = number % len(self.model.locks)
        lock = self.model.locks[place]
        values = (self.evm.coin, lock.id, 0, lock.amount, self.evm.group, 1)
        signed = self.world.countersign("DepositReturn", *values, by=self.evm.storemen[:2])
        fine = not lock.end
        self.bring(lambda: self.hub.return_deposit(*values, signed), fine)
        if fine:
            lock.end = "returned"
        if lock.end == "returned":
            self.carry([(RETURN | (place + 1), ZERO, ALICE, lock.amount, 0)])
            lock.end = "sent back"

    # --- Out ---

    @rule(amount=st.sampled_from([499, 500, 4_321, 10**6, 10**10]), fee=st.sampled_from([0, 77]), refuses=st.booleans())
    def user_withdraws(self, amount: int, fee: int, refuses: bool) -> None:
        """A user asks coin back, perhaps to a contract that takes none."""
        payee = at(self.stubborn) if refuses else BOB
        made: list[bytes] = []
        fine = POLICY[2] <= amount <= self.token.balanceOf(USER)
        assert accepted(lambda: made.append(self.evm.withdraw(amount, fee, bytes.fromhex(payee[2:])))) == fine
        if fine:
            service = service_fee(POLICY, amount)
            number = int(self.hub.withdrawal(made[0])[7])
            self.model.releases[made[0]] = Release(number, amount - service, fee, service, payee)

    @precondition(lambda self: self.model.releases)
    @rule(number=pick)
    def user_cancels(self, number: int) -> None:
        """A user wants its tokens back, whatever became of the withdrawal."""
        id_, one = self.any_release(number)
        fine = one.status == REQUESTED
        assert accepted(lambda: self.hub.cancel(id_, sender=USER)) == fine
        if fine:
            one.status = CANCELLED

    @rule(count=st.integers(1, 3))
    def withdrawals_are_reserved(self, count: int) -> None:
        """The group binds what is requested."""
        ids = [id_ for id_, one in self.model.releases.items() if one.status == REQUESTED][:count]
        if not ids:
            return
        made = self.evm.reserve(ids)
        self.model.payouts[made] = ids
        for id_ in ids:
            self.model.releases[id_].status, self.model.releases[id_].payout = RESERVED, made

    @precondition(lambda self: self.model.payouts)
    @rule(number=pick, others=st.booleans(), thief=st.booleans())
    def release_is_carried(self, number: int, others: bool, thief: bool) -> None:
        """Anyone carries a signed release, whenever and as often as it likes, alone or with another's payments."""
        payouts = list(self.model.payouts.values())
        ids = payouts[number % len(payouts)] + (payouts[(number + 1) % len(payouts)] if others else [])
        payments = [self.model.releases[id_].payment for id_ in ids]
        if thief:  # without the group's signature there is none of its messages for another payee
            forged = [(*payment[:2], THIEF, *payment[3:]) for payment in payments]
            proof = self.vault.sign_release(payments)
            assert not accepted(lambda: self.vault.lockbox.release(forged, proof))
            return
        fine = any(not self.model.releases[id_].outcome for id_ in ids)
        assert accepted(lambda: self.carry(payments)) == fine
        for id_ in ids if fine else []:
            one = self.model.releases[id_]
            one.outcome = one.outcome or (FAILED if one.payee == at(self.stubborn) else PAID)

    @precondition(lambda self: any(one.outcome == FAILED for one in self.model.releases.values()))
    @rule(number=pick)
    def failed_payment_is_claimed(self, number: int) -> None:
        """Its payee finds an account that takes coin."""
        failed = [one for one in self.model.releases.values() if one.outcome == FAILED]
        one = failed[number % len(failed)]
        values = (one.number, ZERO, one.owed, BOB)
        assert not accepted(lambda: self.vault.lockbox.claim(*values, sender=THIEF))
        self.vault.lockbox.claim(*values, sender=at(self.stubborn))
        assert not accepted(lambda: self.vault.lockbox.claim(*values, sender=at(self.stubborn)))
        one.outcome = CLAIMED

    @precondition(lambda self: any(one.status in (RESERVED, SETTLED) for one in self.model.releases.values()))
    @rule(number=pick)
    def release_is_cancelled(self, number: int) -> None:
        """The group ends a payment at the Lockbox, whether or not it was made."""
        bound = [one for one in self.model.releases.values() if one.status in (RESERVED, SETTLED)]
        one = bound[number % len(bound)]
        fine = one.outcome in ("", FAILED)
        assert accepted(lambda: self.vault.cancel(one.number)) == fine
        if fine:
            one.outcome = UNPAID if one.outcome == FAILED else ENDED

    @precondition(lambda self: self.model.payouts)
    @rule(number=pick, by=crowd)
    def payout_is_settled(self, number: int, by: list[int]) -> None:
        """Vouchers attest that all numbers of a payout are consumed; one alone does so before it is true."""
        payout = list(self.model.payouts)[number % len(self.model.payouts)]
        found = [self.model.releases[id_] for id_ in self.model.payouts[payout]]
        by = by if all(one.outcome for one in found) else by[:1]
        values = (payout, outpoint("carried")[0], sum(one.fee_paid for one in found))
        signatures = self.signatures(by, "PayoutSettlement", *values)
        fine = self.model.enough(by) and found[0].status == RESERVED
        self.bring(lambda: self.hub.settle(*values, signatures), fine)
        if fine:
            fees = sum(one.service_fee for one in found)
            self.model.note(self.evm.group, 0b011, fees // 2)
            self.model.note(NOBODY, self.model.bits(by), fees - fees // 2)
            for one in found:
                one.status = SETTLED

    @precondition(lambda self: self.model.releases)
    @rule(number=pick, by=crowd)
    def release_is_restored(self, number: int, by: list[int]) -> None:
        """Vouchers attest what the Lockbox cancelled; one alone would restore what was paid."""
        id_, one = self.any_release(number)
        truth = {ENDED: one.amount, UNPAID: one.amount - one.relay_fee}.get(one.outcome, 0)
        by = by if truth else by[:1]
        values = (id_, truth or one.amount)
        signatures = self.signatures(by, "ReleaseCancelled", *values)
        fine = self.model.enough(by) and one.status == SETTLED
        self.bring(lambda: self.hub.restore(*values, signatures), fine)
        if fine:
            one.status, one.mints = RESTORED, truth

    # --- Fees and bonds ---

    @rule(number=pick)
    def fees_are_distributed_and_claimed(self, number: int) -> None:
        """Anyone hands on what is pending; then the vouchers and their delegators claim what they can."""
        for group, signers in list(self.model.pending)[: number + 1]:
            self.hub.distribute(self.evm.coin, group, signers)
            self.model.distributed += self.model.pending.pop((group, signers))
        token = at(self.token)
        for position in range(1, self.bonds.position_count() + 1):
            if self.bonds.claimable(position, token):
                self.model.claimed += self.bonds.claim(position, token)
                assert not self.bonds.claimable(position, token)
        one = self.world.vouchers[number % 4].address
        if self.bonds.commission_owed(one, token):
            self.model.claimed += self.bonds.claim_commission(token, sender=one)

    @rule(place=st.integers(0, 3), amount=st.sampled_from([1, 10**16, 10**17]))
    def holder_delegates(self, place: int, amount: int) -> None:
        """Somebody bonds a little with a voucher, and so makes it weigh more; not with one that was slashed."""
        boa.env.set_balance(DELEGATOR, amount)
        operator = self.world.vouchers[place].address
        fine = self.model.weights[place] > 0
        assert accepted(lambda: self.bonds.delegate(operator, value=amount, sender=DELEGATOR)) == fine
        if fine:
            self.model.weights[place] += amount
            self.model.bonded += amount

    @rule(number=pick)
    def delegator_unbonds(self, number: int) -> None:
        """A delegator leaves: its bond weighs nothing from then on, and is paid after the time set."""
        open_ = [
            position
            for position in range(1, self.bonds.position_count() + 1)
            if str(self.bonds.position(position)[1]) == DELEGATOR and not self.bonds.position(position)[4]
        ]
        if not open_:
            return
        position = open_[number % len(open_)]
        worth, operator = self.bonds.worth(position), str(self.bonds.position(position)[0])
        if not worth:
            return
        unbonding = self.bonds.unbond(position, worth, sender=DELEGATOR)
        place = [one.address for one in self.world.vouchers].index(operator)
        if self.model.weights[place]:
            self.model.weights[place] -= worth
        assert not accepted(lambda: self.bonds.withdraw(unbonding))
        boa.env.timestamp += UNBONDING_SECONDS
        self.model.bonded -= self.bonds.withdraw(unbonding)

    @precondition(lambda self: all(self.model.weights) and self.model.locks)
    @rule(place=st.integers(0, 3), number=pick, percent=st.integers(0, 99))
    def liar_is_slashed(self, place: int, number: int, percent: int) -> None:
        """A voucher that told two stories of one lock loses bond and weight: the very next tally counts without it."""
        if percent < 60:
            return
        lock, one = self.model.locks[number % len(self.model.locks)], self.world.vouchers[place]
        stories = [self.evm.deposit(0, lock.amount + more, txid=lock.id) for more in (0, 5)]
        statements = [self.statement(one, story) for story in stories]
        assert not accepted(lambda: self.bonds.report(statements[0], statements[0]))
        bond = self.bonds.operator(one.address)[0]
        self.bonds.report(*statements, sender=THIEF)
        told = event(self.bonds, "Slashed")
        assert told["cut"] >= bond * SLASH_BPS // 10_000
        self.model.bonded -= told["reward"]
        self.model.weights[place] = 0
        assert tuple(self.bonds.weigh([one.address])) == (0, sum(self.model.weights), 0)
        assert not accepted(lambda: self.bonds.report(*statements))
        fresh = self.evm.deposit(0, 10**6, txid=outpoint(f"never locked {number}")[0])
        # The two lightest of the others never have more than two thirds; with the liar's old weight they would have.
        pair = sorted((other for other in range(4) if other != place), key=self.model.weights.__getitem__)[:2]
        signatures = self.signatures(sorted([*pair, place]), "DepositAttestation", *fresh)
        assert not self.model.enough(pair)
        assert not accepted(lambda: self.hub.mint(fresh, signatures))

    @precondition(lambda self: self.brought)
    @rule(number=st.integers(0, 100))
    def accepted_call_is_replayed(self, number: int) -> None:
        """Nothing that was signed for the Hub is accepted a second time, whenever."""
        assert not accepted(self.brought[number % len(self.brought)])

    # --- What always holds ---

    @invariant()
    def supply_and_fees_are_covered(self) -> None:
        """Tokens, pending fees and failed payments are at most what the Lockbox holds, and the rest is known."""
        found = self.model.releases.values()
        supply, pending = self.hub.supply(self.evm.coin), self.hub.pending_total(self.evm.coin)
        held = boa.env.get_balance(self.vault.address)
        under_way = sum(one.gone for one in found if one.status == RESERVED)
        owed = sum(one.owed for one in found)
        liabilities = supply + pending - under_way + owed
        assert pending == sum(self.model.pending.values())
        assert liabilities <= held
        waiting = sum(lock.amount for lock in self.model.locks if lock.end in ("", "returned"))
        restorable = sum(one.amount - one.gone for one in found if one.status == SETTLED)
        assert held - liabilities == waiting + restorable

    @invariant()
    def each_number_ends_once(self) -> None:
        """The Lockbox consumed exactly what was paid, failed or cancelled; the Hub's statuses are the foretold ones."""
        for id_, one in self.model.releases.items():
            assert self.vault.lockbox.consumed(one.number) == bool(one.outcome)
            assert (self.vault.lockbox.failed(one.number) != NOBODY) == (one.outcome == FAILED)
            assert self.hub.withdrawal(id_)[5] == one.status

    @invariant()
    def bonds_and_fees_are_conserved(self) -> None:
        """Bonds holds what was bonded less what was paid out; of fees, what was distributed less what was claimed."""
        assert boa.env.get_balance(at(self.bonds)) == self.model.bonded
        pools = [self.bonds.operator(one.address) for one in self.world.vouchers]
        assert sum(pool[0] + pool[2] for pool in pools) + self.bonds.insurance() == self.model.bonded
        assert self.token.balanceOf(at(self.bonds)) == self.model.distributed - self.model.claimed
        assert [self.bonds.weight_of(one.address) for one in self.world.vouchers] == self.model.weights
        assert self.bonds.total_weight() == sum(self.model.weights)

    # --- Helpers ---

    def bring(self, call: Callable[[], object], fine: bool) -> None:
        """Make a call whose answer is foretold; keep it for replays if it is accepted."""
        assert accepted(call) == fine
        if fine:
            self.brought.append(call)

    def carry(self, payments: list[Payment]) -> None:
        """Carry what the group signed; nobody is paid that was paid before."""
        self.vault.lockbox.release(payments, self.vault.sign_release(payments), sender=THIEF)
        told = [
            fields["number"] for name, fields in events(self.vault.lockbox) if name in ("Released", "PaymentFailed")
        ]
        assert len(told) == len(set(told)) > 0

    def signatures(self, by: list[int], name: str, *values: object) -> list[bytes]:
        """The signatures of some of the vouchers."""
        return sign([self.world.vouchers[place] for place in by], typed(self.hub, name, *values))

    def statement(self, one: Any, deposit: tuple[Any, ...]) -> tuple[int, list[bytes], bytes]:
        """A voucher's attestation as evidence."""
        (signature,) = sign([one], typed(self.hub, "DepositAttestation", *deposit))
        words = [
            value
            if isinstance(value, bytes)
            else (int(value, 16) if isinstance(value, str) else value).to_bytes(32, "big")
            for value in deposit
        ]
        return 1, words, signature

    def any_release(self, number: int) -> tuple[bytes, Release]:
        """One of the withdrawals."""
        return list(self.model.releases.items())[number % len(self.model.releases)]


TestBridge = BridgeMachine.TestCase
TestBridge.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS)
