"""What a group is asked to sign for a vault: it says all that the call says, and the 32 bytes follow from it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.evm.lockbox.calls import LockboxCalls
from adapters.evm.lockbox.messages import Messages
from adapters.evm.lockbox.types import NATIVE_COIN, RETURN, Payment
from adapters.native.proofs import Proof
from bridge.codec import encode
from bridge.messages import PlainPayment, ReleaseProposal
from bridge.vault_requests import (
    VaultRequest,
    cancel_request,
    configure_request,
    numbers_of,
    payments_of,
    release_request,
)
from foundation.errors import BadInput
from foundation.quantities import TokenUnits

CHAIN, LOCKBOX, TOKEN = b"c" * 32, b"v" * 20, b"T" * 20
MESSAGES = Messages(1, LOCKBOX, 3)
CALLS = LockboxCalls(LOCKBOX)
PROOF = Proof(b"x" * 32, b"s" * 32, b"y" * 32)

words = st.one_of(st.integers(0, 2**256 - 1), st.sampled_from([0, 1, RETURN - 1, RETURN, RETURN | 1, 2**256 - 1]))
addresses = st.binary(min_size=20, max_size=20)
payees = addresses.filter(any)


@st.composite
def payments(draw: st.DrawFn) -> Payment:
    amount = draw(words)
    fee = draw(st.integers(0, 2**256 - 1 - amount))
    return Payment(draw(words), draw(addresses), draw(payees), TokenUnits(amount), TokenUnits(fee))


@settings(max_examples=60, deadline=None)
@given(st.lists(payments(), min_size=1, max_size=64), st.integers(0, 2**32 - 1))
def test_a_release_comes_through_with_amounts_of_any_size(paid: list[Payment], epoch: int) -> None:
    """Encoded, decoded, and still the very message and the very call of the contract's own terms."""
    request = release_request(CHAIN, epoch, paid)
    again = VaultRequest.decoded("release", request.body)
    assert again == request
    assert (again.chain, again.proposal.epoch) == (CHAIN, epoch)
    assert isinstance(again.proposal, ReleaseProposal)
    assert list(payments_of(again.proposal)) == paid
    messages = Messages(1, LOCKBOX, epoch)
    assert again.message(messages) == messages.release(paid)
    assert again.call(CALLS, PROOF) == CALLS.release(tuple(paid), PROOF)


@settings(max_examples=40, deadline=None)
@given(st.lists(words, min_size=1, max_size=64))
def test_a_cancellation_comes_through_with_numbers_of_any_size(numbers: list[int]) -> None:
    """A number fills a whole word."""
    request = cancel_request(CHAIN, 3, numbers)
    again = VaultRequest.decoded("cancel", request.body)
    assert again == request
    assert list(numbers_of(again.proposal)) == numbers  # type: ignore[arg-type]  # it is a cancellation's
    assert again.message(MESSAGES) == MESSAGES.cancel(numbers)
    assert again.call(CALLS, PROOF) == CALLS.cancel(tuple(numbers), PROOF)


@settings(max_examples=40, deadline=None)
@given(addresses, st.integers(0, 2**112 - 1), st.integers(0, 2**112 - 1), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_configuration_comes_through(token: bytes, deposits: int, withdrawals: int, denied: bool, nonce: int) -> None:
    """The two limits are not taken for each other."""
    request = configure_request(CHAIN, 3, token, (deposits, withdrawals, denied), nonce)
    again = VaultRequest.decoded("configure", request.body)
    assert again == request
    said = token, TokenUnits(deposits), TokenUnits(withdrawals), denied, nonce
    assert again.message(MESSAGES) == MESSAGES.configure(*said)
    assert again.call(CALLS, PROOF) == CALLS.configure(*said, PROOF)


PAID = Payment(7, NATIVE_COIN, b"y" * 20, TokenUnits(5), TokenUnits(1))
ONE = release_request(CHAIN, 3, [PAID])


def test_a_message_is_for_one_vault_one_epoch_one_kind_and_one_order() -> None:
    """Whatever of that differs, the 32 bytes do: nothing signed here is good anywhere else."""
    two = [PAID, Payment(8, NATIVE_COIN, b"y" * 20, TokenUnits(5), TokenUnits(1))]
    signed = [
        ONE.message(MESSAGES),
        ONE.message(Messages(2, LOCKBOX, 3)),
        ONE.message(Messages(1, b"w" * 20, 3)),
        ONE.message(Messages(1, LOCKBOX, 4)),
        release_request(CHAIN, 3, two).message(MESSAGES),
        release_request(CHAIN, 3, two[::-1]).message(MESSAGES),
        cancel_request(CHAIN, 3, [7]).message(MESSAGES),
        cancel_request(CHAIN, 3, [7, 8]).message(MESSAGES),
        configure_request(CHAIN, 3, TOKEN, (1, 2, False), 7).message(MESSAGES),
        configure_request(CHAIN, 3, TOKEN, (2, 1, False), 7).message(MESSAGES),
    ]
    assert len(set(signed)) == len(signed)


@pytest.mark.parametrize("kind", ["payout", "sweep", "", "rotate", "unpause", "accept"])
def test_what_is_not_signed_for_a_vault_is_refused(kind: str) -> None:
    """No request hands the vault to another key or ends a pause: those are for people to arrange."""
    with pytest.raises(BadInput):
        VaultRequest.decoded(kind, ONE.body)


@pytest.mark.parametrize("kind", ["cancel", "configure"])
def test_a_body_of_another_kind_is_refused(kind: str) -> None:
    """A release is no cancellation, whatever the request calls it."""
    with pytest.raises(BadInput):
        VaultRequest.decoded(kind, ONE.body)


def plain(**changes: Any) -> PlainPayment:
    fields: dict[str, Any] = {
        "number": bytes(31) + b"\7",
        "token": NATIVE_COIN,
        "payee": b"y" * 20,
        "amount": b"\5",
        "fee": b"\1",
    }
    return PlainPayment(**{**fields, **changes})


@pytest.mark.parametrize(
    "payment",
    [
        plain(amount=b"\0\5"),
        plain(fee=b"\0"),
        plain(amount=b"\xff" * 32),
        plain(payee=bytes(20)),
    ],
)
def test_a_payment_that_no_vault_has_a_place_for_is_refused(payment: PlainPayment) -> None:
    """An amount in two forms, more than there can be together with the fee, nobody's account."""
    request = VaultRequest.decoded("release", encode(ReleaseProposal(CHAIN, 3, [payment])))
    for use in (lambda: request.message(MESSAGES), lambda: request.call(CALLS, PROOF)):
        with pytest.raises(BadInput):
            use()


@pytest.mark.parametrize(
    "payment",
    [
        plain(number=b"\7"),
        plain(number=bytes(32) + b"\7"),
        plain(token=b"T" * 19),
        plain(payee=b"y" * 21),
        plain(amount=b"\1" * 33),
    ],
)
def test_a_body_of_other_lengths_is_refused(payment: PlainPayment) -> None:
    """Before anything is looked up for it."""
    with pytest.raises(BadInput):
        VaultRequest.decoded("release", encode(ReleaseProposal(CHAIN, 3, [payment])))


@pytest.mark.parametrize("count", [0, 65])
def test_a_batch_that_no_vault_takes_is_refused(count: int) -> None:
    """The contract takes 1 to 64."""
    with pytest.raises(BadInput):
        VaultRequest.decoded("release", encode(ReleaseProposal(CHAIN, 3, [plain()] * count)))


def test_limits_that_no_vault_can_keep_are_refused() -> None:
    """The contract keeps 112 bits."""
    request = configure_request(CHAIN, 3, TOKEN, (1 << 112, 0, False), 1)
    with pytest.raises(BadInput):
        request.message(MESSAGES)
