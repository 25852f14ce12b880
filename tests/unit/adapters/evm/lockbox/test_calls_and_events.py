"""A Lockbox's calls carry what they say, and its events are read as they were emitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth_abi.abi import encode

from adapters.evm.abi import Event, decode_values
from adapters.evm.errors import BadAnswer
from adapters.evm.lockbox import events
from adapters.evm.lockbox.bindings import Lockbox, Token
from adapters.evm.lockbox.calls import LockboxCalls
from adapters.evm.lockbox.events import decode_event
from adapters.evm.lockbox.types import NATIVE_COIN, Payment, Position
from adapters.evm.types import BlockRef, Call, Log
from adapters.native.proofs import Proof
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, TokenUnits

CALLS = LockboxCalls(b"\x10" * 20)
TOKEN, PERSON = b"\x20" * 20, b"\x30" * 20
PROOF = Proof(b"\x01" * 32, b"\x02" * 32, b"\x03" * 32)
PAYMENT = Payment(7, TOKEN, PERSON, TokenUnits(2**256 - 2), TokenUnits(1))
AMOUNT = TokenUnits(100)


def test_the_chains_own_coin_is_sent_along() -> None:
    """A lock of the coin carries its amount as value; one of a token carries none."""
    assert CALLS.lock(NATIVE_COIN, AMOUNT, PERSON).value == 100
    token = CALLS.lock(TOKEN, AMOUNT, PERSON)
    assert token.value == 0
    assert decode_values(Lockbox.lock.inputs, token.data[4:]) == (TOKEN, 100, PERSON)


def test_a_permit_is_taken_apart() -> None:
    """The 65 bytes of a permit become v, r and s."""
    call = CALLS.lock_with_permit(TOKEN, AMOUNT, PERSON, 99, b"\x01" * 32 + b"\x02" * 32 + b"\x1b")
    values = decode_values(Lockbox.lock_with_permit.inputs, call.data[4:])
    assert values == (TOKEN, 100, PERSON, 99, 27, b"\x01" * 32, b"\x02" * 32)


def test_a_release_carries_payments_and_proof() -> None:
    """All fields of all payments, amounts of 256 bits included, arrive in order."""
    call = CALLS.release([PAYMENT, PAYMENT], PROOF)
    payments, proof = decode_values(Lockbox.release.inputs, call.data[4:])
    assert payments == (PAYMENT.tuple, PAYMENT.tuple)
    assert proof == (PROOF.rx, PROOF.s, PROOF.ry)
    assert (call.to, call.label, call.value) == (b"\x10" * 20, "Lockbox.release", 0)


def test_an_approval_goes_to_the_token() -> None:
    """Tokens are asked to let the Lockbox take them."""
    call = CALLS.approve(TOKEN, AMOUNT)
    assert call.to == TOKEN
    assert decode_values(Token.approve.inputs, call.data[4:]) == (b"\x10" * 20, 100)


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (CALLS.claim(7, TOKEN, AMOUNT, PERSON), (7, TOKEN, 100, PERSON)),
        (CALLS.claim_fee(TOKEN, PERSON), (TOKEN, PERSON)),
        (CALLS.cancel([1, 2**255 + 1], PROOF), ((1, 2**255 + 1), (PROOF.rx, PROOF.s, PROOF.ry))),
        (
            CALLS.configure(TOKEN, AMOUNT, AMOUNT, True, 3, PROOF),
            (TOKEN, 100, 100, True, 3, (PROOF.rx, PROOF.s, PROOF.ry)),
        ),
        (CALLS.rotate(PROOF.s, PROOF, PROOF), (PROOF.s, *[(PROOF.rx, PROOF.s, PROOF.ry)] * 2)),
        (CALLS.pause(), ()),
        (CALLS.unpause(2, PROOF), (2, (PROOF.rx, PROOF.s, PROOF.ry))),
    ],
    ids=lambda value: value.label if isinstance(value, Call) else "",
)
def test_other_calls_carry_their_arguments(call: Call, arguments: tuple[Any, ...]) -> None:
    """Each call has the selector and the arguments of its function."""
    function = getattr(Lockbox, call.label.partition(".")[2])
    assert call.data[:4] == function.selector
    assert decode_values(function.inputs, call.data[4:]) == arguments


@pytest.mark.parametrize(
    "make",
    [
        lambda: LockboxCalls(bytes(20)),
        lambda: CALLS.lock(TOKEN, TokenUnits(0), PERSON),
        lambda: CALLS.lock(TOKEN, AMOUNT, bytes(20)),
        lambda: CALLS.lock(TOKEN[1:], AMOUNT, PERSON),
        lambda: CALLS.lock(TOKEN, TokenUnits(2**256), PERSON),
        lambda: CALLS.lock_with_permit(NATIVE_COIN, AMOUNT, PERSON, 9, bytes(65)),
        lambda: CALLS.lock_with_permit(TOKEN, AMOUNT, PERSON, 9, bytes(64)),
        lambda: CALLS.release([], PROOF),
        lambda: CALLS.release([PAYMENT] * 65, PROOF),
        lambda: CALLS.release([PAYMENT], Proof(b"", b"", b"")),
        lambda: CALLS.claim(1, TOKEN, AMOUNT, bytes(20)),
        lambda: CALLS.claim_fee(TOKEN, bytes(20)),
        lambda: CALLS.cancel([], PROOF),
        lambda: CALLS.configure(TOKEN, TokenUnits(2**112), AMOUNT, False, 1, PROOF),
        lambda: CALLS.rotate(b"\x01", PROOF, PROOF),
        lambda: CALLS.approve(NATIVE_COIN, AMOUNT),
    ],
)
def test_what_does_not_fit_is_refused(make: Callable[[], object]) -> None:
    """Arguments that the contract would refuse cost no transaction: they are bad input."""
    with pytest.raises(BadInput):
        make()


BLOCK = BlockRef(BlockHeight(9), b"\x99" * 32)
AT = Position(BLOCK, b"\x88" * 32, 4)


def emitted(event: Event, *values: Any) -> Log:
    """The log of an event."""
    indexed, rest = [], []
    for (kind, is_indexed), value in zip(event.inputs, values, strict=True):
        (indexed if is_indexed else rest).append((kind, value))
    topics = [encode([kind], [value]) for kind, value in indexed]
    data = encode([kind for kind, _ in rest], [value for _, value in rest])
    return Log(b"\x10" * 20, (event.topic, *topics), data, BLOCK, b"\x88" * 32, 4)


EVENTS: list[tuple[Event, Any, tuple[Any, ...]]] = [
    (Lockbox.Locked, events.Locked, (b"\x01" * 32, TOKEN, PERSON, 1, 2**256 - 1, PERSON)),
    (Lockbox.Released, events.Released, (2**255 + 1, TOKEN, PERSON, 5, 6)),
    (Lockbox.PaymentFailed, events.PaymentFailed, (1, TOKEN, PERSON, 5, 6)),
    (Lockbox.PaymentClaimed, events.PaymentClaimed, (1, PERSON, 5)),
    (Lockbox.PaymentCancelled, events.PaymentCancelled, (1, 0)),
    (Lockbox.PaymentDelayed, events.PaymentDelayed, (1,)),
    (Lockbox.FeeOwed, events.FeeOwed, (PERSON, TOKEN, 5)),
    (Lockbox.FeeClaimed, events.FeeClaimed, (PERSON, TOKEN, PERSON, 5)),
    (Lockbox.AssetConfigured, events.AssetConfigured, (TOKEN, 1, 2, True, 3)),
    (Lockbox.KeyRotated, events.KeyRotated, (1, b"\x07" * 32)),
    (Lockbox.Paused, events.Paused, (1_800_000_000,)),
    (Lockbox.Unpaused, events.Unpaused, ()),
]


@pytest.mark.parametrize(("event", "kind", "values"), EVENTS, ids=lambda value: getattr(value, "name", ""))
def test_events_are_read_as_they_were_emitted(event: Event, kind: Any, values: tuple[Any, ...]) -> None:
    """Each event becomes its own type, with its place."""
    assert decode_event(emitted(event, *values)) == kind(AT, *values)


@pytest.mark.parametrize("topics", [(), (b"\x01" * 32,)])
def test_what_is_no_event_of_ours_is_told(topics: tuple[bytes, ...]) -> None:
    """A log without a topic, or with one that no Lockbox has, is a bad answer."""
    with pytest.raises(BadAnswer):
        decode_event(Log(b"\x10" * 20, topics, b"", BLOCK, b"\x88" * 32, 4))


def test_a_malformed_event_is_told() -> None:
    """A log that has the topic of an event and not its values is a bad answer."""
    with pytest.raises(BadAnswer):
        decode_event(Log(b"\x10" * 20, (Lockbox.Locked.topic,), b"", BLOCK, b"\x88" * 32, 4))
