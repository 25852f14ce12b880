"""What the books refuse. All are fatal: the same call is refused again."""

from __future__ import annotations

from foundation.errors import BadInput, Fatal
from settlement.quantities import Asset


class Unbalanced(BadInput):
    """An entry's lines do not sum to zero. Fields: asset; total (base units)."""

    def __init__(self, asset: Asset, total: int) -> None:
        self.asset = asset
        self.total = total
        super().__init__("entry.lines", f"the lines in {asset.code} sum to {total} base units", "they sum to zero")


class UnknownAccount(Fatal):
    """A line is on an account that was not opened. Fields: name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the account {name} is not open")


class AccountConflict(Fatal):
    """The account is open with another asset. Fields: name; asset (that it has)."""

    def __init__(self, name: str, asset: Asset) -> None:
        self.name = name
        self.asset = asset
        super().__init__(f"the account {name} is in {asset.code} with scale {asset.scale}")


class EntryConflict(Fatal):
    """Another entry was posted under this id: what is posted never changes. Fields: entry_id (32 bytes)."""

    def __init__(self, entry_id: bytes) -> None:
        self.entry_id = entry_id
        super().__init__(f"another entry is posted as {entry_id.hex()}")


class UnknownEntry(Fatal):
    """There is no such entry. Fields: number."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"there is no entry {number}")


class ReceiptConflict(Fatal):
    """Another receipt is kept for the payment: it was settled once. Fields: payment_id (32 bytes)."""

    def __init__(self, payment_id: bytes) -> None:
        self.payment_id = payment_id
        super().__init__(f"another receipt is kept for payment {payment_id.hex()}")


class UnknownReceipt(Fatal):
    """There is no receipt of the payment, or it is not in an anchored batch yet. Fields: payment_id; problem."""

    def __init__(self, payment_id: bytes, problem: str) -> None:
        self.payment_id = payment_id
        self.problem = problem
        super().__init__(f"payment {payment_id.hex()}: {problem}")


class NarrativeDamaged(Fatal):
    """A narrative does not open: it was changed, moved, or is under another key. Fields: entry_id (32 bytes)."""

    def __init__(self, entry_id: bytes) -> None:
        self.entry_id = entry_id
        super().__init__(f"the narrative of {entry_id.hex()} cannot be opened")
