"""What can go wrong between us and an EVM chain, typed. Malformed input from people is `foundation.errors.BadInput`."""

from __future__ import annotations

from collections.abc import Mapping

from adapters import rpc_errors
from foundation.errors import Fatal, Retryable
from foundation.quantities import BlockHeight, Wei


class NodeUnavailable(rpc_errors.NodeUnavailable):
    """The EVM chain's node does not serve now. Fields: method; problem."""


class AccessDenied(rpc_errors.AccessDenied):
    """The EVM chain's node refuses our credentials. Fields: method; status."""


class RpcRefused(rpc_errors.RpcRefused):
    """The EVM chain's node answered a call with an error. Fields: method; code (EIP-1474); message."""


class BadAnswer(rpc_errors.BadAnswer):
    """The EVM chain's node gave an answer of a form that we cannot rely on. Fields: method; field; problem."""


class WrongChain(Fatal):
    """The node serves another chain than the one we are configured for.

    Fields: field; expected; found; endpoint (the node's name, where there are several; else empty).
    """

    def __init__(self, field: str, expected: str, found: str, endpoint: str = "") -> None:
        self.field = field
        self.expected = expected
        self.found = found
        self.endpoint = endpoint
        super().__init__(f"{endpoint or 'the node'}'s {field} is {found}, not {expected}")


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


class EndpointLied(Retryable):
    """An endpoint gave what cannot be true. Another one, or the same one later, may be honest.

    Fields: endpoint (its name); number (of the block); problem.
    """

    def __init__(self, endpoint: str, number: BlockHeight, problem: str) -> None:
        self.endpoint = endpoint
        self.number = number
        self.problem = problem
        super().__init__(f"{endpoint}: block {number:,}: {problem}")


class FalseHeader(EndpointLied):
    """A header does not hash to the block's hash, or does not follow its parent. Fields as `EndpointLied`."""


class FalseReceipts(EndpointLied):
    """Receipts do not belong to the block: their root is not the header's. Fields as `EndpointLied`."""


class FalseTransactions(EndpointLied):
    """Transactions do not belong to the block: their root is not the header's. Fields as `EndpointLied`."""


class MissingLogs(EndpointLied):
    """The endpoint left out a log that the block's receipts hold.

    Fields: endpoint, number, problem as `EndpointLied`; index (of the log in its block).
    """

    def __init__(self, endpoint: str, number: BlockHeight, index: int) -> None:
        self.index = index
        super().__init__(endpoint, number, f"log {index} was left out")


class FalseLogs(EndpointLied):
    """The endpoint invented or altered a log: the block's receipts do not hold it.

    Fields: endpoint, number, problem as `EndpointLied`; index (of the log in its block).
    """

    def __init__(self, endpoint: str, number: BlockHeight, index: int) -> None:
        self.index = index
        super().__init__(endpoint, number, f"log {index} is not in the block's receipts")


class EndpointsDisagree(Retryable):
    """Endpoints of one chain answer differently: at least one of them is wrong, or they are at a fork.

    Fields: subject (what was asked); answers (what each endpoint said, by its name).
    """

    cure = "compare the endpoints with a third one, and remove the one that lies from the network file"

    def __init__(self, subject: str, answers: Mapping[str, str]) -> None:
        self.subject = subject
        self.answers = dict(answers)
        told = ", ".join(f"{name} says {answer}" for name, answer in sorted(answers.items()))
        super().__init__(f"{subject}: {told}")


class TooFewEndpoints(Retryable):
    """Fewer endpoints answer than have to agree.

    Fields: needed; failures (why each of the others did not answer, by its name).
    """

    cure = "wait for the endpoints, or add others to the network file"

    def __init__(self, needed: int, failures: Mapping[str, str]) -> None:
        self.needed = needed
        self.failures = dict(failures)
        told = ", ".join(f"{name}: {problem}" for name, problem in sorted(failures.items()))
        super().__init__(f"{needed} endpoints have to answer; {told}")
