"""What a side does on the EVM chain: each act once, however often it is asked for and whatever crashes in between.

Transactions are named in the sender's journal by what they do, so that an act that is asked for again is the same
transaction; where the journal was lost, the Escrow itself refuses a repeat, and what all endpoints agree on tells why.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import NodeUnavailable, Reverted, TransactionAbandoned
from adapters.evm.escrow.calls import EscrowCalls
from adapters.evm.escrow.contract import EscrowContract
from adapters.evm.escrow.errors import EscrowRefused, IdUsed, NotOpen
from adapters.evm.escrow.messages import give_back_digest
from adapters.evm.escrow.provenance import check_created
from adapters.evm.escrow.types import CLAIMED, RETURNED, AnyTerms, Terms
from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderNode
from adapters.evm.journal import TxJournal
from adapters.evm.lockbox.bindings import Token
from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.evm.sender import TxSender
from adapters.evm.types import Call
from adapters.native.eip712 import BadSignature, recover, sign_digest
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Wei
from settlement.swap.evm.errors import AllowanceRefused, LockEnded, LockIdTaken, LockNotThere
from settlement.swap.evm.site import EscrowSite
from settlement.swap.evm.terms import opens
from settlement.swap.machine.facts import LockStatus

_APPROVALS_MAX: Final = 16
"""Approvals for one lock: each has to be followed by an allowance, or the token does not do what it says."""


@dataclass(frozen=True, slots=True)
class Landed:
    """An act is done, in a block that may not be final. Fields: transaction (32 bytes; None: somebody else did it)."""

    transaction: bytes | None


class EscrowLeg:
    """One account's acts at one Escrow. What sends raises also as `TxSender.send`, what asks as `Endpoints.call`.

    Of an account there must be one sender, and of a sender one leg.
    """

    def __init__(
        self,
        site: EscrowSite,
        heads: Endpoints,
        rpc: SenderNode,
        sender: TxSender,
        journal: TxJournal,
        secret: bytes,
    ) -> None:
        """For the account of `sender`, which runs.

        Args:
            site: the Escrow.
            heads: the chain's endpoints, whose final block is their newest (`opening.views_of`).
            rpc: the node that the sender uses.
            sender: the account's.
            journal: the sender's.
            secret: the account's key, 32 bytes.

        Raises:
            BadInput: `secret` is another account's.
        """
        self.site = site
        self.account = sender.account
        self.contract = EscrowContract(heads, site.escrow)
        self._heads = heads
        self._rpc = rpc
        self._sender = sender
        self._journal = journal
        self._secret = secret
        self._calls = EscrowCalls(site.escrow)
        self._approving = asyncio.Lock()
        self._is_created_as_ours = False
        if recover(bytes(32), sign_digest(secret, bytes(32))) != self.account:
            raise BadInput("secret", "is not that of the sender's account")

    # --- Before anything ---

    async def check(self) -> BlockHeight:
        """Make sure that the endpoints serve the chain, and that the Escrow is ours and was created as ours.

        Returns:
            The newest block on which all agree.

        Raises:
            WrongChain: an endpoint serves another chain: another number, or another genesis block.
            NotOurEscrow: another contract is at the address, or none; or the site's `start` is not the block in which
                a transaction created it from our creation code (see `adapters.evm.escrow.provenance`).
        """
        await self._heads.check()
        at = await self.head()
        await self.contract.check(at)
        if not self._is_created_as_ours:
            await check_created(self._heads, self.site.escrow, self.site.start)
            self._is_created_as_ours = True
        return at

    async def head(self) -> BlockHeight:
        """The newest block on which the endpoints agree. Raises also `NodeUnavailable`: there is none."""
        header = await self._heads.final()
        if header is None:
            raise NodeUnavailable("eth_getBlockByNumber", "the chain has no block yet")
        return header.number

    async def funds(self, asset: bytes) -> int:
        """What the account has of an asset (20 bytes), in base units, as all endpoints agree."""
        return await self.contract.balance(self.account, asset, await self.head())

    @property
    def fees(self) -> FeePolicy:
        """How much the account's sender bids."""
        return self._sender.fees

    async def base_fee(self) -> Wei:
        """The newest block's, wei per gas, as the sender takes it: of what the endpoints tell, the middle."""
        (block,) = await self._rpc.blocks(["latest"])
        if block is None:
            raise NodeUnavailable("eth_getBlockByNumber", "the chain has no block yet")
        return block.base_fee

    async def status(self, terms: AnyTerms) -> LockStatus | None:
        """What has become of the lock, as all endpoints agree at their newest block; None: none has these terms."""
        slot = await self.contract.slot(terms.payer, terms.id, await self.head())
        return {terms.hash: LockStatus.OPEN, CLAIMED: LockStatus.CLAIMED, RETURNED: LockStatus.RETURNED}.get(slot)

    # --- Acts ---

    async def place(self, swap_id: bytes, terms: AnyTerms, memo: bytes) -> Landed:
        """Make the lock, once for ever; of a token, allow exactly its amount before, where less is allowed.

        Args:
            swap_id: names the act; the same one always has the same terms and memo.
            terms: the account is their payer.
            memo: see `memo.seal_memo`; empty: none.

        Raises:
            LockIdTaken: the account made another lock under this id.
            AllowanceRefused: the token does not do what it is told.
            BadInput: the account is not the payer.
        """
        if terms.payer != self.account:
            raise BadInput("terms.payer", "is another account", "the account that locks")
        call, key = self._calls.lock_noted(terms, memo), f"swap/lock/{swap_id.hex()}"
        try:
            if terms.asset == NATIVE_COIN or await self._is_known(key):
                return await self._send(call, key)
            # One at a time, from the approval to the block with the lock: two locks would use up one allowance.
            async with self._approving:
                await self._allow(swap_id, terms.asset, terms.amount)
                return await self._send(call, key)
        except IdUsed:
            # Perhaps by this very lock, of which a lost journal knows nothing.
            if await self._is_this_lock(terms):
                return Landed(None)
            raise LockIdTaken(terms.id) from None

    async def is_placing(self, swap_id: bytes) -> bool:
        """Whether the lock of this swap was signed before: then it may be on the chain, now or later."""
        return await self._is_known(f"swap/lock/{swap_id.hex()}")

    async def claim(self, terms: AnyTerms, secret: bytes) -> Landed:
        """Have the beneficiary paid; whoever we are. From here on the secret (32 bytes) is public.

        Raises:
            BadInput: the secret does not open the lock; nothing was sent.
            LockEnded: it was returned. LockNotThere: there is none. TooLate: its time-out has passed.
        """
        if not opens(terms, secret):
            raise BadInput("secret", "does not open this lock")
        calls = self._calls
        call = calls.claim(terms, secret) if isinstance(terms, Terms) else calls.claim_point(terms, secret)
        return await self._end(terms, call, "claim", LockStatus.CLAIMED)

    async def refund(self, terms: AnyTerms) -> Landed:
        """Have the lock's money sent back, once its time-out has passed.

        Raises:
            LockEnded: it was claimed. LockNotThere: there is none. TooEarly: its time-out has not passed.
        """
        return await self._end(terms, self._calls.refund(terms), "refund", LockStatus.RETURNED)

    def sign_give_back(self, terms: AnyTerms) -> bytes:
        """The account's word, as the beneficiary, that the lock goes back at once: 65 bytes.

        It can never be taken back: the decision has to be stored before this leaves, and nothing may be funded after.

        Raises:
            BadInput: the account is not the beneficiary.
        """
        if terms.beneficiary != self.account:
            raise BadInput("terms.beneficiary", "is another account", "the account that signs")
        return sign_digest(self._secret, give_back_digest(self.site.number, self.site.escrow, terms))

    def check_give_back(self, terms: AnyTerms, signature: bytes) -> None:
        """Make sure that it is the beneficiary's word for this lock at this Escrow. Raises `BadSignature`."""
        digest = give_back_digest(self.site.number, self.site.escrow, terms)
        if recover(digest, signature) != terms.beneficiary:
            raise BadSignature("is not the beneficiary's word for this lock")

    async def give_back(self, terms: AnyTerms, signature: bytes) -> Landed:
        """Have the lock's money sent back before its time-out, by the beneficiary's word.

        Raises:
            BadSignature: it is not; nothing was sent.
            LockEnded: it was claimed. LockNotThere: there is none.
        """
        self.check_give_back(terms, signature)
        call = self._calls.give_back(terms, signature)
        return await self._end(terms, call, "give-back", LockStatus.RETURNED)

    async def withdraw(self, asset: bytes) -> int:
        """Have paid what is owed to the account of an asset, which a claim could not pay; how much, 0 if nothing."""
        at = await self.head()
        owed = await self.contract.owed(self.account, asset, at)
        if owed:
            # Named by the block: a repeat is refused by the Escrow, and so costs nothing.
            key = f"swap/withdraw/{self.site.escrow.hex()}/{asset.hex()}/{at}"
            try:
                await self._send(self._calls.withdraw(self.account, asset, self.account), key)
            except EscrowRefused:
                if await self.contract.owed(self.account, asset, await self.head()):
                    raise
        return owed

    # --- Inside ---

    async def _end(self, terms: AnyTerms, call: Call, act: str, wanted: LockStatus) -> Landed:
        """End a lock. That it has ended as wanted already is fine."""
        key = f"swap/{act}/{self.site.escrow.hex()}/{terms.payer.hex()}/{terms.id.hex()}"
        try:
            return await self._send(call, key)
        except Reverted as error:
            # One node said so of a simulation, or another transaction was faster: all are asked what is so.
            status = await self.status(terms)
            if status is wanted:
                return Landed(None)
            if status is None:
                raise LockNotThere(terms.id) from error
            if status is not LockStatus.OPEN:
                raise LockEnded(terms.id, status) from error
            if isinstance(error, NotOpen):
                raise NodeUnavailable("eth_call", "the node does not know of a lock that all endpoints have") from error
            raise

    async def _allow(self, swap_id: bytes, token: bytes, amount: int) -> None:
        """Let the Escrow have exactly `amount` of a token, unless it may already have as much."""
        allowed = await self._allowance(token)
        if allowed >= amount:
            return
        key = f"swap/approve/{swap_id.hex()}"
        if allowed:
            # Some tokens change no allowance that is not zero.
            await self._approve(token, 0, f"{key}/zero")
        await self._approve(token, amount, f"{key}/{amount}")

    async def _approve(self, token: bytes, amount: int, key: str) -> None:
        """Set what is allowed, under one name after the other while something else has used it up since."""
        call = self._calls.approve(token, amount)
        for attempt in range(_APPROVALS_MAX):
            await self._send(call, f"{key}/{attempt}")
            allowed = await self._allowance(token)
            if allowed == amount or allowed > amount > 0:
                return
        raise AllowanceRefused(token, amount, allowed)

    async def _send(self, call: Call, key: str) -> Landed:
        """Send once, and once more where something else took the nonce."""
        with suppress(TransactionAbandoned):
            return Landed((await self._sender.send(call, await self._open_key(key))).transaction)
        return Landed((await self._sender.send(call, await self._open_key(key))).transaction)

    async def _open_key(self, key: str) -> str:
        """The first key of this name that is not used up: what came to nothing is tried again."""
        attempt = 1
        while await self._sender.is_used_up(f"{key}:{attempt}"):
            attempt += 1
        return f"{key}:{attempt}"

    async def _is_known(self, key: str) -> bool:
        return bool(await self._journal.by_key(self.account, await self._open_key(key)))

    async def _is_this_lock(self, terms: AnyTerms) -> bool:
        """Whether a lock under this id is, or was, this one. One that ended shows no terms, and ids are used once."""
        return await self.status(terms) is not None

    async def _allowance(self, token: bytes) -> int:
        call = Call(token, Token.allowance.encode(self.account, self.site.escrow), Token.allowance.label)
        return int(Token.allowance.decode(await self._rpc.call(call))[0])
