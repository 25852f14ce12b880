"""What the validator refuses to work with."""

from __future__ import annotations

from foundation.errors import BadInput, Fatal


class BadRules(BadInput):
    """A file of rules is not acceptable; whatever rules were in force stay so.

    Fields: file (its name); line (from 1); field, problem, cure as `BadInput`.
    """

    def __init__(self, file: str, line: int, field: str, problem: str, cure: str = "") -> None:
        super().__init__(field, problem, cure)
        self.file = file
        self.line = line
        self.args = (f"{file}, line {line}: {self.args[0]}",)


class DecisionConflict(Fatal):
    """A payment's id was decided with other facts: one id is one payment.

    Fields: payment_id (32 bytes); decided, asked (digests of the facts, 32 bytes each).
    """

    def __init__(self, payment_id: bytes, decided: bytes, asked: bytes) -> None:
        self.payment_id = payment_id
        self.decided = decided
        self.asked = asked
        super().__init__(f"payment {payment_id.hex()} was decided with other facts")


class UnknownReservation(Fatal):
    """No payment of this id passed. Fields: payment_id (32 bytes)."""

    def __init__(self, payment_id: bytes) -> None:
        self.payment_id = payment_id
        super().__init__(f"payment {payment_id.hex()} has no reservation")


class ReservationOver(Fatal):
    """What a payment reserved has been settled or released, and is not the other now. Fields: payment_id; state."""

    def __init__(self, payment_id: bytes, state: str) -> None:
        self.payment_id = payment_id
        self.state = state
        super().__init__(f"payment {payment_id.hex()} is {state}")


class ForgedApproval(Fatal):
    """An approval is not by the person it names, or for other facts. Fields: person; problem."""

    def __init__(self, person: str, problem: str) -> None:
        self.person = person
        self.problem = problem
        super().__init__(f"approval by {person[:40]!r}: {problem}")


class ChainBroken(Fatal):
    """The stored decisions are not those that were made. Fields: sequence (of the first wrong one); problem."""

    def __init__(self, sequence: int, problem: str) -> None:
        self.sequence = sequence
        self.problem = problem
        super().__init__(f"decision {sequence}: {problem}")
