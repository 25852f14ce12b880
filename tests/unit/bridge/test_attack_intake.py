"""What others may put on the two chains, and failures in between, do not mislead a node's books."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.native import events as e
from adapters.native.types import Outpoint
from bridge.agents.attesting import claims_due
from bridge.deposits import Stage
from bridge.ledger import balance
from bridge.messages import AnchorSeen
from bridge.storage import DatabaseUnavailable, Moment
from foundation.quantities import TokenUnits
from registry.ids import deposit_id
from tests.support.bitcoin_chain import block
from tests.support.bridge_intake import ASSET, GROUP, VAULT, Chains, pays, spends

AMOUNT = 50_000
OTHER_ASSET = b"z" * 32


@pytest.fixture
async def chains(tmp_path: Path) -> AsyncIterator[Chains]:
    opened = await Chains.open(tmp_path)
    yield opened
    await opened.database.close()


async def test_another_assets_mints_returns_and_burns_are_not_counted(chains: Chains) -> None:
    """The Hub serves several assets: a second one's supply must not make this one look insolvent for ever."""
    terms = chains.terms()
    await chains.say(chains.announced(terms))
    paid = pays((AMOUNT, chains.script(terms)))
    await chains.mine(paid)
    await chains.say(chains.minted(paid.GetTxid(), AMOUNT))
    at, units = chains.at(), TokenUnits(9_000_000)
    other, barred = deposit_id(OTHER_ASSET, b"x" * 32, 0), deposit_id(OTHER_ASSET, b"x" * 32, 1)
    await chains.say(
        e.DepositMinted(at, other, OTHER_ASSET, b"p" * 20, units, units, b"x" * 32, 0, GROUP),
        e.DepositReturned(at, barred, OTHER_ASSET, b"x" * 32, 1, units, GROUP, 1),
        e.PayoutSettled(at, b"q" * 32, b"y" * 32, TokenUnits(10), TokenUnits(700)),
    )
    async with chains.database.view() as view:
        held = await balance(view)
        stored = await view.transfers.get_many([other, barred])
    assert (held.reserves, held.supply) == (AMOUNT, AMOUNT - 2_000)
    assert not stored


async def test_a_reorg_after_a_commit_in_doubt_takes_its_blocks_off_again(tmp_path: Path) -> None:
    """The answer to a commit is lost, and its block leaves the chain at once: the coin in it must not stay."""
    chains = await Chains.open(tmp_path)
    terms = chains.terms()
    await chains.say(chains.announced(terms))
    paid = pays((AMOUNT, chains.script(terms)))
    chains.bitcoin.mine(paid)

    async def lost(moment: Moment) -> None:
        if moment is Moment.AFTER:
            raise DatabaseUnavailable("the connection is lost")

    chains.database._commit_hook = lost
    with pytest.raises(DatabaseUnavailable):
        await chains.intake.bitcoin()
    chains.database._commit_hook = None
    chains.bitcoin.invalidate(1)
    chains.bitcoin.mine_empty(2)
    await chains.follow()
    deposit = await chains.deposit(paid.GetTxid())
    assert deposit is not None
    assert (deposit.stage, deposit.height) == (Stage.MISSING, None)
    await chains.database.close()


@pytest.mark.parametrize("returns", [True, False])
async def test_a_payout_whose_coin_can_never_be_again_is_voided(chains: Chains, returns: bool) -> None:
    """A reorg swaps the sweep that made a payout's anchor for another version: the payout must not hang."""
    terms = chains.terms()
    await chains.say(chains.announced(terms))
    paid = pays((AMOUNT, chains.script(terms)))
    await chains.mine(paid)
    coin = [(paid.GetTxid(), 0)]
    await chains.say(chains.minted(paid.GetTxid(), AMOUNT))
    sweep, bumped = spends(coin, (AMOUNT - 300, VAULT)), spends(coin, (AMOUNT - 600, VAULT))
    await chains.mine(sweep)
    at, units = chains.at(), (TokenUnits(20_000), TokenUnits(5_000))
    await chains.say(
        e.WithdrawalRequested(at, b"w" * 32, ASSET, b"o" * 20, *units, b"\x00\x14" + b"y" * 20),
        e.PayoutReserved(at, b"q" * 32, GROUP, ASSET, 1, (b"w" * 32,), (Outpoint(sweep.GetTxid(), 0),)),
    )

    async def claims() -> list[object]:
        tip = chains.intake.tip
        assert tip is not None
        async with chains.database.view() as view:
            return [due.claim for due in await claims_due(view, tip.height, 2, chains.context)]

    assert await claims() == []
    chains.bitcoin.invalidate(1)
    chains.bitcoin.mine_empty(1)
    await chains.mine(sweep if returns else bumped)
    assert await claims() == [], "not final"
    await chains.mine()
    await chains.mine()
    assert await claims() == ([] if returns else [AnchorSeen(b"q" * 32, bumped.GetTxid())])


async def test_what_a_coinbase_pays_is_not_taken(chains: Chains) -> None:
    """It cannot be spent for a hundred blocks: a sweep or a payout with it would hang, and every other coin in it."""
    terms = chains.terms()
    await chains.say(chains.announced(terms))
    tip = await chains.bitcoin.tip()
    made = block(previous=tip.hash, time=1, pays=((AMOUNT, chains.script(terms)), (AMOUNT, VAULT)))
    chains.bitcoin.heights.append(made.GetHash())
    chains.bitcoin.raws[made.GetHash()] = made.serialize()
    await chains.follow()
    assert await chains.deposit(made.vtx[0].GetTxid()) is None
    async with chains.database.view() as view:
        assert await view.coins.unspent() == ()
    chains.bitcoin.invalidate(1)
    await chains.mine(pays((AMOUNT, chains.script(terms))))
    async with chains.database.view() as view:
        assert len(await view.coins.unspent()) == 1
