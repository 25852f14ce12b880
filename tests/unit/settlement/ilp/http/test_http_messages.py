"""ILP-over-HTTP's values: targets, request ids, heads, and what a status means."""

import uuid

import pytest

from foundation.errors import BadInput
from settlement.ilp.http import Target, parse_target
from settlement.ilp.http.messages import OCTET_STREAM, is_request_id, reject_for_status, request_head


def test_a_url_is_taken_apart_into_where_to_connect_and_what_to_ask_for():
    """Host, port, TLS, authority and path are those of the URL, with the scheme's own port where it names none."""
    assert parse_target("https://bank.example/ilp?x=1") == Target("bank.example", 443, True, "bank.example", "/ilp?x=1")
    assert parse_target("http://[::1]:7770") == Target("::1", 7770, False, "[::1]:7770", "/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "bank.example/ilp",
        "ftp://bank.example/",
        "https:///ilp",
        "https://user:secret@bank.example/",
        "https://bank.example:99999/",
        "https://bank.example/\r\nX: y",
        "https://bank.example/a b",
        "https://bänk.example/",
        "http://bank.example/",
    ],
)
def test_urls_that_would_not_work_or_would_leak_or_smuggle_something_are_refused(url):
    """No other scheme, no credentials, no bytes that could end a header, and no token in the clear to elsewhere."""
    with pytest.raises(BadInput):
        parse_target(url)
    assert not parse_target("http://bank.example/", insecure=True).is_tls


def test_origins_are_compared_as_hosts_ports_and_schemes():
    """Two URLs of one server have one origin, whatever their paths and letters' case."""
    assert parse_target("https://A.example/x").origin == parse_target("https://a.example:443/y").origin
    assert parse_target("https://a.example/").origin != parse_target("https://a.example:8443/").origin


def test_a_token_that_could_end_its_header_is_refused():
    """A token with a line break or a space never reaches the wire."""
    target = parse_target("https://a.example/ilp")
    for token in ("a\r\nX: y", "a b", "é"):
        with pytest.raises(BadInput):
            request_head(target, token, OCTET_STREAM)


def test_only_uuids_of_version_4_are_request_ids():
    """RFC 35 asks for a UUIDv4; letters may have either case."""
    fresh = str(uuid.uuid4())
    assert is_request_id(fresh.encode())
    assert is_request_id(fresh.upper().encode())
    for other in (b"", b"1", str(uuid.uuid1()).encode(), fresh.encode() + b"\n", fresh.encode()[:-1] + b"\xff"):
        assert not is_request_id(other)


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "T00"), (502, "T00"), (599, "T00"), (503, "T00"), (400, "F00"), (413, "F00"), (429, "T03")]
    + [(status, "T01") for status in (401, 403, 404, 405, 415)]
    + [(status, "T00") for status in (204, 302)],
)
def test_a_status_is_told_to_the_sender_as_the_code_that_it_means(status, code):
    """Server errors are T00 as RFC 35 says; what is wrong in itself is final; what lies between two peers is not."""
    assert reject_for_status(status).code == code
