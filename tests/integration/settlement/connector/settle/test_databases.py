"""What settlements remember, on PostgreSQL as on SQLite."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

from adapters.bitcoin.primitives import OutPoint
from foundation.database import Database, Schema
from foundation.quantities import BlockHeight, Satoshi, UnixMs
from settlement.connector.settle.engines.bitcoin_wallet import Keys, Version, WalletStore
from settlement.connector.settle.engines.core import Credit, Payment
from settlement.connector.settle.engines.store import EngineStore
from settlement.connector.settle.engines.tables import METADATA as ENGINE
from settlement.connector.settle.outgoing import SettleRule
from settlement.connector.settle.quantity import Quantity
from settlement.connector.settle.rfc38 import Rfc38Client
from settlement.connector.settle.settler import Settler
from settlement.connector.settle.tables import METADATA
from settlement.quantities import Scale
from tests.support.settling import MemoryBalances, MemoryEngine

SCHEMA = Schema((METADATA, ENGINE))
NOW = UnixMs(1_000_000)


async def test_settlements_of_two_processes_are_asked_and_credited_once(database_url: str):
    """Two settlers on one database pay what is owed once and credit what came in once, amounts of any size included."""
    balances, engine = MemoryBalances({"bank": 2**64 - 1}), MemoryEngine()
    rule = SettleRule("bank", Scale(18), threshold=1_000)
    async with await Database.open(database_url, SCHEMA) as first, await Database.open(database_url, SCHEMA) as second:
        settlers = [
            Settler(database, balances, {"bank": rule}, {"bank": cast("Rfc38Client", engine)}, lambda: NOW)
            for database in (first, second)
        ]
        for settler in settlers:
            settler("bank", balances.balances["bank"])
        await asyncio.gather(*(settler.round() for settler in settlers))
        await asyncio.gather(*(settler.round() for settler in settlers))
        assert (engine.total, balances.balances["bank"]) == (2**64 - 1, 0)
        quantity = Quantity(10**60 + 1, 60)
        await asyncio.gather(*(settler.receive("bank", quantity, "key") for settler in settlers))
        assert balances.balances["bank"] == 10**18


async def test_an_engine_remembers_the_same_on_both(database_url: str):
    """Payments, credits, claims and cursors come back as they were written, and a repetition changes nothing."""
    payment = Payment("ab" * 32, "bank", 10**30)
    credit = Credit("event", None, "there", 10**30)
    async with await Database.open(database_url, SCHEMA) as database:
        async with database.unit() as unit:
            store = EngineStore(unit.connection)
            await store.open_account("bank")
            await store.put_payment(payment)
            for _ in range(2):
                await store.add_credit(credit)
            assert await store.unclaimed() == (credit,)
            assert await store.claim("there", "bank") == "bank"
            assert await store.claim("there", "thief") == "bank"
            (claimed,) = await store.unreported()
            await store.change_credit(replace(claimed, reported=True))
            await store.add_credit(credit)  # read again from the chain
            assert await store.unreported() == ()
            await store.move_cursor("chain", b"\x00\xff")
            await unit.commit()
        async with database.view() as view:
            store = EngineStore(view.connection)
            assert await store.accounts() == {"bank"}
            assert await store.open_payments() == (payment,)
            assert await store.account_of("there") == "bank"
            assert await store.cursor("chain") == b"\x00\xff"


async def test_coins_follow_the_chain_on_both(database_url: str):
    """A reorganisation takes back what a block brought and spent; what was credited is not credited again."""
    keys = Keys(bytes(32))
    mine, theirs = OutPoint(b"\x01" * 32, 0), OutPoint(b"\x02" * 32, 1)
    version = Version("ab" * 32, 0, b"\x03" * 32, b"raw", (mine,), Satoshi(5), BlockHeight(9))
    async with await Database.open(database_url, SCHEMA) as database, database.unit() as unit:
        wallet = WalletStore(unit.connection)
        await wallet.receive(mine, 1_000, "", 10)
        await wallet.receive(theirs, 2_000, "bank", 10)
        assert [coin.outpoint for coin in await wallet.spendable(keys)] == [mine]  # the other is not credited yet
        (due,) = await wallet.creditable(keys, 10)
        assert (due.coin.outpoint, due.owner) == (theirs, "bank")
        await wallet.credited(theirs)
        await wallet.add_version(version)
        assert [coin.outpoint for coin in await wallet.spendable(keys)] == [theirs]
        await wallet.spend(mine, version.txid, 11)
        assert (await wallet.versions(version.payment))[0].height == 11
        assert await wallet.spent_up_to([mine], 11)
        await wallet.disconnect(11)
        assert (await wallet.versions(version.payment))[0].height is None
        assert not await wallet.spent_up_to([mine], 11)
        await wallet.disconnect(10)
        await wallet.receive(theirs, 2_000, "bank", 10)
        assert await wallet.creditable(keys, 10) == ()
        await unit.commit()
