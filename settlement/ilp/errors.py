"""ILPv4's error codes, and the errors that become a Reject packet. Source: RFC 27 (error codes).

What a node answers to a Prepare that it does not carry is raised as an `IlpReject` and turned into a packet by
`settlement.ilp.packets.rejection`, at the one place that answers.
"""

from __future__ import annotations

import struct
from enum import StrEnum
from typing import ClassVar

from foundation.errors import BadInput, CausewayError, Fatal, Retryable


class Code(StrEnum):
    """The codes that RFC 27 names: F final, T temporary, R relative. A peer may send others of these classes."""

    BAD_REQUEST = "F00"
    INVALID_PACKET = "F01"
    UNREACHABLE = "F02"
    INVALID_AMOUNT = "F03"
    INSUFFICIENT_DESTINATION_AMOUNT = "F04"
    WRONG_CONDITION = "F05"
    UNEXPECTED_PAYMENT = "F06"
    CANNOT_RECEIVE = "F07"
    AMOUNT_TOO_LARGE = "F08"
    FINAL_APPLICATION_ERROR = "F99"
    INTERNAL_ERROR = "T00"
    PEER_UNREACHABLE = "T01"
    PEER_BUSY = "T02"
    CONNECTOR_BUSY = "T03"
    INSUFFICIENT_LIQUIDITY = "T04"
    RATE_LIMITED = "T05"
    TEMPORARY_APPLICATION_ERROR = "T99"
    TRANSFER_TIMED_OUT = "R00"
    INSUFFICIENT_SOURCE_AMOUNT = "R01"
    INSUFFICIENT_TIMEOUT = "R02"
    RELATIVE_APPLICATION_ERROR = "R99"


def is_final(code: str) -> bool:
    """Whether the same packet would fail again: the sender has to change it."""
    return code.startswith("F")


def is_temporary(code: str) -> bool:
    """Whether the same packet may pass later."""
    return code.startswith("T")


class BadPacket(BadInput):
    """Bytes of a peer are no packet of the protocol. Answered with F01. Fields: field; problem; cure (empty)."""


class IlpReject(CausewayError):
    """Root of the errors that are answered with a Reject packet. Each is also `Fatal` (F) or `Retryable` (T, R).

    Fields: code (RFC 27); message (for people, at most 8,191 bytes of UTF-8); data (for the sender's program).
    """

    code: ClassVar[Code]

    def __init__(self, message: str = "", data: bytes = b"") -> None:
        self.message = message
        self.data = data
        super().__init__(f"{self.code} {message or self.code.name.lower().replace('_', ' ')}")


class BadRequest(IlpReject, Fatal):
    """The sender is wrong in a way that no other code names. Fields as `IlpReject`."""

    code = Code.BAD_REQUEST


class InvalidPacket(IlpReject, Fatal):
    """The packet's syntax is wrong. Fields as `IlpReject`."""

    code = Code.INVALID_PACKET


class Unreachable(IlpReject, Fatal):
    """No route leads to the destination. Fields as `IlpReject`."""

    code = Code.UNREACHABLE


class InvalidAmount(IlpReject, Fatal):
    """The amount cannot be one of this asset, such as one above 2^64−1 after conversion. Fields as `IlpReject`."""

    code = Code.INVALID_AMOUNT


class InsufficientDestinationAmount(IlpReject, Fatal):
    """The receiver takes no less than it asked for. Fields as `IlpReject`."""

    code = Code.INSUFFICIENT_DESTINATION_AMOUNT


class WrongCondition(IlpReject, Fatal):
    """The receiver derives another condition and cannot fulfil. Fields as `IlpReject`."""

    code = Code.WRONG_CONDITION


class UnexpectedPayment(IlpReject, Fatal):
    """The receiver knows of no such payment: it cannot decrypt the data. Fields as `IlpReject`."""

    code = Code.UNEXPECTED_PAYMENT


class CannotReceive(IlpReject, Fatal):
    """The receiver is at a limit of its own. Fields as `IlpReject`."""

    code = Code.CANNOT_RECEIVE


class AmountTooLarge(IlpReject, Fatal):
    """The packet is larger than this node forwards; smaller ones pass. Source: RFC 27, InterledgerErrorData.asn.

    Fields: received, maximum (base units of the account that sent it); the rest as `IlpReject`.
    """

    code = Code.AMOUNT_TOO_LARGE

    def __init__(self, received: int, maximum: int) -> None:
        self.received = received
        self.maximum = maximum
        super().__init__(f"{received} is above the limit of {maximum} a packet", _LIMITS.pack(received, maximum))


class FinalApplicationError(IlpReject, Fatal):
    """The receiver's application refuses for good. Fields as `IlpReject`."""

    code = Code.FINAL_APPLICATION_ERROR


class InternalError(IlpReject, Retryable):
    """Something failed here that should not. Fields as `IlpReject`."""

    code = Code.INTERNAL_ERROR


class PeerUnreachable(IlpReject, Retryable):
    """There is a route, and its next hop is down. Fields as `IlpReject`."""

    code = Code.PEER_UNREACHABLE


class PeerBusy(IlpReject, Retryable):
    """The next hop takes no more packets now. Fields as `IlpReject`."""

    code = Code.PEER_BUSY


class ConnectorBusy(IlpReject, Retryable):
    """This node takes no more packets now. Fields as `IlpReject`."""

    code = Code.CONNECTOR_BUSY


class InsufficientLiquidity(IlpReject, Retryable):
    """A balance limit stands in the way until it is settled. Fields as `IlpReject`."""

    code = Code.INSUFFICIENT_LIQUIDITY


class RateLimited(IlpReject, Retryable):
    """The sender sends more packets or money a second than it may. Fields as `IlpReject`."""

    code = Code.RATE_LIMITED


class TemporaryApplicationError(IlpReject, Retryable):
    """The receiver's application refuses for now. Fields as `IlpReject`."""

    code = Code.TEMPORARY_APPLICATION_ERROR


class TransferTimedOut(IlpReject, Retryable):
    """The packet expired before it was answered. Fields as `IlpReject`."""

    code = Code.TRANSFER_TIMED_OUT


class InsufficientSourceAmount(IlpReject, Retryable):
    """What arrived is too little to forward anything. Fields as `IlpReject`."""

    code = Code.INSUFFICIENT_SOURCE_AMOUNT


class InsufficientTimeout(IlpReject, Retryable):
    """The packet expires too soon to be forwarded safely. Fields as `IlpReject`."""

    code = Code.INSUFFICIENT_TIMEOUT


class RelativeApplicationError(IlpReject, Retryable):
    """The receiver's application refuses at this rate or time. Fields as `IlpReject`."""

    code = Code.RELATIVE_APPLICATION_ERROR


def amount_limits(data: bytes) -> tuple[int, int] | None:
    """What an F08's data say: (amount received, maximum), in base units of the account that refused.

    None where the data do not say it, or say what cannot be: a limit that the amount does not exceed, or zero.
    """
    if len(data) < _LIMITS.size:
        return None
    received, maximum = _LIMITS.unpack_from(data)
    return (received, maximum) if received > maximum > 0 else None


_LIMITS = struct.Struct(">QQ")
