"""A new group's proof that its members can sign: the message, and the signature with the hint that contracts need.

Source: BIP-340, docs/architecture.md ("Registry"), contracts/src/bip340.vy.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from coincurve import PublicKey, PublicKeyXOnly
from eth_abi.abi import encode

from adapters.native.eip712 import BadSignature
from foundation.errors import BadInput

_TAG: Final = hashlib.sha256(b"Causeway/group-proof").digest()


@dataclass(frozen=True, slots=True)
class Proof:
    """A BIP-340 signature for a contract: `rx` and `s` are its halves, `ry` the even y that belongs to `rx`."""

    rx: bytes
    s: bytes
    ry: bytes


def group_proof_message(chain_id: int, registry: bytes, group: bytes, epoch: int, key: bytes) -> bytes:
    """What a new key (x-only, 32 bytes) signs to be accepted for a group, 32 bytes. Raises `BadInput`."""
    for field, value, length in (("registry", registry, 20), ("group", group, 32), ("key", key, 32)):
        if len(value) != length:
            raise BadInput(field, f"{len(value)} bytes", f"{length} bytes")
    types = ("uint256", "address", "bytes32", "uint256", "bytes32")
    return hashlib.sha256(_TAG + _TAG + encode(types, (chain_id, registry, group, epoch, key))).digest()


def bip340_hint(signature: bytes, key: bytes, message: bytes) -> bytes:
    """The even y coordinate (32 bytes) of a signature's point R, whose x is the signature's first half.

    The signature is verified, so that no transaction is spent on a proof that the contract would refuse.

    Raises:
        BadSignature: it is no signature over `message` (32 bytes) by `key` (x-only, 32 bytes).
    """
    if len(signature) != 64 or len(message) != 32:
        raise BadSignature("is not 64 bytes over a message of 32")
    try:
        valid = PublicKeyXOnly(key).verify(signature, message)
    except ValueError as error:
        raise BadSignature("its key is no x coordinate of the curve") from error
    if not valid:
        raise BadSignature("is not valid for the key and the message")
    # 02 says that y is even, which BIP-340 asks of R.
    return PublicKey(b"\x02" + signature[:32]).format(compressed=False)[33:]


def group_proof(signature: bytes, key: bytes, message: bytes) -> Proof:
    """A signature (64 bytes) over `group_proof_message`, as `Registry.activate_group` takes it. Raises as the hint."""
    return Proof(signature[:32], signature[32:], bip340_hint(signature, key, message))
