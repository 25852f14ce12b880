"""Frames, the table of what is in flight, the back-off and the handshake's values."""

import struct

import pytest

from foundation.errors import BadInput
from settlement.ilp.btp import Backoff, parse_endpoint
from settlement.ilp.btp.codec import TEXT, Entry, Message, Response
from settlement.ilp.btp.frames import Masker, frame_header
from settlement.ilp.btp.handshake import NotAuthenticated, auth_message, credentials
from settlement.ilp.btp.in_flight import InFlight


def unmasked(frame):
    """RFC 6455, 5.3, octet by octet."""
    assert frame[0] == 0x82
    assert frame[1] & 0x80
    length, start = frame[1] & 0x7F, 2
    if length == 126:
        length, start = struct.unpack_from(">H", frame, 2)[0], 4
    elif length == 127:
        length, start = struct.unpack_from(">Q", frame, 2)[0], 10
    key, data = frame[start : start + 4], frame[start + 4 :]
    assert len(data) == length
    return bytes(octet ^ key[at % 4] for at, octet in enumerate(data)), key


@pytest.mark.parametrize("length", [0, 1, 3, 4, 125, 126, 127, 65_535, 65_536])
def test_a_clients_frames_are_masked_as_the_standard_says(length):
    """A masked frame holds the message under its key, whatever the length."""
    message = bytes(at * 7 % 256 for at in range(length))
    assert unmasked(Masker().frame(message))[0] == message


def test_no_two_frames_share_a_masking_key_on_purpose():
    """Each frame has a fresh key, also after the supply of random bytes was renewed."""
    masker = Masker()
    keys = {unmasked(masker.frame(b"x"))[1] for _ in range(3000)}
    assert len(keys) > 2990


@pytest.mark.parametrize(("length", "header"), [(125, "827d"), (126, "827e007e"), (65_536, "827f0000000000010000")])
def test_a_servers_frames_have_the_shortest_header(length, header):
    """The length takes one, three or nine bytes."""
    assert frame_header(length).hex() == header


def test_what_is_in_flight_is_forgotten_after_one_to_two_periods():
    """An entry outlives one turn, and not two; one that is taken out is gone."""
    table = InFlight(3)
    table.add(1, "old")
    assert table.turn() == 0
    table.add(2, "young")
    assert (table.get(1), table.get(2), len(table), 1 in table) == ("old", "young", 2, True)
    assert table.turn() == 1
    assert (table.pop(1), table.pop(2), table.pop(2)) == (None, "young", None)


def test_what_is_in_flight_is_bounded():
    """The table says when it is full, and a key that is added again is one entry."""
    table = InFlight(2)
    table.add(1, "a")
    table.turn()
    table.add(1, "b")
    assert not table.full
    table.add(2, "c")
    assert table.full
    assert table.drain() == [(1, "b"), (2, "c")]
    assert not len(table)


def test_the_back_off_doubles_up_to_its_ceiling_and_never_falls_below_half():
    """Each failure doubles the wait, jitter takes at most half of it, and a thousand failures overflow nothing."""
    backoff = Backoff(first_ms=100, most_ms=1000)
    assert [backoff.delay_ms(failures, 0.0) for failures in (1, 2, 3, 4, 5, 1000)] == [50, 100, 200, 400, 500, 500]
    assert [backoff.delay_ms(failures, 0.999) for failures in (1, 5)] == [99, 999]


def test_a_btp_url_yields_where_and_as_whom_to_connect():
    """Credentials are taken out of the URL, percent-decoded, and never shown again."""
    endpoint = parse_endpoint("btp+wss://bank%20b:s%3Acret@example.com:7443/btp?x=1")
    assert (endpoint.url, endpoint.username, endpoint.token) == ("wss://example.com:7443/btp?x=1", "bank b", "s:cret")
    assert "cret" not in repr(endpoint)
    assert parse_endpoint("btp+ws://[::1]:80", "t").url == "ws://[::1]:80/"


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("http://example.com", "t"),
        ("btp+wss://", "t"),
        ("btp+wss://example.com", ""),
        ("btp+wss://u:p@example.com", "t"),
        ("btp+wss://example.com:99999", "t"),
        ("btp+ws://example.com", "t"),
        ("ws://10.0.0.7", "t"),
        ("btp+wss://example.com", "t" * 1025),
    ],
)
def test_urls_that_would_not_work_or_would_leak_the_token_are_refused(url, token):
    """No other scheme, no missing or doubled token, and none sent in the clear to another machine."""
    with pytest.raises(BadInput):
        parse_endpoint(url, token)
    assert parse_endpoint("btp+ws://10.0.0.7", "t", insecure=True)


def test_credentials_are_read_from_the_message_that_a_client_writes():
    """What a client shows is what the server reads: the name, and a digest instead of the token."""
    shown = credentials(auth_message(1, parse_endpoint("btp+wss://alice:secret@example.com")))
    assert shown.username == "alice"
    assert b"secret" not in shown.digest


@pytest.mark.parametrize(
    "packet",
    [
        Response(1),
        Message(1),
        Message(1, (Entry("ilp", b""), Entry("auth_token", b"t"))),
        Message(1, (Entry("auth", b""),)),
        Message(1, (Entry("auth", b""), Entry("auth_token", bytes(1025)))),
        Message(1, (Entry("auth", b""), Entry("auth_token", b"t"), Entry("auth_username", b"\xff", TEXT))),
    ],
)
def test_only_a_message_with_auth_first_and_a_token_is_one_of_credentials(packet):
    """Anything else that comes first opens nothing."""
    with pytest.raises(NotAuthenticated):
        credentials(packet)
