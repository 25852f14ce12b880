"""An Escrow and a token on a real EVM node, and people with ledgers of their own on it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from adapters.evm.escrow.deploy import deploy_escrow
from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import VolatileJournal
from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.evm.types import Call
from adapters.native.eip712 import account_of_secret
from foundation.database.database import CommitHook, Database
from foundation.database.schema import Schema
from foundation.quantities import BlockHeight, UnixMs, Wei
from infra.anvil import Anvil
from registry.caip import evm_chain
from registry.chains import Chain
from settlement.ledgers.evm.ledger import EvmLedger
from settlement.ledgers.evm.opening import open_evm_ledger
from settlement.ledgers.evm.tables import METADATA
from settlement.ledgers.evm.types import EvmLedgerConfig, account_text
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

POLICY = SenderPolicy(poll_seconds=0.02, tend_seconds=0.2)
SCHEMA = Schema((METADATA,))
EURO = Asset("EUR", Scale(2))
DECIMALS = 6
CENT = 10 ** (DECIMALS - EURO.scale)
ETHER = Asset("ETH", Scale(9))
LIFE_S = 600
"""How long a hold lives in tests that do not wait for its end."""


@dataclass
class EscrowWorld:
    """Contracts on a chain.

    Fields: config (of the token's ledger); banker (makes tokens); now_ms (what everybody's clock shows).
    """

    node: Anvil
    rpc: EvmRpc
    config: EvmLedgerConfig
    banker: TxSender
    now_ms: int = 0

    def clock(self) -> UnixMs:
        """The chain's time when it was last asked."""
        return UnixMs(self.now_ms)

    async def tick(self) -> int:
        """Set our clock by the newest block; its time in seconds."""
        header = await self.rpc.block("latest")
        assert header is not None
        self.now_ms = header.timestamp * 1_000
        return header.timestamp

    async def person(self, units: int = 0) -> bytes:
        """The key of a new account with gas, and with `units` of the token's ledger."""
        secret = secrets.token_bytes(32)
        address = account_of_secret(secret)
        await self.node.faucet("0x" + address.hex(), Wei(10**18))
        if units:
            await self.give(address, units * CENT)
        return secret

    async def give(self, address: bytes, amount: int) -> None:
        """Make tokens out of nothing."""
        data = keccak(text="give(address,uint256)")[:4] + encode(["address", "uint256"], [address, amount])
        await self.banker.send(Call(self.config.token, data, "give"), secrets.token_hex(8))

    async def tell(self, signature: str, types: list[str], values: list[Any]) -> None:
        """Tell the token how to behave."""
        call = Call(self.config.token, keccak(text=signature)[:4] + encode(types, values), signature)
        await self.banker.send(call, secrets.token_hex(8))

    async def pass_time(self, until_s: int) -> None:
        """Move the chain's clock past a moment, to finality."""
        await self.node.rpc.call("evm_setNextBlockTimestamp", max(until_s, await self.tick() + 1))
        await self.node.mine(4)
        await self.tick()

    @asynccontextmanager
    async def ledger(
        self, secret: bytes, url: str, *, commit_hook: CommitHook | None = None, **other: Any
    ) -> AsyncIterator[EvmLedger]:
        """One account's ledger, on a database of its own at `url`; `other` replaces fields of the configuration."""
        config = replace(self.config, **other)
        async with (
            await Database.open(url, SCHEMA, commit_hook=commit_hook) as database,
            open_evm_ledger(config, [self.node.url], secret, database, self.clock, POLICY) as ledger,
        ):
            yield ledger

    async def hold(
        self, payer: LedgerAccount, payee: LedgerAccount, label: str, amount: int = 500, **other: Any
    ) -> Hold:
        """A hold that lives for `LIFE_S` by the chain's clock."""
        expires_at = UnixMs((await self.tick() + LIFE_S) * 1_000)
        condition = condition_of(preimage_of(label))
        hold = Hold(id_of(label), payer, payee, Units(amount), condition, expires_at, b"memo of " + label.encode())
        return replace(hold, **other)


def preimage_of(label: str) -> Preimage:
    """A hold's secret."""
    return Preimage(keccak(text=f"preimage {label}"))


def id_of(label: str) -> TransferId:
    """A hold's id."""
    return TransferId(keccak(text=f"id {label}"))


def own_of(secret: bytes) -> LedgerAccount:
    """An account's name on the ledger."""
    return account_text(account_of_secret(secret))


@asynccontextmanager
async def escrow_world(node: Anvil, *, confirmations: int = 0) -> AsyncIterator[EscrowWorld]:
    """A new Escrow and a token of six decimals on a node's chain. `confirmations` 0: the chain's own finality."""
    secret = secrets.token_bytes(32)
    await node.faucet("0x" + account_of_secret(secret).hex(), Wei(10**20))
    async with EvmRpc(node.url) as rpc, TxSender(rpc, VolatileJournal(), secret, node.chain_id, POLICY) as banker:
        from tests.support.lockbox import helper  # here: it compiles contracts, which takes seconds to import

        code = helper("odd_token").bytecode + encode(["uint8"], [DECIMALS])
        token = (await banker.send(Call(None, code, "deploy token"), "token")).receipt.contract
        escrow, start = await deploy_escrow(banker)
        genesis = await rpc.block(BlockHeight(0))
        assert token is not None
        assert genesis is not None
        chain = Chain.named(evm_chain(node.chain_id), genesis.hash, confirmations)
        config = EvmLedgerConfig(
            LedgerId("euro"),
            EURO,
            chain,
            escrow,
            start,
            token,
            DECIMALS,
            settle_ms=20_000,
            skew_ms=5_000,
            answer_ms=30_000,
            poll_seconds=0.02,
        )
        yield EscrowWorld(node, rpc, config, banker)


def coin_config(world: EscrowWorld) -> dict[str, Any]:
    """What makes the token's ledger one of the chain's coin."""
    return {"ledger_id": LedgerId("ether"), "asset": ETHER, "token": NATIVE_COIN, "decimals": 18}


async def seen(ledger: EvmLedger, label: str, state: HoldState) -> list[LedgerEvent]:
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
    assert isinstance(outcome, Refused)
    return outcome.reason


def urls_in(folder: Path) -> tuple[str, str]:
    """Two databases."""
    return f"sqlite+aiosqlite:///{folder / 'payer.db'}", f"sqlite+aiosqlite:///{folder / 'payee.db'}"
