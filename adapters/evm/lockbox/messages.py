"""The 32 bytes that a group signs for its Lockbox. Source: BIP-340's tagged hashes; docs/contracts.md, "Lockbox".

Each message names the chain, the Lockbox and the key's epoch, so that a signature is good for nothing on another chain,
for another Lockbox, or after the key was rotated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from eth_utils.crypto import keccak

from adapters.evm.abi import encode_values
from adapters.evm.lockbox.types import MAX_PAYMENTS, Payment, check_address, check_limit, check_word
from adapters.native.proofs import Proof, group_proof
from foundation.errors import BadInput

PAYMENT: Final = "(uint256,address,address,uint256,uint256)"


def tagged_hash(tag: str, content: bytes) -> bytes:
    """BIP-340's tagged hash, 32 bytes."""
    prefix = hashlib.sha256(tag.encode()).digest()
    return hashlib.sha256(prefix + prefix + content).digest()


@dataclass(frozen=True, slots=True)
class Messages:
    """The messages for one Lockbox under one epoch's key. All raise `BadInput` for what the contract has no place for.

    Fields: chain_id (EIP-155); lockbox (20 bytes); epoch (the Lockbox's, which each rotation raises by one).
    """

    chain_id: int
    lockbox: bytes
    epoch: int

    def __post_init__(self) -> None:
        check_word(self.chain_id, "chain id")
        check_address(self.lockbox, "lockbox", zero_allowed=False)
        check_word(self.epoch, "epoch")

    def release(self, payments: Sequence[Payment]) -> bytes:
        """Pay these, in this order."""
        check_count(len(payments), "payments")
        content = encode_values([f"{PAYMENT}[]"], [[payment.tuple for payment in payments]], "payments")
        return self._message("release", ("bytes32",), (keccak(content),))

    def cancel(self, numbers: Sequence[int]) -> bytes:
        """Never pay these numbers."""
        check_count(len(numbers), "numbers")
        for index, number in enumerate(numbers):
            check_word(number, f"numbers[{index}]")
        content = encode_values(["uint256[]"], [list(numbers)], "numbers")
        return self._message("cancel", ("bytes32",), (keccak(content),))

    def configure(self, asset: bytes, deposit_limit: int, withdrawal_limit: int, denied: bool, nonce: int) -> bytes:
        """Give an asset these limits of a window (0: none). `nonce`: one more than the asset's present one."""
        check_address(asset, "asset")
        check_limit(deposit_limit, "deposit limit")
        check_limit(withdrawal_limit, "withdrawal limit")
        check_word(nonce, "nonce")
        types = ("address", "uint256", "uint256", "bool", "uint256")
        return self._message("configure", types, (asset, deposit_limit, withdrawal_limit, denied, nonce))

    def rotate(self, key: bytes) -> bytes:
        """Put this key (x-only, 32 bytes) in the place of the one that signs."""
        return self._message("rotate", ("bytes32",), (_key(key),))

    def accept(self, key: bytes) -> bytes:
        """Signed by the new key itself (x-only, 32 bytes): its members can sign. The epoch is the one before."""
        return self._message("accept", ("bytes32",), (_key(key),))

    def unpause(self, nonce: int) -> bytes:
        """End the guardian's pause number `nonce`."""
        check_word(nonce, "nonce")
        return self._message("unpause", ("uint256",), (nonce,))

    def _message(self, action: str, types: Sequence[str], values: Sequence[Any]) -> bytes:
        head = ("uint256", "address", "uint256")
        content = encode_values([*head, *types], [self.chain_id, self.lockbox, self.epoch, *values], action)
        return tagged_hash(f"Causeway/{action}", content)


def proof(signature: bytes, key: bytes, message: bytes) -> Proof:
    """A group's signature (64 bytes) over one of the messages, as the Lockbox takes it.

    Raises:
        BadSignature: it is no signature over `message` (32 bytes) by `key` (x-only, 32 bytes).
    """
    return group_proof(signature, key, message)


def check_count(count: int, field: str) -> None:
    """Refuse a batch that the contract has no place for. Raises `BadInput` naming `field`."""
    if not 1 <= count <= MAX_PAYMENTS:
        raise BadInput(field, f"{count} of them", f"1 to {MAX_PAYMENTS}")


def _key(key: bytes) -> bytes:
    if len(key) != 32:
        raise BadInput("key", f"{len(key)} bytes", "32 bytes, x-only")
    return key
