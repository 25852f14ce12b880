"""Why a storeman refuses to co-sign or to sign. Each is fatal for the proposal and is recorded with its proposer."""

from __future__ import annotations

from adapters.bitcoin.primitives import OutPoint
from foundation.errors import Fatal, Retryable
from foundation.quantities import BlockHeight, Satoshi


class Refused(Fatal):
    """Root of all refusals of a proposal: this node will not put its share to it."""


class NotYet(Retryable):
    """This node has not seen what the proposal rests on; it may, later. Fields: what (in words)."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"not seen here yet: {what}")


class MalformedProposal(Refused):
    """The proposal is no structure that can be signed. Fields: field, problem."""

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        self.problem = problem
        super().__init__(f"{field}: {problem}")


class UnaskedOutput(Refused):
    """An output pays a script that no withdrawal asked for. Fields: script, value."""

    def __init__(self, script: bytes, value: Satoshi) -> None:
        self.script = script
        self.value = value
        super().__init__(f"{value} sat to {script.hex()}, which nobody asked for")


class WrongAmount(Refused):
    """An output pays its script another amount than it must. Fields: script, proposed, expected."""

    def __init__(self, script: bytes, proposed: Satoshi, expected: Satoshi) -> None:
        self.script = script
        self.proposed = proposed
        self.expected = expected
        super().__init__(f"{proposed} sat to {script.hex()} instead of {expected}")


class MissingOutput(Refused):
    """An output that must be there is not. Fields: script, value."""

    def __init__(self, script: bytes, value: Satoshi) -> None:
        self.script = script
        self.value = value
        super().__init__(f"no output pays {value} sat to {script.hex()}")


class FeeAboveCap(Refused):
    """The miner fee is higher than the policy allows. Fields: fee, most."""

    def __init__(self, fee: Satoshi, most: Satoshi) -> None:
        self.fee = fee
        self.most = most
        super().__init__(f"a fee of {fee} sat; the cap allows {most}")


class PackageFeeAboveCap(FeeAboveCap):
    """A parent and its child together pay more than the policy allows. Fields: fee, most (of both together)."""


class FeeBelowFloor(Refused):
    """The miner fee is lower than nodes relay. Fields: fee, least."""

    def __init__(self, fee: Satoshi, least: Satoshi) -> None:
        self.fee = fee
        self.least = least
        super().__init__(f"a fee of {fee} sat; nodes relay from {least}")


class FeeAboveMaximum(Refused):
    """A withdrawal would bear more of the fee than its owner allows. Fields: withdrawal_id, share, max_fee."""

    def __init__(self, withdrawal_id: bytes, share: Satoshi, max_fee: Satoshi) -> None:
        self.withdrawal_id = withdrawal_id
        self.share = share
        self.max_fee = max_fee
        super().__init__(f"withdrawal {withdrawal_id.hex()} would bear {share} sat, its owner allows {max_fee}")


class FeeNotRaised(Refused):
    """A new version of a transaction pays no more than one that was signed before. Fields: fee, before."""

    def __init__(self, fee: Satoshi, before: Satoshi) -> None:
        self.fee = fee
        self.before = before
        super().__init__(f"a fee of {fee} sat does not replace one of {before}")


class ChildTooCheap(Refused):
    """A child pays no higher fee rate than its parent, so that it helps nothing. Fields: fee, parent_fee."""

    def __init__(self, fee: Satoshi, parent_fee: Satoshi) -> None:
        self.fee = fee
        self.parent_fee = parent_fee
        super().__init__(f"a child's fee of {fee} sat does not raise the rate of its parent, which pays {parent_fee}")


class InputReserved(Refused):
    """An input is bound to another payout. Fields: outpoint, payout_id."""

    def __init__(self, outpoint: OutPoint, payout_id: bytes) -> None:
        self.outpoint = outpoint
        self.payout_id = payout_id
        super().__init__(f"{outpoint} is reserved by payout {payout_id.hex()}")


class InputNotOurs(Refused):
    """An input is no coin that this transaction may spend. Fields: outpoint, why."""

    def __init__(self, outpoint: OutPoint, why: str) -> None:
        self.outpoint = outpoint
        self.why = why
        super().__init__(f"{outpoint}: {why}")


class WrongInputs(Refused):
    """The transaction spends other coins than the reservation names. Fields: payout_id."""

    def __init__(self, payout_id: bytes) -> None:
        self.payout_id = payout_id
        super().__init__(f"payout {payout_id.hex()} reserved other inputs")


class NotPayable(Refused):
    """A withdrawal is not open for this payout: paid, cancelled, or in another payout.

    Fields: withdrawal_id, stage.
    """

    def __init__(self, withdrawal_id: bytes, stage: str) -> None:
        self.withdrawal_id = withdrawal_id
        self.stage = stage
        super().__init__(f"withdrawal {withdrawal_id.hex()} is {stage}")


class PayoutClosed(Refused):
    """The payout is paid, settled or voided. Fields: payout_id, stage."""

    def __init__(self, payout_id: bytes, stage: str) -> None:
        self.payout_id = payout_id
        self.stage = stage
        super().__init__(f"payout {payout_id.hex()} is {stage}")


class ReclaimTooNear(Refused):
    """A deposit must not be swept so near its reclaim height. Fields: outpoint, reclaim_height, tip."""

    def __init__(self, outpoint: OutPoint, reclaim_height: BlockHeight, tip: BlockHeight) -> None:
        self.outpoint = outpoint
        self.reclaim_height = reclaim_height
        self.tip = tip
        super().__init__(f"{outpoint} can be reclaimed from block {reclaim_height}, the tip is {tip}")


class Insolvent(Refused):
    """After the transaction the vault would hold less than the tokens stand for. Fields: reserves, supply."""

    def __init__(self, reserves: Satoshi, supply: int) -> None:
        self.reserves = reserves
        self.supply = supply
        super().__init__(f"reserves of {reserves} sat would stand against a supply of {supply}")


class DepositNotRefused(Refused):
    """This node sees no reason to return the deposit. Fields: deposit_id, stage."""

    def __init__(self, deposit_id: bytes, stage: str) -> None:
        self.deposit_id = deposit_id
        self.stage = stage
        super().__init__(f"deposit {deposit_id.hex()} is {stage}, not refused")


class UnaskedPayment(Refused):
    """A release pays what nobody asked for, or otherwise than it was asked for. Fields: number, problem."""

    def __init__(self, number: int, problem: str) -> None:
        self.number = number
        self.problem = problem
        super().__init__(f"payment {number}: {problem}")


class WrongEpoch(Refused):
    """The vault obeys the key of another epoch. Fields: proposed, present."""

    def __init__(self, proposed: int, present: int) -> None:
        self.proposed = proposed
        self.present = present
        super().__init__(f"the vault's key is of epoch {present}, the proposal is for {proposed}")


class NotCancellable(Refused):
    """A payment that may still be made, or was made, is to be cancelled. Fields: number, problem."""

    def __init__(self, number: int, problem: str) -> None:
        self.number = number
        self.problem = problem
        super().__init__(f"payment {number} is not to be cancelled: {problem}")


class WrongConfiguration(Refused):
    """An asset's configuration is not what the Registry says. Fields: problem."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the Registry says otherwise: {problem}")


class AssetHalted(Retryable):
    """The vouchers have halted the asset: nothing of it is reserved or signed. Fields: until (seconds since 1970)."""

    def __init__(self, until: int) -> None:
        self.until = until
        super().__init__(f"the vouchers have halted the asset until {until} (seconds since 1970)")
