"""Lockbox: ERC-20s that behave oddly. Each lock ends in a correct credit or a clean refusal, each release in a payment
or in one that fails alone and can be claimed when the token lets it; and never is more gone than was paid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boa
import pytest
from eth_abi.abi import encode

from tests.support.lockbox import (
    ALICE,
    BOB,
    BURNS_ALL_GAS,
    CARRIER,
    CHRIS,
    ETHER,
    NATIVE_ACCOUNT,
    REVERTS,
    SAYS_GAS,
    SAYS_MAXIMUM,
    SAYS_ZERO,
    WELL,
    Vault,
    actor,
    at,
    build_vault,
    calldata,
    helper,
    odd_token,
)
from tests.support.native_contracts import NOBODY, ZERO, event, events, execution_gas, refused

Tell = Callable[[Any, Vault], object]

ASKED, PAID, FEE = 1_000, 400, 3
REFUSED = "Lockbox: token refused"
NOTHING = "Lockbox: nothing arrived"
TRUE = encode(["bool"], [True])
TOKEN_BOUND = 300_000

RETURN_BOMB = bytes.fromhex("620500005ff3")
REVERT_BOMB = bytes.fromhex("620500005ffd")
"""PUSH3 size, PUSH0, and RETURN or REVERT: 327,680 zero bytes, about as many as a payment's gas can pay for."""


def nothing(token: Any, vault: Vault) -> None:
    """Leave the token as it is."""


def becomes(code: bytes) -> Tell:
    """The token's code is another from now on, as behind a proxy; or gone, as after a self-destruct."""
    return lambda token, vault: boa.env.set_code(token.address, code)


def itself_again(token: Any, vault: Vault) -> None:
    """The token has its own code again and behaves well."""
    boa.env.set_code(token.address, helper("odd_token").bytecode_runtime)
    token.behaves(WELL)
    token.reports(WELL)
    token.moves(10_000, 10_000)
    token.answers(TRUE)
    for holder in (BOB, vault.address):
        token.freezes(holder, False)


def reenters(name: str) -> Tell:
    """Each transfer of the token tries to enter the Lockbox by a call that would be good at another time."""

    def tell(token: Any, vault: Vault) -> None:
        other = (77, ZERO, BOB, 1, 0)
        arguments: dict[str, tuple[object, ...]] = {
            "lock": (ZERO, 0, NATIVE_ACCOUNT),
            "release": ([other], vault.sign_release([other])),
            "claim": (1, at(token), PAID, BOB),
            "transfer_token": (at(token), BOB, 1),
        }
        token.hooks_into(vault.address, calldata(vault.lockbox, name, *arguments[name]))

    return tell


def tells_payee(token: Any, vault: Vault) -> None:
    """As ERC-777 does: a contract is called in the middle of the transfer, and tries to carry a release."""
    other = (77, ZERO, BOB, 1, 0)
    payee = actor()
    data = calldata(vault.lockbox, "release", [other], vault.sign_release([other]))
    token.hooks_into(at(payee), calldata(payee, "execute", vault.address, data, 1_000_000))


@dataclass(frozen=True)
class Odd:
    """A token's oddity.

    Fields: says (what it does); first (told before the lock of `ASKED`); locks (what is credited, or why it is refused,
    empty where there is no text); then (told before the release of `PAID`); pays (what the payee receives; None:
    the payment fails); decimals.
    """

    says: str
    first: Tell = nothing
    locks: int | str = ASKED
    then: Tell = nothing
    pays: int | None = PAID
    decimals: int = 18


ODDITIES = [
    Odd("behaves well"),
    # What transfers answer.
    Odd("answers nothing", lambda token, _: token.answers(b"")),
    Odd("answers false", lambda token, _: token.answers(bytes(32)), REFUSED),
    Odd("answers false to releases", then=lambda token, _: token.answers(bytes(32)), pays=None),
    Odd("answers two", lambda token, _: token.answers(encode(["uint256"], [2])), REFUSED),
    Odd("answers one byte", lambda token, _: token.answers(b"\x01"), REFUSED),
    Odd("answers 64 bytes of garbage", lambda token, _: token.answers(b"\xab" * 64), REFUSED),
    Odd("answers releases with 64 bytes of garbage", then=lambda token, _: token.answers(b"\xab" * 64), pays=None),
    Odd("answers true and garbage", lambda token, _: token.answers(TRUE + b"\xab" * 64)),
    Odd("returns a bomb", becomes(RETURN_BOMB), REFUSED),
    Odd("returns a bomb to releases", then=becomes(RETURN_BOMB), pays=None),
    Odd("reverts with a bomb on releases", then=becomes(REVERT_BOMB), pays=None),
    # Whether they go.
    Odd("always reverts", lambda token, _: token.behaves(REVERTS), "OddToken: paused"),
    Odd("is paused after the lock", then=lambda token, _: token.behaves(REVERTS), pays=None),
    Odd("burns all gas", lambda token, _: token.behaves(BURNS_ALL_GAS), ""),
    Odd("burns all gas on releases", then=lambda token, _: token.behaves(BURNS_ALL_GAS), pays=None),
    Odd("bars the payee", then=lambda token, _: token.freezes(BOB, True), pays=None),
    Odd("bars the Lockbox", lambda token, vault: token.freezes(vault.address, True), "OddToken: frozen"),
    Odd("bars the Lockbox after the lock", then=lambda token, vault: token.freezes(vault.address, True), pays=None),
    Odd("has no code", becomes(b""), "Lockbox: not a token"),
    Odd("destroys itself after the lock", then=becomes(b""), pays=None),
    Odd("has no functions", becomes(bytes.fromhex("5f5ffd")), ""),
    # How much moves.
    Odd("takes a fee of a tenth", lambda token, _: token.moves(10_000, 9_000), 900, pays=360),
    Odd("takes a fee of all", lambda token, _: token.moves(10_000, 0), NOTHING),
    Odd("takes a fee of all on releases", then=lambda token, _: token.moves(10_000, 0), pays=0),
    Odd("burns a tenth of the sender's besides", then=lambda token, _: token.moves(11_000, 10_000), pays=None),
    Odd("moves twice what it is asked", lambda token, _: token.moves(20_000, 20_000), 2_000, pays=None),
    Odd("moves half of what it is asked", lambda token, _: token.moves(5_000, 5_000), 500, pays=None),
    Odd("moves nothing and answers true", lambda token, _: token.moves(0, 0), NOTHING),
    Odd("moves nothing on releases and answers true", then=lambda token, _: token.moves(0, 0), pays=None),
    Odd("mints for the payee and takes nothing", then=lambda token, _: token.moves(0, 10_000), pays=None),
    # What balances are.
    Odd("says that it holds the maximum", lambda token, _: token.reports(SAYS_MAXIMUM), NOTHING),
    Odd("says so on releases", then=lambda token, _: token.reports(SAYS_MAXIMUM), pays=None),
    Odd("says that it holds nothing", lambda token, _: token.reports(SAYS_ZERO), NOTHING),
    Odd("says on releases that it holds nothing", then=lambda token, _: token.reports(SAYS_ZERO), pays=None),
    Odd("makes up its balances on releases", then=lambda token, _: token.reports(SAYS_GAS), pays=None),
    Odd("cannot say its balances", lambda token, _: token.reports(REVERTS), "OddToken: no balance"),
    Odd("cannot say its balances on releases", then=lambda token, _: token.reports(REVERTS), pays=None),
    Odd("burns all gas for a balance", then=lambda token, _: token.reports(BURNS_ALL_GAS), pays=None),
    Odd("rebases upwards", then=lambda token, _: token.rebases(20_000)),
    # Whom they call.
    Odd("locks again while it is locked", reenters("lock")),
    Odd("releases while it is moved", reenters("release")),
    Odd("claims its own payment meanwhile", then=reenters("claim")),
    Odd("moves tokens as if it were the Lockbox", then=reenters("transfer_token")),
    Odd("calls the payee, who carries a release", then=tells_payee),
    # What it says of itself.
    Odd("has no decimals", decimals=0),
    Odd("has 77 decimals", decimals=77),
    Odd("has 255 decimals", decimals=255),
    Odd("has a name of 32 bytes", lambda token, _: token.labels(b"Maker".ljust(32, b"\0"))),
    Odd("has no name", lambda token, _: token.labels(b"")),
]  # fmt: skip

by_name = pytest.mark.parametrize("odd", ODDITIES, ids=lambda odd: odd.says)
released = pytest.mark.parametrize(
    "odd", [odd for odd in ODDITIES if isinstance(odd.locks, int)], ids=lambda odd: odd.says
)


@pytest.fixture
def vault() -> Iterator[Vault]:
    """A Lockbox that holds an ether."""
    with boa.env.anchor():
        made = build_vault()
        made.lock(ETHER)
        yield made


def told_token(odd: Odd, vault: Vault) -> Any:
    """A token of Alice's that was told its first oddity."""
    token = odd_token(ALICE, 10 * ASKED, odd.decimals)
    token.approve(vault.address, ASKED, sender=ALICE)
    odd.first(token, vault)
    return token


def test_there_are_enough() -> None:
    """At least twenty behaviours are tried, each once."""
    assert len({odd.says for odd in ODDITIES}) == len(ODDITIES) >= 20


@by_name
def test_lock_ends_in_a_correct_credit_or_a_clean_refusal(vault: Vault, odd: Odd) -> None:
    """What is credited has arrived; what is refused has moved nothing and has no number."""
    token = told_token(odd, vault)
    if isinstance(odd.locks, str):
        with refused(odd.locks):
            vault.lock(ASKED, asset=at(token))
        itself_again(token, vault)
        assert (token.held(ALICE), token.held(vault.address)) == (10 * ASKED, 0)
        assert vault.lockbox.lock_count() == 1
        return
    vault.lock(ASKED, asset=at(token))
    told = event(vault.lockbox, "Locked")
    assert (told["amount"], told["asset"], told["number"]) == (odd.locks, at(token), 2)
    assert token.held(vault.address) == odd.locks
    assert token.hooks_succeeded() == 0


@released
def test_release_ends_in_a_payment_or_a_failed_payment(vault: Vault, odd: Odd) -> None:
    """The payments around it are made, the gas is bounded, and the Lockbox loses exactly what it says it paid."""
    token = told_token(odd, vault)
    vault.lock(ASKED, asset=at(token))
    odd.then(token, vault)
    batch = [vault.pay(CHRIS, 1), vault.pay(BOB, PAID, at(token), FEE), vault.pay(CHRIS, 2)]
    expected = "PaymentFailed 2" if odd.pays is None else "Released 2"
    assert vault.release(*batch) == ["Released 1", expected, "Released 3"]
    assert execution_gas(vault.lockbox) < 2 * TOKEN_BOUND + 300_000
    assert boa.env.get_balance(CHRIS) == 3
    owed = vault.lockbox.fees_owed(CARRIER, at(token))
    itself_again(token, vault)
    assert token.hooks_succeeded() == 0
    left = token.held(vault.address)
    assert isinstance(odd.locks, int)
    assert left >= odd.locks - (0 if odd.pays is None else PAID) - (FEE - owed)
    assert token.held(BOB) == (odd.pays or 0)
    with refused("Lockbox: nothing to release"):
        vault.release(*batch)
    assert vault.lockbox.consumed(2)


@released
def test_failed_payment_is_claimed_when_the_token_lets_it(vault: Vault, odd: Odd) -> None:
    """As soon as the token behaves, the payee gets exactly its amount, and the carrier the fee that it is owed."""
    token = told_token(odd, vault)
    vault.lock(ASKED, asset=at(token))
    odd.then(token, vault)
    vault.release(vault.pay(BOB, PAID, at(token), FEE))
    itself_again(token, vault)
    before = token.held(vault.address)
    if odd.pays is not None:
        with refused("Lockbox: no such failed payment"):
            vault.lockbox.claim(1, at(token), PAID, BOB, sender=BOB)
        return
    vault.lockbox.claim(1, at(token), PAID, BOB, sender=BOB)
    assert (token.held(BOB), before - token.held(vault.address)) == (PAID, PAID)
    owed = vault.lockbox.fees_owed(CARRIER, at(token))
    if owed:
        vault.lockbox.claim_fee(at(token), CARRIER, sender=CARRIER)
    assert token.held(CARRIER) == FEE
    assert vault.lockbox.failed(1) == NOBODY


@pytest.mark.parametrize(
    ("tell", "reason"),
    [
        (lambda token: token.moves(11_000, 10_000), "Lockbox: another amount left"),
        (lambda token: token.moves(0, 0), "Lockbox: another amount left"),
        (lambda token: token.answers(bytes(32)), "Lockbox: token refused"),
        (lambda token: token.behaves(REVERTS), "OddToken: paused"),
        (lambda token: boa.env.set_code(token.address, b""), "Lockbox: not a token"),
    ],
)
def test_claim_of_an_odd_token_says_why_it_is_refused(vault: Vault, tell: Tell, reason: str) -> None:
    """A claim runs with all the gas and gives the token's own reason; nothing is lost by it."""
    token = told_token(ODDITIES[0], vault)
    vault.lock(ASKED, asset=at(token))
    tell(token)  # type: ignore[call-arg]  # takes the token alone
    vault.release(vault.pay(BOB, PAID, at(token)))
    with refused(reason):
        vault.lockbox.claim(1, at(token), PAID, BOB, sender=BOB)
    itself_again(token, vault)
    vault.lockbox.claim(1, at(token), PAID, BOB, sender=BOB)
    assert token.held(vault.address) == ASKED - PAID


@pytest.mark.parametrize("amount", [2**112, 10**77, 2**255])
def test_amounts_beyond_the_counters_are_refused(vault: Vault, amount: int) -> None:
    """One whole token of 77 decimals does not fit and is refused as a whole; the largest that fits is credited."""
    token = odd_token(ALICE, amount, 77)
    with refused("Lockbox: amount too large"):
        vault.lock_token(token, amount)
    assert token.held(vault.address) == 0
    assert vault.lock_token(token, 2**112 - 1) == 2**112 - 1
    assert vault.release(vault.pay(BOB, 2**112 - 1, at(token))) == ["Released 1"]


def test_rebasing_downwards_is_why_such_tokens_are_denied(vault: Vault) -> None:
    """What has melted away cannot be paid and fails; once the token is denied, nothing is locked and the rest waits."""
    token = odd_token(ALICE, 2_000)
    vault.lock_token(token, ASKED)
    token.rebases(1_000)
    assert vault.release(vault.pay(BOB, ASKED, at(token))) == ["PaymentFailed 1"]
    vault.configure(at(token), denied=True)
    with refused("Lockbox: asset denied"):
        vault.lock_token(token, 10)
    with refused("Lockbox: nothing to release"):
        vault.release(vault.pay(BOB, 1, at(token)))
    assert token.held(vault.address) == 100


def test_bomb_costs_the_carrier_no_more_than_its_bound(vault: Vault) -> None:
    """What a token returns or reverts with is not copied outside of its bound."""
    token = told_token(ODDITIES[0], vault)
    vault.lock(ASKED, asset=at(token))
    for number, code in enumerate((RETURN_BOMB, REVERT_BOMB)):
        boa.env.set_code(token.address, code)
        vault.release(vault.pay(BOB, 1, at(token)))
        assert event(vault.lockbox, "PaymentFailed")["number"] == number + 1
        assert execution_gas(vault.lockbox) < TOKEN_BOUND + 100_000


def test_hostile_token_touches_no_other_asset(vault: Vault) -> None:
    """Whatever a token does in a batch, coin and other tokens are where they were, but for what was paid."""
    good, bad = odd_token(ALICE, ASKED), odd_token(ALICE, ASKED)
    vault.lock_token(good, ASKED)
    vault.lock_token(bad, ASKED)
    drain = calldata(vault.lockbox, "transfer_token", at(good), CHRIS, ASKED)
    bad.hooks_into(vault.address, drain)
    vault.release(vault.pay(BOB, 1, at(bad)), vault.pay(BOB, 2, at(good)), vault.pay(BOB, 3))
    assert [name for name, _ in events(vault.lockbox)] == ["Released"] * 3
    assert (good.held(vault.address), boa.env.get_balance(vault.address)) == (ASKED - 2, ETHER - 3)
    assert (bad.hooks(), bad.hooks_succeeded()) == (1, 0)
