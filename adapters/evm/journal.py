"""The port to the durable memory of an account's transactions: which key got which nonce, and what was signed.

A transaction is written down, signed, before it is first broadcast. So a crash at any point leaves one of two worlds:
nothing was written and nothing was sent, or what may have been sent can be sent again, bit for bit.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from foundation.quantities import Wei


class TxStatus(StrEnum):
    """What became of one signed version."""

    PENDING = "pending"
    """Signed; perhaps broadcast, perhaps mined, not final."""
    MINED = "mined"
    """In a final block, and it succeeded."""
    REVERTED = "reverted"
    """In a final block, and the contract refused it."""
    REPLACED = "replaced"
    """Another version with its nonce is in a final block."""
    LOST = "lost"
    """A transaction that is not in this journal took its nonce, finally."""


@dataclass(frozen=True, slots=True)
class SignedTx:
    """One signed version of a transaction (EIP-1559). All versions of a key share its nonce; fees only rise."""

    key: str
    account: bytes  # 20 bytes
    nonce: int
    hash: bytes  # 32 bytes
    to: bytes  # 20 bytes; empty to deploy
    data: bytes
    value: Wei
    gas: int
    max_fee: Wei  # per gas
    tip: Wei  # per gas
    raw: bytes = field(repr=False)
    label: str
    status: TxStatus = TxStatus.PENDING

    @property
    def is_filler(self) -> bool:
        """It only uses its nonce up: a transfer of nothing to ourselves, so that later nonces can be mined."""
        return self.to == self.account and not self.data and not self.value


class TxJournal(Protocol):
    """Durable memory of signed transactions. One process at a time writes for an account.

    Versions are returned by nonce, and within a nonce by rising `(max_fee, tip)`, which is the order of signing.
    """

    async def record(self, transaction: SignedTx) -> None:
        """Keep a new version; it is on disk when this returns. Recording the same hash again changes nothing."""
        ...

    async def by_key(self, account: bytes, key: str) -> tuple[SignedTx, ...]:
        """All versions of the transaction `key`; empty if it is unknown."""
        ...

    async def by_nonce(self, account: bytes, nonce: int) -> tuple[SignedTx, ...]:
        """All versions with this nonce; empty if it is unknown."""
        ...

    async def pending(self, account: bytes) -> tuple[SignedTx, ...]:
        """All versions whose status is PENDING."""
        ...

    async def next_nonce(self, account: bytes) -> int:
        """One more than the highest nonce that was recorded; 0 where none was."""
        ...

    async def finish(self, account: bytes, nonce: int, final: bytes | None, status: TxStatus) -> None:
        """Settle a nonce for good: the version with hash `final` gets `status`, its others REPLACED.

        With `final` None all versions get `status`.
        """
        ...


class VolatileJournal:
    """A journal in memory, for commands that send a few transactions and end. An agent needs a durable one."""

    def __init__(self) -> None:
        self._versions: dict[tuple[bytes, int], dict[bytes, SignedTx]] = defaultdict(dict)

    async def record(self, transaction: SignedTx) -> None:
        """See `TxJournal`."""
        self._versions[transaction.account, transaction.nonce].setdefault(transaction.hash, transaction)

    async def by_key(self, account: bytes, key: str) -> tuple[SignedTx, ...]:
        """See `TxJournal`."""
        return tuple(tx for tx in self._of(account) if tx.key == key)

    async def by_nonce(self, account: bytes, nonce: int) -> tuple[SignedTx, ...]:
        """See `TxJournal`."""
        return tuple(tx for tx in self._of(account) if tx.nonce == nonce)

    async def pending(self, account: bytes) -> tuple[SignedTx, ...]:
        """See `TxJournal`."""
        return tuple(tx for tx in self._of(account) if tx.status is TxStatus.PENDING)

    async def next_nonce(self, account: bytes) -> int:
        """See `TxJournal`."""
        return max((tx.nonce + 1 for tx in self._of(account)), default=0)

    async def finish(self, account: bytes, nonce: int, final: bytes | None, status: TxStatus) -> None:
        """See `TxJournal`."""
        versions = self._versions[account, nonce]
        for tx_hash, tx in versions.items():
            outcome = status if final is None or tx_hash == final else TxStatus.REPLACED
            versions[tx_hash] = replace(tx, status=outcome)

    def _of(self, account: bytes) -> list[SignedTx]:
        found = [tx for (owner, _), versions in self._versions.items() if owner == account for tx in versions.values()]
        return sorted(found, key=lambda tx: (tx.nonce, tx.max_fee, tx.tip))
