"""Making holds: each becomes a lock of its own, under its transfer id."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from adapters.evm.errors import InsufficientBalance, KeyReused, Reverted
from adapters.evm.escrow.errors import IdUsed, TooLate
from adapters.evm.escrow.types import Terms
from foundation.errors import BadInput
from settlement.ledgers.evm.desk import Desk
from settlement.ledgers.evm.types import MS, Lock, account_text, parse_account
from settlement.ledgers.protocol import MEMO_BYTES_MAX, Hold, Outcome, Refusal, TransferId
from settlement.quantities import HASH_BYTES, MAX_UNITS


async def hold_all(desk: Desk, holds: Sequence[Hold]) -> tuple[Outcome, ...]:
    """An outcome for each hold, in order. Raises what is not about one of them."""
    outcomes: dict[int, Outcome] = {}
    wanted: dict[int, tuple[Hold, Terms]] = {}
    first: dict[bytes, int] = {}
    known = await desk.named([hold.transfer_id for hold in holds])
    for place, (hold, lock) in enumerate(zip(holds, known, strict=True)):
        try:
            terms = _terms(desk, hold)
        except BadInput as error:
            outcomes[place] = desk.refused(hold.transfer_id, Refusal.BAD_REQUEST, str(error))
            continue
        if terms.payer != desk.own:
            problem = f"{hold.payer} is not the account that is held from here"
            outcomes[place] = desk.refused(hold.transfer_id, Refusal.NOT_ALLOWED, problem)
        elif lock is not None and lock.terms.payer == desk.own:
            outcomes[place] = _compared(desk, hold, terms, lock)
        elif hold.transfer_id not in first:
            first[hold.transfer_id] = place
            wanted[place] = (hold, terms)
    outcomes |= await _made(desk, wanted)
    for place, hold in enumerate(holds):
        if place not in outcomes:
            # A second hold under an id of this very batch: by now the first is there, or is not.
            outcomes[place] = (await hold_all(desk, [hold]))[0]
    return tuple(outcomes[place] for place in range(len(holds)))


async def _made(desk: Desk, wanted: dict[int, tuple[Hold, Terms]]) -> dict[int, Outcome]:
    """Lock what there is money for, and wait until it is final."""
    outcomes: dict[int, Outcome] = {}
    going: dict[int, tuple[Hold, Terms]] = {}
    if not wanted:
        return outcomes
    funds = await desk.errands.funds()
    total = 0
    for place, (hold, terms) in wanted.items():
        if await desk.errands.is_under_way(terms):
            going[place] = (hold, terms)
        elif terms.expires_at * MS <= desk.clock():
            problem = "its time-out has passed before it began"
            outcomes[place] = desk.refused(hold.transfer_id, Refusal.EXPIRED, problem)
        elif total + terms.amount > funds:
            problem = f"{account_text(desk.own)} has {funds // desk.config.factor} base units that are not held"
            outcomes[place] = desk.refused(hold.transfer_id, Refusal.INSUFFICIENT_FUNDS, problem)
        else:
            total += terms.amount
            going[place] = (hold, terms)
    if going:
        # What is under way is counted too, or its repeat would be simulated without an allowance.
        await desk.errands.allow(sum(terms.amount for _, terms in going.values()))
    made = await asyncio.gather(*(_make(desk, hold, terms) for hold, terms in going.values()))
    return outcomes | dict(zip(going, made, strict=True))


async def _make(desk: Desk, hold: Hold, terms: Terms) -> Outcome:
    """One lock, sent and final."""
    try:
        await desk.errands.lock(terms, hold.memo)
    except KeyReused:
        # Another hold is on its way under this id: whatever becomes of it, this one is not it.
        problem = "another hold was made under this id"
        return desk.refused(hold.transfer_id, Refusal.SAME_ID_OTHER_TRANSFER, problem)
    except IdUsed:
        # Perhaps by this very hold, of which a lost database knows nothing yet; or by one of another asset.
        if (lock := await desk.kept_or_foreign(terms.id)) is None:
            problem = "the account made another lock under this id"
            return desk.refused(hold.transfer_id, Refusal.SAME_ID_OTHER_TRANSFER, problem)
        return _compared(desk, hold, terms, lock)
    except TooLate as error:
        return await _sure(desk, hold, terms, desk.refused(hold.transfer_id, Refusal.EXPIRED, error.reason))
    except InsufficientBalance:
        if terms.is_coin and await desk.errands.funds() < terms.amount:
            return desk.refused(hold.transfer_id, Refusal.INSUFFICIENT_FUNDS, "there is too little coin")
        raise  # for gas: somebody has to fund the account
    except Reverted as error:
        is_poor = await desk.errands.funds() < terms.amount
        reason = Refusal.INSUFFICIENT_FUNDS if is_poor else Refusal.NOT_ALLOWED
        detail = error.reason if is_poor else f"the token refuses: {error.reason}"
        return await _sure(desk, hold, terms, desk.refused(hold.transfer_id, reason, detail))
    return _compared(desk, hold, terms, await desk.kept(terms.id))


async def _sure(desk: Desk, hold: Hold, terms: Terms, refused: Outcome) -> Outcome:
    """A refusal, once nothing that was sent can make the lock any more: a reorg may bring a refused one in after all.

    Whoever is refused a hold for good gives back what stands behind it.
    """

    async def ask() -> bool | None:
        return None if await desk.errands.is_under_way(terms) else True

    if not await desk.errands.is_under_way(terms):
        return refused
    await desk.feed.until(ask)
    return await _make(desk, hold, terms)


def _compared(desk: Desk, hold: Hold, terms: Terms, lock: Lock) -> Outcome:
    """Whether the lock under a hold's id is this hold."""
    if lock.terms == terms and lock.memo == hold.memo:
        return desk.done(lock)
    problem = "another hold was made under this id"
    return desk.refused(hold.transfer_id, Refusal.SAME_ID_OTHER_TRANSFER, problem, lock)


def _terms(desk: Desk, hold: Hold) -> Terms:
    """The lock that a hold asks for. Raises `BadInput`."""
    if not 0 < hold.amount <= MAX_UNITS:
        raise BadInput("hold.amount", f"{hold.amount} is not between 1 and 2^64−1")
    if len(hold.transfer_id) != HASH_BYTES or len(hold.condition) != HASH_BYTES:
        raise BadInput("hold", "transfer id and condition have 32 bytes each")
    if len(hold.memo) > MEMO_BYTES_MAX:
        raise BadInput("hold.memo", f"{len(hold.memo)} bytes", f"at most {MEMO_BYTES_MAX:,}")
    payer, payee = parse_account(hold.payer, "hold.payer"), parse_account(hold.payee, "hold.payee")
    if payer == payee:
        raise BadInput("hold.payee", "is the payer")
    return Terms(
        id=TransferId(hold.transfer_id),
        payer=payer,
        beneficiary=payee,
        refund_to=payer,
        asset=desk.config.token,
        amount=hold.amount * desk.config.factor,
        condition=hold.condition,
        expires_at=hold.expires_at // MS,
    )
