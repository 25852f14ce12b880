"""Offers: what was signed is what is read, or nothing is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from coincurve import PrivateKey, PublicKeyXOnly
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import BadInput
from foundation.quantities import Satoshi, TokenUnits
from registry.caip import ChainId
from settlement.swap.offers import SCHEME, Offer, OfferDamaged, OfferExpired, SignedOffer
from settlement.swap.terms import Mode, Role

SECRET = b"\x07" * 32
OFFER = Offer(
    maker=bytes(PublicKeyXOnly.from_secret(SECRET).format()),
    letters=b"\x09" * 32,
    place="http://127.0.0.1:8123",
    mode=Mode.HASH,
    gives_bitcoin=True,
    bitcoin_chain=ChainId("bip122", "0f9188f13cb7b2c71f2a335e3a4fc328"),
    satoshi=Satoshi(100_000_000),
    bitcoin_confirmations=1,
    evm_chain=ChainId("eip155", "31337"),
    escrow=b"\x11" * 20,
    asset=bytes(20),
    account=b"\x22" * 20,
    amount=TokenUnits(20 * 10**18),
    evm_confirmations=1,
    made_at=1_800_000_000,
    valid_until=1_800_001_800,
    salt=b"\x33" * 16,
)
SIGNED = SignedOffer.sign(OFFER, SECRET)


def test_a_link_reads_back_as_the_offer() -> None:
    """In either case, and with the line breaks that a terminal or a mail puts in."""
    text = SIGNED.text
    assert text.startswith(SCHEME)
    assert len(text) < 500, "a QR code of it has to fit on a terminal"
    wrapped = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    assert SignedOffer.read(text) == SignedOffer.read(text.upper()) == SignedOffer.read(f"  {wrapped}\n") == SIGNED


@settings(max_examples=60, deadline=None)
@given(
    gives_bitcoin=st.booleans(),
    mode=st.sampled_from(Mode),
    amount=st.integers(1, 2**256 - 1),
    chain=st.integers(1, 2**64 - 1),
    confirmations=st.integers(0, 10_000),
    salt=st.binary(min_size=16, max_size=16),
)
def test_every_offer_reads_back(
    gives_bitcoin: bool, mode: Mode, amount: int, chain: int, confirmations: int, salt: bytes
) -> None:
    """Encoding loses and confuses nothing."""
    offer = replace(
        OFFER,
        gives_bitcoin=gives_bitcoin,
        mode=mode,
        amount=TokenUnits(amount),
        evm_chain=ChainId("eip155", str(chain)),
        evm_confirmations=confirmations,
        salt=salt,
    )
    assert SignedOffer.read(SignedOffer.sign(offer, SECRET).text).offer == offer


def test_one_changed_character_anywhere_is_found() -> None:
    """No amount, address or place can be changed on the way."""
    text = SIGNED.text
    for at in range(len(SCHEME), len(text)):
        other = "b" if text[at] == "a" else "a"
        with pytest.raises(OfferDamaged):
            SignedOffer.read(text[:at] + other + text[at + 1 :])


def test_an_offer_has_one_text() -> None:
    """Not even the padding bits of the last character may differ."""
    text = SIGNED.text
    for other in set("abcdefghijklmnopqrstuvwxyz234567") - {text[-1]}:
        with pytest.raises(OfferDamaged):
            SignedOffer.read(text[:-1] + other)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "does not begin"),
        ("bitcoin:bc1q", "does not begin"),
        (SCHEME, "cut off"),
        (SCHEME + "a" * 40, "cut off"),
        (SCHEME + "!" * 40, "characters"),
        (SCHEME + "a" * 2_000, "too long"),
        (SIGNED.text[:-20], "offer"),
    ],
)
def test_what_is_no_offer_is_refused(text: str, problem: str) -> None:
    """Whatever was pasted, the refusal says what is wrong."""
    with pytest.raises(OfferDamaged, match=problem):
        SignedOffer.read(text)


def test_an_offer_signed_by_another_key_is_refused() -> None:
    """Nobody offers in another's name."""
    forged = SignedOffer(OFFER, PrivateKey(b"\x08" * 32).sign_schnorr(bytes(32)))
    with pytest.raises(OfferDamaged, match="not as its maker signed it"):
        SignedOffer.read(forged.text)
    with pytest.raises(BadInput, match="not the maker's"):
        SignedOffer.sign(OFFER, b"\x08" * 32)


def test_an_offer_ends_at_its_time() -> None:
    """At that second it is not valid any more."""
    SIGNED.check_time(OFFER.valid_until - 1)
    with pytest.raises(OfferExpired):
        SIGNED.check_time(OFFER.valid_until)


def test_who_gives_bitcoin_follows() -> None:
    """The roles do not depend on who made the offer."""
    assert OFFER.maker_role is Role.FOLLOWER
    assert replace(OFFER, gives_bitcoin=False).maker_role is Role.INITIATOR


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("maker", bytes(32)),
        ("letters", bytes(31)),
        ("escrow", bytes(20)),
        ("account", bytes(20)),
        ("salt", bytes(15)),
        ("place", "ftp://host"),
        ("place", "http://user@host"),
        ("place", "http://" + "h" * 300),
        ("satoshi", Satoshi(1)),
        ("amount", TokenUnits(0)),
        ("bitcoin_confirmations", 0),
        ("evm_confirmations", -1),
        ("valid_until", 1_800_000_000),
        ("valid_until", 1_800_000_000 + 31 * 86_400),
        ("evm_chain", ChainId("eip155", str(2**64))),
    ],
)
def test_fields_that_do_not_fit_are_named(field: str, value: object) -> None:
    """Nobody can make, or be made to read, an offer without sense."""
    with pytest.raises(BadInput) as caught:
        replace(OFFER, **{field: value})
    assert caught.value.field in (field, "chain")
