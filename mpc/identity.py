"""A node's identity: everything is derived from one secret, the host key (docs/architecture.md, "Identities")."""

from __future__ import annotations

from dataclasses import dataclass, field

import zmq
from zmq.utils import z85

from mpc import bip340
from mpc.chilldkg.params import host_scalar
from mpc.curve import SecretScalar, tagged_hash


@dataclass(frozen=True, slots=True)
class Identity:
    """The keys of one node.

    Attributes:
        host_secret: 32 bytes; ChillDKG and the signatures on peer messages.
        host_key: 33 bytes compressed, its public key: the node's name among peers.
        account_secret: 32 bytes; the EVM account.
        transport_secret: 32 bytes, clamped; ZeroMQ CURVE.
        transport_key: 32 bytes, its public key.
    """

    host_secret: bytes = field(repr=False)
    host_key: bytes
    account_secret: bytes = field(repr=False)
    transport_secret: bytes = field(repr=False)
    transport_key: bytes

    @classmethod
    def from_host_secret(cls, host_secret: bytes) -> Identity:
        """Derive all keys from 32 bytes.

        Raises:
            MalformedInput: not 32 bytes.
            HostSeckeyError: zero, or not below the group order.
        """
        scalar = host_scalar(host_secret)
        account = tagged_hash("Causeway/account", host_secret)
        SecretScalar.nonzero(account)  # fails with probability 2**-128: then take another host key
        transport = _clamped(tagged_hash("Causeway/transport", host_secret))
        public = z85.decode(zmq.curve_public(z85.encode(transport)))
        return cls(host_secret, scalar.point().to_bytes(), account, transport, public)

    def sign(self, digest: bytes, aux_rand: bytes) -> bytes:
        """A BIP-340 signature (64 bytes) by the host key over a digest (32 bytes). `aux_rand`: 32 fresh bytes."""
        return bip340.sign(digest, self.host_secret, aux_rand)


def _clamped(digest: bytes) -> bytes:
    """A Curve25519 secret key (RFC 7748, section 5)."""
    scalar = bytearray(digest)
    scalar[0] &= 248
    scalar[31] &= 127
    scalar[31] |= 64
    return bytes(scalar)
