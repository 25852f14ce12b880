"""The messages between peers: strict msgpack structures in envelopes that the sender's host key signs.

Parsing is strict: unknown fields, wrong types and wrong lengths are refused, and the signature is checked over the
canonical encoding of what was understood, so that two encodings of one message do not exist for those who sign it.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from foundation.quantities import UnixMs
from mpc import bip340
from mpc.cluster_errors import MalformedMessage, UnauthenticMessage
from mpc.curve import tagged_hash
from mpc.identity import Identity

VERSION: Final = 1
MAX_FRAME_BYTES: Final = 1 << 20
MAX_BODY_BYTES: Final = MAX_FRAME_BYTES - 1024
MAX_ITEMS: Final = 256
"""Items that one session signs."""
MAX_MEMBERS: Final = 100

REPLY: Final = "+"
REFUSAL: Final = "-"
"""An answer's kind is the request's with one of these in front."""

_Bytes16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
_Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Key = Annotated[bytes, Meta(min_length=33, max_length=33)]
_Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
_Nonce = Annotated[bytes, Meta(min_length=66, max_length=66)]
_Kind = Annotated[str, Meta(min_length=1, max_length=48)]
_Counter = Annotated[int, Meta(ge=0, lt=1 << 32)]
_Index = Annotated[int, Meta(ge=0, lt=MAX_MEMBERS)]
_Body = Annotated[bytes, Meta(max_length=MAX_BODY_BYTES)]


class _Message(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """All messages are arrays of their fields in order, immutable, and accept nothing they do not know."""


class _Unsigned(_Message, frozen=True):
    """The fields of an envelope that its signature covers."""

    version: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    network: _Bytes32
    sender: _Key
    recipient: _Key
    kind: _Kind
    request_id: _Bytes16
    sent_at_ms: Annotated[int, Meta(ge=0, lt=1 << 53)]
    body: _Body


class Envelope(_Unsigned, frozen=True):
    """One frame on the wire.

    Fields: version; network (32 bytes); sender, recipient (host keys, 33 bytes); kind; request_id (16 bytes, fresh for
    each request, the same in its answer); sent_at_ms (the sender's clock); body; signature (BIP-340, 64 bytes).
    """

    signature: _Signature

    def digest(self) -> bytes:
        """What the sender's host key signs, 32 bytes."""
        unsigned = _Unsigned(*(getattr(self, name) for name in _Unsigned.__struct_fields__))
        return _digest(unsigned)

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)


def _digest(unsigned: _Unsigned) -> bytes:
    return tagged_hash("Causeway/peer/v1", msgspec.msgpack.encode(unsigned))


def seal(
    identity: Identity,
    network: bytes,
    recipient: bytes,
    kind: str,
    request_id: bytes,
    sent_at: UnixMs,
    body: bytes,
    aux_rand: bytes,
) -> bytes:
    """A signed envelope, encoded. `aux_rand`: 32 fresh bytes.

    Raises:
        MalformedMessage: the body or the kind is too long.
    """
    if len(body) > MAX_BODY_BYTES:
        raise MalformedMessage("body", f"has {len(body)} bytes", f"at most {MAX_BODY_BYTES}")
    if not 1 <= len(kind) <= 48:
        raise MalformedMessage("kind", "is not 1 to 48 characters")
    unsigned = _Unsigned(VERSION, network, identity.host_key, recipient, kind, request_id, sent_at, body)
    signature = identity.sign(_digest(unsigned), aux_rand)
    return Envelope(VERSION, network, identity.host_key, recipient, kind, request_id, sent_at, body, signature).encode()


_ENVELOPE_DECODER: Final = msgspec.msgpack.Decoder(Envelope)


def open_envelope(frame: bytes, network: bytes, recipient: bytes | None = None) -> Envelope:
    """Parse and check an envelope; `recipient`: who must be meant, None where that does not matter (evidence).

    Time and repetition are the business of `mpc.replay`.

    Raises:
        MalformedMessage: the bytes are not an envelope.
        UnauthenticMessage: the network or the recipient is another, or the signature is wrong.
    """
    if len(frame) > MAX_FRAME_BYTES:
        raise MalformedMessage("envelope", f"has {len(frame)} bytes", f"at most {MAX_FRAME_BYTES}")
    try:
        envelope = _ENVELOPE_DECODER.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage("envelope", str(error)) from error
    if envelope.network != network:
        raise UnauthenticMessage(envelope.sender, "it is for another network")
    if recipient is not None and envelope.recipient != recipient:
        raise UnauthenticMessage(envelope.sender, "it is for somebody else")
    if envelope.sender[0] not in (2, 3) or not bip340.verify(
        envelope.digest(), envelope.sender[1:], envelope.signature
    ):
        raise UnauthenticMessage(envelope.sender, "its signature is wrong")
    return envelope


AnyMessage = TypeVar("AnyMessage", bound=Struct)


def encode(message: Struct) -> bytes:
    return msgspec.msgpack.encode(message)


def decode(body: bytes, kind: type[AnyMessage]) -> AnyMessage:
    """Parse a body.

    Raises:
        MalformedMessage: the bytes are not a message of this type.
    """
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(kind.__name__, str(error)) from error


class Refusal(_Message, frozen=True):
    """A refusal: the type of the error and its text, both the refuser's own words."""

    error: Annotated[str, Meta(max_length=64)]
    text: Annotated[str, Meta(max_length=1024)]


class Invite(_Message, frozen=True):
    """Coordinator to signer: sign this structure with the group. Answered by `Offer`."""

    session: _Bytes32
    group: _Bytes32
    epoch: _Counter
    kind: _Kind
    body: _Body

    def digest(self) -> bytes:
        """32 bytes that name the request."""
        return tagged_hash("Causeway/signing request", msgspec.msgpack.encode(self))


class Offer(_Message, frozen=True):
    """Signer to coordinator: the hash of the items that it would sign, and a public nonce for each."""

    session: _Bytes32
    items: _Bytes32
    pubnonces: Annotated[list[_Nonce], Meta(min_length=1, max_length=MAX_ITEMS)]


class Round(_Message, frozen=True):
    """Coordinator to signer: these sign, with these aggregate nonces (one an item). Answered by `Shares`.

    `offer` is the hash of the receiver's own public nonces that the aggregates contain.
    """

    session: _Bytes32
    number: _Counter
    ids: Annotated[list[_Index], Meta(min_length=1, max_length=MAX_MEMBERS)]
    aggnonces: Annotated[list[_Nonce], Meta(min_length=1, max_length=MAX_ITEMS)]
    offer: _Bytes32

    def digest(self) -> bytes:
        """32 bytes; a signer's answer names it, so that the answer is evidence of what was asked."""
        return tagged_hash("Causeway/signing round", msgspec.msgpack.encode(self))


class Shares(_Message, frozen=True):
    """Signer to coordinator: a partial signature for each item, and nonces for the next round."""

    session: _Bytes32
    items: _Bytes32
    round: _Bytes32
    psigs: Annotated[list[_Bytes32], Meta(min_length=1, max_length=MAX_ITEMS)]
    pubnonces: Annotated[list[_Nonce], Meta(min_length=1, max_length=MAX_ITEMS)]


class Close(_Message, frozen=True):
    """Coordinator to signer: the session is over; forget its nonces."""

    session: _Bytes32


def offer_hash(pubnonces: list[bytes] | tuple[bytes, ...]) -> bytes:
    """32 bytes that name an offer's public nonces (66 bytes each)."""
    return tagged_hash("Causeway/nonce offer", b"".join(pubnonces))


class DkgStart(_Message, frozen=True):
    """Coordinator to participant: make the key of this group. Answered by `DkgFirst`."""

    group: _Bytes32
    epoch: _Counter
    attempt: _Counter
    threshold: Annotated[int, Meta(ge=1, le=MAX_MEMBERS)]
    members: Annotated[list[_Key], Meta(min_length=1, max_length=MAX_MEMBERS)]


class DkgFirst(_Message, frozen=True):
    """Participant to coordinator: its first message; or, if it has the key already, the recovery data."""

    session: _Bytes32
    pmsg1: _Body
    recovery_data: _Body


class DkgStep(_Message, frozen=True):
    """Coordinator to participant: the next message of the session (`cmsg1`, `cinv`, `cmsg2` or recovery data)."""

    session: _Bytes32
    payload: _Body


class DkgSecond(_Message, frozen=True):
    """Participant to coordinator: its signature under what it saw, or a complaint where it is empty."""

    session: _Bytes32
    pmsg2: Annotated[bytes, Meta(max_length=64)]
    blamed: Annotated[int, Meta(ge=-2, lt=MAX_MEMBERS)]
    """-2: nobody; -1: the coordinator; else a participant or the coordinator."""
    problem: Annotated[str, Meta(max_length=512)]


class DkgAck(_Message, frozen=True):
    """Participant to coordinator: it has stored its share and the recovery data."""

    session: _Bytes32
    signature: _Signature


class DkgDone(_Message, frozen=True):
    """Coordinator to participant: everybody has stored its share; here are the acknowledgements."""

    session: _Bytes32
    recovery_data: _Body
    acks: Annotated[list[_Signature], Meta(min_length=1, max_length=MAX_MEMBERS)]
