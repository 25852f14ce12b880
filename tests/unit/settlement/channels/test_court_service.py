"""The service of a book's adjudicator: who may ask for what, and what a bank is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest

from foundation.database import Database
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.channels import court_wire as w
from settlement.channels import tables
from settlement.channels.book import BookAdjudicator, book_salt, deposit_hold
from settlement.channels.court_client import CourtClient
from settlement.channels.court_service import CourtService
from settlement.channels.errors import Overruled, Ruling
from settlement.channels.judge import Challenge, Close, CloseAgreed, Command, Join, Settle, Status, Withdraw
from settlement.channels.signing import KeySigner, book_domain
from settlement.channels.terms import ChannelId, Sheet, Side, SignedSheet, Terms
from settlement.ledgers.protocol import LedgerAccount, LedgerId, LedgerUnavailable
from settlement.quantities import Units, condition_of
from tests.support.channel_town import DOMAIN, OPERATOR, Money
from tests.support.channels import CHALLENGE_MS, START, lock, secret

ANN, BOB, EVE = (KeySigner(letter * 32) for letter in (b"a", b"b", b"e"))
NAMES = LedgerAccount("ann"), LedgerAccount("bob")
NONCE = b"n" * 32
HANGING = b"h" * 32


@dataclass
class Court:
    """A service, and banks that ask it. `now` moves by hand."""

    money: Money
    service: CourtService
    stack: AsyncExitStack
    now: UnixMs = START

    def clock(self) -> UnixMs:
        """Everybody's."""
        return self.now

    async def bank(self, signer: KeySigner, domain: bytes = DOMAIN, late_ms: int = 0) -> CourtClient:
        """A bank's client; `late_ms`: how far its clock is behind."""
        client = CourtClient(LedgerId("town"), self.service.url, domain, signer, lambda: UnixMs(self.now - late_ms))
        return await self.stack.enter_async_context(client)

    def terms(self) -> Terms:
        """A channel of 1,000 and 500."""
        salt = book_salt(*NAMES, NONCE)
        return Terms(DOMAIN, ANN.account, BOB.account, Units(1_000), Units(500), CHALLENGE_MS, False, salt)

    async def channel(self, ann: CourtClient, bob: CourtClient) -> ChannelId:
        """Open, with both deposits in."""
        terms = self.terms()
        for side, name in zip(Side, NAMES, strict=True):
            self.money.hold(deposit_hold(terms, side, name, OPERATOR, UnixMs(self.now + 60_000)))
        channel = await ann.open(terms, *NAMES, NONCE)
        await bob.submit(channel, Join(BOB.account))
        return channel


@pytest.fixture
async def court(tmp_path: Path) -> AsyncIterator[Court]:
    """A service whose members are Ann and Bob."""
    money = Money()
    money.balances |= {"ann": 10_000, "bob": 10_000}
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(await Database.open(f"sqlite:///{tmp_path}/court.db", tables.SCHEMA))
        made = Court(money, None, stack)  # type: ignore[arg-type]
        judge = BookAdjudicator(database, money, DOMAIN, made.clock)
        members = {ANN.account: NAMES[0], BOB.account: NAMES[1]}
        made.service = await stack.enter_async_context(CourtService(judge, DOMAIN, members, made.clock))
        yield made


def signed(channel: ChannelId, sequence: int, *, locked: bool = False) -> SignedSheet:
    """A sheet that both have signed."""
    locks = (lock(1, Side.A, 100),) if locked else ()
    sheet = Sheet(channel, sequence, 0, Units(700 - 100 * locked), Units(800), locks)
    return SignedSheet(sheet, ANN.sign_sheet(DOMAIN, sheet), BOB.sign_sheet(DOMAIN, sheet))


async def test_banks_close_and_are_paid_over_rest(court: Court) -> None:
    """A channel goes through opening, close, answer, preimage and end, and each bank sees it as the operator has it."""
    ann, bob = await court.bank(ANN), await court.bank(BOB)
    channel = await court.channel(ann, bob)
    assert await ann.open(court.terms(), *NAMES, NONCE) == channel
    await ann.submit(channel, Close(ANN.account, signed(channel, 1)))
    await bob.submit(channel, Challenge(BOB.account, signed(channel, 3, locked=True)))
    await bob.reveal(secret(1))
    court.now = UnixMs(court.now + CHALLENGE_MS)
    standing = await ann.standing(channel, (condition_of(secret(1)),))
    assert standing == await bob.standing(channel, ())
    assert standing is not None
    assert (standing.case.cheated, [entry.preimage for entry in standing.reveals]) == ((False, False), [secret(1)])
    await ann.submit(channel, Settle())
    assert court.money.balances == {"operator": 0, "ann": 9_600, "bob": 10_400}


async def test_nobody_acts_in_anothers_name(court: Court) -> None:
    """A close counts as the one's who signed the request, so that no penalty can be put on another bank."""
    ann, bob = await court.bank(ANN), await court.bank(BOB)
    channel = await court.channel(ann, bob)
    await bob.submit(channel, Close(ANN.account, signed(channel, 1)))
    standing = await bob.standing(channel, ())
    assert standing is not None
    assert standing.case.submitted == (-1, 1)


async def test_strangers_and_wrong_signatures_are_refused(court: Court) -> None:
    """Neither a stranger's request, nor one signed for another book, nor an old one is followed."""
    ann, bob = await court.bank(ANN), await court.bank(BOB)
    channel = await court.channel(ann, bob)
    for client in (
        await court.bank(EVE),
        await court.bank(ANN, book_domain("other")),
        await court.bank(ANN, late_ms=w.SKEW_MS + 1),
    ):
        with pytest.raises(LedgerUnavailable, match="401"):
            await client.standing(channel, ())
        with pytest.raises(LedgerUnavailable, match="401"):
            await client.submit(channel, Close(ANN.account, signed(channel, 1)))
    assert (await ann.standing(channel, ())).case.status is Status.OPEN  # type: ignore[union-attr]


async def test_body_that_was_changed_on_the_way_is_refused(court: Court) -> None:
    """The signature covers method, path, time and body."""
    ann, bob = await court.bank(ANN), await court.bank(BOB)
    channel = await court.channel(ann, bob)
    path, body = f"/channels/{channel.hex()}/commands", w.encode_command(Close(ANN.account, signed(channel, 1)))
    headers = {
        w.ACCOUNT_HEADER: ANN.account.hex(),
        w.TIME_HEADER: str(court.now),
        w.SIGNATURE_HEADER: ANN.sign_request(DOMAIN, "POST", path, body, court.now).hex(),
    }
    async with aiohttp.ClientSession() as session:
        for place, content in ((path, body + b" "), ("/reveals", body)):
            async with session.post(court.service.url + place, data=content, headers=headers) as answer:
                assert answer.status == 401
        for header in headers:
            some = {name: value for name, value in headers.items() if name != header}
            async with session.post(court.service.url + path, data=body, headers=some) as answer:
                assert answer.status == 401
        async with session.post(court.service.url + path, data=body, headers=headers) as answer:
            assert answer.status == 204


async def test_channel_is_shown_to_its_banks_alone(court: Court) -> None:
    """Another member learns nothing of a channel, and of one that is not there that it is not."""
    ann, bob = await court.bank(ANN), await court.bank(BOB)
    channel = await court.channel(ann, bob)
    court.service._members[EVE.account] = LedgerAccount("eve")
    with pytest.raises(LedgerUnavailable, match="403"):
        await (await court.bank(EVE)).standing(channel, ())
    assert await ann.standing(ChannelId(bytes(32)), ()) is None


async def test_terms_that_name_others_accounts_are_refused(court: Court) -> None:
    """A channel pays out to its banks' accounts as the operator knows them, and A alone opens it."""
    ann, bob = await court.bank(ANN), await court.bank(BOB)
    terms = replace(court.terms(), salt=book_salt(NAMES[0], LedgerAccount("eve"), NONCE))
    with pytest.raises(BadInput, match="eve"):
        await ann.open(terms, NAMES[0], LedgerAccount("eve"), NONCE)
    with pytest.raises(LedgerUnavailable, match="403"):
        await bob.open(court.terms(), *NAMES, NONCE)
    with pytest.raises(Overruled) as refusal:
        await ann.open(court.terms(), *NAMES, NONCE)
    assert refusal.value.ruling is Ruling.WRONG_STATE


async def test_nonsense_is_a_problem_and_no_fault(court: Court) -> None:
    """What is no command, no channel or no preimage is told so, and never ends in a fault of the service."""
    ann = await court.bank(ANN)
    for method, path, body in (
        ("POST", "/channels", b"{}"),
        ("POST", "/channels/zz/commands", b"{}"),
        ("POST", f"/channels/{HANGING.hex()}/commands", b'{"type":"burn"}'),
        ("POST", "/reveals", b'{"preimage":"AA=="}'),
        ("GET", f"/channels/{HANGING.hex()}?condition=zz", b""),
        ("GET", f"/channels/{HANGING.hex()}?" + "&".join(["condition=" + "00" * 32] * 65), b""),
    ):
        with pytest.raises(BadInput):
            await ann._ask(method, path, body, ChannelId(HANGING))
    with pytest.raises(LedgerUnavailable, match="404"):
        await ann._ask("GET", "/nothing", b"", ChannelId(HANGING))


@pytest.mark.parametrize(
    "command",
    [
        Join(ANN.account),
        Withdraw(ANN.account),
        Close(ANN.account, signed(ChannelId(HANGING), 1, locked=True)),
        Challenge(ANN.account, signed(ChannelId(HANGING), 2), b"h" * 65),
        CloseAgreed(signed(ChannelId(HANGING), 2).sheet, b"a" * 65, b"b" * 65),
        Settle(),
    ],
)
def test_commands_arrive_as_they_were_sent(command: Command) -> None:
    """What a bank encodes is what the operator decodes."""
    assert w.decode_command(w.encode_command(command), ANN.account) == command
