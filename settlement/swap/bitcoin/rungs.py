"""Point mode's claims: signed by both before any money moves, at a few fees, and locked by the swap's point.

A rung is a key-path spend of the funding output to the initiator at one fee, and its pre-signature. With the scalar the
initiator completes it; by the completed signature the follower learns the scalar. The steps:

1. follower: `RungMaker` makes a fresh nonce for each rung; it knows the outpoint of its signed funding transaction.
2. initiator: `offer_rungs` chooses destination and fees, makes nonces, signs, and forgets the nonces, all at once. Its
   partial signatures are harmless: without the scalar nothing comes of them.
3. follower: `RungMaker.countersign` checks them, signs, and has the pre-signatures. It stores them, and only then sends
   its partial signatures. Whatever the initiator broadcasts from then on reveals the scalar to it.
4. initiator: `complete_rungs` checks those, and has the pre-signatures too. Only then it locks.

A follower that crashes between 1 and 3 has lost its nonces and begins a new round. Pre-signatures of earlier rounds
stay good: it keeps them all. Source: see `mpc.musig.adaptor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from adapters.bitcoin.builders import fee_at
from adapters.bitcoin.primitives import Coin, OutPoint, TxOut
from adapters.bitcoin.scripts import dust_threshold
from adapters.bitcoin.transactions import UnsignedTx, key_path_vsize
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB
from mpc import musig
from mpc.curve import SecretScalar
from mpc.errors import InvalidContributionError, InvalidPartialSignature, MalformedInput
from mpc.musig.adaptor import PRE_SIGNATURE_BYTES
from mpc.musig.nonces import PUBNONCE_BYTES
from settlement.swap.bitcoin.cosign import MAX_SCRIPT_BYTES, BadCosignature
from settlement.swap.bitcoin.output import SwapOutput
from settlement.swap.terms import Mode, Role

RUNGS: Final = 3
"""How many fees a claim is signed at, unless the caller says otherwise."""
RUNG_STEPS: Final = (1, 3, 10)
"""What the rungs pay, as multiples of the first rung's rate."""
MAX_RUNGS: Final = 16
_FEE_BYTES: Final = 8


def rung_fees(coin: Coin, destination: bytes, first: SatPerKvB, highest: SatPerKvB) -> tuple[Satoshi, ...]:
    """The fee of each rung: at `first`, at three and at ten times of it, none above `highest` or beyond dust.

    Raises:
        BadInput: the coin is worth less than dust and the fee at `first`.
    """
    vsize = key_path_vsize(1, [destination])
    most = coin.value - dust_threshold(destination)
    if most < fee_at(first, vsize):
        raise BadInput("amount", f"{coin.value:,} satoshi are eaten up by the claim's fee", "swap a larger amount")
    rates = (min(SatPerKvB(first * step), max(highest, first)) for step in RUNG_STEPS)
    return tuple(Satoshi(min(fee_at(SatPerKvB(rate), vsize), most)) for rate in rates)


@dataclass(frozen=True, slots=True)
class RungOffer:
    """What the initiator tells of a rung besides its partial signature. Raises `BadInput`.

    Fields: nonce (its public one, 66 bytes); fee (satoshi); destination (its scriptPubKey).
    """

    nonce: bytes
    fee: Satoshi
    destination: bytes

    def __post_init__(self) -> None:
        if len(self.nonce) != PUBNONCE_BYTES or not 1 <= len(self.destination) <= MAX_SCRIPT_BYTES:
            raise BadInput("rung", "has a nonce or a destination of a wrong length")

    def encode(self) -> bytes:
        """Nonce (66 bytes), fee (8), destination (the rest)."""
        return self.nonce + self.fee.to_bytes(_FEE_BYTES, "big") + self.destination

    @classmethod
    def decode(cls, data: bytes) -> RungOffer:
        """The inverse of `encode`. Raises `BadInput`."""
        end = PUBNONCE_BYTES + _FEE_BYTES
        return cls(data[:PUBNONCE_BYTES], Satoshi(int.from_bytes(data[PUBNONCE_BYTES:end], "big")), data[end:])


@dataclass(frozen=True, slots=True)
class Rung:
    """A claim at one fee that lacks the scalar only. Raises `BadInput`.

    Fields: pre (its pre-signature); fee (satoshi); destination (scriptPubKey of the initiator).
    """

    pre: musig.PreSignature
    fee: Satoshi
    destination: bytes

    def encode(self) -> bytes:
        """Pre-signature (65 bytes), fee (8), destination (the rest)."""
        return self.pre.encode() + self.fee.to_bytes(_FEE_BYTES, "big") + self.destination

    @classmethod
    def decode(cls, data: bytes) -> Rung:
        """The inverse of `encode`. Raises `BadInput`."""
        end = PRE_SIGNATURE_BYTES + _FEE_BYTES
        pre = musig.PreSignature.decode(data[:PRE_SIGNATURE_BYTES])
        return cls(pre, Satoshi(int.from_bytes(data[PRE_SIGNATURE_BYTES:end], "big")), data[end:])

    def spend(self, coin: Coin) -> UnsignedTx:
        """The claim. Raises `BadInput`: the coin cannot bear the fee."""
        return _spend(coin, self.fee, self.destination)

    def holds(self, output: SwapOutput, coin: Coin, point: bytes) -> bool:
        """Whether the scalar of `point` (33 bytes), and only it, makes this a valid claim of `coin`."""
        output.check_coin(coin)
        (message,) = self.spend(coin).sighashes()
        return self.pre.holds(point, output.signing.xonly_key, message)

    def claim(self, output: SwapOutput, coin: Coin, scalar: bytes) -> bytes:
        """The transaction to broadcast. Raises `BadSignature`: `scalar` (32 bytes) is not the point's."""
        output.check_coin(coin)
        return self.spend(coin).signed([self.pre.complete(SecretScalar.nonzero(scalar))])


def scalar_in(signature: bytes, rungs: Sequence[Rung], point: bytes) -> bytes | None:
    """The scalar of `point` (33 bytes) that a key-path signature (64 bytes) reveals; None: it completes no rung."""
    for rung in rungs:
        try:
            return rung.pre.extract(signature, point).to_bytes()
        except MalformedInput:
            continue
    return None


class RungMaker:
    """The follower's part. Holds the secret nonces of one round in memory, and uses each once."""

    def __init__(self, output: SwapOutput, secret: bytes, rungs: int = RUNGS) -> None:
        """Make the nonces. `secret`: of the follower's key, 32 bytes. Raises `BadInput`."""
        _check(output, rungs)
        self._output = output
        self._secret = output.secret_of(Role.FOLLOWER, secret)
        self._nonces = [musig.SecNonce.fresh(self._secret, output.signing) for _ in range(rungs)]

    @property
    def nonces(self) -> tuple[bytes, ...]:
        """The public nonces to send, 66 bytes each."""
        return tuple(nonce.public for nonce in self._nonces)

    def countersign(
        self, coin: Coin, offers: Sequence[RungOffer], partials: Sequence[bytes], point: bytes
    ) -> tuple[tuple[Rung, ...], tuple[bytes, ...]]:
        """Check the initiator's part and sign. Whatever happens, the nonces are used up.

        Args:
            coin: what the funding transaction will make.
            offers, partials: the initiator's, one for each rung.
            point: of the swap, 33 bytes.

        Returns:
            The rungs, to be stored before anything is sent; and the partial signatures (32 bytes each) to send then.

        Raises:
            BadCosignature: a part does not hold; nothing was signed.
            BadInput: there is not one for each rung, or a transaction cannot be.
            NonceReused: this was called before.
        """
        try:
            if not len(offers) == len(partials) == len(self._nonces):
                raise BadInput("rungs", f"{len(offers)} for {len(self._nonces)}")
            pairs = list(zip(offers, self._nonces, strict=True))
            sessions = [_session(self._output, coin, offer, nonce.public, point) for offer, nonce in pairs]
            for offer, partial, session in zip(offers, partials, sessions, strict=True):
                _verify(partial, offer.nonce, Role.INITIATOR, session)
            own = [
                musig.sign(nonce, self._secret, session) for nonce, session in zip(self._nonces, sessions, strict=True)
            ]
            parts = zip(offers, sessions, partials, own, self._nonces, strict=True)
            rungs = tuple(
                Rung(
                    musig.pre_signature([theirs, ours], [offer.nonce, nonce.public], session),
                    offer.fee,
                    offer.destination,
                )
                for offer, session, theirs, ours, nonce in parts
            )
            return rungs, tuple(own)
        finally:
            for nonce in self._nonces:
                nonce.erase()


def offer_rungs(
    output: SwapOutput,
    secret: bytes,
    coin: Coin,
    nonces: Sequence[bytes],
    destination: bytes,
    fees: Sequence[Satoshi],
    point: bytes,
) -> tuple[tuple[RungOffer, ...], tuple[bytes, ...]]:
    """The initiator's part: an offer and a partial signature (32 bytes) for each rung.

    Args:
        secret: of the initiator's key, 32 bytes.
        coin: what the follower's funding transaction will make.
        nonces: the follower's, public.
        destination: the initiator's scriptPubKey.
        fees: one for each rung.
        point: of the swap, 33 bytes.

    Raises:
        BadInput: there is not one fee for each nonce, or a transaction cannot be.
        BadCosignature: a nonce is not two points.
    """
    _check(output, len(nonces))
    if len(fees) != len(nonces):
        raise BadInput("rungs", f"{len(fees)} fees for {len(nonces)} nonces")
    output.check_coin(coin)
    scalar = output.secret_of(Role.INITIATOR, secret)
    offers, partials = [], []
    for theirs, fee in zip(nonces, fees, strict=True):
        (message,) = _spend(coin, fee, destination).sighashes()
        nonce = musig.SecNonce.fresh(scalar, output.signing, message)
        offer = RungOffer(nonce.public, fee, destination)
        try:
            partials.append(musig.sign(nonce, scalar, _session(output, coin, offer, theirs, point)))
        finally:
            nonce.erase()
        offers.append(offer)
    return tuple(offers), tuple(partials)


def complete_rungs(
    output: SwapOutput,
    coin: Coin,
    point: bytes,
    offers: Sequence[RungOffer],
    own: Sequence[bytes],
    nonces: Sequence[bytes],
    partials: Sequence[bytes],
) -> tuple[Rung, ...]:
    """The rungs, from the initiator's offers and partial signatures and the follower's nonces and partial signatures.

    Raises:
        BadCosignature: a part of the follower's does not hold.
        BadInput: there is not one of each for each rung.
    """
    _check(output, len(offers))
    if not len(offers) == len(own) == len(nonces) == len(partials):
        raise BadInput("rungs", f"{len(partials)} answers for {len(offers)}")
    output.check_coin(coin)
    made = []
    for offer, ours, nonce, theirs in zip(offers, own, nonces, partials, strict=True):
        session = _session(output, coin, offer, nonce, point)
        _verify(theirs, nonce, Role.FOLLOWER, session)
        try:
            pre = musig.pre_signature([ours, theirs], [offer.nonce, nonce], session)
        except (InvalidPartialSignature, InvalidContributionError) as error:
            raise BadInput("rungs", f"the own parts are of another round: {error}") from error
        made.append(Rung(pre, offer.fee, offer.destination))
    return tuple(made)


def encode_claims(outpoint: OutPoint, rungs: Sequence[Rung]) -> bytes:
    """All rungs of one round in one piece, for the lock's memo: a mnemonic and the chains then suffice to claim.

    Outpoint (36 bytes), length of the destination (1), destination, then for each rung pre-signature (65) and fee (8):
    290 bytes for three rungs to a Taproot address. Raises `BadInput`: the rungs differ in their destination.
    """
    destinations = {rung.destination for rung in rungs}
    if len(destinations) != 1:
        raise BadInput("rungs", "there are none, or they pay to several scripts")
    (destination,) = destinations
    parts = (rung.pre.encode() + rung.fee.to_bytes(_FEE_BYTES, "big") for rung in rungs)
    return outpoint.serialized() + bytes([len(destination)]) + destination + b"".join(parts)


def decode_claims(data: bytes) -> tuple[OutPoint, tuple[Rung, ...]]:
    """The inverse of `encode_claims`. Raises `BadInput`."""
    size = PRE_SIGNATURE_BYTES + _FEE_BYTES
    start = 37 + (data[36] if len(data) > 36 else 0)
    count, rest = divmod(len(data) - start, size)
    if rest or not 1 <= count <= MAX_RUNGS:
        raise BadInput("rungs", f"{len(data)} bytes are not what rungs have")
    destination = data[37:start]
    rungs = tuple(Rung.decode(data[at : at + size] + destination) for at in range(start, len(data), size))
    return OutPoint.parse(data[:36]), rungs


def _check(output: SwapOutput, rungs: int) -> None:
    if output.mode is not Mode.POINT:
        raise BadInput("mode", "is hash: there is no point to lock signatures by")
    if not 1 <= rungs <= MAX_RUNGS:
        raise BadInput("rungs", f"{rungs}", f"1 to {MAX_RUNGS}")


def _spend(coin: Coin, fee: Satoshi, destination: bytes) -> UnsignedTx:
    left = coin.value - fee
    if fee < 0 or left < dust_threshold(destination):
        raise BadInput("rung.fee", f"{fee:,} of {coin.value:,} satoshi", "it leaves less than dust")
    return UnsignedTx((coin,), (TxOut(Satoshi(left), destination),))


def _session(output: SwapOutput, coin: Coin, offer: RungOffer, followers: bytes, point: bytes) -> musig.Session:
    output.check_coin(coin)
    (message,) = _spend(coin, offer.fee, offer.destination).sighashes()
    try:
        return musig.Session(output.signing, musig.nonce_agg([offer.nonce, followers]), message, point)
    except InvalidContributionError as error:
        raise BadCosignature(str(error)) from error


def _verify(partial: bytes, nonce: bytes, role: Role, session: musig.Session) -> None:
    position = 0 if role is Role.INITIATOR else 1
    if not musig.verify_partial(partial, nonce, position, session):
        raise BadCosignature("a rung's partial signature is wrong")
