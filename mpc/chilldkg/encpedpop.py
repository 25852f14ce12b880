"""EncPedPop, the middle layer: shares travel encrypted to host keys, so channels need not be secret.

The encryption adds a pad to each share, so the coordinator can add up ciphertexts and send one sum to each participant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from mpc.chilldkg import simplpedpop
from mpc.chilldkg.params import DKGOutput, serialize_params, tagged_hash_bip_dkg
from mpc.chilldkg.vss import split
from mpc.curve import (
    POINT_BYTES,
    SCALAR_BYTES,
    N,
    Point,
    SecretScalar,
    scalar_from_bytes,
    scalar_to_bytes,
    secret_sum,
)
from mpc.errors import (
    FaultyCoordinatorError,
    FaultyParticipantOrCoordinatorError,
    MalformedInput,
    UnknownFaultyParticipantOrCoordinatorError,
)


def _pad(shared: bytes, sender: bytes, receiver: bytes, receiver_context: bytes) -> SecretScalar:
    """The pad of one share from the hash of the ECDH secret (32 bytes) and both public keys."""
    return SecretScalar.reduced(tagged_hash_bip_dkg("encpedpop ecdh", shared + sender + receiver + receiver_context))


def _self_pad(deckey: SecretScalar, pubnonce: bytes, own_context: bytes) -> SecretScalar:
    """The pad of the share to ourselves, which needs no key exchange."""
    preimage = deckey.to_bytes() + pubnonce + own_context
    return SecretScalar.reduced(tagged_hash_bip_dkg("encaps_multi self_pad", preimage))


def _receiver_context(receiver: int, enc_context: bytes) -> bytes:
    """Binds a pad to the receiver's identifier: keys alone do not, and the pads of one nonce must all differ."""
    return receiver.to_bytes(4, "big") + enc_context


def sending_pads(
    secnonce: SecretScalar, pubnonce: bytes, deckey: SecretScalar, enckeys: Sequence[Point], context: bytes, my_id: int
) -> list[SecretScalar]:
    """The pad for each receiver (multi-recipient hashed ElGamal: one nonce for all)."""
    pads = []
    for i, enckey in enumerate(enckeys):
        bound = _receiver_context(i, context)
        if i == my_id:
            pads.append(_self_pad(deckey, pubnonce, bound))
        else:
            pads.append(_pad(secnonce.ecdh(enckey), pubnonce, enckey.to_bytes(), bound))
    return pads


def receiving_pads(
    deckey: SecretScalar, enckey: bytes, pubnonces: Sequence[bytes], context: bytes, my_id: int
) -> list[SecretScalar]:
    """The pad of each sender.

    Raises:
        FaultyParticipantOrCoordinatorError: a public nonce is not a point; names its sender.
    """
    bound = _receiver_context(my_id, context)
    pads = []
    for i, pubnonce in enumerate(pubnonces):
        if i == my_id:
            pads.append(_self_pad(deckey, pubnonce, bound))
            continue
        try:
            point = Point.from_bytes(pubnonce)
        except MalformedInput as error:
            raise FaultyParticipantOrCoordinatorError(i, "its public nonce is invalid") from error
        pads.append(_pad(deckey.ecdh(point), pubnonce, enckey, bound))
    return pads


@dataclass(frozen=True, slots=True)
class ParticipantMsg:
    """A SimplPedPop message, a public nonce and the encrypted shares: 33t + 32n + 97 bytes."""

    simpl: simplpedpop.ParticipantMsg
    pubnonce: bytes
    enc_shares: tuple[int, ...]

    @classmethod
    def from_bytes(cls, encoded: bytes, t: int, n: int) -> ParticipantMsg:
        """Parse; the caller has checked the size. Raises MalformedInput for an invalid point or scalar."""
        a = simplpedpop.ParticipantMsg.size(t)
        b = a + POINT_BYTES
        simpl = simplpedpop.ParticipantMsg.from_bytes(encoded[:a], t)
        shares = tuple(scalar_from_bytes(part, "encrypted share") for part in split(encoded[b:], SCALAR_BYTES))
        return cls(simpl, encoded[a:b], shares)

    @staticmethod
    def size(t: int, n: int) -> int:
        return simplpedpop.ParticipantMsg.size(t) + POINT_BYTES + SCALAR_BYTES * n

    def to_bytes(self) -> bytes:
        return self.simpl.to_bytes() + self.pubnonce + b"".join(scalar_to_bytes(s) for s in self.enc_shares)


@dataclass(frozen=True, slots=True)
class CoordinatorMsg:
    """A SimplPedPop message and all public nonces (not parsed: a bad one is to be blamed on its sender)."""

    simpl: simplpedpop.CoordinatorMsg
    pubnonces: tuple[bytes, ...]

    @classmethod
    def from_bytes(cls, encoded: bytes, t: int, n: int) -> CoordinatorMsg:
        """Parse; the caller has checked the size. Raises MalformedInput for an invalid point."""
        end = simplpedpop.CoordinatorMsg.size(t, n)
        simpl = simplpedpop.CoordinatorMsg.from_bytes(encoded[:end], t, n)
        return cls(simpl, tuple(split(encoded[end:], POINT_BYTES)))

    @staticmethod
    def size(t: int, n: int) -> int:
        return simplpedpop.CoordinatorMsg.size(t, n) + POINT_BYTES * n

    def to_bytes(self) -> bytes:
        return self.simpl.to_bytes() + b"".join(self.pubnonces)


@dataclass(frozen=True, slots=True)
class CoordinatorInvestigationMsg:
    """What one participant needs to find a bad share: all encrypted partial shares to it and their public shares."""

    enc_partial_secshares: tuple[int, ...]
    partial_pubshares: tuple[Point, ...]

    @classmethod
    def from_bytes(cls, encoded: bytes, n: int) -> CoordinatorInvestigationMsg:
        """Parse; the caller has checked the size. Raises MalformedInput for an invalid point or scalar."""
        end = SCALAR_BYTES * n
        secshares = tuple(scalar_from_bytes(part, "encrypted share") for part in split(encoded[:end], SCALAR_BYTES))
        return cls(secshares, tuple(Point.from_bytes_or_infinity(part) for part in split(encoded[end:], POINT_BYTES)))

    @staticmethod
    def size(n: int) -> int:
        return (SCALAR_BYTES + POINT_BYTES) * n

    def to_bytes(self) -> bytes:
        secshares = b"".join(scalar_to_bytes(share) for share in self.enc_partial_secshares)
        return secshares + b"".join(point.to_bytes() for point in self.partial_pubshares)


@dataclass(frozen=True, slots=True)
class ParticipantState:
    """What a participant keeps between its steps."""

    simpl: simplpedpop.ParticipantState
    pubnonce: bytes
    enckeys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Investigation:
    """What a participant needs to find out who sent a bad share."""

    simpl: simplpedpop.Investigation
    enc_secshare: int
    pads: tuple[SecretScalar, ...] = field(repr=False)


def participant_step1(
    seed: bytes, deckey: SecretScalar, enckeys: Sequence[Point], t: int, participant_id: int, random: bytes
) -> tuple[ParticipantState, ParticipantMsg]:
    """Make a polynomial and encrypt its values. `random`: 32 fresh bytes; `seed`: 32 secret bytes, may be reused.

    The nonce of the encryption is derived from the seed of the polynomial: the same pads never meet other shares.
    """
    encoded_keys = tuple(key.to_bytes() for key in enckeys)
    context = serialize_params(t, encoded_keys)
    simpl_seed = tagged_hash_bip_dkg("encpedpop seed", seed + random + context)
    secnonce = SecretScalar.nonzero(tagged_hash_bip_dkg("encpedpop secnonce", simpl_seed))
    pubnonce = secnonce.point().to_bytes()
    aux_rand = tagged_hash_bip_dkg("simplpedpop aux", simpl_seed)
    state, msg, shares = simplpedpop.participant_step1(simpl_seed, t, len(enckeys), participant_id, aux_rand)
    pads = sending_pads(secnonce, pubnonce, deckey, enckeys, context, participant_id)
    # A sum of a share and its pad is a ciphertext and public.
    encrypted = tuple(int.from_bytes(s.add(pad).to_bytes(), "big") for s, pad in zip(shares, pads, strict=True))
    return ParticipantState(state, pubnonce, encoded_keys), ParticipantMsg(msg, pubnonce, encrypted)


def participant_step2(
    state: ParticipantState, deckey: SecretScalar, cmsg: CoordinatorMsg, enc_secshare: int
) -> tuple[DKGOutput, bytes]:
    """Decrypt our share and go on with SimplPedPop: output and equality-check input.

    Raises:
        FaultyCoordinatorError, FaultyParticipantOrCoordinatorError, UnknownFaultyParticipantOrCoordinatorError: see
            `simplpedpop.participant_step2`; also for public nonces that were changed or are invalid.
    """
    my_id = state.simpl.participant_id
    if cmsg.pubnonces[my_id] != state.pubnonce:
        raise FaultyCoordinatorError("it replied with a wrong public nonce")
    context = serialize_params(state.simpl.t, state.enckeys)
    pads = receiving_pads(deckey, state.enckeys[my_id], cmsg.pubnonces, context, my_id)
    try:
        output, equality_input = simplpedpop.participant_step2(state.simpl, cmsg.simpl, decrypt(enc_secshare, pads))
    except UnknownFaultyParticipantOrCoordinatorError as error:
        raise _with_pads(error, enc_secshare, pads) from error
    return output, equality_input + b"".join(state.enckeys) + b"".join(cmsg.pubnonces)


def _with_pads(
    error: UnknownFaultyParticipantOrCoordinatorError, enc_secshare: int, pads: Sequence[SecretScalar]
) -> UnknownFaultyParticipantOrCoordinatorError:
    """The inner layer's error with what this layer needs for an investigation."""
    assert isinstance(error.investigation, simplpedpop.Investigation)
    investigation = Investigation(error.investigation, enc_secshare, tuple(pads))
    return UnknownFaultyParticipantOrCoordinatorError(investigation, error.problem)


def decrypt(enc_secshare: int, pads: Sequence[SecretScalar]) -> SecretScalar:
    """A share from the sum of its encrypted parts."""
    return SecretScalar(scalar_to_bytes(enc_secshare)).subtract(secret_sum(pads))


def participant_investigate(investigation: Investigation, cinv: CoordinatorInvestigationMsg) -> NoReturn:
    """Find the participant whose partial share is wrong; errors as for `simplpedpop.participant_investigate`.

    Raises:
        FaultyCoordinatorError: also where the encrypted partial shares do not add up to what it sent before.
    """
    partial_secshares = [
        SecretScalar(scalar_to_bytes(encrypted)).subtract(pad)
        for encrypted, pad in zip(cinv.enc_partial_secshares, investigation.pads, strict=True)
    ]
    if sum(cinv.enc_partial_secshares) % N != investigation.enc_secshare:
        raise FaultyCoordinatorError("the encrypted partial shares do not add up to our encrypted share")
    simplpedpop.participant_investigate(investigation.simpl, cinv.partial_pubshares, partial_secshares)


def coordinator_step(
    pmsgs: Sequence[ParticipantMsg], t: int, enckeys: Sequence[bytes]
) -> tuple[CoordinatorMsg, DKGOutput, bytes, tuple[int, ...]]:
    """Aggregate: message, output, equality-check input, and the encrypted share of each participant.

    In EncPedPop alone each participant gets its own encrypted share only; ChillDKG broadcasts all.

    Raises:
        FaultyParticipantError: see `simplpedpop.coordinator_step`.
    """
    simpl, output, equality_input = simplpedpop.coordinator_step([pmsg.simpl for pmsg in pmsgs], t)
    pubnonces = tuple(pmsg.pubnonce for pmsg in pmsgs)
    enc_secshares = tuple(sum(column) % N for column in zip(*(pmsg.enc_shares for pmsg in pmsgs), strict=True))
    equality_input += b"".join(enckeys) + b"".join(pubnonces)
    return CoordinatorMsg(simpl, pubnonces), output, equality_input, enc_secshares


def coordinator_investigate(pmsgs: Sequence[ParticipantMsg]) -> tuple[CoordinatorInvestigationMsg, ...]:
    """One message for each participant. They hold nothing secret."""
    pubshares = simplpedpop.coordinator_investigate([pmsg.simpl for pmsg in pmsgs])
    secshares = zip(*(pmsg.enc_shares for pmsg in pmsgs), strict=True)
    return tuple(CoordinatorInvestigationMsg(s, p) for s, p in zip(secshares, pubshares, strict=True))
