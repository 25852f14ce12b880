"""Escrow: locking, claiming, refunding and giving back, in coin."""

from __future__ import annotations

from collections.abc import Iterator

import boa
import pytest
from eth.exceptions import Revert

from tests.support.escrow import (
    CLAIMED,
    ETHER,
    HOUR,
    KEEPER,
    NEVER,
    PAYEE,
    PAYER,
    RETURNED,
    STRANGER,
    Desk,
    build_desk,
    coin_of,
    id_of,
    preimage_of,
)
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


def test_lock_is_one_hash_of_all_terms_and_told(desk: Desk) -> None:
    """A lock's slot holds the hash of its terms, and the event says all of them."""
    terms = desk.lock(desk.terms())
    assert event(desk.escrow, "Locked") == terms._asdict()
    assert desk.state(terms) == terms.hash
    assert desk.escrow.is_open(terms)
    assert coin_of(desk.address) == ETHER


def test_memo_is_told_beside_the_lock(desk: Desk) -> None:
    """A memo of the greatest length comes unharmed, right after the lock, and changes nothing of it."""
    memo = bytes(range(256)) * 128 + bytes(64)
    terms = desk.lock(desk.terms(), memo)
    assert events(desk.escrow) == [
        ("Locked", terms._asdict()),
        ("Memo", {"id": terms.id, "payer": terms.payer, "memo": memo}),
    ]
    assert desk.state(terms) == terms.hash
    with refused_silently():
        desk.lock(desk.terms("two"), memo + b"\0")


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"amount": 0}, "Escrow: nothing to lock"),
        ({"beneficiary": ZERO}, "Escrow: no recipient"),
        ({"refund_to": ZERO}, "Escrow: no recipient"),
    ],
)
def test_lock_without_a_sense_is_refused(desk: Desk, other: dict[str, object], reason: str) -> None:
    """A lock has an amount, somebody to pay and somebody to give back to."""
    with refused(reason):
        desk.lock(desk.terms(**other))


def test_lock_ends_in_the_future(desk: Desk) -> None:
    """A lock whose time-out is now could never be claimed; a second later it can."""
    now = boa.env.timestamp
    with refused("Escrow: time-out has passed"):
        desk.lock(desk.terms(expires_at=now))
    desk.lock(desk.terms(expires_at=now + 1))


def test_id_is_used_once_for_ever(desk: Desk) -> None:
    """The same id is refused while the lock is open, after it was claimed, and after it was returned."""
    claimed, returned = desk.lock(desk.terms()), desk.lock(desk.terms("two"))
    for end in (lambda: None, lambda: desk.claim(claimed), lambda: boa.env.time_travel(seconds=HOUR)):
        end()
        with refused("Escrow: id is used"):
            desk.lock(desk.terms(amount=5))
    desk.escrow.refund(returned)
    with refused("Escrow: id is used"):
        desk.lock(desk.terms("two"))


def test_nobody_uses_up_anothers_ids(desk: Desk) -> None:
    """Another payer's lock under the same id is another lock."""
    theirs = desk.lock(desk.terms(payer=STRANGER.address))
    ours = desk.lock(desk.terms())
    desk.claim(theirs)
    assert (desk.state(theirs), desk.state(ours)) == (CLAIMED, ours.hash)


# --- Claiming ---------------------------------------------------------------------------------------------------------


def test_preimage_pays_the_beneficiary_whoever_brings_it(desk: Desk) -> None:
    """A stranger's claim pays the beneficiary alone, and tells the preimage."""
    terms = desk.lock(desk.terms())
    before = coin_of(PAYEE.address), coin_of(STRANGER.address)
    desk.claim(terms)
    assert event(desk.escrow, "Claimed")["preimage"] == preimage_of("one")
    assert (coin_of(PAYEE.address), coin_of(STRANGER.address)) == (before[0] + ETHER, before[1])
    assert (desk.state(terms), coin_of(desk.address)) == (CLAIMED, 0)
    with refused("Escrow: no such open lock"):
        desk.claim(terms)


def test_claim_ends_with_the_time_out_to_the_second(desk: Desk) -> None:
    """In the last second the preimage pays and a refund is refused; at the time-out it is the other way round."""
    early, late = desk.lock(desk.terms()), desk.lock(desk.terms("two"))
    boa.env.timestamp = early.expires_at - 1
    with refused("Escrow: too early"):
        desk.escrow.refund(early)
    desk.claim(early)
    boa.env.timestamp = late.expires_at
    with refused("Escrow: too late"):
        desk.claim(late, "two")
    desk.escrow.refund(late)
    assert (desk.state(early), desk.state(late)) == (CLAIMED, RETURNED)


def test_wrong_preimage_is_refused(desk: Desk) -> None:
    """Neither another preimage nor the condition itself pays."""
    terms = desk.lock(desk.terms())
    for wrong in (preimage_of("two"), terms.condition, bytes(32)):
        with refused("Escrow: wrong preimage"):
            desk.escrow.claim(terms, wrong)


@pytest.mark.parametrize(
    "other",
    [
        {"id": id_of("two")},
        {"payer": STRANGER.address},
        {"beneficiary": STRANGER.address},
        {"refund_to": STRANGER.address},
        {"asset": PAYER.address},
        {"amount": ETHER - 1},
        {"condition": bytes(32)},
        {"expires_at": 2**200},
    ],
)
def test_other_terms_are_no_lock(desk: Desk, other: dict[str, object]) -> None:
    """Whatever field differs, the lock is not found: neither paid nor given back."""
    terms = desk.lock(desk.terms())._replace(**other)
    assert not desk.escrow.is_open(terms)
    with refused("Escrow: no such open lock"):
        desk.claim(terms)
    with refused("Escrow: no such open lock"):
        desk.escrow.give_back(terms, b"", sender=terms.beneficiary)


def test_end_cannot_be_passed_off_as_terms(desk: Desk) -> None:
    """A lock that was never made is not open, though its slot is empty."""
    with refused("Escrow: no such open lock"):
        desk.claim(desk.terms())
    assert desk.state(desk.terms()) == NEVER


def test_batch_passes_over_what_cannot_be_claimed(desk: Desk) -> None:
    """Of a batch each claim that can be made is made once; one with nothing to claim is refused."""
    one, two, late = (desk.terms(label) for label in ("one", "two", "late"))
    late = late._replace(expires_at=boa.env.timestamp + 5)
    for terms in (one, two, late):
        desk.lock(terms)
    boa.env.time_travel(seconds=5)
    batch = [
        (desk.terms("unknown"), preimage_of("unknown")),
        (late, preimage_of("late")),
        (one, preimage_of("two")),
        (two, preimage_of("two")),
        (one, preimage_of("one")),
        (one, preimage_of("one")),
    ]
    desk.escrow.claim_batch(batch, sender=STRANGER.address)
    assert [fields["id"] for _, fields in events(desk.escrow)] == [two.id, one.id]
    assert (coin_of(PAYEE.address), coin_of(desk.address)) == (2 * ETHER, ETHER)
    with refused("Escrow: nothing to claim"):
        desk.escrow.claim_batch(batch)
    with refused("Escrow: nothing to claim"):
        desk.escrow.claim_batch([])


# --- Going back -------------------------------------------------------------------------------------------------------


def test_refund_goes_where_the_terms_say(desk: Desk) -> None:
    """After the time-out anyone has the money sent to the refund address, once."""
    terms = desk.lock(desk.terms())
    boa.env.time_travel(seconds=HOUR)
    desk.escrow.refund(terms, sender=STRANGER.address)
    assert event(desk.escrow, "Returned")["is_early"] is False
    assert (coin_of(KEEPER.address), desk.state(terms)) == (ETHER, RETURNED)
    with refused("Escrow: no such open lock"):
        desk.escrow.refund(terms)


def test_beneficiary_gives_back_early(desk: Desk) -> None:
    """The beneficiary's own call, or its signature brought by anyone, returns the money before the time-out."""
    own, signed = desk.lock(desk.terms()), desk.lock(desk.terms("two"))
    desk.escrow.give_back(own, b"", sender=PAYEE.address)
    assert event(desk.escrow, "Returned")["is_early"] is True
    desk.escrow.give_back(signed, desk.word(signed), sender=STRANGER.address)
    assert (coin_of(KEEPER.address), coin_of(desk.address)) == (2 * ETHER, 0)
    with refused("Escrow: no such open lock"):
        desk.claim(signed, "two")


def test_only_the_beneficiarys_word_counts(desk: Desk) -> None:
    """The payer's word, a word for other terms, another chain or another Escrow gives nothing back."""
    terms = desk.lock(desk.terms())
    elsewhere = Desk(desk.escrow, names=STRANGER.address)
    words = [
        desk.word(terms, by=PAYER),
        desk.word(terms._replace(amount=1)),
        desk.word(terms, chain_id=5),
        elsewhere.word(terms),
    ]
    for word in words:
        with refused("Escrow: not the beneficiary's word"):
            desk.escrow.give_back(terms, word, sender=PAYER.address)
    with refused("eip712: s is high"):
        desk.escrow.give_back(terms, malleated(desk.word(terms)))
    with refused("eip712: signature length"):
        desk.escrow.give_back(terms, b"", sender=PAYER.address)


def test_words_domain_is_told(desk: Desk) -> None:
    """Wallets can ask for the domain in which a beneficiary signs (EIP-5267)."""
    _, name, version, chain_id, contract, _, _ = desk.escrow.eip712Domain()
    assert (name, version, chain_id, contract) == ("Causeway", "1", boa.env.evm.patch.chain_id, desk.address)


def test_nobody_owns_the_escrow(desk: Desk) -> None:
    """It takes coin by locks alone, and has no function that any account may call alone."""
    boa.env.set_balance(PAYER.address, 5)
    with pytest.raises(Revert):
        boa.env.raw_call(desk.address, sender=PAYER.address, value=5)
    with refused("Escrow: not the Escrow"):
        desk.escrow.transfer_token(PAYER.address, STRANGER.address, 1)
    assert coin_of(desk.address) == 0
