"""Banks with databases, an operator's adjudicator, and a proxy between two banks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from foundation.database import Moment
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.channels.book import book_salt, deposit_hold
from settlement.channels.errors import Overruled
from settlement.channels.judge import Close, Join, Status, Withdraw
from settlement.channels.ops import Offer
from settlement.channels.port import Adjudicator
from settlement.channels.relay import Relay
from settlement.channels.routing import (
    Credential,
    Invoice,
    Last,
    Margins,
    Onward,
    RouteRefused,
    accept_last,
    check_credential,
    credential,
    invoice,
    pass_on,
    plan,
)
from settlement.channels.signing import KeySigner
from settlement.channels.state import Leave, LockEnded, Offered, Phase, Want
from settlement.channels.store import UnknownChannel
from settlement.channels.terms import ChannelId, LockId, Side, Terms
from settlement.ledgers.protocol import HoldState, LedgerAccount
from settlement.quantities import PartyId, Units, condition_of
from tests.support.channel_town import DOMAIN, OPERATOR, Town
from tests.support.channels import CHALLENGE_MS, START, fulfil, lock, offer, pay, secret

A, B = Side.A, Side.B
AUTHORITY = KeySigner(b"n" * 32)
MARGINS = Margins(Units(3), hop_ms=40_000, least_ms=30_000)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """Three banks without channels."""
    town = await Town(tmp_path).start("ann", "pam", "bob")
    yield town
    await town.stop()


async def test_banks_pay_in_a_channel_and_are_paid_out_on_the_book(town: Town) -> None:
    """Deposits come in as holds, payments move in the channel, and each bank gets its balance on the book."""
    channel = await town.channel("ann", "bob")
    assert town.money.balances == {"operator": 2_000, "ann": 9_000, "pam": 10_000, "bob": 9_000}
    await town.banks["ann"].runs.change(channel, Want((pay(250),)))
    await town.pump()
    await town.banks["bob"].runs.change(channel, Leave())
    await town.pump()
    await town.tick()
    assert town.money.balances == {"operator": 0, "ann": 9_750, "pam": 10_000, "bob": 10_250}
    assert (await town.side("ann", channel)).phase is Phase.CLOSED


async def test_watcher_answers_a_stale_close(town: Town) -> None:
    """A bank that closes with an older sheet loses everything on the book, because the other's agent answered."""
    channel = await town.channel("ann", "bob")
    stale = (await town.side("ann", channel)).newest
    for number in range(3):
        await town.banks["ann"].runs.change(channel, Want((pay(100, number),)))
        await town.pump()
    await town.court.submit(channel, Close(town.banks["ann"].signer.account, stale))
    for _ in range(CHALLENGE_MS // 20_000 + 2):
        await town.tick(20_000, "ann")
    assert town.money.balances["bob"] == 11_000
    assert town.money.balances["ann"] == 9_000


@pytest.mark.parametrize("moment", list(Moment))
async def test_crash_at_any_commit_loses_and_doubles_nothing(town: Town, moment: Moment) -> None:
    """A bank that dies before or after its commits comes back to the same balances, told of each payment once."""
    channel = await town.channel("ann", "bob")

    class Dies(Exception):
        """The process ends here."""

    commits = 0

    async def hook(when: Moment) -> None:
        nonlocal commits
        if when is moment:
            commits += 1
            if commits % 2 == 0:
                raise Dies

    await town.run("bob", hook)
    await town.banks["ann"].runs.change(channel, Want((pay(10, 1), offer(1, A))))
    for _ in range(12):
        for attempt in (town.pump, lambda: town.tick(2_000)):
            try:
                await attempt()
            except Dies:
                await town.run("bob", hook)
    await town.run("bob")
    await town.banks["bob"].runs.change(channel, Want((fulfil(1),)))
    for _ in range(3):
        await town.tick(2_000)
    ann, bob = await town.side("ann", channel), await town.side("bob", channel)
    assert (ann.sheet, ann.sheet.balance_a, ann.sheet.balance_b) == (bob.sheet, 890, 1_110)
    ends = [notice for notice in town.banks["ann"].listener.heard if isinstance(notice, LockEnded)]
    assert [end.preimage for end in ends] == [secret(1)]


async def test_what_was_forgotten_changes_nothing_again(town: Town) -> None:
    """What follows from something stored is made once, whoever comes a second time."""
    channel = await town.channel("ann", "bob")
    left = [True]

    async def forget(_: object) -> bool:
        return bool(left) and left.pop()

    for number in range(2):
        await town.banks["ann"].runs.follow(forget, ((channel, Want((pay(10, number),))),))
        await town.pump()
    assert (await town.side("ann", channel)).sheet.balance_a == 990


async def test_ledger_that_is_not_what_it_should_be_stops_no_other_channel(town: Town) -> None:
    """A fatal answer about one channel is told in the log, and the others are looked after."""
    broken, good = await town.channel("ann", "bob"), await town.channel("ann", "pam")
    agent = town.banks["ann"].runs

    def court(channel: ChannelId) -> Adjudicator:
        if channel == broken:
            raise UnknownChannel(channel)
        return town.court

    agent._courts = court
    await town.banks["pam"].runs.change(good, Leave())
    await town.pump()
    await town.tick()
    assert (await town.side("ann", good)).phase is Phase.CLOSED
    assert (await town.side("ann", broken)).phase is Phase.OPEN


async def test_stored_side_is_read_back_as_it_was(town: Town) -> None:
    """A side with an open conditional payment survives its encoding."""
    channel = await town.channel("ann", "bob")
    before = await town.banks["ann"].runs.change(channel, Want((offer(1, A), pay(1))))
    await town.pump()
    assert before.proposal is not None
    assert [each.lock_id for each in (await town.side("bob", channel)).sheet.locks] == [lock(1, A).lock_id]


# --- The operator -----------------------------------------------------------------------------------------------------


def town_terms(town: Town, **other: object) -> Terms:
    """Terms between ann and bob, that bind their accounts."""
    accounts = (town.banks[name].signer.account for name in ("ann", "bob"))
    salt = book_salt(LedgerAccount("ann"), LedgerAccount("bob"), b"n" * 32)
    terms = Terms(DOMAIN, *accounts, Units(100), Units(100), CHALLENGE_MS, False, salt)
    return replace(terms, **other)  # type: ignore[arg-type]


async def test_channel_is_not_opened_without_its_deposit(town: Town) -> None:
    """No deposit, one from another account, and one of another amount open nothing; terms for others are refused."""
    terms = town_terms(town)
    opening = LedgerAccount("ann"), LedgerAccount("bob"), b"n" * 32
    with pytest.raises(Overruled):
        await town.court.open(terms, *opening)
    for held in (
        deposit_hold(terms, A, LedgerAccount("pam"), OPERATOR, UnixMs(START + 1)),
        replace(deposit_hold(terms, A, LedgerAccount("ann"), OPERATOR, UnixMs(START + 1)), amount=Units(99)),
    ):
        town.money.hold(held)
        with pytest.raises(Overruled):
            await town.court.open(terms, *opening)
    with pytest.raises(BadInput):
        await town.court.open(replace(terms, ledger=b"x" * 32), *opening)
    with pytest.raises(BadInput):
        await town.court.open(terms, LedgerAccount("ann"), LedgerAccount("pam"), b"n" * 32)


async def test_deposit_that_came_too_late_goes_back(town: Town) -> None:
    """A withdraws before B joins; B's deposit, taken or not, is B's again."""
    terms = town_terms(town)
    end = UnixMs(START + 60_000)
    town.money.hold(deposit_hold(terms, A, LedgerAccount("ann"), OPERATOR, end))
    channel = await town.court.open(terms, LedgerAccount("ann"), LedgerAccount("bob"), b"n" * 32)
    held = deposit_hold(terms, B, LedgerAccount("bob"), OPERATOR, end)
    town.money.hold(held)
    # The operator dies between taking the deposit and joining, and A withdraws then.
    await town.court._take(terms, B, LedgerAccount("bob"))
    await town.court.submit(channel, Withdraw(terms.a))
    for _ in range(2):
        with pytest.raises(Overruled):
            await town.court.submit(channel, Join(terms.b))
    assert town.money.holds[held.transfer_id].state is HoldState.FULFILLED
    assert (town.money.balances["ann"], town.money.balances["bob"], town.money.balances["operator"]) == (
        10_000,
        10_000,
        0,
    )


async def test_decided_payout_is_made_after_a_crash(town: Town) -> None:
    """A pay-out that the book did not answer is made later, once."""
    channel = await town.channel("ann", "bob")
    real, town.money.pay = town.money.pay, None  # type: ignore[method-assign, assignment]
    await town.banks["ann"].runs.change(channel, Leave())
    with pytest.raises(TypeError):
        await town.pump()
    town.money.pay = real  # type: ignore[method-assign]
    assert await town.court.pay_out() == 2
    assert await town.court.pay_out() == 0
    assert town.money.balances["operator"] == 0
    standing = await town.court.standing(channel, ())
    assert standing is not None
    assert standing.case.status is Status.CLOSED
    assert await town.court.standing(b"x" * 32, ()) is None  # type: ignore[arg-type]


# --- Two hops ---------------------------------------------------------------------------------------------------------


def bill(town: Town, amount: int = 100, expires_at: int = START + 60_000) -> Invoice:
    """Bob's invoice."""
    account = town.banks["bob"].signer.account
    key = b"bob".ljust(32, b".")
    return invoice(key, PartyId("bob"), account, Units(amount), condition_of(secret(1)), UnixMs(expires_at))


def vouched(town: Town) -> Credential:
    """Pam is a proxy of the network."""
    return credential(b"n" * 32, PartyId("pam"), town.banks["pam"].signer.account, UnixMs(START + 10**9))


async def routed(town: Town) -> tuple[bytes, bytes, Offer]:
    """Ann has offered Pam what Bob is to get; the two channels, and the offer."""
    up, down = await town.channel("ann", "pam"), await town.channel("pam", "bob")
    pam = town.banks["pam"]
    assert pam.database is not None
    pam.gateway = Relay(pam.database, {PartyId("ann"): up, PartyId("bob"): down}, MARGINS, town.clock)
    await town.run("pam")
    pam.gateway = Relay(pam.database, {PartyId("ann"): up, PartyId("bob"): down}, MARGINS, town.clock)
    await town.run("pam")
    wish = plan(bill(town), vouched(town), AUTHORITY.account, MARGINS, A, LockId(b"l" * 32), town.now)
    await town.banks["ann"].runs.change(up, Want((wish,)))
    await town.tick()
    await town.tick()
    return up, down, wish


async def balances(town: Town, channel: bytes) -> tuple[int, int]:
    """Both balances of a channel, one side asked."""
    name = next(name for name, known in town.peers if known == channel)
    sheet = (await town.side(name, channel)).sheet  # type: ignore[arg-type]
    return sheet.balance_a, sheet.balance_b


async def test_payment_goes_over_a_proxy_that_earns_its_fee(town: Town) -> None:
    """Bob gets what he asked for, Ann pays it and the fee, and the proxy keeps the fee."""
    up, down, _ = await routed(town)
    (offered,) = [n for n in town.banks["bob"].listener.heard if isinstance(n, Offered)]
    accept_last(bill(town), offered.lock, offered.memo, town.now)
    await town.banks["bob"].runs.change(down, Want((replace_id(fulfil(1), offered.lock.lock_id),)))  # type: ignore[arg-type]
    for _ in range(3):
        await town.tick()
    assert await balances(town, up) == (897, 1_103)
    assert await balances(town, down) == (900, 1_100)


def replace_id(op: object, lock_id: bytes) -> object:
    """The operation for another conditional payment under the same secret."""
    return type(op)(lock_id, op.preimage)  # type: ignore[attr-defined, call-arg]


async def test_unclaimed_payment_goes_all_the_way_back(town: Town) -> None:
    """If Bob never claims, the proxy takes its money back downstream first, and Ann hers after that."""
    up, down, _ = await routed(town)
    for _ in range(25):
        await town.tick(5_000)
    assert await balances(town, up) == await balances(town, down) == (1_000, 1_000)


async def test_proxy_claims_upstream_by_the_preimage_that_the_ledger_shows(town: Town) -> None:
    """Bob claims on the ledger at the last moment and says nothing; the proxy learns it there and is paid by Ann."""
    up, _, wish = await routed(town)
    (offered,) = [n for n in town.banks["bob"].listener.heard if isinstance(n, Offered)]
    assert offered.lock.expires_at + MARGINS.hop_ms == wish.lock.expires_at
    town.now = UnixMs(offered.lock.expires_at - 1_000)
    await town.court.reveal(secret(1))
    for _ in range(10):
        await town.tick(2_000, "bob")
    assert await balances(town, up) == (897, 1_103)


async def test_proxy_whose_upstream_is_silent_is_paid_by_the_ledger(town: Town) -> None:
    """Ann falls silent: the proxy that has paid Bob shows the preimage, closes, and is paid on the book."""
    _, down, _ = await routed(town)
    (offered,) = [n for n in town.banks["bob"].listener.heard if isinstance(n, Offered)]
    await town.banks["bob"].runs.change(down, Want((replace_id(fulfil(1), offered.lock.lock_id),)))  # type: ignore[arg-type]
    for _ in range(28):
        await town.tick(8_000, "ann")
    assert town.money.balances["pam"] == 9_000 - 1_000 + 1_103
    assert town.money.balances["ann"] == 9_000 + 897


@pytest.mark.parametrize(
    ("change", "now"),
    [
        ({"memo": b"nonsense"}, START),
        ({"fee": 102}, START),
        ({"hop": 2}, START),
        ({}, START + 40_000),
    ],
    ids=["memo", "fee", "third hop", "late"],
)
def test_proxy_passes_nothing_on_that_it_could_lose(change: dict[str, object], now: int) -> None:
    """A proxy gives back what names no payee, pays too little, came over a hop, or leaves too little time."""
    held = lock(1, A, int(change.get("fee", 103)), START + 100_000)  # type: ignore[call-overload]
    memo = change.get("memo", msgspec.msgpack.encode(Onward(int(change.get("hop", 1)), "bob", 100)))  # type: ignore[call-overload]
    with pytest.raises(RouteRefused):
        pass_on(b"c" * 32, held, memo, MARGINS, A, UnixMs(now))  # type: ignore[arg-type]


async def test_payer_trusts_no_proxy_or_invoice_that_is_forged(town: Town) -> None:
    """An invoice with another amount, a proxy nobody vouches for, an ended credential and a late invoice fail."""
    good, proxy = bill(town), vouched(town)
    lock_id = LockId(b"l" * 32)
    for asked, via, now in (
        (replace(good, amount=Units(99)), proxy, town.now),
        (replace(good, signature=b""), proxy, town.now),
        (good, replace(proxy, account=town.banks["ann"].signer.account), town.now),
        (good, proxy, START + 10**9),
        (good, proxy, START + 40_000),
    ):
        with pytest.raises(RouteRefused):
            plan(asked, via, AUTHORITY.account, MARGINS, A, lock_id, UnixMs(now))
    with pytest.raises(RouteRefused):
        check_credential(proxy, town.banks["ann"].signer.account, town.now)


async def test_payee_claims_only_what_it_asked_for(town: Town) -> None:
    """A payee gives back too little, another condition, a late offer, and what is to be passed on."""
    asked, memo = bill(town), msgspec.msgpack.encode(Last(2))
    accept_last(asked, lock(1, A, 100), memo, town.now)
    for offered, said, now in (
        (lock(1, A, 99), memo, START),
        (lock(2, A, 100), memo, START),
        (lock(1, A, 100), memo, START + 60_000),
        (lock(1, A, 100), b"", START),
        (lock(1, A, 100), msgspec.msgpack.encode(Last(3)), START),
    ):
        with pytest.raises(RouteRefused):
            accept_last(asked, offered, said, UnixMs(now))
