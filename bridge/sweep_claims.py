"""Which coins are in a transaction that this node has agreed to sign lately, so that it signs no rival of it.

Two transactions that share a coin harm nobody, but only one of them can confirm, and the other's coins wait for
nothing. Turns change while signing goes on, and the next coordinator cannot know of it yet. The signers do.

Whoever proposes a transaction need not finish it. So a proposer holds a coin once, for a short time, and then not
again for long: otherwise one dishonest storeman could keep a minted deposit from being swept until its depositor takes
it back, or a payout from being signed, by proposing something else again and again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from adapters.bitcoin.primitives import OutPoint
from adapters.bitcoin.transactions import UnsignedTx
from bridge.policy import check_raised
from bridge.refusals import FeeNotRaised, NotYet
from bridge.storage import View
from foundation.quantities import Satoshi, UnixMs

_HELD_MS: Final = 20_000
"""After this time a transaction that was never heard of again no longer stands in the way."""
_REMEMBERED_MS: Final = 3_600_000
"""For so long the same proposer cannot hold the same coin again."""


@dataclass(frozen=True, slots=True)
class _Claim:
    coins: frozenset[OutPoint]
    fee: Satoshi
    at: UnixMs


class SweepClaims:
    """Kept in memory: a restart forgets them, and the worst that follows is one transaction in vain."""

    def __init__(self) -> None:
        self._claims: dict[OutPoint, dict[bytes, _Claim]] = {}
        """For each coin, by proposer."""

    async def claim(self, view: View, transaction: UnsignedTx, now: UnixMs, proposer: bytes = b"") -> None:
        """Hold a transaction's coins for it. The same coins again are a version of it: the same, or a fee bump.

        Raises:
            NotYet: some of them are in another transaction that is being signed, or waits for its block; or a version
                was signed that pays nearly as much.
        """
        coins = _coins(transaction)
        held = self._held(coins, now)
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
        self.hold(transaction, now, proposer)

    def fee_held(self, transaction: UnsignedTx, now: UnixMs) -> Satoshi | None:
        """The highest fee of a version of `transaction` that is being signed, None where none is."""
        coins = _coins(transaction)
        return max((claim.fee for claim in self._held(coins, now) if claim.coins == coins), default=None)

    def hold(self, transaction: UnsignedTx, now: UnixMs, proposer: bytes) -> None:
        """Hold the coins from now on, unless the proposer has held them lately."""
        coins = _coins(transaction)
        for coin in coins:
            claims = self._claims.setdefault(coin, {})
            before = claims.get(proposer)
            if before is None:
                claims[proposer] = _Claim(coins, transaction.fee, now)
            elif _is_held(before, now):
                claims[proposer] = replace(before, coins=coins, fee=transaction.fee)

    def _held(self, coins: Iterable[OutPoint], now: UnixMs) -> set[_Claim]:
        """The claims that stand now on one of `coins`; those of long ago are forgotten."""
        remembered = {
            coin: {proposer: claim for proposer, claim in claims.items() if now - claim.at < _REMEMBERED_MS}
            for coin, claims in self._claims.items()
        }
        self._claims = {coin: claims for coin, claims in remembered.items() if claims}
        return {claim for coin in coins for claim in self._claims.get(coin, {}).values() if _is_held(claim, now)}


def _coins(transaction: UnsignedTx) -> frozenset[OutPoint]:
    return frozenset(coin.outpoint for coin in transaction.inputs)


def _is_held(claim: _Claim, now: UnixMs) -> bool:
    return now - claim.at < _HELD_MS
