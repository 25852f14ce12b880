"""An EVM chain in memory, with a mempool, blocks and finality, and ways to interrupt whoever uses it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import rlp
from eth_account import Account
from eth_utils.crypto import keccak

from adapters.evm.errors import NodeUnavailable, Reverted, RpcRefused
from adapters.evm.journal import TxJournal
from adapters.evm.types import BlockHeader, BlockTag, Call, Receipt, Simulation
from foundation.errors import CausewayError
from foundation.quantities import BlockHeight, Wei

GWEI = 10**9
GAS = 50_000
SECRET = bytes(31) + b"\x07"
TARGET = b"\x11" * 20


@dataclass(frozen=True, slots=True)
class Transaction:
    """A signed transaction, read back from its bytes."""

    hash: bytes
    account: bytes
    nonce: int
    max_fee: int
    tip: int
    gas: int
    to: bytes
    value: int
    data: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Transaction:
        """Read an EIP-1559 transaction."""
        assert raw[0] == 2
        _, nonce, tip, max_fee, gas, to, value, data, *_ = rlp.decode(raw[1:])
        account = bytes.fromhex(Account.recover_transaction(raw)[2:])
        numbers = [int.from_bytes(part, "big") for part in (nonce, max_fee, tip, gas)]
        return cls(keccak(raw), account, *numbers, to, int.from_bytes(value, "big"), data)


@dataclass
class FakeChain:
    """A `SenderNode`. `effects` counts how often each call's data took effect; `refused_data` is reverted."""

    base_fee: int = GWEI
    finality: int = 2
    automine: bool = False
    is_down: bool = False
    keeps_receipts: bool = True
    balance: int = 10**21
    gas: int = GAS
    refused_data: set[bytes] = field(default_factory=set)
    refused_when_mined: set[bytes] = field(default_factory=set)
    refusals: list[str] = field(default_factory=list)  # words for the next broadcasts
    pool: dict[tuple[bytes, int], Transaction] = field(default_factory=dict)
    mined: list[list[Transaction]] = field(default_factory=lambda: [[], []])
    broadcasts: list[Transaction] = field(default_factory=list)
    remembered: set[bytes] = field(default_factory=set)  # named by the node, though no block of it holds them
    peak_final: int = 0  # for tests that drop blocks: none at or below it

    @property
    def height(self) -> int:
        """The newest block's number."""
        return len(self.mined) - 1

    @property
    def final(self) -> int:
        """The final block's number."""
        return max(0, self.height - self.finality)

    @property
    def effects(self) -> Counter[bytes]:
        """How often each data was executed with success."""
        return Counter(
            tx.data for block in self.mined for tx in block if tx.to == TARGET and tx.data not in self._refused
        )

    @property
    def _refused(self) -> set[bytes]:
        return self.refused_data | self.refused_when_mined

    def count(self, account: bytes, height: int | None = None) -> int:
        """How many transactions of an account the blocks up to `height` have."""
        blocks = self.mined if height is None else self.mined[: height + 1]
        return sum(tx.account == account for block in blocks for tx in block)

    def mine(self, blocks: int = 1) -> None:
        """Put what can be mined into a block; more blocks are empty unless a transaction waited for another."""
        for _ in range(blocks):
            block: list[Transaction] = []
            self.mined.append(block)
            for key in sorted(self.pool):
                tx = self.pool[key]
                if tx.nonce == self.count(tx.account) and tx.max_fee >= self.base_fee:
                    block.append(self.pool.pop(key))
                elif tx.nonce < self.count(tx.account):
                    del self.pool[key]

    def drop(self, blocks: int, *, remembers: bool = False) -> None:
        """Forget the newest blocks and what is in them, as a reorg does to transactions that nobody kept. `remembers`:
        the node still names those transactions, and mines them no more for that."""
        if remembers:
            self.remembered |= {tx.hash for block in self.mined[-blocks:] for tx in block}
        del self.mined[-blocks:]

    def foreign(self, secret: bytes, nonce: int) -> None:
        """Mine a transaction of the account that its sender does not know."""
        account = bytes.fromhex(Account.from_key(secret).address[2:])
        stranger = Transaction(keccak(b"foreign%d" % nonce), account, nonce, GWEI, 0, GAS, b"\x22" * 20, 1, b"foreign")
        self.mined.append([stranger])

    async def blocks(self, numbers: Sequence[BlockHeight | BlockTag]) -> list[BlockHeader | None]:
        """See `SenderNode`."""
        self._serve("eth_getBlockByNumber")
        return [self._header(self._number(number)) for number in numbers]

    async def simulate(self, call: Call, sender: bytes) -> Simulation:
        """See `SenderNode`."""
        self._serve("eth_estimateGas")
        if call.data in self.refused_data:
            raise Reverted(call.label, "Test: refused")
        header = self._header(self.height)
        assert header is not None
        return Simulation(self.gas, Wei(self.balance), header)

    async def balances(self, account: bytes) -> tuple[Wei, ...]:
        """See `SenderNode`."""
        self._serve("eth_getBalance")
        return (Wei(self.balance),)

    async def call(self, call: Call, number: BlockHeight | BlockTag = "latest", sender: bytes | None = None) -> bytes:
        """See `SenderNode`."""
        self._serve("eth_call")
        if call.data in self._refused:
            raise Reverted(call.label, "Test: refused")
        return b""

    async def transaction_counts(self, account: bytes, tags: Sequence[BlockTag]) -> list[int]:
        """See `SenderNode`."""
        self._serve("eth_getTransactionCount")
        counts = []
        for tag in tags:
            count = self.count(account, None if tag == "pending" else self._number(tag))
            while tag == "pending" and (account, count) in self.pool:
                count += 1
            counts.append(count)
        return counts

    async def receipts(self, hashes: Sequence[bytes]) -> list[Receipt | None]:
        """See `SenderNode`."""
        self._serve("eth_getTransactionReceipt")
        return [self._receipt(tx_hash) if self.keeps_receipts else None for tx_hash in hashes]

    async def known(self, hashes: Sequence[bytes]) -> list[bool]:
        """See `SenderNode`."""
        self._serve("eth_getTransactionByHash")
        pooled = {tx.hash for tx in self.pool.values()} | self.remembered
        return [tx_hash in pooled or self._receipt(tx_hash) is not None for tx_hash in hashes]

    async def send_raw(self, raw: bytes) -> None:
        """See `SenderNode`."""
        self._serve("eth_sendRawTransaction")
        if self.refusals:
            raise _refusal(self.refusals.pop(0))
        tx = Transaction.parse(raw)
        self.broadcasts.append(tx)
        if tx.nonce < self.count(tx.account):
            raise _refusal("nonce too low: next nonce 1, tx nonce 0")
        old = self.pool.get((tx.account, tx.nonce))
        if old is not None and old.hash == tx.hash:
            raise _refusal("already known")
        if old is not None and not (10 * tx.max_fee >= 11 * old.max_fee and 10 * tx.tip >= 11 * old.tip):
            raise _refusal("replacement transaction underpriced")
        self.pool[tx.account, tx.nonce] = tx
        if self.automine:
            self.mine()

    def _serve(self, method: str) -> None:
        if self.is_down:
            raise NodeUnavailable(method, "is down")

    def _number(self, number: BlockHeight | BlockTag) -> int:
        if isinstance(number, int):
            return number
        return self.final if number == "finalized" else self.height

    def _header(self, number: int) -> BlockHeader | None:
        if number > self.height:
            return None
        height = BlockHeight(number)
        return BlockHeader(height, _block_hash(number), _block_hash(number - 1), number, Wei(self.base_fee), 30_000_000)

    def _receipt(self, tx_hash: bytes) -> Receipt | None:
        for number, block in enumerate(self.mined):
            for tx in block:
                if tx.hash == tx_hash:
                    header = self._header(number)
                    assert header is not None
                    good = tx.data not in self._refused
                    return Receipt(tx_hash, header.ref, good, GAS // 2, Wei(self.base_fee), None, ())
        return None


class Crash(Exception):
    """The process ended here."""


class Mortal:
    """Wraps the node and the journal of one process, which dies at call number `step`, before its effect or after.

    A dead process makes no calls: all later ones fail too, and have no effect.
    """

    def __init__(self, step: int | None, after: bool = False) -> None:
        self.step = step
        self.after = after
        self.calls = 0
        self.is_dead = False

    def wrap(self, inner: Any) -> Any:
        """The same object, mortal."""
        return _Wrapped(inner, self)

    async def run(self, call: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
        """One call of the process."""
        if self.is_dead:
            raise Crash
        number, self.calls = self.calls, self.calls + 1
        if number == self.step and not self.after:
            self.is_dead = True
            raise Crash
        result: Any = None
        failure: Exception | None = None
        try:
            result = await call(*arguments)
        except CausewayError as error:  # whatever the call says, it is said after the effect
            failure = error
        if number == self.step:
            self.is_dead = True
            raise Crash
        if failure is not None:
            raise failure
        return result


class _Wrapped:
    def __init__(self, inner: FakeChain | TxJournal, life: Mortal) -> None:
        self._inner = inner
        self._life = life

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def mortal(*arguments: Any) -> Any:
            return await self._life.run(method, *arguments)

        return mortal


def call(number: int = 0) -> Call:
    """A call that differs from those of other numbers."""
    return Call(TARGET, b"call%d" % number, f"Test.call{number}")


def _refusal(words: str) -> RpcRefused:
    return RpcRefused("eth_sendRawTransaction", -32000, words)


def _block_hash(number: int) -> bytes:
    return keccak(b"block%d" % number)
