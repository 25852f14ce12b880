"""Which coins of the vault pay a batch of withdrawals.

Branch and bound for a choice without change, as Bitcoin Core's wallet does it (Erhardt, "An Evaluation of Coin
Selection Strategies", 2016); the fewest coins otherwise. Pure and deterministic, whatever the order of the coins given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.bitcoin.errors import InsufficientFunds
from adapters.bitcoin.primitives import Coin
from adapters.bitcoin.scripts import dust_threshold, taproot_script
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB

CHANGE_DUST: Final = dust_threshold(taproot_script(bytes(32)))
"""Change below this, 330 satoshi, is left to the miner."""

MOST_STEPS: Final = 50_000
"""Branch and bound gives up after so many steps: well below a second."""

_INPUT_MILLI_VB = 57_500
"""Thousandths of a virtual byte that a key-path spend takes."""
_CHANGE_MILLI_VB = 43_000
"""Thousandths of a virtual byte that an output to the vault takes."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """A coin to choose from. Fields: coin; worth (what it adds to the target: its value, or that less its cost)."""

    coin: Coin
    worth: int


def select_coins(
    coins: Sequence[Coin],
    target: Satoshi,
    fee_rate: SatPerKvB,
    *,
    max_inputs: int = 64,
    required: Sequence[Coin] = (),
    inputs_bear_fee: bool = False,
    max_steps: int = MOST_STEPS,
) -> tuple[Coin, ...]:
    """Coins that hold `target`, the required ones first as given, then by falling value.

    1. A choice that needs no change: it exceeds the target by no more than change would cost (its output now, and the
       input that spends it later) and by less than dust. Of several, the one that wastes least: what it exceeds the
       target by, and the cost of its inputs.
    2. Otherwise the fewest coins that leave more than dust as change; of these all but one are the largest, and the
       last one is the smallest that suffices. With one coin that is the smallest sufficient one.
    3. Where the change would be dust whatever is chosen, the fewest coins that reach the target.

    Args:
        coins: those to choose from; those in `required` may be among them.
        target: what the outputs sum to. For payouts that is all, because the payments bear the fee.
        required: coins that must be in (the anchor of a payout that is replaced).
        inputs_bear_fee: each coin counts only for what it holds beyond the fee of spending it; the caller adds the
            fee of the rest of the transaction to the target.
        max_inputs: of the transaction, required ones included.
        max_steps: of the search for a choice without change.

    Raises:
        InsufficientFunds: no choice of that many coins reaches the target (retryable: more may come).
        BadInput: the target is not positive, or more coins are required than allowed.
    """
    if target <= 0 or len(required) > max_inputs:
        raise BadInput("coins", "the target is not positive, or more coins are required than allowed")
    cost = -(-_INPUT_MILLI_VB * fee_rate // 1_000_000)
    charged = cost if inputs_bear_fee else 0
    missing = target - sum(coin.value - charged for coin in required)
    room = max_inputs - len(required)
    taken = {coin.outpoint for coin in required}
    distinct = {coin.outpoint: coin for coin in coins if coin.outpoint not in taken}
    choices = [_Choice(coin, coin.value - charged) for coin in distinct.values() if coin.value > charged]
    choices.sort(key=lambda choice: (-choice.worth, choice.coin.outpoint))
    change_cost = -(-(_INPUT_MILLI_VB + _CHANGE_MILLI_VB) * fee_rate // 1_000_000)
    most = min(change_cost, CHANGE_DUST - 1)
    chosen = _changeless(choices, missing, missing + most, room, cost, max_steps)
    if chosen is None:
        chosen = _fewest(choices, missing + CHANGE_DUST, room)
    if chosen is None:
        chosen = _fewest(choices, missing, room)
    if chosen is None:
        reach = sum(choice.worth for choice in choices[:room])
        raise InsufficientFunds(target, Satoshi(target - missing + reach))
    return (*required, *(choice.coin for choice in chosen))


def _fewest(choices: Sequence[_Choice], goal: int, room: int) -> list[_Choice] | None:
    """The fewest of `choices` (falling worth) that reach `goal`, with the last as small as can be."""
    if goal <= 0:
        return []
    total = 0
    for count, choice in enumerate(choices[:room]):
        if total + choice.worth >= goal:
            last = min((c for c in choices[count:] if total + c.worth >= goal), key=lambda c: c.worth)
            return [*choices[:count], last]
        total += choice.worth
    return None


def _changeless(
    choices: Sequence[_Choice], least: int, most: int, room: int, cost: int, max_steps: int
) -> list[_Choice] | None:
    """The choice with a sum from `least` to `most` that wastes least; None if none is found in `max_steps`."""
    if least <= 0:
        return [] if most >= 0 else None
    best: list[_Choice] | None = None
    best_waste = 0
    for found in _matches(choices, least, most, room, max_steps):
        waste = sum(choices[index].worth for index in found) - least + cost * len(found)
        if best is None or waste < best_waste:
            best, best_waste = [choices[index] for index in found], waste
    return best


def _matches(choices: Sequence[_Choice], least: int, most: int, room: int, max_steps: int) -> Iterator[list[int]]:
    """Depth first: take each coin, or leave it; give up branches that exceed `most` or cannot reach `least` any more.

    The lists that it yields are valid until the next one is asked for.
    """
    behind = [0] * (len(choices) + 1)  # behind[k]: what the coins from k on are worth together
    smaller = [len(choices)] * len(choices)  # smaller[k]: the first coin that is worth less than coin k
    for index in reversed(range(len(choices))):
        worth = choices[index].worth
        behind[index] = behind[index + 1] + worth
        if index + 1 < len(choices):
            smaller[index] = smaller[index + 1] if choices[index + 1].worth == worth else index + 1
    picked: list[int] = []
    total, index = 0, 0
    for _ in range(max_steps):
        if total >= least or total + behind[index] < least or len(picked) == room:
            if least <= total <= most:
                yield picked
            if not picked:
                return
            index = picked.pop()
            total -= choices[index].worth
            index = smaller[index]  # an equal coin would lead to the same sums
            continue
        if total + choices[index].worth <= most:
            picked.append(index)
            total += choices[index].worth
        index += 1
