"""The care for transactions that are on their way: noticing what became of them, and doing what they need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

import structlog

from adapters.evm.bids import replacement
from adapters.evm.errors import (
    BadAnswer,
    InsufficientBalance,
    NodeUnavailable,
    Reverted,
    RpcRefused,
    TransactionAbandoned,
    WrongChain,
)
from adapters.evm.flight import UNSENT, Flight, SenderNode, SenderPolicy, TxResult
from adapters.evm.journal import SignedTx, TxJournal, TxStatus
from adapters.evm.mempool import Verdict, verdict
from adapters.evm.signing import AccountSigner
from adapters.evm.types import Call, Receipt
from foundation.errors import Retryable
from foundation.quantities import BlockHeight, Wei

_GAPS_AT_ONCE = 16
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _State:
    """A state of the chain. Fields: number (of its block); base_fee; count (the account's next nonce)."""

    number: BlockHeight
    base_fee: Wei
    count: int


class Shepherd:
    """Watches the flights of one account. `flights` is by nonce, and shared with the sender, as is `lock`."""

    def __init__(
        self,
        node: SenderNode,
        journal: TxJournal,
        signer: AccountSigner,
        policy: SenderPolicy,
        clock: Callable[[], float],
    ) -> None:
        """Watch over nothing yet."""
        self._node = node
        self._journal = journal
        self._signer = signer
        self._policy = policy
        self._clock = clock
        self.flights: dict[int, Flight] = {}
        self.lock = asyncio.Lock()
        self._doubt = ""  # why the final state was last not known: said once

    @property
    def is_waiting(self) -> bool:
        """Whether a transaction is not in a block yet."""
        return any(flight.included is None for flight in self.flights.values())

    @property
    def waiting_since(self) -> float | None:
        """When the newest version was signed that is in no block yet; None where nothing is waited for."""
        return max((flight.signed_at for flight in self.flights.values() if flight.included is None), default=None)

    def adopt(self, versions: Iterable[SignedTx]) -> None:
        """Watch what the journal holds, by nonce and in the order of signing."""
        for nonce, group in groupby(versions, key=lambda tx: tx.nonce):
            mine = list(group)
            if nonce not in self.flights:
                self.flights[nonce] = Flight(mine[0].key, nonce, mine, signed_at=self._clock())

    async def look(self) -> None:
        """Notice what is in a block, and tell those who wait."""
        if not self.is_waiting:
            return
        (count,) = await self._node.transaction_counts(self._signer.address, ["latest"])
        await self._include([f for f in self.flights.values() if f.included is None and f.nonce < count])

    async def tend(self) -> None:
        """Settle what is final, and do for the others what they need."""
        if not self.flights:
            return
        newest, final = await self._states()
        if final is not None:
            await self._settle_included(final.number)
            await self._settle_lost(final.count)
        await self._close_gap(newest.count, newest.base_fee)
        await self._care(newest.count, newest.base_fee)

    async def _states(self) -> tuple[_State, _State | None]:
        """The newest state, and the final one; None where there is none, or none that can be told now.

        Endpoints that do not agree on what is final keep nothing from being settled but that: what has to be in a block
        in time is cared for all the same.
        """
        account = self._signer.address
        try:
            blocks = await self._node.blocks(["latest", "finalized"])
            counts = await self._node.transaction_counts(account, ["latest", "finalized"])
        except (Retryable, WrongChain) as error:
            blocks = await self._node.blocks(["latest"])
            counts = await self._node.transaction_counts(account, ["latest"])
            if str(error) != self._doubt:
                _log.warning("what is final is not known; transactions are cared for without", problem=str(error))
            self._doubt = str(error)
        else:
            self._doubt = ""
        newest, *final = (
            None if block is None else _State(block.number, block.base_fee, count)
            for block, count in zip(blocks, counts, strict=True)
        )
        if newest is None:
            raise NodeUnavailable("eth_getBlockByNumber", "the node has no latest block")
        return newest, final[0] if final else None

    async def broadcast(self, flight: Flight) -> Verdict:
        """Hand the newest version to the node, or one before it that the account can pay.

        Raises:
            NodeUnavailable, TooFewEndpoints: the node is down, or all of them are.
        """
        answer, problem = await self._hand_in(flight, flight.latest)
        log = _log.bind(transaction=flight.key, nonce=flight.nonce, problem=problem)
        flight.sent_at = self._clock()
        flight.underpriced = answer is Verdict.UNDERPRICED
        flight.refusals = flight.refusals + 1 if answer is Verdict.REFUSED else 0
        if answer is Verdict.NEVER and not flight.latest.is_filler:
            log.warning("a transaction can never be mined; its nonce is used up otherwise")
            await self._fill(flight)
        elif answer not in (Verdict.TAKEN, Verdict.NONCE_USED):
            log.warning("the node does not take a transaction", verdict=answer.value)
        if answer is Verdict.TOO_POOR:
            await self._fall_back(flight)
        return answer

    async def _fall_back(self, flight: Flight) -> None:
        """Hand in the highest bid that the account can pay: a node may have dropped it for one that it cannot."""
        for version in sorted(flight.versions[:-1], key=lambda one: one.max_fee, reverse=True):
            answer, _ = await self._hand_in(flight, version)
            if answer is not Verdict.TOO_POOR:
                return

    async def _hand_in(self, flight: Flight, version: SignedTx) -> tuple[Verdict, str]:
        """Broadcast a version, and note whether the account can pay it. Returns also the node's words."""
        answer, problem = Verdict.TAKEN, ""
        try:
            await self._node.send_raw(version.raw)
        except RpcRefused as error:
            answer, problem = verdict(error.message), error.message
        if answer is Verdict.TOO_POOR:
            flight.too_dear.add(version.hash)
        else:
            flight.too_dear.discard(version.hash)
        return answer, problem

    async def result(self, key: str, versions: tuple[SignedTx, ...]) -> TxResult | Flight:
        """What became of a transaction that was final. It is on its way again, where a reorganisation went deeper than
        what counted as final and its nonce is free.

        Raises:
            Reverted: the contract refused it.
            TransactionAbandoned: its nonce went to something else.
            NodeUnavailable: the node does not have its receipt (now).
        """
        done = next((tx for tx in versions if tx.status in (TxStatus.MINED, TxStatus.REVERTED)), None)
        if done is None:
            raise TransactionAbandoned(key, versions[0].nonce, None)
        (receipt,) = await self._node.receipts([done.hash])
        if receipt is None:
            if not await self._is_free(done.nonce):
                raise NodeUnavailable("eth_getTransactionReceipt", f"no receipt of {done.hash.hex()}")
            _log.error("a transaction that was final is in the chain no more", transaction=key, nonce=done.nonce)
            self.adopt([*(tx for tx in versions if tx is not done), done])
            return self.flights[done.nonce]
        failure = await self._failure(key, done, receipt)
        if failure is not None:
            raise failure
        return TxResult(key, receipt)

    async def _is_free(self, nonce: int) -> bool:
        """Whether the chain has used a nonce neither at its tip nor in what is final."""
        return max(await self._node.transaction_counts(self._signer.address, ["latest", "finalized"])) <= nonce

    async def _include(self, flights: list[Flight]) -> None:
        hashes = [(flight, version.hash) for flight in flights for version in flight.versions]
        receipts = await self._node.receipts([tx_hash for _, tx_hash in hashes])
        for (flight, tx_hash), receipt in zip(hashes, receipts, strict=True):
            if receipt is None:
                continue
            failure = await self._failure(flight.key, flight.version(tx_hash), receipt)
            flight.included = receipt
            if failure is None:
                flight.succeed(receipt)
            else:
                flight.fail(failure)

    async def _failure(self, key: str, tx: SignedTx, receipt: Receipt) -> Reverted | TransactionAbandoned | None:
        """Why a transaction that is in a block is no success; None if it is one."""
        if tx.is_filler:
            return TransactionAbandoned(key, tx.nonce, tx.hash)
        if receipt.succeeded:
            return None
        if receipt.gas_used >= tx.gas:
            return Reverted(tx.label, "out of gas", transaction=tx.hash)
        # A receipt has no reason. The state after the block, which held the transaction, commonly refuses it alike.
        call = Call(tx.to or None, tx.data, tx.label, tx.value)
        try:
            await self._node.call(call, receipt.block.number, tx.account)
        except Reverted as refusal:
            refusal.transaction = tx.hash
            return refusal
        except (RpcRefused, BadAnswer, InsufficientBalance):
            pass  # the node keeps no state of that block, or the account cannot pay the call's value any more
        return Reverted(tx.label, "", transaction=tx.hash)

    async def _settle_included(self, final: BlockHeight) -> None:
        """Finish what is in a final block; take back what a reorg dropped."""
        held = [(flight, flight.included) for flight in self.flights.values() if flight.included is not None]
        receipts = await self._node.receipts([old.transaction for _, old in held])
        for (flight, _), receipt in zip(held, receipts, strict=True):
            flight.included = receipt
            if receipt is None:
                flight.sent_at = UNSENT
            elif receipt.block.number <= final:
                status = TxStatus.MINED if receipt.succeeded else TxStatus.REVERTED
                await self._journal.finish(self._signer.address, flight.nonce, receipt.transaction, status)
                del self.flights[flight.nonce]

    async def _settle_lost(self, final_count: int) -> None:
        """Give up what can no longer be mined, because a stranger's transaction has its nonce, finally."""
        gone = [f for f in self.flights.values() if f.included is None and f.nonce < final_count]
        await self._include(gone)
        for flight in gone:
            if flight.included is None:
                await self._journal.finish(self._signer.address, flight.nonce, None, TxStatus.LOST)
                flight.fail(TransactionAbandoned(flight.key, flight.nonce, None))
                del self.flights[flight.nonce]
                _log.error("another user of the account took a nonce", transaction=flight.key, nonce=flight.nonce)

    async def _close_gap(self, count: int, base_fee: Wei) -> None:
        """Send again, or fill, the nonces below our lowest that the chain does not have: nothing above them can go.

        They are missing where a chain lost blocks that were final, or where a crash came after a record.
        """
        async with self.lock:
            lowest = min((nonce for nonce, f in self.flights.items() if f.included is None), default=0)
            for nonce in range(count, min(lowest, count + _GAPS_AT_ONCE)):
                if nonce in self.flights:
                    continue
                versions = await self._journal.by_nonce(self._signer.address, nonce)
                if not versions:
                    # Up to the cap, whatever the base fee is said to be: nothing else can go before it.
                    fees = self._policy.fees.bid(base_fee, least=Wei(0))
                    filler = self._signer.filler(f"filler:{nonce}", nonce, fees)
                    await self._journal.record(filler)
                    versions = (filler,)
                _log.warning("a nonce is missing in the chain", nonce=nonce, transaction=versions[0].key)
                self.adopt(versions)

    async def _care(self, count: int, base_fee: Wei) -> None:
        """Broadcast again, bid more, or give up, as each transaction needs."""
        waiting = [self.flights[n] for n in sorted(self.flights) if n >= count and self.flights[n].included is None]
        known = await self._node.known([flight.latest.hash for flight in waiting])
        policy, now = self._policy, self._clock()
        for flight, is_known in zip(waiting, known, strict=True):
            is_next = flight.nonce == count
            is_old = now - flight.signed_at >= policy.bump_after_seconds
            bid = flight.standing or flight.highest
            is_low = bid.max_fee < base_fee + min(bid.tip, policy.fees.tip)
            if is_next and flight.refusals >= policy.refusals_before_filling and not flight.latest.is_filler:
                await self._fill(flight)
            elif flight.underpriced or (is_old and (is_next or is_low)):
                await self._bump(flight, base_fee, is_known)
            elif (flight.is_unsent or not is_known) and now - flight.sent_at >= policy.resend_after_seconds:
                # A node may know what a reorg dropped, and yet not mean to mine it: that one it is given again as well.
                await self.broadcast(flight)

    async def _bump(self, flight: Flight, base_fee: Wei, is_known: bool) -> None:
        fees = replacement(flight.standing, base_fee, await self._borne(flight), self._policy.fees)
        version = None if fees is None else self._signer.repriced(flight.latest, fees)
        if version is None or any(one.hash == version.hash for one in flight.versions):
            flight.signed_at = self._clock()  # looked at again after the same wait: the chain may have become cheaper
            _log.warning("a transaction waits, and bids the most it may", transaction=flight.key, nonce=flight.nonce)
            if not is_known:
                await self.broadcast(flight)
            return
        _log.info("bidding more", transaction=flight.key, nonce=flight.nonce, max_fee=version.max_fee)
        await self._replace(flight, version)

    async def _borne(self, flight: Flight) -> list[int]:
        """The highest bids (wei per gas) that the account bears for a flight beside others, as balances are told."""
        others = sum(one.cost for one in self.flights.values() if one.included is None and one is not flight)
        kept, gas = others + flight.latest.value, flight.latest.gas
        return [(balance - kept) // gas for balance in await self._node.balances(self._signer.address)]

    async def _fill(self, flight: Flight) -> None:
        fees = self._policy.fees.raised(flight.highest, Wei(0)) or flight.highest
        await self._replace(flight, self._signer.filler(flight.key, flight.nonce, fees))

    async def _replace(self, flight: Flight, version: SignedTx) -> None:
        await self._journal.record(version)
        flight.versions.append(version)
        flight.signed_at = self._clock()
        flight.refusals = 0
        await self.broadcast(flight)
