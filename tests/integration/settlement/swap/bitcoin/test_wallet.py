"""The trader's wallet in a real node: coins set aside, fundings made, raised, helped by a child, and taken back."""

from __future__ import annotations

import asyncio

import pytest

from adapters.bitcoin.builders import fee_at
from adapters.bitcoin.errors import InsufficientFunds
from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.bitcoin.scripts import ScriptKind, script_kind
from adapters.bitcoin.transactions import parse_transaction
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB
from settlement.swap.bitcoin.desk import Submission
from settlement.swap.bitcoin.funding import Funding
from settlement.swap.bitcoin.wallet import NodeWallet, WalletLocked, WalletUnusable
from settlement.swap.terms import Mode
from tests.support.swap_bitcoin import AMOUNT, LIMIT, RATE, REGTEST, Deal, SwapNode

pytestmark = pytest.mark.integration


async def test_a_funding_is_exact_and_waits(chain: SwapNode) -> None:
    """A funding pays the script exactly, is not broadcast, sets its coins aside, and survives being stored."""
    trader, deal = await chain.person(600_000, 900_000), Deal()
    before = await trader.wallet.coins()
    funding = await trader.wallet.fund(deal.paid, RATE, at_most=LIMIT)
    assert Funding.decode(funding.encode()) == funding
    parsed = parse_transaction(funding.raw)
    assert parsed.outputs[funding.vout] == deal.paid
    assert set(parsed.sequences) == {0xFFFFFFFD}
    assert fee_at(RATE, parsed.vsize) <= funding.fee <= fee_at(RATE, parsed.vsize + 4)
    assert await chain.rpc.mempool_entry(funding.txid) is None
    taken = {coin.outpoint for coin in funding.inputs}
    assert {coin.outpoint for coin in await trader.wallet.coins()} == {coin.outpoint for coin in before} - taken
    coin = await chain.broadcast(funding)
    await chain.node.mine()
    found = await chain.rpc.unspent(coin.outpoint)
    assert found is not None
    assert (found.value, found.script) == (AMOUNT, deal.output.script)
    assert await trader.wallet.balance() == 1_500_000 - AMOUNT - funding.fee


async def test_coins_are_freed_when_a_funding_is_dropped(chain: SwapNode) -> None:
    """A funding that was never sent frees its coins; releasing twice harms nothing, and reserving takes them again."""
    trader, deal = await chain.person(2_000_000), Deal()
    funding = await trader.wallet.fund(deal.paid, RATE, at_most=LIMIT)
    with pytest.raises(InsufficientFunds):
        await trader.wallet.fund(deal.paid, RATE, at_most=LIMIT)
    await trader.wallet.release(funding)
    await trader.wallet.release(funding)
    assert await trader.wallet.coins() == funding.inputs
    await trader.wallet.reserve(funding)
    await trader.wallet.reserve(funding)
    assert await trader.wallet.coins() == ()


async def test_two_fundings_at_once_share_no_coin(chain: SwapNode) -> None:
    """Swaps that are funded at the same time by two processes take different coins."""
    trader = await chain.person(1_100_000, 1_200_000, 1_300_000)
    rpc = BitcoinRpc(f"{chain.node.url}/wallet/{trader.node_wallet.name}", chain.node.user, chain.node.password)
    other = NodeWallet(rpc, REGTEST)
    made = await asyncio.gather(
        *(wallet.fund(Deal().paid, RATE, at_most=LIMIT) for wallet in (trader.wallet, other, trader.wallet))
    )
    inputs = [coin.outpoint for funding in made for coin in funding.inputs]
    assert len(inputs) == len(set(inputs)) == 3


@pytest.mark.parametrize("kind", ["legacy", "p2sh-segwit"])
async def test_coins_with_changeable_ids_are_passed_over(chain: SwapNode, kind: str) -> None:
    """Coins whose spends others could alter fund nothing; others in the same wallet do."""
    trader = await chain.person(5_000_000, kind=kind)
    with pytest.raises(InsufficientFunds):
        await trader.wallet.fund(Deal().paid, RATE, at_most=LIMIT)
    await chain.node.faucet(await trader.node_wallet.address("bech32"), Satoshi(2_000_000))
    await chain.node.mine()
    funding = await trader.wallet.fund(Deal().paid, RATE, at_most=LIMIT)
    assert [script_kind(coin.script) for coin in funding.inputs] == [ScriptKind.P2WPKH]


async def test_a_fee_above_the_limit_is_refused(chain: SwapNode) -> None:
    """Where the fee is more than its owner allows, nothing is signed or set aside."""
    trader = await chain.person(2_000_000)
    with pytest.raises(BadInput, match="fee"):
        await trader.wallet.fund(Deal().paid, SatPerKvB(500_000), at_most=Satoshi(1_000))
    assert len(await trader.wallet.coins()) == 1


async def test_a_lingering_funding_is_raised(chain: SwapNode) -> None:
    """A replacement spends the same coins, and one more where the change does not suffice, to the same output."""
    trader, deal = await chain.person(1_000_500, 50_000), Deal()
    first = await trader.wallet.fund(deal.paid, SatPerKvB(1_000), at_most=LIMIT)
    await chain.broadcast(first)
    incremental = await chain.rpc.incremental_relay_fee()
    standing = await chain.desk.standing(first.inputs[0].outpoint)
    second = await trader.wallet.rebid(first, standing, SatPerKvB(20_000), incremental, at_most=LIMIT)
    assert set(first.inputs) <= set(second.inputs)
    assert second.txid != first.txid
    assert second.coin.value == AMOUNT
    await chain.broadcast(second)
    assert await chain.rpc.mempool_entry(first.txid) is None
    await chain.node.mine()
    assert await chain.rpc.unspent(second.outpoint) is not None


async def test_a_rise_too_small_to_be_relayed_is_made_larger(chain: SwapNode) -> None:
    """A replacement at almost the same rate pays what the node asks of replacements all the same."""
    trader, deal = await chain.person(2_000_000), Deal()
    first = await trader.wallet.fund(deal.paid, RATE, at_most=LIMIT)
    await chain.broadcast(first)
    standing = await chain.desk.standing(first.inputs[0].outpoint)
    incremental = await chain.rpc.incremental_relay_fee()
    second = await trader.wallet.rebid(first, standing, SatPerKvB(RATE + 1), incremental, at_most=LIMIT)
    assert await chain.desk.submit(second.raw) is Submission.TAKEN


async def test_a_funding_is_taken_back(chain: SwapNode) -> None:
    """A payment that spends a lingering funding's coins otherwise takes its place: the swap is never funded."""
    trader, deal = await chain.person(2_000_000), Deal()
    funding = await trader.wallet.fund(deal.paid, RATE, at_most=LIMIT)
    await chain.broadcast(funding)
    standing = await chain.desk.standing(funding.inputs[0].outpoint)
    incremental = await chain.rpc.incremental_relay_fee()
    raw = await trader.wallet.take_back(funding, standing, RATE, incremental)
    assert await chain.desk.submit(raw) is Submission.TAKEN
    await chain.node.mine()
    assert await chain.desk.submit(funding.raw) is Submission.SPENT
    assert await trader.wallet.balance() > 1_990_000


async def test_a_child_pays_for_a_funding_that_may_not_change(chain: SwapNode) -> None:
    """In point mode the txid is fixed: change is spent so that both pay the rate together, and again for more."""
    trader, deal = await chain.person(2_000_000), Deal(Mode.POINT)
    funding = await trader.wallet.fund(deal.paid, SatPerKvB(1_000), at_most=LIMIT)
    await chain.broadcast(funding)
    change = funding.change
    assert change is not None
    for rate in (SatPerKvB(10_000), SatPerKvB(30_000)):
        standing = await chain.desk.standing(change.outpoint)
        minimum = Satoshi(0) if standing is None else Satoshi(standing.fee + 1_000)
        child = await trader.wallet.child(funding.raw, funding.fee, change, rate, minimum_fee=minimum)
        assert await chain.desk.submit_with_child(funding.raw, child) is Submission.TAKEN
        entry = await chain.rpc.mempool_entry(parse_transaction(child).txid)
        assert entry is not None
        assert entry.ancestor_fee * 1_000 // entry.ancestor_vsize >= rate - 20
    await chain.node.mine()
    assert await chain.rpc.unspent(funding.outpoint) is not None


async def test_a_child_pays_for_a_claim_in_the_traders_wallet(chain: SwapNode) -> None:
    """A claim that was signed at too low a fee is helped by its recipient's wallet."""
    trader, deal = await chain.person(), Deal(Mode.POINT)
    coin, to = await chain.funded(deal), await trader.wallet.new_script()
    (rung,) = deal.rungs(coin, to, (Satoshi(120),))
    raw = rung.claim(deal.output, coin, deal.secret)
    assert await chain.desk.submit(raw) is Submission.TAKEN
    paid = Coin(OutPoint(parse_transaction(raw).txid, 0), Satoshi(AMOUNT - 120), to)
    child = await trader.wallet.child(raw, Satoshi(120), paid, SatPerKvB(20_000))
    assert await chain.desk.submit_with_child(raw, child) is Submission.TAKEN
    await chain.node.mine()
    assert await chain.spent(coin)
    assert await trader.wallet.balance() > AMOUNT - 6_000


async def test_a_parent_is_sent_together_with_its_child(chain: SwapNode) -> None:
    """A transaction that the mempool does not have yet comes in together with its child, unless both pay too little."""
    trader, deal = await chain.person(), Deal(Mode.POINT)
    coin, to = await chain.funded(deal), await trader.wallet.new_script()
    low, usual = deal.rungs(coin, to, (Satoshi(1), Satoshi(150)))
    for rung, rate, expected in ((low, 1, Submission.OUTBID), (usual, 20_000, Submission.TAKEN)):
        raw = rung.claim(deal.output, coin, deal.secret)
        paid = Coin(OutPoint(parse_transaction(raw).txid, 0), Satoshi(AMOUNT - rung.fee), to)
        child = await trader.wallet.child(raw, rung.fee, paid, SatPerKvB(rate))
        assert await chain.desk.submit_with_child(raw, child) is expected
    await chain.node.mine()
    assert await chain.spent(paid)


async def test_a_locked_wallet_says_so_and_keeps_its_coins_free(chain: SwapNode) -> None:
    """An encrypted wallet that is locked signs nothing, which is told as such, and sets nothing aside."""
    trader = await chain.person(2_000_000)
    chain.busy.remove(trader.node_wallet)  # no other test uses it
    await trader.node_wallet.call("encryptwallet", "passphrase")
    with pytest.raises(WalletLocked):
        await trader.wallet.fund(Deal().paid, RATE, at_most=LIMIT)
    assert len(await trader.wallet.coins()) == 1
    await trader.node_wallet.call("walletpassphrase", "passphrase", 60)
    assert await trader.wallet.fund(Deal().paid, RATE, at_most=LIMIT)


async def test_a_wallet_that_is_not_there_is_named(chain: SwapNode) -> None:
    """A wallet that is not loaded is a plain error with a cure."""
    async with BitcoinRpc(f"{chain.node.url}/wallet/nowhere", chain.node.user, chain.node.password) as rpc:
        with pytest.raises(WalletUnusable, match="load it"):
            await NodeWallet(rpc, REGTEST).balance()


async def test_a_wallet_without_keys_is_refused(chain: SwapNode) -> None:
    """A wallet that only watches has no coin to fund with."""
    await chain.node.rpc.call("createwallet", "watching", True)
    async with BitcoinRpc(f"{chain.node.url}/wallet/watching", chain.node.user, chain.node.password) as rpc:
        with pytest.raises(WalletUnusable):
            await NodeWallet(rpc, REGTEST).fund(Deal().paid, RATE, at_most=LIMIT)
