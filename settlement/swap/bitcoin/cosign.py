"""Both sides sign a key-path spend of the swap's output together: the initiator's claim, or the follower's refund.

Two messages: a request (which transaction, and the asker's public nonce), an answer (the other's nonce and partial
signature). The asker's secret nonce lives in memory alone: after a crash it asks again. The answerer makes its nonce
and signs in one step, so a repeated request gets another nonce, and none is ever used twice.

The answerer rebuilds the transaction from a structure that can only spend this swap's output: whatever a request says,
no other coin of its key is signed for. Whether it wants to sign is its machine's decision, taken before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adapters.bitcoin.primitives import Coin, OutPoint, TxOut
from adapters.bitcoin.scripts import dust_threshold
from adapters.bitcoin.transactions import UnsignedTx
from foundation.errors import BadInput, Fatal
from foundation.quantities import Satoshi
from mpc import musig
from mpc.errors import InvalidContributionError, InvalidPartialSignature, MalformedInput
from mpc.musig.nonces import PUBNONCE_BYTES
from settlement.swap.bitcoin.output import SwapOutput
from settlement.swap.terms import Role

PARTIAL_BYTES: Final = 32
MAX_SCRIPT_BYTES: Final = 42
"""No witness program is longer (BIP-141); older kinds of addresses are shorter."""
_FORMAT: Final = 1
_HEAD: Final = 1 + 36 + 8 + 8 + PUBNONCE_BYTES


class BadCosignature(Fatal):
    """The other side's part of a signature does not hold. It is no proof for others. Fields: problem."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the other side's part of the signature does not hold: {problem}")


@dataclass(frozen=True, slots=True)
class CosignRequest:
    """A call for a signature. Raises `BadInput`.

    Fields: outpoint (of the swap's coin); value (of the coin); fee (satoshi); destination (scriptPubKey of the asker);
    nonce (the asker's, public, 66 bytes).
    """

    outpoint: OutPoint
    value: Satoshi
    fee: Satoshi
    destination: bytes
    nonce: bytes

    def __post_init__(self) -> None:
        if len(self.nonce) != PUBNONCE_BYTES:
            raise BadInput("request.nonce", f"has {len(self.nonce)} bytes", f"{PUBNONCE_BYTES} bytes")
        if not 1 <= len(self.destination) <= MAX_SCRIPT_BYTES:
            raise BadInput("request.destination", f"has {len(self.destination)} bytes", f"1 to {MAX_SCRIPT_BYTES}")
        if not 0 <= self.fee <= self.value - dust_threshold(self.destination):
            raise BadInput("request.fee", f"{self.fee} of {self.value} satoshi", "it leaves less than dust")

    def encode(self) -> bytes:
        """Format (1 byte), outpoint (36), value (8), fee (8), nonce (66), destination (the rest)."""
        amounts = self.value.to_bytes(8, "big") + self.fee.to_bytes(8, "big")
        return bytes([_FORMAT]) + self.outpoint.serialized() + amounts + self.nonce + self.destination

    @classmethod
    def decode(cls, data: bytes) -> CosignRequest:
        """The inverse of `encode`. Raises `BadInput`."""
        if len(data) <= _HEAD or data[0] != _FORMAT:
            raise BadInput("request", "is not in a format that this version knows")
        value, fee = (Satoshi(int.from_bytes(data[at : at + 8], "big")) for at in (37, 45))
        return cls(OutPoint.parse(data[1:37]), value, fee, data[_HEAD:], data[53:_HEAD])

    def spend(self, output: SwapOutput) -> UnsignedTx:
        """The transaction: the swap's coin, paid to the asker less the fee."""
        coin = Coin(self.outpoint, self.value, output.script)
        return UnsignedTx((coin,), (TxOut(Satoshi(self.value - self.fee), self.destination),))


@dataclass(frozen=True, slots=True)
class CosignAnswer:
    """The other side's part. Fields: nonce (public, 66 bytes); partial (its partial signature, 32 bytes)."""

    nonce: bytes
    partial: bytes

    def encode(self) -> bytes:
        """98 bytes."""
        return self.nonce + self.partial

    @classmethod
    def decode(cls, data: bytes) -> CosignAnswer:
        """The inverse of `encode`. Raises `BadInput`."""
        if len(data) != PUBNONCE_BYTES + PARTIAL_BYTES:
            raise BadInput("answer", f"has {len(data)} bytes", f"{PUBNONCE_BYTES + PARTIAL_BYTES} bytes")
        return cls(data[:PUBNONCE_BYTES], data[PUBNONCE_BYTES:])


class Asker:
    """One side's call for a signature: the request to send, and the secret nonce to finish with. Once, in memory."""

    def __init__(self, output: SwapOutput, role: Role, secret: bytes, spend: UnsignedTx) -> None:
        """Make a fresh nonce for `spend`, a key-path spend of the swap's output. Raises `BadInput` for another's."""
        (coin,) = spend.inputs
        (paid,) = spend.outputs
        output.check_coin(coin)
        self._output, self._role, self._spend = output, role, spend
        self._secret = output.secret_of(role, secret)
        (self._message,) = spend.sighashes()
        self._nonce = musig.SecNonce.fresh(self._secret, output.signing, self._message)
        self.request = CosignRequest(coin.outpoint, coin.value, spend.fee, paid.script, self._nonce.public)

    @property
    def spend(self) -> UnsignedTx:
        """What is to be signed."""
        return self._spend

    def finish(self, answer: CosignAnswer) -> bytes:
        """The transaction to broadcast. Whatever happens, this request is used up.

        Raises:
            BadCosignature: the answer does not hold.
            NonceReused: this was called before.
        """
        own = self._output.position_of(self._role)
        nonces = [answer.nonce, answer.nonce]
        nonces[own] = self._nonce.public
        try:
            session = musig.Session(self._output.signing, musig.nonce_agg(nonces), self._message)
            partials = [answer.partial, answer.partial]
            partials[own] = musig.sign(self._nonce, self._secret, session)
            return self._spend.signed([musig.aggregate(partials, nonces, session)])
        except (InvalidContributionError, InvalidPartialSignature) as error:
            raise BadCosignature(str(error)) from error
        finally:
            self._nonce.erase()


def answer(output: SwapOutput, role: Role, secret: bytes, request: CosignRequest) -> CosignAnswer:
    """Sign the other side's spend of this swap's output, as `role`, with a nonce that is made and used up here.

    Raises:
        BadInput: the secret (32 bytes) is not that of this side's key, or no such transaction can be.
        BadCosignature: the request's nonce is not two points.
    """
    scalar = output.secret_of(role, secret)
    (message,) = request.spend(output).sighashes()
    nonce = musig.SecNonce.fresh(scalar, output.signing, message)
    nonces = [request.nonce, request.nonce]
    nonces[output.position_of(role)] = nonce.public
    try:
        session = musig.Session(output.signing, musig.nonce_agg(nonces), message)
        return CosignAnswer(nonce.public, musig.sign(nonce, scalar, session))
    except (InvalidContributionError, MalformedInput) as error:
        raise BadCosignature(str(error)) from error
    finally:
        nonce.erase()
