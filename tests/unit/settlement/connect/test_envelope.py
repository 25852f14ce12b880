"""Letters and notes: only the recipient reads them, only the sender makes them, and each once and in its time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connect import handshake
from settlement.connect.acceptance import PaymentId
from settlement.connect.envelope import (
    Envelope,
    Form,
    Header,
    ReplayGuard,
    SharedSecret,
    open_letter,
    open_note,
    seal_letter,
    seal_note,
    write_header,
)
from settlement.connect.envelope_keys import EnvelopeSecrets, certify, check_certificate
from settlement.connect.errors import Doubt, EnvelopeRefused, MalformedConnect
from settlement.cosign.errors import BadSignature, KeyNotValid
from settlement.cosign.keys import LocalSigner
from settlement.cosign.registry import KeyRegistry
from settlement.quantities import PartyId, tagged_hash

A, B, M = (EnvelopeSecrets.derive(PartyId(name), name.encode().ljust(32, b"\x07")) for name in ("a", "b", "mallory"))
NOW = UnixMs(1_700_000_000_000)
A_KEYS, B_KEYS, M_KEYS = (party.keys(UnixMs(0), UnixMs(NOW * 2)) for party in (A, B, M))
PAYMENT = PaymentId(b"\x01" * 32)
SECRET = SharedSecret(b"\x05" * 32)
TEXT = b"Maria Musterfrau, born 1970-01-01"


def header(form: Form = Form.LETTER) -> Header:
    return write_header(form, A.party, B.party, PAYMENT, NOW, UnixMs(NOW + 60_000))


def letter() -> Envelope:
    return seal_letter(A, B_KEYS.seal_key, header(), TEXT)


def note() -> Envelope:
    return seal_note(SECRET, header(Form.NOTE), TEXT)


def read_letter(envelope: Envelope, now: UnixMs = NOW) -> bytes:
    return open_letter(B.sealing, B.party, A_KEYS, envelope, now)


def read_note(envelope: Envelope, now: UnixMs = NOW) -> bytes:
    return open_note(SECRET, PAYMENT, A.party, B.party, envelope, now)


BOTH = pytest.mark.parametrize(("sealed", "read"), [(letter, read_letter), (note, read_note)], ids=["letter", "note"])
Sealed = Callable[[], Envelope]
Read = Callable[..., bytes]


@BOTH
def test_a_message_is_read_by_its_recipient_and_is_never_the_same_twice(sealed: Sealed, read: Read) -> None:
    """The recipient reads the text after the wire; the same text is sealed otherwise each time and does not show."""
    first, second = sealed(), sealed()
    assert read(Envelope.decode(first.encode())) == TEXT
    assert first.sealed != second.sealed
    assert b"Musterfrau" not in first.encode()
    assert "Musterfrau" not in repr(first)


@BOTH
@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        ({"sender": PartyId("mallory")}, Doubt.SENDER),
        ({"recipient": PartyId("mallory")}, Doubt.RECIPIENT),
        ({"message_id": bytes(16)}, Doubt.AUTHENTICITY),
        ({"sent_at": UnixMs(NOW - 1)}, Doubt.AUTHENTICITY),
        ({"expires_at": UnixMs(NOW + 90_000)}, Doubt.AUTHENTICITY),
        ({"expires_at": UnixMs(NOW + 25 * 3600_000)}, Doubt.LIFETIME),
    ],
)
def test_no_part_of_a_header_can_be_changed(
    sealed: Sealed, read: Read, change: dict[str, object], doubt: Doubt
) -> None:
    """Whatever field of the header is changed, the message is refused."""
    envelope = sealed()
    changed = replace(envelope, header=replace(envelope.header, **change))  # type: ignore[arg-type]
    with pytest.raises(EnvelopeRefused) as refusal:
        read(changed)
    assert refusal.value.doubt is doubt


@BOTH
def test_a_changed_text_and_another_form_are_refused(sealed: Sealed, read: Read) -> None:
    """One bit of the sealed text, a cut end, or a letter passed off as a note are refused."""
    envelope = sealed()
    flipped = bytes([*envelope.sealed[:-1], envelope.sealed[-1] ^ 1])
    other = Form.NOTE if envelope.header.form is Form.LETTER else Form.LETTER
    for bad in (
        replace(envelope, sealed=flipped),
        replace(envelope, sealed=envelope.sealed[:10]),
        replace(envelope, sealed=b""),
        replace(envelope, header=replace(envelope.header, form=other)),
    ):
        with pytest.raises(EnvelopeRefused) as refusal:
            read(bad)
        assert refusal.value.doubt is Doubt.AUTHENTICITY


@BOTH
def test_a_message_counts_in_its_time(sealed: Sealed, read: Read) -> None:
    """It is refused from its end on, and where it is dated further ahead than clocks may differ."""
    envelope = sealed()
    assert read(envelope, UnixMs(NOW + 59_999)) == TEXT
    for moment, doubt in ((UnixMs(NOW + 60_000), Doubt.EXPIRED), (UnixMs(NOW - 5_001), Doubt.EARLY)):
        with pytest.raises(EnvelopeRefused) as refusal:
            read(envelope, moment)
        assert refusal.value.doubt is doubt


def test_a_letter_cannot_be_signed_anew_by_another() -> None:
    """Who takes a letter's sealed text and signs it as his own cannot make the recipient believe that he wrote it."""
    envelope = letter()
    stolen = replace(envelope.header, sender=M.party)
    text = tagged_hash("connect/letter", stolen.bound, B_KEYS.seal_key, envelope.sealed)
    forged = Envelope(stolen, envelope.sealed, M.signing.sign(text))
    with pytest.raises(EnvelopeRefused) as refusal:
        open_letter(B.sealing, B.party, M_KEYS, forged, NOW)
    assert refusal.value.doubt is Doubt.AUTHENTICITY


def test_a_letter_is_for_one_key_and_by_one_hand() -> None:
    """Another's key does not open a letter, and a letter signed by another key than the sender's is refused."""
    with pytest.raises(EnvelopeRefused):
        open_letter(M.sealing, B.party, A_KEYS, letter(), NOW)
    with pytest.raises(EnvelopeRefused):
        open_letter(B.sealing, B.party, replace(A_KEYS, sign_key=M_KEYS.sign_key), letter(), NOW)
    with pytest.raises(EnvelopeRefused) as refusal:
        open_letter(B.sealing, B.party, replace(A_KEYS, valid_until=NOW), letter(), NOW)
    assert refusal.value.doubt is Doubt.SENDER


def test_a_note_is_of_one_payment_and_one_direction() -> None:
    """A note serves for no other payment, under no other secret, and is not reflected to who wrote it."""
    with pytest.raises(EnvelopeRefused) as refusal:
        open_note(SECRET, PaymentId(bytes(32)), A.party, B.party, note(), NOW)
    assert refusal.value.doubt is Doubt.CONTEXT
    with pytest.raises(EnvelopeRefused):
        open_note(SharedSecret(bytes(32)), PAYMENT, A.party, B.party, note(), NOW)
    reflected = replace(note(), header=replace(note().header, sender=B.party, recipient=A.party))
    with pytest.raises(EnvelopeRefused):
        open_note(SECRET, PAYMENT, B.party, A.party, reflected, NOW)


def test_a_message_is_taken_once() -> None:
    """The guard refuses a message that came before, until it has expired anyway, and forgets it then."""
    guard, envelope = ReplayGuard(), letter()
    guard.admit(envelope.header, NOW)
    with pytest.raises(EnvelopeRefused) as refusal:
        guard.admit(envelope.header, UnixMs(NOW + 59_999))
    assert refusal.value.doubt is Doubt.REPLAYED
    guard.admit(letter().header, UnixMs(NOW + 10 * 60_000))
    assert len(guard._seen) == 1


def test_what_cannot_be_sealed_is_refused() -> None:
    """A text of more than a megabyte, a lifetime of more than a day, another's header and a weak key are refused."""
    with pytest.raises(BadInput):
        seal_letter(A, B_KEYS.seal_key, header(), bytes((1 << 20) + 1))
    with pytest.raises(BadInput):
        write_header(Form.NOTE, A.party, B.party, PAYMENT, NOW, UnixMs(NOW + 25 * 3600_000))
    with pytest.raises(BadInput):
        seal_letter(M, B_KEYS.seal_key, header(), TEXT)
    with pytest.raises(BadInput):
        seal_letter(A, bytes(32), header(), TEXT)
    with pytest.raises(BadInput):
        seal_note(SECRET, header(), TEXT)
    with pytest.raises(BadInput):
        SharedSecret(bytes(31))
    with pytest.raises(MalformedConnect):
        Envelope.decode(b"\x81")


def test_the_payee_issues_a_secret_that_only_the_payer_reads() -> None:
    """After question and answer both have one secret and one address, which no long-lived key can read."""
    asked, question = handshake.ask(A, B_KEYS, PAYMENT, NOW)
    read = handshake.read_question(B, A_KEYS, question, NOW)
    given = handshake.Issued(PAYMENT, SECRET, "test.bank-b.p1", "account-b")
    answer = handshake.issue(B, A_KEYS, read, given, NOW)
    issued = handshake.receive(A, B_KEYS, asked, answer, NOW)
    assert issued == given
    for key in (A.sealing, B.sealing, X25519PrivateKey.generate()):
        with pytest.raises(EnvelopeRefused):
            open_letter(key, A.party, B_KEYS, answer, NOW)
    assert SECRET.value.hex() not in repr(issued) + str(issued)
    assert repr(SECRET.value) not in repr(issued)


def test_an_answer_to_another_question_is_refused() -> None:
    """The answer for one payment does not serve for another, and a question is no answer."""
    asked, question = handshake.ask(A, B_KEYS, PAYMENT, NOW)
    read = handshake.read_question(B, A_KEYS, question, NOW)
    other = handshake.issue(B, A_KEYS, read, handshake.Issued(PaymentId(bytes(32)), SECRET, "test.b", "b"), NOW)
    with pytest.raises(EnvelopeRefused) as refusal:
        handshake.receive(A, B_KEYS, asked, other, NOW)
    assert refusal.value.doubt is Doubt.CONTEXT
    with pytest.raises(MalformedConnect):
        handshake.read_question(B, A_KEYS, letter(), NOW)


def test_envelope_keys_are_certified_by_their_party() -> None:
    """Keys count if their party's BLS key has signed them, in their time; a swapped key is refused."""
    signer = LocalSigner(A.party, bytes(range(32)))
    registry = KeyRegistry([signer.possession(UnixMs(0))])
    certified = certify(signer, A.keys(NOW, UnixMs(NOW + 1000)))
    assert check_certificate(certified, registry, NOW) == certified.keys
    with pytest.raises(KeyNotValid):
        check_certificate(certified, registry, UnixMs(NOW + 1000))
    with pytest.raises(BadSignature):
        check_certificate(replace(certified, keys=replace(certified.keys, seal_key=M_KEYS.seal_key)), registry, NOW)
    with pytest.raises(BadInput):
        certify(signer, B_KEYS)
