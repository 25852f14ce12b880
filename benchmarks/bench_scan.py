"""Scanning a block: what one block costs a node that watches 100,000 addresses. Pure computation, no node."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence

from adapters.bitcoin.blocks import Watchlist, scan_block
from adapters.bitcoin.primitives import OutPoint, compact_size, sha256d

BLOCK_BYTES = 4_000_000
TRANSACTIONS = 3_500
WATCHED = 100_000
PAID = 50
"""So many transactions pay to a watched script, and so many spend a watched coin."""
TARGET_MS = 1000
SAMPLES = 7

Parts = tuple[bytes, bytes, bytes]
"""Inputs, outputs and witnesses, serialized with their counts."""


def listed(items: Sequence[bytes]) -> bytes:
    return compact_size(len(items)) + b"".join(items)


def sized(data: bytes) -> bytes:
    return compact_size(len(data)) + data


def payment(rng: random.Random, data: int, script: bytes | None, coin: OutPoint | None) -> Parts:
    """One to three inputs and outputs, half of them P2WPKH and half P2TR; `data` bytes ride in the first witness."""
    inputs, outputs, witnesses = [], [], []
    for index in range(rng.choice((1, 1, 2, 3))):
        point = coin.serialized() if coin and not index else rng.randbytes(32) + rng.randrange(4).to_bytes(4, "little")
        inputs.append(point + b"\x00" + b"\xfd\xff\xff\xff")
        items = [rng.randbytes(64)] if rng.random() < 0.5 else [rng.randbytes(72), rng.randbytes(33)]
        if data and not index:
            items = [rng.randbytes(64), rng.randbytes(data), rng.randbytes(33)]
        witnesses.append(listed([sized(item) for item in items]))
    for index in range(rng.choice((1, 2, 2, 3))):
        fresh = b"\x51\x20" + rng.randbytes(32) if rng.random() < 0.5 else b"\x00\x14" + rng.randbytes(20)
        outputs.append(rng.randrange(1 << 40).to_bytes(8, "little") + sized(script if script and not index else fresh))
    return listed(inputs), listed(outputs), b"".join(witnesses)


def merkle_root(hashes: Sequence[bytes]) -> bytes:
    level = list(hashes)
    while len(level) > 1:
        level += level[-1:] * (len(level) % 2)
        level = [sha256d(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def block(payments: Sequence[Parts]) -> bytes:
    """A block with a coinbase that commits to the witnesses. Its proof of work does not hold."""
    version, locktime = (2).to_bytes(4, "little"), bytes(4)
    raw = [version + b"\x00\x01" + ins + outs + witnesses + locktime for ins, outs, witnesses in payments]
    root = merkle_root([bytes(32), *(sha256d(each) for each in raw)])
    commitment = b"\x6a\x24\xaa\x21\xa9\xed" + sha256d(root + bytes(32))
    ins = listed([bytes(32) + b"\xff" * 4 + sized(b"\x03\x01\x02\x03") + b"\xff" * 4])
    outs = listed([bytes(8) + sized(commitment)])
    coinbase = version + b"\x00\x01" + ins + outs + listed([sized(bytes(32))]) + locktime
    txids = [sha256d(version + ins + outs + locktime) for ins, outs, _ in payments]
    merkle = merkle_root([sha256d(version + ins + outs + locktime), *txids])
    return version + bytes(32) + merkle + bytes(12) + listed([coinbase, *raw])


def full_block(rng: random.Random, scripts: Sequence[bytes], coins: Sequence[OutPoint]) -> bytes:
    """3,500 payments; data in the witness of every fifth fills the block up to 4 MB.

    More than consensus allows: witnesses that fill 4 MB leave less room for inputs and outputs.
    """
    carriers = len(range(0, TRANSACTIONS, 5))
    bare = [payment(rng, 0, None, None) for _ in range(TRANSACTIONS)]
    data = (BLOCK_BYTES - sum(len(part) for parts in bare for part in parts)) // carriers
    return block(
        [
            payment(
                rng,
                0 if index % 5 else data,
                scripts[index] if index < PAID else None,
                coins[index - PAID] if PAID <= index < 2 * PAID else None,
            )
            for index in range(TRANSACTIONS)
        ]
    )


def empty_items(rng: random.Random) -> bytes:
    """One transaction with a witness of 4 million empty items: what a hostile miner can make us walk."""
    ins, outs, _ = payment(rng, 0, None, None)
    return block([(ins, outs, listed([b"\x00"] * BLOCK_BYTES) + bytes(ins[0] - 1))])


def measure(name: str, raw: bytes, watched: Watchlist, matches: int, note: str) -> dict[str, object]:
    times = []
    for _ in range(SAMPLES):
        start = time.perf_counter()
        found = scan_block(raw, watched).matches
        times.append((time.perf_counter() - start) * 1000)
        assert len(found.received) + len(found.spent) == matches, "what was hidden in the block is found"
    value = round(statistics.median(times), 1)
    note = f"{len(raw):,} bytes; {note}"
    return {"name": name, "value": value, "unit": "ms", "target": TARGET_MS, "samples": times, "note": note}


def run() -> list[dict[str, object]]:
    """Scan both blocks against 100,000 scripts and 100,000 coins. Merkle root and witness commitment are checked."""
    rng = random.Random(20)
    scripts = [b"\x51\x20" + rng.randbytes(32) for _ in range(WATCHED)]
    coins = [OutPoint(rng.randbytes(32), 0) for _ in range(WATCHED)]
    watched = Watchlist(scripts, coins)
    return [
        measure(
            "scan of a 4 MB block, 100,000 scripts watched",
            full_block(rng, scripts, coins),
            watched,
            2 * PAID,
            f"{TRANSACTIONS:,} transactions, {2 * PAID} of them matching",
        ),
        measure(
            "scan of a hostile 4 MB block, 100,000 scripts watched",
            empty_items(rng),
            watched,
            0,
            "one witness of 4 million empty items",
        ),
    ]
