"""What a Channels contract refuses, typed, each with what to do about it.

It reverts with short strings, `Channels: reason` (docs/contracts.md explains each).
"""

from __future__ import annotations

from typing import ClassVar, Final

from adapters.evm.errors import Reverted
from foundation.errors import Fatal

_REMEDIES: Final = {
    "Channels: challenge period": "choose 1 second to 30 days",
    "Channels: exists": "these terms were opened before: look at that channel, or choose another salt",
    "Channels: forged": "both banks have to sign for this channel, this contract and this chain",
    "Channels: not A": "send it from the account that the terms name as A",
    "Channels: not B": "send it from the account that the terms name as B",
    "Channels: not a party": "send it from the account of one of the channel's banks",
    "Channels: not what arrived": "open the channel with a token that moves exactly what it is told",
    "Channels: nothing": "nothing is left to do, or the deposits are 0",
    "Channels: one bank": "name another account than A's as B",
    "Channels: one way": "B deposits nothing in a one-way channel",
    "Channels: refused by token": "check token, balance and allowance",
    "Channels: too much": "deposit less than 2**128 base units",
    "Channels: wrong value": "send exactly the deposit as coin, and no coin beside a token",
}
"""What to do about the strings that have no class of their own."""


class ChannelsRefused(Reverted):
    """A Channels contract refused a call, and said why.

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
        return self.remedy or _REMEDIES.get(f"Channels: {self.reason}", "")


class WrongState(ChannelsRefused):
    """The channel is not in the state that this needs: it was never opened, closes already, or has ended."""

    says = frozenset({"Channels: wrong state"})
    remedy = "look at the channel: somebody was faster, or the terms are another's"


class TooEarly(ChannelsRefused):
    """The other bank may still answer, or a conditional payment is open."""

    says = frozenset({"Channels: too early"})
    remedy = "wait until the challenge period and the time-outs have passed"


class TooLate(ChannelsRefused):
    """The time to answer has passed."""

    says = frozenset({"Channels: too late"})
    remedy = "have it settled: what was submitted decides"


class NotNewer(ChannelsRefused):
    """A sheet of this number or a higher one was submitted."""

    says = frozenset({"Channels: not newer"})
    remedy = "submit a sheet of a higher number, if there is one"


class Answered(ChannelsRefused):
    """This bank has answered before; each does once."""

    says = frozenset({"Channels: answered"})
    remedy = "wait for the end: each bank answers once"


class BadSheet(ChannelsRefused):
    """The sheet does not add up to the deposits, or is not the one that was submitted."""

    says = frozenset({"Channels: bad sheet"})
    remedy = "submit the newest sheet as both banks signed it"


_CLASSES: Final = {words: kind for kind in ChannelsRefused.__subclasses__() for words in kind.says}


def typed_revert(label: str, reason: str, data: bytes = b"") -> Reverted:
    """The typed error for a Channels contract's reason (`EvmRpc(reverted=…)`); `Reverted` for what it does not say."""
    kind = _CLASSES.get(reason)
    if kind is not None:
        return kind(label, reason, data)
    if reason.startswith("Channels: "):
        return ChannelsRefused(label, reason, data)
    return Reverted(label, reason, data)


class NotOurChannels(Fatal):
    """What stands at a Channels contract's address is none of this release: no money may be put there.

    Fields: contract (20 bytes); found (for people).
    """

    cure = "correct the contract's address in the configuration"

    def __init__(self, contract: bytes, found: str) -> None:
        self.contract = contract
        self.found = found
        super().__init__(f"0x{contract.hex()} is no Channels contract of this release: {found}")
