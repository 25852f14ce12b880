"""Catching up: what a node needs that follows a Lockbox 100,000 blocks behind, on a real anvil, all of it proved.

anvil takes longer for each block the more it has (an hour for so many), so only the blocks with locks are mined by it.
The empty ones are made here, put into its saved state, and served by it like all others.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import psutil
import rlp
from eth_utils.crypto import keccak

from adapters.evm.endpoints import Endpoints
from adapters.evm.hexes import address_text, data, parse_address
from adapters.evm.lockbox.bindings import Lockbox
from adapters.evm.lockbox.calls import LockboxCalls
from adapters.evm.lockbox.events import Locked
from adapters.evm.lockbox.follower import VerifiedFollower
from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.evm.transport import Transport
from adapters.evm.types import BlockRef
from contracts import artifacts, build
from foundation.quantities import BlockHeight, TokenUnits
from infra.anvil import CHAIN_ID, Anvil
from registry.caip import evm_chain
from registry.chains import Chain

BLOCKS: Final = 100_000
LOCKS: Final = 10_000
LOCKS_A_BLOCK: Final = 5
TARGET_SECONDS: Final = 60
TARGET_MIB: Final = 100
RECIPIENT: Final = b"\x77" * 20


async def deployed(transport: Transport, sender: str) -> bytes:
    """A Lockbox of a key that nobody has; its address."""
    build.build_all()
    arguments = bytes(31) + b"\x01" + bytes(32) + (86_400).to_bytes(32, "big")
    code = data(artifacts.load("Lockbox").bytecode + arguments)
    transaction = await transport.call("eth_sendTransaction", {"from": sender, "data": code, "gas": hex(5_000_000)})
    await transport.call("anvil_mine", "0x1")
    receipt = await transport.call("eth_getTransactionReceipt", transaction)
    return parse_address(address_text(bytes.fromhex(receipt["contractAddress"][2:])))


async def lock_often(transport: Transport, sender: str, lockbox: bytes) -> None:
    """Lock one wei 10,000 times, some times in each block."""
    lock = LockboxCalls(lockbox).lock(NATIVE_COIN, TokenUnits(1), RECIPIENT)
    message = {"from": sender, "to": data(lockbox), "data": data(lock.data), "value": "0x1", "gas": hex(200_000)}
    first = int(await transport.call("eth_getTransactionCount", sender, "latest"), 16)
    for nonce in range(first, first + LOCKS, LOCKS_A_BLOCK):
        # The nonces are given, because anvil works on a whole batch at once.
        nonces = [hex(nonce + index) for index in range(LOCKS_A_BLOCK)]
        await transport.batch([("eth_sendTransaction", [message | {"nonce": one}]) for one in nonces])
        await transport.call("anvil_mine", "0x1")
    calls = [{"to": data(lockbox), "data": data(Lockbox.lock_count.encode())}, "latest"]
    count = int(await transport.call("eth_call", *calls), 16)
    assert count == LOCKS, f"{count:,} locks were mined"


def append_empty_blocks(state: Path, height: int) -> None:
    """Put empty blocks on top of a saved chain, up to block `height`."""
    saved = json.loads(state.read_text())
    newest = max(saved["blocks"], key=lambda block: int(block["header"]["number"], 16))
    empty = saved["transactions"] and min(saved["blocks"], key=lambda block: int(block["header"]["number"], 16))
    header: dict[str, str] = dict(newest["header"])
    for name in ("transactionsRoot", "receiptsRoot", "logsBloom", "gasUsed"):
        header[name] = empty["header"][name]
    parent, timestamp = header_hash(newest["header"]), int(header["timestamp"], 16)
    for number in range(saved["best_block_number"] + 1, height + 1):
        timestamp += 1
        header |= {"parentHash": "0x" + parent.hex(), "number": hex(number), "timestamp": hex(timestamp)}
        parent = header_hash(header)
        saved["blocks"].append({"header": dict(header), "transactions": [], "ommers": [], "withdrawals": None})
    saved["best_block_number"] = height
    saved["block"] |= {"number": hex(height), "timestamp": hex(timestamp)}
    state.write_text(json.dumps(saved))


def header_hash(header: dict[str, str]) -> bytes:
    """The hash of a header whose fields are all there and in order, as anvil saves them."""
    numbers = {"difficulty", "number", "gasLimit", "gasUsed", "timestamp"}
    numbers |= {"baseFeePerGas", "blobGasUsed", "excessBlobGas"}
    fields: list[Any] = [
        int(value, 16) if name in numbers else bytes.fromhex(value[2:]) for name, value in header.items()
    ]
    return keccak(rlp.encode(fields))


async def catch_up(url: str, lockbox: bytes, start: int) -> tuple[float, float, BlockRef]:
    """Seconds, MiB by which the process grew at most, and the last block."""
    process = psutil.Process()
    async with Transport(url, timeout_seconds=60) as transport:
        genesis = (await transport.call("eth_getBlockByNumber", "0x0", False))["hash"]
    chain = Chain.named(evm_chain(CHAIN_ID), bytes.fromhex(genesis[2:]), 0)
    async with Endpoints.at([url], chain, timeout_seconds=60) as endpoints:
        follower = VerifiedFollower(endpoints, lockbox, BlockHeight(start))
        before = peak = process.memory_info().rss
        cursor, locks = None, 0
        started = time.perf_counter()
        while (batch := await follower.read(cursor)) is not None:
            cursor = batch.last
            locks += sum(isinstance(event, Locked) for event in batch.events)
            peak = max(peak, process.memory_info().rss)
        seconds = time.perf_counter() - started
    assert locks == LOCKS, f"every lock is found, and none twice: {locks:,}"
    assert cursor is not None, "there are final blocks"
    return seconds, (peak - before) / 2**20, cursor


async def measure() -> tuple[float, float, int]:
    """Seconds, MiB, and how many blocks were read."""
    with tempfile.TemporaryDirectory() as folder:
        node = Anvil(Path(folder), block_seconds=86_400, save_seconds=86_400)
        async with node, Transport(node.url, timeout_seconds=60) as transport:
            sender = (await transport.call("eth_accounts"))[0]
            await transport.call("evm_setIntervalMining", 0)  # no block unless asked for
            lockbox = await deployed(transport, sender)
            start = await node.height()
            height = start + BLOCKS
            await lock_often(transport, sender, lockbox)
        # In another process, so that what it needs of memory is not taken for what following needs.
        process = multiprocessing.get_context("spawn").Process(target=append_empty_blocks, args=(node.state, height))
        process.start()
        await asyncio.to_thread(process.join)
        assert process.exitcode == 0, "the empty blocks are made"
        async with node:
            seconds, grown, last = await catch_up(node.url, lockbox, start)
        return seconds, grown, last.number - start + 1


async def run() -> list[dict[str, object]]:
    """Measure once: the chain takes longer to make than to read."""
    seconds, grown, blocks = await measure()
    note = f"{blocks:,} blocks, {LOCKS:,} Locked events in {LOCKS // LOCKS_A_BLOCK:,} of them; all proved; one endpoint"
    name = "log follower catching up 100,000 blocks of an anvil"
    return [
        {"name": name, "value": round(seconds, 1), "unit": "s", "target": TARGET_SECONDS, "samples": 1, "note": note},
        {
            "name": f"{name}: growth of the process",
            "value": round(grown, 1),
            "unit": "MiB",
            "target": TARGET_MIB,
            "samples": 1,
            "note": "peak resident memory after each batch, less that before",
        },
    ]


if __name__ == "__main__":
    for row in asyncio.run(run()):
        sys.stdout.write(f"{row['name']:<70} {row['value']:>10} {row['unit']}  {row['note']}\n")
