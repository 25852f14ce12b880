"""People with bitcoin ledgers of their own on a real node, and notices between them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from coincurve import PublicKeyXOnly
from eth_utils.crypto import keccak

from adapters.bitcoin.addresses import REGTEST, address_text
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.bitcoin.scripts import vault_script
from foundation.database.database import CommitHook, Database
from foundation.database.schema import Schema
from foundation.errors import Retryable
from foundation.quantities import Satoshi, UnixMs
from infra.bitcoind import Bitcoind
from settlement.ledgers.bitcoin.ledger import BitcoinLedger
from settlement.ledgers.bitcoin.notices import NoticeRefused
from settlement.ledgers.bitcoin.tables import METADATA
from settlement.ledgers.bitcoin.types import BitcoinLedgerConfig, account_text
from settlement.ledgers.protocol import (
    Cursor,
    Hold,
    HoldState,
    LedgerAccount,
    LedgerEvent,
    LedgerId,
    Refusal,
    Refused,
    TransferId,
)
from settlement.quantities import Asset, Preimage, Scale, Units, condition_of
from tests.support.patience import PATIENCE_S

SCHEMA = Schema((METADATA,))
BTC = Asset("BTC", Scale(8))
LIFE_S = 6 * 3_600
"""How long a hold lives in tests that do not wait for its end."""
Answer = TypeVar("Answer")


class NoWay(Retryable):
    """The payee cannot be told now."""


@dataclass
class Post:
    """Notices, delivered at once to who is there.

    Fields: ledgers; is_down; refused (why, if it is); kept (all that was told).
    """

    ledgers: dict[LedgerAccount, BitcoinLedger] = field(default_factory=dict)
    is_down: bool = False
    refused: str = ""
    kept: list[bytes] = field(default_factory=list)

    async def tell(self, payee: LedgerAccount, notice: bytes) -> None:
        """See `Notices`."""
        if self.is_down:
            raise NoWay("the payee is not there")
        if self.refused:
            raise NoticeRefused(payee, self.refused)
        self.kept.append(notice)
        if payee in self.ledgers:
            await self.ledgers[payee].accept(notice)


@dataclass
class BitcoinWorld:
    """A node, and people. Fields: config; post; now_s (what everybody's clock shows)."""

    node: Bitcoind
    config: BitcoinLedgerConfig
    post: Post = field(default_factory=Post)
    now_s: int = field(default_factory=lambda: int(time.time()))

    def clock(self) -> UnixMs:
        """Everybody's."""
        return UnixMs(self.now_s * 1_000)

    async def person(self, satoshi: int = 0) -> bytes:
        """A new key, with a coin of so much that is final."""
        secret = secrets.token_bytes(32)
        if satoshi:
            script = vault_script(bytes(PublicKeyXOnly.from_secret(secret).format()))
            await self.node.faucet(address_text(script, REGTEST), Satoshi(satoshi))
            await self.node.mine(self.config.confirmations)
        return secret

    @asynccontextmanager
    async def ledger(
        self, secret: bytes, url: str, *, commit_hook: CommitHook | None = None, **other: Any
    ) -> AsyncIterator[BitcoinLedger]:
        """One account's ledger, on a database of its own at `url`; `other` replaces fields of the configuration."""
        config = replace(self.config, **other)
        async with (
            await Database.open(url, SCHEMA, commit_hook=commit_hook) as database,
            BitcoinRpc(self.node.url, self.node.user, self.node.password) as rpc,
            BitcoinLedger(config, rpc, secret, database, self.post, self.clock) as ledger,
        ):
            self.post.ledgers[ledger.own] = ledger
            yield ledger
            del self.post.ledgers[ledger.own]

    def hold(self, payer: LedgerAccount, payee: LedgerAccount, label: str, amount: int = 100_000, **other: Any) -> Hold:
        """A hold that lives for `LIFE_S`."""
        expires_at = UnixMs((self.now_s + LIFE_S) * 1_000)
        condition = condition_of(preimage_of(label))
        memo = b"memo of " + label.encode()
        hold = Hold(id_of(label), payer, payee, Units(amount), condition, expires_at, memo)
        return replace(hold, **other)

    async def mined(self, waiting: asyncio.Task[Answer]) -> Answer:
        """What a call answers while blocks are made: once something waits for one, and now and then."""
        rounds = 0
        async with asyncio.timeout(PATIENCE_S):
            while not waiting.done():
                rounds += 1
                # Also without need: what is waited for may be in the newest block already, and not final.
                if rounds % 20 == 0 or await self.node.rpc.call("getrawmempool"):
                    await self.node.mine(self.config.confirmations)
                await asyncio.wait([waiting], timeout=0.05)
        return waiting.result()

    async def run(self, call: Any) -> Any:
        """`mined` for a coroutine."""
        return await self.mined(asyncio.ensure_future(call))

    async def pass_time(self, until_s: int) -> None:
        """Move all clocks past a moment, the chain's median time too."""
        self.now_s = until_s
        await self.node.rpc.call("setmocktime", until_s)
        await self.node.mine(12)


def preimage_of(label: str) -> Preimage:
    """A hold's secret."""
    return Preimage(keccak(text=f"preimage {label}"))


def id_of(label: str) -> TransferId:
    """A hold's id."""
    return TransferId(keccak(text=f"id {label}"))


def own_of(secret: bytes) -> LedgerAccount:
    """An account's name on the ledger."""
    return account_text(bytes(PublicKeyXOnly.from_secret(secret).format()))


async def seen(ledger: BitcoinLedger, label: str, state: HoldState) -> list[LedgerEvent]:
    """All events up to the one that tells of this state."""
    found: list[LedgerEvent] = []
    async with asyncio.timeout(PATIENCE_S):
        async for batch in ledger.events(Cursor("")):
            found += batch
            if any(one.view.hold.transfer_id == id_of(label) and one.view.state is state for one in batch):
                break
    return found


def refusal(outcome: object) -> Refusal:
    """Why an outcome is none."""
    assert isinstance(outcome, Refused), outcome
    return outcome.reason


async def bitcoin_world(node: Bitcoind) -> BitcoinWorld:
    """A world that begins at the node's newest block, with an empty mempool."""
    await node.mine(1)
    config = BitcoinLedgerConfig(
        LedgerId("bitcoin"),
        BTC,
        REGTEST,
        await node.height(),
        confirmations=2,
        settle_ms=3_600_000,
        answer_ms=30_000,
        poll_seconds=0.02,
    )
    return BitcoinWorld(node, config)
