"""From an offer to terms: what a maker may fill in, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from foundation.errors import BadInput
from foundation.quantities import Satoshi, TokenUnits
from settlement.swap.handshake import (
    SKEW_SECONDS,
    Part,
    TermsDiffer,
    check_accepted,
    make_terms,
    sign_terms,
    terms_are_signed,
)
from settlement.swap.letters.bodies import Accept, Refuse, Say, Take, TermsSigned, decode_body, encode_body
from settlement.swap.letters.letter import LetterRefused
from settlement.swap.machine.messages import Quit
from settlement.swap.offers import Offer
from settlement.swap.terms import Mode, Role, SwapTerms
from settlement.swap.wallet.secrets import TraderKeys
from tests.support.swap_offers import an_offer

NOW = 1_800_000_000
ALICE, BOB = TraderKeys("test " * 11 + "junk"), TraderKeys("abandon " * 11 + "about")
TIMES: dict[str, int] = {"bitcoin_expires_at": NOW + 3_600, "evm_expires_at": NOW + 7_200, "agreed_at": NOW}


def offer_of(mode: Mode, gives_bitcoin: bool) -> Offer:
    return replace(an_offer(NOW, gives_bitcoin=gives_bitcoin).offer, mode=mode, account=ALICE.account)


def parts(offer: Offer) -> tuple[Part, Part]:
    """The maker's (Alice's) and the taker's (Bob's)."""
    maker = Part.of(ALICE.swap(4), ALICE.account, offer.maker_role, offer.mode)
    taker = Part.of(BOB.swap(9), BOB.account, offer.maker_role.other, offer.mode)
    return maker, taker


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("gives_bitcoin", [True, False])
def test_both_sides_come_to_the_same_terms(mode: Mode, gives_bitcoin: bool) -> None:
    """Whoever made the offer, whatever it gives: each key, account and secret is its owner's."""
    offer = offer_of(mode, gives_bitcoin)
    maker, taker = parts(offer)
    terms = make_terms(offer, maker, Part.in_take(taker.take(bytes(32))), **TIMES)
    check_accepted(offer, taker, SwapTerms.decode(terms.encoded), NOW)
    initiator = (BOB.swap(9), BOB.account) if gives_bitcoin else (ALICE.swap(4), ALICE.account)
    assert (terms.key_of(Role.INITIATOR), terms.evm.payer) == (initiator[0].bitcoin_key, initiator[1])
    assert terms.evm.payer == terms.evm.refund_to != terms.evm.beneficiary
    assert terms.condition == (initiator[0].condition if mode is Mode.HASH else terms.condition)
    assert terms.point == (initiator[0].point if mode is Mode.POINT else b"")
    assert (terms.bitcoin.amount, terms.evm.amount) == (offer.satoshi, offer.amount)


BITCOIN: dict[str, Any] = {"amount": Satoshi(99_999_999), "confirmations": 2, "refunder": ALICE.swap(50).bitcoin_key}
EVM: dict[str, Any] = {
    "amount": TokenUnits(1),
    "escrow": b"\x12" * 20,
    "payer": b"\x13" * 20,
    "beneficiary": b"\x14" * 20,
    "refund_to": b"\x15" * 20,
    "asset": b"\x16" * 20,
    "confirmations": 3,
}


@pytest.mark.parametrize("gives_bitcoin", [True, False])
@pytest.mark.parametrize(("leg", "field"), [*(("bitcoin", one) for one in BITCOIN), *(("evm", one) for one in EVM)])
def test_a_maker_changes_nothing_that_was_agreed(gives_bitcoin: bool, leg: str, field: str) -> None:
    """Not an amount, an account, a contract, a depth; of keys its own alone."""
    offer = offer_of(Mode.HASH, gives_bitcoin)
    maker, taker = parts(offer)
    terms = make_terms(offer, maker, taker, **TIMES)
    changed = replace(getattr(terms, leg), **{field: (BITCOIN if leg == "bitcoin" else EVM)[field]})
    if field == "refunder" and gives_bitcoin:
        check_accepted(offer, taker, replace(terms, bitcoin=changed), NOW)  # it is the maker's own
        return
    with pytest.raises(TermsDiffer):
        check_accepted(offer, taker, replace(terms, **{leg: changed}), NOW)


def test_a_maker_cannot_choose_the_takers_secret() -> None:
    """A taker that initiates finds its own condition in the terms, or refuses."""
    offer = offer_of(Mode.HASH, gives_bitcoin=True)
    maker, taker = parts(offer)
    terms = make_terms(offer, maker, taker, **TIMES)
    with pytest.raises(TermsDiffer, match="condition"):
        check_accepted(offer, taker, replace(terms, condition=b"\x01" * 32), NOW)
    with pytest.raises(TermsDiffer, match="offer_id"):
        check_accepted(offer, taker, replace(terms, offer_id=b"\x01" * 32), NOW)


@pytest.mark.parametrize("shift", [-SKEW_SECONDS - 1, SKEW_SECONDS + 1])
def test_terms_of_another_time_are_refused(shift: int) -> None:
    """An old answer, or a clock that is far off, never begins a swap."""
    offer = offer_of(Mode.HASH, gives_bitcoin=True)
    maker, taker = parts(offer)
    with pytest.raises(TermsDiffer, match="clocks"):
        check_accepted(offer, taker, make_terms(offer, maker, taker, **TIMES), NOW + shift)


def test_a_taker_without_a_condition_makes_no_terms() -> None:
    """A maker that is asked with half of an initiator's part refuses by naming the field."""
    offer = offer_of(Mode.HASH, gives_bitcoin=True)
    maker, taker = parts(offer)
    with pytest.raises(BadInput, match="condition"):
        make_terms(offer, maker, replace(taker, condition=b""), **TIMES)
    with pytest.raises(BadInput, match="lock_id"):
        make_terms(offer, maker, replace(taker, lock_id=b"\x01" * 32), **TIMES)


def test_agreement_is_signed_for_one_swap_by_one_side() -> None:
    """No signature counts for another swap, or for another person."""
    identity, other = ALICE.swap(0), BOB.swap(0)
    signature = sign_terms(b"\x01" * 32, identity.identity)
    assert terms_are_signed(b"\x01" * 32, identity.identity_key, signature)
    assert not terms_are_signed(b"\x02" * 32, identity.identity_key, signature)
    assert not terms_are_signed(b"\x01" * 32, other.identity_key, signature)
    assert not terms_are_signed(b"\x01" * 32, bytes(32), signature)


def test_every_body_reads_back() -> None:
    """And what is none is refused, whatever it is."""
    take = Take(bytes(32), bytes(32), bytes(20), b"c" * 32, b"p" * 33, b"l" * 32)
    for body in (take, Accept(bytes(399), bytes(64)), Refuse("no"), TermsSigned(bytes(64)), Say(Quit())):
        assert decode_body(encode_body(body)) == body
    for noise in (b"", b"\xc0", b"\x81\xa4type\xa4Take", encode_body(take)[:-1], b"\x91" * 5_000):
        with pytest.raises(LetterRefused):
            decode_body(noise)
