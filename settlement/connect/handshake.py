"""Step 1 of a payment: the payee's bank issues a secret and an address for it (seeds/002…, step 1).

The payer's bank sends a fresh X25519 key in a letter; the payee's bank answers with a letter sealed to that key. Both
sides' keys of the answer are ephemeral, so who steals the banks' long-lived keys later learns no secret: forward
secrecy. All further messages of the payment are notes under the secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec import Meta, Struct

from foundation.quantities import UnixMs
from foundation.unreadable import UNREADABLE
from settlement.connect.acceptance import PaymentId
from settlement.connect.envelope import Envelope, Form, SharedSecret, open_letter, seal_letter, write_header
from settlement.connect.envelope_keys import EnvelopeKeys, EnvelopeSecrets
from settlement.connect.errors import Doubt, EnvelopeRefused, MalformedConnect

LETTER_MS: Final = 60_000
"""How long a letter of the handshake may be under way."""

_Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Message = TypeVar("_Message")


class _Request(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    kind: Annotated[str, Meta(pattern="\\Arequest\\Z")]
    payment_id: _Bytes32
    reply_key: _Bytes32


class _Issue(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    kind: Annotated[str, Meta(pattern="\\Aissue\\Z")]
    payment_id: _Bytes32
    secret: _Bytes32
    address: Annotated[str, Meta(min_length=1, max_length=1023)]
    account: Annotated[str, Meta(max_length=128)]

    def __repr__(self) -> str:
        return "_Issue(hidden)"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the payer keeps while it waits: after a crash it may as well ask again with a new key.

    Fields: payment_id; reply_secret (X25519; the secret of the key that the answer is sealed to).
    """

    payment_id: PaymentId
    reply_secret: X25519PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class AskedFor:
    """A payer's question as the payee read it. Fields: payment_id; reply_key (X25519, 32 bytes)."""

    payment_id: PaymentId
    reply_key: bytes


@dataclass(frozen=True, slots=True)
class Issued:
    """What the payee issued for one payment.

    Fields: payment_id; secret; address (Interledger, RFC 15); account (on the ledger where it wants to be paid).
    """

    payment_id: PaymentId
    secret: SharedSecret
    address: str
    account: str


def ask(payer: EnvelopeSecrets, payee: EnvelopeKeys, payment: PaymentId, now: UnixMs) -> tuple[Asked, Envelope]:
    """The payer's question for a secret, and what it needs to read the answer."""
    reply = X25519PrivateKey.generate()
    text = msgspec.msgpack.encode(_Request("request", payment, reply.public_key().public_bytes_raw()))
    header = write_header(Form.LETTER, payer.party, payee.party, payment, now, UnixMs(now + LETTER_MS))
    return Asked(payment, reply), seal_letter(payer, payee.seal_key, header, text)


def read_question(payee: EnvelopeSecrets, payer: EnvelopeKeys, envelope: Envelope, now: UnixMs) -> AskedFor:
    """The payer's question. A payee that has issued a secret for this payment answers with the same one.

    Raises:
        EnvelopeRefused: the letter is not authentic, not in time, or not of the payment that its header names.
        MalformedConnect: it is no question.
    """
    text = open_letter(payee.sealing, payee.party, payer, envelope, now)
    request = _decoded(text, _Request)
    if request.payment_id != envelope.header.payment_id:
        raise EnvelopeRefused(payer.party, Doubt.CONTEXT)
    return AskedFor(envelope.header.payment_id, request.reply_key)


def issue(payee: EnvelopeSecrets, payer: EnvelopeKeys, question: AskedFor, issued: Issued, now: UnixMs) -> Envelope:
    """The payee's answer: the secret, the address and the account, sealed to the key of the question.

    Raises:
        BadInput: the question's key is one that nothing can be sealed to.
    """
    text = msgspec.msgpack.encode(
        _Issue("issue", issued.payment_id, issued.secret.value, issued.address, issued.account)
    )
    header = write_header(Form.LETTER, payee.party, payer.party, issued.payment_id, now, UnixMs(now + LETTER_MS))
    return seal_letter(payee, question.reply_key, header, text)


def receive(payer: EnvelopeSecrets, payee: EnvelopeKeys, asked: Asked, envelope: Envelope, now: UnixMs) -> Issued:
    """What the payee issued. The payer forgets `asked` afterwards.

    Raises:
        EnvelopeRefused: the letter is not authentic, not in time, or the answer to another question.
        MalformedConnect: it is no answer.
    """
    issued = _decoded(open_letter(asked.reply_secret, payer.party, payee, envelope, now), _Issue)
    if issued.payment_id != asked.payment_id:
        raise EnvelopeRefused(payee.party, Doubt.CONTEXT)
    return Issued(asked.payment_id, SharedSecret(issued.secret), issued.address, issued.account)


def _decoded(text: bytes, form: type[_Message]) -> _Message:
    try:
        return msgspec.msgpack.decode(text, type=form)
    except UNREADABLE as error:
        raise MalformedConnect("letter", "it has not the form of one") from error
