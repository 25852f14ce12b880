"""Which coins are in a sweep or a return that this node has agreed to sign lately, so that it signs no rival of it.

Two transactions that share a coin harm nobody, but only one of them can confirm, and the other's coins wait for
nothing. Turns change while signing goes on, and the next coordinator cannot know of it yet. The signers do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adapters.bitcoin.primitives import OutPoint
from adapters.bitcoin.transactions import UnsignedTx
from bridge.policy import check_raised
from bridge.refusals import FeeNotRaised, NotYet
from bridge.storage import View
from foundation.quantities import Satoshi, UnixMs

_HELD_MS: Final = 20_000
"""After this time a transaction that was never heard of again no longer stands in the way."""


@dataclass(frozen=True, slots=True)
class _Claim:
    coins: frozenset[OutPoint]
    fee: Satoshi
    at: UnixMs


class SweepClaims:
    """Kept in memory: a restart forgets them, and the worst that follows is one transaction in vain."""

    def __init__(self) -> None:
        self._claims: dict[OutPoint, _Claim] = {}

    async def claim(self, view: View, transaction: UnsignedTx, now: UnixMs) -> None:
        """Hold a transaction's coins for it. The same coins again are a version of it: the same, or a fee bump.

        Raises:
            NotYet: some of them are in another transaction that is being signed, or waits for its block; or a version
                was signed that pays nearly as much.
        """
        coins = frozenset(coin.outpoint for coin in transaction.inputs)
        self._claims = {o: claim for o, claim in self._claims.items() if now - claim.at < _HELD_MS}
        held = {self._claims[o] for o in coins if o in self._claims}
        if any(claim.coins != coins for claim in held):
            raise NotYet("the end of another transaction with the same coins")
        fees = [claim.fee for claim in held]
        for row in await view.bitcoin_transactions.waiting():
            others = {OutPoint(*outpoint) for outpoint in await view.bitcoin_transactions.inputs(row.txid)}
            if others & coins and others != coins:
                raise NotYet("the block with another transaction with the same coins")
            if others == coins:
                fees.append(row.fee)
        try:
            check_raised(transaction.fee, max(fees, default=None), transaction.vsize)
        except FeeNotRaised as error:
            raise NotYet("the end of a version that pays about the same") from error
        self._claims.update(dict.fromkeys(coins, _Claim(coins, transaction.fee, now)))
