"""What an Escrow and Anchors refuse, typed, each with what to do about it.

They revert with short strings, `Escrow: reason` (docs/contracts.md explains each).
"""

from __future__ import annotations

from typing import ClassVar, Final

from adapters.evm.errors import Reverted
from foundation.errors import Fatal

_REMEDIES: Final = {
    "Escrow: more gas": "send it again with a higher gas limit: each payment is granted its bound first",
    "Escrow: no point": "name the account of the point whose scalar frees the money",
    "Escrow: no recipient": "name a beneficiary, and whom a refund goes to",
    "Escrow: not the beneficiary's word": "have the beneficiary sign for these terms, this contract and this chain",
    "Escrow: not the owner": "withdraw to the account to which the money is owed",
    "Escrow: nothing owed": "nothing is left to do",
    "Escrow: nothing to lock": "lock more than 0",
    "Escrow: payee refused": "have the account take coin, or withdraw to another one",
    "Escrow: wrong preimage": "show the 32 bytes whose SHA-256 is the lock's condition",
    "Escrow: wrong scalar": "show the scalar of the lock's point, above 0 and below the group order",
}
"""What to do about the strings that have no class of their own."""


class EscrowRefused(Reverted):
    """An Escrow refused a call, and said why.

    Fields: reason (its words, without its name); label, data, transaction as `Reverted`. `cure`: what to do about it.
    """

    says: ClassVar[frozenset[str]] = frozenset()
    """The full strings that mean this class."""
    remedy: ClassVar[str] = ""
    """What to do about all of them."""

    def __init__(self, label: str, reason: str, data: bytes = b"", transaction: bytes | None = None) -> None:
        super().__init__(label, reason, data, transaction)
        self.reason = reason.partition(": ")[2]

    @property
    def cure(self) -> str:
        """What the caller can do about it, in words for people."""
        return self.remedy or _REMEDIES.get(f"Escrow: {self.reason}", "")


class AnchorsRefused(Reverted):
    """Anchors refused a root: another one is the last, or it covers nothing. Fields as `EscrowRefused`."""

    cure: ClassVar[str] = "read the last root and its count, and anchor what follows from them"


class IdUsed(EscrowRefused):
    """The payer made a lock under this id before: perhaps this very one."""

    says = frozenset({"Escrow: id is used"})
    remedy = "look at what was locked under this id; another lock needs another id"


class NotOpen(EscrowRefused):
    """No open lock has these terms: it ended, or was never made."""

    says = frozenset({"Escrow: no such open lock", "Escrow: nothing to claim"})
    remedy = "look at the lock: it has ended, or has other terms"


class TooLate(EscrowRefused):
    """The time-out has passed, by the chain's clock."""

    says = frozenset({"Escrow: too late", "Escrow: time-out has passed"})
    remedy = "take the money back, or lock anew with a later time-out"


class TooEarly(EscrowRefused):
    """The time-out has not passed yet, by the chain's clock."""

    says = frozenset({"Escrow: too early"})
    remedy = "wait until the time-out has passed"


class TokenRefused(EscrowRefused):
    """The token refuses the transfer, or moves another amount than it is told."""

    says = frozenset(
        {
            "Escrow: token refused",
            "Escrow: another amount arrived",
            "Escrow: another amount left",
            "Escrow: not a token",
        }
    )
    remedy = "check token, balance and allowance; some tokens cannot be locked"


_CLASSES: Final = {words: kind for kind in EscrowRefused.__subclasses__() for words in kind.says}


def typed_revert(label: str, reason: str, data: bytes = b"") -> Reverted:
    """The typed error for a reason of Escrow or Anchors (`EvmRpc(reverted=…)`); `Reverted` for what neither says."""
    kind = _CLASSES.get(reason)
    if kind is not None:
        return kind(label, reason, data)
    if reason.startswith("Escrow: "):
        return EscrowRefused(label, reason, data)
    if reason.startswith("Anchors: "):
        return AnchorsRefused(label, reason, data)
    return Reverted(label, reason, data)


class NotOurEscrow(Fatal):
    """What stands at an Escrow's address is none of this release: no money may be locked there.

    Fields: escrow (20 bytes); found (for people).
    """

    def __init__(self, escrow: bytes, found: str) -> None:
        self.escrow = escrow
        self.found = found
        super().__init__(f"0x{escrow.hex()} is no Escrow of this release: {found}")
