"""The main job on the development network: both chains, five storemen and four vouchers as processes of their own.

Bitcoin blocks are mined when the benchmark says so; the native chain makes a block a second, or faster where anvil's
development settings say so, and its events count when they are final, as everywhere.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, TypeVar

from coincurve import PublicKeyXOnly

from adapters.bitcoin.addresses import REGTEST, address_text
from adapters.bitcoin.scripts import DepositTerms, deposit_script, vault_script
from adapters.bitcoin.transactions import parse_transaction
from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import VolatileJournal
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.native.chain import NativeChain
from adapters.native.errors import typed_revert
from adapters.native.events import WithdrawalRequested
from adapters.native.types import Announcement
from bridge.settings import bitcoin_asset
from cli.dev.network import DevNetwork
from foundation.quantities import Satoshi, TokenUnits, Wei
from infra.bitcoind import Wallet

ROUNDS: Final = 9
MANY: Final = 200
BITCOIN: Final = 100_000_000
FEE: Final = 2_000
ASSET: Final = bitcoin_asset(REGTEST)
_GAS_MONEY: Final = Wei(10**21)
T = TypeVar("T")


class Person:
    """Somebody with a wallet and an account, and the ways to use the bridge."""

    def __init__(self, network: DevNetwork, native: NativeChain, sender: TxSender, wallet: Wallet) -> None:
        self.network = network
        self.native = native
        self.sender = sender
        self.wallet = wallet
        self._reclaim_key = PublicKeyXOnly.from_secret(secrets.token_bytes(32)).format()

    async def addresses(self, count: int) -> list[str]:
        """Announced deposit addresses."""
        return list(await asyncio.gather(*(self._address() for _ in range(count))))

    async def _address(self) -> str:
        group = self.network.group
        assert group is not None
        assert group.key is not None
        d, salt, delay = self.native.deployment, secrets.token_bytes(32), 1000
        account, key = self.sender.account, self._reclaim_key
        terms = DepositTerms(d.chain_id, d.hub, ASSET.id, group.id, group.key, account, key, delay, salt)
        birthday = await self.network.bitcoind.height() + 1
        announcement = Announcement(ASSET.id, group.id, account, key, delay, salt, birthday)
        await self.sender.send(self.native.calls.announce_deposit(announcement), f"announce:{salt.hex()}")
        return address_text(deposit_script(terms).script, REGTEST)

    async def balance(self) -> int:
        """Mapping tokens in the newest block."""
        token = await self.native.token_of(ASSET.id, "latest")
        return 0 if token is None else await self.native.token_balance(token, self.sender.account)

    async def withdraw(self, amount: int, to: bytes) -> tuple[bytes, int]:
        """The withdrawal's id, and the native block that holds the request."""
        token = await self.native.token_of(ASSET.id, "latest")
        assert token is not None
        key = secrets.token_hex(8)
        await self.sender.send(self.native.calls.approve(token, TokenUnits(amount)), f"approve:{key}")
        call = self.native.calls.withdraw(ASSET.id, TokenUnits(amount), TokenUnits(20_000), to)
        result = await self.sender.send(call, f"withdraw:{key}")
        (event,) = [e for e in self.native.decoded(result.receipt.logs) if isinstance(e, WithdrawalRequested)]
        return event.id, result.receipt.block.number


async def until(look: Callable[[], Awaitable[T | None]], timeout_s: float = 120.0) -> T:
    """Look again and again, quickly. Raises `TimeoutError`."""
    async with asyncio.timeout(timeout_s):
        while True:
            found = await look()
            if found:
                return found
            await asyncio.sleep(0.005)


async def mempool(network: DevNetwork) -> set[str]:
    """The txids in the node's mempool."""
    found = await network.bitcoind.rpc.call("getrawmempool")
    assert isinstance(found, list)
    return {str(txid) for txid in found}


async def one_deposit(person: Person, amount: int) -> float:
    """Seconds from the block that makes a deposit final to its mint, as the newest native block shows it."""
    network = person.network
    (address,) = await person.addresses(1)
    before = await person.balance()
    await asyncio.sleep(3)  # the announcement becomes final: depositors do not pay within the same second either
    await person.wallet.send(address, Satoshi(amount))
    await network.bitcoind.mine()
    start = time.perf_counter()

    async def minted() -> bool:
        return await person.balance() > before

    await until(minted)
    return time.perf_counter() - start


async def sweep_all(person: Person, deposits: int) -> list[int]:
    """Wait for the sweeps of so many deposits; confirm them. Virtual bytes for each input, summed over all."""
    network = person.network
    assert network.group is not None
    assert network.group.key is not None
    vault = vault_script(network.group.key)
    seen: dict[str, tuple[int, int]] = {}

    async def swept() -> bool:
        for txid in await mempool(network) - set(seen):
            raw = await network.bitcoind.rpc.call("getrawtransaction", txid)
            tx = parse_transaction(bytes.fromhex(str(raw)))
            is_sweep = [output.script for output in tx.outputs] == [vault]
            seen[txid] = (tx.vsize, len(tx.inputs)) if is_sweep else (0, 0)
        return sum(inputs for _, inputs in seen.values()) >= deposits

    await until(swept)
    await network.bitcoind.mine()
    return [sum(vsize for vsize, _ in seen.values()), sum(inputs for _, inputs in seen.values())]


async def one_withdrawal(person: Person, to: bytes) -> float:
    """Seconds from the moment that the request is final on the native chain to the payout in the mempool."""
    network = person.network
    before = await mempool(network)
    _, block = await person.withdraw(100_000, to)

    async def final() -> bool:
        return (await person.native.finalized_block()).number >= block

    await until(final)
    start = time.perf_counter()

    async def paid() -> bool:
        return bool(await mempool(network) - before)

    await until(paid)
    took = time.perf_counter() - start
    await network.bitcoind.mine()
    await asyncio.sleep(4)  # the settlement is not measured here, and shall not disturb the next round
    return took


async def many_deposits(person: Person, count: int) -> tuple[float, list[int]]:
    """Seconds from a block with `count` deposits until all are minted; what their sweeps weigh."""
    network = person.network
    addresses = await person.addresses(count)
    before = await person.balance()
    for start in range(0, count, 100):
        payments = dict.fromkeys(addresses[start : start + 100], 0.01)
        await person.wallet.call("sendmany", "", payments)
    await asyncio.sleep(3)
    await network.bitcoind.mine()
    begun = time.perf_counter()
    wanted = before + count * (BITCOIN // 100 - FEE)

    async def minted() -> bool:
        return await person.balance() >= wanted

    await until(minted)
    took = time.perf_counter() - begun
    return took, await sweep_all(person, count)


async def measure(folder: Path) -> list[dict[str, object]]:
    """All figures of this module."""
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(DevNetwork(folder))
        assert network.deployment is not None
        rpc = await stack.enter_async_context(EvmRpc(network.anvil.url, reverted=typed_revert))
        native = NativeChain(rpc, network.deployment)
        quick = SenderPolicy(fees=FeePolicy(), poll_seconds=0.02)
        journal, secret = VolatileJournal(), secrets.token_bytes(32)
        sender = await stack.enter_async_context(TxSender(rpc, journal, secret, network.deployment.chain_id, quick))
        await network.anvil.faucet("0x" + sender.account.hex(), _GAS_MONEY)
        wallet = await network.bitcoind.wallet("bench", Satoshi(40 * BITCOIN))
        person = Person(network, native, sender, wallet)
        to = bytes.fromhex(str((await wallet.call("getaddressinfo", await wallet.address()))["scriptPubKey"]))
        deposits = [await one_deposit(person, BITCOIN // 2) for _ in range(ROUNDS)]
        await sweep_all(person, 1)
        await asyncio.sleep(3)
        withdrawals = [await one_withdrawal(person, to) for _ in range(ROUNDS)]
        took, (vsize, inputs) = await many_deposits(person, MANY)
    return [
        p50("confirming block seen → token minted, dev network, p50", deposits),
        p50("withdrawal final → payout broadcast, dev network, p50", withdrawals),
        {
            "name": f"{MANY} deposits in one block: all minted",
            "value": round(took, 1),
            "unit": "s",
            "target": 30,
            "samples": 1,
        },
        {
            "name": f"sweeps of {MANY} deposits, an input",
            "value": round(vsize / inputs, 1),
            "unit": "vB",
            "target": 60,
            "samples": inputs,
        },
    ]


def p50(name: str, seconds: list[float]) -> dict[str, object]:
    """The row of a median that may be two seconds."""
    samples = [round(s, 3) for s in seconds]
    return {"name": name, "value": sorted(samples)[len(samples) // 2], "unit": "s", "target": 2, "samples": samples}


def run() -> list[dict[str, object]]:
    """Measure on a network of its own, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measure(Path(folder) / "network"))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(), indent=2) + "\n")
