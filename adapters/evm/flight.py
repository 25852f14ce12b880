"""A transaction on its way, the node that it needs, and the rules by which it is watched."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from adapters.evm.errors import KeyReused
from adapters.evm.fees import FeePolicy, Fees
from adapters.evm.journal import SignedTx
from adapters.evm.types import BlockHeader, BlockTag, Call, Receipt, Simulation
from foundation.quantities import BlockHeight, Wei

TRANSACTION_GAS: Final = 2**24
"""The most gas that a transaction may ask for (EIP-7825)."""
UNSENT: Final = float("-inf")


class SenderNode(Protocol):
    """What sending needs of a node; `adapters.evm.rpc.EvmRpc` has it, and says what each raises."""

    async def blocks(self, numbers: Sequence[BlockHeight | BlockTag]) -> list[BlockHeader | None]:
        """Headers."""
        ...

    async def simulate(self, call: Call, sender: bytes) -> Simulation:
        """Try a call on the newest state."""
        ...

    async def balances(self, account: bytes) -> Sequence[Wei]:
        """What an account has, the lowest first where nodes differ."""
        ...

    async def call(self, call: Call, number: BlockHeight | BlockTag = "latest", sender: bytes | None = None) -> bytes:
        """What a call returns at a block."""
        ...

    async def transaction_counts(self, account: bytes, tags: Sequence[BlockTag]) -> list[int]:
        """The next nonce in each state."""
        ...

    async def receipts(self, hashes: Sequence[bytes]) -> list[Receipt | None]:
        """Receipts of what is in a block."""
        ...

    async def known(self, hashes: Sequence[bytes]) -> list[bool]:
        """Whether the node has each transaction."""
        ...

    async def send_raw(self, raw: bytes) -> None:
        """Broadcast."""
        ...


@dataclass(frozen=True, slots=True)
class SenderPolicy:
    """How a sender bids and waits. Times in seconds.

    Fields: fees; poll_seconds (between two looks after something was sent; later a tenth of the time waited, up to
    poll_seconds_most); tend_seconds (between two rounds of care); resend_after_seconds (until a transaction that the
    node does not know is broadcast again); bump_after_seconds (until a transaction that is not mined bids more);
    gas_margin_permille and gas_margin (added to what the simulation needed, because the state moves);
    refusals_before_filling (of one transaction, in a row).
    """

    fees: FeePolicy = field(default_factory=FeePolicy)
    poll_seconds: float = 0.05
    poll_seconds_most: float = 0.5
    tend_seconds: float = 1.0
    resend_after_seconds: float = 2.0
    bump_after_seconds: float = 20.0
    gas_margin_permille: int = 250
    gas_margin: int = 30_000
    refusals_before_filling: int = 5

    def gas_limit(self, simulation: Simulation) -> int:
        """The gas limit for a call that was simulated: with the margin, as far as a transaction may have it."""
        most = min(simulation.block.gas_limit, TRANSACTION_GAS)
        return min(self.with_margin(simulation.gas), max(most, simulation.gas))

    def with_margin(self, gas: int) -> int:
        """The gas limit for a call that needs so much, with the margin."""
        return gas * (1000 + self.gas_margin_permille) // 1000 + self.gas_margin

    def pause(self, waited_seconds: float) -> float:
        """How long to wait for the next look, when `waited_seconds` passed since something was sent."""
        return min(max(self.poll_seconds, waited_seconds / 10), max(self.poll_seconds_most, self.poll_seconds))


@dataclass(frozen=True, slots=True)
class TxResult:
    """A transaction that is in a block and succeeded. The block may not be final yet. Fields: key; receipt."""

    key: str
    receipt: Receipt

    @property
    def transaction(self) -> bytes:
        """Its hash, 32 bytes."""
        return self.receipt.transaction


@dataclass(slots=True)
class Flight:
    """One nonce on its way. Times are of the sender's clock, in seconds.

    Fields: key; nonce; versions (all that were signed, the newest last; at least one); signed_at (the newest); sent_at
    (the last broadcast, `UNSENT` where there was none); refusals (in a row, for reasons we do not know);
    underpriced (the node asks for a higher bid); too_dear (hashes of versions that the account could not pay when they
    were last handed in); included (its receipt, once it is in a block); outcome (for those who wait).
    """

    key: str
    nonce: int
    versions: list[SignedTx]
    signed_at: float
    sent_at: float = UNSENT
    refusals: int = 0
    underpriced: bool = False
    too_dear: set[bytes] = field(default_factory=set)
    included: Receipt | None = None
    outcome: asyncio.Future[TxResult] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def __post_init__(self) -> None:
        # Nobody may be waiting, after a restart: then a failure is no "exception was never retrieved".
        self.outcome.add_done_callback(lambda done: done.cancelled() or done.exception())

    @property
    def latest(self) -> SignedTx:
        """The newest version."""
        return self.versions[-1]

    @property
    def is_unsent(self) -> bool:
        """Whether it has to be broadcast whatever the node knows: it never was by us, or a reorg dropped its block."""
        return self.sent_at == UNSENT

    @property
    def highest(self) -> Fees:
        """The highest bid of all versions: what replaces it replaces each of them."""
        return max((Fees(one.max_fee, one.tip) for one in self.versions), key=lambda fees: fees.max_fee)

    @property
    def standing(self) -> Fees | None:
        """The highest bid that the account could pay when it was handed in; None: there is none."""
        bids = [Fees(one.max_fee, one.tip) for one in self.versions if one.hash not in self.too_dear]
        return max(bids, key=lambda fees: fees.max_fee, default=None)

    @property
    def cost(self) -> int:
        """What nodes keep of the account for it, wei: gas and value at the standing bid."""
        newest, standing = self.latest, self.standing
        return 0 if standing is None else newest.value + newest.gas * standing.max_fee

    def version(self, tx_hash: bytes) -> SignedTx:
        """The version with this hash, which must be one of ours."""
        return next(version for version in self.versions if version.hash == tx_hash)

    def succeed(self, receipt: Receipt) -> None:
        """Tell those who wait."""
        if not self.outcome.done():
            self.outcome.set_result(TxResult(self.key, receipt))

    def fail(self, error: Exception) -> None:
        """Tell those who wait."""
        if not self.outcome.done():
            self.outcome.set_exception(error)


def check_same_call(key: str, versions: Sequence[SignedTx], call: Call) -> None:
    """Refuse a key that belongs to another call: it would answer with that one's result. Raises `KeyReused`."""
    wanted = (call.to or b"", call.data, call.value)
    if any((tx.to, tx.data, tx.value) != wanted for tx in versions if not tx.is_filler):
        raise KeyReused(key)
