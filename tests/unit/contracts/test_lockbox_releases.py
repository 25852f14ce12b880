"""Lockbox: paying what the group signed, once, whatever payees and carriers do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boa
import pytest

from tests.support.lockbox import (
    ACCEPT,
    ALICE,
    BOB,
    BURN,
    CALL,
    CARRIER,
    CHRIS,
    ETHER,
    INSIST,
    NATIVE_ACCOUNT,
    REFUSE,
    RETURN,
    Vault,
    actor,
    at,
    build_vault,
    calldata,
    odd_token,
)
from tests.support.native_contracts import (
    NOBODY,
    ZERO,
    account,
    event,
    events,
    execution_gas,
    refused,
    refused_silently,
)

PLENTY = 2_000_000
COIN_BOUND, TOKEN_BOUND = 50_000, 300_000


@pytest.fixture
def vault() -> Iterator[Vault]:
    """A Lockbox that holds 100 ether of Alice's."""
    with boa.env.anchor():
        made = build_vault()
        made.lock(100 * ETHER)
        yield made


def coin(holder: Any) -> int:
    """The coin of an account or a contract."""
    return int(boa.env.get_balance(holder if isinstance(holder, str) else at(holder)))


def told_to(conduct: int, target: str = ZERO, data: bytes = b"") -> Any:
    """A payee that behaves so."""
    made = actor()
    made.behaves(conduct, target, data)
    return made


# --- Payments ---------------------------------------------------------------------------------------------------------


def test_release_pays_payees_and_the_carrier(vault: Vault) -> None:
    """Each payee gets its amount, the carrier the fees, and the Lockbox keeps the rest."""
    assert vault.release(vault.pay(BOB, 10, fee=1), vault.pay(CHRIS, 20, fee=2)) == ["Released 1", "Released 2"]
    assert (coin(BOB), coin(CHRIS), coin(CARRIER)) == (10, 20, 3)
    assert coin(vault.address) == 100 * ETHER - 33
    assert vault.lockbox.consumed(1)
    assert vault.lockbox.consumed(2)
    assert not vault.lockbox.consumed(3)


def test_release_tells_each_payment(vault: Vault) -> None:
    """The event has all that vouchers attest."""
    vault.release(vault.pay(BOB, 10, fee=1))
    told = {"number": 1, "asset": ZERO, "payee": BOB, "amount": 10, "fee": 1}
    assert events(vault.lockbox) == [("Released", told)]


def test_batch_may_mix_assets(vault: Vault) -> None:
    """Fees of each asset are paid in it, once for each run."""
    token = odd_token(ALICE, 100)
    vault.lock_token(token, 100)
    batch = [
        vault.pay(BOB, 10, fee=1),
        vault.pay(BOB, 5, at(token), 2),
        vault.pay(CHRIS, 5, at(token), 2),
        vault.pay(CHRIS, 10, fee=1),
    ]
    assert vault.release(*batch) == [f"Released {number}" for number in range(1, 5)]
    assert (token.balanceOf(BOB), token.balanceOf(CHRIS), token.balanceOf(CARRIER)) == (5, 5, 4)
    assert (coin(CARRIER), coin(vault.address)) == (2, 100 * ETHER - 22)


def test_release_is_no_good_twice(vault: Vault) -> None:
    """The same signature again pays nothing."""
    batch = [vault.pay(BOB, 10), vault.pay(CHRIS, 10)]
    vault.release(*batch)
    with refused("Lockbox: nothing to release"):
        vault.release(*batch)
    assert coin(BOB) == 10


def test_overlapping_batches_pay_each_number_once(vault: Vault) -> None:
    """What another batch has paid is passed over, without its fee, even if it is signed with another amount."""
    first, second, third = (vault.pay(BOB, 10, fee=1) for _ in range(3))
    vault.release(first, second)
    assert vault.release((2, ZERO, CHRIS, 99, 50), third) == ["Released 3"]
    assert (coin(BOB), coin(CHRIS), coin(CARRIER)) == (30, 0, 3)


def test_number_that_is_twice_in_a_batch_is_paid_once(vault: Vault) -> None:
    """The second is passed over like any number that is consumed."""
    payment = vault.pay(BOB, 10, fee=1)
    assert vault.release(payment, payment) == ["Released 1"]
    assert (coin(BOB), coin(CARRIER)) == (10, 1)


@pytest.mark.parametrize("number", [0, 1, 255, 256, 257, RETURN, RETURN | 1, 2**256 - 1])
def test_numbers_do_not_disturb_each_other(vault: Vault, number: int) -> None:
    """Of all numbers around it, at the words' edges and with the mark of a return, only the paid one is consumed."""
    others = {0, 1, 2, 254, 255, 256, 257, 511, 512, RETURN, RETURN | 1, RETURN | 2, 2**256 - 1} - {number}
    vault.release(vault.pay(BOB, 10, number=number))
    assert vault.lockbox.consumed(number)
    assert not any(vault.lockbox.consumed(other) for other in others)


def test_batch_has_a_size(vault: Vault) -> None:
    """64 payments are paid at once; 65 are refused before anything is looked at; none are nothing to release."""
    batch = [vault.pay(BOB, 1) for _ in range(65)]
    assert len(vault.release(*batch[:64])) == 64
    with refused_silently():
        vault.release(*batch)
    with refused("Lockbox: nothing to release"):
        vault.release()


def test_payment_of_nothing_is_paid(vault: Vault) -> None:
    """An amount of zero ends its number and gives the carrier its fee."""
    assert vault.release(vault.pay(BOB, 0, fee=1)) == ["Released 1"]
    assert (coin(BOB), coin(CARRIER)) == (0, 1)


# --- Payees that refuse -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("conduct", [REFUSE, BURN, INSIST])
def test_failing_payee_stops_nobody(vault: Vault, conduct: int) -> None:
    """Who reverts, burns its gas or wants to re-enter is recorded; the others and all fees are paid."""
    bad = told_to(conduct, vault.address, calldata(vault.lockbox, "lock_count"))
    batch = [vault.pay(BOB, 10, fee=1), vault.pay(at(bad), 20, fee=2), vault.pay(CHRIS, 30, fee=3)]
    assert vault.release(*batch) == ["Released 1", "PaymentFailed 2", "Released 3"]
    assert event(vault.lockbox, "PaymentFailed") == {
        "number": 2, "asset": ZERO, "payee": at(bad), "amount": 20, "fee": 2,
    }  # fmt: skip
    assert (coin(BOB), coin(bad), coin(CHRIS), coin(CARRIER)) == (10, 0, 30, 6)
    assert vault.lockbox.consumed(2)
    assert vault.lockbox.failed(2) != NOBODY
    assert vault.lockbox.failed_amount(2) == 20
    with refused("Lockbox: nothing to release"):
        vault.release(*batch)


def test_failing_payee_costs_bounded_gas(vault: Vault) -> None:
    """A payee that burns all gas burns 50,000 and the coin's stipend, whatever the carrier sent."""
    with boa.env.anchor():
        vault.release(vault.pay(at(told_to(REFUSE)), 10))
        cheap = execution_gas(vault.lockbox)
    vault.release(vault.pay(at(told_to(BURN)), 10))
    assert execution_gas(vault.lockbox) - cheap <= COIN_BOUND + 2_300


@pytest.mark.parametrize("name", ["release", "claim", "lock", "cancel", "configure", "consumed"])
def test_payee_cannot_enter_the_lockbox(vault: Vault, name: str) -> None:
    """A payee that is called makes a call that is good at any other time: it does not work meanwhile."""
    token, bad, late = odd_token(ALICE, 0), actor(), told_to(REFUSE)
    token.give(at(bad), 5)
    token.approve(vault.address, 5, sender=at(bad))
    vault.release(vault.pay(at(late), 5))
    late.behaves(ACCEPT, ZERO, b"")
    other = (99, ZERO, BOB, 7, 0)
    terms = (ZERO, 1, 1, False, 1)
    types = ["address", "uint256", "uint256", "bool", "uint256"]
    arguments: dict[str, tuple[object, ...]] = {
        "release": ([other], vault.sign_release([other])),
        "claim": (1, ZERO, 5, at(late)),
        "lock": (at(token), 5, NATIVE_ACCOUNT),
        "cancel": ([9], vault.sign_cancel([9])),
        "configure": (*terms, vault.sign("configure", types, terms)),
        "consumed": (1,),
    }
    data = calldata(vault.lockbox, name, *arguments[name])
    with boa.env.anchor():
        bad.execute(vault.address, data, PLENTY)
    # In a release a payee has too little gas for most of it; in a claim it has all there is.
    bad.behaves(REFUSE, ZERO, b"")
    vault.release(vault.pay(at(bad), 10))
    bad.behaves(CALL, vault.address, data)
    vault.lockbox.claim(2, ZERO, 10, at(bad))
    assert (bad.calls(), bad.calls_succeeded()) == (1, 0)


def test_lockbox_as_payee_is_a_failed_payment(vault: Vault) -> None:
    """The Lockbox takes no coin and no token from itself; what was meant for it can be cancelled."""
    token = odd_token(ALICE, 100)
    vault.lock_token(token, 100)
    batch = [vault.pay(vault.address, 10), vault.pay(vault.address, 10, at(token))]
    assert vault.release(*batch) == ["PaymentFailed 1", "PaymentFailed 2"]
    for number, asset in ((1, ZERO), (2, at(token))):
        with pytest.raises(boa.BoaError):
            vault.lockbox.claim(number, asset, 10, vault.address, sender=BOB)
    assert vault.cancel(1, 2) == ["PaymentCancelled 1", "PaymentCancelled 2"]


# --- Carriers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_token", [False, True])
def test_carrier_cannot_make_a_payment_fail_with_little_gas(vault: Vault, is_token: bool) -> None:
    """Whatever gas limit a carrier chooses, the payment is made or all of it reverts."""
    token = odd_token(ALICE, 100)
    vault.lock_token(token, 100)
    asset = at(token) if is_token else ZERO
    payments = [vault.pay(BOB, 10, asset, 1)]
    proof = vault.sign_release(payments)
    carrier = actor()
    data = calldata(vault.lockbox, "release", payments, proof)
    outcomes = set()
    for limit in range(20_000, 520_000, 20_000):
        with boa.env.anchor():
            try:
                carrier.execute(vault.address, data, limit, sender=CARRIER)
            except boa.BoaError:
                outcomes.add("reverted")
            else:
                outcomes.add("paid" if vault.lockbox.failed(1) == NOBODY else "failed")
    assert outcomes == {"reverted", "paid"}
    enough_to_start = (TOKEN_BOUND if is_token else COIN_BOUND) + 10_000
    with refused("Lockbox: more gas"):
        carrier.execute(vault.address, data, enough_to_start, sender=CARRIER)


def test_fee_that_a_carrier_refuses_is_owed_to_it(vault: Vault) -> None:
    """A carrier whose contract takes no coin stops no payment; it can have the fee sent elsewhere, once."""
    carrier = told_to(REFUSE)
    payments = [vault.pay(BOB, 10, fee=3)]
    data = calldata(vault.lockbox, "release", payments, vault.sign_release(payments))
    carrier.execute(vault.address, data, PLENTY)
    assert coin(BOB) == 10
    assert vault.lockbox.fees_owed(at(carrier), ZERO) == 3
    with refused("Lockbox: no fee owed"):
        vault.lockbox.claim_fee(ZERO, BOB, sender=BOB)
    claiming = calldata(vault.lockbox, "claim_fee", ZERO, CHRIS)
    carrier.execute(vault.address, claiming, PLENTY)
    assert (coin(CHRIS), vault.lockbox.fees_owed(at(carrier), ZERO)) == (3, 0)
    with refused("Lockbox: no fee owed"):
        carrier.execute(vault.address, claiming, PLENTY)


def test_owed_fee_is_told_and_stays_owed_if_it_is_refused_again(vault: Vault) -> None:
    """A claim of a fee to nobody, or to who refuses it, changes nothing."""
    token = odd_token(ALICE, 100)
    vault.lock_token(token, 100)
    token.freezes(CARRIER, True)
    assert vault.release(vault.pay(BOB, 10, at(token), 3)) == ["Released 1"]
    assert event(vault.lockbox, "FeeOwed") == {"carrier": CARRIER, "asset": at(token), "amount": 3}
    with refused("Lockbox: no recipient"):
        vault.lockbox.claim_fee(at(token), ZERO, sender=CARRIER)
    with refused("OddToken: frozen"):
        vault.lockbox.claim_fee(at(token), CARRIER, sender=CARRIER)
    vault.lockbox.claim_fee(at(token), CHRIS, sender=CARRIER)
    told = {"carrier": CARRIER, "asset": at(token), "to": CHRIS, "amount": 3}
    assert events(vault.lockbox) == [("FeeClaimed", told)]
    assert token.balanceOf(CHRIS) == 3


def test_only_the_lockbox_moves_tokens(vault: Vault) -> None:
    """The function that makes one ERC-20 payment fail alone is nobody else's."""
    token = odd_token(ALICE, 100)
    vault.lock_token(token, 100)
    with refused("Lockbox: not the Lockbox"):
        vault.lockbox.transfer_token(at(token), BOB, 1, sender=BOB)


# --- Claims -----------------------------------------------------------------------------------------------------------


def claim(vault: Vault, payee: Any, to: str, amount: int = 20, number: int = 1, asset: str = ZERO) -> None:
    """A payee's claim."""
    payee.execute(vault.address, calldata(vault.lockbox, "claim", number, asset, amount, to), PLENTY)


@pytest.fixture
def refusing(vault: Vault) -> Any:
    """A payee that refused 20 wei, payment 1."""
    made = told_to(REFUSE)
    vault.release(vault.pay(at(made), 20))
    return made


def test_payee_claims_to_where_it_likes(vault: Vault, refusing: Any) -> None:
    """The payee of a failed payment has it sent to any address, once."""
    claim(vault, refusing, CHRIS)
    assert (coin(CHRIS), coin(vault.address)) == (20, 100 * ETHER - 20)
    assert (vault.lockbox.failed(1), vault.lockbox.failed_amount(1)) == (NOBODY, 0)
    with refused("Lockbox: no such failed payment"):
        claim(vault, refusing, CHRIS)
    assert vault.lockbox.consumed(1)


def test_anybody_may_have_it_paid_to_the_payee(vault: Vault, refusing: Any) -> None:
    """A payee that cannot call, and takes coin again, is paid on anybody's call, and nobody else is."""
    for to in (BOB, ALICE):
        with refused("Lockbox: no such failed payment"):
            vault.lockbox.claim(1, ZERO, 20, to, sender=BOB)
    with refused("Lockbox: payee refused"):
        vault.lockbox.claim(1, ZERO, 20, at(refusing), sender=BOB)
    refusing.behaves(ACCEPT, ZERO, b"")
    vault.lockbox.claim(1, ZERO, 20, at(refusing), sender=BOB)
    assert events(vault.lockbox) == [("PaymentClaimed", {"number": 1, "to": at(refusing), "amount": 20})]
    assert coin(refusing) == 20


def test_claim_names_the_failed_payment(vault: Vault, refusing: Any) -> None:
    """Another amount, asset, number or nobody as the receiver is refused."""
    token = at(odd_token(ALICE, 1))
    for number, asset, amount in ((1, ZERO, 21), (1, token, 20), (2, ZERO, 20)):
        with refused("Lockbox: no such failed payment"):
            claim(vault, refusing, CHRIS, amount, number, asset)
    with refused("Lockbox: no recipient"):
        claim(vault, refusing, ZERO)


def test_claim_that_is_refused_changes_nothing(vault: Vault, refusing: Any) -> None:
    """A claim to who refuses the coin reverts and can be tried again."""
    with refused("Lockbox: payee refused"):
        claim(vault, refusing, at(told_to(REFUSE)))
    with refused("Lockbox: payee refused"):
        claim(vault, refusing, vault.address)
    claim(vault, refusing, CHRIS)
    assert coin(CHRIS) == 20


def test_claim_cannot_be_entered_again(vault: Vault, refusing: Any) -> None:
    """A receiver that claims once more while it is paid gets it once."""
    again = calldata(vault.lockbox, "claim", 1, ZERO, 20, account("dave").address)
    refusing.behaves(CALL, vault.address, again)
    claim(vault, refusing, at(refusing))
    assert (refusing.calls(), refusing.calls_succeeded(), coin(refusing)) == (1, 0, 20)


def test_vault_without_enough_coin_owes(vault: Vault) -> None:
    """A payment beyond what is held is a failed one, claimable when the coin is there again."""
    assert vault.release(vault.pay(BOB, 101 * ETHER)) == ["PaymentFailed 1"]
    vault.lock(ETHER)
    vault.lockbox.claim(1, ZERO, 101 * ETHER, BOB, sender=CHRIS)
    assert coin(BOB) == 101 * ETHER
