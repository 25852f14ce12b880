"""Coins of a vault and of deposits whose group is one local secret, and signatures by it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from coincurve import PublicKeyXOnly

from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.bitcoin.scripts import DepositTerms, deposit_script, vault_script
from adapters.bitcoin.taproot import tweak_secret
from adapters.bitcoin.transactions import UnsignedTx
from foundation.quantities import BlockHeight, Satoshi

GROUP_SECRET = hashlib.sha256(b"group").digest()
RECLAIM_SECRET = hashlib.sha256(b"reclaim").digest()
GROUP_KEY = PublicKeyXOnly.from_secret(GROUP_SECRET).format()
RECLAIM_KEY = PublicKeyXOnly.from_secret(RECLAIM_SECRET).format()
VAULT = vault_script(GROUP_KEY)

P2PKH = b"\x76\xa9\x14" + bytes(20) + b"\x88\xac"
P2SH = b"\xa9\x14" + bytes(20) + b"\x87"
P2WPKH = b"\x00\x14" + bytes(20)
P2WSH = b"\x00\x20" + bytes(32)
DESTINATIONS = (P2PKH, P2SH, P2WPKH, P2WSH, VAULT)


def terms(number: int = 0, delay: int = 144) -> DepositTerms:
    """Terms of a deposit that differ by their salt."""
    salt = number.to_bytes(32, "big")
    return DepositTerms(31337, bytes(20), bytes(32), bytes(32), GROUP_KEY, b"\x01" * 20, RECLAIM_KEY, delay, salt)


def coin(value: int, number: int = 0, script: bytes = VAULT) -> Coin:
    """A coin whose outpoint depends on `number`."""
    return Coin(OutPoint(hashlib.sha256(number.to_bytes(4, "big")).digest(), number), Satoshi(value), script)


def coins(*values: int) -> tuple[Coin, ...]:
    """Vault coins of these values, all different."""
    return tuple(coin(value, number) for number, value in enumerate(values))


def deposit_coin(value: int, number: int, height: int = 100) -> Coin:
    """The coin of the deposit with terms `number`."""
    found = coin(value, number, deposit_script(terms(number)).script)
    return Coin(found.outpoint, found.value, found.script, BlockHeight(height))


def signatures(unsigned: UnsignedTx, roots: Sequence[bytes] | None = None) -> list[bytes]:
    """What the group would sign. `roots`: the Merkle root of each coin; empty, as for the vault, where None."""
    keys = [tweak_secret(GROUP_SECRET, root) for root in roots or [b""] * len(unsigned.inputs)]
    return [key.sign_schnorr(sighash) for key, sighash in zip(keys, unsigned.sighashes(), strict=True)]
