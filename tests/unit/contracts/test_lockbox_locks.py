"""Lockbox: taking coin and tokens in, and where it refuses to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boa
import pytest
from coincurve import PrivateKey
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.support.lockbox import (
    ALICE,
    BOB,
    ETHER,
    GUARDIAN,
    NATIVE_ACCOUNT,
    SAYS_GAS,
    Vault,
    actor,
    at,
    build_vault,
    deploy_lockbox,
    odd_token,
)
from tests.support.native_contracts import ZERO, account, event, refused, refused_silently

FAR = 2**63


@pytest.fixture
def vault() -> Iterator[Vault]:
    """An empty Lockbox."""
    with boa.env.anchor():
        yield build_vault()


def balance(vault: Vault) -> int:
    """The coin that the Lockbox holds."""
    return int(boa.env.get_balance(vault.address))


def permit(vault: Vault, token: Any, amount: int, deadline: int = FAR) -> tuple[int, int, bytes, bytes]:
    """Alice's permit for the Lockbox: deadline, v, r, s."""
    types = ["address", "address", "uint256", "uint256", "uint256"]
    digest = keccak(encode(types, (ALICE, vault.address, amount, deadline, token.nonces(ALICE))))
    signature = PrivateKey(account("alice").key).sign_recoverable(digest, hasher=None)
    return deadline, signature[64] + 27, signature[:32], signature[32:64]


# --- Creation ---------------------------------------------------------------------------------------------------------


def test_new_vault_is_empty_and_says_whose_it_is(vault: Vault) -> None:
    """The key, the guardian and the window are those of the creation, and every count is zero."""
    lockbox = vault.lockbox
    assert (lockbox.key(), lockbox.guardian(), lockbox.window_seconds()) == (vault.key, GUARDIAN, 3_600)
    assert (lockbox.epoch(), lockbox.lock_count(), lockbox.paused_until(), lockbox.pause_count()) == (0, 0, 0, 0)
    assert tuple(lockbox.limits(ZERO)) == (0, 0, 0, 0, False)


def test_vault_without_key_is_refused(vault: Vault) -> None:
    """Nobody can sign for a key of zeros."""
    with refused("Lockbox: no key"):
        deploy_lockbox(bytes(32))


@pytest.mark.parametrize("seconds", [0, 30 * 86_400 + 1])
def test_window_is_neither_nothing_nor_endless(vault: Vault, seconds: int) -> None:
    """A window is a second to thirty days long: a limit delays for no longer."""
    with refused("Lockbox: bad window"):
        deploy_lockbox(vault.key, window_seconds=seconds)
    assert deploy_lockbox(vault.key, window_seconds=30 * 86_400).window_seconds() == 30 * 86_400


# --- Coin -------------------------------------------------------------------------------------------------------------


def test_lock_of_coin_is_told(vault: Vault) -> None:
    """Locks are numbered from 1, and an id names the chain, the Lockbox and the number."""
    for number in (1, 2):
        made = vault.lock(number * ETHER)
        chain = boa.env.evm.patch.chain_id
        assert made == keccak(encode(["uint256", "address", "uint256"], (chain, vault.address, number)))
        assert event(vault.lockbox, "Locked") == {
            "id": made,
            "asset": ZERO,
            "sender": ALICE,
            "number": number,
            "amount": number * ETHER,
            "recipient": NATIVE_ACCOUNT,
        }
    assert balance(vault) == 3 * ETHER
    assert vault.lockbox.lock_count() == 2


@pytest.mark.parametrize(("amount", "sent"), [(2, 1), (1, 2), (1, 0), (0, 1)])
def test_coin_is_what_was_sent(vault: Vault, amount: int, sent: int) -> None:
    """Neither more nor less is credited than the value of the transaction."""
    boa.env.set_balance(ALICE, 10)
    with refused("Lockbox: amount is not what was sent"):
        vault.lockbox.lock(ZERO, amount, NATIVE_ACCOUNT, value=sent, sender=ALICE)


def test_lock_of_nothing_is_refused(vault: Vault) -> None:
    """A lock of nothing has no event that vouchers would have to look at."""
    with refused("Lockbox: nothing arrived"):
        vault.lock(0)


def test_lock_for_nobody_is_refused(vault: Vault) -> None:
    """To the zero account nothing can be minted."""
    boa.env.set_balance(ALICE, 10)
    with refused("Lockbox: no recipient"):
        vault.lockbox.lock(ZERO, 10, ZERO, value=10, sender=ALICE)
    assert balance(vault) == 0


def test_coin_beyond_the_counters_is_refused(vault: Vault) -> None:
    """What does not fit into the packed budgets is refused, not cut."""
    with refused("Lockbox: amount too large"):
        vault.lock(2**112)
    vault.lock(2**112 - 1)


def test_coin_sent_by_mistake_is_refused(vault: Vault) -> None:
    """A plain transfer to the Lockbox fails, as does coin with any other function."""
    boa.env.set_balance(ALICE, 10)
    sender = actor()
    with refused_silently():
        sender.execute(vault.address, b"", 100_000, value=1, sender=ALICE)
    with refused_silently():
        vault.lockbox.pause(value=1, sender=ALICE)
    assert balance(vault) == 0


def test_forced_coin_is_nobodys(vault: Vault) -> None:
    """Coin that a dying contract leaves to the Lockbox is credited to no lock."""
    boa.env.set_balance(vault.address, 5)
    vault.lock(10)
    assert event(vault.lockbox, "Locked")["amount"] == 10


# --- Tokens -----------------------------------------------------------------------------------------------------------


def test_lock_of_tokens_is_told(vault: Vault) -> None:
    """Tokens are pulled from the sender and credited with their address as the asset."""
    token = odd_token(ALICE, 100)
    assert vault.lock_token(token, 60) == 60
    told = event(vault.lockbox, "Locked")
    assert (told["asset"], told["sender"], told["number"]) == (at(token), ALICE, 1)
    assert (token.balanceOf(vault.address), token.balanceOf(ALICE)) == (60, 40)


def test_coin_and_token_together_are_refused(vault: Vault) -> None:
    """Coin that is sent along with a token would be lost."""
    token = odd_token(ALICE, 100)
    token.approve(vault.address, 100, sender=ALICE)
    boa.env.set_balance(ALICE, 1)
    with refused("Lockbox: coin sent with a token"):
        vault.lockbox.lock(at(token), 100, NATIVE_ACCOUNT, value=1, sender=ALICE)


def test_tokens_of_others_cannot_be_locked(vault: Vault) -> None:
    """An allowance that Alice gave to the Lockbox is of no use to Bob."""
    token = odd_token(ALICE, 100)
    token.approve(vault.address, 100, sender=ALICE)
    with refused_silently():
        vault.lock(100, BOB, at(token))


@pytest.mark.parametrize("label", ["an account", "a precompile", "the Lockbox"])
def test_what_is_no_token_is_refused(vault: Vault, label: str) -> None:
    """An address without code answers every call with success and nothing: it must not be taken for a token."""
    if label == "the Lockbox":
        with refused_silently():
            vault.lock(1, asset=vault.address)
        return
    with refused("Lockbox: not a token"):
        vault.lock(1, asset=BOB if label == "an account" else "0x" + "00" * 19 + "04")


def test_token_that_counts_its_gas_as_a_balance_gains_nothing(vault: Vault) -> None:
    """A balance that falls while tokens are pulled is a clean refusal, not an underflow."""
    token = odd_token(ALICE, 100)
    token.reports(SAYS_GAS)
    with refused("Lockbox: nothing arrived"):
        vault.lock_token(token, 10)


def test_tokens_sent_by_mistake_are_not_credited_to_the_next_lock(vault: Vault) -> None:
    """Only what arrives during a lock counts for it."""
    token = odd_token(ALICE, 100)
    token.give(vault.address, 30)
    assert vault.lock_token(token, 10) == 10


# --- Permits ----------------------------------------------------------------------------------------------------------


def test_permit_replaces_the_allowance(vault: Vault) -> None:
    """One transaction permits and locks."""
    token = odd_token(ALICE, 100)
    terms = permit(vault, token, 70)
    made = vault.lockbox.lock_with_permit(at(token), 70, NATIVE_ACCOUNT, *terms, sender=ALICE)
    told = event(vault.lockbox, "Locked")
    assert (told["id"], told["amount"], told["sender"]) == (made, 70, ALICE)
    assert token.allowance(ALICE, vault.address) == 0


def test_permit_that_was_brought_before_does_not_stop_the_lock(vault: Vault) -> None:
    """Who sees the permit in the mempool and brings it first only saves Alice the gas."""
    token = odd_token(ALICE, 100)
    terms = permit(vault, token, 70)
    token.permit(ALICE, vault.address, 70, *terms, sender=BOB)
    vault.lockbox.lock_with_permit(at(token), 70, NATIVE_ACCOUNT, *terms, sender=ALICE)
    assert event(vault.lockbox, "Locked")["amount"] == 70


def test_permit_of_another_is_of_no_use(vault: Vault) -> None:
    """Bob cannot lock Alice's tokens for himself with her permit."""
    token = odd_token(ALICE, 100)
    terms = permit(vault, token, 70)
    with refused_silently():
        vault.lockbox.lock_with_permit(at(token), 70, BOB, *terms, sender=BOB)
    assert token.balanceOf(vault.address) == 0


def test_permit_that_is_too_late_needs_an_allowance(vault: Vault) -> None:
    """A permit that the token refuses counts for nothing."""
    token = odd_token(ALICE, 100)
    terms = permit(vault, token, 70, deadline=1)
    with refused_silently():
        vault.lockbox.lock_with_permit(at(token), 70, NATIVE_ACCOUNT, *terms, sender=ALICE)


def test_coin_has_no_permit(vault: Vault) -> None:
    """The coin's address is no contract, and so it cannot be locked by a permit."""
    with refused("Lockbox: not a token"):
        vault.lockbox.lock_with_permit(ZERO, 1, NATIVE_ACCOUNT, FAR, 27, bytes(32), bytes(32), sender=ALICE)


def test_id_names_the_chain_of_the_moment(vault: Vault) -> None:
    """After a fork with a new chain id, locks of the same number have other ids."""
    with boa.env.anchor():
        here = vault.lock()
    boa.env.evm.patch.chain_id += 1
    assert vault.lock() != here
