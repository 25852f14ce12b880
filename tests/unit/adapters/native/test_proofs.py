"""The proof of a group's key, as the Registry takes it."""

from __future__ import annotations

import hashlib

import pytest
from coincurve import PrivateKey, PublicKey
from eth_abi.abi import encode

from adapters.native.eip712 import BadSignature
from adapters.native.proofs import bip340_hint, group_proof, group_proof_message
from foundation.errors import BadInput

KEY = PrivateKey(bytes(31) + b"\x09")
X_ONLY = KEY.public_key.format()[1:]
MESSAGE = group_proof_message(31_337, b"\x01" * 20, b"\x02" * 32, 0, X_ONLY)
PRIME = 2**256 - 2**32 - 977


def test_the_message_is_the_tagged_hash_of_the_architecture() -> None:
    """The message is BIP-340's tagged hash of what the group commits to."""
    tag = hashlib.sha256(b"Causeway/group-proof").digest()
    types = ["uint256", "address", "bytes32", "uint256", "bytes32"]
    body = encode(types, [31_337, b"\x01" * 20, b"\x02" * 32, 0, X_ONLY])
    assert hashlib.sha256(tag + tag + body).digest() == MESSAGE


@pytest.mark.parametrize("number", range(6))
def test_the_hint_is_the_even_root(number: int) -> None:
    """The hint is the even y of the point whose x is the signature's first half."""
    signature = KEY.sign_schnorr(MESSAGE, bytes([number]) * 32)
    proof = group_proof(signature, X_ONLY, MESSAGE)
    x, y = int.from_bytes(proof.rx, "big"), int.from_bytes(proof.ry, "big")
    assert (y * y - x**3 - 7) % PRIME == 0
    assert y % 2 == 0
    assert proof.rx + proof.s == signature
    assert PublicKey(b"\x04" + proof.rx + proof.ry).format()[0] == 2


def test_what_the_contract_would_refuse_is_refused() -> None:
    """A signature over another message, by another key, or of a wrong length costs no transaction."""
    signature = KEY.sign_schnorr(MESSAGE)
    other = PrivateKey(bytes(31) + b"\x0a").public_key.format()[1:]
    for arguments in (
        (signature, X_ONLY, bytes(32)),
        (signature, other, MESSAGE),
        (signature[:63], X_ONLY, MESSAGE),
        (signature, X_ONLY, MESSAGE[:31]),
        (signature, b"\xff" * 32, MESSAGE),
        (signature, X_ONLY[:31], MESSAGE),
        (b"\xff" * 32 + signature[32:], X_ONLY, MESSAGE),
    ):
        with pytest.raises(BadSignature):
            bip340_hint(*arguments)


def test_parts_of_a_wrong_length_are_refused_by_name() -> None:
    """Registry, group and key have fixed lengths."""
    for registry, group, key, field in (
        (b"\x01" * 19, b"\x02" * 32, X_ONLY, "registry"),
        (b"\x01" * 20, b"\x02" * 31, X_ONLY, "group"),
        (b"\x01" * 20, b"\x02" * 32, X_ONLY[1:], "key"),
    ):
        with pytest.raises(BadInput) as refusal:
            group_proof_message(1, registry, group, 0, key)
        assert refusal.value.field == field
