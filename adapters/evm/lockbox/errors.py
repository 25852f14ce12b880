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
    cure = "somebody else carried it; see which payments the Lockbox has consumed"


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


class BadLockboxProof(LockboxRefused):
    """The group's signature does not verify: another key, epoch, chain or Lockbox, or other contents."""

    says = frozenset({"Lockbox: bad proof"})
    cure = "ask the group to sign again for the Lockbox's present epoch"


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
