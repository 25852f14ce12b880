"""A deposit's journey that began with a lock on an EVM chain: what it waits for, and how it goes back."""

from __future__ import annotations

from adapters.evm.lockbox.types import return_number
from bridge.deposits import ENDED, Deposit, Lock, Stage
from bridge.journey_parts import (
    Journey,
    Mover,
    Surroundings,
    TransactionRef,
    Unit,
    Waiting,
    in_a_slot,
    with_told,
)
from bridge.storage import ReleaseOutcome, ReleaseRow, TransferRow, VaultSignatureRow, View
from registry.caip import ChainId


async def lock_journey(view: View, row: TransferRow, deposit: Deposit, around: Surroundings) -> Journey:
    """The journey of a locked deposit whose row this is. Its chain calls it final when this node sees it."""
    lock = deposit.lock
    assert lock is not None, "the caller looked"
    steps = await view.journey.of(row.id)
    paid_back = await view.releases.get(ChainId.parse(lock.chain).id, return_number(lock.number))
    signed = await view.vault_signatures.of_subject(deposit.deposit_id)
    known = around.unit(deposit.asset, is_bitcoin=False)
    return Journey(
        id=row.id,
        kind=row.kind,
        stage=row.stage,
        amount=deposit.amount,
        party=deposit.recipient,
        destination=b"",
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
        payout=None,
        transactions=with_told(_transactions(deposit, lock, paid_back), steps),
        depth=None,
        waiting=_waiting(deposit, lock, paid_back, signed, around),
        fee=None,
        reclaim=None,
        steps=steps,
        arrives=deposit.minted,
        unit=Unit(known.symbol, known.decimals, lock.chain),
        asset=deposit.asset,
    )


def _transactions(deposit: Deposit, lock: Lock, paid_back: ReleaseRow | None) -> list[TransactionRef]:
    found = [TransactionRef("lock", lock.chain, lock.transaction, deposit.height)]
    if deposit.mint_transaction is not None:
        found.append(TransactionRef("mint", "native", deposit.mint_transaction))
    if deposit.return_transaction is not None:
        found.append(TransactionRef("mint barred", "native", deposit.return_transaction))
    if paid_back is not None:
        found += of_release(paid_back, lock.chain, "return")
    return found


def of_release(row: ReleaseRow, chain: str, what: str) -> list[TransactionRef]:
    """The transactions of what a vault did with a number."""
    first = what if row.outcome is not ReleaseOutcome.CANCELLED or row.payee else "cancelled"
    found = [TransactionRef(first, chain, row.transaction, row.height)]
    if row.changed_by != row.transaction:
        found.append(TransactionRef(f"{what} {row.outcome}", chain, row.changed_by, row.changed_height))
    return found


def _waiting(
    deposit: Deposit,
    lock: Lock,
    paid_back: ReleaseRow | None,
    signed: tuple[VaultSignatureRow, ...],
    around: Surroundings,
) -> Waiting:
    if paid_back is not None and paid_back.outcome is ReleaseOutcome.FAILED:
        number = return_number(lock.number)
        what = f"its sender takes it from the vault: causeway relay claim {number} --chain {lock.chain}"
        return Waiting(what, Mover.PAYEE)
    if deposit.stage in ENDED:
        return Waiting(_END[deposit.stage], Mover.NOBODY)
    soon = in_a_slot(around)
    match deposit.stage:
        case Stage.CONFIRMING if around.assets and deposit.asset not in around.assets:
            return Waiting("the vouchers introduce the asset, which nobody has registered yet", Mover.VOUCHERS, soon)
        case Stage.CONFIRMING:
            return Waiting("this node to look at it: it is final on its chain", Mover.NOBODY)
        case Stage.FINAL:
            return Waiting("more than two thirds of the vouchers attest; one sends the mint", Mover.VOUCHERS, soon)
        case Stage.REFUSED:
            what = f"the storemen bar the mint on the Hub and send it back: {deposit.refusal}"
            return Waiting(what, Mover.STOREMEN, soon)
        case Stage.RETURNING if any(one.done_at_ms is None for one in signed):
            return Waiting(f"the signed return is carried to the vault on {lock.chain}", Mover.CARRIER, soon)
        case Stage.RETURNING:
            return Waiting("the storemen sign the return to who locked it", Mover.STOREMEN, soon)
        case _:
            return Waiting(f"this node to find the lock on {lock.chain}: the Hub knows it already", Mover.NOBODY)


_END = {
    Stage.SWEPT: "nothing: the tokens are minted",
    Stage.HELD: "nothing: the tokens are minted, and the vault holds what stands for them",
    Stage.RETURNED: "nothing: it went back to who locked it",
    Stage.RECLAIMED: "nothing: it is back with its depositor",
}
