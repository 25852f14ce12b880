"""Sending transactions from one account, so that each happens once, whatever crashes in between.

A transaction is named by its caller's key. It is simulated first (a refusal then costs neither nonce nor gas), signed
with the next nonce, written into the journal, broadcast, and shepherded until its block is final: broadcast again where
a node forgot it, replaced by one with a higher bid where it lingers, its nonce used up otherwise where it can never be
mined. Many may be on their way at once.

There must be one sender at a time for an account.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Self

import structlog

from adapters.evm.bids import Bid, TooLittle, affordable
from adapters.evm.errors import InsufficientBalance, NodeUnavailable, SenderClosed, TooFewEndpoints
from adapters.evm.fees import FeePolicy
from adapters.evm.flight import Flight, SenderNode, SenderPolicy, TxResult, check_same_call
from adapters.evm.journal import TxJournal, TxStatus
from adapters.evm.mempool import Verdict
from adapters.evm.shepherd import Shepherd
from adapters.evm.signing import AccountSigner
from adapters.evm.types import BlockHeader, Call
from foundation.errors import CausewayError

_BACK_OFF_FIRST: Final = 0.1
_BACK_OFF_MOST: Final = 2.0
"""Seconds between two looks at a node that does not serve."""

_log = structlog.get_logger(__name__)


class TxSender:
    """Sends for one account; an asynchronous context manager. What was on its way before is taken up at the start."""

    def __init__(
        self,
        node: SenderNode,
        journal: TxJournal,
        secret: bytes,
        chain_id: int,
        policy: SenderPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Describe the sender; nothing is read or sent yet.

        Args:
            node: where to send; `EvmRpc`.
            journal: what was sent before; kept on disk by agents.
            secret: the account's key, 32 bytes.
            chain_id: the chain's EIP-155 number.
            policy: bids and waits.
            clock: seconds, never going back.
        """
        self._node = node
        self._journal = journal
        self._signer = AccountSigner(secret, chain_id)
        self._policy = policy or SenderPolicy()
        self._clock = clock
        self._shepherd = Shepherd(node, journal, self._signer, self._policy, clock)
        self._next_nonce: int | None = None
        self._nudge = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    @property
    def account(self) -> bytes:
        """The account's address, 20 bytes."""
        return self._signer.address

    @property
    def fees(self) -> FeePolicy:
        """How much it bids."""
        return self._policy.fees

    @property
    def on_their_way(self) -> int:
        """How many transactions are not final yet."""
        return len(self._shepherd.flights)

    async def start(self) -> Self:
        """Take up what the journal holds, and begin to watch. The node may be down."""
        self._shepherd.adopt(await self._journal.pending(self.account))
        self._task = asyncio.create_task(self._run(), name="transaction sender")
        return self

    async def close(self) -> None:
        """Stop watching. Whoever still waits gets `SenderClosed`; the journal knows the rest."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for flight in self._shepherd.flights.values():
            flight.fail(SenderClosed(flight.key))
        self._shepherd.flights.clear()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    async def send(self, call: Call, key: str, *, gas: int | None = None) -> TxResult:
        """Send `call` once and wait until it is in a block. The same key again is the same transaction.

        A caller that is cancelled, or crashes, asks again with the same key. While the node is down a transaction
        that was accepted goes on waiting.

        Args:
            call: what to do.
            key: names it for ever in this account's journal.
            gas: the gas limit; given, nothing is simulated, for a call that depends on one still on its way.

        Raises:
            Reverted: the contract refuses it; nothing was sent, unless the error names a transaction.
            InsufficientBalance: the account cannot pay even the base fee and the tip; nothing was sent.
            GasPriceAboveCap: the chain is too busy for our cap; nothing was sent.
            KeyReused: the key belongs to another call.
            TransactionAbandoned: it can never be mined, because something else took its nonce.
            NodeUnavailable: the node is down; nothing was sent, or it is final and its receipt is not to be had.
            SenderClosed: `close` was called meanwhile, or `start` was not.
        """
        if self._task is None:
            raise SenderClosed(key)
        if self._failure is not None:
            raise self._failure
        found = await self._find(call, key)
        if found is None:
            found = await self._admit(call, key, gas)
        if isinstance(found, TxResult):
            return found
        self._nudge.set()
        return await asyncio.shield(found.outcome)

    async def is_used_up(self, key: str) -> bool:
        """Whether what was sent under `key` is final and had no effect: refused by the contract, or without its nonce.

        Whoever still needs the effect asks under another key; under this one the answer stays the same for ever.
        """
        versions = await self._journal.by_key(self.account, key)
        waits = any(version.status is TxStatus.PENDING for version in versions)
        worked = any(version.status is TxStatus.MINED and not version.is_filler for version in versions)
        return bool(versions) and not waits and not worked

    async def _find(self, call: Call, key: str) -> Flight | TxResult | None:
        """What is known under this key: on its way, or final."""
        flight = next((flight for flight in self._shepherd.flights.values() if flight.key == key), None)
        if flight is not None:
            check_same_call(key, flight.versions, call)
            return flight
        versions = await self._journal.by_key(self.account, key)
        if not versions:
            return None
        check_same_call(key, versions, call)
        if versions[-1].status is TxStatus.PENDING:
            self._shepherd.adopt(versions)
            return self._shepherd.flights[versions[0].nonce]
        return await self._shepherd.result(key, versions)

    async def _admit(self, call: Call, key: str, gas: int | None) -> Flight | TxResult:
        """Give a new transaction its nonce, write it down, and broadcast it."""
        bid = await self._bid(call, key, gas)
        async with self._shepherd.lock:
            found = await self._find(call, key)  # another task may have been faster
            if found is not None:
                return found
            nonce = await self._free_nonce()
            signed = self._signer.sign(key, nonce, call, bid.gas, bid.fees)
            self._next_nonce = None  # if the journal fails now, only the journal knows whether the nonce is free
            await self._journal.record(signed)
            self._next_nonce = nonce + 1
            flight = Flight(key, nonce, [signed], signed_at=self._clock())
            self._shepherd.flights[nonce] = flight
            try:
                # Within the lock, so that a node receives nonces in their order and holds none of them back.
                answer = await self._shepherd.broadcast(flight)
            except (NodeUnavailable, TooFewEndpoints) as error:
                _log.warning("a transaction waits for the node", transaction=key, nonce=nonce, problem=str(error))
                return flight
            if answer is Verdict.NONCE_USED:
                self._next_nonce = None  # somebody else uses the account: ask the chain again
            return flight

    async def _bid(self, call: Call, key: str, gas: int | None) -> Bid:
        """What the call is signed with; simulated, unless its gas limit is given."""
        if gas is not None:
            return Bid(gas, self._policy.fees.bid((await self._latest_block()).base_fee))
        bid = affordable(await self._node.simulate(call, self.account), call.value, self._policy)
        if isinstance(bid, TooLittle):
            raise InsufficientBalance(self.account, f"it has {bid.balance:,} wei, and needs {bid.needed:,}")
        if bid.is_lowered:
            _log.warning("a transaction bids what the account bears", transaction=key, max_fee=bid.fees.max_fee)
        return bid

    async def _latest_block(self) -> BlockHeader:
        block = (await self._node.blocks(["latest"]))[0]
        if block is None:
            raise NodeUnavailable("eth_getBlockByNumber", "the node has no latest block")
        return block

    async def _free_nonce(self) -> int:
        if self._next_nonce is None:
            (pending,) = await self._node.transaction_counts(self.account, ["pending"])
            self._next_nonce = max(pending, await self._journal.next_nonce(self.account))
        return self._next_nonce

    async def _run(self) -> None:
        back_off = _BACK_OFF_FIRST
        tended_at = float("-inf")
        while True:
            self._nudge.clear()
            try:
                await self._shepherd.look()
                if self._clock() - tended_at >= self._policy.tend_seconds:
                    await self._shepherd.tend()
                    tended_at = self._clock()
            except CausewayError as error:
                # Also fatal ones: whatever a node answers now, the transactions stay ours to look after.
                _log.warning("transactions wait", problem=str(error), kind=type(error).__name__)
                await self._nudged(back_off)
                back_off = min(2 * back_off, _BACK_OFF_MOST)
                continue
            except Exception as error:
                # A broken journal, or a bug. Those who wait must learn of it, or they would wait for ever.
                _log.exception("the transaction sender failed")
                self._failure = error
                for flight in self._shepherd.flights.values():
                    flight.fail(error)
                raise
            back_off = _BACK_OFF_FIRST
            await self._rest()

    async def _rest(self) -> None:
        """Wait until the next look is due: soon, later, or when something is sent."""
        sent_at = self._shepherd.waiting_since
        if sent_at is not None:
            await self._nudged(self._policy.pause(self._clock() - sent_at))
        else:
            await self._nudged(self._policy.tend_seconds if self._shepherd.flights else None)

    async def _nudged(self, pause: float | None) -> None:
        """Wait `pause` seconds (for ever, where None), or until something is sent."""
        try:
            async with asyncio.timeout(pause):
                await self._nudge.wait()
        except TimeoutError:
            return
