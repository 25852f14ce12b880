"""What can go wrong between us and bitcoin, typed. Malformed input from people is `foundation.errors.BadInput`."""

from __future__ import annotations

from enum import StrEnum

from adapters import rpc_errors
from foundation.errors import Fatal, Retryable
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB


class NodeUnavailable(rpc_errors.NodeUnavailable):
    """The bitcoin node does not serve now. Fields: method; problem."""


class AccessDenied(rpc_errors.AccessDenied):
    """The bitcoin node refuses our credentials. Fields: method; status."""


class RpcRefused(rpc_errors.RpcRefused):
    """The bitcoin node answered a call with an error. Fields: method; code (Bitcoin Core, rpc/protocol.h); message."""


class BadAnswer(rpc_errors.BadAnswer):
    """The bitcoin node gave an answer of a form that we cannot rely on. Fields: method; field; problem."""


class WrongChain(Fatal):
    """The node follows another chain than the one we are configured for. Fields: expected, found (genesis hashes)."""

    def __init__(self, expected: bytes, found: bytes) -> None:
        self.expected = expected
        self.found = found
        super().__init__(f"the node's genesis block is {found[::-1].hex()}, not {expected[::-1].hex()}")


class Refusal(StrEnum):
    """Why a node does not take a transaction into its mempool."""

    ALREADY_KNOWN = "already known"
    """It is in the mempool or in a block already: what we wanted."""
    MISSING_INPUTS = "missing inputs"
    """A coin it spends is unknown to the node, or spent in a block."""
    FEE_TOO_LOW = "fee too low"
    """Below the relay floor or the mempool's floor, or too low to replace what it conflicts with."""
    CONFLICT = "conflict"
    """The mempool holds another spend of a coin, which this one cannot replace."""
    NOT_YET_VALID = "not yet valid"
    """A relative or absolute time lock has not passed."""
    CHAIN_TOO_LONG = "chain too long"
    """Too many unconfirmed transactions hang together."""
    OTHER = "other"


class MempoolRefused(Fatal):
    """The node does not take the transaction. Whoever sees `ALREADY_KNOWN` treats it as success.

    Fields: txid (internal byte order); code; reason (the node's words); refusal (what they mean).
    """

    def __init__(self, txid: bytes, code: int, reason: str, refusal: Refusal) -> None:
        self.txid = txid
        self.code = code
        self.reason = reason
        self.refusal = refusal
        super().__init__(f"transaction {txid[::-1].hex()} is refused: {reason} ({refusal})")

    @property
    def already_known(self) -> bool:
        """It is in the mempool or in a block already."""
        return self.refusal is Refusal.ALREADY_KNOWN

    @property
    def missing_inputs(self) -> bool:
        """A coin it spends is unknown to the node, or spent in a block."""
        return self.refusal is Refusal.MISSING_INPUTS

    @property
    def fee_too_low(self) -> bool:
        """A higher fee may be accepted."""
        return self.refusal is Refusal.FEE_TOO_LOW

    @property
    def conflict(self) -> bool:
        """Another spend of a coin is in the mempool."""
        return self.refusal is Refusal.CONFLICT


class MalformedBlock(Fatal):
    """A raw block is not well-formed, or is not the block that was asked for. Fields: offset (in bytes); problem."""

    def __init__(self, offset: int, problem: str) -> None:
        self.offset = offset
        self.problem = problem
        super().__init__(f"block, byte {offset:,}: {problem}")


class MalformedTransaction(Fatal):
    """A raw transaction is not well-formed. Fields: problem."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"transaction: {problem}")


class WrongTransaction(Fatal):
    """A signed transaction is not the one that was to be signed. Fields: field (what differs)."""

    def __init__(self, field: str) -> None:
        self.field = field
        super().__init__(f"the signed transaction differs in its {field}")


class BadSignature(Fatal):
    """The signature of an input does not hold for the coin it spends. Fields: index (of the input)."""

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__(f"input {index}: the signature does not hold")


class InsufficientFunds(Retryable):
    """The coins do not suffice. Fields: needed, available (satoshi; available within the limit of inputs)."""

    def __init__(self, needed: Satoshi, available: Satoshi) -> None:
        self.needed = needed
        self.available = available
        super().__init__(f"{needed:,} satoshi are needed, {available:,} can be used")


class OutputBelowDust(Fatal):
    """An output would be too small to be relayed. Fields: index (of the output); value; threshold (satoshi)."""

    def __init__(self, index: int, value: int, threshold: Satoshi) -> None:
        self.index = index
        self.value = value
        self.threshold = threshold
        super().__init__(f"output {index}: {value:,} satoshi are below the dust threshold of {threshold:,}")


class FeeAboveLimit(Fatal):
    """A payee's share of the fee exceeds what the payee allows. Fields: index (of the payment); share; limit."""

    def __init__(self, index: int, share: Satoshi, limit: Satoshi) -> None:
        self.index = index
        self.share = share
        self.limit = limit
        super().__init__(f"payment {index}: its share of the fee, {share:,}, exceeds its limit of {limit:,} satoshi")


class FeeAboveCap(Retryable):
    """What the network asks is more than our policy pays. Fields: needed, cap (satoshi per 1,000 vB)."""

    def __init__(self, needed: SatPerKvB, cap: SatPerKvB) -> None:
        self.needed = needed
        self.cap = cap
        super().__init__(f"a fee rate of {needed:,} sat/kvB is needed, the cap is {cap:,}")


class DeepReorg(Fatal):
    """The chain forked below the oldest block that the follower remembers; a person has to look.

    Fields: oldest (height of that block); tip (height of the node's chain).
    """

    def __init__(self, oldest: BlockHeight, tip: BlockHeight) -> None:
        self.oldest = oldest
        self.tip = tip
        super().__init__(f"the chain (now at height {tip:,}) was replaced from below height {oldest:,}")


class ChainMoved(Retryable):
    """The node's chain changed while we read it. Fields: height (where it no longer fitted)."""

    def __init__(self, height: BlockHeight) -> None:
        self.height = height
        super().__init__(f"the chain changed at height {height:,} while it was read")
