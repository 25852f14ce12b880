"""The two roots of every error, and the error for bad input at an edge.

`Retryable`: the world may change (a node is down, no quorum yet). Whoever catches it looks again later.
`Fatal`: it will not (a bad proof, bad input). Whoever catches it stops, records it and moves on.
"""

from __future__ import annotations


class CausewayError(Exception):
    """Root of all errors that Causeway raises on purpose. Never raised itself."""


class Retryable(CausewayError):
    """The same call may succeed later, when the world has changed."""


class Fatal(CausewayError):
    """The same call can never succeed."""


class BadInput(Fatal):
    """Input at an edge (CLI, configuration, file, RPC answer, peer message) is not acceptable.

    Fields: field (dotted path of the offending value); problem (what is wrong with it);
    cure (what to write instead, empty where there is nothing to suggest).
    """

    def __init__(self, field: str, problem: str, cure: str = "") -> None:
        self.field = field
        self.problem = problem
        self.cure = cure
        super().__init__(f"{field}: {problem}" + (f" ({cure})" if cure else ""))
