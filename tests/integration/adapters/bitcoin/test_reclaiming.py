"""A depositor reclaims an unswept deposit on a real node: not before its height, and from then on."""

from __future__ import annotations

import pytest

from adapters.bitcoin._wally import base58check
from adapters.bitcoin.addresses import REGTEST, address_text, parse_address
from adapters.bitcoin.primitives import Coin, OutPoint, parse_hash
from adapters.bitcoin.reclaim import UnsignedReclaim, reclaim_transaction, sign_reclaim
from adapters.bitcoin.scripts import deposit_script
from adapters.bitcoin.transactions import parse_transaction
from foundation.quantities import Satoshi, SatPerKvB
from infra.bitcoind import Bitcoind
from infra.errors import RpcRefused
from tests.support.vault_coins import GROUP_KEY, RECLAIM_KEY, RECLAIM_SECRET, terms

DELAY = 5


@pytest.fixture
async def node(fresh_bitcoind: Bitcoind) -> Bitcoind:
    """A node of this test's own, with its default policy, and the strictest one there is if it is Bitcoin Knots."""
    return fresh_bitcoind


async def deposited(node: Bitcoind) -> UnsignedReclaim:
    """Pay a deposit address, confirm it, and build the reclaim."""
    given = terms(1, DELAY)
    script = deposit_script(given).script
    txid = await node.faucet(address_text(script, REGTEST), Satoshi(100_000))
    # Before it is mined: the index, which confirmed transactions are looked up in, lags behind the chain.
    parsed = parse_transaction(bytes.fromhex(str(await node.rpc.call("getrawtransaction", txid))))
    await node.mine()
    vout = next(number for number, output in enumerate(parsed.outputs) if output.script == script)
    coin = Coin(OutPoint(parse_hash(txid), vout), Satoshi(100_000), script, await node.height())
    wallet = await node.wallet("depositor")
    destination = parse_address(await wallet.address(), REGTEST)
    return reclaim_transaction(given, coin, destination, SatPerKvB(2_000))


async def mine_until_before(node: Bitcoind, reclaim: UnsignedReclaim) -> None:
    """Mine until the next block is the last one that must not contain the reclaim."""
    height = reclaim.coin.height
    assert height is not None
    missing = reclaim.valid_from(height) - 2 - await node.height()
    if missing:
        await node.mine(missing)


async def test_a_reclaim_relays_from_its_height_on(node: Bitcoind) -> None:
    """The mempool refuses it until the next block may contain it; then it relays, has the foretold size, and pays."""
    reclaim = await deposited(node)
    raw = sign_reclaim(reclaim, RECLAIM_SECRET)
    await mine_until_before(node, reclaim)
    with pytest.raises(RpcRefused, match="non-BIP68-final"):
        await node.rpc.call("sendrawtransaction", raw.hex())
    await node.mine()
    txid = await node.rpc.call("sendrawtransaction", raw.hex())
    entry = await node.rpc.call("getmempoolentry", txid)
    assert isinstance(entry, dict)
    assert entry["vsize"] == reclaim.vsize
    await node.mine()
    assert await (await node.wallet("depositor")).balance() == 100_000 - reclaim.fee


async def test_miners_may_include_it_from_its_height_on(fresh_bitcoind: Bitcoind) -> None:
    """By consensus, whatever a node relays: a block before the height must not contain it, the block at it may."""
    reclaim = await deposited(fresh_bitcoind)
    raw = sign_reclaim(reclaim, RECLAIM_SECRET)
    await mine_until_before(fresh_bitcoind, reclaim)
    miner = await (await fresh_bitcoind.wallet("miner")).address()
    with pytest.raises(RpcRefused, match="bad-txns-nonfinal"):
        await fresh_bitcoind.rpc.call("generateblock", miner, [raw.hex()])
    await fresh_bitcoind.mine()
    await fresh_bitcoind.rpc.call("generateblock", miner, [raw.hex()])
    assert await (await fresh_bitcoind.wallet("depositor")).balance() == 100_000 - reclaim.fee


async def test_the_node_reads_the_psbt(node: Bitcoind) -> None:
    """The node decodes the PSBT: the coin, the leaf with its control block, the root, and whose signature it wants."""
    reclaim = await deposited(node)
    deposit = deposit_script(reclaim.terms)
    decoded = await node.rpc.call("decodepsbt", reclaim.psbt())
    assert isinstance(decoded, dict)
    assert (decoded["fee"], decoded["unknown"]) == (reclaim.fee / 100_000_000, {})
    inputs = decoded["inputs"]
    assert isinstance(inputs, list)
    (entry,) = inputs
    assert isinstance(entry, dict)
    assert entry["taproot_scripts"] == [
        {"script": deposit.leaf.hex(), "leaf_ver": 0xC0, "control_blocks": [deposit.control_block.hex()]}
    ]
    assert entry["taproot_internal_key"] == GROUP_KEY.hex()
    assert entry["taproot_merkle_root"] == deposit.merkle_root.hex()
    (derivation,) = entry["taproot_bip32_derivs"]
    assert (derivation["pubkey"], derivation["path"]) == (RECLAIM_KEY.hex(), "m")


async def test_the_node_signs_the_psbt(node: Bitcoind) -> None:
    """Bitcoin's own signer, given the PSBT and the key, signs the leaf and makes a transaction that relays."""
    reclaim = await deposited(node)
    await mine_until_before(node, reclaim)
    await node.mine()
    key = base58check(b"\xef" + RECLAIM_SECRET + b"\x01")
    described = await node.rpc.call("getdescriptorinfo", f"rawtr({key})")
    assert isinstance(described, dict)
    descriptor = f"rawtr({key})#{described['checksum']}"
    signed = await node.rpc.call("descriptorprocesspsbt", reclaim.psbt(), [descriptor])
    assert isinstance(signed, dict)
    assert signed["complete"]
    assert await node.rpc.call("sendrawtransaction", signed["hex"])
