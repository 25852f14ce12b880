"""What the duties of one node share."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, TypeVar

from adapters.bitcoin.fees import FeePolicy
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.evm.flight import TxResult
from adapters.evm.sender import TxSender
from adapters.native.calls import NativeCall
from adapters.native.chain import NativeChain
from bridge import rota
from bridge.agents.vaults.outpost import Outpost
from bridge.directory import Directory
from bridge.intake.common import Clock, Context
from bridge.intake.intake import Intake
from bridge.settings import PolicySection, Settings, sat_per_kvb
from bridge.signals import Signal
from bridge.storage import Database
from foundation.errors import CausewayError
from foundation.quantities import SatPerKvB, UnixMs
from mpc.cluster import Cluster
from mpc.identity import Identity
from mpc.keystore import Keystore
from mpc.transport import PeerNetwork

_FEES_KEPT_SECONDS: Final = 5.0
T = TypeVar("T")


class Fees:
    """Bitcoin fee rates, asked of the node now and then."""

    def __init__(self, rpc: BitcoinRpc, settings: PolicySection) -> None:
        p = settings
        self._rpc = rpc
        self.policy = FeePolicy(
            sat_per_kvb(p.fee_floor), sat_per_kvb(p.fee_cap), sat_per_kvb(p.fee_fallback), p.fee_target_blocks
        )
        self._asked_at = float("-inf")
        self._estimate: SatPerKvB | None = None
        self._floor = SatPerKvB(0)
        self._increment = SatPerKvB(0)

    async def rate(self) -> SatPerKvB:
        """The rate for a new transaction. Raises `FeeAboveCap`, and what the node's RPC raises."""
        await self._refresh()
        return self.policy.rate(self._estimate, self._floor)

    async def bump(self, current: SatPerKvB) -> SatPerKvB | None:
        """The rate of a replacement of a transaction that pays `current`; None where it needs none."""
        wanted = await self.rate()
        return self.policy.bump_rate(current, wanted, max(self._floor, self._increment))

    async def increment(self) -> SatPerKvB:
        """What a replacement pays for its own relay."""
        await self._refresh()
        return self._increment

    async def _refresh(self) -> None:
        if time.monotonic() - self._asked_at < _FEES_KEPT_SECONDS:
            return
        self._estimate, self._floor, self._increment = await asyncio.gather(
            self._rpc.estimate_fee_rate(self.policy.target_blocks),
            self._rpc.relay_floor(),
            self._rpc.incremental_relay_fee(),
        )
        self._asked_at = time.monotonic()


@dataclass(frozen=True, slots=True)
class Office:
    """One node's means."""

    settings: Settings
    identity: Identity
    account: bytes  # 20 bytes
    keystore: Keystore
    database: Database
    context: Context
    intake: Intake
    native: NativeChain
    sender: TxSender
    bitcoin: BitcoinRpc
    fees: Fees
    peers: PeerNetwork
    cluster: Cluster
    clock: Clock
    changed: Signal
    outposts: dict[bytes, Outpost] = field(default_factory=dict)
    """The EVM chains that this node serves and that have a vault, by their ids."""

    @property
    def directory(self) -> Directory:
        """Who is who."""
        return self.context.directory

    @property
    def policy(self) -> PolicySection:
        """The operator's policy."""
        return self.settings.policy

    @property
    def slot_ms(self) -> int:
        """How long a turn lasts."""
        return int(self.policy.slot_seconds * 1000)

    def is_turn(self, members: Sequence[bytes], turns: int = 1, subject: bytes = b"") -> bool:
        """Whether it is this node's turn among `members` (host keys); a turn lasts `turns` slots.

        With a `subject`, the turn is for that subject alone: many subjects are then shared among all members at once.
        """
        if self.identity.host_key not in members:
            return False
        slot_ms = self.slot_ms * turns
        shifted = UnixMs(self.clock() + int.from_bytes(subject[:4], "big") * slot_ms)
        return rota.coordinator(members, shifted, slot_ms) == self.identity.host_key

    def slot_left_seconds(self) -> float:
        """Until the next turn begins."""
        return (self.slot_ms - self.clock() % self.slot_ms) / 1000

    def since(self, moment: UnixMs) -> float:
        """Seconds since `moment`."""
        return (self.clock() - moment) / 1000


class Apart:
    """Work on several subjects in one run: `with apart:` for each, so that one that fails keeps no other waiting."""

    def __init__(self) -> None:
        self._first: CausewayError | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, CausewayError):
            return False
        self._first = self._first or error
        return True

    def end(self) -> None:
        """Raise the first failure, if there was one, for the run's status and its back-off."""
        if self._first is not None:
            raise self._first


async def gather_some(tasks: Iterable[Awaitable[T]], enough: int) -> tuple[list[T], list[CausewayError]]:
    """Await several at once until `enough` have succeeded or all have ended; the rest are cancelled.

    Returns:
        The results, and the typed errors of those that failed. Other exceptions are raised: they are bugs.
    """
    pending = {asyncio.ensure_future(task) for task in tasks}
    results: list[T] = []
    errors: list[CausewayError] = []
    try:
        while pending and len(results) < enough:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    results.append(task.result())
                elif isinstance(error, CausewayError):
                    errors.append(error)
                else:
                    raise error
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    return results, errors


def call_key(verb: str, subject: bytes, call: NativeCall) -> str:
    """The key under which a call is sent: the same call is sent once, another one for the same subject is another."""
    return f"{verb}:{subject.hex()}:{hashlib.sha256(call.data).hexdigest()[:16]}"


async def send_call(sender: TxSender, verb: str, subject: bytes, call: NativeCall) -> TxResult:
    """Send `call` once, and wait until it is in a block.

    Where an earlier try is final and had no effect, because a pause of the asset met it on its way or something else
    took its nonce, there is a new one: what refused it then may have passed. Raises as `TxSender.send`.
    """
    key, attempt = call_key(verb, subject, call), 0
    while await sender.is_used_up(f"{key}:{attempt}"):
        attempt += 1
    return await sender.send(call, f"{key}:{attempt}")
