"""A deposit's life as one node sees it: from the asset on its own chain to the mapping token, and to the vault.

Source: seeds/004…, section 3.2 (the transfer-in steps), with the changes that docs/architecture.md explains.

    missing ⇄ confirming → final ──────→ minted ──→ sweeping → swept
                             │             └→ held (locked in the vault's contract at once: there is nothing to sweep)
                             └→ refused → returning → returned
                      (at any time before its coin is spent: → reclaimed, by the depositor)

Every node runs this machine for every deposit; what follows from a stage (attest, sweep, return) is the agents' duty
and is derived from the stage, so a node that restarts goes on where it was. Nothing of it is left to do while `spend`
is there: a transaction in the chain has the coin already.

The stage follows from evidence alone: where the coin lies, what spends it, what the Hub said, how deep it all is. The
two chains are followed apart, so their events may come in any order, and a reorg takes evidence back: the stage then
is what it would have been without it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from bridge.tiers import Tiers, confirmations
from foundation.errors import Fatal
from foundation.quantities import BlockHeight, TokenUnits


class Stage(StrEnum):
    """Where a deposit is. The order of definition is the order of the journey."""

    MISSING = "missing"  # was seen, and a reorg took it away; or the Hub speaks of it and it was not seen yet
    CONFIRMING = "confirming"
    FINAL = "final"  # vouchers attest it
    REFUSED = "refused"  # final, but it must not be minted: storemen bar it on the Hub
    MINTED = "minted"  # storemen sweep it
    RETURNING = "returning"  # the Hub has barred it: storemen send it back; until the return is final
    SWEEPING = "sweeping"  # the sweep is in a block, not final yet
    SWEPT = "swept"
    HELD = "held"  # minted, and it lies in the vault's contract since it was locked
    RETURNED = "returned"
    RECLAIMED = "reclaimed"  # the depositor took it back alone


ENDED = frozenset({Stage.SWEPT, Stage.HELD, Stage.RETURNED, Stage.RECLAIMED})


class Refusal(StrEnum):
    """Why a final deposit is not minted; the numbers that the Hub stores are in `REFUSAL_CODES`."""

    BELOW_MINIMUM = "below the minimum"
    ASSET_PAUSED = "the asset is paused"
    RECLAIM_TOO_NEAR = "too little time is left before the depositor's reclaim"
    ASSET_DENIED = "the asset is not taken any more"
    BAD_RECIPIENT = "nothing can be minted to its recipient"
    ABOVE_LIMIT = "it is more than may be deposited in a whole window"


REFUSAL_CODES = {
    Refusal.BELOW_MINIMUM: 1,
    Refusal.ASSET_PAUSED: 2,
    Refusal.RECLAIM_TOO_NEAR: 3,
    Refusal.ASSET_DENIED: 4,
    Refusal.BAD_RECIPIENT: 5,
    Refusal.ABOVE_LIMIT: 6,
}


class Purpose(StrEnum):
    """What the transaction that spends a deposit's coin does, told from its witness and its outputs."""

    SWEEP = "sweep"
    RETURN = "return"
    RECLAIM = "reclaim"


_END = {Purpose.SWEEP: Stage.SWEPT, Purpose.RETURN: Stage.RETURNED, Purpose.RECLAIM: Stage.RECLAIMED}
"""What a deposit is once the transaction that spends its coin is final."""


@dataclass(frozen=True, slots=True)
class Spend:
    """The transaction in the chain that spends the deposit's coin, or has the vault's contract send it back."""

    txid: bytes  # 32 bytes, wire order
    height: BlockHeight
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class Lock:
    """What the vault's contract on an EVM chain says of a deposit that was locked in it."""

    number: int  # counts the contract's locks, from 1
    sender: bytes  # 20 bytes: who locked it, and gets it back where it cannot be minted
    token: bytes  # 20 bytes: the contract of the asset on its own chain; zero for the chain's coin
    transaction: bytes  # hash, 32 bytes
    chain: str  # CAIP-2, for people


@dataclass(frozen=True, slots=True)
class Deposit:
    """One coin that pays a deposit address, or one lock in the vault's contract. Amounts in the asset's base units."""

    deposit_id: bytes  # 32 bytes
    asset: bytes  # 32 bytes
    group: bytes  # 32 bytes
    txid: bytes  # 32 bytes, wire order; the lock's id on an EVM chain
    vout: int
    amount: TokenUnits
    recipient: bytes  # 20 bytes
    script: bytes  # the deposit address's scriptPubKey, 34 bytes; the vault's address on an EVM chain, 20 bytes
    delay: int  # blocks after which the depositor may reclaim; 0 on an EVM chain, where nobody can
    stage: Stage = Stage.CONFIRMING
    height: BlockHeight | None = None  # None while missing
    refusal: Refusal | None = None
    minted: TokenUnits | None = None
    mint_transaction: bytes | None = None  # on the native chain
    return_transaction: bytes | None = None  # on the native chain: where the Hub barred the mint
    spend: Spend | None = None
    lock: Lock | None = None
    block_sum: TokenUnits = TokenUnits(0)  # all deposits of the asset in its block, this one included; 0: not known

    @property
    def reclaim_height(self) -> BlockHeight | None:
        """The first block that may contain the depositor's reclaim (BIP-68), None while missing."""
        return None if self.height is None else BlockHeight(self.height + self.delay)

    @property
    def at_stake(self) -> TokenUnits:
        """What whoever undoes the deposit's block would gain: it decides how many confirmations are asked."""
        return max(self.amount, self.block_sum)

    @property
    def origin(self) -> tuple[bytes, str]:
        """The transaction that deposited it, 32 bytes, and its chain, for people."""
        return (self.txid, "bitcoin") if self.lock is None else (self.lock.transaction, self.lock.chain)


@dataclass(frozen=True, slots=True)
class Terms:
    """What decides whether a final deposit is minted: the asset's policy, and this node's margins."""

    tiers: Tiers
    minimum: TokenUnits
    paused: bool
    mint_margin: int  # blocks that must be left before the reclaim height for a mint
    settled_depth: int  # confirmations after which a sweep or a return is final
    denied: bool = False
    limit: TokenUnits = TokenUnits(0)  # the most that is minted in a window; 0: any amount
    cannot_receive: frozenset[bytes] = frozenset()  # accounts to which the Hub mints nothing
    known: bool = True  # whether the asset is registered; what is not waits


@dataclass(frozen=True, slots=True)
class Seen:
    """The coin is in the chain, at `height`, and all deposits in its block together are `block_sum`.

    Whoever can undo a block undoes all that is in it: many small deposits ask for as many confirmations as their sum.
    """

    height: BlockHeight
    block_sum: TokenUnits = TokenUnits(0)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A reorg took the coin's block away."""


@dataclass(frozen=True, slots=True)
class Tip:
    """The bitcoin chain's newest block is at `height`."""

    height: BlockHeight
    terms: Terms


@dataclass(frozen=True, slots=True)
class Minted:
    """The Hub minted, finally on the native chain. `shown`: how much, for people."""

    units: TokenUnits
    transaction: bytes
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Barred:
    """The Hub recorded the deposit as returned, finally: it can never be minted."""

    transaction: bytes


@dataclass(frozen=True, slots=True)
class Spent:
    """A transaction in the chain spends the coin."""

    spend: Spend


@dataclass(frozen=True, slots=True)
class Unspent:
    """A reorg took away the transaction that spent the coin."""


Change: TypeAlias = Seen | Dropped | Tip | Minted | Barred | Spent | Unspent


@dataclass(frozen=True, slots=True)
class Note:
    """An entry of the journey that people read."""

    text: str
    transaction: bytes | None = None
    chain: str = ""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something happened that finality should have made impossible; operators must look."""

    text: str


Effect: TypeAlias = Note | Alarm


class MintedAndBarred(Fatal):
    """The Hub says of one deposit that it is minted and that it is returned: the Hub is broken or lied about.

    Fields: deposit_id.
    """

    def __init__(self, deposit_id: bytes) -> None:
        self.deposit_id = deposit_id
        super().__init__(f"deposit {deposit_id.hex()}: the Hub says minted and returned")


def refusal(deposit: Deposit, tip: BlockHeight, terms: Terms) -> Refusal | None:
    """Why `deposit` must not be minted now, or None. Pure; the same on every honest node with the same view."""
    if terms.denied:
        return Refusal.ASSET_DENIED
    if deposit.amount < terms.minimum:
        return Refusal.BELOW_MINIMUM
    if terms.limit and deposit.amount > terms.limit:
        return Refusal.ABOVE_LIMIT
    if terms.paused:
        return Refusal.ASSET_PAUSED
    if deposit.recipient in terms.cannot_receive:
        return Refusal.BAD_RECIPIENT
    if deposit.lock is not None:
        return None
    if deposit.reclaim_height is None or deposit.reclaim_height - tip < terms.mint_margin:
        return Refusal.RECLAIM_TOO_NEAR
    return None


def step(deposit: Deposit, change: Change) -> tuple[Deposit, tuple[Effect, ...]]:
    """Advance a deposit. Pure: replaying a change gives the same state and no effects.

    The time is the bitcoin height that `Tip` carries: nothing here depends on a clock.

    Raises:
        MintedAndBarred: the Hub contradicts itself (fatal).
    """
    after, effects = _apply(deposit, change)
    _check(after)
    before = _contradictions(deposit)
    return after, (*effects, *(Alarm(text) for text in _contradictions(after) if text not in before))


def _apply(deposit: Deposit, change: Change) -> tuple[Deposit, tuple[Effect, ...]]:
    match change:
        case Seen():
            return _seen(deposit, change)
        case Dropped():
            return _dropped(deposit)
        case Tip(height, terms):
            return _tip(deposit, height, terms)
        case Minted():
            return _minted(deposit, change)
        case Barred(transaction):
            return _barred(deposit, transaction)
        case Spent(spend):
            return _spent(deposit, spend)
        case Unspent():
            return _unspent(deposit)


def _undecided(deposit: Deposit) -> Deposit:
    """The deposit in the stage that its evidence supports before anybody looked at depths: a `Tip` does that.

    Why it was refused stays known once the Hub has barred it for that; before, it is decided anew.
    """
    stage = Stage.CONFIRMING
    if deposit.spend is not None and deposit.spend.purpose is Purpose.SWEEP:
        stage = Stage.SWEEPING
    elif deposit.mint_transaction is not None:
        stage = Stage.MINTED if deposit.lock is None else Stage.HELD
    elif deposit.return_transaction is not None:
        stage = Stage.RETURNING
    elif deposit.height is None:
        stage = Stage.MISSING
    reason = None if deposit.return_transaction is None else deposit.refusal
    return replace(deposit, stage=stage, refusal=reason)


def _seen(deposit: Deposit, change: Seen) -> tuple[Deposit, tuple[Effect, ...]]:
    if deposit.height == change.height:
        return deposit, ()
    note = Note(f"{_what(deposit)} seen in block {change.height}", *deposit.origin)
    return _undecided(replace(deposit, height=change.height, block_sum=change.block_sum)), (note,)


def _dropped(deposit: Deposit) -> tuple[Deposit, tuple[Effect, ...]]:
    if deposit.height is None:
        return deposit, ()
    note = Note(f"a reorg took the {_what(deposit)}'s block away", *deposit.origin)
    return _undecided(replace(deposit, height=None, spend=None)), (note,)


def _tip(deposit: Deposit, tip: BlockHeight, terms: Terms) -> tuple[Deposit, tuple[Effect, ...]]:
    undecided = _undecided(deposit)
    if deposit.spend is not None:
        return _spend_deepens(deposit, undecided, deposit.spend, confirmations(deposit.spend.height, tip), terms)
    if undecided.stage is not Stage.CONFIRMING or not terms.known:
        return undecided, ()
    have = confirmations(deposit.height, tip)
    asked = terms.tiers.required(deposit.at_stake)
    if have < asked:
        return undecided, ()
    why = refusal(deposit, tip, terms)
    stage = Stage.FINAL if why is None else Stage.REFUSED
    if (stage, why) == (deposit.stage, deposit.refusal):
        return deposit, ()
    text = f"final with {have} of {asked} confirmations" if deposit.lock is None else "final"
    note = Note(text if why is None else f"{text}, refused: {why}")
    return replace(deposit, stage=stage, refusal=why), (note,)


def _spend_deepens(
    deposit: Deposit, undecided: Deposit, spend: Spend, have: int, terms: Terms
) -> tuple[Deposit, tuple[Effect, ...]]:
    if have < terms.settled_depth:
        return undecided, ()
    after = replace(undecided, stage=_END[spend.purpose])
    if after.stage is deposit.stage:
        return deposit, ()
    return after, (Note(f"{after.stage}, final", spend.txid, deposit.origin[1]),)


def _what(deposit: Deposit) -> str:
    return "coin" if deposit.lock is None else "lock"


def _minted(deposit: Deposit, change: Minted) -> tuple[Deposit, tuple[Effect, ...]]:
    if deposit.return_transaction is not None:
        raise MintedAndBarred(deposit.deposit_id)
    if deposit.mint_transaction is not None:
        return deposit, ()
    minted = replace(deposit, refusal=None, minted=change.units, mint_transaction=change.transaction)
    after = minted if deposit.stage in ENDED else _undecided(minted)
    shown = change.shown or f"{change.units:,} units"
    return after, (Note(f"minted {shown}", change.transaction, "native"),)


def _barred(deposit: Deposit, transaction: bytes) -> tuple[Deposit, tuple[Effect, ...]]:
    if deposit.mint_transaction is not None:
        raise MintedAndBarred(deposit.deposit_id)
    if deposit.return_transaction is not None:
        return deposit, ()
    barred = replace(deposit, return_transaction=transaction)
    after = barred if deposit.stage in ENDED else _undecided(barred)
    return after, (Note("the Hub has barred the mint: the coin goes back", transaction, "native"),)


def _spent(deposit: Deposit, spend: Spend) -> tuple[Deposit, tuple[Effect, ...]]:
    if deposit.spend == spend:
        return deposit, ()
    note = Note(f"{spend.purpose} in block {spend.height}", spend.txid, deposit.origin[1])
    return _undecided(replace(deposit, spend=spend)), (note,)


def _unspent(deposit: Deposit) -> tuple[Deposit, tuple[Effect, ...]]:
    if deposit.spend is None:
        return deposit, ()
    note = Note("a reorg took away the transaction that spent the coin", deposit.spend.txid, deposit.origin[1])
    return _undecided(replace(deposit, spend=None)), (note,)


def _contradictions(deposit: Deposit) -> tuple[str, ...]:
    """What must not be, said for operators, whichever of the two facts came first.

    A deposit without a script is known from the Hub alone: that its coin was not seen yet says nothing.
    """
    name = f"deposit {deposit.deposit_id.hex()}"
    purpose = None if deposit.spend is None else deposit.spend.purpose
    found: list[str] = []
    if deposit.mint_transaction is not None:
        if deposit.height is None and deposit.script:
            found.append(f"{name} was minted and its coin left the chain")
        if purpose is Purpose.RECLAIM:
            found.append(f"{name} was minted and then reclaimed")
        if purpose is Purpose.RETURN:
            found.append(f"{name} was minted and its coin was sent elsewhere than to the vault")
    if deposit.return_transaction is not None and purpose is Purpose.SWEEP:
        found.append(f"{name} was barred and its coin was swept")
    return tuple(found)


def _check(deposit: Deposit) -> None:
    """Invariants: never minted and returned; a stage that claims something has the evidence for it."""
    stage, spend = deposit.stage, deposit.spend
    assert not (deposit.mint_transaction and deposit.return_transaction), "minted and returned"
    assert (deposit.minted is None) == (deposit.mint_transaction is None), "a mint without its amount"
    assert stage is not Stage.MINTED or deposit.mint_transaction, "minted without a mint"
    assert stage is not Stage.RETURNING or deposit.return_transaction, "returning without a bar"
    assert stage is not Stage.REFUSED or deposit.refusal, "refused without a reason"
    assert stage not in {Stage.FINAL, Stage.REFUSED} or (deposit.height is not None and not spend), "final, not there"
    assert stage is not Stage.MISSING or deposit.height is None, "missing and in the chain"
    assert stage is not Stage.SWEEPING or (spend and spend.purpose is Purpose.SWEEP), "sweeping without a sweep"
    assert stage is not Stage.HELD or (deposit.lock and deposit.mint_transaction), "held and not locked, or not minted"
    assert stage in {Stage.HELD, *set(Stage) - ENDED} or (spend and _END[spend.purpose] is stage), (
        "ended without a spend"
    )
