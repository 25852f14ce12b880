"""Escrow: locks by a point of secp256k1, whose scalar pays, and that they and locks by a hash are never one another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import boa
import pytest
from eth_account import Account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.escrow import (
    CLAIMED,
    ETHER,
    HOUR,
    KEEPER,
    ORDER,
    PAYEE,
    PAYER,
    RETURNED,
    STRANGER,
    Desk,
    PointTerms,
    Terms,
    build_desk,
    coin_of,
    id_of,
    point_of,
    preimage_of,
    scalar_of,
)
from tests.support.lockbox import REFUSE, actor, at, odd_token
from tests.support.native_contracts import ZERO, event, events, malleated, refused, refused_silently


@pytest.fixture(scope="module")
def deployed() -> Desk:
    """One deployment for the module."""
    return build_desk()


@pytest.fixture
def desk(deployed: Desk) -> Iterator[Desk]:
    """An empty Escrow."""
    with boa.env.anchor():
        yield deployed


# --- Locking ----------------------------------------------------------------------------------------------------------


def test_point_lock_is_one_hash_of_all_terms_and_told(desk: Desk) -> None:
    """A point lock's slot holds the hash of its kind and terms, and the event says all of them."""
    terms = desk.lock_point(desk.point_terms())
    assert events(desk.escrow) == [("PointLocked", terms._asdict())]
    assert desk.state(terms) == terms.hash
    assert desk.escrow.is_open_point(terms)
    assert coin_of(desk.address) == ETHER


def test_note_is_told_beside_the_lock(desk: Desk) -> None:
    """A memo of up to 1,024 bytes comes unharmed after a lock of either kind, and changes nothing of it."""
    note = bytes(range(256)) * 4
    point = desk.lock_point(desk.point_terms(), note)
    assert events(desk.escrow)[1] == ("Memo", {"id": point.id, "payer": point.payer, "memo": note})
    terms = desk.lock_noted(desk.terms("two"), note)
    assert events(desk.escrow) == [
        ("Locked", terms._asdict()),
        ("Memo", {"id": terms.id, "payer": terms.payer, "memo": note}),
    ]
    assert (desk.state(point), desk.state(terms)) == (point.hash, terms.hash)
    with refused_silently():
        desk.lock_point(desk.point_terms("three"), note + b"\0")
    with refused_silently():
        desk.lock_noted(desk.terms("three"), note + b"\0")


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"amount": 0}, "Escrow: nothing to lock"),
        ({"beneficiary": ZERO}, "Escrow: no recipient"),
        ({"refund_to": ZERO}, "Escrow: no recipient"),
        ({"point": ZERO}, "Escrow: no point"),
        ({"expires_at": 1}, "Escrow: time-out has passed"),
    ],
)
def test_point_lock_without_a_sense_is_refused(desk: Desk, other: dict[str, object], reason: str) -> None:
    """A point lock has an amount, a point, somebody to pay, somebody to give back to, and time."""
    with refused(reason):
        desk.lock_point(desk.point_terms(**other))


def test_ids_are_shared_by_both_kinds(desk: Desk) -> None:
    """An id that a payer used for a lock of one kind is used up for the other too, also after its end."""
    hashed, point = desk.lock(desk.terms()), desk.lock_point(desk.point_terms("two"))
    for end in (lambda: None, lambda: (desk.claim(hashed), desk.claim_point(point, "two"))):
        end()
        with refused("Escrow: id is used"):
            desk.lock_point(desk.point_terms())
        with refused("Escrow: id is used"):
            desk.lock(desk.terms("two"))


# --- Claiming ---------------------------------------------------------------------------------------------------------


def test_scalar_pays_the_beneficiary_whoever_brings_it(desk: Desk) -> None:
    """A stranger's claim pays the beneficiary alone, once, and tells the scalar."""
    terms = desk.lock_point(desk.point_terms())
    before = coin_of(PAYEE.address), coin_of(STRANGER.address)
    desk.claim_point(terms)
    assert event(desk.escrow, "PointClaimed") == {
        "id": terms.id,
        "payer": terms.payer,
        "beneficiary": terms.beneficiary,
        "scalar": scalar_of("one"),
    }
    assert (coin_of(PAYEE.address), coin_of(STRANGER.address)) == (before[0] + ETHER, before[1])
    assert (desk.state(terms), coin_of(desk.address)) == (CLAIMED, 0)
    with refused("Escrow: no such open lock"):
        desk.claim_point(terms)


@given(scalar=st.integers(1, ORDER - 1))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_scalar_frees_its_point_and_no_neighbour(deployed: Desk, scalar: int) -> None:
    """Whatever the scalar is, it frees the point that it multiplies out to; its negation and its neighbour do not."""
    with boa.env.anchor():
        account = Account.from_key(scalar.to_bytes(32, "big")).address
        terms = deployed.lock_point(deployed.point_terms(point=account))
        for wrong in {ORDER - scalar, scalar % (ORDER - 1) + 1} - {scalar}:
            with refused("Escrow: wrong scalar"):
                deployed.escrow.claim_point(terms, wrong)
        deployed.escrow.claim_point(terms, scalar)
        assert deployed.state(terms) == CLAIMED


@pytest.mark.parametrize("scalar", [1, 2, ORDER - 1])
def test_scalars_at_the_edges_work(desk: Desk, scalar: int) -> None:
    """The smallest scalars and the largest one free their points."""
    terms = desk.point_terms(point=Account.from_key(scalar.to_bytes(32, "big")).address)
    desk.lock_point(terms)
    desk.escrow.claim_point(terms, scalar)
    assert desk.state(terms) == CLAIMED


@pytest.mark.parametrize("wrong", [0, ORDER, scalar_of("two"), ORDER - scalar_of("one"), 2**256 - 1])
def test_wrong_scalar_is_refused(desk: Desk, wrong: int) -> None:
    """Zero, the order, another scalar, and the point's own negation do not pay."""
    terms = desk.lock_point(desk.point_terms())
    with refused("Escrow: wrong scalar"):
        desk.escrow.claim_point(terms, wrong)


def test_scalar_has_one_form(desk: Desk) -> None:
    """A scalar to which the order was added is refused, though it multiplies out to the same point."""
    terms = desk.lock_point(desk.point_terms(point=Account.from_key((5).to_bytes(32, "big")).address))
    with refused("Escrow: wrong scalar"):
        desk.escrow.claim_point(terms, ORDER + 5)
    desk.escrow.claim_point(terms, 5)


def test_scalar_counts_until_the_time_out_to_the_second(desk: Desk) -> None:
    """In the last second the scalar pays and a refund is refused; at the time-out it is the other way round."""
    early, late = desk.lock_point(desk.point_terms()), desk.lock_point(desk.point_terms("two"))
    boa.env.timestamp = early.expires_at - 1
    with refused("Escrow: too early"):
        desk.escrow.refund_point(early)
    desk.claim_point(early)
    boa.env.timestamp = late.expires_at
    with refused("Escrow: too late"):
        desk.claim_point(late, "two")
    desk.escrow.refund_point(late, sender=STRANGER.address)
    assert (desk.state(early), desk.state(late)) == (CLAIMED, RETURNED)
    assert (coin_of(KEEPER.address), coin_of(desk.address)) == (ETHER, 0)


@pytest.mark.parametrize(
    "other",
    [
        {"id": id_of("two")},
        {"payer": STRANGER.address},
        {"beneficiary": STRANGER.address},
        {"refund_to": STRANGER.address},
        {"asset": PAYER.address},
        {"amount": ETHER - 1},
        {"point": point_of("two")},
        {"expires_at": 2**200},
    ],
)
def test_other_terms_are_no_point_lock(desk: Desk, other: dict[str, object]) -> None:
    """Whatever field differs, the point lock is not found: neither paid nor given back."""
    terms = desk.lock_point(desk.point_terms())._replace(**other)
    assert not desk.escrow.is_open_point(terms)
    for label in ("one", "two"):
        with refused("Escrow: no such open lock"):
            desk.claim_point(terms, label)
    with refused("Escrow: no such open lock"):
        desk.escrow.give_back_point(terms, b"", sender=terms.beneficiary)


def test_token_is_locked_and_paid_under_a_point(desk: Desk) -> None:
    """Tokens go under a point and to the beneficiary, exactly; one that keeps a fee cannot be locked."""
    token = odd_token(PAYER.address, 5_000)
    token.approve(desk.address, 5_000, sender=PAYER.address)
    terms = desk.lock_point(desk.point_terms(asset=at(token), amount=1_000), b"note")
    assert (token.held(desk.address), [name for name, _ in events(desk.escrow)]) == (1_000, ["PointLocked", "Memo"])
    desk.claim_point(terms)
    assert (token.held(desk.address), token.held(PAYEE.address)) == (0, 1_000)
    token.moves(10_000, 9_000)
    with refused("Escrow: another amount arrived"):
        desk.lock_point(desk.point_terms("two", asset=at(token), amount=1_000))


def test_claim_that_the_beneficiary_refuses_is_owed(desk: Desk) -> None:
    """The scalar is out, so what a beneficiary does not take is kept for it for ever."""
    payee = actor()
    payee.behaves(REFUSE, ZERO, b"")
    terms = desk.lock_point(desk.point_terms(beneficiary=at(payee)))
    desk.claim_point(terms)
    assert [name for name, _ in events(desk.escrow)] == ["PointClaimed", "Owed"]
    assert desk.escrow.owed(at(payee), ZERO) == ETHER
    with refused("Escrow: too early"):
        desk.escrow.refund_point(terms)


# --- Going back -------------------------------------------------------------------------------------------------------


def test_beneficiary_gives_a_point_lock_back_early(desk: Desk) -> None:
    """The beneficiary's own call, or its signature brought by anyone, returns the money before the time-out."""
    own, signed = desk.lock_point(desk.point_terms()), desk.lock_point(desk.point_terms("two"))
    desk.escrow.give_back_point(own, b"", sender=PAYEE.address)
    assert event(desk.escrow, "Returned")["is_early"] is True
    desk.escrow.give_back_point(signed, desk.word(signed), sender=STRANGER.address)
    assert (coin_of(KEEPER.address), coin_of(desk.address)) == (2 * ETHER, 0)
    with refused("Escrow: no such open lock"):
        desk.claim_point(signed, "two")


def test_only_the_beneficiarys_word_for_this_point_lock_counts(desk: Desk) -> None:
    """The payer's word, and one for other terms, another chain or another Escrow, gives nothing back."""
    terms = desk.lock_point(desk.point_terms())
    elsewhere = Desk(desk.escrow, names=STRANGER.address)
    words = [
        desk.word(terms, by=PAYER),
        desk.word(terms._replace(amount=1)),
        desk.word(terms, chain_id=5),
        elsewhere.word(terms),
    ]
    for word in words:
        with refused("Escrow: not the beneficiary's word"):
            desk.escrow.give_back_point(terms, word, sender=PAYER.address)
    with refused("eip712: s is high"):
        desk.escrow.give_back_point(terms, malleated(desk.word(terms)))


# --- One kind for the other -------------------------------------------------------------------------------------------


def as_hash(terms: PointTerms) -> Terms:
    """The hash terms with the same eight words as a point lock's."""
    condition = bytes(12) + bytes.fromhex(terms.point[2:])
    return Terms(*terms[:6], condition, terms.expires_at)


def as_point(terms: Terms) -> PointTerms:
    """The point terms with the same eight words as those of a hash lock whose condition begins with twelve zeros."""
    return PointTerms(*terms[:6], "0x" + terms.condition[12:].hex(), terms.expires_at)


def test_point_lock_is_no_hash_lock(desk: Desk) -> None:
    """A point lock is neither open, nor claimed, refunded or given back, as the hash lock of the same eight words."""
    point = desk.lock_point(desk.point_terms())
    hashed = as_hash(point)
    assert not desk.escrow.is_open(hashed)
    with refused("Escrow: no such open lock"):
        desk.escrow.claim(hashed, scalar_of("one").to_bytes(32, "big"))
    with refused("Escrow: nothing to claim"):
        desk.escrow.claim_batch([(hashed, preimage_of("one"))])
    with refused("Escrow: no such open lock"):
        desk.escrow.give_back(hashed, desk.word(hashed))
    boa.env.time_travel(seconds=HOUR)
    with refused("Escrow: no such open lock"):
        desk.escrow.refund(hashed)
    assert desk.state(point) == point.hash


def test_hash_lock_is_no_point_lock(desk: Desk) -> None:
    """A hash lock whose condition is a point's account behind zeros is not freed by the point's scalar."""
    trap = desk.terms(condition=bytes(12) + bytes.fromhex(point_of("one")[2:]))
    desk.lock(trap)
    point = as_point(trap)
    assert not desk.escrow.is_open_point(point)
    with refused("Escrow: no such open lock"):
        desk.claim_point(point)
    with refused("Escrow: no such open lock"):
        desk.escrow.give_back_point(point, b"", sender=PAYEE.address)
    boa.env.time_travel(seconds=HOUR)
    with refused("Escrow: no such open lock"):
        desk.escrow.refund_point(point)
    assert desk.state(trap) == trap.hash


def test_word_for_one_kind_gives_nothing_of_the_other_back(desk: Desk) -> None:
    """What a beneficiary signed for a point lock does not count for the hash lock of its words, nor the reverse."""
    hashed = desk.lock(desk.terms(condition=bytes(12) + hashlib.sha256(b"x").digest()[:20]))
    with refused("Escrow: not the beneficiary's word"):
        desk.escrow.give_back(hashed, desk.word(as_point(hashed)))
    point = desk.lock_point(desk.point_terms("two"))
    with refused("Escrow: not the beneficiary's word"):
        desk.escrow.give_back_point(point, desk.word(as_hash(point)))
