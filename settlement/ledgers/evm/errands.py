"""What the ledger sends to the chain, each under a key: after a crash the same transaction is sent again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from adapters.evm.errors import TransactionAbandoned
from adapters.evm.escrow.calls import EscrowCalls
from adapters.evm.escrow.errors import NotOpen
from adapters.evm.escrow.types import MAX_CLAIMS, Terms
from adapters.evm.journal import TxJournal
from adapters.evm.lockbox.bindings import Token
from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.evm.types import Call
from foundation.database.repository import chunks
from settlement.ledgers.evm.types import EvmLedgerConfig, Lock

_EVERYTHING: Final = 2**256 - 1
_CLAIMS: Final = min(32, MAX_CLAIMS)
"""Claims in one transaction: about 700,000 gas for coin."""


class Errands:
    """Sends for one account. All methods raise as `TxSender.send`; what cannot be mined any more is sent anew."""

    def __init__(self, config: EvmLedgerConfig, rpc: EvmRpc, sender: TxSender, journal: TxJournal) -> None:
        """For the account of `sender`, which runs, and its journal."""
        self._journal = journal
        self._config = config
        self._rpc = rpc
        self._sender = sender
        self._calls = EscrowCalls(config.escrow)

    async def funds(self) -> int:
        """What the account could lock now, in the token's base units, by the newest block."""
        account, token = self._sender.account, self._config.token
        if token == NATIVE_COIN:
            return int(await self._rpc.balance(account))
        answer = await self._rpc.call(Call(token, Token.balance_of.encode(account), Token.balance_of.label))
        return int(Token.balance_of.decode(answer)[0])

    async def allow(self, amount: int) -> None:
        """Make sure that the Escrow, whose code was compared with ours, may take `amount` of the token."""
        token = self._config.token
        if token == NATIVE_COIN:
            return
        call = Call(token, Token.allowance.encode(self._sender.account, self._config.escrow), Token.allowance.label)
        allowed = int(Token.allowance.decode(await self._rpc.call(call))[0])
        if allowed >= amount:
            return
        # Named by what is left: tokens that count an endless allowance down are allowed anew when it is used up. Some
        # tokens refuse to change an allowance that is not zero.
        if allowed:
            await self._send(self._calls.approve(token, 0), f"disallow:{token.hex()}:{allowed}")
        await self._send(self._calls.approve(token, _EVERYTHING), f"approve:{token.hex()}:{allowed}")

    async def lock(self, terms: Terms, memo: bytes) -> None:
        """Make a lock; returns when it is in a block, or was before."""
        await self._send(self._calls.lock(terms, memo), self._lock_key(terms))

    async def is_under_way(self, terms: Terms) -> bool:
        """Whether this lock was signed before: then its amount may have left the account already."""
        key = await self._open_key(self._lock_key(terms))
        return bool(await self._journal.by_key(self._sender.account, key))

    async def claim(self, locks: Sequence[Lock]) -> None:
        """Claim locks by the preimages that they hold; those that cannot be claimed any more are passed over."""
        for part in chunks(locks, _CLAIMS):
            claims = [(lock.terms, lock.preimage or b"") for lock in part]
            call = self._calls.claim(*claims[0]) if len(claims) == 1 else self._calls.claim_batch(claims)
            with suppress(NotOpen):  # whoever may push a claim has pushed it
                await self._send(call, f"claim:{hashlib.sha256(call.data).hexdigest()}")

    async def refund(self, lock: Lock) -> None:
        """Take back a lock whose time-out has passed."""
        with suppress(NotOpen):
            call = self._calls.refund(lock.terms)
            await self._send(call, f"refund:{hashlib.sha256(call.data).hexdigest()}")

    async def give_back(self, lock: Lock) -> None:
        """Return a lock that is for us."""
        with suppress(NotOpen):
            call = self._calls.give_back(lock.terms)
            await self._send(call, f"give-back:{hashlib.sha256(call.data).hexdigest()}")

    async def _send(self, call: Call, key: str) -> None:
        """Send once, and once more where somebody else took the nonce."""
        with suppress(TransactionAbandoned):
            await self._sender.send(call, await self._open_key(key))
            return
        await self._sender.send(call, await self._open_key(key))

    async def _open_key(self, key: str) -> str:
        """The first key of this name that is not used up: what came to nothing is tried again."""
        attempt = 1
        while await self._sender.is_used_up(f"{key}:{attempt}"):
            attempt += 1
        return f"{key}:{attempt}"

    def _lock_key(self, terms: Terms) -> str:
        return f"lock:{self._config.escrow.hex()}:{terms.id.hex()}"
