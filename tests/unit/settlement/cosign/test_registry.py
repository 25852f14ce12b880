"""Who is registered, with which key, and the attacks that a proof of possession stops."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from chia_rs import AugSchemeMPL, G1Element, PrivateKey

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.cosign.cosignatures import CoSignature, SignedBy, assemble
from settlement.cosign.errors import (
    BadKey,
    BadSignature,
    KeyConflict,
    KeyNotValid,
    MissingSigners,
    NoPossession,
    NotACircle,
    UnknownSigner,
)
from settlement.cosign.keys import LocalSigner, Possession
from settlement.cosign.registry import KeyRecord, KeyRegistry
from settlement.cosign.statements import Kind, Member, PublicKey, Statement, circle, key_id
from settlement.quantities import PartyId

A, B, C = PartyId("bank-a"), PartyId("bank-b"), PartyId("clearing")
START, LATER, END = UnixMs(1_000), UnixMs(2_000), UnixMs(3_000)
ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001


def signer(party: PartyId, number: int = 0) -> LocalSigner:
    return LocalSigner(party, party.encode().ljust(32, b"\x07"), number)


def negated(point: G1Element) -> G1Element:
    """The inverse: the sign is one bit of the compressed form."""
    raw = bytearray(bytes(point))
    raw[0] ^= 0x20
    return G1Element.from_bytes(bytes(raw))


def test_a_key_with_its_proof_is_registered_and_found() -> None:
    """A party's key counts from its first moment to before its last."""
    registry = KeyRegistry([signer(A).possession(START, END)])
    assert registry.current(A, START) == registry.current(A, UnixMs(END - 1)) == signer(A).member
    for outside in (UnixMs(START - 1), END):
        with pytest.raises(KeyNotValid) as refusal:
            registry.current(A, outside)
        assert (refusal.value.party, refusal.value.at) == (A, outside)


def test_registering_again_is_harmless() -> None:
    """The same key with the same proof is registered once."""
    registry = KeyRegistry([signer(A).possession(START), signer(A).possession(START)])
    assert registry.records() == (KeyRecord(signer(A).possession(START), None),)


def test_a_registry_survives_storage_with_its_retirements() -> None:
    """Records of a registry, after the wire, give one with the same keys and retirements, and are proved again."""
    registry = KeyRegistry([signer(A).possession(START), signer(B).possession(START, END)])
    registry.retire(A, key_id(signer(A).member.key), LATER)
    raw = msgspec.msgpack.encode(registry.records())
    restored = KeyRegistry.restored(msgspec.msgpack.decode(raw, type=tuple[KeyRecord, ...]))
    assert restored.records() == registry.records()
    with pytest.raises(KeyNotValid):
        restored.current(A, LATER)
    forged = replace(registry.records()[0], possession=replace(signer(A).possession(START), party=C))
    with pytest.raises(NoPossession):
        KeyRegistry.restored([forged])


@pytest.mark.parametrize(
    "change",
    [
        {"proof": bytes(96)},
        {"proof": b"\xc0" + bytes(95)},
        {"party": B},
        {"valid_from": UnixMs(0)},
        {"valid_until": END},
        {"proof": signer(B).possession(START).proof},
    ],
)
def test_a_key_whose_proof_is_not_its_own_is_refused(change: dict[str, object]) -> None:
    """The proof is bound to the key, the party and the validity; any other is no proof."""
    with pytest.raises(NoPossession):
        KeyRegistry().register(replace(signer(A).possession(START), **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"valid_from": -1}, {"valid_from": 1 << 64}, {"valid_until": 1 << 64}])
def test_a_key_of_no_time_is_refused(change: dict[str, object]) -> None:
    """Moments that cannot be are told as bad input, whoever sent the card."""
    with pytest.raises(BadInput):
        KeyRegistry().register(replace(signer(A).possession(START), **change))  # type: ignore[arg-type]


def test_a_rogue_key_cannot_be_registered_and_would_have_signed_for_both() -> None:
    """The key "mine minus yours" signs alone for both, and has no proof of possession that passes."""
    mine = PrivateKey.from_bytes((12345).to_bytes(32, "big"))
    victim = signer(A)
    rogue = Member.of(B, bytes(mine.get_g1() + negated(victim.member.point)))
    statement = Statement(Kind.RECEIPT, b"A owes B everything", circle((victim.member, rogue)))
    assert bytes(statement.circle.sum) == bytes(mine.get_g1())
    forged = mine.sign(statement.digest, statement.circle.sum)
    assert AugSchemeMPL.verify(statement.circle.sum, statement.digest, forged), "the attack works without proofs"
    own = Statement(Kind.POSSESSION, START.to_bytes(8, "big"), circle((rogue,)))
    proof = bytes(mine.sign(own.digest, rogue.point))
    registry = KeyRegistry([victim.possession(START)])
    with pytest.raises(NoPossession):
        registry.register(Possession(B, rogue.key, START, None, proof))
    signers = tuple(SignedBy(m.party, key_id(m.key)) for m in statement.circle.members)
    with pytest.raises(UnknownSigner) as refusal:
        registry.verify(Kind.RECEIPT, statement.text, CoSignature(signers, bytes(forged)), LATER, (A, B))
    assert refusal.value.party == B


def test_keys_that_cancel_each_other_are_no_circle() -> None:
    """Two parties in league whose keys sum to nothing cannot sign together: anybody's signature would fit."""
    secret = int.from_bytes(bytes(PrivateKey.from_seed(bytes(32))), "big")
    one = PrivateKey.from_bytes(secret.to_bytes(32, "big"))
    other = PrivateKey.from_bytes((ORDER - secret).to_bytes(32, "big"))
    with pytest.raises(NotACircle):
        circle((Member.of(A, bytes(one.get_g1())), Member.of(B, bytes(other.get_g1()))))


@pytest.mark.parametrize(
    "key", [b"", bytes(48), b"\xc0" + bytes(47), b"\xff" * 48, b"\x80" + bytes(46) + b"\x04"], ids=range(5)
)
def test_bytes_that_are_no_key_are_refused(key: bytes) -> None:
    """The point at infinity, points outside of the subgroup and bytes that are no point are no keys."""
    with pytest.raises(BadKey):
        KeyRegistry().register(Possession(A, PublicKey(key), START, None, bytes(96)))


def test_a_key_belongs_to_one_party() -> None:
    """A party cannot register the key of another, not even one whose secret both know."""
    seed = bytes(32)
    registry = KeyRegistry([LocalSigner(A, seed).possession(START)])
    with pytest.raises(KeyConflict):
        registry.register(LocalSigner(B, seed).possession(START))


def test_a_validity_is_not_changed_by_registering_again() -> None:
    """Who registers a retired key again with a longer validity is refused."""
    registry = KeyRegistry([signer(A).possession(START, END)])
    with pytest.raises(KeyConflict):
        registry.register(signer(A).possession(START))
    with pytest.raises(BadInput):
        registry.register(signer(A, 1).possession(END, START))


def test_rotation_signs_with_the_newest_key_and_verifies_what_the_old_one_signed() -> None:
    """After a rotation new statements take the new key, and a statement of before still verifies by its date."""
    old, new = signer(A), signer(A, 1)
    registry = KeyRegistry([old.possession(START), new.possession(LATER)])
    before = Statement(Kind.QUOTE, b"1.1", registry.circle((A,), START))
    signed = assemble(before, [old.sign(before)])
    registry.retire(A, key_id(old.member.key), END)
    assert registry.current(A, LATER) == new.member
    registry.verify(Kind.QUOTE, b"1.1", signed, START, (A,))
    with pytest.raises(KeyNotValid):
        registry.verify(Kind.QUOTE, b"1.1", signed, END, (A,))


def test_retiring_is_never_undone() -> None:
    """A later retirement does not give a key back what an earlier one took."""
    registry = KeyRegistry([signer(A).possession(START)])
    registry.retire(A, key_id(signer(A).member.key), LATER)
    registry.retire(A, key_id(signer(A).member.key), END)
    with pytest.raises(KeyNotValid):
        registry.current(A, LATER)
    with pytest.raises(UnknownSigner):
        registry.retire(B, key_id(signer(A).member.key), LATER)


def test_who_is_missing_is_named() -> None:
    """A signature by two of three names the third as missing, and cannot be passed off as one by all."""
    registry = KeyRegistry([signer(p).possession(START) for p in (A, B, C)])
    two = Statement(Kind.RECEIPT, b"paid", registry.circle((B, A), LATER))
    signed = assemble(two, [signer(A).sign(two), signer(B).sign(two)])
    with pytest.raises(MissingSigners) as refusal:
        registry.verify(Kind.RECEIPT, b"paid", signed, LATER, (A, B, C))
    assert refusal.value.missing == (C,)
    padded = replace(signed, signers=(*signed.signers, SignedBy(C, key_id(signer(C).member.key))))
    with pytest.raises(BadSignature):
        registry.verify(Kind.RECEIPT, b"paid", padded, LATER, (A, B, C))
    with pytest.raises(NotACircle):
        registry.verify(Kind.RECEIPT, b"paid", replace(signed, signers=(signed.signers[0],) * 2), LATER, (A,))
