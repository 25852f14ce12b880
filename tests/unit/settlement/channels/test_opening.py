"""Before money goes in, both banks have signed that they want the channel on its very terms."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from foundation.quantities import UnixMs
from settlement.channels.errors import BadStep, ForgedSheet
from settlement.channels.machine import step
from settlement.channels.messages import Opening, decode, encode
from settlement.channels.opening import may_put_in
from settlement.channels.signing import channel_id
from settlement.channels.state import Announce, Channel, Phase, Received, Send, Tick, new_channel
from settlement.channels.store import decode_channel, encode_channel
from settlement.channels.terms import Side
from tests.support.channels import KEYS, POLICY, START, terms

LATER = UnixMs(START + POLICY.resend_ms)


def _side(side: Side, a: int = 1_000) -> Channel:
    return new_channel(terms(a), side, POLICY)


def _announced(side: Side, a: int = 1_000) -> tuple[Channel, Opening]:
    state, (sent,) = step(_side(side, a), Announce(), START, KEYS[side])
    assert isinstance(sent, Send)
    message = decode(encode(sent.message))
    assert isinstance(message, Opening)
    return state, message


def test_both_have_to_want_it() -> None:
    """Neither side's deposit may go in before both have announced, in whatever order; then both know it at once."""
    a, from_a = _announced(Side.A)
    assert not may_put_in(a)
    b, answers = step(_side(Side.B), Received(from_a), START, KEYS[Side.B])
    assert (may_put_in(b), answers) == (False, ())
    b, (sent,) = step(b, Announce(), START, KEYS[Side.B])
    assert may_put_in(b)
    assert isinstance(sent, Send)
    a, (answer,) = step(a, Received(sent.message), START, KEYS[Side.A])
    assert may_put_in(a)
    assert isinstance(answer, Send)
    assert step(b, Received(answer.message), START, KEYS[Side.B]) == (b, ())
    assert step(a, Announce(), LATER, KEYS[Side.A]) == (a, ())


def test_other_terms_are_another_channel() -> None:
    """A bank that has written other terms is not taken at its word: its announcement is of another channel."""
    a, _ = _announced(Side.A)
    _, other = _announced(Side.B, a=999)
    with pytest.raises(BadStep):
        step(a, Received(other), START, KEYS[Side.A])
    renamed = msgspec.structs.replace(other, channel=channel_id(terms()))
    with pytest.raises(ForgedSheet):
        step(a, Received(renamed), START, KEYS[Side.A])


def test_nobody_announces_in_anothers_name() -> None:
    """A side's own announcement sent back to it, or any other account's, does not count as the other bank's."""
    a, from_a = _announced(Side.A)
    with pytest.raises(ForgedSheet):
        step(a, Received(from_a), START, KEYS[Side.A])


def test_what_was_lost_is_said_again() -> None:
    """An announcement is repeated until the channel is open, and by nobody who has not announced."""
    a, message = _announced(Side.A)
    assert step(a, Tick(), UnixMs(LATER - 1), KEYS[Side.A]) == (a, ())
    later, effects = step(a, Tick(), LATER, KEYS[Side.A])
    assert effects == (Send(message),)
    assert later.announced_at == LATER
    assert step(_side(Side.B), Tick(), LATER, KEYS[Side.B])[1] == ()


def test_a_channel_that_the_ledger_has_needs_no_word() -> None:
    """Once the ledger has both deposits nothing is announced any more, and what comes late changes nothing."""
    a, message = _announced(Side.B)
    opened = replace(_side(Side.A), phase=Phase.OPEN)
    assert may_put_in(opened)
    assert step(opened, Announce(), START, KEYS[Side.A])[0] == opened
    assert step(opened, Received(message), START, KEYS[Side.A])[0] == opened
    assert a.phase is Phase.OPENING


def test_sides_of_earlier_releases_are_read() -> None:
    """A side that was stored before there were announcements is read as one that has made none."""
    raw = msgspec.msgpack.decode(encode_channel(_side(Side.A)))
    for name in ("announced_at", "agreed"):
        del raw[name]
    assert decode_channel(msgspec.msgpack.encode(raw)) == _side(Side.A)
