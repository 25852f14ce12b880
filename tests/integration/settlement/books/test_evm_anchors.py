"""Roots in the Anchors contract on a real EVM node."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from adapters.evm.endpoints import Endpoints
from adapters.evm.escrow.deploy import deploy_anchors
from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import TxJournal, VolatileJournal
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.native.eip712 import account_of_secret
from foundation.database import Database, Schema
from foundation.quantities import BlockHeight, Wei
from infra.anvil import Anvil
from registry.caip import evm_chain
from registry.chains import OWN_FINALITY, Chain
from settlement.books import tables
from settlement.books.anchoring import Anchoring
from settlement.books.batches import BatchText, Place
from settlement.books.evm_anchors import AnchorRefused, EvmAnchors, EvmRoots
from settlement.books.receipt_check import verify_receipt
from settlement.books.receipt_file import receipt_file
from settlement.books.receipt_store import ReceiptStore
from settlement.ledgers.evm import tables as evm_tables
from settlement.ledgers.evm.journal import DatabaseJournal
from tests.support.settlement_books import NOW, SIGNERS, A, id_of, receipt, registry

pytestmark = pytest.mark.integration
POLICY = SenderPolicy(poll_seconds=0.02, tend_seconds=0.2)
SCHEMA = Schema((tables.METADATA, evm_tables.METADATA))


@dataclass
class Yard:
    """A contract on a chain, and an account. Fields: chain; contract; start (its block); secret."""

    node: Anvil
    chain: Chain
    contract: bytes
    start: BlockHeight
    secret: bytes

    @property
    def place(self) -> Place:
        return Place(self.chain.caip2, self.contract, account_of_secret(self.secret))

    @asynccontextmanager
    async def anchors(self, journal: TxJournal) -> AsyncIterator[EvmAnchors]:
        """The account's anchors, as one process has them."""
        async with (
            Endpoints.at([self.node.url], self.chain) as endpoints,
            EvmRpc(self.node.url) as rpc,
            TxSender(rpc, journal, self.secret, self.node.chain_id, POLICY) as sender,
        ):
            yield EvmAnchors(endpoints, rpc, sender, self.contract, start=self.start, poll_seconds=0.02)

    def text(self, number: int, previous: bytes = bytes(32), **other: object) -> BatchText:
        text = BatchText(self.place, number, number, number, id_of(("root", number)), previous, NOW)
        return replace_text(text, **other)


def replace_text(text: BatchText, **other: object) -> BatchText:
    """The text with other fields."""
    return msgspec.structs.replace(text, **other)


@pytest.fixture
async def yard(anvil: Anvil) -> Yard:
    """A new contract, and a new account with gas."""
    secret = secrets.token_bytes(32)
    await anvil.faucet("0x" + account_of_secret(secret).hex(), Wei(10**19))
    async with EvmRpc(anvil.url) as rpc, TxSender(rpc, VolatileJournal(), secret, anvil.chain_id, POLICY) as sender:
        contract, start = await deploy_anchors(sender)
        genesis = await rpc.block(BlockHeight(0))
    assert genesis is not None
    chain = Chain.named(evm_chain(anvil.chain_id), genesis.hash, OWN_FINALITY)
    return Yard(anvil, chain, contract, start, secret)


async def test_root_is_anchored_once_whatever_is_forgotten(yard: Yard) -> None:
    """Asked again, by the same process, by one with the journal or by one without, a root stands where it stood."""
    journal = VolatileJournal()
    text = yard.text(1)
    async with yard.anchors(journal) as anchors:
        where = await anchors.anchor(text)
        assert await anchors.anchor(text) == where
    async with yard.anchors(journal) as anchors:
        assert await anchors.anchor(text) == where
        second = await anchors.anchor(yard.text(2, text.root))
    async with yard.anchors(VolatileJournal()) as anchors:
        assert await anchors.anchor(text) == where
        assert await anchors.anchor(yard.text(2, text.root)) == second
    async with Endpoints.at([yard.node.url], yard.chain) as endpoints:
        roots = EvmRoots(endpoints)
        assert await roots.root_at(yard.place, 1) == text.root
        assert await roots.root_at(yard.place, 3) is None


async def test_another_root_under_the_number_is_found_out(yard: Yard) -> None:
    """Where the chain has another root than the books under a number, the agent stops and names both."""
    async with yard.anchors(VolatileJournal()) as anchors:
        await anchors.anchor(yard.text(1))
        other = yard.text(1, root=id_of("other"))
    async with yard.anchors(VolatileJournal()) as anchors:
        with pytest.raises(AnchorRefused) as refusal:
            await anchors.anchor(other)
    assert (refusal.value.root, refusal.value.found) == (other.root, yard.text(1).root)


async def test_roots_of_other_contracts_and_chains_are_none(yard: Yard) -> None:
    """What is at another address, or on another chain, proves nothing."""
    async with Endpoints.at([yard.node.url], yard.chain) as endpoints:
        roots = EvmRoots(endpoints)
        assert await roots.root_at(Place("eip155:1", yard.contract, yard.place.authority), 1) is None
        assert await roots.root_at(Place(yard.chain.caip2, bytes(19) + b"\1", yard.place.authority), 1) is None


async def test_receipt_is_verified_against_the_chain(yard: Yard, tmp_path: Path) -> None:
    """From a closed payment's receipt to an auditor who asks the chain: everything holds."""
    async with await Database.open(f"sqlite:///{tmp_path / 'books.db'}", SCHEMA) as database:
        async with database.unit() as unit:
            await ReceiptStore(unit.connection).keep_many([receipt(label) for label in range(3)], NOW)
            await unit.commit()
        async with yard.anchors(DatabaseJournal(database, yard.chain.caip2)) as anchors:
            await Anchoring(database, anchors, SIGNERS[A], lambda: NOW, 1_000).advance()
        async with database.view() as view:
            file = await receipt_file(view, id_of(("payment", 1)), A, registry())
    trusted = {party: frozenset({signer.member.key}) for party, signer in SIGNERS.items()}
    async with Endpoints.at([yard.node.url], yard.chain) as endpoints:
        report = await verify_receipt(file, trusted, EvmRoots(endpoints))
    assert report.is_complete, report
