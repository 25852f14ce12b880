"""An EVM chain both ways on the development network: both chains, five storemen and four vouchers as processes.

Blocks of both chains come as anvil's development settings make them: every half second, and one at once for each
transaction. What counts is final, two blocks behind the newest, on both. The clock starts when the first look shows the
block with the lock, or with the request, to be final: its finality is the chain's own affair, and is not measured.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Collection
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import VolatileJournal
from adapters.evm.lockbox.calls import LockboxCalls
from adapters.evm.lockbox.events import Released, decode_event
from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.native.chain import NativeChain
from adapters.native.errors import typed_revert
from adapters.native.events import WithdrawalRequested
from benchmarks.bench_bridge import p50, until
from cli.dev.network import DevNetwork
from cli.dev.origin import DEV_EVM_CHAIN, DevOrigin
from cli.dev.plan import DevPlan
from foundation.quantities import BlockHeight, TokenUnits

ROUNDS: Final = 9
MANY: Final = 50
ETHER: Final = 10**18
LOCKED: Final = TokenUnits(ETHER)
WITHDRAWN: Final = TokenUnits(ETHER // 100)
RELAY_FEE: Final = TokenUnits(ETHER // 1000)
_QUIET_SECONDS: Final = 3.0
"""Between two rounds: settlements and finality are not measured here, and shall not disturb the next round."""


class Person:
    """Alice, with her account on both chains, and the ways to use the bridge."""

    def __init__(self, network: DevNetwork, native: NativeChain, sender: TxSender, rpc: EvmRpc, away: TxSender) -> None:
        """`sender`: on the native chain; `rpc` and `away`: reads and sends on the origin chain."""
        assert network.origin is not None
        assert network.origin.registered is not None
        self.origin: DevOrigin = network.origin
        self.native = native
        self.sender = sender
        self.rpc = rpc
        self.away = away
        self.lockbox = network.origin.registered.vault.lockbox
        self.asset = network.origin.registered.coin.id

    async def balance(self) -> int:
        """Mapping tokens in the newest native block."""
        token = await self.native.token_of(self.asset, "latest")
        return 0 if token is None else await self.native.token_balance(token, self.sender.account)

    async def lock(self) -> int:
        """Lock one ether; the block that holds it."""
        call = LockboxCalls(self.lockbox).lock(NATIVE_COIN, LOCKED, self.sender.account)
        return (await self.away.send(call, secrets.token_hex(8))).receipt.block.number

    async def locked_is_final(self, block: int) -> bool:
        """Whether that block is final on the origin chain."""
        final = await self.rpc.block("finalized")
        return final is not None and final.ref.number >= block

    async def released(self, numbers: Collection[int], since: int) -> bool:
        """Whether all of these withdrawals have a Released event, in the origin chain's blocks from `since` on."""
        logs = await self.rpc.logs([self.lockbox], BlockHeight(since), BlockHeight(await self.height()))
        return {e.number for e in map(decode_event, logs) if isinstance(e, Released)} >= set(numbers)

    async def height(self) -> int:
        """The origin chain's newest block."""
        newest = await self.rpc.block("latest")
        assert newest is not None
        return newest.ref.number

    async def withdraw(self) -> tuple[int, int]:
        """The withdrawal's number, and the native block that holds the request."""
        call = self.native.calls.withdraw(self.asset, WITHDRAWN, RELAY_FEE, secrets.token_bytes(20))
        result = await self.sender.send(call, secrets.token_hex(8))
        (event,) = [e for e in self.native.decoded(result.receipt.logs) if isinstance(e, WithdrawalRequested)]
        return event.number, result.receipt.block.number


async def one_lock(person: Person) -> float:
    """Seconds from the lock's finality to its mint, as the newest native block shows it."""
    before = await person.balance()
    block = await person.lock()

    async def minted() -> bool:
        return await person.balance() > before

    await until(lambda: person.locked_is_final(block))
    start = time.perf_counter()
    await until(minted)
    took = time.perf_counter() - start
    await asyncio.sleep(_QUIET_SECONDS)
    return took


async def one_withdrawal(person: Person) -> float:
    """Seconds from the request's finality to the Released event in the origin chain's newest block."""
    since = await person.height()
    number, block = await person.withdraw()
    await until(lambda: requested_is_final(person, block))
    start = time.perf_counter()
    await until(lambda: person.released([number], since))
    took = time.perf_counter() - start
    await asyncio.sleep(_QUIET_SECONDS)
    return took


async def requested_is_final(person: Person, block: int) -> bool:
    """Whether that block is final on the native chain."""
    return (await person.native.finalized_block()).number >= block


async def many_withdrawals(person: Person) -> float:
    """Seconds from the first request's finality until all are released."""
    since = await person.height()
    requests = await asyncio.gather(*(person.withdraw() for _ in range(MANY)))
    first = min(block for _, block in requests)
    await until(lambda: requested_is_final(person, first))
    start = time.perf_counter()
    await until(lambda: person.released([number for number, _ in requests], since))
    return time.perf_counter() - start


async def many_locks(person: Person) -> float:
    """Seconds from the finality of one block with all the locks until all are minted.

    The origin chain makes no block any more but those that are asked for: this is measured last.
    """
    rpc = person.origin.anvil.rpc
    before = await person.balance()
    await rpc.call("evm_setIntervalMining", 0)

    async def waiting() -> bool:
        status = await rpc.call("txpool_status")
        assert isinstance(status, dict)
        return int(str(status["pending"]), 16) == MANY

    locking = [asyncio.create_task(person.lock()) for _ in range(MANY)]
    await until(waiting)
    await person.origin.anvil.mine()
    (block,) = set(await asyncio.gather(*locking))
    wanted = before + MANY * await minted_of_one(person)
    while not await person.locked_is_final(block):
        await person.origin.anvil.mine()
    start = time.perf_counter()

    async def minted() -> bool:
        return await person.balance() >= wanted

    await until(minted)
    return time.perf_counter() - start


async def minted_of_one(person: Person) -> int:
    """What is minted for one lock: less the service fee."""
    asset = await person.native.asset(person.asset)
    assert asset is not None
    return LOCKED - asset.policy.service_fee(LOCKED)


async def measure(folder: Path) -> list[dict[str, object]]:
    """All figures of this module."""
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(DevNetwork(folder, DevPlan(evm_chain=DEV_EVM_CHAIN)))
        assert network.deployment is not None
        assert network.origin is not None
        rpc = await stack.enter_async_context(EvmRpc(network.anvil.url, reverted=typed_revert))
        away_rpc = await stack.enter_async_context(EvmRpc(network.origin.anvil.url))
        native = NativeChain(rpc, network.deployment)
        secret = network.origin.secret_of("alice")
        quick = SenderPolicy(fees=FeePolicy(), poll_seconds=0.02)
        sender = TxSender(rpc, VolatileJournal(), secret, network.deployment.chain_id, quick)
        await stack.enter_async_context(sender)
        away = await stack.enter_async_context(network.origin.sender(secret))
        person = Person(network, native, sender, away_rpc, away)
        await one_lock(person)  # the first one deploys the mapping token
        locks = [await one_lock(person) for _ in range(ROUNDS)]
        token = await native.token_of(person.asset, "latest")
        assert token is not None
        await sender.send(native.calls.approve(token, TokenUnits(100 * ETHER)), "approve")
        withdrawals = [await one_withdrawal(person) for _ in range(ROUNDS)]
        withdrawn = await many_withdrawals(person)
        await asyncio.sleep(_QUIET_SECONDS)
        locked = await many_locks(person)
    return [
        p50("lock final → token minted, dev network, p50", locks),
        p50("withdrawal final → released on an EVM chain, dev network, p50", withdrawals),
        _once(f"{MANY} locks in one block: all minted", locked),
        _once(f"{MANY} withdrawals to an EVM chain at once: all released", withdrawn),
    ]


def _once(name: str, seconds: float) -> dict[str, object]:
    return {"name": name, "value": round(seconds, 2), "unit": "s", "target": None, "samples": 1}


def run() -> list[dict[str, object]]:
    """Measure on a network of its own, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measure(Path(folder) / "network"))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(), indent=2) + "\n")
