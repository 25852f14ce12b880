"""CCP's messages as bytes: there and back, and whatever a peer sends."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from settlement.connector.routing.ccp_codec import (
    Announced,
    Mode,
    Property,
    RouteControl,
    RouteUpdate,
    decode_control,
    decode_update,
    encode_control,
    encode_update,
)
from settlement.ilp.errors import BadPacket

ADDRESSES = st.lists(st.sampled_from(["a", "b-1", "~x", "Long_" * 30]), min_size=1, max_size=4).map(
    lambda parts: ".".join(["g", *parts])
)
IDS = st.binary(min_size=16, max_size=16)
UINT32 = st.integers(0, 2**32 - 1)
PROPERTIES = st.builds(
    Property, st.integers(0, 65_535), st.integers(0, 15).map(lambda n: n << 4), st.binary(max_size=9)
)
ROUTES = st.builds(
    Announced,
    ADDRESSES,
    st.lists(ADDRESSES, max_size=3).map(tuple),
    st.binary(min_size=32, max_size=32),
    st.lists(PROPERTIES, max_size=2).map(tuple),
)
CONTROLS = st.builds(RouteControl, st.sampled_from(Mode), IDS, UINT32, st.lists(st.text(max_size=9)).map(tuple))


@st.composite
def updates(draw: st.DrawFn) -> RouteUpdate:
    """Any update that a speaker may send."""
    start, end, current = sorted(draw(st.tuples(UINT32, UINT32, UINT32)))
    announced = tuple(draw(st.lists(ROUTES, max_size=3)))
    withdrawn = tuple(draw(st.lists(ADDRESSES, max_size=3)))
    return RouteUpdate(draw(IDS), current, start, end, draw(UINT32), draw(ADDRESSES), announced, withdrawn)


@given(CONTROLS)
def test_a_control_message_comes_back_as_it_was(control: RouteControl):
    """What is encoded decodes to the same request."""
    assert decode_control(encode_control(control)) == control


@given(updates())
def test_an_update_comes_back_as_it_was(update: RouteUpdate):
    """What is encoded decodes to the same update, and a byte less of it to none."""
    data = encode_update(update)
    assert decode_update(data) == update
    try:
        decode_update(data[:-1])
    except BadPacket:
        return
    raise AssertionError("a message that is cut off was read")


@given(st.binary(max_size=300))
@example(bytes(16) + bytes(16) + b"\x03g.a" + b"\x04\xff\xff\xff\xff")
def test_any_bytes_are_an_update_or_a_bad_packet(data: bytes):
    """Whatever a peer sends is read or refused as a bad packet, and never fails otherwise."""
    for decode in (decode_update, decode_control):
        try:
            decode(data)
        except BadPacket:
            continue
