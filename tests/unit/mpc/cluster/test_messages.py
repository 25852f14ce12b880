"""Envelopes and bodies: strict, signed, for one network and one recipient; replay, rates and identities."""

import os

import msgspec
import pytest

from foundation.quantities import UnixMs
from mpc import messages
from mpc.cluster_errors import MalformedMessage, StaleMessage, TooManyRequests, UnauthenticMessage
from mpc.curve import tagged_hash
from mpc.identity import Identity
from mpc.messages import Close, Envelope, Invite, Offer, Round, Shares
from mpc.rates import Rates
from mpc.replay import ReplayGuard
from tests.support.cluster import NETWORK, identities

ALICE, BOB = identities(2)


def sealed(**change):
    fields = {
        "identity": ALICE,
        "network": NETWORK,
        "recipient": BOB.host_key,
        "kind": "sign.close",
        "request_id": bytes(16),
        "sent_at": UnixMs(1000),
        "body": messages.encode(Close(bytes(32))),
        "aux_rand": os.urandom(32),
    }
    return messages.seal(**(fields | change))


def test_an_envelope_is_opened_by_its_recipient():
    """What is sealed comes out as it went in."""
    envelope = messages.open_envelope(sealed(), NETWORK, BOB.host_key)
    assert (envelope.sender, envelope.kind, envelope.sent_at_ms) == (ALICE.host_key, "sign.close", 1000)
    assert messages.decode(envelope.body, Close) == Close(bytes(32))


def test_the_signature_covers_every_field_and_the_domain():
    """Changing any field breaks the signature, which is over the tag of the specification."""
    envelope = messages.open_envelope(sealed(), NETWORK)
    unsigned = [getattr(envelope, name) for name in envelope.__struct_fields__ if name != "signature"]
    assert envelope.digest() == tagged_hash("Causeway/peer/v1", msgspec.msgpack.encode(unsigned))
    changes = {
        "sender": BOB.host_key,
        "recipient": ALICE.host_key,
        "kind": "sign.round",
        "request_id": b"\x01" * 16,
        "sent_at_ms": 1001,
        "body": b"",
        "signature": bytes(64),
    }
    for name, value in changes.items():
        with pytest.raises(UnauthenticMessage):
            messages.open_envelope(msgspec.structs.replace(envelope, **{name: value}).encode(), NETWORK)


def test_envelopes_of_other_networks_or_recipients_are_refused():
    """A message for another network or another node is not accepted, however well it is signed."""
    with pytest.raises(UnauthenticMessage, match="network"):
        messages.open_envelope(sealed(network=bytes(32)), NETWORK)
    with pytest.raises(UnauthenticMessage, match="somebody else"):
        messages.open_envelope(sealed(recipient=ALICE.host_key), NETWORK, BOB.host_key)


def test_parsing_is_strict():
    """Unknown fields, wrong lengths, other versions and too large frames are refused with the field's name."""
    fields = msgspec.msgpack.decode(sealed())
    for changed in ([*fields, 1], fields[:-1], [2, *fields[1:]], [*fields[:1], b"", *fields[2:]], {"a": 1}, 7):
        with pytest.raises(MalformedMessage):
            messages.open_envelope(msgspec.msgpack.encode(changed), NETWORK)
    with pytest.raises(MalformedMessage):
        messages.open_envelope(bytes(messages.MAX_FRAME_BYTES + 1), NETWORK)
    with pytest.raises(MalformedMessage):
        sealed(body=bytes(messages.MAX_BODY_BYTES + 1))
    with pytest.raises(MalformedMessage):
        sealed(kind="k" * 49)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Offer, [bytes(32), bytes(32), []]),
        (Offer, [bytes(32), bytes(32), [bytes(65)]]),
        (Offer, [bytes(32), bytes(32), [bytes(66)] * 257]),
        (Round, [bytes(32), 0, [100], [bytes(66)], bytes(32)]),
        (Round, [bytes(32), -1, [1], [bytes(66)], bytes(32)]),
        (Shares, [bytes(32), bytes(32), bytes(32), [bytes(33)], [bytes(66)]]),
        (Invite, [bytes(32), bytes(31), 0, "kind", b""]),
        (Invite, [bytes(32), bytes(32), 0, b"kind", b""]),
    ],
)
def test_bodies_are_limited(kind, fields):
    """Lists and numbers out of range and values of a wrong length are refused."""
    with pytest.raises(MalformedMessage):
        messages.decode(msgspec.msgpack.encode(fields), kind)


def test_a_message_is_accepted_once_and_in_time():
    """A repeated message, one too old and one from the future are refused; a forgotten id is out of the window."""
    guard = ReplayGuard(window_ms=100, max_remembered=3)
    guard.admit(b"a", b"1", 1000, UnixMs(1050))
    for request_id, sent_at in ((b"1", 1000), (b"2", 949), (b"2", 1151)):
        with pytest.raises(StaleMessage):
            guard.admit(b"a", request_id, sent_at, UnixMs(1050))
    guard.admit(b"b", b"1", 1000, UnixMs(1050))
    guard.admit(b"a", b"future", 1150, UnixMs(1050))
    guard.admit(b"a", b"3", 1050, UnixMs(1050))
    with pytest.raises(TooManyRequests):
        guard.admit(b"a", b"4", 1050, UnixMs(1050))
    with pytest.raises(StaleMessage, match="before"):
        guard.admit(b"a", b"future", 1150, UnixMs(1250))
    guard.admit(b"a", b"4", 1251, UnixMs(1251))


def test_a_peer_may_burst_but_not_flood():
    """A bucket gives its burst at once, then its rate; one peer's flood does not touch another."""
    rates = Rates(per_s=10, burst=5)
    for _ in range(5):
        rates.take(b"a", 0.0)
    with pytest.raises(TooManyRequests):
        rates.take(b"a", 0.05)
    rates.take(b"b", 0.05)
    rates.take(b"a", 0.3)


def test_a_heavy_thing_costs_more():
    """A message that weighs more empties the bucket faster, and the number of buckets is bounded."""
    rates = Rates(per_s=10, burst=10)
    rates.take(b"a", 0.0, 9)
    with pytest.raises(TooManyRequests):
        rates.take(b"a", 0.0, 2)
    for i in range(5_000):
        rates.take(i.to_bytes(4, "big"), 1.0)
    assert len(rates._buckets) <= 1024


def test_an_identity_is_derived_from_the_host_secret():
    """Account and transport keys are domain-separated hashes of the host secret, the latter clamped."""
    identity = Identity.from_host_secret(bytes(31) + b"\x01")
    assert identity.host_key.hex() == "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    assert identity.account_secret == tagged_hash("Causeway/account", identity.host_secret)
    raw = tagged_hash("Causeway/transport", identity.host_secret)
    assert identity.transport_secret[1:31] == raw[1:31]
    assert (identity.transport_secret[0] & 7, identity.transport_secret[31] >> 6) == (0, 1)
    assert len(identity.transport_key) == 32
    assert issubclass(Envelope, msgspec.Struct)
