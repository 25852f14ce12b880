"""The options for an asset's policy, which several commands have, and the policy that they give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeAlias

import typer

from foundation.quantities import TokenUnits
from registry.amounts import parse_amount
from registry.assets import AssetPolicy

MinimumDepositOption: TypeAlias = Annotated[
    str | None, typer.Option("--minimum-deposit", help="In whole coins.", show_default=False)
]
DepositFeeOption: TypeAlias = Annotated[
    str | None, typer.Option("--deposit-fee", help="Kept from each deposit, in whole coins.", show_default=False)
]
MinimumWithdrawalOption: TypeAlias = Annotated[
    str | None, typer.Option("--minimum-withdrawal", help="In whole coins.", show_default=False)
]
FeeOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--fee", min=0, help="For vouchers and storemen, in basis points (1,000 at most).", show_default=False
    ),
]
FeeFloorOption: TypeAlias = Annotated[
    str | None, typer.Option("--fee-floor", help="The least of that fee, in whole coins.", show_default=False)
]
DepositLimitOption: TypeAlias = Annotated[
    str | None, typer.Option("--deposit-limit", help="A day, in whole coins; 0: none.", show_default=False)
]
WithdrawalLimitOption: TypeAlias = Annotated[
    str | None, typer.Option("--withdrawal-limit", help="A day, in whole coins; 0: none.", show_default=False)
]


@dataclass(frozen=True)
class PolicyTexts:
    """What a person wrote for a policy, in the asset's whole coins; None: not written. `fee_bps`: basis points."""

    minimum_deposit: str | None = None
    deposit_fee: str | None = None
    minimum_withdrawal: str | None = None
    fee_bps: int | None = None
    fee_floor: str | None = None
    deposit_limit: str | None = None
    withdrawal_limit: str | None = None

    def policy(self, before: AssetPolicy, decimals: int, prefix: str = "--") -> AssetPolicy:
        """`before` with what was written.

        Args:
            before: what holds where nothing was written.
            decimals: of the asset.
            prefix: of the options' names, for errors.

        Raises:
            BadInput: an amount is none, or the Registry would refuse the policy.
        """
        changed: dict[str, Any] = {} if self.fee_bps is None else {"fee_bps": self.fee_bps}
        for name in ("minimum_deposit", "deposit_fee", "minimum_withdrawal", "fee_floor", "deposit_limit",
                     "withdrawal_limit"):  # fmt: skip
            text = getattr(self, name)
            if text is not None:
                changed[name] = TokenUnits(parse_amount(text, decimals, prefix + name.replace("_", "-")))
        policy = replace(before, **changed)
        policy.check()
        return policy


def policy_document(policy: AssetPolicy) -> dict[str, Any]:
    """A policy for `--json`; amounts in base units, as text: they may be larger than programs' numbers."""
    return {
        "paused": policy.paused,
        "denied": policy.denied,
        "minimum_deposit_units": str(policy.minimum_deposit),
        "deposit_fee_units": str(policy.deposit_fee),
        "minimum_withdrawal_units": str(policy.minimum_withdrawal),
        "fee_bps": policy.fee_bps,
        "fee_floor_units": str(policy.fee_floor),
        "deposit_limit_units": str(policy.deposit_limit),
        "withdrawal_limit_units": str(policy.withdrawal_limit),
    }
