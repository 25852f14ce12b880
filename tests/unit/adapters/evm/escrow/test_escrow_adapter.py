"""An Escrow's calls, events, hashes and words are those of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boa
import pytest
from coincurve import PublicKey
from eth_abi.abi import encode

from adapters.evm.abi import Event, decode_values
from adapters.evm.errors import BadAnswer, Reverted
from adapters.evm.escrow import errors, events
from adapters.evm.escrow.bindings import TERMS, Anchors, Escrow
from adapters.evm.escrow.calls import EscrowCalls, anchor
from adapters.evm.escrow.events import decode_event
from adapters.evm.escrow.messages import give_back_digest
from adapters.evm.escrow.types import MAX_MEMO, MAX_NOTE, PointTerms, Terms, account_of_point
from adapters.evm.lockbox.types import NATIVE_COIN, Position
from adapters.evm.types import BlockRef, Log
from adapters.native.eip712 import sign_digest
from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from tests.support import escrow as contract
from tests.support.escrow import PAYEE, STRANGER, Desk, build_desk
from tests.support.native_contracts import account

CALLS = EscrowCalls(b"\x10" * 20)
TERMS_OF = Terms(b"\x01" * 32, b"\x02" * 20, b"\x03" * 20, b"\x04" * 20, NATIVE_COIN, 500, b"\x06" * 32, 1_800_000_000)
TOKEN_TERMS = Terms(
    b"\x01" * 32, b"\x02" * 20, b"\x03" * 20, b"\x04" * 20, b"\x05" * 20, 500, b"\x06" * 32, 1_800_000_000
)
POINT_OF = PointTerms(
    b"\x01" * 32, b"\x02" * 20, b"\x03" * 20, b"\x04" * 20, NATIVE_COIN, 500, b"\x06" * 20, 1_800_000_000
)
TOKEN_POINT = replace(POINT_OF, asset=b"\x05" * 20)
OWNER = b"\x01" * 20
BLOCK = BlockRef(BlockHeight(7), b"\x77" * 32)
AT = Position(BLOCK, b"\x88" * 32, 4)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A contract in this process."""
    with boa.env.anchor():
        yield build_desk()


def plain(terms: contract.Terms) -> Terms:
    """A test's terms as the adapter has them."""
    people = [bytes.fromhex(one[2:]) for one in terms[1:5]]
    return Terms(terms.id, *people, terms.amount, terms.condition, terms.expires_at)  # type: ignore[call-arg]


def plain_point(terms: contract.PointTerms) -> PointTerms:
    """A test's terms of a point lock as the adapter has them."""
    payer, beneficiary, refund_to, asset, point = (bytes.fromhex(one[2:]) for one in (*terms[1:5], terms.point))
    return PointTerms(terms.id, payer, beneficiary, refund_to, asset, terms.amount, point, terms.expires_at)


def log_of(event: Event, values: tuple[Any, ...]) -> Log:
    """A log that a contract would emit."""
    topics, rest, kinds = [event.topic], [], []
    for (kind, is_indexed), value in zip(event.inputs, values, strict=True):
        if is_indexed:
            topics.append(encode([kind], [value]))
        else:
            rest.append(value)
            kinds.append(kind)
    return Log(b"\x10" * 20, tuple(topics), encode(kinds, rest), BLOCK, AT.transaction, AT.index)


# --- Terms and words --------------------------------------------------------------------------------------------------


def test_hash_of_terms_is_what_the_contract_keeps(desk: Desk) -> None:
    """A lock's slot holds the adapter's hash of its terms."""
    terms = desk.lock(desk.terms())
    assert desk.state(terms) == plain(terms).hash


def test_hash_of_point_terms_is_what_the_contract_keeps(desk: Desk) -> None:
    """A point lock's slot holds the adapter's hash of its terms, and its point is what the adapter takes it for."""
    terms = desk.lock_point(desk.point_terms())
    assert desk.state(terms) == plain_point(terms).hash
    point = PublicKey.from_secret(contract.scalar_of("one").to_bytes(32, "big")).format()
    assert account_of_point(point) == plain_point(terms).point


def test_beneficiarys_word_for_a_point_lock_is_taken_by_the_contract(desk: Desk) -> None:
    """A signature over the adapter's digest gives a point lock back."""
    terms = desk.lock_point(desk.point_terms())
    digest = give_back_digest(boa.env.evm.patch.chain_id, bytes.fromhex(desk.address[2:]), plain_point(terms))
    word = sign_digest(bytes(account("payee").key), digest)
    desk.escrow.give_back_point(terms, word, sender=STRANGER.address)
    assert desk.state(terms) == contract.RETURNED


@pytest.mark.parametrize("point", [b"", bytes(33), b"\x02" + b"\xff" * 32, b"\x04" + bytes(64)])
def test_what_is_no_point_has_no_account(point: bytes) -> None:
    """Only 33 bytes of a point of the curve have an account."""
    with pytest.raises(BadInput):
        account_of_point(point)


def test_beneficiarys_word_is_taken_by_the_contract(desk: Desk) -> None:
    """A signature over the adapter's digest gives the lock back, whoever brings it; of another chain it does not."""
    terms = desk.lock(desk.terms())
    chain, address = boa.env.evm.patch.chain_id, bytes.fromhex(desk.address[2:])
    for number in (chain + 1, chain):
        word = sign_digest(bytes(account("payee").key), give_back_digest(number, address, plain(terms)))
        if number != chain:
            with pytest.raises(boa.BoaError):
                desk.escrow.give_back(terms, word, sender=STRANGER.address)
        else:
            desk.escrow.give_back(terms, word, sender=STRANGER.address)
    assert desk.state(terms) == contract.RETURNED
    assert PAYEE.address == terms.beneficiary


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", b""), ("point", bytes(20)), ("point", b"\x01" * 32), ("amount", 0), ("expires_at", 2**63)],
)
def test_point_terms_that_cannot_be_are_refused(field: str, value: object) -> None:
    """What no point lock can say is refused, and the field is named."""
    fields = {name: getattr(POINT_OF, name) for name in PointTerms.__slots__} | {field: value}
    with pytest.raises(BadInput) as refusal:
        PointTerms(**fields)
    assert refusal.value.field == f"terms.{field}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", b"\x01" * 31),
        ("payer", bytes(20)),
        ("beneficiary", bytes(20)),
        ("refund_to", b"\x01" * 19),
        ("asset", b"\x01" * 32),
        ("amount", 0),
        ("amount", 2**256),
        ("condition", b""),
        ("expires_at", 0),
        ("expires_at", 2**63),
    ],
)
def test_terms_that_cannot_be_are_refused(field: str, value: object) -> None:
    """What no lock can say is refused, and the field is named."""
    fields = {name: getattr(TERMS_OF, name) for name in Terms.__slots__} | {field: value}
    with pytest.raises(BadInput) as refusal:
        Terms(**fields)
    assert refusal.value.field == f"terms.{field}"


# --- Calls ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "memo", "function", "value"),
    [
        (TERMS_OF, b"", Escrow.lock, 500),
        (TERMS_OF, b"memo", Escrow.lock_with_memo, 500),
        (TOKEN_TERMS, b"", Escrow.lock_token, 0),
        (TOKEN_TERMS, b"memo", Escrow.lock_token_with_memo, 0),
    ],
)
def test_lock_carries_its_terms(terms: Terms, memo: bytes, function: Any, value: int) -> None:
    """Coin is sent along, tokens are named, and a memo goes by the function that takes one."""
    call = CALLS.lock(terms, memo)
    assert (call.to, call.label, call.value) == (b"\x10" * 20, function.label, value)
    assert call.data[:4] == function.selector
    values = list(decode_values(function.inputs, call.data[4:]))
    expected = [terms.id] + ([] if terms.is_coin else [terms.asset, terms.amount])
    expected += [terms.beneficiary, terms.refund_to, terms.condition, terms.expires_at] + ([memo] if memo else [])
    assert values == expected


@pytest.mark.parametrize(
    ("terms", "note", "function", "value"),
    [
        (TERMS_OF, b"", Escrow.lock, 500),
        (TERMS_OF, b"note", Escrow.lock_with_note, 500),
        (TOKEN_TERMS, b"note", Escrow.lock_token_with_memo, 0),
        (POINT_OF, b"", Escrow.lock_point, 500),
        (POINT_OF, b"note", Escrow.lock_point, 500),
        (TOKEN_POINT, b"note", Escrow.lock_point_token, 0),
    ],
)
def test_short_memo_goes_the_cheap_way(terms: Terms | PointTerms, note: bytes, function: Any, value: int) -> None:
    """A lock of either kind with a short memo is made by the function that costs least, with all terms."""
    call = CALLS.lock_noted(terms, note)
    assert (call.label, call.value, call.data[:4]) == (function.label, value, function.selector)
    free = terms.condition if isinstance(terms, Terms) else terms.point
    expected = [terms.id] + ([] if terms.is_coin else [terms.asset, terms.amount])
    expected += [terms.beneficiary, terms.refund_to, free, terms.expires_at]
    expected += [note] if "bytes" in function.inputs else []
    assert list(decode_values(function.inputs, call.data[4:])) == expected


def test_point_ends_carry_terms() -> None:
    """A scalar, a refund and a word for a point lock go by its own functions."""
    pairs = [
        (CALLS.claim_point(POINT_OF, bytes(31) + b"\x09"), Escrow.claim_point, (POINT_OF.tuple, 9)),
        (CALLS.refund(POINT_OF), Escrow.refund_point, (POINT_OF.tuple,)),
        (CALLS.give_back(POINT_OF, b"\x01" * 65), Escrow.give_back_point, (POINT_OF.tuple, b"\x01" * 65)),
    ]
    for call, function, values in pairs:
        assert call.data == function.encode(*values)


def test_ends_carry_terms() -> None:
    """Claims, refunds and returns name all terms, in the contract's order."""
    pairs = [
        (CALLS.claim(TERMS_OF, b"\x09" * 32), Escrow.claim, (TERMS_OF.tuple, b"\x09" * 32)),
        (CALLS.refund(TERMS_OF), Escrow.refund, (TERMS_OF.tuple,)),
        (CALLS.give_back(TERMS_OF, b"\x01" * 65), Escrow.give_back, (TERMS_OF.tuple, b"\x01" * 65)),
        (
            CALLS.withdraw(b"\x01" * 20, NATIVE_COIN, b"\x02" * 20),
            Escrow.withdraw,
            (b"\x01" * 20, bytes(20), b"\x02" * 20),
        ),
    ]
    for call, function, values in pairs:
        assert call.data == function.encode(*values)
    batch = CALLS.claim_batch([(TERMS_OF, b"\x09" * 32), (TOKEN_TERMS, b"\x08" * 32)])
    (claims,) = decode_values(Escrow.claim_batch.inputs, batch.data[4:])
    assert claims == ((TERMS_OF.tuple, b"\x09" * 32), (TOKEN_TERMS.tuple, b"\x08" * 32))
    assert TERMS in Escrow.claim_batch.inputs[0]


def test_anchor_names_the_root_before() -> None:
    """An anchor's call carries root, count and the root before."""
    call = anchor(b"\x20" * 20, b"\x01" * 32, 5, bytes(32))
    assert call.data == Anchors.anchor.encode(b"\x01" * 32, 5, bytes(32))


@pytest.mark.parametrize(
    "make",
    [
        lambda: EscrowCalls(bytes(20)),
        lambda: CALLS.lock(TERMS_OF, bytes(MAX_MEMO + 1)),
        lambda: CALLS.claim(TERMS_OF, b"\x01" * 31),
        lambda: CALLS.lock_noted(POINT_OF, bytes(MAX_NOTE + 1)),
        lambda: CALLS.claim_point(POINT_OF, b"\x01" * 31),
        lambda: CALLS.claim_batch([]),
        lambda: CALLS.claim_batch([(TERMS_OF, bytes(32))] * 65),
        lambda: CALLS.withdraw(b"\x01" * 20, NATIVE_COIN, bytes(20)),
        lambda: CALLS.approve(NATIVE_COIN, 1),
    ],
)
def test_calls_without_a_sense_are_refused(make: Any) -> None:
    """What the contract has no place for is refused before anything is sent."""
    with pytest.raises(BadInput):
        make()


# --- Events -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "kind", "values"),
    [
        (Escrow.Memo, events.Memo, (b"\x01" * 32, b"\x02" * 20, b"memo")),
        (Escrow.Claimed, events.Claimed, (b"\x01" * 32, b"\x02" * 20, b"\x03" * 20, b"\x09" * 32)),
        (
            Escrow.PointClaimed,
            lambda at, *rest: events.PointClaimed(at, *rest[:-1], rest[-1].to_bytes(32, "big")),
            (b"\x01" * 32, b"\x02" * 20, b"\x03" * 20, 9),
        ),
        (Escrow.Returned, events.Returned, (b"\x01" * 32, b"\x02" * 20, b"\x03" * 20, True)),
        (Escrow.Owed, events.Owed, (b"\x01" * 20, bytes(20), 5)),
        (Escrow.Withdrawn, events.Withdrawn, (b"\x01" * 20, bytes(20), b"\x02" * 20, 5)),
    ],
)
def test_events_are_read_as_they_were_emitted(event: Event, kind: Any, values: tuple[Any, ...]) -> None:
    """Each event comes with its values and its place."""
    assert decode_event(log_of(event, values)) == kind(AT, *values)


def test_lock_is_read_with_its_terms() -> None:
    """A lock's event says all its terms; one beyond all times is passed over, for anybody can make it."""
    assert decode_event(log_of(Escrow.Locked, TERMS_OF.tuple)) == events.Locked(AT, TERMS_OF)
    assert decode_event(log_of(Escrow.Locked, (*TERMS_OF.tuple[:-1], 2**256 - 1))) is None
    assert decode_event(log_of(Escrow.PointLocked, POINT_OF.tuple)) == events.PointLocked(AT, POINT_OF)
    assert decode_event(log_of(Escrow.PointLocked, (*POINT_OF.tuple[:-1], 2**256 - 1))) is None


@pytest.mark.parametrize("topics", [(), (b"\x01" * 32,), (Escrow.Locked.topic,)])
def test_other_logs_are_a_bad_answer(topics: tuple[bytes, ...]) -> None:
    """A log without a topic, of no event, or of another form is not an Escrow's."""
    with pytest.raises(BadAnswer):
        decode_event(Log(b"\x10" * 20, topics, b"", BLOCK, b"\x88" * 32, 4))


# --- Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("Escrow: id is used", errors.IdUsed),
        ("Escrow: too late", errors.TooLate),
        ("Escrow: time-out has passed", errors.TooLate),
        ("Escrow: too early", errors.TooEarly),
        ("Escrow: no such open lock", errors.NotOpen),
        ("Escrow: nothing to claim", errors.NotOpen),
        ("Escrow: another amount arrived", errors.TokenRefused),
        ("Escrow: more gas", errors.EscrowRefused),
        ("ERC20: paused", Reverted),
    ],
)
def test_refusals_are_typed(reason: str, kind: type[Reverted]) -> None:
    """The contract's words become the error that says what they mean; others' words stay what they are."""
    assert type(errors.typed_revert("Escrow.lock", reason)) is kind
