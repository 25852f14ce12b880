"""What a node's answer to a broadcast means. Nodes share neither codes nor words, so the words of several are known."""

from __future__ import annotations

from enum import Enum
from typing import Final

from adapters.evm.rpc import TOO_POOR


class Verdict(Enum):
    """What became of a broadcast."""

    TAKEN = "taken"
    """The node has it: now, or since before."""
    NONCE_USED = "nonce used"
    """A transaction with its nonce is mined: itself, another version of it, or a stranger."""
    UNDERPRICED = "underpriced"
    """It bids too little, or too little to replace what is there."""
    TOO_POOR = "too poor"
    """The account cannot pay for it now."""
    NEVER = "never"
    """No chain state can make it valid: its nonce has to be used up by something else."""
    REFUSED = "refused"
    """Refused for a reason that we do not know, or that passes."""


_WORDS: Final = (
    (Verdict.TAKEN, ("already known", "known transaction", "already imported", "alreadyknown", "already exists")),
    (
        Verdict.NONCE_USED,
        (
            "nonce too low",
            "nonce is too low",
            "oldnonce",
            "invalid nonce",
            "nonce below",
            "nonce has already been used",
        ),
    ),
    (
        Verdict.UNDERPRICED,
        (
            "underpriced",
            "less than block base fee",
            "feecap",
            "fee too low",
            "feetoolow",
            "replacementnotallowed",
            "max fee per gas",
            "gas price too low",
            "gas price below",
        ),
    ),
    (Verdict.TOO_POOR, (*TOO_POOR, "insufficientfunds")),
    (
        Verdict.NEVER,
        (
            "intrinsic gas",
            "exceeds block gas limit",
            "gas limit too high",
            "exceeds transaction gas limit",
            "oversized data",
            "initcode size",
            "invalid sender",
            "invalid chain id",
            "type not supported",
            "floor data gas",
        ),
    ),
)


def verdict(message: str) -> Verdict:
    """Read a node's refusal. The order counts: `replacement transaction underpriced` is not an unknown transaction."""
    words = message.lower()
    return next((verdict for verdict, known in _WORDS if any(word in words for word in known)), Verdict.REFUSED)
