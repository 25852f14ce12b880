"""What can go wrong between us and an EVM chain, typed. Malformed input from people is `foundation.errors.BadInput`."""

from __future__ import annotations

from foundation.errors import Fatal, Retryable
from foundation.quantities import BlockHeight, Wei


class NodeUnavailable(Retryable):
    """The node does not serve: down, starting, overloaded, or too slow to answer in time.

    Fields: method (RPC method asked for); problem.
    """

    def __init__(self, method: str, problem: str) -> None:
        self.method = method
        self.problem = problem
        super().__init__(f"{method}: {problem}")


class AccessDenied(Fatal):
    """The node refuses our credentials (HTTP 401 or 403). Fields: method; status."""

    def __init__(self, method: str, status: int) -> None:
        self.method = method
        self.status = status
        super().__init__(f"{method}: the node refuses our credentials or address (HTTP {status})")


class RpcRefused(Fatal):
    """The node answered a call with an error. Fields: method; code (EIP-1474); message (the node's words)."""

    def __init__(self, method: str, code: int, message: str) -> None:
        self.method = method
        self.code = code
        self.message = message
        super().__init__(f"{method}: {message} ({code})")


class BadAnswer(Fatal):
    """An RPC answer has not the form that we rely on. Fields: method; field (dotted path); problem."""

    def __init__(self, method: str, field: str, problem: str) -> None:
        self.method = method
        self.field = field
        self.problem = problem
        super().__init__(f"{method}: {field}: {problem}")


class WrongChain(Fatal):
    """The node serves another chain than the one we are configured for. Fields: field; expected; found."""

    def __init__(self, field: str, expected: str, found: str) -> None:
        self.field = field
        self.expected = expected
        self.found = found
        super().__init__(f"the node's {field} is {found}, not {expected}")


class ChainMoved(Retryable):
    """The node's chain changed while we read it, or it does not have a block any more. Fields: number (block)."""

    def __init__(self, number: BlockHeight) -> None:
        self.number = number
        super().__init__(f"the chain changed at block {number:,} while it was read")


class CursorReorged(Fatal):
    """The chain was replaced from below the block up to which logs were read, although that was final.

    Whoever follows has to rebuild what it derived from logs; a person has to look at the chain.

    Fields: number, expected (hash of the block that we read), found (hash now; None: there is no such block).
    """

    def __init__(self, number: BlockHeight, expected: bytes, found: bytes | None) -> None:
        self.number = number
        self.expected = expected
        self.found = found
        now = "missing" if found is None else found.hex()
        super().__init__(f"final block {number:,} was {expected.hex()} and is {now}")


class TooManyLogs(Retryable):
    """A provider refuses the logs of even one block. Fields: number (block); problem (the node's words)."""

    def __init__(self, number: BlockHeight, problem: str) -> None:
        self.number = number
        self.problem = problem
        super().__init__(f"the logs of block {number:,} are refused: {problem}")


class Reverted(Fatal):
    """A contract refuses a call. Repeating it with the state unchanged is useless.

    Fields: label (what the call was for); reason (the contract's words, empty where it gave none); data (as returned);
    transaction (hash, 32 bytes; None where it was only simulated and cost nothing).
    """

    def __init__(self, label: str, reason: str, data: bytes = b"", transaction: bytes | None = None) -> None:
        self.label = label
        self.reason = reason
        self.data = data
        self.transaction = transaction
        super().__init__(f"{label}: {reason or 'refused without a reason'}")

    def __str__(self) -> str:
        # The transaction may become known only after the reason.
        return super().__str__() + (f" (transaction 0x{self.transaction.hex()})" if self.transaction else "")


class InsufficientBalance(Retryable):
    """The account cannot pay for gas and value; it has to be funded. Fields: account (20 bytes); problem."""

    def __init__(self, account: bytes, problem: str) -> None:
        self.account = account
        self.problem = problem
        super().__init__(f"account 0x{account.hex()} cannot pay: {problem}")


class GasPriceAboveCap(Retryable):
    """What the chain asks is more than our policy pays. Fields: needed, cap (wei per gas)."""

    def __init__(self, needed: Wei, cap: Wei) -> None:
        self.needed = needed
        self.cap = cap
        super().__init__(f"{needed:,} wei per gas are needed, the cap is {cap:,}")


class KeyReused(Fatal):
    """An idempotency key was used before for another call: the two would be taken for one. Fields: key."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"key {key!r} belongs to another call")


class TransactionAbandoned(Fatal):
    """The transaction can never be mined: its nonce went to another one. Ask again under a new key, if still needed.

    Fields: key; nonce; transaction (hash of what took the nonce: our filler; None: a stranger to the journal).
    """

    def __init__(self, key: str, nonce: int, transaction: bytes | None) -> None:
        self.key = key
        self.nonce = nonce
        self.transaction = transaction
        by = "another user of this account" if transaction is None else f"filler {transaction.hex()}"
        super().__init__(f"transaction {key!r} can never be mined: {by} took nonce {nonce}")


class SenderClosed(Retryable):
    """The sender was closed while the transaction was on its way; the same key finds it again. Fields: key."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"transaction {key!r} is still on its way, and the sender was closed")
