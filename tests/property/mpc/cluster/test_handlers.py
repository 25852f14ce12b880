"""Whatever a registered member sends, of whatever kind, a node answers or refuses it with a typed error."""

import asyncio
import contextlib
import tempfile
from functools import cache
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpc import messages
from mpc.cluster import Cluster
from mpc.cluster_errors import MalformedMessage, UnauthenticMessage
from mpc.curve import G
from mpc.dkg_run import PREFIX
from mpc.evidence import Evidence, proves_fault
from mpc.keystore import Keystore
from mpc.messages import Envelope
from mpc.nonce_store import NonceJournal
from mpc.ports import GroupProposal, SigningItem, Tweak
from mpc.signing_run import CLOSE, INVITE, ROUND
from mpc.transport import PeerNetwork, Received
from tests.support.cluster import (
    CHEAP,
    GROUP,
    NETWORK,
    BodyAuthorizer,
    Directory,
    ManualClock,
    MemoryIncidents,
    deal,
    identities,
)

T, N = 2, 3
HOSTS = identities(N)
KEYS = [identity.host_key for identity in HOSTS]
SESSION = b"\x07" * 32
UNMADE = b"\x09" * 32  # a group that is proposed and has no key yet
POINT = G.to_bytes()

b32 = st.one_of(st.sampled_from([SESSION, GROUP, UNMADE]), st.binary(min_size=32, max_size=32))
nonce = st.one_of(st.just(POINT * 2), st.just(bytes(66)), st.binary(min_size=66, max_size=66))
nonces = st.lists(nonce, min_size=1, max_size=3)
counter = st.one_of(st.sampled_from([0, 1]), st.integers(0, 2**32 - 1))
indices = st.lists(st.integers(0, 99), min_size=1, max_size=4) | st.permutations(range(N))
members = st.just(KEYS) | st.lists(st.sampled_from([*KEYS, POINT, bytes(33)]), min_size=1, max_size=4)
payload = st.binary(max_size=300) | st.just(bytes(5_000))
signature = st.binary(min_size=64, max_size=64)

WELL_FORMED = {
    INVITE: st.builds(
        messages.Invite, b32, b32, counter, st.sampled_from(["test", "group-proof", "?"]), st.binary(max_size=70)
    ),
    ROUND: st.builds(messages.Round, b32, counter, indices.map(list), nonces, b32),
    CLOSE: st.builds(messages.Close, b32),
    PREFIX + "start": st.builds(messages.DkgStart, b32, counter, counter, st.integers(1, 100), members),
    PREFIX + "second": st.builds(messages.DkgStep, b32, payload),
    PREFIX + "investigate": st.builds(messages.DkgStep, b32, payload),
    PREFIX + "finish": st.builds(messages.DkgStep, b32, payload),
    PREFIX + "adopt": st.builds(messages.DkgStep, b32, payload),
    PREFIX + "done": st.builds(messages.DkgDone, b32, payload, st.lists(signature, min_size=1, max_size=4)),
}
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(max_size=70) | st.text()
)
anything = st.recursive(
    scalars, lambda x: st.lists(x, max_size=6) | st.dictionaries(st.text(max_size=5), x, max_size=4)
)


@cache
def network():
    """A whole node that is not connected: its network is asked to answer by hand."""
    temporary = tempfile.TemporaryDirectory()
    folder = Path(temporary.name)
    directory = Directory()
    for group in (GROUP, UNMADE):
        directory.proposals[group] = GroupProposal(group, 0, tuple(KEYS), T)
    keystore = Keystore.create(folder / "keys", "p", HOSTS[0].host_secret, CHEAP)
    keystore.store(deal(T, N)[0])
    clock = ManualClock()
    peers = PeerNetwork(HOSTS[0], NETWORK, directory, "tcp://127.0.0.1:*", clock=clock)
    journal = NonceJournal(folder / "nonces.journal")
    cluster = Cluster(HOSTS[0], peers, keystore, BodyAuthorizer(), directory, MemoryIncidents(), journal, clock)
    asyncio.run(cluster.start())
    return peers, cluster, clock, temporary  # removed when the process ends


def mutated(data, encoded):
    """The message with one of its fields replaced, dropped, doubled, or bytes changed."""
    fields = msgspec.msgpack.decode(encoded)
    position = data.draw(st.integers(0, len(fields) - 1), "field")
    match data.draw(st.sampled_from(["value", "drop", "add", "cut", "flip", "none"]), "how"):
        case "value":
            fields[position] = data.draw(anything)
        case "drop":
            del fields[position]
        case "add":
            fields.insert(position, data.draw(anything))
        case "cut":
            return encoded[: data.draw(st.integers(0, len(encoded)))]
        case "flip":
            at = data.draw(st.integers(0, len(encoded) - 1))
            return encoded[:at] + bytes([encoded[at] ^ data.draw(st.integers(1, 255))]) + encoded[at + 1 :]
    return msgspec.msgpack.encode(fields)


def test_every_kind_that_a_node_answers_is_fuzzed():
    """The kinds below are all that a cluster listens to."""
    assert set(network()[0]._handlers) == set(WELL_FORMED)


@pytest.mark.parametrize("kind", WELL_FORMED)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_handlers_answer_or_refuse(kind, data):
    """Well-formed, mutated and arbitrary bodies of every kind, from members and strangers: no unforeseen error."""
    peers, cluster, clock, _ = network()
    encoded = messages.encode(data.draw(WELL_FORMED[kind], "message"))
    body = data.draw(
        st.sampled_from([encoded, mutated(data, encoded), msgspec.msgpack.encode(data.draw(anything, "anything"))])
    )
    sender = data.draw(st.sampled_from([KEYS[1], KEYS[2], POINT]), "sender")
    answer_kind, answer = asyncio.run(peers._answer(Received(sender, kind, body, b"")))
    if answer_kind.startswith(messages.REFUSAL):
        assert messages.decode(answer, messages.Refusal).error != "InternalError"
    assert cluster.signer.open_sessions <= 2 * 64
    clock.now += 20_000


@settings(max_examples=150)
@given(st.data())
def test_an_envelope_that_is_signed_is_parsed_or_refused(data):
    """Any value in any field of an envelope is refused with a typed error, also if its sender signed it so."""
    envelope = Envelope(1, NETWORK, KEYS[1], KEYS[0], INVITE, bytes(16), 1_000, b"body", bytes(64))
    fields = [getattr(envelope, name) for name in envelope.__struct_fields__]
    position = data.draw(st.integers(0, len(fields) - 2))
    fields[position] = value = data.draw(anything)
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        changed = Envelope(*fields)
        fields[-1] = HOSTS[1].sign(changed.digest(), bytes(32))
    try:
        opened = messages.open_envelope(msgspec.msgpack.encode(fields), NETWORK, KEYS[0])
    except (MalformedMessage, UnauthenticMessage):
        return
    # Kind, id, time and body are the sender's to choose; of the others only the true value passes.
    assert getattr(opened, opened.__struct_fields__[position]) == value
    assert position in (4, 5, 6, 7) or value == getattr(envelope, envelope.__struct_fields__[position])


items = st.lists(st.builds(SigningItem, b32, st.just(()) | st.tuples(st.builds(Tweak, b32, st.booleans()))), max_size=3)


@settings(max_examples=60)
@given(st.integers(-3, 5), st.text(max_size=5), payload, payload, payload, items)
def test_evidence_from_anywhere_is_judged_not_believed(index, reason, offer, asked, answer, what):
    """Evidence of any bytes proves nothing and raises nothing."""
    key = deal(T, N)[0].key
    for why in (reason, "a partial signature is wrong", "an answer is malformed"):
        assert not proves_fault(Evidence(index, why, offer, asked, answer, tuple(what)), key, NETWORK)
