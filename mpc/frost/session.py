"""What all parties of one signing session share, computed once (BIP-445)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mpc.curve import POINT_BYTES, G, N, Point, tagged_hash
from mpc.errors import InvalidContributionError, MalformedInput
from mpc.frost.context import SignersContext
from mpc.frost.nonces import PUBNONCE_BYTES
from mpc.frost.tweaks import TweakContext, tweak_key


def serialize_ids(ids: Sequence[int]) -> bytes:
    """Identifiers as a set: sorted, 4 bytes each."""
    return b"".join(i.to_bytes(4, "big") for i in sorted(ids))


def binding_factor(ids: Sequence[int], aggnonce: bytes, xonly_key: bytes, msg: bytes) -> int:
    """The factor of the second nonce. It depends on everything that is signed, which defeats the ROS attack."""
    preimage = serialize_ids(ids) + aggnonce + xonly_key + msg
    return int.from_bytes(tagged_hash("BIP0445/noncecoef", preimage), "big") % N


@dataclass(frozen=True, slots=True)
class SessionContext:
    """One message, one signer set, one aggregate nonce. Valid once it exists.

    Attributes:
        aggnonce: 66 bytes, from `nonce_agg`.
        signers: the signer set.
        tweaks, is_xonly: tweaks (32 bytes each) and their modes, in order of application.
        msg: any length.

    Raises:
        InvalidContributionError: the aggregate nonce is not two points or infinities (blames the coordinator).
        MalformedInput: see `TweakContext.apply`.
    """

    aggnonce: bytes
    signers: SignersContext
    tweaks: Sequence[bytes]
    is_xonly: Sequence[bool]
    msg: bytes
    key: TweakContext = field(init=False, repr=False, compare=False)
    binding: int = field(init=False, repr=False, compare=False)
    nonce_point: Point = field(init=False, repr=False, compare=False)
    challenge: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        key = tweak_key(self.signers.thresh_point, self.tweaks, self.is_xonly)
        aggnonce, msg = bytes(self.aggnonce), bytes(self.msg)
        binding = binding_factor(self.signers.ids, aggnonce, key.xonly_key, msg)
        assert binding != 0  # has probability 2**-256
        nonce_point = _final_nonce(aggnonce, binding)
        preimage = nonce_point.to_xonly() + key.xonly_key + msg
        challenge = int.from_bytes(tagged_hash("BIP0340/challenge", preimage), "big") % N
        assert challenge != 0  # has probability 2**-256
        for name, value in (
            ("aggnonce", aggnonce),
            ("tweaks", tuple(bytes(tweak) for tweak in self.tweaks)),
            ("is_xonly", tuple(self.is_xonly)),
            ("msg", msg),
            ("key", key),
            ("binding", binding),
            ("nonce_point", nonce_point),
            ("challenge", challenge),
        ):
            object.__setattr__(self, name, value)

    @property
    def output_key(self) -> bytes:
        """The tweaked threshold key, 32 bytes x-only, that the signature verifies under."""
        return self.key.xonly_key

    @property
    def key_sign(self) -> int:
        """1, or -1 where BIP-340 negates the tweaked key because its y is odd."""
        return 1 if self.key.point.has_even_y else -1

    def share_factor(self, position: int) -> int:
        """What the secret share of the signer at `position` is multiplied with: e * lambda * g * gacc."""
        return self.challenge * self.signers.coefficients[position] * self.key_sign * self.key.sign % N

    @property
    def tweak_term(self) -> int:
        """What the aggregator adds for the tweaks: e * g * tacc."""
        return self.challenge * self.key_sign * self.key.offset % N


def _final_nonce(aggnonce: bytes, binding: int) -> Point:
    if len(aggnonce) != PUBNONCE_BYTES:
        raise InvalidContributionError(None, "aggnonce")
    try:
        first = Point.from_bytes_or_infinity(aggnonce[:POINT_BYTES])
        second = Point.from_bytes_or_infinity(aggnonce[POINT_BYTES:])
    except MalformedInput as error:
        raise InvalidContributionError(None, "aggnonce") from error
    nonce_point = first + second * binding
    # A signer that cancelled the others' nonces must not stop the session: it goes on with G, and that signer's
    # partial signature will not verify.
    return G if nonce_point.is_infinity else nonce_point
