"""A packet under way: what it holds, until when, and what its end means for the accounts on both sides."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from foundation.quantities import UnixMs
from settlement.connector.accounts import Account
from settlement.connector.balances.model import Incident, IncidentKind
from settlement.ilp.errors import BadPacket, Code, PeerUnreachable, TransferTimedOut, WrongCondition
from settlement.ilp.link import LinkDown, Reply
from settlement.ilp.oer import read_length
from settlement.ilp.packets import FULFILL, MAX_DATA_BYTES, REJECT, Reject, decode_reply
from settlement.quantities import Condition

if TYPE_CHECKING:
    from settlement.connector.pipeline import Pipeline

_FULFILLMENT_BYTES: Final = 32
_FULFILL_BYTES_MAX: Final = 1 + 4 + _FULFILLMENT_BYTES + 4 + MAX_DATA_BYTES
"""More is none that every transport on the way back carries: one that does not would cost the sender its money, because
we would have debited it.
"""


class InFlight:
    """One packet between its Prepare and the answer to its sender.

    It ends once: by the next hop's answer, by its deadline, or by a link that is down. What comes later moves nothing.
    """

    __slots__ = (
        "_answer",
        "_pipeline",
        "_prepare",
        "_reply",
        "condition",
        "creditor",
        "deadline",
        "debtor",
        "expires_at",
        "given",
        "is_over",
        "number",
        "taken",
    )

    def __init__(
        self,
        pipeline: Pipeline,
        debtor: Account,
        taken: int,
        creditor: Account,
        given: int,
        condition: Condition,
        expires_at: UnixMs,
        deadline: UnixMs,
        reply: Reply,
    ) -> None:
        """Describe it: `expires_at` is the sender's; `deadline` is when we stop to wait for the next hop."""
        self._pipeline = pipeline
        self.debtor = debtor
        self.taken = taken
        self.creditor = creditor
        self.given = given
        self.condition = condition
        self.expires_at = expires_at
        self.deadline = deadline
        self._reply = reply
        self._answer = b""
        self._prepare = b""
        self.is_over = False
        self.number = 0

    def send(self, prepare: bytes) -> None:
        """Send the packet on, with the next hop's amount and expiry in it."""
        try:
            self.creditor.link.send(prepare, self.answered)
        except LinkDown as down:
            if not self.is_over:
                self._refuse(PeerUnreachable(down.reason))

    def send_later(self, prepare: bytes) -> None:
        """Send it once it is written down: see `written`."""
        self._prepare = prepare

    def answered(self, answer: bytes) -> None:
        """The next hop's answer, whatever it holds."""
        if self.is_over:
            if self.deadline < 0 or not self._fulfils(answer):
                return
            self._report(IncidentKind.LATE)
            return
        pipeline = self._pipeline
        kind = answer[0] if answer else 0
        if kind == FULFILL:
            if not self._fulfils(answer):
                self._refuse(WrongCondition("the next hop's fulfillment is none of this condition"))
                return
            if pipeline.clock() >= self.deadline:
                self._refuse(TransferTimedOut("the next hop answered too late"))
                self._report(IncidentKind.LATE)
                return
            pipeline.timers.remove(self)
            self.is_over = True
            self.deadline = UnixMs(-1)
            self._answer = answer
            self._settle()
        elif kind == REJECT:
            self._rejected(answer)
        else:
            self._refuse(PeerUnreachable("the next hop's answer is no packet"))

    def expired(self) -> None:
        """Called at the deadline: the next hop did not answer."""
        if not self.is_over:
            self._refuse(TransferTimedOut("the next hop did not answer"))

    def written(self) -> None:
        """What was asked of the book is durable: the packet may leave, or its Fulfill may."""
        if not self._answer:
            prepare, self._prepare = self._prepare, b""
            if not self.is_over:
                self._depart(prepare)
            return
        pipeline = self._pipeline
        if pipeline.clock() >= self.expires_at:
            self._unpaid()
            return
        debtor = self.debtor
        debtor.fulfilled += 1
        debtor.volume_in += self.taken
        self.creditor.volume_out += self.given
        self._reply(self._answer)

    def _settle(self) -> None:
        pipeline = self._pipeline
        if self.number:
            pipeline.book.close_flight(self.number)
        if self.taken or self.given:
            pipeline.book.fulfil(self.debtor.position, self.taken, self.creditor.position, self.given, self)
        else:
            # Nothing moved, so there is nothing to make durable.
            self.written()

    def _depart(self, prepare: bytes) -> None:
        # The grace is for answers: a Prepare leaves only while the next hop has time to take it.
        if self._pipeline.clock() >= self.deadline - self._pipeline.window.grace:
            self._refuse(TransferTimedOut("the packet expired before it was written down"))
        else:
            self.send(prepare)

    def _unpaid(self) -> None:
        """Written too late for the sender, who will refuse the Fulfill and pay nothing."""
        pipeline = self._pipeline
        kind = IncidentKind.UNPAID
        incident = Incident(kind, self.creditor.id, self.given, self.condition, pipeline.clock())
        if self.taken or self.given:
            pipeline.book.take_back(self.debtor.position, self.taken, incident)
        pipeline.refuse(self.debtor, TransferTimedOut("the packet expired while it was fulfilled"), self._reply)

    def _fulfils(self, answer: bytes) -> bool:
        """Whether these bytes are a well-formed Fulfill with the condition's preimage."""
        try:
            if answer[0] != FULFILL or len(answer) > _FULFILL_BYTES_MAX:
                return False
            length, start = read_length(answer, 1)
            size, at = read_length(answer, start + _FULFILLMENT_BYTES)
        except (BadPacket, IndexError):
            return False
        if start + length > len(answer) or at + size > start + length or size > MAX_DATA_BYTES:
            return False
        return hashlib.sha256(answer[start : start + _FULFILLMENT_BYTES]).digest() == self.condition

    def _rejected(self, answer: bytes) -> None:
        try:
            reject = decode_reply(answer)
        except BadPacket:
            self._refuse(PeerUnreachable("the next hop's answer is no packet"))
            return
        assert isinstance(reject, Reject), "its type was looked at"
        code = reject.code
        self._end()
        self.debtor.rejected[code if code in _KNOWN else code[:1] + "xx"] += 1
        self._reply(answer)

    def _refuse(self, refusal: TransferTimedOut | WrongCondition | PeerUnreachable) -> None:
        self._end()
        self._pipeline.refuse(self.debtor, refusal, self._reply)

    def _end(self) -> None:
        pipeline = self._pipeline
        pipeline.timers.remove(self)
        self.is_over = True
        pipeline.book.release(self.debtor.position, self.taken, self.creditor.position, self.given)
        if self.number:
            pipeline.book.close_flight(self.number)

    def _report(self, kind: IncidentKind) -> None:
        """Once: `deadline` is taken away, so that a repeated answer is silent."""
        self.deadline = UnixMs(-1)
        pipeline = self._pipeline
        pipeline.book.report(Incident(kind, self.creditor.id, self.given, self.condition, pipeline.clock()))


_KNOWN: Final = frozenset(code.value for code in Code)
