"""What can stop a STREAM connection. Each error may carry what a payment had achieved until then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import CausewayError, Fatal, Retryable

if TYPE_CHECKING:
    from settlement.ilp.stream.client import Payment
    from settlement.ilp.stream.rates import Rate


class StreamError(CausewayError):
    """Root of what stops a connection; each is also `Fatal` or `Retryable`.

    Fields: payment (what was sent and delivered before, None where no payment ran).
    """

    payment: Payment | None = None


class RateTooLow(StreamError, Retryable):
    """The path delivers less than the sender accepts. Fields: rate (None: nothing arrives at all); minimum; payment."""

    def __init__(self, rate: Rate | None, minimum: Rate | None) -> None:
        self.rate = rate
        self.minimum = minimum
        told = "nothing" if rate is None else f"{rate.delivered} for {rate.sent}"
        wanted = "" if minimum is None else f", at least {minimum.delivered} for {minimum.sent} is wanted"
        super().__init__(f"the path delivers {told}{wanted}")


class PathFailed(StreamError, Fatal):
    """The path refuses for a reason that time does not mend. Fields: code; triggered_by; message; payment."""

    def __init__(self, code: str, triggered_by: str, message: str) -> None:
        self.code = code
        self.triggered_by = triggered_by
        self.message = message
        super().__init__(f"{triggered_by or 'the path'} refuses with {code} {message}".rstrip())


class PathBusy(StreamError, Retryable):
    """The path kept refusing for the time being. Fields: code; triggered_by; message; payment."""

    def __init__(self, code: str, triggered_by: str, message: str) -> None:
        self.code = code
        self.triggered_by = triggered_by
        self.message = message
        super().__init__(f"{triggered_by or 'the path'} keeps refusing with {code} {message}".rstrip())


class ReceiverRefused(StreamError, Fatal):
    """The receiver itself takes no more. Fields: reason; payment."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the receiver refuses: {reason}")


class PeerClosed(StreamError, Fatal):
    """The other endpoint closed the connection or the stream. Fields: error_code (RFC 29, 5.4); message; payment."""

    def __init__(self, error_code: int, message: str) -> None:
        self.error_code = error_code
        self.message = message
        super().__init__(f"the other endpoint closed with code {error_code} {message}".rstrip())


class PeerBroke(StreamError, Fatal):
    """The other endpoint, proved by the shared secret, broke the protocol. Fields: error_code; problem; payment."""

    def __init__(self, error_code: int, problem: str) -> None:
        self.error_code = error_code
        self.problem = problem
        super().__init__(f"the other endpoint broke the protocol: {problem}")


class Exhausted(StreamError, Fatal):
    """The connection sent as many packets as one key may encrypt. Connect anew. Fields: payment."""


class PaymentTimedOut(StreamError, Retryable):
    """The payment's time was over before all was sent. Fields: payment."""
