"""Where a bridge's contracts are: a small public file that every node and every command reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from adapters.evm.hexes import address_text, parse_address
from foundation.errors import BadInput
from foundation.files import write_durably
from foundation.quantities import BlockHeight
from registry.ids import network_id

_ADDRESSES: Final = ("registry", "bonds", "hub", "token_blueprint")
_NUMBERS: Final = ("chain_id", "start_block")


@dataclass(frozen=True, slots=True)
class Deployment:
    """One bridge's contracts on its native chain.

    Fields: registry, bonds, hub, token_blueprint (addresses, 20 bytes); chain_id (EIP-155); start_block (no contract
    is older, so logs are read from here); genesis (hash of the chain's first block, 32 bytes: development chains share
    their numbers).
    """

    registry: bytes
    bonds: bytes
    hub: bytes
    token_blueprint: bytes
    chain_id: int
    start_block: BlockHeight
    genesis: bytes

    @property
    def network(self) -> bytes:
        """The bridge's id, 32 bytes, by which peers know that they mean the same one."""
        return network_id(self.chain_id, self.hub)

    def to_json(self) -> str:
        """The file's text."""
        content: dict[str, Any] = {"chain_id": self.chain_id, "genesis": "0x" + self.genesis.hex()}
        content |= {name: address_text(getattr(self, name)) for name in _ADDRESSES}
        return json.dumps(content | {"start_block": self.start_block}, indent=2) + "\n"

    def save(self, path: Path) -> None:
        """Write the file, for all to read. Raises `OSError`."""
        write_durably(path, self.to_json().encode(), mode=0o644)

    @classmethod
    def from_json(cls, text: str, field: str = "deployment") -> Deployment:
        """Read the file's text. Raises `BadInput` naming the member of it that is wrong."""
        try:
            content = json.loads(text)
        except ValueError as error:
            raise BadInput(field, "is not JSON") from error
        if not isinstance(content, dict):
            raise BadInput(field, "is no JSON object")
        for name in (*_ADDRESSES, *_NUMBERS, "genesis"):
            if name not in content:
                raise BadInput(f"{field}.{name}", "is missing")
        for name in _NUMBERS:
            if type(content[name]) is not int or content[name] < 0:
                raise BadInput(f"{field}.{name}", "is no number", "a whole number, not negative")
        return cls(
            **{name: parse_address(str(content[name]), f"{field}.{name}") for name in _ADDRESSES},
            chain_id=content["chain_id"],
            start_block=BlockHeight(content["start_block"]),
            genesis=_hash(str(content["genesis"]), f"{field}.genesis"),
        )

    @classmethod
    def load(cls, path: Path) -> Deployment:
        """Read the file. Raises `BadInput` naming the file and the member of it that is wrong."""
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(str(path), "cannot be read", "the deployment file of the bridge") from error
        return cls.from_json(text, str(path))


def _hash(text: str, field: str) -> bytes:
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise BadInput(field, "is not hex", "0x and 64 hex digits") from error
    if len(value) != 32:
        raise BadInput(field, f"{len(value)} bytes", "0x and 64 hex digits")
    return value
