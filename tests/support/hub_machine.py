"""What the stateful test of the Hub does besides deposits and payouts of bitcoin: releases, policies, halts, fees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import boa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.hub_model import (
    CANCELLED,
    REQUESTED,
    RESERVED,
    RESTORED,
    SETTLED,
    Model,
    Withdrawal,
    accepted,
    signatures_of,
)
from tests.support.native_contracts import COIN_POLICY, NOBODY, account, build_world, policy_with, typed
from tests.support.native_vaults import EvmSide, add_evm_side

USER = account("user").address
START = 1_800_000_000
FUNDS = 10**9

pick = st.integers(0, 7)
lies = ["all", "minority", "one", "nobody", "twice", "twins", "strangers"]
whose = st.sampled_from(["quorum"] * 2 * len(lies) + lies)


@lru_cache(maxsize=1)
def deployed() -> EvmSide:
    """One deployment for all examples, which put it back as it was: a world with an EVM chain."""
    return add_evm_side(build_world())


class BrakesAndReleases(RuleBasedStateMachine):
    """A world with an EVM chain, its model, and the acts that are not about bitcoin."""

    def __init__(self) -> None:
        super().__init__()
        self._anchor = boa.env.anchor()
        self._time = boa.env.timestamp
        self._anchor.__enter__()
        boa.env.timestamp = START
        self.world = replace(deployed().world)
        self.evm = replace(deployed(), world=self.world)
        self.model = Model()
        self.active = self.world.group
        self.brought: list[Callable[[], object]] = []

    def teardown(self) -> None:
        """Put the deployment back as it was."""
        self._anchor.__exit__(None, None, None)
        boa.env.timestamp = self._time

    # --- Releases on an EVM chain ---

    @rule(amount=st.sampled_from([499, 1_000, 1_000_000]))
    def release_is_requested(self, amount: int) -> None:
        """A user locks the coin of an EVM chain; nothing but a halt of everything, and the minimum, is in the way."""
        ids: list[bytes] = []
        fine = amount >= COIN_POLICY[2] and self.model.halts.get(NOBODY, 0) <= boa.env.timestamp
        assert accepted(lambda: ids.append(self.evm.withdraw(amount, 10))) == fine
        if fine:
            self.model.releases[ids[0]] = Withdrawal(amount, 10)

    @precondition(lambda self: self.model.releases)
    @rule(number=pick, how=whose)
    def release_is_reserved(self, number: int, how: str) -> None:
        """Storemen of that chain bind it, or bind it once more."""
        id_, one = self.any_release(number)
        values = (self.evm.group, self.evm.coin, [id_], [])
        message = typed(self.world.hub, "PayoutReservation", *values)
        signatures, enough = signatures_of(self.evm.storemen, how, 2, message)
        fine = enough and one.status == REQUESTED and self.model.halts.get(NOBODY, 0) <= boa.env.timestamp
        self.bring(lambda: self.world.hub.reserve(values, signatures), fine)
        if fine:
            one.status = RESERVED

    @precondition(lambda self: self.model.releases)
    @rule(number=pick, how=whose, fee=st.sampled_from([0, 10, 11]), void=st.booleans())
    def release_is_settled_or_voided(self, number: int, how: str, fee: int, void: bool) -> None:
        """Vouchers attest that it was paid, or try to undo it, which nobody can."""
        id_, one = self.any_release(number)
        payout = bytes(self.world.hub.withdrawal(id_)[6])
        name, values = ("AnchorSpent", (payout, NOBODY)) if void else ("PayoutSettlement", (payout, NOBODY, fee))
        call = self.world.hub.void_payout if void else self.world.hub.settle
        signatures, enough = signatures_of(self.world.vouchers, how, 3, typed(self.world.hub, name, *values))
        fine = enough and not void and one.status == RESERVED and fee <= one.max_fee
        self.bring(lambda: call(*values, signatures), fine)
        if fine:
            one.status = SETTLED

    @precondition(lambda self: self.model.releases)
    @rule(number=pick, amount=st.sampled_from([0, 1, 990, 1_000, 1_000_000, 1_000_001]), how=whose)
    def release_is_restored_or_cancelled(self, number: int, amount: int, how: str) -> None:
        """Vouchers attest that it was cancelled on its chain; its owner tries to cancel it here too."""
        id_, one = self.any_release(number)
        message = typed(self.world.hub, "ReleaseCancelled", id_, amount)
        signatures, enough = signatures_of(self.world.vouchers, how, 3, message)
        fine = enough and one.status == SETTLED and 0 < amount <= one.amount
        self.bring(lambda: self.world.hub.restore(id_, amount, signatures), fine)
        if fine:
            one.status, one.settled = RESTORED, amount
        cancelled = accepted(lambda: self.world.hub.cancel(id_, sender=USER))
        assert cancelled == (one.status == REQUESTED)
        if cancelled:
            one.status = CANCELLED

    # --- Others ---

    @rule(
        percent=st.integers(0, 99),
        bps=st.sampled_from([0, 25, 1_000]),
        floor=st.sampled_from([0, 700]),
        limits=st.sampled_from([(0, 0), (0, 0), (200_000, 60_000)]),
    )
    def policy_is_changed(self, percent: int, bps: int, floor: int, limits: tuple[int, int]) -> None:
        """The owner changes fees and limits, and pauses or denies; most of the time the bridge is open."""
        self.model.policy = policy_with(
            paused=80 <= percent < 90, denied=percent >= 90, fee_bps=bps, fee_floor=floor,
            deposit_limit=limits[0], withdrawal_limit=limits[1],
        )  # fmt: skip
        self.world.registry.set_asset_policy(self.world.asset, self.model.policy, sender=self.world.owner)

    @rule(seconds=st.sampled_from([1, 3_600, 86_400]))
    def time_passes(self, seconds: int) -> None:
        """Halts end, and windows."""
        boa.env.timestamp += seconds

    @rule(seconds=st.sampled_from([0, 60, 7_200, 604_801]), everything=st.booleans(), how=whose)
    def hub_is_halted(self, seconds: int, everything: bool, how: str) -> None:
        """Vouchers of more than a third halt the asset, or everything."""
        asset, until = NOBODY if everything else self.world.asset, boa.env.timestamp + seconds
        message = typed(self.world.hub, "Halt", asset, until)
        signatures, enough = signatures_of(self.world.vouchers, how, 2, message)
        fine = enough and 0 < seconds <= 604_800 and until > self.model.latest.get(asset, 0)
        self.bring(lambda: self.world.hub.halt(asset, until, signatures), fine)
        if fine:
            self.model.halts[asset] = self.model.latest[asset] = until

    @precondition(lambda self: self.model.halts)
    @rule(everything=st.booleans(), how=whose, other=st.booleans())
    def hub_is_resumed(self, everything: bool, how: str, other: bool) -> None:
        """Vouchers of more than two thirds lift a halt: the present one, and no other."""
        asset = NOBODY if everything else self.world.asset
        until = self.model.halts.get(asset, 0) + other
        message = typed(self.world.hub, "Resume", asset, until)
        signatures, enough = signatures_of(self.world.vouchers, how, 3, message)
        fine = enough and not other and until > boa.env.timestamp
        self.bring(lambda: self.world.hub.resume(asset, until, signatures), fine)
        if fine:
            self.model.halts[asset] = 0

    @rule(number=pick)
    def fees_are_distributed(self, number: int) -> None:
        """Anyone hands pending fees on, or asks for some that nobody earned."""
        keys = [*self.model.pending, (NOBODY, 2**4 - 1), (self.active, 1)]
        group, signers = keys[number % len(keys)]
        amount = self.model.pending.pop((group, signers), 0)
        made = accepted(lambda: self.world.hub.distribute(self.world.asset, group, signers))
        assert made == (amount > 0)
        self.model.distributed += amount

    @invariant()
    def releases_end_once(self) -> None:
        """The coin's supply is what was locked less what was settled and never restored."""
        gone = 0
        for id_, one in self.model.releases.items():
            assert self.world.hub.withdrawal(id_)[5] == one.status
            gone += one.amount if one.status == SETTLED else one.amount - one.settled if one.status == RESTORED else 0
        assert self.world.hub.supply(self.evm.coin) == FUNDS - gone

    def bring(self, call: Callable[[], object], fine: bool) -> None:
        """Make a call whose answer is foretold; keep it for replays if it is accepted."""
        assert accepted(call) == fine
        if fine:
            self.brought.append(call)

    def any_release(self, number: int) -> tuple[bytes, Withdrawal]:
        """One of the withdrawals to the EVM chain."""
        return list(self.model.releases.items())[number % len(self.model.releases)]
