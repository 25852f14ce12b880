"""How large a development network is, as it is kept in its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from foundation.errors import BadInput
from infra.anvil import CHAIN_ID

DATABASES: Final = ("sqlite", "postgresql")
_MAX_NODES: Final = 40
_MAX_CHAIN: Final = 2**53 - 1
"""Larger numbers are not safe in the programs of others, which hold them as floats."""


@dataclass(frozen=True)
class DevPlan:
    """How large the network is.

    Fields: storemen; threshold (of them sign); vouchers; database (of every node); evm_chain (the EIP-155 number of its
    EVM origin chain; 0: there is none).
    """

    storemen: int = 5
    threshold: int = 3
    vouchers: int = 4
    database: str = "sqlite"
    evm_chain: int = 0

    def check(self) -> None:
        """Raises `BadInput` naming the option that is wrong."""
        if not 1 <= self.storemen <= _MAX_NODES:
            raise BadInput("--storemen", f"{self.storemen} is not possible", f"1 to {_MAX_NODES}")
        if not 1 <= self.vouchers <= _MAX_NODES:
            raise BadInput("--vouchers", f"{self.vouchers} is not possible", f"1 to {_MAX_NODES}")
        if not self.storemen < 2 * self.threshold <= 2 * self.storemen:
            cure = f"{self.storemen // 2 + 1} to {self.storemen}: more than half of the storemen"
            raise BadInput("--threshold", f"{self.threshold} of {self.storemen} is not possible", cure)
        if self.database not in DATABASES:
            raise BadInput("--database", f"{self.database!r} is not known", " or ".join(DATABASES))
        if not 0 <= self.evm_chain <= _MAX_CHAIN or self.evm_chain == CHAIN_ID:
            cure = f"1 to {_MAX_CHAIN}, but not the native chain's {CHAIN_ID}; 0 for none"
            raise BadInput("--evm-chain", f"{self.evm_chain} is not possible", cure)


def kept_plan(folder: Path) -> DevPlan | None:
    """The plan of the network in `folder`, None where there is none. Raises `BadInput`."""
    file = folder / "plan.json"
    try:
        return DevPlan(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise BadInput(str(file), "is damaged", "remove the folder") from error
