"""The functions and events of Escrow and of Anchors."""

from __future__ import annotations

from typing import Final

from adapters.evm.abi import event, function

TERMS: Final = "(bytes32,address,address,address,address,uint256,bytes32,uint256)"
"""id, payer, beneficiary, refund_to, asset, amount, condition, expires_at."""

POINT_TERMS: Final = "(bytes32,address,address,address,address,uint256,address,uint256)"
"""id, payer, beneficiary, refund_to, asset, amount, point, expires_at."""

CLAIM: Final = f"({TERMS},bytes32)"


class Escrow:
    """Money under a hash, or a point, and a time-out."""

    lock = function("Escrow", "lock", "bytes32, address, address, bytes32, uint256")
    lock_with_memo = function("Escrow", "lock_with_memo", "bytes32, address, address, bytes32, uint256, bytes")
    lock_with_note = function("Escrow", "lock_with_note", "bytes32, address, address, bytes32, uint256, bytes")
    lock_token = function("Escrow", "lock_token", "bytes32, address, uint256, address, address, bytes32, uint256")
    lock_token_with_memo = function(
        "Escrow", "lock_token_with_memo", "bytes32, address, uint256, address, address, bytes32, uint256, bytes"
    )
    lock_point = function("Escrow", "lock_point", "bytes32, address, address, address, uint256, bytes")
    lock_point_token = function(
        "Escrow", "lock_point_token", "bytes32, address, uint256, address, address, address, uint256, bytes"
    )
    claim = function("Escrow", "claim", f"{TERMS}, bytes32")
    claim_batch = function("Escrow", "claim_batch", f"{CLAIM}[]")
    refund = function("Escrow", "refund", TERMS)
    give_back = function("Escrow", "give_back", f"{TERMS}, bytes")
    claim_point = function("Escrow", "claim_point", f"{POINT_TERMS}, uint256")
    refund_point = function("Escrow", "refund_point", POINT_TERMS)
    give_back_point = function("Escrow", "give_back_point", f"{POINT_TERMS}, bytes")
    withdraw = function("Escrow", "withdraw", "address, address, address")

    locks = function("Escrow", "locks", "address, bytes32", "bytes32")
    owed = function("Escrow", "owed", "address, address", "uint256")
    is_open = function("Escrow", "is_open", TERMS, "bool")
    is_open_point = function("Escrow", "is_open_point", POINT_TERMS, "bool")

    Locked = event(
        "Escrow",
        "Locked",
        "indexed bytes32, indexed address, indexed address, address, address, uint256, bytes32, uint256",
    )
    PointLocked = event(
        "Escrow",
        "PointLocked",
        "indexed bytes32, indexed address, indexed address, address, address, uint256, address, uint256",
    )
    Memo = event("Escrow", "Memo", "indexed bytes32, indexed address, bytes")
    Claimed = event("Escrow", "Claimed", "indexed bytes32, indexed address, indexed address, bytes32")
    PointClaimed = event("Escrow", "PointClaimed", "indexed bytes32, indexed address, indexed address, uint256")
    Returned = event("Escrow", "Returned", "indexed bytes32, indexed address, indexed address, bool")
    Owed = event("Escrow", "Owed", "indexed address, indexed address, uint256")
    Withdrawn = event("Escrow", "Withdrawn", "indexed address, indexed address, address, uint256")


class Anchors:
    """Merkle roots, each authority's in a chain of its own."""

    anchor = function("Anchors", "anchor", "bytes32, uint256, bytes32", "uint256")
    root_of = function("Anchors", "root_of", "address, uint256", "bytes32")
    latest = function("Anchors", "latest", "address", "uint256, bytes32, uint256")

    Anchored = event(
        "Anchors", "Anchored", "indexed address, indexed uint256, indexed bytes32, bytes32, uint256, uint256"
    )
