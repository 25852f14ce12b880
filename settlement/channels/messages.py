"""What the two banks of a channel tell each other. Every message may be lost, repeated or late."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from foundation.errors import BadInput
from foundation.unreadable import UNREADABLE
from settlement.channels.ops import Op
from settlement.channels.terms import ChannelId, LockId
from settlement.quantities import Preimage

MESSAGE_BYTES_MAX: Final = 256 * 1024


class Opening(msgspec.Struct, frozen=True, tag=True):
    """The sender wants this channel, on the terms that its id stands for. Fields: signature (over `opening_digest`)."""

    channel: ChannelId
    signature: bytes


class Propose(msgspec.Struct, frozen=True, tag=True):
    """A new sheet: `ops` applied to the sheet of number `held`. Fields: signature (the proposer's, 65 bytes)."""

    channel: ChannelId
    sequence: int
    held: int
    ops: tuple[Op, ...]
    signature: bytes


class Accept(msgspec.Struct, frozen=True, tag=True):
    """The sheet of this number is signed. Fields: signature (the acceptor's, 65 bytes)."""

    channel: ChannelId
    sequence: int
    signature: bytes


class Refuse(msgspec.Struct, frozen=True, tag=True):
    """The sheet of this number will not be signed. Fields: reason (for people)."""

    channel: ChannelId
    sequence: int
    reason: str


class Acknowledge(msgspec.Struct, frozen=True, tag=True):
    """The proposer holds the sheet with both signatures. Fields: signature (over `held_digest`, 65 bytes)."""

    channel: ChannelId
    sequence: int
    signature: bytes


class AskTurn(msgspec.Struct, frozen=True, tag=True):
    """The other side has something to propose after this sheet, and it is not its turn."""

    channel: ChannelId
    newest: int


class Reveal(msgspec.Struct, frozen=True, tag=True):
    """The payee's preimage, when it is the payer's turn."""

    channel: ChannelId
    lock_id: LockId
    preimage: Preimage


class GiveBack(msgspec.Struct, frozen=True, tag=True):
    """The payee will not claim this conditional payment: the payer may take it back at once."""

    channel: ChannelId
    lock_id: LockId


class CloseTogether(msgspec.Struct, frozen=True, tag=True):
    """Agreement to end with the sheet of this number, at once. Fields: signature (over `close_digest`, 65 bytes)."""

    channel: ChannelId
    sequence: int
    signature: bytes


Message: TypeAlias = Opening | Propose | Accept | Refuse | Acknowledge | AskTurn | Reveal | GiveBack | CloseTogether

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """The message in MessagePack."""
    return _ENCODER.encode(message)


def decode(raw: bytes) -> Message:
    """A message of a peer.

    Raises:
        BadInput: it is too long, or none.
    """
    if len(raw) > MESSAGE_BYTES_MAX:
        raise BadInput("message", f"{len(raw)} bytes", f"at most {MESSAGE_BYTES_MAX}")
    try:
        return _DECODER.decode(raw)
    except UNREADABLE as error:
        raise BadInput("message", str(error)) from error
