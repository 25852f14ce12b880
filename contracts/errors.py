"""Errors of building and loading the contracts."""

from __future__ import annotations

from foundation.errors import Fatal


class ArtifactUnavailable(Fatal):
    """A compiled contract cannot be used: it is not built, older than its source, or damaged.

    Fields: name (of the contract); problem; cure (the command that mends it).
    """

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        self.problem = problem
        self.cure = "python -m contracts.build"
        super().__init__(f"contract {name}: {problem} (run `{self.cure}`)")


class ContractTooLarge(Fatal):
    """A contract's code is larger than an EVM chain accepts (EIP-170).

    Fields: name (of the contract); size_bytes; limit_bytes.
    """

    def __init__(self, name: str, size_bytes: int, limit_bytes: int) -> None:
        self.name = name
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes
        super().__init__(f"contract {name}: {size_bytes} bytes of code, above the limit of {limit_bytes}")
