"""Assets as the Registry contract has them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from foundation.errors import BadInput
from foundation.quantities import TokenUnits
from registry.amounts import MAX_DECIMALS, format_amount, parse_amount
from registry.caip import AssetType, lockbox_asset

MAX_FEE_BPS: Final = 1_000
"""The highest service fee that the Registry takes: a tenth of an amount."""
MAX_NAME_BYTES: Final = 25
MAX_SYMBOL_BYTES: Final = 10
BASIS_POINTS: Final = 10_000
"""Basis points of the whole."""
_MAX_CAIP19_BYTES: Final = 160
# As the Registry: printable ASCII, no space at either end; none at all in a symbol.
_NAME: Final = re.compile(r"[!-~]([ -~]*[!-~])?", re.ASCII)
_SYMBOL: Final = re.compile(r"[!-~]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class AssetPolicy:
    """The limits and the fees of an asset, set by the Registry's owner. Amounts in base units.

    Fields: minimum_deposit; deposit_fee (taken from each deposit, pays its sweep); minimum_withdrawal; paused (no
    mint and no new withdrawal; what is under way goes on); denied (the same, because the asset is delisted or unfit;
    the Lockbox refuses it too); fee_bps, fee_floor (the service fee, see `service_fee`); deposit_limit,
    withdrawal_limit (of all mints and all withdrawals in a window of one day; 0: no limit).

    Raises:
        BadInput: a number that the contract cannot hold. `check` tells what the Registry refuses besides.
    """

    minimum_deposit: TokenUnits
    deposit_fee: TokenUnits
    minimum_withdrawal: TokenUnits
    paused: bool = False
    denied: bool = False
    fee_bps: int = 0
    fee_floor: TokenUnits = TokenUnits(0)
    deposit_limit: TokenUnits = TokenUnits(0)
    withdrawal_limit: TokenUnits = TokenUnits(0)

    def __post_init__(self) -> None:
        for name, value in (
            ("minimum_deposit", self.minimum_deposit),
            ("deposit_fee", self.deposit_fee),
            ("minimum_withdrawal", self.minimum_withdrawal),
            ("fee_bps", self.fee_bps),
            ("fee_floor", self.fee_floor),
            ("deposit_limit", self.deposit_limit),
            ("withdrawal_limit", self.withdrawal_limit),
        ):
            if not 0 <= value < 2**256:
                raise BadInput(f"policy.{name}", f"{value} is not possible", "0 to 2**256 - 1 base units")

    @property
    def is_open(self) -> bool:
        """Whether the Hub mints the asset and takes new withdrawals of it."""
        return not (self.paused or self.denied)

    def service_fee(self, amount: int) -> TokenUnits:
        """What vouchers and storemen earn on `amount`: its basis points rounded down, at least the floor."""
        return TokenUnits(max(self.fee_floor, amount * self.fee_bps // BASIS_POINTS))

    def minted(self, amount: int) -> TokenUnits:
        """What a deposit of `amount` gives its recipient, which is below zero for one that is far too small."""
        arrived = amount - self.deposit_fee
        return TokenUnits(arrived - self.service_fee(arrived))

    def check(self) -> None:
        """Refuse what the Registry would refuse: a policy by which a person would get nothing.

        Raises:
            BadInput: naming the member, and what to set instead.
        """
        if self.fee_bps > MAX_FEE_BPS:
            raise BadInput("policy.fee_bps", f"{self.fee_bps} is above the limit", f"0 to {MAX_FEE_BPS}")
        if self.minimum_deposit <= self.deposit_fee or self.minted(self.minimum_deposit) <= 0:
            cure = "more than deposit_fee and the service fee of what that leaves"
            raise BadInput("policy.minimum_deposit", f"{self.minimum_deposit} is eaten up by the fees", cure)
        if 0 < self.minimum_withdrawal <= self.service_fee(self.minimum_withdrawal):
            problem = f"{self.minimum_withdrawal} is eaten up by the service fee"
            raise BadInput("policy.minimum_withdrawal", problem, "more than its service fee, or 0 for none")


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
        """An asset with the ids that its CAIP-19 text gives.

        Raises:
            BadInput: the Registry would refuse the texts or the policy.
        """
        text = str(asset)
        if len(text) > _MAX_CAIP19_BYTES:
            raise BadInput("asset", f"{text!r} has {len(text)} bytes", f"1 to {_MAX_CAIP19_BYTES}")
        if asset.chain.namespace == "eip155":
            lockbox_asset(asset)
        check_name(name)
        check_symbol(symbol)
        if not 0 <= decimals <= MAX_DECIMALS:
            raise BadInput("decimals", f"{decimals} is not possible", f"0 to {MAX_DECIMALS}")
        policy.check()
        return cls(asset.id, text, asset.chain.id, name, symbol, decimals, policy)

    def format(self, units: int) -> str:
        """An amount for people, with the symbol."""
        return format_amount(units, self.decimals, symbol=self.symbol)

    def parse(self, text: str, field: str = "amount") -> TokenUnits:
        """Base units of an amount that a person wrote. Raises `BadInput` naming `field`."""
        return TokenUnits(parse_amount(text, self.decimals, field))


def check_name(name: str, field: str = "name") -> None:
    """Refuse a name that the Registry would refuse, or that could look like another one. Raises `BadInput`."""
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_BYTES:
        cure = f"1 to {MAX_NAME_BYTES} printable ASCII characters, no space at either end"
        raise BadInput(field, f"{name!r} is no name", cure)


def check_symbol(symbol: str, field: str = "symbol") -> None:
    """Refuse a symbol that the Registry would refuse. Raises `BadInput` naming `field`."""
    if not _SYMBOL.fullmatch(symbol) or len(symbol) > MAX_SYMBOL_BYTES:
        cure = f"1 to {MAX_SYMBOL_BYTES} printable ASCII characters, no space"
        raise BadInput(field, f"{symbol!r} is no symbol", cure)
