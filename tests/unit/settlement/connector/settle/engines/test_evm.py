"""Engines that settle in a token of an EVM chain: one transfer a payment, whatever crashes or is replaced."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eth_account import Account

from adapters.evm.ends import GONE, End
from adapters.evm.errors import EndpointsDisagree
from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import VolatileJournal
from adapters.evm.proved import Mined
from adapters.evm.sender import TxSender
from adapters.evm.types import Batch, BlockRef, Log, Receipt
from foundation.database import Database
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, UnixMs
from settlement.connector.settle.engines.core import PaymentStage
from settlement.connector.settle.engines.engine import Engine
from settlement.connector.settle.engines.evm import TRANSFER, EvmRail, TokenRail, proof_of_payer, text_of
from settlement.connector.settle.engines.evm_feed import TRANSFER as EVENT
from settlement.connector.settle.engines.evm_feed import Transfer
from settlement.connector.settle.engines.rail import Question
from settlement.connector.settle.engines.store import EngineStore
from settlement.connector.settle.quantity import Quantity
from tests.support.engines import Office, engine_of, is_done, offices, payment_of
from tests.support.evm_chain import TARGET, FakeChain, Transaction
from tests.support.patience import PATIENCE_S
from tests.support.settling import Death, Killed

SECRETS = {"one": b"\x01" * 32, "other": b"\x02" * 32}
ADDRESSES = {name: bytes.fromhex(Account.from_key(secret).address[2:]) for name, secret in SECRETS.items()}
TOKEN = TokenRail("eip155:31337", TARGET, 6)
POLICY = SenderPolicy(FeePolicy(), poll_seconds=0.002, tend_seconds=0.002, resend_after_seconds=0.01)


def moved(tx: Transaction) -> tuple[bytes, int]:
    """Receiver and amount of a transfer."""
    return tx.data[16:36], int.from_bytes(tx.data[36:68], "big")


@dataclass
class TokenChain(FakeChain):
    """A chain whose only contract is a token. `is_mute`: it moves nothing and says so to nobody, as some do."""

    is_mute: bool = False

    def _receipt(self, tx_hash: bytes) -> Receipt | None:
        found = super()._receipt(tx_hash)
        tx = next((tx for block in self.mined for tx in block if tx.hash == tx_hash), None)
        if found is None or tx is None or not found.succeeded or self.is_mute or tx.to != TARGET:
            return found
        receiver, amount = moved(tx)
        topics = (EVENT.topic, bytes(12) + tx.account, bytes(12) + receiver)
        log = Log(TARGET, topics, amount.to_bytes(32, "big"), found.block, tx_hash, 0)
        return Receipt(tx_hash, found.block, True, found.gas_used, found.gas_price, None, (log,))

    def transfers(self) -> list[tuple[bytes, bytes, int]]:
        """All that was ever moved: sender, receiver, amount."""
        return [
            (tx.account, *moved(tx))
            for block in self.mined
            for tx in block
            if tx.to == TARGET and tx.data not in self._refused
        ]


@dataclass
class ChainFeed:
    """The transfers to one account in the chain's final blocks."""

    chain: TokenChain
    receiver: bytes

    async def read(self, cursor: BlockRef | None) -> Batch[Transfer] | None:
        """See `TransferFeed`."""
        number = 0 if cursor is None else cursor.number + 1
        if number > self.chain.final:
            return None
        found = tuple(
            Transfer(tx.account, *moved(tx), tx.hash, 0) for tx in self.chain.mined[number] if tx.to == TARGET
        )
        mine = tuple(one for one in found if one.receiver == self.receiver)
        return Batch(BlockHeight(number), BlockRef(BlockHeight(number), number.to_bytes(32, "big")), mine)


@dataclass
class ChainEnds:
    """What the chain's final blocks have of transactions. `lie`: raised instead."""

    chain: TokenChain
    lie: Exception | None = None

    async def of(self, account: bytes, nonce: int, hashes: Sequence[bytes]) -> End:
        """See `FinalEnds`."""
        if self.lie is not None:
            raise self.lie
        for number, block in enumerate(self.chain.mined[: self.chain.final + 1]):
            for tx in block:
                if tx.hash in hashes:
                    receipt = self.chain._receipt(tx.hash)
                    assert receipt is not None
                    place = BlockRef(BlockHeight(number), receipt.block.hash)
                    return Mined(tx.hash, place, receipt.succeeded, receipt.logs)
        return GONE if self.chain.count(account, self.chain.final) > nonce else None


class Dying:
    """What a process calls: each call is an event before it, and one after it."""

    def __init__(self, inner: Any, death: Death) -> None:
        self._inner = inner
        self._death = death

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def call(*arguments: Any) -> Any:
            self._death.event()
            result = await method(*arguments)
            if name in {"record", "send_raw", "finish"}:
                self._death.event()
            return result

        return call


@dataclass
class World:
    """A chain, and an engine on each side with its journal."""

    folder: Path
    chain: TokenChain = field(default_factory=lambda: TokenChain(automine=True))
    now: int = 1_000_000
    journals: dict[str, VolatileJournal] = field(default_factory=lambda: {name: VolatileJournal() for name in SECRETS})
    offices: dict[str, Office] = field(default_factory=lambda: dict(zip(("one", "other"), offices(), strict=True)))
    databases: dict[str, Database] = field(default_factory=dict)
    senders: list[TxSender] = field(default_factory=list)
    opened: list[Database] = field(default_factory=list)
    ends: ChainEnds = field(init=False)

    def __post_init__(self) -> None:
        self.ends = ChainEnds(self.chain)

    async def start(self, name: str, death: Death | None = None) -> Engine:
        """A process of that side."""
        death = death or Death()
        journal = Dying(self.journals[name], death)
        sender = TxSender(Dying(self.chain, death), journal, SECRETS[name], 31_337, POLICY)
        await sender.start()
        self.senders.append(sender)
        feed = ChainFeed(self.chain, ADDRESSES[name])

        def rail(database: Database) -> EvmRail:
            return EvmRail(database, TOKEN, sender, journal, SECRETS[name], feed, self.ends, poll_seconds=0.002)

        url = f"sqlite:///{self.folder / name}.db"
        engine, database = await engine_of(self.offices[name], url, rail, lambda: UnixMs(self.now), death)
        self.databases[name] = database
        self.opened.append(database)
        return engine

    async def run(self, engines: list[Engine]) -> None:
        """Work until nothing is open, while blocks are made."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        watching = [asyncio.create_task(engine._rail.watch(lambda: None)) for engine in engines]
        try:
            while asyncio.get_running_loop().time() < deadline:
                for engine in engines:
                    await engine.round()
                await asyncio.sleep(0.003)
                for task in watching:
                    if task.done():
                        task.result()
                idle = [await is_done(database) for database in self.databases.values()]
                if all(idle) and await self._has_read_all():
                    return
                self.now += 3_000
                self.chain.mine()
            raise AssertionError("it does not end")
        finally:
            await asyncio.sleep(0.01)  # whoever writes has written
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def _has_read_all(self) -> bool:
        for database in self.databases.values():
            async with database.view() as view:
                cursor = await EngineStore(view.connection).cursor("evm")
            if cursor is None or int.from_bytes(cursor[:8], "big") < self.chain.final:
                return False
        return True

    async def close(self) -> None:
        for sender in self.senders:
            await sender.close()
        for database in self.opened:
            await database.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.close()


async def test_a_request_is_paid_by_one_transfer_and_credited_at_finality(world: World):
    """However often a payment is asked for, the chain sees one transfer, and the peer credits it to its sender."""
    one, other = await world.start("one"), await world.start("other")
    for _ in range(3):
        await one.settle("other", Quantity(1_500, 3), "key")
    await world.run([one, other])
    assert world.chain.transfers() == [(ADDRESSES["one"], ADDRESSES["other"], 1_500_000)]
    assert list(world.offices["other"].heard.values()) == [("one", Quantity(1_500_000, 6))]


@pytest.mark.parametrize(("victim", "step"), [("one", 3), ("other", 2)])
async def test_a_crash_anywhere_pays_and_credits_once(world: World, victim: str, step: int):
    """Either engine may die at any commit, record, broadcast or message: the chain sees one transfer in the end."""
    for at in range(0, 300, step):
        world.offices["other"].heard.clear()
        before = len(world.chain.transfers())
        death = Death(at)
        engines = {name: await world.start(name) for name in SECRETS if name != victim}
        with contextlib.suppress(Killed):
            engines[victim] = await world.start(victim, death)
            await engines["one"].settle("other", Quantity(5, 6), f"key{at}")
            await world.run(list(engines.values()))
        for sender in world.senders:
            await sender.close()
        engines = {name: await world.start(name) for name in SECRETS}
        await engines["one"].settle("other", Quantity(5, 6), f"key{at}")
        await world.run(list(engines.values()))
        assert len(world.chain.transfers()) == before + 1, f"{victim} killed at {at}"
        assert world.offices["other"].total == 5, f"{victim} killed at {at}"
        for sender in world.senders:
            await sender.close()
        if not death.is_dead:
            assert at > 8
            return
    raise AssertionError("an engine has fewer events than this")


async def test_a_transfer_that_reverts_is_tried_again_only_when_its_nonce_is_used_up(world: World):
    """A reverted transfer moved nothing: once that is final another one is made, with another nonce."""
    one, _ = await world.start("one"), await world.start("other")
    data = TRANSFER.encode(ADDRESSES["other"], 5)
    world.chain.refused_when_mined.add(data)
    await one.settle("other", Quantity(5, 6), "key")
    for _ in range(40):
        await one.round()
        world.chain.mine()
        world.now += 3_000
        payment = await payment_of(world.databases["one"], "other", "key")
        assert payment is not None
        if payment.attempt:
            break
    assert payment.attempt == 1
    reverted = {tx.hash for block in world.chain.mined for tx in block if tx.data == data}
    assert len(reverted) == 1


async def test_what_endpoints_disagree_on_is_neither_paid_nor_paid_again(world: World):
    """While one endpoint says otherwise, a payment that the sender holds for mined stays open, and is sent once."""
    world.ends.lie = EndpointsDisagree("where nonce 0 was used", {"one": "nowhere", "other": "in block 7"})
    one, other = await world.start("one"), await world.start("other")
    await one.settle("other", Quantity(5, 6), "key")
    for _ in range(20):
        await one.round()
        await asyncio.sleep(0.003)
        world.chain.mine()
        world.now += 60_000
    payment = await payment_of(world.databases["one"], "other", "key")
    assert payment is not None
    assert (payment.stage, payment.attempt) == (PaymentStage.SENDING, 0)
    world.ends.lie = None
    await world.run([one, other])
    assert len(world.chain.transfers()) == 1


async def test_a_nonce_that_somebody_else_used_is_for_a_person_to_look_at(world: World):
    """Where the account's nonce went to a stranger's transaction, nothing is sent again by itself."""
    world.chain.foreign(SECRETS["one"], 0)
    one, _ = await world.start("one"), await world.start("other")
    world.chain.automine = False
    await one.settle("other", Quantity(5, 6), "key")
    await one.round()
    world.chain.pool.clear()
    world.chain.foreign(SECRETS["one"], 1)
    for _ in range(40):
        world.chain.mine()
        await one.round()
        await asyncio.sleep(0.003)
        world.now += 60_000
        payment = await payment_of(world.databases["one"], "other", "key")
        assert payment is not None
        if payment.stage is PaymentStage.STUCK:
            break
    assert payment.stage is PaymentStage.STUCK
    assert world.chain.transfers() == []


async def test_a_token_that_refuses_beforehand_is_asked_later(world: World):
    """What the simulation refuses costs neither nonce nor attempt, and is paid when the token allows it."""
    one, other = await world.start("one"), await world.start("other")
    data = TRANSFER.encode(ADDRESSES["other"], 5)
    world.chain.refused_data.add(data)
    await one.settle("other", Quantity(5, 6), "key")
    for _ in range(3):
        await one.round()
        world.now += 60_000
    assert world.chain.broadcasts == []
    world.chain.refused_data.clear()
    await world.run([one, other])
    assert len(world.chain.transfers()) == 1


async def test_a_success_that_moved_nothing_is_for_a_person_to_look_at(world: World):
    """A token that reports success without a transfer makes the payment stuck, and nothing is sent again."""
    world.chain.is_mute = True
    one, other = await world.start("one"), await world.start("other")
    await one.settle("other", Quantity(5, 6), "key")
    await world.run([one, other])
    payment = await payment_of(world.databases["one"], "other", "key")
    assert payment is not None
    assert payment.stage is PaymentStage.STUCK
    assert len(world.chain.broadcasts) == 1


async def test_money_from_a_stranger_waits_until_somebody_shows_it_was_his(world: World):
    """A transfer from an unknown account is credited to nobody, until a peer proves that it pays from there."""
    one, other = await world.start("one"), await world.start("other")
    await one._rail._sender.send(_call(ADDRESSES["other"], 77), "by hand")  # type: ignore[attr-defined]
    await world.run([one, other])
    assert world.offices["other"].heard == {}
    await one.settle("other", Quantity(5, 6), "key")  # the engines meet
    await world.run([one, other])
    assert world.offices["other"].total == 82


async def test_nobody_claims_the_account_that_another_one_pays_from(world: World):
    """A claim needs the key's signature, for this payee and asset; and one account cannot have two owners."""
    other = await world.start("other")
    await other.open_account("thief")
    good = proof_of_payer(SECRETS["one"], TOKEN.asset, ADDRESSES["one"], ADDRESSES["other"])
    claim = Question("payFrom", TOKEN.asset, address=text_of(ADDRESSES["one"]), proof=good.hex())
    await other.message("one", msgspec.json.encode(claim))
    await other.message("one", msgspec.json.encode(claim))
    forged = {
        "address": claim,
        "proof": Question("payFrom", TOKEN.asset, address=text_of(b"\x09" * 20), proof=good.hex()),
    }
    elsewhere = proof_of_payer(SECRETS["one"], TOKEN.asset, ADDRESSES["one"], b"\x09" * 20)
    for field_name, question in forged.items():
        with pytest.raises(BadInput) as refusal:
            await other.message("thief", msgspec.json.encode(question))
        assert refusal.value.field == field_name
    for proof in (elsewhere.hex(), "", "zz", "00" * 65):
        with pytest.raises(BadInput):
            question = Question("payFrom", TOKEN.asset, address=text_of(ADDRESSES["one"]), proof=proof)
            await other.message("thief", msgspec.json.encode(question))


def _call(receiver: bytes, amount: int) -> Any:
    from adapters.evm.types import Call

    return Call(TARGET, TRANSFER.encode(receiver, amount), TRANSFER.label)
