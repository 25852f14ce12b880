"""`settlement.swap.terms`: what two people agree on, and its one encoding."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from foundation.errors import BadInput
from registry.caip import evm_chain
from settlement.swap.terms import TERMS_BYTES, Mode, Role, SwapTerms, point_condition
from tests.support.swap_terms import POINT, SECRET, swap_terms


@pytest.mark.parametrize("mode", Mode)
def test_terms_are_read_back_as_they_were(mode):
    """The encoding has one length, and gives the same terms and the same id again."""
    terms = swap_terms(mode)
    assert len(terms.encoded) == TERMS_BYTES
    assert SwapTerms.decode(terms.encoded) == terms
    assert SwapTerms.decode(terms.encoded).swap_id == terms.swap_id


def test_each_field_changes_the_id():
    """No two swaps that differ in anything have one id."""
    terms = swap_terms()
    bitcoin, evm = terms.bitcoin, terms.evm
    others = [
        replace(terms, offer_id=b"x" * 32),
        replace(terms, condition=b"x" * 32),
        replace(terms, agreed_at=terms.agreed_at + 1),
        *(
            replace(terms, bitcoin=replace(bitcoin, **news))
            for news in (
                {"amount": bitcoin.amount + 1},
                {"refunder": POINT[1:]},
                {"expires_at": bitcoin.expires_at + 1},
                {"confirmations": bitcoin.confirmations + 1},
            )
        ),
        *(
            replace(terms, evm=replace(evm, **news))
            for news in (
                {"chain": evm_chain(1)},
                {"escrow": b"x" * 20},
                {"payer": b"x" * 20},
                {"beneficiary": b"x" * 20},
                {"refund_to": b"x" * 20},
                {"asset": b"x" * 20},
                {"amount": evm.amount + 1},
                {"expires_at": evm.expires_at + 1},
                {"confirmations": evm.confirmations + 1},
            )
        ),
        swap_terms(Mode.POINT),
    ]
    ids = [one.swap_id for one in (terms, *others)]
    assert len(set(ids)) == len(ids)


def test_a_points_condition_is_its_address():
    """Twelve zeros and the Ethereum address of the point: here of the private key 1, as every wallet has it."""
    key_one = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
    assert point_condition(key_one) == bytes(12) + bytes.fromhex("7e5f4552091a69125d5dfcb7b8c2659029395bdf")


@pytest.mark.parametrize(
    ("mode", "news", "field"),
    [
        (Mode.HASH, {"condition": bytes(31)}, "condition"),
        (Mode.HASH, {"point": POINT}, "point"),
        (Mode.HASH, {"offer_id": b""}, "offer_id"),
        (Mode.HASH, {"agreed_at": 0}, "agreed_at"),
        (Mode.HASH, {"agreed_at": 1 << 60}, "agreed_at"),
        (Mode.POINT, {"condition": hashlib.sha256(SECRET).digest()}, "condition"),
        (Mode.POINT, {"point": b"\x02" + bytes(32)}, "point"),
        (Mode.POINT, {"point": b""}, "point"),
    ],
)
def test_terms_that_do_not_fit_together_are_refused(mode, news, field):
    """A field that cannot be is named."""
    with pytest.raises(BadInput) as refusal:
        replace(swap_terms(mode), **news)
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("leg", "news", "field"),
    [
        ("bitcoin", {"amount": 329}, "bitcoin.amount"),
        ("bitcoin", {"amount": 21_000_000 * 10**8 + 1}, "bitcoin.amount"),
        ("bitcoin", {"claimer": bytes(32)}, "bitcoin.claimer"),
        ("bitcoin", {"expires_at": 499_999_999}, "bitcoin.expires_at"),
        ("bitcoin", {"expires_at": 1 << 32}, "bitcoin.expires_at"),
        ("bitcoin", {"confirmations": 0}, "bitcoin.confirmations"),
        ("bitcoin", {"chain": evm_chain(1)}, "bitcoin.chain"),
        ("evm", {"amount": 0}, "evm.amount"),
        ("evm", {"amount": 1 << 256}, "evm.amount"),
        ("evm", {"escrow": bytes(20)}, "evm.escrow"),
        ("evm", {"payer": bytes(20)}, "evm.payer"),
        ("evm", {"beneficiary": b"b"}, "evm.beneficiary"),
        ("evm", {"refund_to": bytes(20)}, "evm.refund_to"),
        ("evm", {"asset": b""}, "evm.asset"),
        ("evm", {"lock_id": b""}, "evm.lock_id"),
        ("evm", {"confirmations": -1}, "evm.confirmations"),
    ],
)
def test_a_leg_that_cannot_be_is_refused(leg, news, field):
    """A field of a leg is named with the leg."""
    with pytest.raises(BadInput) as refusal:
        replace(getattr(swap_terms(), leg), **news)
    assert refusal.value.field == field


def test_both_sides_use_keys_of_their_own():
    """One key for both would let one side spend alone."""
    bitcoin = swap_terms().bitcoin
    with pytest.raises(BadInput, match=r"bitcoin\.refunder"):
        replace(bitcoin, refunder=bitcoin.claimer)


def test_the_lock_outlives_the_bitcoin():
    """T1 is after T2."""
    terms = swap_terms()
    with pytest.raises(BadInput, match=r"bitcoin\.expires_at"):
        replace(terms, evm=replace(terms.evm, expires_at=terms.bitcoin.expires_at))


def test_a_lock_id_follows_the_mode():
    """In hash mode recovery finds the lock by the claimer's key; in point mode that key would link the legs."""
    hashed, pointed = swap_terms(), swap_terms(Mode.POINT)
    with pytest.raises(BadInput, match=r"evm\.lock_id"):
        replace(hashed, evm=replace(hashed.evm, lock_id=b"l" * 32))
    with pytest.raises(BadInput, match=r"evm\.lock_id"):
        replace(pointed, evm=replace(pointed.evm, lock_id=pointed.bitcoin.claimer))


@pytest.mark.parametrize(
    ("at", "value", "field"),
    [(0, 2, "terms.version"), (1, 2, "terms.mode"), (34, 2, "terms.point")],
)
def test_an_encoding_that_is_not_canonical_is_refused(at, value, field):
    """Another version, an unknown mode, and bytes where hash mode has none: two encodings of one swap do not exist."""
    data = bytearray(swap_terms().encoded)
    data[at] = value
    with pytest.raises(BadInput) as refusal:
        SwapTerms.decode(bytes(data))
    assert refusal.value.field == field


def test_an_encoding_of_another_length_is_refused():
    """Nothing may be appended or left out."""
    data = swap_terms().encoded
    for wrong in (b"", data[:-1], data + b"\0"):
        with pytest.raises(BadInput, match="terms"):
            SwapTerms.decode(wrong)


def test_each_role_has_its_key():
    """The initiator claims the bitcoin, the follower has it refunded."""
    terms = swap_terms()
    assert terms.key_of(Role.INITIATOR) == terms.bitcoin.claimer
    assert terms.key_of(Role.FOLLOWER) == terms.bitcoin.refunder
    assert Role.INITIATOR.other is Role.FOLLOWER
    assert Role.FOLLOWER.other is Role.INITIATOR
