"""How packets reach and leave the connector: what a transport gives, and what it is given.

Callbacks, no futures: a future a packet costs more than the packet. All of it happens on the event loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from foundation.errors import Retryable

Reply: TypeAlias = Callable[[bytes], None]
"""Called once at most with the encoded Fulfill or Reject; never raises."""


class LinkDown(Retryable):
    """A packet cannot be sent to the peer now. Nothing was sent: the caller may reject, or send elsewhere.

    Fields: account (the peer's account); reason.
    """

    def __init__(self, account: str, reason: str) -> None:
        self.account = account
        self.reason = reason
        super().__init__(f"the link to {account} is down: {reason}")


class Link(Protocol):
    """One peer, outgoing: carries packets over BTP or HTTP."""

    def send(self, prepare: bytes, reply: Reply) -> None:
        """Send an encoded Prepare; `reply` is called with the peer's encoded answer.

        A link promises no answer and keeps no timer for the caller's sake: the caller keeps its own, by the packet's
        expiry, and drops an answer that comes later.

        Raises:
            LinkDown: it cannot be sent now; nothing was.
        """
        ...

    @property
    def is_up(self) -> bool:
        """Whether `send` would be likely to work now."""
        ...


class PacketHandler(Protocol):
    """Incoming: what a transport calls for each Prepare of an authenticated peer."""

    def __call__(self, account: str, prepare: bytes, reply: Reply) -> None:
        """Take one encoded Prepare (not yet checked in any way) of `account`; never raises.

        Args:
            account: whose credentials the peer showed.
            prepare: owned bytes, the packet as it came.
            reply: to be called once at most, at any time, also from within this call.
        """
        ...
