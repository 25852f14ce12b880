"""What banks and the adjudicator of a book tell each other over REST: JSON, bytes in base64, base units as integers.

A request is signed by the bank's channel account (`signing.request_digest`), so that no key but the one that signs its
sheets has to be kept, and what may cost a bank its money is asked by that bank alone.
"""

from __future__ import annotations

from typing import Final, TypeAlias, TypeVar

import msgspec

from foundation.errors import BadInput
from foundation.unreadable import UNREADABLE
from settlement.channels.judge import (
    Case,
    Challenge,
    Close,
    CloseAgreed,
    Command,
    Join,
    Settle,
    Withdraw,
)
from settlement.channels.state import Registered
from settlement.channels.terms import Account, Sheet, SignedSheet, Terms
from settlement.quantities import Preimage

ACCOUNT_HEADER: Final = "Causeway-Account"
TIME_HEADER: Final = "Causeway-Time"
SIGNATURE_HEADER: Final = "Causeway-Signature"
SKEW_MS: Final = 60_000
"""By how much the clocks of a bank and the operator may differ; within it a request may be repeated, which is harmless:
each command counts once by the rules themselves."""

Body = TypeVar("Body")


class OpenIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Open a channel. Fields: a, b (accounts at the book); nonce (32 bytes)."""

    terms: Terms
    a: str
    b: str
    nonce: bytes


class ChannelOut(msgspec.Struct, frozen=True):
    """A channel that is there. Fields: channel (64 hex digits)."""

    channel: str


class JoinIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="join"):
    """See `judge.Join`."""


class WithdrawIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="withdraw"):
    """See `judge.Withdraw`."""


class CloseIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="close"):
    """See `judge.Close`."""

    sheet: SignedSheet


class ChallengeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="challenge"):
    """See `judge.Challenge`."""

    sheet: SignedSheet
    held: bytes


class CloseAgreedIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="close_agreed"):
    """See `judge.CloseAgreed`."""

    sheet: Sheet
    signature_a: bytes
    signature_b: bytes


class SettleIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="settle"):
    """See `judge.Settle`."""


CommandIn: TypeAlias = JoinIn | WithdrawIn | CloseIn | ChallengeIn | CloseAgreedIn | SettleIn


class RevealIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Register a preimage (32 bytes)."""

    preimage: bytes


class StandingOut(msgspec.Struct, frozen=True):
    """How a channel stands, with the preimages that were asked for."""

    case: Case
    reveals: tuple[Registered, ...]


class ProblemOut(msgspec.Struct, frozen=True):
    """RFC 9457. Fields: ruling (why an adjudicator refused, empty elsewhere)."""

    type: str
    title: str
    status: int
    detail: str
    ruling: str = ""


def encode(body: msgspec.Struct) -> bytes:
    """JSON."""
    return msgspec.json.encode(body)


def decode(raw: bytes, kind: type[Body]) -> Body:
    """A body of this kind.

    Raises:
        BadInput: it is none.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except UNREADABLE as error:
        raise BadInput("body", str(error)) from error


def decode_command(raw: bytes, by: Account) -> Command:
    """The command of the bank that signed the request: nobody acts in another's name.

    Raises:
        BadInput: it is none.
    """
    body: CommandIn = decode(raw, CommandIn)  # type: ignore[arg-type]
    match body:
        case JoinIn():
            return Join(by)
        case WithdrawIn():
            return Withdraw(by)
        case CloseIn(sheet=sheet):
            return Close(by, sheet)
        case ChallengeIn(sheet=sheet, held=held):
            return Challenge(by, sheet, held)
        case CloseAgreedIn(sheet=sheet, signature_a=a, signature_b=b):
            return CloseAgreed(sheet, a, b)
        case SettleIn():
            return Settle()


def encode_command(command: Command) -> bytes:
    """The command as it is sent; whose it is, the request's signature says."""
    match command:
        case Join():
            return encode(JoinIn())
        case Withdraw():
            return encode(WithdrawIn())
        case Close(sheet=sheet):
            return encode(CloseIn(sheet))
        case Challenge(sheet=sheet, held=held):
            return encode(ChallengeIn(sheet, held))
        case CloseAgreed(sheet=sheet, signature_a=a, signature_b=b):
            return encode(CloseAgreedIn(sheet, a, b))
        case Settle():
            return encode(SettleIn())


def preimage_of(raw: bytes) -> Preimage:
    """The preimage in a body. Raises `BadInput`."""
    found = decode(raw, RevealIn).preimage
    if len(found) != 32:
        raise BadInput("preimage", f"{len(found)} bytes", "32 bytes")
    return Preimage(found)
