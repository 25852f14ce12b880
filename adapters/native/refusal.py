"""What every refusal by a native contract has in common.

They revert with short strings, `Contract: reason`, because Vyper 0.4.3 has no custom errors. Those that agents or
people act on have a class of their own, next to the contract's name: `hub_errors`, `bonds_errors`, `registry_errors`.
"""

from __future__ import annotations

from typing import ClassVar

from adapters.evm.errors import Reverted


class ContractRefused(Reverted):
    """A contract of the bridge refused a call, and said why.

    Fields: contract (Hub, Registry, Bonds, MappingToken, or a library in them: eip712, erc20, ownable); reason (its
    words); label, data, transaction as `Reverted`. `cure`: what to do about it.
    """

    says: ClassVar[frozenset[str]] = frozenset()
    """The full strings that mean this class."""
    remedy: ClassVar[str] = ""
    """What to do about all of them."""
    plain_remedies: ClassVar[dict[str, str]] = {}
    """What to do about the strings that have no class of their own."""

    def __init__(self, label: str, reason: str, data: bytes = b"", transaction: bytes | None = None) -> None:
        super().__init__(label, reason, data, transaction)
        contract, _, words = reason.partition(": ")
        self.contract = contract
        self.reason = words

    @property
    def cure(self) -> str:
        """What the caller can do about it, in words for people."""
        return self.remedy or self.plain_remedies.get(f"{self.contract}: {self.reason}", "")
