"""A group whose key was dealt, with deterministic secrets."""

from dataclasses import dataclass

import pytest

from mpc import frost
from mpc.chilldkg.vss import VSSCommitment, evaluate_secret, generate_coefficients
from mpc.curve import tagged_hash

MESSAGE = b"what the group signs, of any length"


@dataclass(frozen=True)
class Group:
    """Shares and keys of n participants, threshold t, and shortcuts to sign with some of them."""

    n: int
    t: int
    secshares: tuple[bytes, ...]
    pubshares: tuple[bytes, ...]
    thresh_pk: bytes

    def signers(self, ids):
        return frost.SignersContext(self.n, self.t, ids, [self.pubshares[i] for i in ids], self.thresh_pk)

    def nonces(self, ids, label=b""):
        """The secret and the public nonces of some signers; another label gives others."""
        made = [
            frost.nonce_gen(self.secshares[i], None, None, None, None, tagged_hash("test nonce", label + bytes([i])))
            for i in ids
        ]
        return [secnonce for secnonce, _ in made], [pubnonce for _, pubnonce in made]

    def session(self, ids, pubnonces, msg=MESSAGE, tweaks=(), is_xonly=()):
        return frost.SessionContext(frost.nonce_agg(pubnonces, ids), self.signers(ids), tweaks, is_xonly, msg)

    def sign(self, ids, secnonces, session):
        return [frost.sign(k, self.secshares[i], i, session) for i, k in zip(ids, secnonces, strict=True)]


def deal_group(t, n, seed=b"group"):
    coefficients = generate_coefficients(tagged_hash("test group", seed), t)
    commitment = VSSCommitment.of(coefficients)
    secshares = tuple(evaluate_secret(coefficients, i + 1).to_bytes() for i in range(n))
    pubshares = tuple(point.to_bytes() for point in commitment.pubshares(n))
    return Group(n, t, secshares, pubshares, commitment.to_secret.to_bytes())


@pytest.fixture
def deal():
    """Deal a group: deal(t, n, seed)."""
    return deal_group


@pytest.fixture
def group():
    return deal_group(3, 5)
