"""What can go wrong on the EVM leg of a swap, typed. What the Escrow says is in `adapters.evm.escrow.errors`."""

from __future__ import annotations

from foundation.errors import Fatal, Retryable
from settlement.swap.machine.facts import LockStatus


class MemoRefused(Fatal):
    """The bytes beside a lock are no memo of ours, or not for this key. Whoever looks for its own passes on.

    Fields: problem.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the lock's memo: {problem}")


class LockIdTaken(Fatal):
    """The payer made another lock under this id, which is used up for ever: no money has moved for this swap.

    Fields: lock_id (32 bytes).
    """

    cure = "begin the swap anew: another index of the mnemonic gives another id"

    def __init__(self, lock_id: bytes) -> None:
        self.lock_id = lock_id
        super().__init__(f"another lock was made under the id {lock_id.hex()}")


class LockEnded(Fatal):
    """The lock has ended another way than was asked for. Fields: lock_id (32 bytes); status (how)."""

    def __init__(self, lock_id: bytes, status: LockStatus) -> None:
        self.lock_id = lock_id
        self.status = status
        super().__init__(f"the lock {lock_id.hex()} was {status} already")


class LockNotThere(Retryable):
    """The endpoints know of no such lock (yet), or of one with other terms. Fields: lock_id (32 bytes)."""

    def __init__(self, lock_id: bytes) -> None:
        self.lock_id = lock_id
        super().__init__(f"no endpoint shows the lock {lock_id.hex()} with these terms")


class AllowanceRefused(Fatal):
    """A token takes approvals and does not allow what they say: it cannot be locked.

    Fields: token (20 bytes); wanted, allowed (base units).
    """

    def __init__(self, token: bytes, wanted: int, allowed: int) -> None:
        self.token = token
        self.wanted = wanted
        self.allowed = allowed
        super().__init__(f"token 0x{token.hex()} allows {allowed} base units where {wanted} were approved")


class AssetMismatch(Fatal):
    """An asset is not what the configuration says of it: amounts would mean something else.

    Fields: asset (20 bytes); field; expected; found.
    """

    def __init__(self, asset: bytes, field: str, expected: str, found: str) -> None:
        self.asset = asset
        self.field = field
        self.expected = expected
        self.found = found
        super().__init__(f"the {field} of asset 0x{asset.hex()}: {found}, not {expected}")
