"""The functions and events of Channels."""

from __future__ import annotations

from typing import Final

from adapters.evm.abi import event, function

TERMS: Final = "(address,address,address,uint256,uint256,uint256,bool,bytes32)"
"""a, b, asset, deposit_a, deposit_b, challenge_seconds, one_way, salt."""

LOCK: Final = "(bytes32,uint256,uint256,bytes32,uint256)"
"""id, payer, amount, condition, expires_at."""

SHEET: Final = f"(uint256,uint256,uint256,uint256,{LOCK}[])"
"""sequence, held, balance_a, balance_b, locks."""


class Channels:
    """Adjudicates channels between two banks."""

    open = function("Channels", "open", TERMS, "bytes32")
    join = function("Channels", "join", TERMS)
    abandon = function("Channels", "abandon", TERMS)
    close = function("Channels", "close", f"{TERMS}, {SHEET}, bytes, bytes")
    challenge = function("Channels", "challenge", f"{TERMS}, {SHEET}, bytes, bytes, bytes")
    close_agreed = function("Channels", "close_agreed", f"{TERMS}, uint256, uint256, uint256, bytes, bytes")
    reveal = function("Channels", "reveal", "bytes32")
    settle = function("Channels", "settle", f"{TERMS}, {SHEET}")
    collect = function("Channels", "collect", "address, address")

    channel_id = function("Channels", "channel_id", TERMS, "bytes32")
    owed = function("Channels", "owed", "address, address", "uint256")
    revealed_at = function("Channels", "revealed_at", "bytes32", "uint256")

    Opened = event("Channels", "Opened", f"indexed bytes32, indexed address, indexed address, {TERMS}")
    Joined = event("Channels", "Joined", "indexed bytes32")
    Closing = event("Channels", "Closing", f"indexed bytes32, indexed address, {SHEET}, bytes, bytes, bytes, uint256")
    Revealed = event("Channels", "Revealed", "indexed bytes32, bytes32")
    Closed = event("Channels", "Closed", "indexed bytes32, uint256, uint256, uint256")
    Collected = event("Channels", "Collected", "indexed address, indexed address, uint256")
