"""Key generation for any parameters and any bytes from peers."""

from contextlib import suppress
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import Fatal
from mpc import chilldkg
from mpc.chilldkg.vss import VSSCommitment, evaluate_secret, generate_coefficients
from mpc.curve import INFINITY, G, N, tagged_hash

T, N_PARTIES = 2, 3


@cache
def session():
    """One session without faults: host keys, parameters, states, messages, recovery data."""
    hostseckeys = [tagged_hash("test host key", bytes([i])) for i in range(N_PARTIES)]
    params = chilldkg.SessionParams([chilldkg.hostpubkey_gen(key) for key in hostseckeys], T)
    first = [chilldkg.participant_step1(key, params, tagged_hash("test", key)) for key in hostseckeys]
    pmsgs1 = [pmsg for _, pmsg in first]
    coordinator, cmsg1 = chilldkg.coordinator_step1(pmsgs1, params)
    second = [
        chilldkg.participant_step2(key, state, cmsg1, bytes(32))
        for key, (state, _) in zip(hostseckeys, first, strict=True)
    ]
    _, _, recovery_data = chilldkg.coordinator_finalize(coordinator, [pmsg for _, pmsg in second])
    return hostseckeys, params, [state for state, _ in first], pmsgs1, cmsg1, recovery_data


@given(st.integers(1, 12), st.integers(1, 30), st.binary(min_size=32, max_size=32))
@settings(max_examples=40, deadline=None)
def test_public_and_secret_evaluation_agree(t, n, seed):
    """For any polynomial the fast public shares are the points of the secret shares."""
    coefficients = generate_coefficients(seed, t)
    pubshares = VSSCommitment.of(coefficients).pubshares(n)
    assert pubshares == tuple(evaluate_secret(coefficients, i + 1).point() for i in range(n))


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=6), st.integers(1, 12))
@settings(max_examples=80, deadline=None)
def test_small_polynomials_with_many_zeros(coefficients, n):
    """Polynomials with small integers, full of zeros and infinities on the way, evaluate to the right points."""
    commitment = VSSCommitment(tuple(G * c if c else INFINITY for c in coefficients))
    expected = [sum(c * x**j for j, c in enumerate(coefficients)) % N for x in range(1, n + 1)]
    assert commitment.pubshares(n) == tuple(G * value for value in expected)


def mangled(message, data):
    """The message with some bytes replaced, or cut or extended."""
    changed = bytearray(message)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([0, 0, 0, 1, -1]))
    return bytes(changed[:-1] if cut < 0 else changed + bytes(cut))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_mangled_first_message_never_crashes_the_coordinator(data):
    """Whatever a participant sends, the coordinator goes on or raises a typed error."""
    _, params, _, pmsgs1, _, _ = session()
    pmsgs = [*pmsgs1[:2], mangled(pmsgs1[2], data)]
    with suppress(Fatal):
        chilldkg.coordinator_step1(pmsgs, params)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_mangled_coordinator_message_never_passes(data):
    """Whatever the coordinator sends, a participant raises a typed error, or signs what differs from other views.

    Its own proof of possession is the exception: it knows that one, nobody signs it, and it need not look.
    """
    hostseckeys, _, states, _, cmsg1, recovery_data = session()
    message = mangled(cmsg1, data)
    try:
        state2, _ = chilldkg.participant_step2(hostseckeys[0], states[0], message, bytes(32))
    except Fatal:
        return
    own_pop = 33 * (N_PARTIES + T - 1)
    unchanged = message == cmsg1[:own_pop] + message[own_pop : own_pop + 64] + cmsg1[own_pop + 64 :]
    assert (state2.equality_input == recovery_data[: -64 * N_PARTIES]) == unchanged


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_mangled_recovery_data_never_recovers_something_else(data):
    """Recovery gives the true output or a typed error, whatever the data."""
    hostseckeys, _, _, _, _, recovery_data = session()
    try:
        output, _ = chilldkg.participant_recover(hostseckeys[1], mangled(recovery_data, data))
    except Fatal:
        return
    assert output == chilldkg.participant_recover(hostseckeys[1], recovery_data)[0]
