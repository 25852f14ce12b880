"""The receipt of a lock: what was locked in which vault, and what it stands for on the native chain.

It holds no secret, and everything in it can be read again from the two chains; its ids follow from its other members,
so a changed receipt is noticed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.evm.hexes import address_text, parse_address
from bridge.receipts import LOCK_KIND
from cli.context import read_text
from foundation.errors import BadInput
from foundation.files import write_durably
from foundation.quantities import BlockHeight, TokenUnits
from registry.caip import AssetType, chain_number, lockbox_asset
from registry.ids import deposit_id, lock_id

KIND: Final = LOCK_KIND
VERSION: Final = 1
_CURE: Final = "the receipt file as `causeway lock` wrote it"
_MOST_CHARACTERS: Final = 4096


class _File(BaseModel):
    """The JSON file, flat. The amount is text: it may be larger than programs take numbers to be."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    kind: str
    version: int
    asset: str
    lockbox: str
    number: int = Field(ge=1)
    lock: str
    deposit: str
    amount: str
    decimals: int = Field(ge=0, le=255)
    symbol: str
    sender: str
    recipient: str
    transaction: str
    block: int = Field(ge=0)
    hub_chain_id: int
    hub_address: str


@dataclass(frozen=True, slots=True)
class LockReceipt:
    """What somebody locked. Accounts and contracts are 20 bytes.

    Fields: asset (its type); decimals, symbol (for people); lockbox; number (of the lock, from 1); amount (what
    arrived, in base units); sender; recipient (on the native chain); transaction (32 bytes); block (that holds it);
    hub_chain_id, hub (of the bridge).
    """

    asset: AssetType
    decimals: int
    symbol: str
    lockbox: bytes
    number: int
    amount: TokenUnits
    sender: bytes
    recipient: bytes
    transaction: bytes
    block: BlockHeight
    hub_chain_id: int
    hub: bytes

    @property
    def lock(self) -> bytes:
        """The lock's id, 32 bytes."""
        return lock_id(chain_number(self.asset.chain), self.lockbox, self.number)

    @property
    def deposit(self) -> bytes:
        """The deposit's id on the Hub, 32 bytes."""
        return deposit_id(self.asset.id, self.lock, 0)

    @property
    def token(self) -> bytes:
        """How the vault names the asset: a token, or zero for the chain's coin."""
        return lockbox_asset(self.asset)

    def shown(self, units: int) -> str:
        """An amount of the asset for people."""
        from registry.amounts import MAX_DECIMALS, format_amount

        if self.decimals > MAX_DECIMALS:
            return f"{units:,} units of {self.symbol}"
        return format_amount(units, self.decimals, symbol=self.symbol)

    def as_json(self) -> dict[str, Any]:
        """The file's content."""
        return {
            "kind": KIND,
            "version": VERSION,
            "asset": str(self.asset),
            "lockbox": address_text(self.lockbox),
            "number": self.number,
            "lock": self.lock.hex(),
            "deposit": self.deposit.hex(),
            "amount": str(self.amount),
            "decimals": self.decimals,
            "symbol": self.symbol,
            "sender": address_text(self.sender),
            "recipient": address_text(self.recipient),
            "transaction": "0x" + self.transaction.hex(),
            "block": self.block,
            "hub_chain_id": self.hub_chain_id,
            "hub_address": address_text(self.hub),
        }

    def write(self, path: Path) -> None:
        """Keep it in a file. Raises `OSError`."""
        write_durably(path, (json.dumps(self.as_json(), indent=2) + "\n").encode(), mode=0o644)

    @classmethod
    def read(cls, path: Path) -> LockReceipt:
        """Read a file. Raises `BadInput` naming it and the member that is wrong."""
        try:
            return _parsed(read_text(path, "RECEIPT"))
        except BadInput as error:
            name = f"{path}.{error.field}" if error.field and error.field != "RECEIPT" else str(path)
            raise BadInput(name, error.problem, error.cure) from error


def _parsed(text: str) -> LockReceipt:
    if len(text) > _MOST_CHARACTERS:
        raise BadInput("", f"has {len(text):,} characters", _CURE)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput("", "is not JSON", _CURE) from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise BadInput("kind", "is not that of a lock's receipt", f"{KIND}; causeway deposit status reads others")
    if content.get("version") != VERSION:
        raise BadInput("version", "is not one that this program knows", str(VERSION))
    try:
        return _receipt(_File.model_validate(content))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        raise BadInput(".".join(map(str, found["loc"])), found["msg"][:1].lower() + found["msg"][1:], _CURE) from error


def _receipt(file: _File) -> LockReceipt:
    if not file.amount.isascii() or not file.amount.isdigit() or len(file.amount) > 78:
        raise BadInput("amount", "is no whole number of base units", _CURE)
    receipt = LockReceipt(
        asset=AssetType.parse(file.asset, "asset"),
        decimals=file.decimals,
        symbol=file.symbol,
        lockbox=parse_address(file.lockbox, "lockbox"),
        number=file.number,
        amount=TokenUnits(int(file.amount)),
        sender=parse_address(file.sender, "sender"),
        recipient=parse_address(file.recipient, "recipient"),
        transaction=_hash(file.transaction, "transaction"),
        block=BlockHeight(file.block),
        hub_chain_id=file.hub_chain_id,
        hub=parse_address(file.hub_address, "hub_address"),
    )
    lockbox_asset(receipt.asset)
    for field, said, found in (("lock", file.lock, receipt.lock), ("deposit", file.deposit, receipt.deposit)):
        if said != found.hex():
            raise BadInput(field, "does not follow from the other members: one of them was changed", _CURE)
    return receipt


def _hash(text: str, field: str) -> bytes:
    digits = text.removeprefix("0x")
    if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise BadInput(field, "is no hash", "0x and 64 hex digits in lower case")
    return bytes.fromhex(digits)
