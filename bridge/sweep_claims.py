"""Which coins are in a sweep that this node has agreed to sign lately, so that it signs no second one beside it.

Two sweeps that share a coin harm nobody, but only one of them can confirm, and the other's coins wait for nothing.
Turns change while sweeps are being signed, and the next coordinator cannot know of them yet. The signers do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from adapters.bitcoin.primitives import OutPoint
from bridge.refusals import NotYet
from bridge.storage import View
from foundation.quantities import UnixMs

_HELD_MS: Final = 20_000
"""After this time a sweep that was never heard of again no longer stands in the way."""


class SweepClaims:
    """Kept in memory: a restart forgets them, and the worst that follows is one sweep in vain."""

    def __init__(self) -> None:
        self._claims: dict[OutPoint, tuple[frozenset[OutPoint], UnixMs]] = {}

    async def claim(self, view: View, inputs: Iterable[OutPoint], now: UnixMs) -> None:
        """Hold the coins for this sweep; the same coins again, as a fee bump has them, are the same sweep.

        Raises:
            NotYet: some of them are in another sweep that is being signed, or waits for its block.
        """
        coins = frozenset(inputs)
        self._claims = {o: claim for o, claim in self._claims.items() if now - claim[1] < _HELD_MS}
        if any(self._claims[o][0] != coins for o in coins if o in self._claims):
            raise NotYet("the end of another sweep of the same coins")
        for row in await view.bitcoin_transactions.waiting():
            others = {OutPoint(*outpoint) for outpoint in await view.bitcoin_transactions.inputs(row.txid)}
            if others & coins and others != coins:
                raise NotYet("the block with another sweep of the same coins")
        self._claims.update(dict.fromkeys(coins, (coins, now)))
