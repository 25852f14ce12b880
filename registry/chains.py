"""Origin chains and their vaults, as the Registry contract has them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from registry.caip import ChainId

OWN_FINALITY: Final = 0
"""As `Chain.confirmations`: the chain says itself what is final (an EVM chain's `finalized` block)."""
MAX_CAIP2_BYTES: Final = 64


class ChainKind(IntEnum):
    """How a chain works. The numbers are the Registry's."""

    BITCOIN = 1
    """`bip122:` coins are outputs of transactions; a vault is a script."""
    EVM = 2
    """`eip155:` a vault is a Lockbox contract."""


_KINDS: Final = {"bip122": ChainKind.BITCOIN, "eip155": ChainKind.EVM}


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain that the bridge knows.

    Fields: id (keccak-256 of the text, 32 bytes); caip2; genesis (hash of the first block, 32 bytes in the chain's own
    wire byte order); kind; confirmations (what is final: so many of them; `OWN_FINALITY`, for EVM chains alone).
    """

    id: bytes
    caip2: str
    genesis: bytes
    kind: ChainKind
    confirmations: int

    @classmethod
    def named(cls, chain: ChainId, genesis: bytes, confirmations: int) -> Chain:
        """A chain with the id and the kind that its CAIP-2 text gives.

        Raises:
            BadInput: the Registry would refuse it; names the field.
        """
        kind = kind_of(chain)
        if len(genesis) != 32 or not any(genesis):
            raise BadInput("genesis", "is no hash of a first block", "32 bytes, not all zero")
        if kind is ChainKind.BITCOIN and confirmations == OWN_FINALITY:
            raise BadInput("confirmations", "this chain has no finality of its own", "at least 1")
        if not 0 <= confirmations < 2**256:
            raise BadInput("confirmations", f"{confirmations} is not possible", "0 to 2**256 - 1")
        return cls(chain.id, str(chain), genesis, kind, confirmations)

    @property
    def chain_id(self) -> ChainId:
        """Its CAIP-2 name, taken apart. Raises `BadInput` where the Registry holds another text."""
        return ChainId.parse(self.caip2)

    @property
    def has_own_finality(self) -> bool:
        """Whether the chain says itself what is final."""
        return self.confirmations == OWN_FINALITY


@dataclass(frozen=True, slots=True)
class Vault:
    """The Lockbox of an EVM chain. Fields: lockbox (20 bytes); start_block (no event is older); group (32 bytes)."""

    lockbox: bytes
    start_block: BlockHeight
    group: bytes

    def __post_init__(self) -> None:
        for field, value, length in (("lockbox", self.lockbox, 20), ("group", self.group, 32)):
            if len(value) != length:
                raise BadInput(f"vault.{field}", f"{len(value)} bytes", f"{length} bytes")


def kind_of(chain: ChainId) -> ChainKind:
    """How a chain works, by its namespace. Raises `BadInput` for one that the bridge cannot follow."""
    kind = _KINDS.get(chain.namespace)
    if kind is None:
        names = " or ".join(f"{name}:" for name in _KINDS)
        raise BadInput("chain.namespace", f"{chain.namespace!r} is not supported", f"a chain of {names}")
    return kind
