"""Why a contract refused, out of the error that a node answers. Source: Solidity's ABI specification, "Errors"."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from adapters.evm.errors import Reverted
from adapters.evm.transport import NodeError

RevertMaker: TypeAlias = Callable[[str, str, bytes], Reverted]
"""Makes the typed error from label, reason and data; a contract's adapter gives its own."""

_ERROR: Final = bytes.fromhex("08c379a0")  # Error(string)
_PANIC: Final = bytes.fromhex("4e487b71")  # Panic(uint256)
_REVERT_CODE: Final = 3
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


def revert_data(error: NodeError) -> bytes | None:
    """The data that a contract reverted with; None if the error is not a contract's refusal."""
    if error.code != _REVERT_CODE and "revert" not in error.message.lower():
        return None
    found = error.data.get("data") if isinstance(error.data, dict) else error.data
    match = _HEX.search(found) if isinstance(found, str) else None
    return bytes.fromhex(match[0][2:]) if match else b""


def revert_reason(data: bytes) -> str:
    """The reason in words: the contract's string, a named panic, or hex of what is neither. Empty for no data."""
    selector, arguments = data[:4], data[4:]
    try:
        if selector == _ERROR:
            return str(decode(["string"], arguments)[0])
        if selector == _PANIC:
            return f"panic {decode(['uint256'], arguments)[0]:#x}"
    except (DecodingError, UnicodeDecodeError):
        pass  # what only looks like a reason is shown as it is
    return f"0x{data.hex()}" if data else ""
