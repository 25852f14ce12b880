"""Claims and refunds at the node: what to bid now, what stands in the way already, and handing transactions over.

Nothing is kept here. What is in the mempool is asked each time, so a crash, a repeat or a rival changes nothing: the
same call finds the own transaction there and leaves it, or is told to raise it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from adapters.bitcoin.errors import MempoolRefused, Refusal
from adapters.bitcoin.fees import FeePolicy
from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.bitcoin.transactions import UnsignedTx, key_path_vsize, parse_transaction
from foundation.quantities import Satoshi
from settlement.swap.bitcoin.fees import Bid, Market, Standing, bid, most_fee, outbid
from settlement.swap.bitcoin.output import SwapOutput

_LEAST_TARGET: Final = 2
_MOST_TARGET: Final = 1008
"""Bitcoin Core estimates for no sooner and for no later (in blocks)."""


class Submission(StrEnum):
    """What became of a transaction that was handed over."""

    TAKEN = "taken"
    """It is in the mempool now, or was, or it is in a block."""
    SPENT = "spent"
    """A coin that it spends is spent in a block, or unknown. The watch tells by what."""
    OUTBID = "outbid"
    """Another spend of the coin is in the mempool and pays more, or the mempool asks more: bid again."""
    TOO_EARLY = "too early"
    """A time lock has not passed."""
    REFUSED = "refused"
    """For another reason, which no fee and no time changes."""


@dataclass(frozen=True, slots=True)
class Spend:
    """A signed transaction that moves the swap's coin. Fields: raw; txid (32 bytes, internal byte order); fee."""

    raw: bytes
    txid: bytes
    fee: Satoshi


class BitcoinDesk:
    """Bids for one trader at one node. Every method raises what `BitcoinRpc` raises."""

    def __init__(self, rpc: BitcoinRpc, policy: FeePolicy) -> None:
        self._rpc = rpc
        self._policy = policy

    async def market(self, within_blocks: int | None = None) -> Market:
        """What the node says of fees, for confirming within so many blocks (the policy's where None)."""
        target = self._policy.target_blocks if within_blocks is None else within_blocks
        asked = self._rpc.estimate_fee_rate(max(_LEAST_TARGET, min(target, _MOST_TARGET)))
        return Market(*await asyncio.gather(asked, self._rpc.relay_floor(), self._rpc.incremental_relay_fee()))

    async def standing(self, outpoint: OutPoint) -> Standing | None:
        """What the mempool spends the coin with; None where it does not."""
        (txid,) = await self._rpc.spenders([outpoint])
        entry = None if txid is None else await self._rpc.mempool_entry(txid)
        return None if entry is None else Standing(entry.txid, entry.descendants_fee, entry.vsize)

    async def claim(
        self,
        output: SwapOutput,
        coin: Coin,
        destination: bytes,
        secret: bytes,
        preimage: bytes,
        *,
        higher: bool = False,
        within_blocks: int | None = None,
    ) -> Spend | None:
        """The claim by script to broadcast now; `secret`: of the initiator's key. As `refund` otherwise."""
        found = await self._bid(coin, destination, output.claim_vsize(destination), higher, within_blocks)
        if found is None:
            return None
        made = output.claim(coin, destination, found.rate, preimage, minimum_fee=found.minimum_fee)
        return Spend(made.signed_by(secret), made.txid(), made.fee)

    async def refund(
        self,
        output: SwapOutput,
        coin: Coin,
        destination: bytes,
        secret: bytes,
        *,
        higher: bool = False,
        within_blocks: int | None = None,
    ) -> Spend | None:
        """The refund by script to broadcast now, once the median time past is beyond T2.

        Args:
            destination: the follower's scriptPubKey, the same at each call.
            secret: of the follower's key, 32 bytes.
            higher: raise an own one that is in the mempool; without it, that is left as it is.
            within_blocks: how soon it has to be in a block.

        Returns:
            None where an own one is in the mempool already, or what is there cannot be outbid.

        Raises:
            BadInput: the coin is worth less than it costs to move.
        """
        found = await self._bid(coin, destination, output.refund_vsize(destination), higher, within_blocks)
        if found is None:
            return None
        made = output.refund(coin, destination, found.rate, minimum_fee=found.minimum_fee)
        return Spend(made.signed_by(secret), made.txid(), made.fee)

    async def by_key(
        self,
        output: SwapOutput,
        coin: Coin,
        destination: bytes,
        *,
        higher: bool = False,
        within_blocks: int | None = None,
    ) -> UnsignedTx | None:
        """The key-path spend to have signed by both now (`cosign.Asker`). As `refund` otherwise."""
        found = await self._bid(coin, destination, key_path_vsize(1, [destination]), higher, within_blocks)
        if found is None:
            return None
        return output.by_key(coin, destination, found.rate, minimum_fee=found.minimum_fee)

    async def submit(self, raw: bytes) -> Submission:
        """Hand a transaction over. Raises only what says nothing of it: `NodeUnavailable` and the like."""
        try:
            await self._rpc.submit(raw)
        except MempoolRefused as refused:
            return _SUBMISSIONS.get(refused.refusal, Submission.REFUSED)
        return Submission.TAKEN

    async def submit_with_child(self, parent: bytes, child: bytes) -> Submission:
        """Hand over a transaction that pays too little alone together with the child that pays for it."""
        if await self._rpc.mempool_entry(parse_transaction(parent).txid) is not None:
            return await self.submit(child)
        answer = await self._rpc.call("submitpackage", [parent.hex(), child.hex()])
        if isinstance(answer, dict) and answer.get("package_msg") == "success":
            return Submission.TAKEN
        # The node names a reason for each; handing over the parent alone tells it in the usual words.
        return await self.submit(parent)

    async def _bid(
        self, coin: Coin, destination: bytes, vsize: int, higher: bool, within_blocks: int | None
    ) -> Bid | None:
        standing, market = await asyncio.gather(self.standing(coin.outpoint), self.market(within_blocks))
        most = most_fee(coin, destination)
        if standing is None:
            return bid(self._policy, market, vsize, most)
        is_ours = await self._pays(standing.txid, destination)
        if is_ours and not higher:
            return None
        return outbid(self._policy, market, vsize, most, standing, is_ours=is_ours)

    async def _pays(self, txid: bytes, destination: bytes) -> bool:
        raw = await self._rpc.transaction(txid)
        return raw is not None and all(output.script == destination for output in parse_transaction(raw).outputs)


_SUBMISSIONS: Final = {
    Refusal.ALREADY_KNOWN: Submission.TAKEN,
    Refusal.MISSING_INPUTS: Submission.SPENT,
    Refusal.FEE_TOO_LOW: Submission.OUTBID,
    Refusal.CONFLICT: Submission.OUTBID,
    Refusal.NOT_YET_VALID: Submission.TOO_EARLY,
    Refusal.CHAIN_TOO_LONG: Submission.OUTBID,
}
