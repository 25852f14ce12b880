"""Money under a hash and a time-out in a Taproot output: its scripts, and the transactions that claim or refund it.

Sources: BIP-199 (the idea), BIP-341 ("Constructing and spending Taproot outputs", the point H that nobody can spend
from), BIP-342, BIP-65 and BIP-113 (a time-out in seconds is compared with the median of the last eleven blocks' times,
which is about an hour behind the clock). The claim has no end of its own: after the time-out it races the refund.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from bitcoin.core.script import (  # type: ignore[import-untyped]  # ships no types
    OP_CHECKLOCKTIMEVERIFY,
    OP_CHECKSIG,
    OP_DROP,
    OP_EQUALVERIFY,
    OP_SHA256,
    OP_SIZE,
    CScript,
)
from coincurve import PrivateKey, PublicKeyXOnly

from adapters.bitcoin._wally import TaprootHasher
from adapters.bitcoin.builders import fee_at
from adapters.bitcoin.errors import BadSignature, OutputBelowDust
from adapters.bitcoin.primitives import Coin, OutPoint, TxOut, compact_size_length, sha256d
from adapters.bitcoin.scripts import check_key, dust_threshold, taproot_script
from adapters.bitcoin.taproot import Leaf, Tree, control_blocks, merkle_root, output_key, tagged_hash
from adapters.bitcoin.transactions import SEQUENCE, SIGNATURE_BYTES, schnorr_holds, serialize, vsize_of
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB

PREIMAGE_BYTES: Final = 32
NOBODYS_POINT: Final = bytes.fromhex("50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0")
"""H of BIP-341: the x coordinate of a point whose discrete logarithm nobody knows."""

FIRST_TIME: Final = 500_000_000
"""Lock times from here on are seconds since 1970, below they are heights (consensus rule)."""
LAST_TIME: Final = 0xFFFF_FFFF
_ANNEX: Final = 0x50


def unspendable_key(commitment: bytes) -> bytes:
    """An internal key (x-only, 32 bytes) that nobody can sign with, and that commits to `commitment` (32 bytes).

    It is H + c·G with c = tagged_hash("Causeway/htlc", commitment): whoever knows the commitment sees that no key path
    is there; whoever does not, cannot tell the output from any other.
    """
    if len(commitment) != 32:
        raise BadInput("commitment", f"has {len(commitment)} bytes", "32 bytes")
    key = PublicKeyXOnly(NOBODYS_POINT)
    key.tweak_add(tagged_hash("Causeway/htlc", commitment))
    return bytes(key.format())


class TimedOutput:
    """A Taproot output that its internal key spends at any time, and the payer alone after a time-out.

    What `Htlc` and `PointLock` share; each is a frozen dataclass that has these fields.

    Fields: internal_key (x-only); payer (x-only); expires_at (seconds since 1970, as the chain's median time past).
    """

    internal_key: bytes
    payer: bytes
    expires_at: int

    @cached_property
    def refund_leaf(self) -> Leaf:
        """`expires_at OP_CHECKLOCKTIMEVERIFY OP_DROP payer OP_CHECKSIG`, 41 bytes (42 from the year 2038 on)."""
        return Leaf(bytes(CScript((self.expires_at, OP_CHECKLOCKTIMEVERIFY, OP_DROP, self.payer, OP_CHECKSIG))))

    @property
    def tree(self) -> Tree:
        """All leaves."""
        return self.refund_leaf

    @cached_property
    def merkle_root(self) -> bytes:
        """Of the tree, 32 bytes; whoever spends by key path tweaks with it."""
        return merkle_root(self.tree)

    @cached_property
    def script(self) -> bytes:
        """scriptPubKey, 34 bytes."""
        return taproot_script(output_key(self.internal_key, self.merkle_root).key)

    def control_block(self, leaf: Leaf) -> bytes:
        """What a spend through a leaf shows beside it: 33 bytes, and 32 for each level of the tree."""
        return next(block for found, block in control_blocks(self.internal_key, self.tree) if found == leaf)

    def is_refund(self, witness: tuple[bytes, ...]) -> bool:
        """Whether the witness of a spend of this output is that of a refund."""
        items = without_annex(witness)
        return len(items) == 3 and items[1] == self.refund_leaf.script

    def _check(self, *keys: str) -> None:
        for field in keys:
            check_key(field, getattr(self, field))
        if not FIRST_TIME <= self.expires_at <= LAST_TIME:
            raise BadInput("expires_at", f"{self.expires_at} is no time", f"{FIRST_TIME:,} to {LAST_TIME:,}")


@dataclass(frozen=True)  # no slots: the cached properties live in the instance's dictionary
class Htlc(TimedOutput):
    """An output that the payee spends by a preimage, and the payer after a time-out. Raises `BadInput`.

    Fields: internal_key (x-only: `unspendable_key`, or one of both parties together); condition (SHA-256 of the
    preimage, 32 bytes); payee, payer (x-only keys); expires_at (seconds since 1970, as the chain's median time past).
    """

    internal_key: bytes
    condition: bytes
    payee: bytes
    payer: bytes
    expires_at: int

    def __post_init__(self) -> None:
        if len(self.condition) != 32:
            raise BadInput("condition", f"has {len(self.condition)} bytes", "32 bytes")
        self._check("internal_key", "payee", "payer")

    @cached_property
    def claim_leaf(self) -> Leaf:
        """`OP_SIZE 32 OP_EQUALVERIFY OP_SHA256 condition OP_EQUALVERIFY payee OP_CHECKSIG`, 73 bytes."""
        # The size is enforced, because other ledgers take no preimage of another one.
        size = (OP_SIZE, PREIMAGE_BYTES, OP_EQUALVERIFY)
        hashed = (OP_SHA256, self.condition, OP_EQUALVERIFY)
        return Leaf(bytes(CScript((*size, *hashed, self.payee, OP_CHECKSIG))))

    @property
    def tree(self) -> Tree:
        """The claim and the refund."""
        return self.claim_leaf, self.refund_leaf

    def preimage_in(self, witness: tuple[bytes, ...]) -> bytes | None:
        """The preimage in the witness of a spend of this output; None where it was spent in another way."""
        items = without_annex(witness)
        if len(items) != 4 or items[2] != self.claim_leaf.script:
            return None
        return items[1]


@dataclass(frozen=True)  # no slots: as above
class PointLock(TimedOutput):
    """An output that both parties' key spends, and the payer alone after a time-out. Raises `BadInput`.

    What makes them sign together is not in the output: a signature that a point locks (`mpc.musig`).

    Fields: internal_key (x-only, of both together); payer (x-only); expires_at (seconds since 1970, as the chain's
    median time past).
    """

    internal_key: bytes
    payer: bytes
    expires_at: int

    def __post_init__(self) -> None:
        self._check("internal_key", "payer")


def without_annex(witness: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """A Taproot input's witness less its annex, which means nothing yet (BIP-341)."""
    return witness[:-1] if len(witness) > 1 and witness[-1][:1] == bytes([_ANNEX]) else witness


@dataclass(frozen=True)  # no slots: as above
class HtlcSpend:
    """A transaction with one input, an HTLC's coin, and one output. Raises `BadInput` for a coin of another script.

    Fields: htlc (to refund it, a point lock is as good); coin; destination (scriptPubKey); fee; preimage (32 bytes to
    claim; None to refund).
    """

    htlc: TimedOutput
    coin: Coin
    destination: bytes
    fee: Satoshi
    preimage: bytes | None

    def __post_init__(self) -> None:
        if self.coin.script != self.htlc.script:
            raise BadInput("coin", f"{self.coin.outpoint} is not that of these terms")
        if self.preimage is None:
            return
        _leaf(self.htlc, is_claim=True)
        if len(self.preimage) != PREIMAGE_BYTES:
            raise BadInput("preimage", f"has {len(self.preimage)} bytes", f"{PREIMAGE_BYTES} bytes")

    @property
    def leaf(self) -> Leaf:
        """The leaf that it spends through."""
        return _leaf(self.htlc, is_claim=self.preimage is not None)

    @property
    def signer(self) -> bytes:
        """Whose signature it needs, x-only."""
        if self.preimage is None:
            return self.htlc.payer
        assert isinstance(self.htlc, Htlc), "checked above"
        return self.htlc.payee

    @property
    def vsize(self) -> int:
        """Virtual bytes once it is signed."""
        return spend_vsize(self.htlc, self.destination, is_claim=self.preimage is not None)

    def serialized(self) -> bytes:
        """As in a block, without the witness."""
        return self._with_time(serialize(self._spends(), [self._output()]))

    def txid(self) -> bytes:
        """32 bytes, internal byte order."""
        return sha256d(self.serialized())

    def sighash(self) -> bytes:
        """What the signer signs, 32 bytes: script path, SIGHASH_DEFAULT (BIP-342)."""
        hasher = TaprootHasher(self.serialized(), [self.coin.script], [self.coin.value])
        return hasher.script_path(0, self.leaf.script)

    def signed(self, signature: bytes) -> bytes:
        """The transaction to broadcast. Raises `BadSignature` if `signature` (64 bytes) does not hold."""
        if not schnorr_holds(self.signer, self.sighash(), signature):
            raise BadSignature(0)
        shown = () if self.preimage is None else (self.preimage,)
        witness = (signature, *shown, self.leaf.script, self.htlc.control_block(self.leaf))
        return self._with_time(serialize(self._spends(), [self._output()], [witness]))

    def signed_by(self, secret: bytes) -> bytes:
        """The transaction to broadcast. `secret`: of the signer's key, 32 bytes. Raises `BadInput` for another's."""
        if PublicKeyXOnly.from_secret(secret).format() != self.signer:
            raise BadInput("key", "is not the one that these terms name")
        return self.signed(PrivateKey(secret).sign_schnorr(self.sighash()))

    def _output(self) -> TxOut:
        return TxOut(Satoshi(self.coin.value - self.fee), self.destination)

    def _spends(self) -> list[tuple[OutPoint, int]]:
        return [(self.coin.outpoint, SEQUENCE)]

    def _with_time(self, raw: bytes) -> bytes:
        lock_time = self.htlc.expires_at if self.preimage is None else 0
        return raw[:-4] + lock_time.to_bytes(4, "little")


def _leaf(htlc: TimedOutput, *, is_claim: bool) -> Leaf:
    if not is_claim:
        return htlc.refund_leaf
    if not isinstance(htlc, Htlc):
        raise BadInput("preimage", "opens no point lock", "a pre-signature, completed by the point's secret")
    return htlc.claim_leaf


def spend_vsize(htlc: TimedOutput, destination: bytes, *, is_claim: bool) -> int:
    """Virtual bytes of a signed claim or refund with one output. Raises `BadInput`: a point lock has no claim."""
    leaf = _leaf(htlc, is_claim=is_claim)
    items = [SIGNATURE_BYTES, *([PREIMAGE_BYTES] if is_claim else []), len(leaf.script), len(htlc.control_block(leaf))]
    return vsize_of(1, [destination], 1 + sum(compact_size_length(length) + length for length in items))


def htlc_spend(
    htlc: TimedOutput,
    coin: Coin,
    destination: bytes,
    rate: SatPerKvB,
    *,
    preimage: bytes | None = None,
    minimum_fee: Satoshi = Satoshi(0),
) -> HtlcSpend:
    """Claim (with a preimage) or refund an HTLC's coin, less the fee.

    Args:
        htlc: its terms, or a point lock's to refund it.
        coin: the output.
        destination: scriptPubKey of the one who spends.
        rate: what it pays miners.
        preimage: 32 bytes; None to refund, which is valid once the chain's median time has passed the time-out.
        minimum_fee: the whole fee is at least this (see `fees.replacement_fee`).

    Raises:
        OutputBelowDust: too little is left after the fee.
        BadInput: the coin or the preimage is not of these terms.
    """
    vsize = spend_vsize(htlc, destination, is_claim=preimage is not None)
    fee = Satoshi(max(fee_at(rate, vsize), minimum_fee))
    threshold = dust_threshold(destination)
    if coin.value - fee < threshold:
        raise OutputBelowDust(0, coin.value - fee, threshold)
    return HtlcSpend(htlc, coin, destination, fee, preimage)
