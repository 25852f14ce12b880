"""What machines say to each other has bounds, which are checked where a letter is opened."""

from __future__ import annotations

import pytest

from settlement.swap.letters.bodies import Say, decode_body, encode_body
from settlement.swap.letters.letter import LetterRefused
from settlement.swap.machine.messages import RefundAsked, RefundCosigned, RungNonces

NONCES = (bytes(66),) * 3


@pytest.mark.parametrize(
    "message",
    [
        RungNonces(0, b"\x01", NONCES),
        RungNonces(0, bytes(37), NONCES),
        RungNonces(0, bytes(36), (bytes(65),)),
        RungNonces(-1, bytes(36), NONCES),
        RungNonces(1 << 40, bytes(36), NONCES),
        RefundAsked(bytes(35), b""),
        RefundCosigned(b"", b""),
    ],
)
def test_a_message_out_of_bounds_is_not_listened_to(message):
    """An outpoint or a nonce of another length, or a round that cannot be, never reaches a machine."""
    with pytest.raises(LetterRefused):
        decode_body(encode_body(Say(message)))


def test_a_message_within_bounds_arrives_as_it_was_said():
    """What fits is read as it was written."""
    said = Say(RungNonces(15, bytes(36), NONCES))
    assert decode_body(encode_body(said)) == said
