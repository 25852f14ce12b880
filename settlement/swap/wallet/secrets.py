"""All secrets of a trader's swaps, from one mnemonic: whoever has the words has the swaps, whatever else is lost.

Each swap has an index, and under it keys of its own, all by hardened derivation (BIP-32), so that one that leaks tells
nothing of another: m/20260'/realm'/realm'/index'/purpose'. The EVM account, which pays for gas and receives, is
m/44'/60'/0'/0/0.

A realm is where the swaps are: two chains and an Escrow. Each has secrets of its own, because indices are counted in
each alone: a preimage that a swap on a test network has shown must open no lock on another chain.

An index is used once. Whoever begins anew with old words looks for used indices on the chains first (`recovery`),
because a preimage that was shown once must never be promised again.
"""

from __future__ import annotations

import hashlib
from copy import copy
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Final

from coincurve import PublicKeyXOnly

from adapters.bitcoin.hd_keys import EVM_ACCOUNT_PATH, HARDENED, HdKey
from adapters.evm.signing import AccountSigner
from foundation.errors import BadInput
from mpc.curve import SecretScalar
from settlement.quantities import tagged_hash

PURPOSE: Final = 20_260
"""The first step of the path: no purpose of another standard that we know of."""

INDEX_MAX: Final = HARDENED - 1


class Use(IntEnum):
    """The last step of the path. A number is given once, for ever."""

    BITCOIN = 0
    SECRET = 1
    LOCK = 2
    LETTERS = 3
    IDENTITY = 4
    SALT = 5


@dataclass(frozen=True)  # no slots: the cached properties live in the instance's dictionary
class SwapSecrets:
    """What one swap needs. It does not show itself. Fields: index; node (the key that the others follow from)."""

    index: int
    node: HdKey

    def _of(self, use: Use) -> bytes:
        return self.node.child(use | HARDENED).secret

    @cached_property
    def bitcoin(self) -> bytes:
        """Secret of this side's key in the Taproot output, 32 bytes."""
        return self._of(Use.BITCOIN)

    @cached_property
    def bitcoin_key(self) -> bytes:
        """Its public key, x-only, 32 bytes."""
        return bytes(PublicKeyXOnly.from_secret(self.bitcoin).format())

    @cached_property
    def preimage(self) -> bytes:
        """What the initiator of a hash swap reveals, 32 bytes."""
        return tagged_hash("swap/preimage/1", self._of(Use.SECRET))

    @cached_property
    def condition(self) -> bytes:
        """SHA-256 of the preimage, 32 bytes."""
        return hashlib.sha256(self.preimage).digest()

    @cached_property
    def scalar(self) -> bytes:
        """What the initiator of a private swap reveals: t, 32 bytes. Another secret than the preimage."""
        return self._of(Use.SECRET)

    @cached_property
    def point(self) -> bytes:
        """T = t·G, compressed, 33 bytes."""
        return SecretScalar.nonzero(self.scalar).point().to_bytes()

    @cached_property
    def lock(self) -> bytes:
        """Secret of the key that names the EVM lock of a private swap, 32 bytes."""
        return self._of(Use.LOCK)

    @cached_property
    def lock_key(self) -> bytes:
        """Its public key, x-only, 32 bytes: nothing on the bitcoin chain follows from it."""
        return bytes(PublicKeyXOnly.from_secret(self.lock).format())

    @cached_property
    def letters(self) -> bytes:
        """Secret of the X25519 key that this swap's letters are sealed to, 32 bytes."""
        return tagged_hash("swap/letters/1", self._of(Use.LETTERS))

    @cached_property
    def identity(self) -> bytes:
        """Secret of the BIP-340 key that signs this side's letters and offers, 32 bytes."""
        return self._of(Use.IDENTITY)

    @cached_property
    def identity_key(self) -> bytes:
        """Its public key, x-only, 32 bytes."""
        return bytes(PublicKeyXOnly.from_secret(self.identity).format())

    @cached_property
    def salt(self) -> bytes:
        """32 bytes that tell two swaps of the same terms apart."""
        return tagged_hash("swap/salt/1", self._of(Use.SALT))

    def __repr__(self) -> str:
        return f"SwapSecrets({self.index}, hidden)"


class TraderKeys:
    """All keys of one mnemonic. It does not show itself."""

    def __init__(self, mnemonic: str) -> None:
        """From the words. Raises `BadInput` as `adapters.bitcoin.hd_keys.parse_mnemonic`."""
        master = HdKey.from_mnemonic(mnemonic)
        self._all = self._swaps = master.child(PURPOSE | HARDENED)
        self._account = master.child(*EVM_ACCOUNT_PATH).secret

    def at(self, realm: bytes) -> TraderKeys:
        """The keys of the same words in one realm (32 bytes, see `TraderSettings.realm`); 62 bits of it tell it from
        others. Of keys that are in a realm already, those of the one that is named."""
        if len(realm) != 32:
            raise BadInput("realm", f"has {len(realm)} bytes", "32 bytes")
        steps = (int.from_bytes(realm[at : at + 4], "big") | HARDENED for at in (0, 4))
        there = copy(self)
        there.__dict__.pop("wallet_id", None)
        there._swaps = self._all.child(*steps)
        return there

    @cached_property
    def account(self) -> bytes:
        """The EVM account's address, 20 bytes, on every chain."""
        return AccountSigner(self._account, 1).address

    @property
    def account_secret(self) -> bytes:
        """The EVM account's key, 32 bytes."""
        return self._account

    def swap(self, index: int) -> SwapSecrets:
        """The secrets of one swap. Raises `BadInput` where `index` is not 0 to 2^31−1."""
        if not 0 <= index <= INDEX_MAX:
            raise BadInput("index", f"{index} names no swap", f"0 to {INDEX_MAX:,}")
        return SwapSecrets(index, self._swaps.child(index | HARDENED))

    @cached_property
    def wallet_id(self) -> bytes:
        """Names the mnemonic and the realm without telling of them, 32 bytes: a database remembers whose it is."""
        return tagged_hash("swap/wallet/1", self._swaps.child(INDEX_MAX | HARDENED).secret)

    def __repr__(self) -> str:
        return "TraderKeys(hidden)"
