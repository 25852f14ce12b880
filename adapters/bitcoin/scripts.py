"""The scripts of vaults, deposits and returns; kinds of scripts and their dust thresholds.

Source of the deposit's leaf: docs/architecture.md, "Bitcoin scripts".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bitcoin.core.script import (  # type: ignore[import-untyped]  # ships no types
    OP_CHECKSEQUENCEVERIFY,
    OP_CHECKSIGVERIFY,
    CScript,
)
from coincurve import PublicKeyXOnly

from adapters.bitcoin.primitives import compact_size_length
from adapters.bitcoin.taproot import Leaf, branch_hash, output_key, tagged_hash
from foundation.errors import BadInput
from foundation.quantities import Satoshi

MAX_DELAY = 0xFFFF
"""The longest relative time lock in blocks (BIP-68)."""

_DUST_RELAY_RATE = 3
"""Satoshi per vB at which Bitcoin Core computes dust (policy/policy.h, DUST_RELAY_TX_FEE)."""

_OUTPUT_OVERHEAD = 8
_LEGACY_SPEND = 148
_WITNESS_SPEND = 67
"""Bytes that Bitcoin Core counts for spending an output (policy/policy.cpp, GetDustThreshold)."""


class ScriptKind(StrEnum):
    """The kinds of outputs that people use as addresses."""

    P2PKH = "p2pkh"
    P2SH = "p2sh"
    P2WPKH = "p2wpkh"
    P2WSH = "p2wsh"
    P2TR = "p2tr"


@dataclass(frozen=True, slots=True)
class DepositTerms:
    """All that a deposit address stands for.

    Fields: hub_chain_id (of the native chain, EIP-155); hub_address (20 bytes); asset (id, 32 bytes);
    group_id (32 bytes); group_key (32 bytes, x-only); recipient (20 bytes, an account of the native chain);
    reclaim_key (32 bytes, x-only); delay (blocks after which the reclaim key alone can spend, 1…65,535);
    salt (32 bytes).
    """

    hub_chain_id: int
    hub_address: bytes
    asset: bytes
    group_id: bytes
    group_key: bytes
    recipient: bytes
    reclaim_key: bytes
    delay: int
    salt: bytes

    def __post_init__(self) -> None:
        """Raises `BadInput` naming the field."""
        lengths = {"hub_address": 20, "asset": 32, "group_id": 32, "recipient": 20, "salt": 32}
        for field, length in lengths.items():
            if len(getattr(self, field)) != length:
                raise BadInput(field, f"has {len(getattr(self, field))} bytes", f"{length} bytes")
        if not 0 < self.hub_chain_id < 1 << 256:
            raise BadInput("hub_chain_id", "is out of range")
        if not 0 < self.delay <= MAX_DELAY:
            raise BadInput("delay", f"{self.delay} blocks", f"1 to {MAX_DELAY:,} blocks")
        check_key("group_key", self.group_key)
        check_key("reclaim_key", self.reclaim_key)

    def commitment(self) -> bytes:
        """What the address commits to besides its keys and delay, 32 bytes."""
        chain_id = self.hub_chain_id.to_bytes(32, "big")
        parts = (chain_id, self.hub_address, self.asset, self.group_id, self.recipient, self.salt)
        return tagged_hash("Causeway/deposit", b"".join(parts))


@dataclass(frozen=True, slots=True)
class DepositOutput:
    """The output of a deposit address.

    Fields: script (scriptPubKey, 34 bytes); leaf (the reclaim script); control_block (65 bytes);
    merkle_root (32 bytes).
    """

    script: bytes
    leaf: bytes
    control_block: bytes
    merkle_root: bytes


def check_key(field: str, key: bytes) -> None:
    """Raises `BadInput` naming `field` where `key` is not a BIP-340 public key."""
    if len(key) != 32:
        raise BadInput(field, f"has {len(key)} bytes", "an x-only key of 32 bytes")
    try:
        PublicKeyXOnly(key)
    except ValueError as error:
        raise BadInput(field, "is not the x coordinate of a point on the curve") from error


def taproot_script(key: bytes) -> bytes:
    """The scriptPubKey that pays to a key that is tweaked already: OP_1 and 32 bytes."""
    return b"\x51\x20" + key


def vault_script(group_key: bytes) -> bytes:
    """Where a group keeps its coins: its key, tweaked with an empty root (BIP-86), so that no script can spend."""
    return taproot_script(output_key(group_key).key)


def return_script(reclaim_key: bytes) -> bytes:
    """Where a refused deposit goes back to: the reclaim key, tweaked with an empty root (BIP-86)."""
    return taproot_script(output_key(reclaim_key).key)


def deposit_script(terms: DepositTerms) -> DepositOutput:
    """The output that a depositor pays to: spent by the group at once, or by the reclaim key alone after the delay.

    The tree has two nodes: the reclaim leaf, and the commitment in the place of a sibling's hash. Nothing can be spent
    through the sibling, because no leaf or branch hashes to a value with the commitment's tag.
    """
    leaf, commitment = Leaf(deposit_leaf(terms)), terms.commitment()
    root = branch_hash(leaf.hash(), commitment)
    output = output_key(terms.group_key, root)
    control_block = bytes([leaf.version | output.parity]) + terms.group_key + commitment
    return DepositOutput(taproot_script(output.key), leaf.script, control_block, root)


def deposit_leaf(terms: DepositTerms) -> bytes:
    """The reclaim script, `and_v(v:pk(key),older(delay))` as a miniscript; `CScript` writes the delay minimally."""
    return bytes(CScript((terms.reclaim_key, OP_CHECKSIGVERIFY, terms.delay, OP_CHECKSEQUENCEVERIFY)))


def script_kind(script: bytes) -> ScriptKind | None:
    """What kind of output it is; None for anything that has no address."""
    length = len(script)
    if length == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return ScriptKind.P2PKH
    if length == 23 and script[:2] == b"\xa9\x14" and script[22] == 0x87:
        return ScriptKind.P2SH
    if length == 22 and script[:2] == b"\x00\x14":
        return ScriptKind.P2WPKH
    if length == 34 and script[:2] == b"\x00\x20":
        return ScriptKind.P2WSH
    if length == 34 and script[:2] == b"\x51\x20":
        return ScriptKind.P2TR
    return None


def dust_threshold(script: bytes) -> Satoshi:
    """The least value that nodes relay for an output with this script, at their default settings."""
    if script[:1] == b"\x6a":  # OP_RETURN: carries data, never spent
        return Satoshi(0)
    size = _OUTPUT_OVERHEAD + compact_size_length(len(script)) + len(script)
    spend = _WITNESS_SPEND if _is_witness_program(script) else _LEGACY_SPEND
    return Satoshi((size + spend) * _DUST_RELAY_RATE)


def _is_witness_program(script: bytes) -> bool:
    """BIP-141: a version (OP_0 or OP_1…OP_16), and one push of 2 to 40 bytes."""
    versions = (0, *range(0x51, 0x61))
    return 4 <= len(script) <= 42 and script[0] in versions and script[1] == len(script) - 2
