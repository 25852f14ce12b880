"""A simulated bitcoin chain: blocks that come by chance, times that lie, a mempool with fee spikes, reorganisations.

Signatures are not simulated: who builds a transaction is trusted to be able to. The rules that the protocol leans on
are: one spend of an output, RBF, lock times against the median time past, and what a witness shows.
"""

from __future__ import annotations

from random import Random
from typing import Final

LAG: Final = 11
TOP_RATE: Final = 60
CLOSED: Final = 1_000
"""What a block asks for when nobody gets in."""


class Tx:
    """A transaction. `coin`: the one input, an outpoint or the name of somebody's own coin; `pays`: (index, value) of
    its outputs to the swap's script; `kind`: fund, claim, refund, other; `shows`: what its witness reveals."""

    __slots__ = ("by", "coin", "height", "kind", "lock_time", "pays", "rate", "shows", "txid")

    def __init__(self, number, coin, kind, by, rate, pays=(), lock_time=0, shows=None):
        self.txid = number.to_bytes(32, "big")
        self.coin, self.kind, self.by, self.rate = coin, kind, by, rate
        self.pays, self.lock_time, self.shows = pays, lock_time, shows
        self.height = None  # None: in the mempool or nowhere

    def outpoint(self, index=0):
        return self.txid + index.to_bytes(4, "little")


class Bitcoin:
    """The chain and one mempool that everybody sees."""

    def __init__(self, random: Random, now: int, *, calm: bool, interval: int, lie: int, stress: int) -> None:
        self._random, self._calm, self._interval, self._lie, self._stress = random, calm, interval, lie, stress
        self.times = [now - (LAG - i) * interval for i in range(LAG)]
        self.blocks: list[list[Tx]] = [[] for _ in range(LAG)]
        self.mempool: dict[bytes, Tx] = {}
        self.confirmed: dict[bytes, Tx] = {}
        self.spent: dict[object, Tx] = {}  # coin → the confirmed spender
        self.outputs: dict[bytes, tuple[Tx, int]] = {}  # every output to the swap's script that was ever seen
        self.version = 0
        self._spike = 0
        self._demand = 1
        self._since_calm = 0
        self._numbers = 1

    @property
    def height(self) -> int:
        return len(self.blocks)

    @property
    def mtp(self) -> int:
        return sorted(self.times[-LAG:])[LAG // 2]

    def tx(self, coin, kind, by, rate, **more) -> Tx:
        self._numbers += 1
        return Tx(self._numbers, coin, kind, by, min(rate, TOP_RATE), **more)

    def next_block_in(self) -> int:
        if self._calm:
            return self._random.randrange(self._interval // 2, self._interval * 3 // 2)
        return 1 + int(self._random.expovariate(1 / self._interval))

    def confirmations(self, tx: Tx) -> int | None:
        """None: neither in a block nor in the mempool."""
        if tx.height is not None:
            return self.height - tx.height
        return 0 if tx.txid in self.mempool else None

    def submit(self, tx: Tx) -> bool:
        """Whether nodes take it. A repeat is taken."""
        if tx.txid in self.mempool or tx.txid in self.confirmed:
            return True
        if tx.coin in self.spent or (tx.lock_time and self.mtp <= tx.lock_time):
            return False
        if isinstance(tx.coin, bytes) and self.confirmations(self.outputs[tx.coin][0]) is None:
            return False
        rivals = [other for other in self.mempool.values() if other.coin == tx.coin]
        if any(other.rate >= tx.rate for other in rivals):
            return False
        for other in rivals:
            self._drop(other)
        self._add(tx)
        return True

    def raise_rate(self, tx: Tx, rate: int) -> None:
        """A child pays for it (CPFP)."""
        tx.rate = max(tx.rate, min(rate, TOP_RATE))

    def mine(self, now: int) -> None:
        lie = 0 if self._calm or self._random.random() < 0.5 else self._random.randrange(-self._lie, self._lie)
        self._block(max(self.mtp + 1, now + lie))
        self._next_demand()

    def reorganise(self, depth: int, now: int, *, favoured: Tx | None = None) -> None:
        """The last blocks are replaced by one more, in which not all of their transactions are again at once, and in
        which a miner may favour another one."""
        for _ in range(depth):
            self.times.pop()
            for tx in reversed(self.blocks.pop()):
                tx.height = None
                del self.confirmed[tx.txid]
                del self.spent[tx.coin]
                self.mempool[tx.txid] = tx
        if favoured is not None and favoured.coin not in self.spent:
            for other in [tx for tx in self.mempool.values() if tx.coin == favoured.coin]:
                self._drop(other)
            self._add(favoured)
        self._demand, self._since_calm = 1, 0
        held_back = {txid for txid in self.mempool if self._random.random() < 0.3}
        for _ in range(depth + 1):
            self._block(max(self.mtp + 1, now), held_back)
            held_back = set()

    def _add(self, tx: Tx) -> None:
        self.mempool[tx.txid] = tx
        for index, value in tx.pays:
            self.outputs[tx.outpoint(index)] = (tx, value)
        self.version += 1

    def _drop(self, tx: Tx) -> None:
        self.mempool.pop(tx.txid, None)
        for index, _ in tx.pays:
            outpoint = tx.outpoint(index)
            for child in [other for other in self.mempool.values() if other.coin == outpoint]:
                self._drop(child)

    def _block(self, time: int, held_back: frozenset | set = frozenset()) -> None:
        mtp, height, included = self.mtp, self.height, []
        # Parents before children, and whoever pays more before its rivals.
        for tx in sorted(self.mempool.values(), key=lambda tx: (isinstance(tx.coin, bytes), -tx.rate)):
            if tx.rate < self._demand or tx.txid in held_back or tx.coin in self.spent:
                continue
            if tx.lock_time and mtp <= tx.lock_time:
                continue
            if isinstance(tx.coin, bytes) and self.outputs[tx.coin][0].height is None:
                continue
            tx.height = height
            self.spent[tx.coin] = self.confirmed[tx.txid] = tx
            included.append(tx)
        for tx in included:
            del self.mempool[tx.txid]
        if included:
            for tx in [tx for tx in self.mempool.values() if tx.coin in self.spent]:
                self._drop(tx)
        self.blocks.append(included)
        self.times.append(time)
        self.version += 1

    def _next_demand(self) -> None:
        """Fee spikes: for fewer blocks than a side reckons with, whoever does not pay enough has to wait."""
        if self._calm:
            return
        self._since_calm += 1
        if self._since_calm >= self._stress:
            self._demand, self._since_calm = 1, 0
        elif self._demand > 1:
            if self._random.random() < 0.2:
                self._demand, self._since_calm = 1, 0
        elif self._random.random() < 0.15:
            self._demand, self._since_calm = self._random.choice((2, 5, 20, CLOSED)), 1
        else:
            self._since_calm = 0
