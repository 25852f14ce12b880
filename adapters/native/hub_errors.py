"""What the Hub and its tokens refuse, typed."""

from __future__ import annotations

from adapters.native.refusal import ContractRefused


class DepositAlreadyFinal(ContractRefused):
    """The deposit is minted, or returned: `deposit_status` says which. Whoever wanted the same is done."""

    says = frozenset({"Hub: deposit already final"})
    remedy = "nothing is left to do: look at what became of the deposit"


class DepositTooSmall(ContractRefused):
    """The deposit is below the asset's minimum; it has to be returned."""

    says = frozenset({"Hub: deposit too small"})
    remedy = "it is sent back: deposit more than the minimum"


class AssetPaused(ContractRefused):
    """The asset takes no mints and no withdrawals until its owner resumes it."""

    says = frozenset({"Hub: asset paused"})
    remedy = "wait until the owner resumes the asset"


class AssetDenied(ContractRefused):
    """The asset is delisted, or unfit for a bridge: no mint and no new withdrawal."""

    says = frozenset({"Hub: asset denied"})
    remedy = "use another asset; what is under way is finished, or given back"


class AssetHalted(ContractRefused):
    """Vouchers stopped the asset, or all of them, for some time; what is under way goes on."""

    says = frozenset({"Hub: halted"})
    remedy = "wait until the halt ends: it does by itself, after 7 days at the latest"


class OverTheLimit(ContractRefused):
    """The asset's limit for one day is reached; it begins anew at midnight UTC."""

    says = frozenset({"Hub: over the limit"})
    remedy = "try again after midnight UTC, or with a smaller amount"


class BadRecipient(ContractRefused):
    """Tokens cannot be minted to that account."""

    says = frozenset({"Hub: bad recipient"})
    remedy = "name an account that is neither zero nor the Hub"


class NoQuorum(ContractRefused):
    """Too few signatures, or too light ones, or one of a stranger. With more of them the call may succeed."""

    says = frozenset({"Hub: not enough weight", "Hub: no quorum of storemen", "Registry: members missing"})
    remedy = "wait until more nodes have signed"


class GroupNotActive(ContractRefused):
    """The group does not serve that asset's chain (any more)."""

    says = frozenset({"Hub: group not active", "Hub: group not of asset", "Registry: group not of chain"})
    remedy = "use the group that is active on the chain of the asset"


class ReservationUsed(ContractRefused):
    """Exactly this reservation was accepted before: it took effect, or a newer version replaced it."""

    says = frozenset({"Hub: reservation used"})
    remedy = "read the payout as it is now"


class AlreadyReserved(ContractRefused):
    """A Lockbox pays these withdrawals already, and needs no second reservation. Whoever wanted the same is done."""

    says = frozenset({"Hub: already reserved"})
    remedy = "read the payout as it is now"


class InputReserved(ContractRefused):
    """A coin is reserved by a live payout, or barred as an anchor."""

    says = frozenset({"Hub: input reserved"})
    remedy = "choose other coins"


class InputsNotExpected(ContractRefused):
    """A payout from a Lockbox spends no coins, and one from a bitcoin vault does."""

    says = frozenset({"Hub: inputs not expected", "Hub: no inputs"})
    remedy = "name coins for a bitcoin chain alone"


class AnchorNotSpent(ContractRefused):
    """A replacement leaves out the payout's anchor: both versions could confirm."""

    says = frozenset({"Hub: anchor not spent"})
    remedy = "spend the anchor in the replacement"


class NoAnchor(ContractRefused):
    """A release by a Lockbox stays good for ever: it cannot be voided."""

    says = frozenset({"Hub: no anchor"})
    remedy = "let the group cancel it at the Lockbox, and restore what is never paid"


class OtherWithdrawals(ContractRefused):
    """A replacement is not of exactly the withdrawals, group and asset of its payout."""

    says = frozenset({"Hub: other withdrawals", "Hub: other group", "Hub: withdrawal of other asset"})
    remedy = "replace a payout with exactly its own withdrawals"


class WithdrawalNotRequested(ContractRefused):
    """The withdrawal is not waiting: unknown, reserved, settled or cancelled."""

    says = frozenset({"Hub: withdrawal not requested", "Hub: withdrawal is over"})
    remedy = "look at where the withdrawal is"


class PayoutNotLive(ContractRefused):
    """The payout is unknown, settled or voided: `payout` says which. Whoever wanted the same is done."""

    says = frozenset({"Hub: payout not live"})
    remedy = "nothing is left to do: look at what became of the payout"


class NotSettled(ContractRefused):
    """Tokens are given back only for a settled withdrawal to an EVM chain, once."""

    says = frozenset({"Hub: not settled", "Hub: not a release"})
    remedy = "look at where the withdrawal is: it may be restored already"


class MoreThanWithdrawn(ContractRefused):
    """More is to be given back than was withdrawn."""

    says = frozenset({"Hub: more than withdrawn"})
    remedy = "attest at most the amount of the withdrawal"


class FeeRefused(ContractRefused):
    """A fee is above what withdrawals allow, leaves only dust, or is not higher than the one before."""

    says = frozenset(
        {
            "Hub: fee above the limits",
            "Hub: fee leaves only dust",
            "Hub: fee not raised",
            "Hub: relay fee too high",
            "Hub: relay fee is fixed",
        }
    )
    remedy = "choose a fee that leaves more to pay out"


class WithdrawalTooSmall(ContractRefused):
    """The withdrawal is below the asset's minimum."""

    says = frozenset({"Hub: withdrawal too small"})
    remedy = "withdraw at least the minimum"


class BadDestination(ContractRefused):
    """The destination is no scriptPubKey of a type that the Hub pays, or no account on an EVM chain."""

    says = frozenset({"Hub: bad destination"})
    remedy = "name a plain address of the chain of the asset"


class NoToken(ContractRefused):
    """The asset has no mapping token yet: nothing of it was ever minted."""

    says = frozenset({"Hub: asset has no token"})
    remedy = "deposit some of the asset first"


class BadHalt(ContractRefused):
    """A halt ends in the past, too late, or not after every halt of the asset before."""

    says = frozenset({"Hub: bad halt"})
    remedy = "name a time within 7 days, later than the end of every halt before"


class NotHalted(ContractRefused):
    """There is no halt with that end to lift. Whoever wanted the same is done."""

    says = frozenset({"Hub: not halted"})
    remedy = "nothing is left to do, unless another halt holds: name its very end"


class NothingPending(ContractRefused):
    """No fees of these signers wait for distribution. Whoever wanted the same is done."""

    says = frozenset({"Hub: nothing pending"})
    remedy = "nothing is left to do"


class BalanceTooLow(ContractRefused):
    """The account has, or allows the Hub to take, fewer tokens than the call moves."""

    says = frozenset({"erc20: transfer amount exceeds balance", "erc20: insufficient allowance"})
    remedy = "use a smaller amount, or approve the Hub to take it first"


class NotTheOwner(ContractRefused):
    """Only the owner, of the contract, the withdrawal or the bond, may do this."""

    says = frozenset({"Hub: not the owner", "Bonds: not the owner", "ownable: caller is not the owner"})
    remedy = "sign with the key that deployed the contracts, or that owns the withdrawal or the bond"
