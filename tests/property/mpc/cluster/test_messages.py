"""Whatever bytes come, parsing ends with a message or a typed error."""

import contextlib
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.quantities import UnixMs
from mpc import messages
from mpc.cluster_errors import MalformedMessage, UnauthenticMessage
from mpc.evidence import Evidence
from mpc.messages import (
    Close,
    DkgAck,
    DkgDone,
    DkgFirst,
    DkgSecond,
    DkgStart,
    DkgStep,
    Invite,
    Offer,
    Refusal,
    Round,
    Shares,
)
from tests.support.cluster import NETWORK, identities

ALICE, BOB = identities(2)
BODIES = [
    Close,
    DkgAck,
    DkgDone,
    DkgFirst,
    DkgSecond,
    DkgStart,
    DkgStep,
    Evidence,
    Invite,
    Offer,
    Refusal,
    Round,
    Shares,
]
FRAME = messages.seal(ALICE, NETWORK, BOB.host_key, "sign.invite", bytes(16), UnixMs(1), b"body" * 10, os.urandom(32))


@given(st.binary(max_size=400))
def test_arbitrary_bytes(data):
    """Arbitrary bytes are malformed, as an envelope and as each kind of body, or they parse."""
    for parse in (
        lambda: messages.open_envelope(data, NETWORK),
        *(lambda k=k: messages.decode(data, k) for k in BODIES),
    ):
        with contextlib.suppress(MalformedMessage, UnauthenticMessage):
            parse()


@settings(max_examples=200)
@given(st.data())
def test_mutated_envelopes(data):
    """An envelope with bytes changed, cut, doubled or put in is never accepted unless it is the same."""
    frame = bytearray(FRAME)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(frame)))
        end = data.draw(st.integers(start, min(len(frame), start + 8)))
        frame[start:end] = data.draw(st.binary(max_size=8))
    try:
        envelope = messages.open_envelope(bytes(frame), NETWORK, BOB.host_key)
    except (MalformedMessage, UnauthenticMessage):
        return
    assert envelope.encode() == FRAME
