"""The word by which a beneficiary gives a lock back before its time-out. Source: EIP-712, docs/contracts.md."""

from __future__ import annotations

from typing import Final

from eth_utils.crypto import keccak

from adapters.evm.abi import encode_values
from adapters.evm.escrow.bindings import POINT_TERMS, TERMS
from adapters.evm.escrow.types import AnyTerms, Terms
from adapters.native.eip712 import Domain

GIVE_BACK: Final = (
    "GiveBack(bytes32 id,address payer,address beneficiary,address refund_to,address asset,uint256 amount,"
    "bytes32 condition,uint256 expires_at)"
)


GIVE_BACK_POINT: Final = (
    "GiveBackPoint(bytes32 id,address payer,address beneficiary,address refund_to,address asset,uint256 amount,"
    "address point,uint256 expires_at)"
)


def give_back_digest(chain_id: int, escrow: bytes, terms: AnyTerms) -> bytes:
    """What the beneficiary signs (`adapters.native.eip712.sign_digest`), 32 bytes.

    It counts for these terms alone, at the Escrow at that address (20 bytes), on the chain of that EIP-155 number; once
    signed it cannot be taken back, so whoever signed must not claim.
    """
    kind, fields = (GIVE_BACK, TERMS) if isinstance(terms, Terms) else (GIVE_BACK_POINT, POINT_TERMS)
    struct = keccak(keccak(text=kind) + encode_values([fields], [terms.tuple], "terms"))
    return keccak(b"\x19\x01" + Domain(chain_id, escrow).separator + struct)
