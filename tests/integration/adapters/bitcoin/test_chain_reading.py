"""Following a real node: payments, reorganisations, restarts; what it says about transactions that it does not take."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from adapters.bitcoin.addresses import MAINNET, REGTEST, address_text, parse_address
from adapters.bitcoin.blocks import Watchlist
from adapters.bitcoin.errors import (
    AccessDenied,
    MempoolRefused,
    NodeUnavailable,
    Refusal,
    RpcRefused,
    WrongChain,
)
from adapters.bitcoin.follower import Batch, Connected, Disconnected, Tail, follow, scan_range
from adapters.bitcoin.notices import BlockNotices
from adapters.bitcoin.primitives import BlockRef, OutPoint, hash_text, parse_hash
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.bitcoin.scripts import taproot_script
from adapters.bitcoin.transactions import parse_transaction
from foundation.quantities import BlockHeight, Satoshi
from infra.bitcoind import Bitcoind, Wallet, as_btc, from_btc
from tests.support.patience import PATIENCE_S

DEPOSIT = taproot_script(bytes.fromhex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"))
AMOUNT = Satoshi(123_456)


@pytest.fixture
async def rpc(bitcoind: Bitcoind) -> AsyncIterator[BitcoinRpc]:
    """A client of the session's node."""
    async with BitcoinRpc(bitcoind.url, bitcoind.user, bitcoind.password) as client:
        yield client


def client_of(node: Bitcoind) -> BitcoinRpc:
    return BitcoinRpc(node.url, node.user, node.password, pauses_s=())


def connected(batch: Batch) -> list[Connected]:
    return [update for update in batch.updates if isinstance(update, Connected)]


@dataclass
class Coins:
    """Transactions made of a wallet's coins, as no wallet would make them."""

    wallet: Wallet

    async def take(self) -> tuple[OutPoint, Satoshi]:
        """The wallet's only confirmed coin of at least one bitcoin."""
        coins = await self.wallet.call("listunspent", 1)
        assert isinstance(coins, list)
        coin = coins[0]
        assert isinstance(coin, dict)
        return OutPoint(parse_hash(str(coin["txid"])), int(str(coin["vout"]))), from_btc(coin["amount"])

    async def spend(self, value: int, *coins: OutPoint, locktime: int = 0, sequence: int = 0xFFFFFFFD) -> bytes:
        """A signed transaction that pays `value` back to the wallet."""
        inputs = [{"txid": hash_text(c.txid), "vout": c.vout, "sequence": sequence} for c in coins]
        outputs = {await self.wallet.address(): as_btc(Satoshi(value))}
        raw = await self.wallet.call("createrawtransaction", inputs, outputs, locktime)  # type: ignore[arg-type]  # plain JSON
        signed = await self.wallet.call("signrawtransactionwithwallet", raw)
        assert isinstance(signed, dict)
        return bytes.fromhex(str(signed["hex"]))


async def refused(rpc: BitcoinRpc, raw: bytes) -> MempoolRefused:
    """The refusal of a transaction, which the dry run gives as well."""
    with pytest.raises(MempoolRefused) as dry:
        await rpc.test_accept(raw)
    with pytest.raises(MempoolRefused) as wet:
        await rpc.submit(raw)
    assert dry.value.refusal is wet.value.refusal
    assert wet.value.txid == parse_transaction(raw).txid
    return wet.value


async def test_network_is_checked(rpc: BitcoinRpc) -> None:
    """A node of another network is told by its genesis block."""
    await rpc.check_network(REGTEST)
    with pytest.raises(WrongChain):
        await rpc.check_network(MAINNET)


async def test_wrong_password_is_denied(bitcoind: Bitcoind) -> None:
    """A wrong password is not a node that is down."""
    async with BitcoinRpc(bitcoind.url, bitcoind.user, "wrong") as stranger:
        with pytest.raises(AccessDenied) as caught:
            await stranger.tip()
    assert caught.value.status == 401


async def test_batches(bitcoind: Bitcoind, rpc: BitcoinRpc) -> None:
    """A batch of hundreds of calls gives what single calls give; an error in it is raised as for a single call."""
    await bitcoind.mine(5)
    calls = [("getblockhash", [number % 6]) for number in range(250)]
    single = [await rpc.call("getblockhash", number) for number in range(6)]
    assert await rpc.batch(calls) == [single[number % 6] for number in range(250)]
    with pytest.raises(RpcRefused) as caught:
        await rpc.batch([*calls, ("getblockhash", [10_000_000])])
    assert caught.value.code == -8


async def test_genesis_block_and_headers(bitcoind: Bitcoind, rpc: BitcoinRpc) -> None:
    """Headers tell a block's place; unknown blocks are refused."""
    await bitcoind.mine(2)
    tip = await rpc.tip()
    header = await rpc.header(tip.hash)
    assert (header.block, header.confirmations) == (tip, 1)
    assert header.previous == await rpc.block_hash(BlockHeight(tip.height - 1))
    assert (await rpc.header(REGTEST.genesis)).previous == bytes(32)
    with pytest.raises(RpcRefused) as caught:
        await rpc.header(bytes(32))
    assert caught.value.code == -5


async def test_deposit_is_followed(bitcoind: Bitcoind, rpc: BitcoinRpc, funded_wallet: Wallet) -> None:
    """A wallet's payment to a watched script is seen in the mempool, in its block, and as a coin."""
    tail = Tail.start(await rpc.tip())
    txid = parse_hash(await funded_wallet.send(address_text(DEPOSIT, REGTEST), AMOUNT))
    raw = await rpc.transaction(txid)
    assert raw is not None
    entry = await rpc.mempool_entry(txid)
    assert entry is not None
    assert (entry.vsize, entry.descendants_vsize) == (parse_transaction(raw).vsize,) * 2
    await bitcoind.mine(2)
    batch = await follow(rpc, tail, Watchlist([DEPOSIT]))
    (received,) = [coin for update in connected(batch) for coin in update.matches.received if coin.value == AMOUNT]
    assert received.outpoint.txid == txid
    coin = await rpc.unspent(received.outpoint)
    assert coin is not None
    assert (coin.value, coin.script) == (AMOUNT, DEPOSIT)
    (block,) = [update.block for update in connected(batch) if received in update.matches.received]
    assert coin.height == block.height
    assert await rpc.mempool_entry(txid) is None
    assert batch.tail.tip == await rpc.tip()


async def test_whole_chain_is_read(bitcoind: Bitcoind, rpc: BitcoinRpc, funded_wallet: Wallet) -> None:
    """Every block of the session's node, whatever is in it, is well-formed for us; a rescan finds the same matches."""
    await bitcoind.mine()
    script = parse_address(await funded_wallet.address(), REGTEST)
    await funded_wallet.send(address_text(script, REGTEST), AMOUNT)
    await bitcoind.mine()
    batch = await follow(rpc, Tail(), Watchlist([script]), limit=1_000_000)
    tip = batch.tail.tip
    assert tip is not None
    found = [update async for update in scan_range(rpc, BlockHeight(0), tip, Watchlist([script]))]
    assert tuple(found) == batch.updates
    assert sum(len(update.matches.received) for update in found) == 1


async def test_reorganisation_is_followed(fresh_bitcoind: Bitcoind) -> None:
    """Blocks that the node gives up are disconnected; a payment that they confirmed is seen again in its new block."""
    node = fresh_bitcoind
    async with client_of(node) as rpc:
        txid = await node.faucet(address_text(DEPOSIT, REGTEST), AMOUNT)
        await node.mine(3)
        tail = Tail.start(BlockRef(BlockHeight(0), REGTEST.genesis))
        before = await follow(rpc, tail, Watchlist([DEPOSIT]), limit=1000)
        paid = next(update.block for update in connected(before) if update.matches.received)
        await node.rpc.call("invalidateblock", hash_text(paid.hash))
        assert (await rpc.header(paid.hash)).confirmations == -1
        undone = await follow(rpc, before.tail, Watchlist([DEPOSIT]))
        assert undone.updates == tuple(Disconnected(update.block) for update in reversed(connected(before)[-3:]))
        await node.mine(5)
        after = await follow(rpc, undone.tail, Watchlist([DEPOSIT]))
        assert [update.block.height for update in connected(after)] == [paid.height + number for number in range(5)]
        (received,) = [coin for update in connected(after) for coin in update.matches.received]
        assert hash_text(received.outpoint.txid) == txid
        # Both at once, from the first tail: back over the old blocks and forth over the new.
        assert (await follow(rpc, before.tail, Watchlist([DEPOSIT]))).updates == (*undone.updates, *after.updates)


async def test_node_that_stops_and_starts(fresh_bitcoind: Bitcoind) -> None:
    """While the node is down it is unavailable; when it is back, the same client and the same notices go on."""
    node = fresh_bitcoind
    notices = BlockNotices(node.zmq_hashblock)
    async with client_of(node) as rpc:
        while not await notices.wait(0.2):  # until the subscription has arrived
            await node.mine()
        tip = await rpc.tip()
        await node.stop()
        with pytest.raises(NodeUnavailable):
            await rpc.tip()
        with pytest.raises(NodeUnavailable):
            await follow(rpc, Tail.start(tip), Watchlist())
        await node.start()
        assert (await rpc.tip()).height >= tip.height
        while await notices.wait(0):  # what came before
            pass
        while not await notices.wait(0.2):
            await node.mine()
    await notices.close()


async def test_cookie_survives_a_restart(fresh_bitcoind: Bitcoind) -> None:
    """A client with the node's cookie file goes on after a restart, which changes the cookie."""
    node = fresh_bitcoind
    cookie = node.folder / "regtest" / ".cookie"
    async with BitcoinRpc.from_cookie(node.url, cookie) as rpc:
        before = (await rpc.tip(), cookie.read_text())
        await node.stop()
        await node.start()
        assert cookie.read_text() != before[1]
        assert await rpc.tip() == before[0]


async def test_notices_follow_each_block(bitcoind: Bitcoind) -> None:
    """A block that is mined while nobody waits ends the next wait."""
    notices = BlockNotices(bitcoind.zmq_hashblock)
    while not await notices.wait(0.2):
        await bitcoind.mine()
    while await notices.wait(0.05):
        pass
    await bitcoind.mine()
    assert await notices.wait(PATIENCE_S)
    await notices.close()


async def test_missing_inputs_are_refused(rpc: BitcoinRpc, funded_wallet: Wallet) -> None:
    """A coin that nobody has heard of cannot be spent."""
    raw = await Coins(funded_wallet).spend(10_000, OutPoint(b"\x11" * 32, 0))
    assert (await refused(rpc, raw)).missing_inputs


async def test_low_fees_are_refused(rpc: BitcoinRpc, funded_wallet: Wallet) -> None:
    """No fee is below the relay floor, and a replacement must pay more than what it replaces."""
    coins = Coins(funded_wallet)
    coin, value = await coins.take()
    assert (await refused(rpc, await coins.spend(value, coin))).fee_too_low
    await rpc.submit(await coins.spend(value - 1000, coin))
    assert (await refused(rpc, await coins.spend(value - 900, coin))).fee_too_low
    better = await coins.spend(value - 5000, coin)
    await rpc.test_accept(better)
    await rpc.submit(better)


async def test_known_transactions_are_success(bitcoind: Bitcoind, rpc: BitcoinRpc, funded_wallet: Wallet) -> None:
    """What is in the mempool already is taken again; what is confirmed is refused as already known."""
    coins = Coins(funded_wallet)
    coin, value = await coins.take()
    raw = await coins.spend(value - 1000, coin)
    assert await rpc.submit(raw) == await rpc.submit(raw) == parse_transaction(raw).txid
    with pytest.raises(MempoolRefused) as caught:
        await rpc.test_accept(raw)
    assert caught.value.already_known
    await bitcoind.mine()
    assert (await refused(rpc, raw)).already_known


async def test_conflicts_are_refused(rpc: BitcoinRpc, funded_wallet: Wallet) -> None:
    """A transaction that spends what it would replace is a conflict that no fee resolves."""
    coins = Coins(funded_wallet)
    coin, value = await coins.take()
    first = await rpc.submit(await coins.spend(value - 1000, coin))
    raw = await coins.spend(value, coin, OutPoint(first, 0))
    assert (await refused(rpc, raw)).conflict


async def test_time_locks_are_refused(rpc: BitcoinRpc, funded_wallet: Wallet) -> None:
    """A transaction that waits for a height or for the age of its coin is not valid yet."""
    coins = Coins(funded_wallet)
    coin, value = await coins.take()
    for raw in (
        await coins.spend(value - 1000, coin, locktime=1_000_000),
        await coins.spend(value - 1000, coin, sequence=5000),
    ):
        assert (await refused(rpc, raw)).refusal is Refusal.NOT_YET_VALID


async def test_fee_rates_of_a_quiet_node(rpc: BitcoinRpc) -> None:
    """The floors are the node's defaults, and positive."""
    assert await rpc.relay_floor() >= 1
    assert await rpc.incremental_relay_fee() >= 1
    estimate = await rpc.estimate_fee_rate(6)
    assert estimate is None or estimate > 0
