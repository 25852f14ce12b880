"""Channels at the contract on a real node: what two banks' agents do there, and what each is paid."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from adapters.evm.channels.errors import NotOurChannels
from foundation.errors import BadInput
from settlement.channels.errors import Overruled, Ruling
from settlement.channels.evm import open_evm_adjudicator
from settlement.channels.judge import Challenge, Close, Join, Settle, Status, Withdraw
from settlement.channels.ops import Fulfil, Offer
from settlement.channels.signing import contract_domain
from settlement.channels.state import CloseNow, Leave, LockEnded, Phase, Want
from settlement.channels.terms import ChannelId, Lock, LockId, Side, SignedSheet, first_sheet
from settlement.ledgers.protocol import LedgerMismatch, LedgerUnavailable
from settlement.quantities import Units, condition_of
from tests.support.channels import pay, secret
from tests.support.channels_chain import CHALLENGE_MS, COIN, SENDING, ChainTown

pytestmark = pytest.mark.integration

A, B = Side.A, Side.B
GAS = COIN // 100
"""More than all transactions of a test cost."""


async def paid(town: ChainTown, *expected: int) -> None:
    """Both banks have collected so much more than they began with, less their gas."""

    async def ask() -> bool:
        found = [await town.balance(side) - 10 * COIN for side in Side]
        return all(amount - GAS < one <= amount for one, amount in zip(found, expected, strict=True))

    await town.until(ask)


async def answered(town: ChainTown, channel: ChannelId) -> bool:
    """B's agent has answered a close."""
    await town.tick(A)
    return (await town.case(B, channel)).answered[B]


async def test_banks_pay_and_leave_together(chain_banks: ChainTown) -> None:
    """Deposits go in, payments cost no transaction, and an agreed end pays out at once, without anybody asking."""
    town = chain_banks
    channel = await town.channel()
    await town.banks[A].runs.change(channel, Want((pay(COIN // 4),)))
    await town.pump()
    await town.banks[B].runs.change(channel, Want((pay(COIN // 20),)))
    await town.pump()
    await town.banks[B].runs.change(channel, Leave())
    await town.pump()
    await town.ends(channel)
    assert [(await town.banks[side].state(channel)).phase for side in Side] == [Phase.CLOSED] * 2
    await paid(town, -COIN // 5, COIN // 5)


async def test_stale_close_loses_everything(chain_banks: ChainTown) -> None:
    """Who closes with an older sheet is answered by the other's agent, and gets nothing once the period is over."""
    town = chain_banks
    channel = await town.channel()
    stale = (await town.banks[A].state(channel)).newest
    for number in range(3):
        await town.banks[A].runs.change(channel, Want((pay(COIN // 10, number),)))
        await town.pump()
    await town.banks[A].at_court.submit(channel, Close(town.banks[A].signer.account, stale))
    await town.until(lambda: answered(town, channel))
    await town.pass_time()
    await town.ends(channel, A)
    case = await town.case(B, channel)
    assert (case.cheated, case.paid, case.answered) == ((True, False), (0, 2 * COIN), (False, True))
    await paid(town, -COIN, COIN)


async def test_close_alone_waits_for_the_challenge_period(chain_banks: ChainTown) -> None:
    """Nobody is paid before the other bank had its time to answer; an honest close is paid by its balances."""
    town = chain_banks
    channel = await town.channel()
    await town.banks[A].runs.change(channel, Want((pay(COIN // 10),)))
    await town.pump()
    await town.banks[B].runs.change(channel, CloseNow())
    await town.until(lambda: town.stands(A, channel, Status.CLOSING))
    with pytest.raises(Overruled) as refusal:
        await town.banks[A].at_court.submit(channel, Settle())
    assert refusal.value.ruling is Ruling.TOO_EARLY
    newest = (await town.banks[A].state(channel)).newest
    with pytest.raises(Overruled) as refusal:
        await town.banks[A].at_court.submit(channel, Challenge(town.banks[A].signer.account, newest))
    assert refusal.value.ruling is Ruling.NOT_NEWER
    await town.pass_time()
    await town.ends(channel)
    await paid(town, -COIN // 10, COIN // 10)


async def test_payee_shows_a_preimage_to_the_contract(chain_banks: ChainTown) -> None:
    """A conditional payment whose payer is silent is its payee's, as the contract saw the preimage in time."""
    town = chain_banks
    channel = await town.channel()
    await town.look()
    # With less than `reveal_ms` left the payee's agent shows it to the contract.
    lock = Lock(LockId(b"l" * 32), A, Units(COIN // 2), condition_of(secret(1)), town.clock())
    lock = replace(lock, expires_at=type(lock.expires_at)(lock.expires_at + 60_000))
    await town.banks[A].runs.change(channel, Want((Offer(lock, b""),)))
    await town.pump()
    assert (await town.banks[B].state(channel)).sheet.locks == (lock,)
    await town.banks[B].runs.change(channel, Want((Fulfil(lock.lock_id, secret(1)),)))
    town.wire.clear()  # A never hears of it
    await town.banks[B].runs.change(channel, CloseNow())
    town.wire.clear()

    async def shown() -> bool:
        await town.tick(A)
        town.wire.clear()
        standing = await town.banks[B].at_court.standing(channel, (lock.condition,))
        return standing is not None and len(standing.reveals) == 1

    await town.until(shown)
    await town.pass_time(60_000)
    await town.ends(channel)
    assert LockEnded(lock, secret(1)) in town.banks[A].listener.heard
    await paid(town, -COIN // 2, COIN // 2)


async def test_channel_holds_a_token(chain_banks: ChainTown) -> None:
    """An ERC-20 is taken by an allowance of exactly the deposit, and what is paid out is collected by itself."""
    town = chain_banks
    token = await town.token(1_000)
    channel = await town.channel(town.terms(600, 400, token))
    assert [await town.tokens(token, side) for side in Side] == [400, 600]
    await town.banks[A].runs.change(channel, Want((pay(100),)))
    await town.pump()
    await town.banks[A].runs.change(channel, Leave())
    await town.pump()
    await town.ends(channel)

    async def collected() -> bool:
        return [await town.tokens(token, side) for side in Side] == [900, 1_100]

    await town.until(collected)


async def test_unjoined_channel_is_abandoned(chain_banks: ChainTown) -> None:
    """A takes its deposit back where B does not come; then B can join no more, and a stranger could never."""
    town = chain_banks
    terms = town.terms()
    channel = await town.banks[A].at_court.open(terms)
    assert await town.banks[A].at_court.open(terms) == channel
    await town.until(lambda: town.stands(B, channel, Status.WAITING))
    with pytest.raises(Overruled) as refusal:
        await town.banks[A].at_court.submit(channel, Join(terms.b))
    assert refusal.value.ruling is Ruling.NOT_A_PARTY
    await town.until(lambda: town.stands(A, channel, Status.WAITING))
    with pytest.raises(Overruled) as refusal:  # it would count as A's own
        await town.banks[A].at_court.submit(channel, Close(terms.b, first_sheet(terms, channel)))
    assert refusal.value.ruling is Ruling.NOT_A_PARTY
    await town.banks[A].at_court.submit(channel, Withdraw(terms.a))
    with pytest.raises(Overruled) as refusal:
        await town.banks[B].at_court.submit(channel, Join(terms.b))
    assert refusal.value.ruling is Ruling.WRONG_STATE
    await paid(town, 0, 0)


async def test_bank_comes_back_after_a_crash(chain_banks: ChainTown) -> None:
    """A bank that died with its close on the way goes on from its database: one close, one end, the same money."""
    town = chain_banks
    channel = await town.channel()
    await town.banks[A].runs.change(channel, Want((pay(COIN // 10),)))
    await town.pump()
    closing = asyncio.create_task(town.banks[A].runs.change(channel, CloseNow()))
    while not town.banks[A].at_court._sender.on_their_way:
        await asyncio.sleep(0)
    await town.start(A)
    await asyncio.gather(closing, return_exceptions=True)
    assert (await town.banks[A].state(channel)).phase is Phase.CLOSING
    await town.start(B)

    async def closing_final() -> bool:
        await town.tick()
        return await town.stands(B, channel, Status.CLOSING)

    await town.until(closing_final)
    await town.pass_time()
    await town.ends(channel)
    await paid(town, -COIN // 10, COIN // 10)


async def test_signatures_count_at_one_contract_on_one_chain(chain_banks: ChainTown) -> None:
    """A sheet signed for another chain or contract is refused as forged, and so are terms for them."""
    town = chain_banks
    channel = await town.channel()
    chain, contract = town.node.chain_id, town.config.contract
    state = await town.banks[A].state(channel)
    sheet = replace(state.sheet, sequence=1, balance_a=Units(0), balance_b=Units(2 * COIN))
    for domain in (contract_domain(chain + 1, contract), contract_domain(chain, b"\x11" * 20)):
        signed = [town.banks[side].signer.sign_sheet(domain, sheet) for side in Side]
        forged = Close(town.banks[B].signer.account, SignedSheet(sheet, *signed))
        with pytest.raises(Overruled) as refusal:
            await town.banks[B].at_court.submit(channel, forged)
        assert refusal.value.ruling is Ruling.FORGED
        with pytest.raises(BadInput, match="another contract"):
            await town.banks[A].at_court.open(replace(state.terms, ledger=domain))


async def test_short_challenge_period_is_refused(chain_banks: ChainTown) -> None:
    """A period in which an answer could not become final is not agreed to."""
    terms = replace(chain_banks.terms(), challenge_ms=CHALLENGE_MS - 1_000)
    with pytest.raises(BadInput, match="finality"):
        await chain_banks.banks[A].at_court.open(terms)


async def test_other_contract_is_not_trusted(chain_banks: ChainTown) -> None:
    """At an address without our code nothing is said of any channel."""
    town = chain_banks
    database = town.banks[A].database
    assert database is not None
    config = replace(town.config, contract=b"\x22" * 20)
    async with open_evm_adjudicator(config, [town.node.url], town.banks[A].secret, database, SENDING) as court:

        async def broken() -> bool:
            try:
                await court.standing(ChannelId(bytes(32)), ())
            except LedgerMismatch:
                return True
            except LedgerUnavailable:  # not looked at yet
                return False
            return False

        await town.until(broken)
        with pytest.raises(LedgerMismatch, match=NotOurChannels.__name__):
            await court.standing(ChannelId(bytes(32)), ())
