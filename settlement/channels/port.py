"""What a bank's side of a channel asks of the world: an adjudicator, a way to the other bank, and its own gateway."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from settlement.channels.judge import Case, Command
from settlement.channels.messages import Message
from settlement.channels.state import Change, LockEnded, NotDone, Offered, Paid, PreimageSeen, Registered
from settlement.channels.terms import ChannelId
from settlement.quantities import Preimage

Notice = Offered | Paid | LockEnded | NotDone | PreimageSeen
"""What a gateway is told of its channels, at least once."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A channel as its ledger has it, final. Fields: reveals (registered preimages of the conditions asked for)."""

    case: Case
    reveals: tuple[Registered, ...]


class Adjudicator(Protocol):
    """Holds the channels' money and decides between two banks: a book's operator, or `Channels.vy`."""

    async def submit(self, channel: ChannelId, command: Command) -> None:
        """Decide on a command of this bank, whom the adjudicator has authenticated.

        Raises:
            Overruled: it is refused.
            Retryable: unknown; look, and ask again.
        """

    async def reveal(self, preimage: Preimage) -> None:
        """Register a preimage. Raises Retryable."""

    async def standing(self, channel: ChannelId, conditions: tuple[bytes, ...]) -> Standing | None:
        """How the channel stands, None where it is unknown. Raises Retryable."""


Courts: TypeAlias = Callable[[ChannelId], Adjudicator]
"""Which adjudicator a channel of ours is at. Raises `UnknownChannel` (store) for one that is at none."""


class PeerLink(Protocol):
    """The authenticated way to the other bank. May lose, repeat and delay."""

    async def send(self, channel: ChannelId, message: Message) -> None:
        """Try to deliver once; never raises for a peer that is away."""


class Gateway(Protocol):
    """Who is told what has become final in the channels."""

    async def tell(self, channel: ChannelId, number: int, notice: Notice) -> tuple[tuple[ChannelId, Change], ...]:
        """At least once, in order for each channel; `number` is the same for a repeat.

        What it returns is changed in the channels exactly once, in the transaction that forgets the notice.
        """
