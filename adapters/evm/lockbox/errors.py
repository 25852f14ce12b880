"""What a Lockbox refuses, typed, each with what to do about it.

It reverts with short strings, `Lockbox: reason`, because Vyper 0.4.3 has no custom errors.
"""

from __future__ import annotations

from typing import ClassVar, Final

from adapters.evm.errors import Reverted
from foundation.errors import Fatal


class LockboxRefused(Reverted):
    """A Lockbox refused a call, and said why.

    Fields: reason (its words, without its name); cure (what to do, empty where there is nothing to suggest); label,
    data, transaction as `Reverted`.
    """

    says: ClassVar[frozenset[str]] = frozenset()
    """The full strings that mean this class."""
    cure: ClassVar[str] = ""

    def __init__(self, label: str, reason: str, data: bytes = b"", transaction: bytes | None = None) -> None:
        super().__init__(label, reason, data, transaction)
        self.reason = reason.partition(": ")[2]


class NothingToRelease(LockboxRefused):
    """Every payment of the release is paid, cancelled, or delayed. Whoever wanted the same is done, or waits."""

    says = frozenset({"Lockbox: nothing to release"})
    cure = "somebody else carried it, or a limit delays it; look again in the next window"


class NothingToCancel(LockboxRefused):
    """Every one of the payments is paid, claimed or cancelled. Whoever wanted the same is done."""

    says = frozenset({"Lockbox: nothing to cancel"})
    cure = "nothing is left to do"


class MoreGas(LockboxRefused):
    """The transaction brought too little gas: a payment would have failed for its carrier's thrift."""

    says = frozenset({"Lockbox: more gas"})
    cure = "send it again with a higher gas limit"


class LockboxPaused(LockboxRefused):
    """The guardian stopped locks and releases, for a day at most."""

    says = frozenset({"Lockbox: paused"})
    cure = "wait until the pause ends; nothing is lost meanwhile"


class AssetDenied(LockboxRefused):
    """The bridge does not take this asset (any more)."""

    says = frozenset({"Lockbox: asset denied"})
    cure = "choose another asset: causeway asset list"


class OverTheLimit(LockboxRefused):
    """The asset's limit of this window is used up, or the amount is above it."""

    says = frozenset({"Lockbox: over the limit"})
    cure = "lock less, or wait for the next window"


class BadLock(LockboxRefused):
    """Coin and amount differ, no contract is at the token's address, or nobody would receive anything."""

    says = frozenset(
        {
            "Lockbox: amount is not what was sent",
            "Lockbox: coin sent with a token",
            "Lockbox: no recipient",
            "Lockbox: not a token",
            "Lockbox: amount too large",
        }
    )
    cure = "check asset, amount and recipient"


class NothingArrived(LockboxRefused):
    """The token took the transfer and moved nothing, or the amount was 0."""

    says = frozenset({"Lockbox: nothing arrived"})
    cure = "the bridge cannot carry such a token; lock more than 0 of another one"


class TokenRefused(LockboxRefused):
    """The token refuses the transfer: too few tokens, no allowance, or a rule of its own."""

    says = frozenset({"Lockbox: token refused", "Lockbox: another amount left"})
    cure = "check balance and allowance; ask the token's issuer whether it may be moved"


class PayeeRefused(LockboxRefused):
    """The address does not take the coin."""

    says = frozenset({"Lockbox: payee refused"})
    cure = "claim to an address that takes it"


class NoFailedPayment(LockboxRefused):
    """No failed payment of that number, asset, payee and amount waits: it was claimed or cancelled, or never failed."""

    says = frozenset({"Lockbox: no such failed payment"})
    cure = "claim with the values of its PaymentFailed event, from its payee's account"


class NoFeeOwed(LockboxRefused):
    """The carrier got all its fees."""

    says = frozenset({"Lockbox: no fee owed"})
    cure = "nothing is left to do"


class BadGroupSignature(LockboxRefused):
    """The group's signature does not verify: another key, epoch, chain or Lockbox, or other contents."""

    says = frozenset({"Lockbox: bad signature", "Lockbox: key not accepted"})
    cure = "ask the group to sign again for the Lockbox's present epoch"


class NonceUsed(LockboxRefused):
    """Another configuration or pause came in between: the signature is for one that is over."""

    says = frozenset({"Lockbox: bad nonce"})
    cure = "read the present nonce and ask the group to sign again"


class NotTheGuardian(LockboxRefused):
    """Only the guardian may pause."""

    says = frozenset({"Lockbox: not the guardian"})
    cure = "sign with the guardian's key"


class PauseRefused(LockboxRefused):
    """A pause may begin a day after the last one ended, and end only while it lasts."""

    says = frozenset({"Lockbox: paused too recently", "Lockbox: not paused"})
    cure = "see paused_until of the Lockbox"


class BadLimits(LockboxRefused):
    """A limit of a window is below 2**112."""

    says = frozenset({"Lockbox: limit too large"})
    cure = "choose a lower limit, or 0 for none"


_CLASSES: Final = {words: kind for kind in LockboxRefused.__subclasses__() for words in kind.says}


def typed_revert(label: str, reason: str, data: bytes = b"") -> Reverted:
    """The typed error for a Lockbox's reason (`EvmRpc(reverted=…)`); `Reverted` for words that it does not say."""
    kind = _CLASSES.get(reason)
    if kind is not None:
        return kind(label, reason, data)
    if reason.startswith("Lockbox: "):
        return LockboxRefused(label, reason, data)
    return Reverted(label, reason, data)


class NotOurLockbox(Fatal):
    """What stands at a vault's address is no Lockbox of this bridge: nothing there may be trusted.

    Fields: lockbox (20 bytes); field (what is wrong: code or key); expected, found (for people).
    """

    cure = "correct the vault's address in the Registry, or the chain's url in the network file"

    def __init__(self, lockbox: bytes, field: str, expected: str, found: str) -> None:
        self.lockbox = lockbox
        self.field = field
        self.expected = expected
        self.found = found
        super().__init__(f"Lockbox 0x{lockbox.hex()}: its {field} is {found}, not {expected}")
