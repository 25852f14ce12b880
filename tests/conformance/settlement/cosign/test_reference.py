"""Our signatures against py_ecc, a second implementation of draft-irtf-cfrg-bls-signature."""

from __future__ import annotations

from eth_typing import BLSPubkey, BLSSignature
from py_ecc.bls.ciphersuites import G2MessageAugmentation as Reference
from py_ecc.bls.g2_primitives import G1_to_pubkey, pubkey_to_G1
from py_ecc.optimized_bls12_381.optimized_curve import add

from settlement.cosign.cosignatures import assemble
from settlement.cosign.keys import LocalSigner, alone
from settlement.cosign.statements import Kind, Statement, circle
from settlement.quantities import PartyId

A, B = (LocalSigner(PartyId(name), name.encode().ljust(32, b"\x07")) for name in ("bank-a", "bank-b"))


def secret_of(signer: LocalSigner) -> int:
    return int.from_bytes(bytes(signer._LocalSigner__secret), "big")  # type: ignore[attr-defined]


def test_a_signature_by_one_is_the_reference_s() -> None:
    """What one party signs alone is, byte for byte, the reference's message-augmented signature on the digest."""
    statement = Statement(Kind.QUOTE, b"rate", alone(A))
    assert A.sign(statement).signature == Reference.Sign(secret_of(A), statement.digest)
    assert bytes(A.member.key) == bytes(Reference.SkToPk(secret_of(A)))


def test_a_signature_by_two_verifies_under_the_sum_of_keys_in_the_reference() -> None:
    """The reference verifies what two signed together, under the sum of their keys that it computes itself."""
    statement = Statement(Kind.RECEIPT, b"paid", circle((A.member, B.member)))
    signature = BLSSignature(assemble(statement, [A.sign(statement), B.sign(statement)]).signature)
    keys = [pubkey_to_G1(BLSPubkey(signer.member.key)) for signer in (A, B)]
    total = G1_to_pubkey(add(*keys))
    assert total == statement.circle.sum_bytes
    assert Reference.Verify(total, statement.digest, signature)
    assert not Reference.Verify(total, statement.digest[::-1], signature)
