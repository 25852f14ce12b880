"""Letters: only the recipient reads them, and only the sender can have written them."""

from __future__ import annotations

import msgspec
import pytest
from coincurve import PublicKeyXOnly
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import BadInput
from settlement.swap.letters import letter as letters
from settlement.swap.letters.letter import BODY_BYTES_MAX, SEALED_BYTES_MAX, Letter, LetterRefused, Reader, seal

NOW = 1_800_000_000
ALICE, BOB, EVE = (bytes([number]) * 32 for number in (1, 2, 3))


def reader(secret: bytes) -> Reader:
    return Reader(bytes(PublicKeyXOnly.from_secret(secret).format()), secret[:31] + b"\x05")


def a_letter(body: bytes = b"hello", **changes: object) -> Letter:
    letter = Letter(b"\x77" * 32, reader(ALICE).identity, reader(BOB).identity, "take", body, NOW, NOW + 60)
    return msgspec.structs.replace(letter, **changes)


@settings(max_examples=40, deadline=None)
@given(body=st.binary(max_size=BODY_BYTES_MAX), kind=st.text(min_size=1, max_size=32))
def test_a_letter_arrives_as_it_was_written(body: bytes, kind: str) -> None:
    """Whatever its body and kind."""
    letter = a_letter(body, kind=kind)
    sealed = seal(letter, reader(BOB).letters, ALICE)
    assert len(sealed) <= SEALED_BYTES_MAX
    assert reader(BOB).open(sealed, NOW) == letter


def test_its_length_tells_little_and_its_bytes_nothing() -> None:
    """Letters of a few bytes and of some hundred look alike, and no key of either side is in them."""
    short, longer = (seal(a_letter(bytes(length)), reader(BOB).letters, ALICE) for length in (1, 200))
    assert len(short) == len(longer)
    assert short != seal(a_letter(b"\0"), reader(BOB).letters, ALICE)
    assert reader(ALICE).identity not in short
    assert reader(BOB).identity not in short


def test_nobody_else_opens_it() -> None:
    """The keeper of the mailboxes holds a box without a key."""
    with pytest.raises(LetterRefused, match="not sealed to us"):
        reader(EVE).open(seal(a_letter(), reader(BOB).letters, ALICE), NOW)


def test_every_changed_bit_is_found() -> None:
    """A letter is whole, or dropped."""
    sealed = seal(a_letter(), reader(BOB).letters, ALICE)
    for at in range(0, len(sealed), 7):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(LetterRefused):
            reader(BOB).open(changed, NOW)


def _sealed_anew(letter: Letter, signature_of: bytes) -> bytes:
    """As a liar seals: a letter with the signature out of another one."""
    inner = letters._SUITE
    signed = letters._Signed(msgspec.msgpack.encode(letter), signature_of)
    key = X25519PublicKey.from_public_bytes(reader(EVE).letters)
    return bytes(inner.encrypt(letters._padded(msgspec.msgpack.encode(signed)), key, letters._DOMAIN))


def test_a_recipient_cannot_pass_a_letter_on_as_if_it_were_to_another() -> None:
    """The signature counts for the sealing key that the sender chose."""
    letter = a_letter(recipient=reader(EVE).identity)
    encoded = msgspec.msgpack.encode(letter)
    signature = letters.PrivateKey(ALICE).sign_schnorr(letters._digest(encoded, reader(BOB).letters))
    with pytest.raises(LetterRefused, match="did not sign"):
        reader(EVE).open(_sealed_anew(letter, signature), NOW)


def test_a_letter_in_anothers_name_is_dropped() -> None:
    """Whoever knows the sealing key can write, but not as Alice."""
    letter = a_letter(recipient=reader(EVE).identity)
    with pytest.raises(LetterRefused, match="did not sign"):
        reader(EVE).open(_sealed_anew(letter, bytes(64)), NOW)


def test_a_letter_to_somebody_else_is_dropped() -> None:
    """Even if it is sealed to our key."""
    sealed = seal(a_letter(recipient=reader(EVE).identity), reader(BOB).letters, ALICE)
    with pytest.raises(LetterRefused, match="somebody else"):
        reader(BOB).open(sealed, NOW)


@pytest.mark.parametrize(
    ("changes", "at"),
    [({}, NOW + 60), ({"sent_at": NOW + 7_201, "expires_at": NOW + 9_000}, NOW), ({}, NOW - 7_201)],
)
def test_letters_live_for_their_time(changes: dict[str, int], at: int) -> None:
    """Neither late ones nor ones from the future count."""
    with pytest.raises(LetterRefused, match=r"expired|future"):
        reader(BOB).open(seal(a_letter(**changes), reader(BOB).letters, ALICE), at)


@pytest.mark.parametrize("raw", [b"", bytes(100), bytes(20_000)])
def test_noise_is_dropped(raw: bytes) -> None:
    """Of any length."""
    with pytest.raises(LetterRefused):
        reader(BOB).open(raw, NOW)


def test_what_cannot_be_sent_is_refused_to_its_sender() -> None:
    """A wrong key, a long body, a letter without a life."""
    with pytest.raises(BadInput, match="not the sender's"):
        seal(a_letter(), reader(BOB).letters, EVE)
    with pytest.raises(BadInput, match="body"):
        seal(a_letter(bytes(BODY_BYTES_MAX + 1)), reader(BOB).letters, ALICE)
    with pytest.raises(BadInput, match="expires_at"):
        seal(a_letter(expires_at=NOW), reader(BOB).letters, ALICE)
    with pytest.raises(BadInput, match="letters_key"):
        seal(a_letter(), bytes(31), ALICE)


def test_a_reader_does_not_show_its_secret() -> None:
    """In no log."""
    assert reader(BOB).secret.hex() not in repr(reader(BOB))
