"""What strangers write and nobody can read: each decoder says so by its own error, and nothing else comes out of it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from foundation.errors import CausewayError
from settlement.connect import messages as notes
from settlement.connect.acceptance import SignedAcceptance
from settlement.connect.envelope import Envelope
from settlement.connect.ivms101 import from_json
from settlement.connector.settle.engines.rail import read_question
from settlement.connector.settle.quantity import Quantity
from settlement.cosign.cosignatures import CoSignature, Partial, decode
from settlement.cosign.keys import Possession
from settlement.custody.packet import decode_memo
from settlement.gateway import messages as letters
from settlement.ledgers.bitcoin.notices import decode_notice
from settlement.quantities import PartyId

_PARTY = "bank-a"
_NOT_UTF8 = b"\xff\xfe\xfd\xfc\xfb\xfa"
assert len(_NOT_UTF8) == len(_PARTY)

DECODERS: tuple[Callable[[bytes], object], ...] = (
    CoSignature.decode,
    lambda raw: decode(raw, Partial),
    lambda raw: decode(raw, Possession),
    SignedAcceptance.decode,
    Envelope.decode,
    from_json,
    notes.decode,
    letters.decode_note,
    letters.decode_body,
    lambda raw: letters.decode_words(raw, PartyId(_PARTY)),
    decode_memo,
    decode_notice,
    read_question,
    Quantity.parse,
)


def _spoilt(message: object) -> bytes:
    """The message in MessagePack, with the party's name in it replaced by bytes that are no text."""
    raw = msgspec.msgpack.encode(message)
    assert _PARTY.encode() in raw
    return raw.replace(_PARTY.encode(), _NOT_UTF8)


UNREADABLE = (
    _spoilt({"signers": [{"party": _PARTY, "key_id": bytes(16)}], "signature": bytes(96)}),
    _spoilt({"party": _PARTY, "key_id": bytes(16), "signature": bytes(96)}),
    _spoilt({"party": _PARTY, "key": bytes(48), "valid_from": 0, "valid_until": None, "proof": bytes(96)}),
    _spoilt({"acceptance": {"payment_id": bytes(32), "party": _PARTY}}),
    _spoilt({"header": {"version": 1, "form": "letter", "sender": _PARTY}}),
    _spoilt([_PARTY]),
    _spoilt([[_PARTY]]),
    _spoilt(["exchanged", _PARTY]),
    _spoilt([["quote-ask", bytes(32), _PARTY]]),
    _spoilt([1, *[bytes(32)] * 4, _PARTY, b""]),
    b'{"type": "\xff"}',
    b'{"amount": "\xff", "scale": 2}',
    b'{"\xff": 1}',
    b"\x81\xa1x" + b"\x91" * 100_000,
    b"\x91" * 100_000,
    b"[" * 100_000,
    b'{"x": ' + b"[" * 100_000,
    b"",
)


@pytest.mark.parametrize("raw", UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_nobody_can_read_is_refused_by_the_decoders_own_error(raw: bytes) -> None:
    """Text that is not UTF-8 and endless nesting end no feed and no server: they are malformed like anything else."""
    for decoder in DECODERS:
        with pytest.raises(CausewayError):
            decoder(raw)
