"""What can go wrong between us and any chain's node over JSON-RPC, typed. Each adapter has its own kinds of it."""

from __future__ import annotations

from foundation.errors import Fatal, Retryable


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
    """The node answered a call with an error. Fields: method; code; message (the node's words)."""

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
