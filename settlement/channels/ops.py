"""What a proposal does to the balances: each operation applied to a sheet gives the next, or is refused.

Whoever accepts a proposal computes the sheet from the operations and signs that, never a digest that was sent.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from foundation.quantities import UnixMs
from settlement.channels.errors import BadStep
from settlement.channels.terms import LOCKS_MAX, Lock, LockId, Sheet, Side, Terms, check_sheet
from settlement.quantities import Preimage, Units, fulfils

OPS_MAX: Final = 64
MEMO_BYTES_MAX: Final = 1_024


class Pay(msgspec.Struct, frozen=True, tag=True):
    """The proposer pays at once. Fields: amount (base units, above 0); reference (32 bytes, what it is for)."""

    amount: Units
    reference: bytes


class Offer(msgspec.Struct, frozen=True, tag=True):
    """The proposer sets money aside for the other. Fields: lock; memo (for the payee, at most 1,024 bytes)."""

    lock: Lock
    memo: bytes


class Fulfil(msgspec.Struct, frozen=True, tag=True):
    """A conditional payment is made: either side may say so, the preimage proves it."""

    lock_id: LockId
    preimage: Preimage


class Return(msgspec.Struct, frozen=True, tag=True):
    """A conditional payment goes back: by its payee at any time, by its payer after the time-out."""

    lock_id: LockId


Op: TypeAlias = Pay | Offer | Fulfil | Return


def apply(terms: Terms, sheet: Sheet, proposer: Side, ops: tuple[Op, ...], sequence: int) -> Sheet:
    """The sheet that a proposal makes of `sheet`, which its proposer holds.

    Raises:
        BadStep: the operations do not fit the balances.
    """
    if len(ops) > OPS_MAX:
        raise BadStep(sheet.channel, "ops", f"{len(ops)}, at most {OPS_MAX}")
    balances = [sheet.balance_a, sheet.balance_b]
    locks = {lock.lock_id: lock for lock in sheet.locks}
    for op in ops:
        _apply(terms, sheet, proposer, op, balances, locks)
    after = Sheet(
        sheet.channel, sequence, sheet.sequence, Units(balances[0]), Units(balances[1]), tuple(locks.values())
    )
    check_sheet(terms, after)
    return after


def _apply(
    terms: Terms, sheet: Sheet, proposer: Side, op: Op, balances: list[Units], locks: dict[LockId, Lock]
) -> None:
    match op:
        case Pay(amount=amount):
            _take(sheet, balances, proposer, amount)
            balances[proposer.other] = Units(balances[proposer.other] + amount)
        case Offer(lock=lock, memo=memo):
            _check_offer(terms, sheet, proposer, lock, memo, locks)
            _take(sheet, balances, proposer, lock.amount)
            locks[lock.lock_id] = lock
        case Fulfil(lock_id=lock_id, preimage=preimage):
            lock = _known(sheet, locks, lock_id)
            if not fulfils(preimage, lock.condition):
                raise BadStep(sheet.channel, "preimage", "does not hash to the condition")
            balances[lock.payer.other] = Units(balances[lock.payer.other] + locks.pop(lock_id).amount)
        case Return(lock_id=lock_id):
            lock = _known(sheet, locks, lock_id)
            balances[lock.payer] = Units(balances[lock.payer] + locks.pop(lock_id).amount)


def _check_offer(
    terms: Terms, sheet: Sheet, proposer: Side, lock: Lock, memo: bytes, locks: dict[LockId, Lock]
) -> None:
    if lock.payer is not proposer:
        raise BadStep(sheet.channel, "lock.payer", "nobody sets aside another's money")
    if len(lock.lock_id) != 32 or lock.lock_id in locks:
        raise BadStep(sheet.channel, "lock.lock_id", "is taken, or not 32 bytes")
    if len(lock.condition) != 32 or lock.expires_at <= 0 or lock.expires_at % 1000:
        raise BadStep(sheet.channel, "lock", "the condition is not 32 bytes, or the time-out not in whole seconds")
    if len(locks) >= LOCKS_MAX:
        raise BadStep(sheet.channel, "locks", f"{LOCKS_MAX} are open")
    if len(memo) > MEMO_BYTES_MAX:
        raise BadStep(sheet.channel, "memo", f"{len(memo)} bytes, at most {MEMO_BYTES_MAX}")


def _take(sheet: Sheet, balances: list[Units], payer: Side, amount: int) -> None:
    if amount <= 0:
        raise BadStep(sheet.channel, "amount", f"{amount} is not above 0")
    if amount > balances[payer]:
        raise BadStep(sheet.channel, "amount", f"{amount} of {balances[payer]}")
    balances[payer] = Units(balances[payer] - amount)


def _known(sheet: Sheet, locks: dict[LockId, Lock], lock_id: LockId) -> Lock:
    if (lock := locks.get(lock_id)) is None:
        raise BadStep(sheet.channel, "lock_id", "no such conditional payment")
    return lock


def expired(lock: Lock, now: UnixMs) -> bool:
    """Whether the time-out has passed: it cannot be fulfilled any more."""
    return now >= lock.expires_at
