"""The ids of what moves between chains: keccak-256 over the ABI encoding, as the contracts compute them.

Source: docs/architecture.md, "Identifiers". Transaction ids are 32 bytes in internal (wire) byte order; groups, assets,
withdrawals and outpoint ids are 32 bytes; accounts and contracts are 20 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from foundation.errors import BadInput

NO_ANCHOR: Final = bytes(32)
"""The anchor of a payout that spends no coins, because a Lockbox makes it."""


def outpoint_id(txid: bytes, vout: int) -> bytes:
    """The id of a transaction output, 32 bytes. Raises `BadInput`."""
    return _keccak_abi(("bytes32", "txid", txid), ("uint256", "vout", vout))


def deposit_id(asset: bytes, txid: bytes, vout: int) -> bytes:
    """The id of a deposit: which asset arrived in which output, 32 bytes. Raises `BadInput`."""
    return _keccak_abi(("bytes32", "asset", asset), ("bytes32", "txid", txid), ("uint256", "vout", vout))


def withdrawal_id(chain_id: int, hub: bytes, sequence: int) -> bytes:
    """The id of the Hub's withdrawal number `sequence`, 32 bytes. Raises `BadInput`."""
    return _keccak_abi(("uint256", "chain_id", chain_id), ("address", "hub", hub), ("uint256", "sequence", sequence))


def lock_id(chain_number: int, lockbox: bytes, number: int) -> bytes:
    """The id of a Lockbox's lock number `number` (from 1), 32 bytes: what stands for a txid in its deposit.

    Args:
        chain_number: the EIP-155 number of the Lockbox's chain.
        lockbox: its address, 20 bytes.
        number: which lock.

    Raises:
        BadInput: a part does not fit.
    """
    return _keccak_abi(
        ("uint256", "chain_number", chain_number), ("address", "lockbox", lockbox), ("uint256", "number", number)
    )


def payout_id(group: bytes, withdrawals: Sequence[bytes], anchor: bytes) -> bytes:
    """The id of a payout, 32 bytes: its group, its withdrawals in order, and the outpoint id of its anchor.

    A payout from a Lockbox has no coins: its anchor is 32 zero bytes (`NO_ANCHOR`).

    Raises:
        BadInput: an id is not 32 bytes.
    """
    return _keccak_abi(
        ("bytes32", "group", group), ("bytes32[]", "withdrawals", tuple(withdrawals)), ("bytes32", "anchor", anchor)
    )


def announcement_id(asset: bytes, group: bytes, recipient: bytes, reclaim_key: bytes, delay: int, salt: bytes) -> bytes:
    """The id of announced deposit terms, 32 bytes. The birthday is no part of it. Raises `BadInput`."""
    return _keccak_abi(
        ("bytes32", "asset", asset),
        ("bytes32", "group", group),
        ("address", "recipient", recipient),
        ("bytes32", "reclaim_key", reclaim_key),
        ("uint256", "delay", delay),
        ("bytes32", "salt", salt),
    )


def fees_key(group: bytes, signers: int) -> bytes:
    """How the Hub keeps pending service fees, 32 bytes: of storemen in a group's bitmap, or of vouchers (zero group).

    Raises:
        BadInput: the group is not 32 bytes, or the bitmap not 256 bits.
    """
    return _keccak_abi(("bytes32", "group", group), ("uint256", "signers", signers))


def network_id(chain_id: int, hub: bytes) -> bytes:
    """The id of a bridge, 32 bytes: its native chain and its Hub. It separates peers' messages. Raises `BadInput`."""
    return _keccak_abi(("uint256", "chain_id", chain_id), ("address", "hub", hub))


def _keccak_abi(*fields: tuple[str, str, Any]) -> bytes:
    for kind, name, value in fields:
        _check(kind, name, value)
    return keccak(encode([kind for kind, _, _ in fields], [value for _, _, value in fields]))


def _check(kind: str, name: str, value: Any) -> None:
    """Refuse what eth_abi would pad or cut in silence."""
    if kind == "uint256":
        if not 0 <= value < 2**256:
            raise BadInput(name, f"{value} is not possible", "0 to 2**256 - 1")
    elif kind == "bytes32[]":
        for index, item in enumerate(value):
            _check("bytes32", f"{name}[{index}]", item)
    else:
        length = 32 if kind == "bytes32" else 20
        if len(value) != length:
            raise BadInput(name, f"{len(value)} bytes", f"{length} bytes")
