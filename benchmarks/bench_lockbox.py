"""What the Lockbox costs, in gas of whole transactions (see bench_contracts): deterministic. Pure EVM, no node."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import boa
from boa.util.abi import Address

from benchmarks.bench_contracts import chain_of_its_own, figure, transaction_gas
from tests.support.lockbox import (
    ALICE,
    CARRIER,
    ETHER,
    GUARDIAN,
    Payment,
    Vault,
    actor,
    at,
    build_vault,
    odd_token,
    secret_of,
)
from tests.support.native_contracts import ZERO, account

RELEASE_TARGET = 75_000
BATCHED_TARGET = 18_000
BATCH = 50
FEE = 10**15
REFUSING = 1


def gas(vault: Vault, call: Callable[[], object], sender: str = CARRIER) -> int:
    """The gas of a call as a transaction of its own, whose sender is warm as well (EIP-2929)."""

    def run() -> None:
        boa.env.evm.vm.state.mark_address_warm(Address(sender).canonical_address)
        call()

    return transaction_gas(vault.lockbox, run)


def payees(count: int) -> list[str]:
    """Accounts that exist, as the carrier's does: each has some coin."""
    boa.env.set_balance(CARRIER, 1)
    made = [account(f"payee-{number}").address for number in range(count)]
    for one in made:
        boa.env.set_balance(one, 1)
    return made


def release_gas(vault: Vault, payments: list[Payment]) -> int:
    """Gas of carrying a batch."""
    proof = vault.sign_release(payments)
    return gas(vault, lambda: vault.lockbox.release(payments, proof, sender=CARRIER))


def locking(vault: Vault, token: Any) -> list[dict[str, object]]:
    vault.lock(1_000 * ETHER)
    token.approve(vault.address, 2**255, sender=ALICE)
    vault.lock(1_000, asset=at(token))
    coin = gas(vault, vault.lock, ALICE)
    tokens = gas(vault, lambda: vault.lock(1_000, asset=at(token)), ALICE)
    return [figure("lock of coin", coin), figure("lock of a token", tokens, None, "with the token's own part")]


def releasing(vault: Vault, token: Any) -> list[dict[str, object]]:
    accounts = payees(BATCH)
    fresh = release_gas(vault, [vault.pay(accounts[0], ETHER, fee=FEE)])
    one = release_gas(vault, [vault.pay(accounts[0], ETHER, fee=FEE)])
    many = release_gas(vault, [vault.pay(payee, ETHER, fee=FEE) for payee in accounts])
    newcomer = account("newcomer").address
    new = release_gas(vault, [vault.pay(newcomer, ETHER, fee=FEE)])
    token.give(accounts[0], 1)
    token.give(CARRIER, 1)
    tokens = release_gas(vault, [vault.pay(accounts[0], 10, at(token), 1)])
    refusing = actor()
    refusing.behaves(REFUSING, ZERO, b"")
    failed_number = vault.next_number
    failed = release_gas(vault, [vault.pay(at(refusing), ETHER, fee=FEE), vault.pay(accounts[0], ETHER, fee=FEE)])
    unmade = vault.pay(accounts[0], ETHER)[0]
    cancelled = gas(vault, lambda: vault.cancel(unmade, failed_number))
    vault.configure(withdrawals=1_000 * ETHER)
    release_gas(vault, [vault.pay(accounts[0], ETHER, fee=FEE)])
    limited = release_gas(vault, [vault.pay(accounts[0], ETHER, fee=FEE)])
    return [
        figure("release, 1 payment of coin", one, RELEASE_TARGET, "to an account that exists"),
        figure("release, 1 payment, first of 256 numbers", fresh),
        figure("release, 1 payment, to a new account", new),
        figure("release, 1 payment, asset with a limit", limited),
        figure(f"release, {BATCH} payments of coin, for each", -(-many // BATCH), BATCHED_TARGET),
        figure("release, 1 payment of a token", tokens, None, "with the token's own part"),
        figure("release, 2 payments, 1 refused", failed),
        figure("cancel 2 payments", cancelled),
    ]


def governing(vault: Vault) -> list[dict[str, object]]:
    configured = gas(vault, lambda: vault.configure(account("asset").address, 10**6, 10**6, nonce=1))
    rotated = gas(vault, lambda: vault.rotate(secret_of("second")))
    paused = gas(vault, lambda: vault.lockbox.pause(sender=GUARDIAN), GUARDIAN)
    return [
        figure("configure a new asset", configured),
        figure("rotate", rotated),
        figure("pause", paused),
    ]


def run() -> list[dict[str, object]]:
    """Measure everything. A target is the most that a case may take; None: for information."""
    with chain_of_its_own():
        vault = build_vault()
        token = odd_token(ALICE, 10**24)
        return [*locking(vault, token), *releasing(vault, token), *governing(vault)]


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(f"{row['name']:<45} {row['value']:>12,} {row['unit']}  {row['note']}\n")
