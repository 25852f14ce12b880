"""Both chains into the database, in whatever order their news come, once each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.bitcoin.primitives import BlockRef
from adapters.native import events as e
from adapters.native.types import Outpoint
from bridge.deposits import Purpose, Refusal, Stage
from bridge.ledger import balance
from bridge.payouts import PayoutStage, WithdrawalStage
from bridge.settings import TierSection
from foundation.quantities import BlockHeight, TokenUnits
from registry.ids import deposit_id
from tests.support.bridge_intake import ASSET, GROUP, VAULT, Chains, pays, spends
from tests.support.patience import PATIENCE_S

AMOUNT = 50_000
PAYEE = b"\x00\x14" + b"y" * 20
WITHDRAWAL, PAYOUT = b"w" * 32, b"p" * 32


@pytest.fixture
async def chains(tmp_path: Path) -> AsyncIterator[Chains]:
    opened = await Chains.open(tmp_path)
    yield opened
    await opened.database.close()


async def test_a_deposit_is_seen_minted_and_swept(chains: Chains) -> None:
    """The plain order: announced, paid, minted, swept; the vault then holds what the sweep left."""
    terms = chains.terms()
    await chains.say(chains.announced(terms))
    paid = pays((AMOUNT, chains.script(terms)))
    await chains.mine(paid)
    txid = paid.GetTxid()
    await chains.say(chains.minted(txid, AMOUNT))
    await chains.mine(spends([(txid, 0)], (AMOUNT - 500, VAULT)))
    await chains.mine()
    deposit = await chains.deposit(txid)
    assert deposit is not None
    assert (deposit.stage, deposit.minted) == (Stage.SWEPT, AMOUNT - 2_000)
    assert [note.split(" ")[0] for note in await chains.notes(deposit.deposit_id)] == [
        "coin",
        "final",
        "minted",
        "sweep",
        "swept,",
    ]
    async with chains.database.view() as view:
        held = await balance(view)
    assert (held.reserves, held.supply) == (AMOUNT - 500, AMOUNT - 2_000)
    assert await chains.alarms() == []


async def test_deposits_in_one_block_ask_for_what_their_sum_asks(tmp_path: Path) -> None:
    """Whoever undoes a block undoes all its deposits: splitting one into small ones buys no fewer confirmations."""
    tiers = (TierSection(up_to=AMOUNT, confirmations=1), TierSection(confirmations=2))
    chains = await Chains.open(tmp_path, tiers=tiers)
    one, two = chains.terms(salt=1), chains.terms(salt=2)
    await chains.say(chains.announced(one), chains.announced(two))
    alone = pays((AMOUNT, chains.script(one)), salt=1)
    await chains.mine(alone)
    split = pays((AMOUNT // 2, chains.script(one)), (AMOUNT // 2 + 1, chains.script(two)), salt=2)
    await chains.mine(split)
    found = [await chains.deposit(alone.GetTxid()), *[await chains.deposit(split.GetTxid(), vout) for vout in (0, 1)]]
    assert [deposit and deposit.stage for deposit in found] == [Stage.FINAL, Stage.CONFIRMING, Stage.CONFIRMING]
    await chains.mine()
    found = [await chains.deposit(split.GetTxid(), vout) for vout in (0, 1)]
    assert [deposit and deposit.stage for deposit in found] == [Stage.FINAL, Stage.FINAL]
    await chains.database.close()


async def test_a_mint_that_comes_before_its_coin_waits_for_it(chains: Chains) -> None:
    """This node's bitcoin is behind: the Hub's word makes a placeholder, which the coin completes."""
    terms = chains.terms()
    await chains.say(chains.announced(terms))
    paid = pays((AMOUNT, chains.script(terms)))
    txid = paid.GetTxid()
    await chains.say(chains.minted(txid, AMOUNT))
    early = await chains.deposit(txid)
    assert early is not None
    assert (early.script, early.height, early.minted) == (b"", None, AMOUNT - 2_000)
    async with chains.database.view() as view:
        assert (await balance(view)).reserves == 0, "what was not seen is no reserve"
    await chains.mine(paid)
    deposit = await chains.deposit(txid)
    assert deposit is not None
    assert (deposit.stage, deposit.height, deposit.delay) == (Stage.MINTED, 1, 144)
    assert deposit.script == chains.script(terms)
    assert await chains.alarms() == []


async def test_a_bar_that_comes_before_its_coin_waits_for_it_too(chains: Chains) -> None:
    """The same for a return."""
    terms = chains.terms()
    await chains.say(chains.announced(terms))
    paid = pays((AMOUNT, chains.script(terms)))
    txid = paid.GetTxid()
    id_ = deposit_id(ASSET, txid, 0)
    await chains.say(e.DepositReturned(chains.at(), id_, ASSET, txid, 0, TokenUnits(AMOUNT), GROUP, 2))
    await chains.mine(paid)
    deposit = await chains.deposit(txid)
    assert deposit is not None
    assert (deposit.stage, deposit.minted) == (Stage.RETURNING, None)
    assert deposit.recipient == terms.recipient, "the Hub's bar does not name it: the deposit's terms do"


async def test_a_late_announcement_is_searched_for_in_the_blocks_that_were_read(chains: Chains) -> None:
    """A coin, and what spent it, are found although the address was not watched when their blocks came."""
    terms = chains.terms(birthday=1)
    paid = pays((AMOUNT, chains.script(terms)))
    await chains.mine(paid)
    await chains.mine(spends([(paid.GetTxid(), 0)], (AMOUNT - 500, PAYEE), leaf=True))
    assert await chains.deposit(paid.GetTxid()) is None
    await chains.say(chains.announced(terms))
    deposit = await chains.deposit(paid.GetTxid())
    assert deposit is not None
    assert deposit.spend is not None
    assert deposit.spend.purpose is Purpose.RECLAIM
    await chains.mine()
    after = await chains.deposit(paid.GetTxid())
    assert after is not None
    assert after.stage is Stage.RECLAIMED


async def test_repeated_announcements_change_nothing_and_cost_no_search(chains: Chains) -> None:
    """Anyone may announce the same terms again, also with another birthday."""
    terms = chains.terms(birthday=1)
    await chains.say(chains.announced(terms))
    paid = pays((AMOUNT, chains.script(terms)))
    await chains.mine(paid)
    before = await chains.deposit(paid.GetTxid()), await chains.notes(deposit_id(ASSET, paid.GetTxid(), 0))
    served = len(chains.bitcoin.served)
    await chains.say(chains.announced(terms), chains.announced(terms))
    await chains.say(chains.announced(terms))
    assert len(chains.bitcoin.served) == served
    await chains.say(chains.announced(replace(terms, birthday=0)))
    assert (await chains.deposit(paid.GetTxid()), await chains.notes(deposit_id(ASSET, paid.GetTxid(), 0))) == before


async def test_an_announcement_searches_no_further_back_than_this_node_allows(tmp_path: Path) -> None:
    """A birthday of 0 makes nobody read the whole chain."""
    chains = await Chains.open(tmp_path, rescan_limit=3)
    for _ in range(10):
        await chains.mine()
    chains.bitcoin.served.clear()
    await chains.say(chains.announced(chains.terms(birthday=0)))
    assert len(chains.bitcoin.served) == 4
    await chains.database.close()


async def test_nonsense_announcements_are_passed_over(chains: Chains) -> None:
    """Another asset, an unknown group, a key that is none: no node stops, and the right one beside them counts."""
    good = chains.terms()
    bad = [
        replace(good, asset=b"x" * 32),
        replace(good, group=b"x" * 32),
        replace(good, reclaim_key=b"\xff" * 32),
        replace(good, delay=0),
        replace(good, birthday=2**255, salt=b"q" * 32),
    ]
    await chains.say(*(chains.announced(terms) for terms in [*bad, good]))
    paid = pays((AMOUNT, chains.script(good)))
    await chains.mine(paid)
    assert await chains.deposit(paid.GetTxid()) is not None


def _requested(chains: Chains) -> e.WithdrawalRequested:
    amounts = TokenUnits(30_000), TokenUnits(1_000)
    return e.WithdrawalRequested(chains.at(), WITHDRAWAL, ASSET, b"o" * 20, *amounts, PAYEE)


async def _vault_coin(chains: Chains) -> tuple[bytes, int]:
    funding = pays((40_000, VAULT), salt=9)
    await chains.mine(funding)
    return funding.GetTxid(), 0


@pytest.mark.parametrize("behind", [False, True])
async def test_a_payout_that_is_paid_before_its_reservation_is_known_counts(chains: Chains, behind: bool) -> None:
    """This node's native chain is behind, and in one case it restarts: the payment is found when the event comes."""
    coin = await _vault_coin(chains)
    await chains.say(_requested(chains))
    payment = spends([coin], (29_700, PAYEE), (10_000, VAULT))
    await chains.mine(payment)
    if behind:
        chains = await chains.restarted()
    await chains.say(e.PayoutReserved(chains.at(), PAYOUT, GROUP, ASSET, 1, (WITHDRAWAL,), (Outpoint(*coin),)))
    payout = await chains.payout(PAYOUT)
    assert payout is not None
    assert payout.confirmed is not None
    assert (payout.confirmed.txid, payout.confirmed.fee, payout.confirmed.height) == (payment.GetTxid(), 300, 2)
    await chains.mine()
    payout = await chains.payout(PAYOUT)
    assert payout is not None
    assert payout.stage is PayoutStage.PAID
    settled = e.PayoutSettled(chains.at(), PAYOUT, payment.GetTxid(), TokenUnits(300), TokenUnits(30_000))
    await chains.say(settled)
    withdrawal = await chains.withdrawal(WITHDRAWAL)
    assert withdrawal is not None
    assert withdrawal.stage is WithdrawalStage.SETTLED


async def test_a_stranger_that_spent_the_anchor_before_the_reservation_is_known_is_told(chains: Chains) -> None:
    """What is no version of the payout does not pay it, and raises an alarm."""
    coin = await _vault_coin(chains)
    await chains.say(_requested(chains))
    theft = spends([coin], (39_000, b"\x00\x14" + b"z" * 20))
    await chains.mine(theft)
    await chains.say(e.PayoutReserved(chains.at(), PAYOUT, GROUP, ASSET, 1, (WITHDRAWAL,), (Outpoint(*coin),)))
    payout = await chains.payout(PAYOUT)
    assert payout is not None
    assert (payout.confirmed, payout.stranger) == (None, theft.GetTxid())
    assert len(await chains.alarms()) == 1
    await chains.say(e.PayoutVoided(chains.at(), PAYOUT, theft.GetTxid()))
    withdrawal = await chains.withdrawal(WITHDRAWAL)
    assert withdrawal is not None
    assert (withdrawal.stage, withdrawal.payout) == (WithdrawalStage.REQUESTED, None)


async def test_a_batch_that_is_applied_again_counts_its_mints_once(chains: Chains) -> None:
    """The answer to a commit may be lost: the same batch again changes nothing."""
    terms = chains.terms()
    await chains.say(chains.announced(terms))
    paid = pays((AMOUNT, chains.script(terms)))
    await chains.mine(paid)
    event = chains.minted(paid.GetTxid(), AMOUNT)
    await chains.say(event)
    again = await chains.restarted()
    again.block -= 1
    await again.say(event)
    async with chains.database.view() as view:
        assert (await balance(view)).supply == AMOUNT - 2_000
    notes = await chains.notes(deposit_id(ASSET, paid.GetTxid(), 0))
    assert len([note for note in notes if note.startswith("minted")]) == 1


async def test_a_policy_that_changes_is_applied_to_what_is_not_decided(chains: Chains) -> None:
    """A final deposit that nobody has minted is refused when the asset is paused, and accepted again after."""
    terms = chains.terms()
    await chains.say(chains.announced(terms))
    paid = pays((AMOUNT, chains.script(terms)))
    await chains.mine(paid)
    for paused, stage in ((True, Stage.REFUSED), (False, Stage.FINAL)):
        chains.native.policy = replace(chains.native.policy, paused=paused)
        await chains.say(e.AssetPolicyChanged(chains.at(), ASSET, chains.native.policy))
        deposit = await chains.deposit(paid.GetTxid())
        assert deposit is not None
        assert deposit.stage is stage
        assert deposit.refusal is (Refusal.ASSET_PAUSED if paused else None)


async def test_a_node_that_restarts_before_its_first_block_passes_over_none(chains: Chains) -> None:
    """Where a node began is written down at once."""
    chains.bitcoin.mine(pays((40_000, VAULT)))
    again = await chains.restarted()
    assert again.intake.tip is not None
    assert again.intake.tip.height == BlockHeight(0)
    await again.follow()
    async with again.database.view() as view:
        assert (await balance(view)).reserves == 40_000


async def test_a_reorg_before_the_mint_takes_the_deposit_back_and_finds_it_again(chains: Chains) -> None:
    """A coin whose block is gone is missing; in another block it is seen anew."""
    terms = chains.terms()
    await chains.say(chains.announced(terms))
    paid = pays((AMOUNT, chains.script(terms)))
    await chains.mine(paid)
    chains.bitcoin.invalidate(1)
    chains.bitcoin.mine()
    chains.bitcoin.mine()
    await chains.follow()
    missing = await chains.deposit(paid.GetTxid())
    assert missing is not None
    assert missing.stage is Stage.MISSING
    assert await chains.mine(paid) == 3
    found = await chains.deposit(paid.GetTxid())
    assert found is not None
    assert (found.stage, found.height) == (Stage.FINAL, 3)


async def test_a_bitcoin_node_that_hangs_keeps_no_other_chain_waiting(chains: Chains) -> None:
    """While it is asked for its newest block, and does not answer, what the native chain says is applied."""
    asked = asyncio.Event()

    async def hang() -> BlockRef:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    chains.bitcoin.tip = hang  # type: ignore[method-assign]
    following = asyncio.create_task(chains.intake.bitcoin())
    await asked.wait()
    async with asyncio.timeout(PATIENCE_S):
        await chains.say(chains.announced(chains.terms()))
    following.cancel()
    async with chains.database.view() as view:
        assert await view.deposit_terms.by_script(chains.script(chains.terms())) is not None
