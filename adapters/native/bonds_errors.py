"""What Bonds refuses, typed."""

from __future__ import annotations

from adapters.native.refusal import ContractRefused


class NotAdmitted(ContractRefused):
    """The account was not admitted as a voucher."""

    says = frozenset({"Bonds: not admitted"})
    remedy = "the owner admits the account first: causeway voucher admit"


class AlreadyAVoucher(ContractRefused):
    """The account was admitted, or has joined, before. Whoever wanted the same is done."""

    says = frozenset({"Bonds: already admitted", "Bonds: already joined"})
    remedy = "nothing is left to do; who was a voucher once joins with another account"


class StakeTooSmall(ContractRefused):
    """The stake is below the minimum."""

    says = frozenset({"Bonds: stake too small", "Bonds: nothing sent"})
    remedy = "send more: a voucher needs the minimum stake"


class BelowMinimumStake(ContractRefused):
    """A voucher's own bond may not fall below the minimum while it is one."""

    says = frozenset({"Bonds: below minimum stake"})
    remedy = "take less out, or give up the role of voucher, which takes all out"


class NotAnOperator(ContractRefused):
    """The account takes no bonds: it is neither voucher nor storeman."""

    says = frozenset({"Bonds: not an operator", "Bonds: not a voucher", "Bonds: not a storeman"})
    remedy = "name a voucher or a storeman that has joined"


class OperatorSlashed(ContractRefused):
    """The operator was slashed: it takes no bonds any more."""

    says = frozenset({"Bonds: slashed"})
    remedy = "choose another operator"


class AlreadySlashed(ContractRefused):
    """The voucher was slashed before; an operator is, at most once."""

    says = frozenset({"Bonds: already slashed"})
    remedy = "nothing is left to do"


class NoConflict(ContractRefused):
    """The two statements do not prove anything: they are equal, malformed, not in conflict, or of two signers."""

    says = frozenset(
        {
            "Bonds: no conflict",
            "Bonds: same statement",
            "Bonds: two signers",
            "Bonds: unknown statement",
            "Bonds: malformed statement",
        }
    )
    remedy = "bring two different statements of one voucher about one event"


class NotReadyYet(ContractRefused):
    """The unbonding time is not over."""

    says = frozenset({"Bonds: not ready"})
    remedy = "wait until the unbonding is ready"


class NoSuchUnbonding(ContractRefused):
    """The unbonding is unknown, or withdrawn already."""

    says = frozenset({"Bonds: no such unbonding"})
    remedy = "look at your unbondings: it may be withdrawn already"


class PositionClosed(ContractRefused):
    """The position is bonded no more; what goes on of it has another number."""

    says = frozenset({"Bonds: position closed"})
    remedy = "look at your positions for its present number"


class BadUnbonding(ContractRefused):
    """Nothing, or more than the position is worth, is to be unbonded."""

    says = frozenset({"Bonds: more than the position", "Bonds: nothing to unbond"})
    remedy = "unbond more than nothing, and at most what the position is worth"


class NothingToClaim(ContractRefused):
    """Nothing was earned since the last claim. Whoever wanted the same is done."""

    says = frozenset({"Bonds: nothing to claim"})
    remedy = "wait until fees are distributed"


class CommitteeFull(ContractRefused):
    """There are as many vouchers as one tally can count."""

    says = frozenset({"Bonds: too many vouchers", "Bonds: no index left"})
    remedy = "wait until a voucher leaves"


class HostKeyTaken(ContractRefused):
    """Another voucher joined with this host key, or a group names it twice."""

    says = frozenset({"Bonds: host key twice", "Registry: host key twice"})
    remedy = "give each node a key of its own"


class PaymentRefused(ContractRefused):
    """The account that is to be paid refuses coin."""

    says = frozenset({"Bonds: payment refused"})
    remedy = "let the account accept coin, then try again"
