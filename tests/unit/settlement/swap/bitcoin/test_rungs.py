"""`settlement.swap.bitcoin.rungs`: point mode's handshake between honest sides and liars."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.bitcoin.errors import BadSignature
from adapters.bitcoin.scripts import vault_script
from adapters.bitcoin.transactions import parse_transaction, schnorr_holds
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB
from mpc.errors import NonceReused
from settlement.swap.bitcoin.cosign import BadCosignature
from settlement.swap.bitcoin.rungs import (
    RUNGS,
    Rung,
    RungMaker,
    RungOffer,
    complete_rungs,
    decode_claims,
    encode_claims,
    offer_rungs,
    rung_fees,
    scalar_in,
)
from settlement.swap.terms import Mode
from tests.support.swap_bitcoin import AMOUNT, RATE, Deal, key_of, point_of, secret_of

DEAL = Deal(Mode.POINT, secret_of("initiator"), secret_of("follower"), secret_of("scalar"), 1_800_000_000)
COIN = DEAL.coin()
TO = vault_script(key_of(secret_of("destination")))
FEES = (Satoshi(200), Satoshi(600), Satoshi(2_000))


class Handshake:
    """The messages of one round, up to the follower's signatures."""

    def __init__(self, deal: Deal = DEAL) -> None:
        self.maker = RungMaker(deal.output, deal.follower)
        self.nonces = self.maker.nonces
        self.offers, self.partials = offer_rungs(deal.output, deal.initiator, COIN, self.nonces, TO, FEES, deal.point)

    def countersign(self, **changed: Any) -> tuple[tuple[Rung, ...], tuple[bytes, ...]]:
        """The follower's step, with something changed on the way."""
        asked = {"coin": COIN, "offers": self.offers, "partials": self.partials, "point": DEAL.point}
        return self.maker.countersign(**{**asked, **changed})

    def complete(self, answers: tuple[bytes, ...], **changed: Any) -> tuple[Rung, ...]:
        """The initiator's last step."""
        asked = {"offers": self.offers, "own": self.partials, "nonces": self.nonces, "partials": answers}
        return complete_rungs(DEAL.output, COIN, DEAL.point, **{**asked, **changed})


def test_both_sides_have_the_same_rungs() -> None:
    """After an honest round both hold pre-signatures that the secret alone completes, and that reveal it."""
    shake = Handshake()
    kept, answers = shake.countersign()
    made = shake.complete(answers)
    assert made == kept
    assert len(made) == RUNGS
    for rung, fee in zip(made, FEES, strict=True):
        assert rung.holds(DEAL.output, COIN, DEAL.point)
        parsed = parse_transaction(rung.claim(DEAL.output, COIN, DEAL.secret))
        assert parsed.outputs[0].value == AMOUNT - fee
        assert scalar_in(parsed.witnesses[0][0], kept, DEAL.point) == DEAL.secret


def test_rungs_survive_being_stored() -> None:
    """Rungs, offers, and a whole round as a memo keep their value as bytes."""
    shake = Handshake()
    rungs, _ = shake.countersign()
    assert tuple(Rung.decode(rung.encode()) for rung in rungs) == rungs
    assert tuple(RungOffer.decode(offer.encode()) for offer in shake.offers) == shake.offers
    data = encode_claims(COIN.outpoint, rungs)
    assert len(data) == 290
    assert decode_claims(data) == (COIN.outpoint, rungs)


def test_a_wrong_secret_claims_nothing() -> None:
    """A rung that is completed by another scalar is refused before it is broadcast."""
    rungs, _ = Handshake().countersign()
    with pytest.raises(BadSignature):
        rungs[0].claim(DEAL.output, COIN, secret_of("other"))


def test_other_signatures_reveal_nothing() -> None:
    """A key-path signature that completes no rung, such as a refund that both signed, gives no scalar."""
    rungs, _ = Handshake().countersign()
    assert scalar_in(bytes(64), rungs, DEAL.point) is None
    assert scalar_in(rungs[0].pre.nonce[1:] + bytes(31) + b"\x01", rungs, DEAL.point) is None
    assert scalar_in(bytes(64), (), DEAL.point) is None


def test_the_followers_nonces_are_used_once() -> None:
    """A second message of the initiator's for the same round signs nothing."""
    shake = Handshake()
    shake.countersign()
    with pytest.raises(NonceReused):
        shake.countersign()


@pytest.mark.parametrize(
    "changed",
    [
        {"point": point_of(secret_of("other"))},
        {"coin": replace(COIN, value=Satoshi(AMOUNT - 1))},
        {"coin": DEAL.coin("another")},
        {"partials": (bytes(31) + b"\x01",) * 3},
        {"partials": (b"\xff" * 32,) * 3},
        {"partials": (b"short",) * 3},
    ],
)
def test_the_follower_signs_nothing_for_a_liar(changed: dict[str, Any]) -> None:
    """Parts for another point, coin or amount, or that are no signatures, end the round with nothing signed."""
    shake = Handshake()
    with pytest.raises(BadCosignature):
        shake.countersign(**changed)
    with pytest.raises((NonceReused, BadCosignature)):
        shake.countersign()


@pytest.mark.parametrize("field", ["fee", "destination", "nonce"])
def test_an_offer_that_was_changed_does_not_hold(field: str) -> None:
    """An offer with another fee, destination or nonce than the initiator signed for is refused."""
    shake = Handshake()
    values: dict[str, Any] = {"fee": Satoshi(201), "destination": DEAL.output.script, "nonce": shake.offers[1].nonce}
    with pytest.raises(BadCosignature):
        shake.countersign(offers=(replace(shake.offers[0], **{field: values[field]}), *shake.offers[1:]))


def test_the_initiator_locks_for_no_wrong_answer() -> None:
    """Wrong, swapped or missing answers of the follower are refused."""
    shake = Handshake()
    _, answers = shake.countersign()
    for wrong in ((bytes(31) + b"\x01", *answers[1:]), (answers[1], answers[0], answers[2])):
        with pytest.raises(BadCosignature):
            shake.complete(wrong)
    with pytest.raises(BadInput):
        shake.complete(answers[:2])
    with pytest.raises(BadInput):
        shake.complete(answers, own=tuple(reversed(shake.partials)))


def test_parts_of_the_initiator_are_no_signature_without_the_secret() -> None:
    """With the initiator's parts and its own, the follower has nothing that spends."""
    shake = Handshake()
    rungs, _ = shake.countersign()
    (message,) = rungs[0].spend(COIN).sighashes()
    assert not schnorr_holds(DEAL.output.signing.xonly_key, message, rungs[0].pre.nonce[1:] + rungs[0].pre.scalar)


@pytest.mark.parametrize("fees", [(Satoshi(-1),), (Satoshi(AMOUNT - 329),)])
def test_fees_that_cannot_be_are_refused(fees: tuple[Satoshi, ...]) -> None:
    """A rung leaves more than dust, and pays no negative fee."""
    maker = RungMaker(DEAL.output, DEAL.follower, 1)
    with pytest.raises(BadInput):
        offer_rungs(DEAL.output, DEAL.initiator, COIN, maker.nonces, TO, fees, DEAL.point)


def test_numbers_of_rungs_have_bounds() -> None:
    """There is at least one rung, and not more than fit; and as many fees as nonces."""
    for count in (0, 17):
        with pytest.raises(BadInput):
            RungMaker(DEAL.output, DEAL.follower, count)
    with pytest.raises(BadInput):
        offer_rungs(DEAL.output, DEAL.initiator, COIN, RungMaker(DEAL.output, DEAL.follower).nonces, TO, (), DEAL.point)
    with pytest.raises(BadInput):
        Handshake().countersign(offers=())


def test_hash_mode_has_no_rungs() -> None:
    """Signatures are locked by points in point mode alone."""
    with pytest.raises(BadInput):
        RungMaker(replace(DEAL, mode=Mode.HASH).output, DEAL.follower)


def test_rungs_rise_within_bounds() -> None:
    """Rungs pay one, three and ten times the first rate, at most the highest, and never more than leaves dust."""
    assert rung_fees(COIN, TO, RATE, SatPerKvB(100_000)) == (222, 666, 2_220)
    assert rung_fees(COIN, TO, RATE, SatPerKvB(5_000)) == (222, 555, 555)
    assert rung_fees(replace(COIN, value=Satoshi(1_000)), TO, RATE, SatPerKvB(100_000)) == (222, 666, 670)
    with pytest.raises(BadInput):
        rung_fees(replace(COIN, value=Satoshi(500)), TO, RATE, SatPerKvB(100_000))


@pytest.mark.parametrize(
    "data", [b"", bytes(36), bytes(290), encode_claims(COIN.outpoint, Handshake().countersign()[0])[:-1]]
)
def test_malformed_claims_are_refused(data: bytes) -> None:
    """A memo that is cut short or holds no points is refused."""
    with pytest.raises(BadInput):
        decode_claims(data)
    with pytest.raises(BadInput):
        RungOffer.decode(data[:70])
