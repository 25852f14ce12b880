"""A depositor takes an unswept deposit back alone, by the script path, once the delay has passed.

Sources: docs/architecture.md, "Bitcoin scripts"; BIP-68 (relative time locks), BIP-342 (tapscript), BIP-174 and
BIP-371 (PSBT).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from coincurve import PrivateKey, PublicKeyXOnly

from adapters.bitcoin._wally import TaprootHasher, base58check, base58check_payload
from adapters.bitcoin.addresses import MAINNET, Network
from adapters.bitcoin.errors import BadSignature, OutputBelowDust
from adapters.bitcoin.primitives import Coin, OutPoint, TxOut, compact_size, compact_size_length, sha256d
from adapters.bitcoin.scripts import DepositOutput, DepositTerms, deposit_script, dust_threshold
from adapters.bitcoin.taproot import Leaf
from adapters.bitcoin.transactions import SIGNATURE_BYTES, schnorr_holds, serialize, serialize_output, vsize_of
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB

_WIF_MAIN: Final = 0x80
_WIF_TEST: Final = 0xEF
"""Version bytes of private keys in text (wallet import format)."""

_PSBT_MAGIC: Final = b"psbt\xff"
_GLOBAL_UNSIGNED_TX: Final = 0x00
_IN_WITNESS_UTXO: Final = 0x01
_IN_TAP_LEAF_SCRIPT: Final = 0x15
_IN_TAP_BIP32_DERIVATION: Final = 0x16
_IN_TAP_INTERNAL_KEY: Final = 0x17
_IN_TAP_MERKLE_ROOT: Final = 0x18
"""Key types of BIP-174 and BIP-371."""

_NO_FINGERPRINT: Final = bytes(4)


@dataclass(frozen=True)  # no slots: the cached properties live in the instance's dictionary
class UnsignedReclaim:
    """The transaction that pays a deposit's coin back, to be signed by the reclaim key.

    Fields: terms (of the deposit); coin (the deposit's); destination (scriptPubKey); fee.
    """

    terms: DepositTerms
    coin: Coin
    destination: bytes
    fee: Satoshi

    def __post_init__(self) -> None:
        """Raises `BadInput`: the coin does not pay the address of these terms."""
        if self.coin.script != self.deposit.script:
            raise BadInput("coin", f"{self.coin.outpoint} does not pay the deposit address of these terms")

    @cached_property
    def deposit(self) -> DepositOutput:
        """Script, leaf and control block of the deposit's output."""
        return deposit_script(self.terms)

    @property
    def output(self) -> TxOut:
        """The one output."""
        return TxOut(Satoshi(self.coin.value - self.fee), self.destination)

    @property
    def vsize(self) -> int:
        """Virtual bytes once it is signed."""
        return reclaim_vsize(self.deposit, self.destination)

    @property
    def fee_rate(self) -> SatPerKvB:
        """The fee for 1,000 virtual bytes, rounded down."""
        return SatPerKvB(self.fee * 1000 // self.vsize)

    def serialized(self) -> bytes:
        """As in a block, without the witness."""
        return serialize(self._spends(), [self.output])

    def txid(self) -> bytes:
        """32 bytes, internal byte order."""
        return sha256d(self.serialized())

    def sighash(self) -> bytes:
        """What the reclaim key signs, 32 bytes: script path, SIGHASH_DEFAULT (BIP-342)."""
        hasher = TaprootHasher(self.serialized(), [self.coin.script], [self.coin.value])
        return hasher.script_path(0, self.deposit.leaf)

    def valid_from(self, height: BlockHeight) -> BlockHeight:
        """The first block that may contain it, where the coin is in the block at `height`."""
        return BlockHeight(height + self.terms.delay)

    def psbt(self) -> str:
        """A PSBT (version 0, base64) that a signer of tapscripts can sign with the reclaim key.

        We do not know how its owner derived the key: its entry has an empty path and no fingerprint. Signers need the
        entry all the same, to learn which key the leaf is for.
        """
        deposit = self.deposit
        coin = serialize_output(TxOut(self.coin.value, self.coin.script))
        leaf = Leaf(deposit.leaf)
        origin = b"\x01" + leaf.hash() + _NO_FINGERPRINT  # one leaf has this key
        parts = (
            _PSBT_MAGIC,
            _pair(_GLOBAL_UNSIGNED_TX, b"", self.serialized()),
            b"\x00",
            _pair(_IN_WITNESS_UTXO, b"", coin),
            _pair(_IN_TAP_LEAF_SCRIPT, deposit.control_block, leaf.script + bytes([leaf.version])),
            _pair(_IN_TAP_BIP32_DERIVATION, self.terms.reclaim_key, origin),
            _pair(_IN_TAP_INTERNAL_KEY, b"", self.terms.group_key),
            _pair(_IN_TAP_MERKLE_ROOT, b"", deposit.merkle_root),
            b"\x00",
            b"\x00",  # the output's map is empty
        )
        return base64.b64encode(b"".join(parts)).decode()

    def signed(self, signature: bytes) -> bytes:
        """The transaction to broadcast. Raises `BadSignature` if `signature` (64 bytes) does not hold."""
        if not schnorr_holds(self.terms.reclaim_key, self.sighash(), signature):
            raise BadSignature(0)
        witness = (signature, self.deposit.leaf, self.deposit.control_block)
        return serialize(self._spends(), [self.output], [witness])

    def _spends(self) -> list[tuple[OutPoint, int]]:
        # In blocks (BIP-68): bit 22 is clear, and so is bit 31, which would switch the lock off.
        return [(self.coin.outpoint, self.terms.delay)]


def _pair(kind: int, key_data: bytes, value: bytes) -> bytes:
    """A key and a value in a PSBT's map."""
    return compact_size(1 + len(key_data)) + bytes([kind]) + key_data + compact_size(len(value)) + value


def reclaim_vsize(deposit: DepositOutput, destination: bytes) -> int:
    """Virtual bytes of a signed reclaim."""
    items = (SIGNATURE_BYTES, len(deposit.leaf), len(deposit.control_block))
    return vsize_of(1, [destination], 1 + sum(compact_size_length(length) + length for length in items))


def reclaim_transaction(terms: DepositTerms, coin: Coin, destination: bytes, fee_rate: SatPerKvB) -> UnsignedReclaim:
    """Pay a deposit's coin to `destination` (scriptPubKey), less the fee.

    Raises:
        BadInput: the coin does not pay the address of these terms.
        OutputBelowDust: too little is left after the fee.
    """
    fee = Satoshi(-(-fee_rate * reclaim_vsize(deposit_script(terms), destination) // 1000))
    threshold = dust_threshold(destination)
    if coin.value - fee < threshold:
        raise OutputBelowDust(0, coin.value - fee, threshold)
    return UnsignedReclaim(terms, coin, destination, fee)


def sign_reclaim(reclaim: UnsignedReclaim, secret: bytes) -> bytes:
    """The signed transaction to broadcast. `secret`: of the reclaim key, 32 bytes.

    Raises:
        BadInput: the secret is not that of the reclaim key in the terms.
    """
    if PublicKeyXOnly.from_secret(secret).format() != reclaim.terms.reclaim_key:
        raise BadInput("reclaim key", "is not the key that this deposit was made with", "the key of this receipt")
    return reclaim.signed(PrivateKey(secret).sign_schnorr(reclaim.sighash()))


def finalize_reclaim(reclaim: UnsignedReclaim, signature: bytes) -> bytes:
    """The signed transaction to broadcast, with a signature (64 bytes) made elsewhere over `reclaim.sighash()`.

    Raises:
        BadSignature: it does not hold for the reclaim key.
    """
    return reclaim.signed(signature)


def parse_reclaim_key(text: str, network: Network) -> bytes:
    """The secret (32 bytes) of a reclaim key in text: wallet import format of `network`, or 64 hex digits.

    Raises:
        BadInput: field `reclaim key`. The text itself is never in the error.
    """
    cure = f"a private key in wallet import format for the network {network.name}, or 64 hex digits"
    text = text.strip()
    secret = bytes.fromhex(text) if _is_hex(text) else _parse_wif(text, network, cure)
    try:
        return bytes(PrivateKey(secret).secret)
    except ValueError:
        raise BadInput("reclaim key", "is no private key: the number is out of range", cure) from None


def reclaim_key_text(secret: bytes, network: Network) -> str:
    """A reclaim key's secret (32 bytes) in wallet import format, which wallets read as `tr(…)`."""
    assert len(secret) == 32, "a private key"
    version = _WIF_MAIN if network == MAINNET else _WIF_TEST
    return base58check(bytes([version]) + secret + b"\x01")


def _is_hex(text: str) -> bool:
    return len(text) == 64 and all(digit in "0123456789abcdefABCDEF" for digit in text)


def _parse_wif(text: str, network: Network, cure: str) -> bytes:
    """Version byte, 32 bytes, and the byte 1 where the key's public half is compressed: irrelevant for Taproot."""
    try:
        payload = base58check_payload(text)
    except ValueError:
        # `from None`: what the library says may quote its input.
        raise BadInput("reclaim key", "is malformed or mistyped", cure) from None
    if len(payload) not in (33, 34) or payload[33:] not in (b"", b"\x01"):
        raise BadInput("reclaim key", "is no private key", cure)
    if payload[0] != (_WIF_MAIN if network == MAINNET else _WIF_TEST):
        raise BadInput("reclaim key", "is a key of another network, or no private key", cure)
    return payload[1:33]
