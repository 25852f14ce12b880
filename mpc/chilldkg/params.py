"""Host keys and the parameters that the parties of a session agree on (ChillDKG BIP)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from mpc.curve import Point, SecretScalar, tagged_hash
from mpc.errors import (
    DuplicateHostPubkeyError,
    HostSeckeyError,
    InvalidHostPubkeyError,
    MalformedInput,
    ThresholdOrCountError,
)

BIP_TAG: Final = "BIP DKG/"
MAX_PARTICIPANTS: Final = 2**32 - 1


def tagged_hash_bip_dkg(tag: str, message: bytes) -> bytes:
    """A hash (32 bytes) in the name space of the BIP."""
    return tagged_hash(BIP_TAG + tag, message)


def signed_message(purpose: str, participant_id: int, content: bytes) -> bytes:
    """What is signed, separated as BIP-340 suggests: the purpose padded to 33 bytes, the signer, the content."""
    prefix = (BIP_TAG + purpose).encode()
    assert len(prefix) <= 33
    return prefix.ljust(33, b"\x00") + participant_id.to_bytes(4, "big") + content


@dataclass(frozen=True, slots=True)
class SessionParams:
    """The common parameters of a session. Checked by `params_validate`, which every first step calls.

    All parties must hold the same keys in the same order, and each participant must have checked that every key
    belongs to whom it thinks (compare `params_hash` over another channel, or take the keys from a registry).

    Attributes:
        hostpubkeys: host public keys (33 bytes each) in the order of the identifiers 0…n−1.
        t: how many participants sign, 1 <= t <= n <= 2**32 - 1.
    """

    hostpubkeys: Sequence[bytes]
    t: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "hostpubkeys", tuple(bytes(key) for key in self.hostpubkeys))

    @property
    def n(self) -> int:
        return len(self.hostpubkeys)


@dataclass(frozen=True, slots=True)
class DKGOutput:
    """What a session makes.

    Attributes:
        secshare: the participant's secret share (32 bytes); None for the coordinator.
        thresh_pk: the threshold public key (33 bytes). It commits to no Taproot script: nobody can have hidden one.
        pubshares: the public share (33 bytes) of participant i at position i.
    """

    secshare: bytes | None = field(repr=False)
    thresh_pk: bytes
    pubshares: tuple[bytes, ...]


def hostpubkey_gen(hostseckey: bytes) -> bytes:
    """The host public key (33 bytes) of a host secret key (32 bytes of secure randomness, kept for ever).

    Raises:
        MalformedInput: not 32 bytes.
        HostSeckeyError: zero, or not below the group order.
    """
    return host_scalar(hostseckey).point().to_bytes()


def host_scalar(hostseckey: bytes) -> SecretScalar:
    """The host secret key as a scalar; errors as for `hostpubkey_gen`."""
    if len(hostseckey) != 32:
        raise MalformedInput("hostseckey", "is not 32 bytes")
    try:
        return SecretScalar.nonzero(hostseckey)
    except MalformedInput as error:
        raise HostSeckeyError(f"the host secret key {error.problem}") from error


def params_validate(params: SessionParams) -> tuple[Point, ...]:
    """Check the parameters; return the host public keys as points.

    Raises:
        ThresholdOrCountError: `1 <= t <= n <= 2**32 - 1` does not hold.
        InvalidHostPubkeyError: a key is not a point; names the participant.
        DuplicateHostPubkeyError: two participants have the same key; names both.
    """
    if not 1 <= params.t <= params.n <= MAX_PARTICIPANTS:
        raise ThresholdOrCountError(params.t, params.n)
    points = []
    for i, key in enumerate(params.hostpubkeys):
        try:
            points.append(Point.from_bytes(key))
        except MalformedInput as error:
            raise InvalidHostPubkeyError(i) from error
    seen: dict[bytes, int] = {}
    for i, key in enumerate(params.hostpubkeys):
        if key in seen:
            raise DuplicateHostPubkeyError(seen[key], i)
        seen[key] = i
    return tuple(points)


def params_hash(params: SessionParams) -> bytes:
    """A hash (32 bytes) of the parameters for comparison over another channel; equal hashes mean equal parameters.

    Raises:
        SessionParamsError: see `params_validate`.
    """
    params_validate(params)
    return tagged_hash_bip_dkg("params_hash", serialize_params(params.t, params.hostpubkeys))


def serialize_params(t: int, hostpubkeys: Sequence[bytes]) -> bytes:
    """The threshold in 4 bytes and all keys: also what the encryption of shares binds to."""
    return t.to_bytes(4, "big") + b"".join(hostpubkeys)


def own_id(hostpubkey: bytes, params: SessionParams) -> int:
    """The identifier of the participant with this host public key.

    Raises:
        HostSeckeyError: the key is not among the session's.
    """
    try:
        return params.hostpubkeys.index(hostpubkey)
    except ValueError:
        raise HostSeckeyError("the host secret key does not match any host public key") from None
