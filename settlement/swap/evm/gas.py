"""The gas that a side's acts at the Escrow take, and the coin that has to be kept for it until they are done. Pure.

The Escrow pays a claim only if enough gas is left for the payee, whatever that one uses of it (`_COIN_GAS_LEFT` and
`_TOKEN_GAS_LEFT` of contracts/src/escrow_payments.vy). So a claim needs several times what it costs in the end, and the
account has to hold it all. Chains that charge gas for data elsewhere (Arbitrum) ask for more than is said here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderPolicy
from adapters.evm.lockbox.types import NATIVE_COIN
from foundation.quantities import Wei
from settlement.swap.planning.conditions import EvmConditions
from settlement.swap.terms import Role


@dataclass(frozen=True, slots=True)
class Least:
    """The least gas with which an act succeeds, as a transaction. Fields: coin, token (by what is locked)."""

    coin: int
    token: int

    def limit(self, asset: bytes) -> int:
        """The gas limit with which a sender sends it: the account has to bear that."""
        return SenderPolicy().with_margin(self.coin if asset == NATIVE_COIN else self.token)


CLAIM: Final = Least(coin=127_000, token=347_500)
"""By a point; by a hash it is 3,000 less."""
LOCK: Final = Least(coin=66_000, token=160_000)
"""With its memo. Tokens differ: with room for one that does twice the work of a plain one."""
APPROVE: Final = Least(coin=0, token=60_000)
RETURN: Final = Least(coin=75_000, token=130_000)
"""After the time-out, or by the other side's word, to an account that was empty. Room for tokens as above."""


@dataclass(frozen=True, slots=True)
class GasNeed:
    """Gas that is needed yet. Fields: claims (they have to be in a block in time); others (they may wait)."""

    claims: int = 0
    others: int = 0

    def __add__(self, more: GasNeed) -> GasNeed:
        return GasNeed(self.claims + more.claims, self.others + more.others)

    def cost(self, base_fee: Wei, fees: FeePolicy, conditions: EvmConditions) -> Wei:
        """The coin to be kept for it.

        What may wait is reckoned as the sender bids for it now. A claim may not wait for the base fee to fall: its bid
        has to be borne at `fee_stress` times the present one.

        Args:
            base_fee: the newest block's, wei per gas.
            fees: how the sender bids.
            conditions: what the planner reckons with.
        """
        now, stress = fees.capped(base_fee), fees.capped(base_fee, conditions.fee_stress)
        return Wei(self.others * now.max_fee + self.claims * stress.max_fee)

    def plain_cost(self, base_fee: Wei, fees: FeePolicy) -> Wei:
        """What a sender wants the account to have for it now."""
        return Wei((self.claims + self.others) * fees.capped(base_fee).max_fee)


def lock_need(asset: bytes) -> GasNeed:
    """For an initiator that has not locked yet."""
    approval = 0 if asset == NATIVE_COIN else APPROVE.limit(asset)
    return GasNeed(others=LOCK.limit(asset) + approval) + return_need(asset)


def return_need(asset: bytes) -> GasNeed:
    """For an initiator whose lock may have to go back."""
    return GasNeed(others=RETURN.limit(asset))


def claim_need(asset: bytes) -> GasNeed:
    """For a follower that has not claimed yet."""
    return GasNeed(claims=CLAIM.limit(asset))


def whole_need(role: Role, asset: bytes) -> GasNeed:
    """For all of a side's part."""
    return lock_need(asset) if role is Role.INITIATOR else claim_need(asset)
