"""Compiled contracts, as `contracts.build` wrote them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from contracts.errors import ArtifactUnavailable

SOURCES: Final = Path(__file__).parent / "src"
BUILD: Final = Path(__file__).parent / "build"

DEPLOYABLE: Final = ("Registry", "Bonds", "Hub", "MappingToken", "Lockbox", "Escrow", "Anchors", "Channels")
"""The contracts that are deployed; the other sources are modules of theirs."""

_BLUEPRINT_PREAMBLE: Final = bytes.fromhex("fe7100")
"""ERC-5202: 0xfe (so that nobody calls it), 0x71, and the flags: version 0, no data before the creation code."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract. Fields: name; abi (as in Solidity's JSON); bytecode (creation code, without arguments)."""

    name: str
    abi: tuple[dict[str, Any], ...]
    bytecode: bytes

    @property
    def blueprint_bytecode(self) -> bytes:
        """Creation code of a blueprint of this contract (ERC-5202): it deploys the contract's own creation code."""
        code = _BLUEPRINT_PREAMBLE + self.bytecode
        # PUSH2 size, RETURNDATASIZE, DUP2, PUSH1 10 (the size of this code), RETURNDATASIZE, CODECOPY, RETURN
        return b"\x61" + len(code).to_bytes(2, "big") + bytes.fromhex("3d81600a3d39f3") + code


def source_hash(sources: Path = SOURCES) -> str:
    """Hash of all that decides what the compiler writes: our sources, the compiler and the modules of snekmate; hex."""
    state = hashlib.sha256()
    for part in (version("vyper"), version("snekmate")):
        state.update(part.encode() + b"\0")
    for path in sorted(sources.rglob("*.vy")):
        content = path.read_bytes()
        state.update(f"{path.relative_to(sources).as_posix()}\0{len(content)}\0".encode() + content)
    return state.hexdigest()


def load(name: str, build: Path = BUILD) -> Artifact:
    """The compiled contract `name`, one of `DEPLOYABLE`.

    Raises:
        ArtifactUnavailable: it is not built, older than the sources, or its file is damaged.
    """
    try:
        stored = json.loads((build / f"{name}.json").read_bytes())
        artifact = Artifact(name, tuple(stored["abi"]), bytes.fromhex(stored["bytecode"].removeprefix("0x")))
        built_from = stored["source_hash"]
    except FileNotFoundError:
        raise ArtifactUnavailable(name, "is not built") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactUnavailable(name, "the artifact's file is damaged") from error
    if built_from != source_hash():
        raise ArtifactUnavailable(name, "was built from other sources")
    return artifact
