"""Forks of a regtest chain: what was in its newest blocks is out again, and other blocks are there instead."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from adapters.bitcoin.follower import Tail
from adapters.bitcoin.primitives import parse_hash
from tests.support.bridge_life import Life
from tests.support.bridge_network import BridgeNode, eventually


async def in_step(life: Life) -> None:
    """Wait until every running node has read the chain's newest block."""
    best = parse_hash(await life.net.bitcoind.rpc.call("getbestblockhash"))
    for node in life.running:

        async def there(node: BridgeNode = node) -> bool:
            async with node.view() as view:
                stored = await view.cursors.get("bitcoin")
            tip = None if stored is None else Tail.decode(stored).tip
            return tip is not None and tip.hash == best

        await eventually(there, f"{node.name} is at the newest block")


async def mine_only(life: Life, *transactions: bytes) -> None:
    """A block that holds nothing but `transactions`, whatever waits in the mempool; all nodes have read it."""
    await _block(life, transactions)
    await in_step(life)


async def drop_blocks(life: Life, blocks: int, instead: Sequence[Sequence[bytes]] = ()) -> None:
    """Replace the newest `blocks` by one more, which hold `instead` (transactions for each), and all nodes follow."""
    rpc = life.net.bitcoind.rpc
    height = await life.net.bitcoind.height()
    await rpc.call("invalidateblock", await rpc.call("getblockhash", height - blocks + 1))
    for transactions in [*instead, *[()] * (blocks + 1 - len(instead))]:
        await _block(life, transactions)
    await in_step(life)


async def double_spend(life: Life, txid: bytes) -> bytes:
    """A signed transaction of the depositor's wallet that spends the first coin of `txid` elsewhere."""
    rpc = life.net.bitcoind.rpc
    shown = await rpc.call("getrawtransaction", txid[::-1].hex(), True)
    coin = shown["vin"][0]
    spent = (await rpc.call("getrawtransaction", coin["txid"], True))["vout"][coin["vout"]]
    outpoint = {"txid": coin["txid"], "vout": coin["vout"]}
    outputs = {await life.wallet.address(): f"{spent['value'] - 0.0001:.8f}"}
    raw = await rpc.call("createrawtransaction", [outpoint], outputs)
    known = {**outpoint, "scriptPubKey": spent["scriptPubKey"]["hex"], "amount": f"{spent['value']:.8f}"}
    signed = await life.wallet.call("signrawtransactionwithwallet", raw, [known])
    assert signed["complete"]
    return bytes.fromhex(signed["hex"])


async def _block(life: Life, transactions: Sequence[bytes]) -> None:
    """One block. Its reward goes nowhere: a block that was dropped never comes again by chance."""
    nowhere = await life.net.bitcoind.rpc.call("getdescriptorinfo", f"raw(6a08{secrets.token_hex(8)})")
    await life.net.bitcoind.rpc.call("generateblock", nowhere["descriptor"], [raw.hex() for raw in transactions])
