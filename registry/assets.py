"""Assets as the Registry contract has them."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.errors import BadInput
from foundation.quantities import TokenUnits
from registry.amounts import format_amount, parse_amount
from registry.caip import AssetType


@dataclass(frozen=True, slots=True)
class AssetPolicy:
    """The limits and the fee of an asset, set by the Registry's owner. Amounts in base units.

    Fields: minimum_deposit; deposit_fee (taken from each deposit, pays its sweep); minimum_withdrawal; paused (no
    mint and no new withdrawal; what is under way goes on).
    """

    minimum_deposit: TokenUnits
    deposit_fee: TokenUnits
    minimum_withdrawal: TokenUnits
    paused: bool = False

    def __post_init__(self) -> None:
        for name, value in (
            ("minimum_deposit", self.minimum_deposit),
            ("deposit_fee", self.deposit_fee),
            ("minimum_withdrawal", self.minimum_withdrawal),
        ):
            if not 0 <= value < 2**256:
                raise BadInput(f"policy.{name}", f"{value} is not possible", "0 to 2**256 - 1 base units")


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset that may cross the bridge. `id` and `chain` are 32 bytes, keccak-256 of the CAIP texts."""

    id: bytes
    caip19: str
    chain: bytes
    name: str
    symbol: str
    decimals: int
    policy: AssetPolicy

    @classmethod
    def named(cls, asset: AssetType, name: str, symbol: str, decimals: int, policy: AssetPolicy) -> Asset:
        """An asset with the ids that its CAIP-19 text gives. Raises `BadInput` for texts the Registry cannot hold."""
        for field, text, limit in (("asset", str(asset), 160), ("name", name, 25), ("symbol", symbol, 10)):
            if not 1 <= len(text.encode()) <= limit:
                raise BadInput(field, f"{text!r} has {len(text.encode())} bytes", f"1 to {limit}")
        if not 0 <= decimals <= 77:
            raise BadInput("decimals", f"{decimals} is not possible", "0 to 77")
        return cls(asset.id, str(asset), asset.chain.id, name, symbol, decimals, policy)

    def format(self, units: int) -> str:
        """An amount for people, with the symbol."""
        return format_amount(units, self.decimals, symbol=self.symbol)

    def parse(self, text: str, field: str = "amount") -> TokenUnits:
        """Base units of an amount that a person wrote. Raises `BadInput` naming `field`."""
        return TokenUnits(parse_amount(text, self.decimals, field))
