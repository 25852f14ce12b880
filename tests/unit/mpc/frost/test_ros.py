"""The ROS attack on parallel signing sessions (Benhamouda, Lepoint, Loss, Orrù, Raykova, 2020).

The adversary holds one share of a 2-of-3 group and opens 256 sessions with an honest signer before it names a message
in any of them. If the group nonce of a session does not depend on its message, the adversary has two challenges to
choose from in each session; a combination of the sessions then reaches any challenge it needs, bit by bit, and its
shares add up to a signature over a message that nobody signed. The binding factor makes the nonce depend on it.
"""

import pytest

from mpc import bip340, frost
from mpc.curve import G, N, Point, SecretScalar, multi_mul, tagged_hash

SESSIONS = 256
HONEST, CORRUPT = 0, 1
IDS = (HONEST, CORRUPT)
FORGED = b"pay everything to the adversary"


def to_int(encoded):
    return int.from_bytes(encoded, "big")


class Session:
    """One session: the honest signer has sent its nonce; the adversary holds two messages ready."""

    def __init__(self, group, signers, number):
        self.group = group
        (self.secnonce, _), pubnonces = group.nonces(IDS, number.to_bytes(2, "big"))
        aggnonce = frost.nonce_agg(pubnonces)
        self.choices = [
            frost.SessionContext(aggnonce, signers, (), (), b"harmless %d of session %d" % (bit, number))
            for bit in (0, 1)
        ]
        self.honest_nonce = tuple(Point.from_bytes(part) for part in (pubnonces[0][:33], pubnonces[0][33:]))

    def honest_point(self):
        """The honest signer's part of the nonce, as the adversary expects it in both choices."""
        expected = self.choices[0]
        point = self.honest_nonce[0] + self.honest_nonce[1] * expected.binding
        return point if expected.nonce_point.has_even_y else -point

    def ask(self, bit):
        """The honest signer's partial signature over the chosen, harmless message."""
        return to_int(frost.sign(self.secnonce, self.group.secshares[HONEST], HONEST, self.choices[bit]))


def forge(group):
    """Run the attack; return the would-be signature over FORGED."""
    signers = group.signers(IDS)
    sessions = [Session(group, signers, number) for number in range(SESSIONS)]
    challenges = [[choice.challenge for choice in session.choices] for session in sessions]
    weights = [pow(2, i, N) * pow(e1 - e0, -1, N) % N for i, (e0, e1) in enumerate(challenges)]
    nonce, offset = multi_mul(weights, [session.honest_point() for session in sessions]), 0
    while not nonce.has_even_y:
        nonce, offset = nonce + G, offset + 1
    key = group.thresh_pk[1:]
    target = to_int(tagged_hash("BIP0340/challenge", nonce.to_xonly() + key + FORGED))
    rest = (target - sum(w * e0 for w, (e0, _) in zip(weights, challenges, strict=True))) % N
    # sum of weights[i] * e_i[bit_i] == target, because weights[i] * (e_i[1] - e_i[0]) == 2**i
    answers = [session.ask(rest >> i & 1) for i, session in enumerate(sessions)]
    coefficient = frost.lagrange_coefficients(IDS)[CORRUPT] * sessions[0].choices[0].key_sign
    own = SecretScalar(group.secshares[CORRUPT]).mul_public(target * coefficient)
    s = own.add_public(offset + sum(w * answer for w, answer in zip(weights, answers, strict=True)))
    return nonce.to_xonly() + s.to_bytes()


@pytest.mark.parametrize("seed", [b"a", b"b"])
def test_a_constant_binding_factor_is_forgeable(deal, monkeypatch, seed):
    """Attack: a build whose binding factor is constant gives 256 parallel sessions away to a forgery."""
    monkeypatch.setattr("mpc.frost.session.binding_factor", lambda *args: 1)
    group = deal(2, 3, seed)
    assert bip340.verify(FORGED, group.thresh_pk[1:], forge(group))


@pytest.mark.parametrize("seed", [b"a", b"b"])
def test_the_real_binding_factor_is_not(deal, seed):
    """Attack: the same forgery over 256 parallel sessions fails against the real binding factor."""
    group = deal(2, 3, seed)
    assert not bip340.verify(FORGED, group.thresh_pk[1:], forge(group))
