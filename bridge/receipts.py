"""The depositor's receipt: all that a deposit address stands for, so that nobody's help is needed to reclaim.

A receipt holds no secret. Every field but the birthday is committed to by the address, so a changed field is noticed
when the receipt is read. Source: docs/architecture.md, "Bitcoin scripts".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.bitcoin.addresses import NETWORKS, Network, address_text, network_named
from adapters.bitcoin.primitives import Coin
from adapters.bitcoin.scripts import DepositOutput, DepositTerms, deposit_script
from adapters.evm.hexes import address_text as account_text
from adapters.evm.hexes import parse_address as parse_account
from adapters.native.types import Announcement
from bridge.settings import bitcoin_asset
from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from registry.ids import announcement_id

VERSION: Final = 1
KIND: Final = "causeway deposit receipt"
LOCK_KIND: Final = "causeway lock receipt"
"""Of the receipts that `causeway lock` writes, which are no deposit address's."""
RULE: Final = "the reclaim key alone can spend the coin from block (height of the coin's block + delay) on"
_MOST_HEIGHT: Final = 0xFFFFFFFF
_MOST_CHARACTERS: Final = 4096
"""Several times a receipt's length; deep nesting in a longer text could exhaust the parser's stack."""


class _File(BaseModel):
    """The JSON file, flat: its names are those of `DepositTerms`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    kind: str
    version: int
    network: str
    address: str
    asset: str
    hub_chain_id: int
    hub_address: str
    group_id: str
    group_key: str
    recipient: str
    reclaim_key: str
    delay: int
    salt: str
    birthday: int = Field(ge=0, le=_MOST_HEIGHT)
    reclaim_rule: str


@dataclass(frozen=True)  # no slots: the cached property lives in the instance's dictionary
class DepositReceipt:
    """What a depositor keeps.

    Fields: network (of bitcoin); terms (of the address); birthday (no coin can be in a lower block).
    """

    network: Network
    terms: DepositTerms
    birthday: BlockHeight

    def __post_init__(self) -> None:
        """Raises `BadInput` naming the field: terms of another asset, or a delay that the network forbids."""
        if self.terms.asset != bitcoin_asset(self.network).id:
            raise BadInput("asset", f"is not bitcoin on the network {self.network.name}")
        if self.terms.delay < self.network.minimum_delay:
            raise BadInput("delay", f"{self.terms.delay} blocks", f"at least {self.network.minimum_delay}")
        if not 0 <= self.birthday <= _MOST_HEIGHT:
            raise BadInput("birthday", f"{self.birthday} is no block height")

    @cached_property
    def output(self) -> DepositOutput:
        """The deposit's output: script, leaf, control block."""
        return deposit_script(self.terms)

    @property
    def script(self) -> bytes:
        """The address's scriptPubKey, 34 bytes."""
        return self.output.script

    @property
    def address(self) -> str:
        """The address to pay to."""
        return address_text(self.script, self.network)

    @property
    def announcement(self) -> Announcement:
        """What is published on the native chain, so that the bridge's nodes watch the address."""
        t = self.terms
        return Announcement(t.asset, t.group_id, t.recipient, t.reclaim_key, t.delay, t.salt, self.birthday)

    @property
    def announcement_id(self) -> bytes:
        """The id under which it is announced, 32 bytes."""
        t = self.terms
        return announcement_id(t.asset, t.group_id, t.recipient, t.reclaim_key, t.delay, t.salt)

    def reclaim_height(self, coin: Coin) -> BlockHeight | None:
        """The first block that may contain the reclaim of `coin` (BIP-68); None while the coin is unconfirmed."""
        return None if coin.height is None else BlockHeight(coin.height + self.terms.delay)

    def as_json(self) -> dict[str, Any]:
        """The file's content."""
        t = self.terms
        return {
            "kind": KIND,
            "version": VERSION,
            "network": self.network.name,
            "address": self.address,
            "asset": str(bitcoin_asset(self.network)),
            "hub_chain_id": t.hub_chain_id,
            "hub_address": account_text(t.hub_address),
            "group_id": t.group_id.hex(),
            "group_key": t.group_key.hex(),
            "recipient": account_text(t.recipient),
            "reclaim_key": t.reclaim_key.hex(),
            "delay": t.delay,
            "salt": t.salt.hex(),
            "birthday": self.birthday,
            "reclaim_rule": RULE,
        }

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps(self.as_json(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, field: str = "receipt") -> DepositReceipt:
        """Read a receipt, and check that its address follows from its terms.

        Raises:
            BadInput: naming `field` and the member of the file that is wrong.
        """
        try:
            return _receipt(_parsed(text))
        except BadInput as error:
            name = f"{field}.{error.field}" if error.field else field
            raise BadInput(name, error.problem, error.cure) from error


def _parsed(text: str) -> _File:
    if len(text) > _MOST_CHARACTERS:
        raise BadInput("", f"has {len(text):,} characters", "the receipt file as `causeway deposit address` wrote it")
    try:
        content = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise BadInput("", "is not JSON", "the receipt file as `causeway deposit address` wrote it") from error
    if not isinstance(content, dict):
        raise BadInput("", "is no JSON object", "the receipt file as `causeway deposit address` wrote it")
    if content.get("kind") == LOCK_KIND:
        raise BadInput("kind", "is that of a lock on an EVM chain", "causeway lock status reads it")
    if content.get("kind") != KIND:
        raise BadInput("kind", "is not that of a deposit receipt", KIND)
    if content.get("version") != VERSION or isinstance(content["version"], bool):
        raise BadInput("version", "is not one that this program knows", str(VERSION))
    try:
        return _File.model_validate(content)
    except ValidationError as error:
        raise _first(error) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; readers disagree on which of two members with one name counts."""
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        raise BadInput(next(n for n in names if names.count(n) > 1), "is there twice")
    return content


def _receipt(file: _File) -> DepositReceipt:
    network = network_named(file.network, "network")
    _check_asset(file.asset, network)
    if file.reclaim_rule != RULE:
        raise BadInput("reclaim_rule", "is not the rule of this version", RULE)
    terms = DepositTerms(
        hub_chain_id=file.hub_chain_id,
        hub_address=parse_account(file.hub_address, "hub_address"),
        asset=bitcoin_asset(network).id,
        group_id=_hex(file.group_id, "group_id"),
        group_key=_hex(file.group_key, "group_key"),
        recipient=parse_account(file.recipient, "recipient"),
        reclaim_key=_hex(file.reclaim_key, "reclaim_key"),
        delay=file.delay,
        salt=_hex(file.salt, "salt"),
    )
    receipt = DepositReceipt(network, terms, BlockHeight(file.birthday))
    if receipt.address != file.address:
        problem = "does not follow from the other fields: one of them was changed"
        raise BadInput("address", problem, "the receipt as it was written; pay nothing to this address")
    return receipt


def _check_asset(text: str, network: Network) -> None:
    if text == str(bitcoin_asset(network)):
        return
    if any(text == str(bitcoin_asset(other)) for other in NETWORKS.values()):
        raise BadInput("network", f"is {network.name}, and the asset is bitcoin on another network")
    raise BadInput("asset", f"is not bitcoin on the network {network.name}", str(bitcoin_asset(network)))


def _hex(text: str, field: str) -> bytes:
    """32 bytes. Raises `BadInput`."""
    cure = "64 hex digits, in lower case"
    if len(text) != 64:
        raise BadInput(field, f"has {len(text)} characters", cure)
    # Strict, so that one receipt has one text: fromhex passes over blanks.
    if not set(text) <= set("0123456789abcdef"):
        raise BadInput(field, "is not hex", cure)
    return bytes.fromhex(text)


def _first(error: ValidationError) -> BadInput:
    """The first thing that pydantic found, as our error."""
    found = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in found["loc"])
    if found["type"] == "extra_forbidden":
        return BadInput(field, "is not known", "the receipt as it was written")
    if found["type"] == "missing":
        return BadInput(field, "is missing", "the receipt as it was written")
    return BadInput(field, found["msg"][:1].lower() + found["msg"][1:])
