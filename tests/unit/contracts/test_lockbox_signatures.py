"""Lockbox: whose signature counts, for what, where and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import boa
import pytest
from coincurve import PublicKeyXOnly

from mpc import bip340
from tests.support.lockbox import (
    BOB,
    CARRIER,
    CHRIS,
    ETHER,
    GUARDIAN,
    Vault,
    build_vault,
    secret_of,
)
from tests.support.native_contracts import NOBODY, ORDER, ZERO, even_y, event, events, refused, schnorr_proof

BAD = "Lockbox: bad signature"
FIELD = 2**256 - 2**32 - 977
NEXT = secret_of("second")
NEXT_KEY = PublicKeyXOnly.from_secret(NEXT).format()

Act = Callable[[Vault], object]
ACTS: dict[str, Act] = {
    "release": lambda vault: vault.release((1, ZERO, BOB, 10, 0)),
    "cancel": lambda vault: vault.cancel(1),
    "configure": lambda vault: vault.configure(deposits=5, withdrawals=6),
    "rotate": lambda vault: vault.rotate(NEXT),
    "unpause": lambda vault: vault.unpause(),
}
"""Everything that the group signs."""


@pytest.fixture
def vault() -> Iterator[Vault]:
    """A Lockbox that holds 100 ether."""
    with boa.env.anchor():
        made = build_vault()
        made.lock(100 * ETHER)
        yield made


def ready(vault: Vault, act: str) -> Act:
    """An act, and a Lockbox in which it is due."""
    if act == "unpause":
        vault.lockbox.pause(sender=GUARDIAN)
    return ACTS[act]


# --- Replays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ACTS)
def test_signature_of_the_group_counts(vault: Vault, act: str) -> None:
    """Whoever brings it, what the group signed is done."""
    ready(vault, act)(vault)


@pytest.mark.parametrize("act", ACTS)
def test_signature_of_another_key_does_not_count(vault: Vault, act: str) -> None:
    """A key that is not the Lockbox's signs for nothing."""
    do = ready(vault, act)
    with refused(BAD):
        do(replace(vault, secret=secret_of("stranger")))


@pytest.mark.parametrize("act", ACTS)
def test_signature_for_one_chain_does_not_count_on_another(vault: Vault, act: str) -> None:
    """The same contract with the same key at the same address on chain B takes nothing that was signed for chain A."""
    do = ready(vault, act)
    there = boa.env.evm.patch.chain_id + 1
    with refused(BAD):
        do(replace(vault, chain_id=there))
    boa.env.evm.patch.chain_id = there
    do(replace(vault, chain_id=there))


@pytest.mark.parametrize("act", ACTS)
def test_signature_for_one_lockbox_does_not_count_at_another(vault: Vault, act: str) -> None:
    """Two Lockboxes of one group on one chain do not take each other's signatures."""
    other = build_vault()
    other.lock(100 * ETHER)
    do = ready(other, act)
    with refused(BAD):
        do(replace(other, names=vault.address))
    do(other)


@pytest.mark.parametrize("act", ACTS)
def test_signature_of_an_old_epoch_does_not_count(vault: Vault, act: str) -> None:
    """After `rotate`, what the old key signed and did not bring is void; so is what it signs for the new epoch."""
    old = replace(vault)
    vault.rotate(secret_of("third"))
    do = ready(vault, act)
    for stale in (old, replace(old, epoch=1)):
        with refused(BAD):
            do(stale)
    do(vault)


def test_rotation_to_the_same_key_voids_what_it_signed(vault: Vault) -> None:
    """The epoch counts even where the key stays: a group can void everything that it signed."""
    payments = [vault.pay(BOB, 10)]
    proof = vault.sign_release(payments)
    vault.rotate(vault.secret)
    with refused(BAD):
        vault.lockbox.release(payments, proof)
    vault.lockbox.release(payments, vault.sign_release(payments))


def test_signature_for_one_kind_is_none_for_another(vault: Vault) -> None:
    """A signature over the same content with another tag is refused: a list to cancel is never a batch to release."""
    with refused(BAD):
        vault.lockbox.rotate(
            NEXT_KEY,
            vault.sign("accept", ["bytes32"], [NEXT_KEY]),
            schnorr_proof(NEXT, vault.message("accept", ["bytes32"], [NEXT_KEY])),
        )
    vault.lockbox.pause(sender=GUARDIAN)
    with refused(BAD):
        vault.lockbox.unpause(1, vault.sign("cancel", ["uint256"], [1]))


def test_batch_is_signed_as_a_whole(vault: Vault) -> None:
    """No payment can be changed, left out, added or moved."""
    batch = [vault.pay(BOB, 10, fee=1), vault.pay(CHRIS, 20, fee=2)]
    proof = vault.sign_release(batch)
    changed = [
        batch[:1],
        batch[::-1],
        [*batch, vault.pay(BOB, 1)],
        [batch[0], (2, ZERO, BOB, 20, 2)],
        [batch[0], (2, ZERO, CHRIS, 21, 2)],
        [batch[0], (2, ZERO, CHRIS, 20, 3)],
        [batch[0], (3, ZERO, CHRIS, 20, 2)],
        [batch[0], (2, BOB, CHRIS, 20, 2)],
    ]
    for payments in changed:
        with refused(BAD):
            vault.lockbox.release(payments, proof)
    vault.lockbox.release(batch, proof)


def test_signature_has_one_form(vault: Vault) -> None:
    """Neither another s, another hint, nor a halved signature is taken."""
    payments = [vault.pay(BOB, 10)]
    rx, s, ry = vault.sign_release(payments)
    negated = (ORDER - int.from_bytes(s, "big")).to_bytes(32, "big")
    odd = (FIELD - int.from_bytes(ry, "big")).to_bytes(32, "big")
    for proof in ((rx, negated, ry), (rx, s, odd), (rx, bytes(32), ry), (bytes(32), s, ry), (NOBODY,) * 3):
        with refused(BAD):
            vault.lockbox.release(payments, proof)
    vault.lockbox.release(payments, (rx, s, ry))


def test_signature_of_the_groups_own_software_counts(vault: Vault) -> None:
    """What `mpc` signs is what the contract verifies."""
    payments = [vault.pay(BOB, 10)]
    signature = bip340.sign(vault.release_message(payments), vault.secret, b"\x07" * 32)
    vault.lockbox.release(payments, (signature[:32], signature[32:], even_y(signature[:32])))
    assert vault.told() == ["Released 1"]


# --- Rotation ---------------------------------------------------------------------------------------------------------


def test_rotation_hands_the_vault_over(vault: Vault) -> None:
    """The new key is kept and told with the new epoch, and pays from what the old one left."""
    vault.rotate(NEXT)
    assert event(vault.lockbox, "KeyRotated") == {"epoch": 1, "key": NEXT_KEY}
    assert (vault.lockbox.key(), vault.lockbox.epoch(), vault.lockbox.lock_count()) == (NEXT_KEY, 1, 1)
    assert vault.release(vault.pay(BOB, 10)) == ["Released 1"]


def test_number_stays_consumed_after_a_rotation(vault: Vault) -> None:
    """The new group cannot pay by mistake what the old one has paid, nor can a failed payment be lost."""
    vault.release(vault.pay(BOB, 10), vault.pay(vault.address, 20))
    vault.rotate(NEXT)
    with refused("Lockbox: nothing to release"):
        vault.release((1, ZERO, BOB, 10, 0), (2, ZERO, BOB, 20, 0))
    assert vault.lockbox.failed_amount(2) == 20


def test_key_that_nobody_has_is_refused(vault: Vault) -> None:
    """The new key has to accept, for this Lockbox and this epoch: a mistyped key would lose everything."""
    proof = vault.sign("rotate", ["bytes32"], [NEXT_KEY])
    stale = replace(vault, epoch=5).message("accept", ["bytes32"], [NEXT_KEY])
    for acceptance in (proof, schnorr_proof(NEXT, stale), (NOBODY,) * 3):
        with refused("Lockbox: key not accepted"):
            vault.lockbox.rotate(NEXT_KEY, proof, acceptance)
    assert vault.lockbox.epoch() == 0


def test_rotation_names_the_key(vault: Vault) -> None:
    """Who has the group's signature for one key cannot hand the vault to another."""
    mine = PublicKeyXOnly.from_secret(secret_of("thief")).format()
    acceptance = schnorr_proof(secret_of("thief"), vault.message("accept", ["bytes32"], [mine]))
    with refused(BAD):
        vault.lockbox.rotate(mine, vault.sign("rotate", ["bytes32"], [NEXT_KEY]), acceptance)


# --- Cancelling -------------------------------------------------------------------------------------------------------


def test_cancelled_number_is_never_paid(vault: Vault) -> None:
    """What the group cancels before it is paid cannot be paid by a release that was signed before."""
    payments = [vault.pay(BOB, 10), vault.pay(CHRIS, 20)]
    proof = vault.sign_release(payments)
    vault.cancel(1)
    assert events(vault.lockbox) == [("PaymentCancelled", {"number": 1, "amount": 0})]
    vault.lockbox.release(payments, proof, sender=CARRIER)
    assert vault.told() == ["Released 2"]
    assert boa.env.get_balance(BOB) == 0


def test_cancelled_failure_cannot_be_claimed(vault: Vault) -> None:
    """A failed payment that is cancelled tells its amount, and is gone: so the Hub can give it back."""
    vault.release(vault.pay(vault.address, 20), vault.pay(BOB, 10))
    vault.cancel(1)
    assert events(vault.lockbox) == [("PaymentCancelled", {"number": 1, "amount": 20})]
    assert (vault.lockbox.failed(1), vault.lockbox.failed_amount(1)) == (NOBODY, 0)
    with refused("Lockbox: no such failed payment"):
        vault.lockbox.claim(1, ZERO, 20, vault.address, sender=BOB)
    assert vault.lockbox.consumed(1)


def test_what_is_over_cannot_be_cancelled(vault: Vault) -> None:
    """Paid, claimed and cancelled numbers are passed over, also within one call; if all are, the call is refused."""
    dave = boa.env.generate_address()
    vault.release(vault.pay(BOB, 10), vault.pay(dave, 200 * ETHER), vault.pay(CHRIS, 200 * ETHER))
    vault.lock(200 * ETHER)
    vault.lockbox.claim(2, ZERO, 200 * ETHER, dave, sender=BOB)
    assert vault.cancel(1, 2, 3, 3, 4) == ["PaymentCancelled 3", "PaymentCancelled 4"]
    for numbers in ((1, 2, 3, 4), (1,), ()):
        with refused("Lockbox: nothing to cancel"):
            vault.cancel(*numbers)


def test_cancel_works_while_paused(vault: Vault) -> None:
    """A pause does not keep users from getting back elsewhere what will not be paid here."""
    vault.lockbox.pause(sender=GUARDIAN)
    assert vault.cancel(7) == ["PaymentCancelled 7"]
