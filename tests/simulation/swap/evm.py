"""A simulated Escrow: locks, claims, refunds and give-backs that are in a block after a while, and final later.

Blocks are not events of their own: a transaction has a time at which it is included, and from then on a time at which
it is final. A reorganisation takes out what is not final yet; it comes again, or does not.
"""

from __future__ import annotations

from random import Random

from settlement.swap.machine.facts import LockStatus, LockView


class OnChain:
    """A lock. `changed_at`: when its newest change was included (None: still in the mempool)."""

    __slots__ = ("changed_at", "previous", "secret", "status", "view")

    def __init__(self, view: LockView) -> None:
        self.view = view
        self.status = LockStatus.OPEN
        self.changed_at: int | None = None
        self.secret = b""
        self.previous: list[tuple[LockStatus, int]] = []


class Evm:
    """The contract, and a mempool that everybody sees."""

    def __init__(
        self, random: Random, secret: bytes, *, calm: bool, interval: int, final_after: int, stress: int
    ) -> None:
        self._random, self._secret, self._calm, self._interval = random, secret, calm, interval
        self.final_after, self._stress = final_after, stress
        self.locks: dict[bytes, OnChain] = {}
        self.pending: set[tuple[bytes, str]] = set()
        self.shown: set[bytes] = set()  # secrets in the mempool or in blocks
        self.version = 0

    def delay(self) -> int:
        """Until a transaction is in a block."""
        if self._calm or self._random.random() < 0.8:
            return self._random.randrange(1, 3 * self._interval)
        return self._random.randrange(1, self._stress)

    def is_final(self, lock: OnChain, now: int) -> bool:
        return lock.changed_at is not None and now >= lock.changed_at + self.final_after

    def place(self, view: LockView, now: int) -> None:
        """Included: a lock is made, unless its id was used or its time has passed."""
        if view.lock_id in self.locks or now >= view.expires_at:
            return
        self.locks[view.lock_id] = lock = OnChain(view)
        lock.changed_at = now
        self.version += 1

    def claim(self, lock_id: bytes, secret: bytes, now: int) -> bool:
        """Included: whether it was claimed, which depends on the secret and on the block's time."""
        in_time = now < self._expires_at(lock_id)
        return secret == self._secret and self._close(lock_id, LockStatus.CLAIMED, now, in_time, secret)

    def refund(self, lock_id: bytes, now: int) -> bool:
        return self._close(lock_id, LockStatus.RETURNED, now, now >= self._expires_at(lock_id))

    def give_back(self, lock_id: bytes, now: int) -> bool:
        return self._close(lock_id, LockStatus.RETURNED, now, now < self._expires_at(lock_id))

    def undo(self, lock_id: bytes, now: int) -> bool:
        """A reorganisation takes out the newest change of a lock, where that is not final. Whether it did."""
        lock = self.locks.get(lock_id)
        if lock is None or self.is_final(lock, now):
            return False
        self.version += 1
        if not lock.previous:
            del self.locks[lock_id]
            return True
        lock.status, lock.changed_at = lock.previous.pop()
        return True

    def _expires_at(self, lock_id: bytes) -> int:
        return self.locks[lock_id].view.expires_at if lock_id in self.locks else 0

    def _close(self, lock_id: bytes, status: LockStatus, now: int, in_time: bool, secret: bytes = b"") -> bool:
        lock = self.locks.get(lock_id)
        if lock is None or lock.status is not LockStatus.OPEN or not in_time:
            return False
        lock.previous.append((lock.status, lock.changed_at or now))
        lock.status, lock.changed_at, lock.secret = status, now, secret
        self.version += 1
        return True
