"""What a claim or refund bids, what a replacement bids, and the watchtower's ladder of refunds. Pure.

Sources: BIP-125; Bitcoin Core, policy/rbf.cpp (PaysForRBF): a replacement pays more than all that it replaces paid, and
for its own relay on top. What stands in the way may be the other side's, too: after T2 claim and refund race, and who
bids more is mined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from adapters.bitcoin.builders import fee_at
from adapters.bitcoin.fees import ROUNDING, FeePolicy, replacement_fee
from adapters.bitcoin.primitives import Coin
from adapters.bitcoin.scripts import dust_threshold
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB
from settlement.swap.bitcoin.output import SwapOutput
from settlement.swap.terms import Role

LADDER_FACTOR: Final = (8, 5)
"""Each rung of a ladder pays 1.6 times the one before it: from 1 to 500 sat/vB in 15 rungs."""
MAX_LADDER: Final = 64


@dataclass(frozen=True, slots=True)
class Market:
    """What a node says of fees, in sat/kvB. Fields: estimate (None where it has none); floor (of its mempool now);
    incremental (what a replacement pays for its own relay)."""

    estimate: SatPerKvB | None
    floor: SatPerKvB
    incremental: SatPerKvB


@dataclass(frozen=True, slots=True)
class Standing:
    """What the mempool has in our place. Fields: txid; fee (its own and its children's); vsize (its own alone)."""

    txid: bytes
    fee: Satoshi
    vsize: int


@dataclass(frozen=True, slots=True)
class Bid:
    """What a transaction is to pay. Fields: rate; minimum_fee (the whole fee is at least this)."""

    rate: SatPerKvB
    minimum_fee: Satoshi = Satoshi(0)


def bid(policy: FeePolicy, market: Market, vsize: int, most: Satoshi) -> Bid:
    """What a new transaction of `vsize` virtual bytes bids, where nothing stands in its place.

    Unlike a vault's, this transaction is in a race: where the market asks more than the policy's cap, it bids the cap,
    and where a coin is too small for the market, all that it has but dust. `most`: the highest fee that the coin bears.

    Raises:
        BadInput: the coin bears not even the policy's floor: it is not worth moving.
    """
    highest = _highest(policy, vsize, most)
    wanted = max(policy.fallback if market.estimate is None else market.estimate, policy.floor, market.floor)
    return Bid(SatPerKvB(min(wanted, highest)))


def outbid(
    policy: FeePolicy, market: Market, vsize: int, most: Satoshi, standing: Standing, *, is_ours: bool
) -> Bid | None:
    """What a transaction bids to take the place of one in the mempool; None where the cap or the coin leaves no room.

    An own one is raised by a quarter at least, so that few steps lead to the cap; the other side's just as it must be.

    Raises:
        BadInput: as `bid`.
    """
    highest = _highest(policy, vsize, most)
    rate = bid(policy, market, vsize, most).rate
    # With its children's fees this is more than its true rate, which a replacement has to exceed as well.
    current = SatPerKvB(standing.fee * 1000 // standing.vsize)
    needed = replacement_fee(standing.fee, vsize, market.incremental)
    minimum = Satoshi(max(needed, fee_at(SatPerKvB(current + 1), vsize)))
    if minimum > most or minimum > fee_at(policy.highest, vsize):
        return None
    if not is_ours:
        return Bid(rate, minimum)
    higher = policy.bump_rate(current, SatPerKvB(max(rate, current + 1)), market.incremental)
    return None if higher is None or higher > highest else Bid(higher, minimum)


def _highest(policy: FeePolicy, vsize: int, most: Satoshi) -> SatPerKvB:
    afforded = most * 1000 // vsize
    if afforded < policy.floor:
        raise BadInput("amount", f"bears a fee of {most:,} satoshi at most", "it is worth less than it costs to move")
    return SatPerKvB(min(policy.highest, afforded))


def most_fee(coin: Coin, destination: bytes) -> Satoshi:
    """The highest fee that leaves no dust; negative where the coin itself is dust."""
    return Satoshi(coin.value - dust_threshold(destination))


def ladder(floor: SatPerKvB, cap: SatPerKvB, incremental: SatPerKvB) -> tuple[SatPerKvB, ...]:
    """Rates from `floor` to `cap`, each 1.6 times the one before it and at least `incremental` more, the cap last.

    Raises:
        BadInput: no rate is positive, or the cap is below the floor.
    """
    if not 1 <= floor <= cap:
        raise BadInput("ladder", f"from {floor} to {cap} sat/kvB", "a positive floor and a cap not below it")
    factor, divisor = LADDER_FACTOR
    # A fee is rounded up to a satoshi, so that a rung's true rate is a little higher than its rate.
    step = incremental + ROUNDING
    rates = [floor]
    while len(rates) < MAX_LADDER - 1:
        following = SatPerKvB(max(-(-rates[-1] * factor // divisor), rates[-1] + step))
        if following >= cap:
            break
        rates.append(following)
    if rates[-1] + step <= cap:
        rates.append(cap)
    return tuple(rates)


@dataclass(frozen=True, slots=True)
class LadderRung:
    """A signed refund. Fields: raw (to broadcast); fee; rate (what it was asked to pay)."""

    raw: bytes
    fee: Satoshi
    rate: SatPerKvB


def refund_ladder(
    output: SwapOutput, coin: Coin, destination: bytes, secret: bytes, rates: Sequence[SatPerKvB]
) -> tuple[LadderRung, ...]:
    """The refund signed at each rate, lowest first: for a watchtower, which needs no key. Each replaces the one before.

    None is valid before the median time past is beyond T2, so the tower cannot harm the swap. Rates at which less than
    dust would be left are passed over; where the coin bears none, there is no rung.

    Raises:
        BadInput: the secret (32 bytes) is not the follower's, or the coin is not the swap's.
    """
    output.secret_of(Role.FOLLOWER, secret)
    most = most_fee(coin, destination)
    made = []
    for rate in rates:
        if fee_at(rate, output.refund_vsize(destination)) > most:
            break
        spend = output.refund(coin, destination, rate)
        made.append(LadderRung(spend.signed_by(secret), spend.fee, rate))
    return tuple(made)
