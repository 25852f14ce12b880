"""Parts, their sum on one text and on several, and what does not verify."""

from __future__ import annotations

import pickle
from dataclasses import replace

import msgspec
import pytest

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.cosign.batches import verify_batch
from settlement.cosign.cosignatures import (
    CoSignature,
    Partial,
    assemble,
    bundle,
    decode,
    join,
    part_verifies,
    verify,
    verify_bundle,
)
from settlement.cosign.errors import (
    BadBatch,
    BadSignature,
    MalformedSignature,
    MissingSigners,
    NotACircle,
    UnknownSigner,
)
from settlement.cosign.keys import LocalSigner, Possession, alone
from settlement.cosign.statements import Kind, Statement, circle
from settlement.quantities import PartyId

A, B, C = (LocalSigner(PartyId(name), name.encode().ljust(32, b"\x07")) for name in ("bank-a", "bank-b", "clearing"))
ALL = circle((C.member, A.member, B.member))
RECEIPT = Statement(Kind.RECEIPT, b"2,000 from A to B", ALL)


def signed(statement: Statement = RECEIPT) -> CoSignature:
    return assemble(
        statement, [signer.sign(statement) for signer in (C, A, B) if statement.circle.member(signer.party)]
    )


def test_three_sign_one_text_in_96_bytes() -> None:
    """The parts of three parties sum up, in any order, to one signature that verifies at once and survives the wire."""
    signature = signed()
    assert len(signature.signature) == 96
    assert signature.parties == ("bank-a", "bank-b", "clearing")
    verify(RECEIPT, CoSignature.decode(signature.encode()))


@pytest.mark.parametrize(
    "other",
    [
        replace(RECEIPT, kind=Kind.ACCEPTANCE),
        replace(RECEIPT, text=b"2,001 from A to B"),
        replace(RECEIPT, circle=circle((A.member, B.member))),
    ],
)
def test_a_signature_serves_for_its_own_kind_text_and_circle_alone(other: Statement) -> None:
    """A signature on one statement is none on another kind, another text or for fewer signers."""
    with pytest.raises((BadSignature, UnknownSigner)):
        verify(other, signed())


def test_a_bad_part_is_named() -> None:
    """Where the sum does not verify, the party is named whose part is bad."""
    wrong = replace(B.sign(RECEIPT), signature=B.sign(replace(RECEIPT, text=b"other")).signature)
    with pytest.raises(BadSignature) as refusal:
        assemble(RECEIPT, [A.sign(RECEIPT), wrong, C.sign(RECEIPT)])
    assert refusal.value.parties == ("bank-b",)
    assert part_verifies(RECEIPT, A.sign(RECEIPT))
    assert not part_verifies(RECEIPT, wrong)


def test_missing_and_strange_parts_are_named() -> None:
    """What is missing is named, and a part by a stranger or by a key that was not asked is refused."""
    with pytest.raises(MissingSigners) as missing:
        assemble(RECEIPT, [B.sign(RECEIPT)])
    assert missing.value.missing == ("bank-a", "clearing")
    with pytest.raises(UnknownSigner):
        assemble(RECEIPT, [replace(A.sign(RECEIPT), party=PartyId("stranger"))])
    with pytest.raises(UnknownSigner):
        assemble(RECEIPT, [replace(A.sign(RECEIPT), key_id=B.sign(RECEIPT).key_id)])
    with pytest.raises(UnknownSigner):
        part_verifies(RECEIPT, replace(A.sign(RECEIPT), party=PartyId("stranger")))


def test_parts_can_be_joined_now_and_verified_in_a_batch() -> None:
    """Joined parts are the assembled signature where all are good; where one is bad the batch says so."""
    parts = [signer.sign(RECEIPT) for signer in (B, A, C)]
    assert join(RECEIPT, parts) == assemble(RECEIPT, parts)
    bad = join(RECEIPT, [parts[0], parts[1], replace(parts[2], signature=parts[0].signature)])
    with pytest.raises(BadBatch) as refusal:
        verify_batch([(RECEIPT, join(RECEIPT, parts)), (RECEIPT, bad)])
    assert refusal.value.bad == (1,)
    with pytest.raises(MissingSigners):
        join(RECEIPT, parts[1:])


def test_a_signer_signs_only_what_names_it() -> None:
    """A signer refuses a statement of others, and one that would be a proof of possession."""
    with pytest.raises(NotACircle):
        C.sign(Statement(Kind.RECEIPT, b"", circle((A.member, B.member))))
    with pytest.raises(NotACircle):
        A.sign(Statement(Kind.POSSESSION, bytes(8), alone(A)))


def test_texts_of_several_kinds_are_bundled_in_one_signature() -> None:
    """A quote and two acceptances carry one signature of 96 bytes, which fails if any of the texts is another."""
    statements = [
        Statement(Kind.QUOTE, b"rate", alone(C)),
        Statement(Kind.ACCEPTANCE, b"terms", alone(A)),
        Statement(Kind.ACCEPTANCE, b"terms", alone(B)),
        RECEIPT,
    ]
    together = bundle([signed(statement) for statement in statements])
    verify_bundle(statements, together)
    with pytest.raises(BadSignature):
        verify_bundle([replace(statements[0], text=b"better rate"), *statements[1:]], together)
    with pytest.raises(BadSignature):
        verify_bundle(statements[:-1], together)
    with pytest.raises(BadSignature):
        verify_bundle([], b"\xc0" + bytes(95))
    with pytest.raises(MalformedSignature):
        bundle([])


def test_a_batch_names_its_bad_ones() -> None:
    """Of a batch over several circles exactly the bad signatures are named."""
    statements = [Statement(Kind.RECEIPT, bytes([n]), ALL if n % 2 else circle((A.member, B.member))) for n in range(9)]
    items = [(statement, signed(statement)) for statement in statements]
    verify_batch(items)
    verify_batch([])
    items[2] = (items[2][0], items[4][1])
    items[7] = (items[7][0], replace(items[7][1], signature=bytes(96)))
    items[8] = (items[8][0], items[1][1])
    with pytest.raises(BadBatch) as refusal:
        verify_batch(items)
    assert refusal.value.bad == (2, 7, 8)


def test_signatures_that_cancel_each_other_do_not_pass_a_batch() -> None:
    """Two signatures swapped between two texts have the right sum, and are both named all the same."""
    statements = [Statement(Kind.RECEIPT, bytes([n]), ALL) for n in range(4)]
    items = [(statement, signed(statement)) for statement in statements]
    swapped = [(statements[0], items[1][1]), (statements[1], items[0][1]), *items[2:]]
    verify_bundle(statements, bundle([signature for _, signature in swapped]))
    with pytest.raises(BadBatch) as refusal:
        verify_batch(swapped)
    assert refusal.value.bad == (0, 1)


@pytest.mark.parametrize(
    "raw", [b"", b"\xc0", b"\x93\x01\x02\x03", signed().encode()[:-1], signed().encode() + b"\x00"]
)
def test_bytes_that_are_no_signature_are_refused(raw: bytes) -> None:
    """Bytes from the wire that are no signature raise an error that says so."""
    with pytest.raises(MalformedSignature):
        CoSignature.decode(raw)


def test_a_signer_twice_is_malformed() -> None:
    """A signature that names one party twice does not verify."""
    signature = signed()
    with pytest.raises(MalformedSignature):
        verify(RECEIPT, replace(signature, signers=(*signature.signers, signature.signers[0])))


def test_the_secret_shows_nowhere() -> None:
    """A signer's repr and str hold no secret, and it cannot be pickled."""
    seed = bytes(range(32))
    signer = LocalSigner(PartyId("bank-a"), seed)
    shown = repr(signer) + str(signer) + f"{signer!r}"
    secret = bytes(signer._LocalSigner__secret)  # type: ignore[attr-defined]
    assert secret.hex() not in shown
    assert seed.hex() not in shown
    with pytest.raises(TypeError):
        pickle.dumps(signer)


def test_seeds_and_numbers_are_checked_and_give_keys_of_their_own() -> None:
    """Each number of a seed is another key, the same each time; a seed of another length is refused."""
    keys = {LocalSigner(PartyId("a"), bytes(32), number).member.key for number in (0, 1, 2, 0)}
    assert len(keys) == 3
    with pytest.raises(BadInput):
        LocalSigner(PartyId("a"), bytes(31))
    with pytest.raises(BadInput):
        LocalSigner(PartyId("a"), bytes(32), -1)


def test_parts_and_possessions_survive_the_wire() -> None:
    """A part of a signature and a proof of possession are the same after encoding and decoding."""
    part, possession = A.sign(RECEIPT), A.possession(UnixMs(1))
    assert decode(msgspec.msgpack.encode(part), Partial) == part
    assert decode(msgspec.msgpack.encode(possession), Possession) == possession
