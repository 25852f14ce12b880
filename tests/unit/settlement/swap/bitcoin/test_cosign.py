"""`settlement.swap.bitcoin.cosign`: both sign one key-path spend, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.bitcoin.scripts import vault_script
from adapters.bitcoin.transactions import parse_transaction, schnorr_holds
from foundation.errors import BadInput
from foundation.quantities import Satoshi
from mpc.errors import NonceReused
from settlement.swap.bitcoin.cosign import Asker, BadCosignature, CosignAnswer, CosignRequest, answer
from settlement.swap.terms import Mode, Role
from tests.support.swap_bitcoin import RATE, Deal, key_of, secret_of

DEAL = Deal(Mode.HASH, secret_of("initiator"), secret_of("follower"), secret_of("preimage"), 1_800_000_000)
TO = vault_script(key_of(secret_of("destination")))


def asked(deal: Deal = DEAL) -> Asker:
    """The initiator's call for a signature."""
    return Asker(deal.output, Role.INITIATOR, deal.initiator, deal.output.by_key(deal.coin(), TO, RATE))


def answered(asker: Asker, deal: Deal = DEAL) -> CosignAnswer:
    """The follower's answer."""
    return answer(deal.output, Role.FOLLOWER, deal.follower, asker.request)


@pytest.mark.parametrize("mode", list(Mode))
def test_both_make_a_signature(mode: Mode) -> None:
    """Request and answer, as bytes, lead to a signed transaction with the asker's destination and fee."""
    deal = replace(DEAL, mode=mode)
    asker = asked(deal)
    request = CosignRequest.decode(asker.request.encode())
    assert request == asker.request
    back = CosignAnswer.decode(answer(deal.output, Role.FOLLOWER, deal.follower, request).encode())
    parsed = parse_transaction(asker.finish(back))
    assert parsed.txid == asker.spend.txid()
    (message,) = asker.spend.sighashes()
    assert schnorr_holds(deal.output.signing.xonly_key, message, parsed.witnesses[0][0])


def test_a_request_is_finished_once() -> None:
    """A second answer, or the same again, is refused: the nonce is gone."""
    asker = asked()
    back = answered(asker)
    asker.finish(back)
    with pytest.raises(NonceReused):
        asker.finish(back)


def test_an_answer_that_does_not_hold_is_refused_and_ends_the_request() -> None:
    """A wrong partial signature gives nothing away, and the nonce is not used after it."""
    asker = asked()
    back = answered(asker)
    with pytest.raises(BadCosignature):
        asker.finish(replace(back, partial=bytes(31) + b"\x01"))
    with pytest.raises((NonceReused, BadCosignature)):
        asker.finish(back)


@pytest.mark.parametrize("nonce", [bytes(66), b"\x05" * 66])
def test_a_nonce_that_is_no_points_is_refused(nonce: bytes) -> None:
    """Nonces that are not two points are refused on both sides."""
    asker = asked()
    with pytest.raises(BadCosignature):
        answer(DEAL.output, Role.FOLLOWER, DEAL.follower, replace(asker.request, nonce=nonce))
    with pytest.raises(BadCosignature):
        asker.finish(replace(answered(asker), nonce=nonce))


def test_an_answer_is_for_its_transaction_alone() -> None:
    """A partial signature for another fee, destination or value does not hold for the asker's."""
    for changed in (
        {"fee": Satoshi(999)},
        {"destination": vault_script(key_of(secret_of("thief")))},
        {"value": Satoshi(999_999)},
    ):
        asker = asked()
        other = replace(asker.request, **changed)  # type: ignore[arg-type]
        with pytest.raises(BadCosignature):
            asker.finish(answer(DEAL.output, Role.FOLLOWER, DEAL.follower, other))


def test_the_answer_of_an_earlier_request_does_not_hold() -> None:
    """What answered one request does not finish another one for the same transaction."""
    first, second = asked(), asked()
    assert first.request.nonce != second.request.nonce
    with pytest.raises(BadCosignature):
        second.finish(answered(first))


def test_a_repeated_request_gets_another_nonce() -> None:
    """Answering twice uses two nonces: two signatures with one would show the key."""
    asker = asked()
    assert answered(asker).nonce != answered(asker).nonce


def test_nothing_but_the_swaps_output_is_signed_for() -> None:
    """Whatever coin a request names, what is signed holds for the swap's own script alone."""
    asker = asked()
    spend = asker.request.spend(replace(DEAL, expires_at=DEAL.expires_at + 1).output)
    assert spend.inputs[0].script != DEAL.output.script
    with pytest.raises(BadInput):
        Asker(DEAL.output, Role.INITIATOR, DEAL.initiator, spend)


def test_only_the_sides_sign() -> None:
    """A secret that is not of the side's key signs nothing."""
    with pytest.raises(BadInput):
        answer(DEAL.output, Role.FOLLOWER, DEAL.initiator, asked().request)
    with pytest.raises(BadInput):
        Asker(DEAL.output, Role.INITIATOR, DEAL.follower, DEAL.output.by_key(DEAL.coin(), TO, RATE))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02" + asked().request.encode()[1:],
        asked().request.encode()[:-34],
        asked().request.encode() + bytes(20),
        asked().request.encode()[:45] + b"\xff" * 8 + asked().request.encode()[53:],
    ],
)
def test_malformed_requests_are_refused(data: bytes) -> None:
    """Another version, a missing or oversized destination, and amounts that cannot be, are refused."""
    with pytest.raises(BadInput):
        CosignRequest.decode(data)


def test_malformed_answers_are_refused() -> None:
    """An answer has 98 bytes."""
    for data in (b"", bytes(97), bytes(99)):
        with pytest.raises(BadInput):
            CosignAnswer.decode(data)
