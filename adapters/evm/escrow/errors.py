"""What an Escrow refuses, typed. It reverts with short strings, `Escrow: reason` (docs/contracts.md explains each)."""

from __future__ import annotations

from typing import ClassVar, Final

from adapters.evm.errors import Reverted
from foundation.errors import Fatal


class EscrowRefused(Reverted):
    """An Escrow refused a call, and said why.

    Fields: reason (its words, without its name); label, data, transaction as `Reverted`.
    """

    says: ClassVar[frozenset[str]] = frozenset()
    """The full strings that mean this class."""

    def __init__(self, label: str, reason: str, data: bytes = b"", transaction: bytes | None = None) -> None:
        super().__init__(label, reason, data, transaction)
        self.reason = reason.partition(": ")[2]


class IdUsed(EscrowRefused):
    """The payer made a lock under this id before: perhaps this very one."""

    says = frozenset({"Escrow: id is used"})


class NotOpen(EscrowRefused):
    """No open lock has these terms: it ended, or was never made."""

    says = frozenset({"Escrow: no such open lock", "Escrow: nothing to claim"})


class TooLate(EscrowRefused):
    """The time-out has passed, by the chain's clock."""

    says = frozenset({"Escrow: too late", "Escrow: time-out has passed"})


class TooEarly(EscrowRefused):
    """The time-out has not passed yet, by the chain's clock."""

    says = frozenset({"Escrow: too early"})


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


_CLASSES: Final = {words: kind for kind in EscrowRefused.__subclasses__() for words in kind.says}


def typed_revert(label: str, reason: str, data: bytes = b"") -> Reverted:
    """The typed error for an Escrow's reason (`EvmRpc(reverted=…)`); `Reverted` for words that it does not say."""
    kind = _CLASSES.get(reason)
    if kind is not None:
        return kind(label, reason, data)
    if reason.startswith("Escrow: "):
        return EscrowRefused(label, reason, data)
    return Reverted(label, reason, data)


class NotOurEscrow(Fatal):
    """What stands at an Escrow's address is none of this release: no money may be locked there.

    Fields: escrow (20 bytes); found (for people).
    """

    def __init__(self, escrow: bytes, found: str) -> None:
        self.escrow = escrow
        self.found = found
        super().__init__(f"0x{escrow.hex()} is no Escrow of this release: {found}")
