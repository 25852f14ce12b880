"""Three gateways, as their configurations have them, between a book of euros and bitcoin on a real node."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from foundation.quantities import UnixMs
from infra.ports import free_port
from settlement.books.store import Books
from settlement.books.tree import tree
from settlement.custody import changes as c
from settlement.custody import payer
from settlement.custody.engine import EngineStopped
from settlement.custody.states import State, is_open, stage_of
from settlement.custody.terms import PaymentId
from settlement.gateway.cards import write_card
from settlement.gateway.config import load_config
from settlement.gateway.dossiers import Dossier
from settlement.gateway.keys import Secrets
from settlement.gateway.process import Running, run_gateway
from settlement.ledgers.book.operator import BookOperator
from settlement.ledgers.book.service import BookService
from settlement.ledgers.book.types import AccountKind, Payment
from settlement.ledgers.protocol import AccountView, LedgerAccount, LedgerId
from settlement.quantities import PartyId, Units
from tests.support.bitcoin_holds import BitcoinWorld
from tests.support.patience import PATIENCE_S
from tests.support.settlement_book import BOOK_SCHEMA, ISSUER, OPERATOR_KEY, book_config, transfer_id
from tests.support.settlement_gateway import BUYER, EURO, EURO_LEDGER, FUNDS, GOODS, POLICY, SELLER, A, B, C

BITCOIN: Final = LedgerId("bitcoin")
COINS: Final = 10_000_000
"""Satoshi that the clearing bank begins with."""
_RULES: Final = 'format = 1\nname = "test"\nzone = "UTC"\n\n[assets]\nEUR = 2\nBTC = 8\n'


class BitcoinTown:
    """A pays euros from a book, B is paid on bitcoin, C clears; or the other way round. Use as `async with`."""

    def __init__(self, folder: Path, world: BitcoinWorld, *, from_bitcoin: bool = False) -> None:
        self.folder = folder
        self.world = world
        self.source, self.target = (BITCOIN, EURO_LEDGER) if from_bitcoin else (EURO_LEDGER, BITCOIN)
        self._banker, self._holder = (B, A) if from_bitcoin else (A, B)
        self.running: dict[PartyId, Running] = {}
        self.stacks: dict[PartyId, AsyncExitStack] = {}
        self._seeds = {party: secrets.token_bytes(32) for party in (A, B, C)}
        self._ports = {party: free_port() for party in (A, B, C)}
        self._coins: dict[PartyId, bytes] = {}
        self._keys: dict[str, str] = {}
        self._stack = AsyncExitStack()
        self.operator: BookOperator

    async def __aenter__(self) -> Self:
        config = book_config(f"sqlite:///{self.folder / 'book.db'}", ledger_id=EURO_LEDGER)
        service = await self._stack.enter_async_context(BookService(config, self.world.clock, BOOK_SCHEMA))
        self.operator = await self._stack.enter_async_context(BookOperator(EURO_LEDGER, service.url, OPERATOR_KEY))
        await self.operator.open_account(ISSUER, EURO, "operator", AccountKind.ISSUER)
        for holder in (self._banker, C):
            await self.operator.open_account(holder, EURO, holder)
            self._keys[holder] = await self.operator.make_key(f"{holder}-key", holder)
            await self.operator.pay([Payment(transfer_id(), ISSUER, LedgerAccount(holder), Units(FUNDS))])
        for party in (self._holder, C):
            self._coins[party] = await self.world.person(0 if party == B else COINS)
        for party in (A, B, C):
            self._write(party, service.url)
        for party in (C, B, A):
            await self.start(party)
        return self

    async def __aexit__(self, *exception: object) -> None:
        for party in tuple(self.stacks):
            await self.stop(party)
        await self._stack.aclose()

    async def start(self, party: PartyId) -> None:
        """Run a bank's gateway out of its folder."""
        stack = self.stacks[party] = AsyncExitStack()
        config = load_config(self.folder / party / "gateway.toml")
        self.running[party] = await stack.enter_async_context(run_gateway(config, self._seeds[party], self.world.clock))

    async def stop(self, party: PartyId) -> None:
        """Stop a bank's gateway; its database stays."""
        await self.stacks.pop(party).aclose()
        del self.running[party]

    async def pay(self, amount: int) -> PaymentId:
        """Bank A pays bank B so many base units of what B is paid in."""
        payment = PaymentId(os.urandom(32))
        order = payer.Order(
            payment_id=payment,
            payer=A,
            clearer=C,
            payee=B,
            target_ledger=self.target,
            target_amount=amount,
            source_ledger=self.source,
            source_account=self.running[A].parts.ledgers[self.source].own,
            source_max=FUNDS,
            particulars=GOODS,
            answer_by=self.world.clock() + 600_000,
            hold_ms_max=self.running[A].parts.margins.hold_ms_max,
        )
        await self.running[A].gateway.pay(order, Dossier(own=BUYER.account, other=SELLER.account))
        return payment

    async def stages(self, payment: PaymentId) -> dict[PartyId, str]:
        """How the payment has come to stand at each bank; once it has ended for all."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                states = {party: await self.state(party, payment) for party in self.running}
                if all(state is not None and not is_open(state) for state in states.values()):
                    return {party: stage_of(state) for party, state in states.items() if state is not None}
                await asyncio.sleep(0.05)

    async def stage(self, party: PartyId, payment: PaymentId, wanted: str) -> State:
        """Wait until it has come so far at a party."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                state = await self.state(party, payment)
                if state is not None and stage_of(state) == wanted:
                    return state
                await asyncio.sleep(0.02)

    async def state(self, party: PartyId, payment: PaymentId) -> State | None:
        """Where it stands."""
        return await self.running[party].gateway.state(payment)

    async def late(self, until_s: int) -> None:
        """Move the clocks of the banks, and let their alarm clocks ring."""
        self.world.now_s = until_s
        for running in self.running.values():
            with contextlib.suppress(EngineStopped):
                await running.gateway.change(PaymentId(bytes(32)), c.Tick())

    async def broadcast(self) -> None:
        """Wait for a transaction."""
        async with asyncio.timeout(PATIENCE_S):
            while not await self.world.node.rpc.call("getrawmempool"):
                await asyncio.sleep(0.05)

    async def account(self, party: PartyId) -> AccountView:
        """What a bank has on bitcoin."""
        return await self.running[party].parts.ledgers[BITCOIN].account()

    async def booked(self, party: PartyId) -> int:
        """What a bank's books say that it has on bitcoin, once they have what its ledger has."""
        parts: Any = self.running[party].parts
        accounts, wanted = parts.books.accounts[BITCOIN], (await self.account(party)).balance
        async with asyncio.timeout(PATIENCE_S):
            while True:
                async with parts.database.view() as view:
                    balances = await Books(view.connection).balances()
                found = tree(party, balances).find(accounts.group)
                booked = 0 if found is None else found.sums.get(accounts.nostro.asset, 0)
                if booked == wanted:
                    return int(booked)
                await asyncio.sleep(0.1)

    def _write(self, party: PartyId, book: str) -> None:
        folder = self.folder / party
        for name in ("cards", "customers"):
            (folder / name).mkdir(parents=True)
        for other, seed in self._seeds.items():
            card = Secrets.derive(other, seed).card(self._url(other), UnixMs(self.world.clock() - 3_600_000))
            write_card(folder / "cards" / f"{other}.json", card)
        for customer, bank in ((BUYER, A), (SELLER, B)):
            if bank == party:
                text = {"account": customer.account, "country": customer.country, "person": customer.person}
                (folder / "customers" / "one.json").write_bytes(msgspec.json.encode(text))
        (folder / "rules.toml").write_text(_RULES)
        (folder / "policy.json").write_bytes(POLICY)
        (folder / "gateway.toml").write_text(self._config(party, book, folder))

    def _config(self, party: PartyId, book: str, folder: Path) -> str:
        text = f'[gateway]\nparty = "{party}"\naddress = "g.{party}"\nlisten = "127.0.0.1:{self._ports[party]}"\n'
        if party in self._keys:
            text += f'[ledgers.{EURO_LEDGER}]\nkind = "book"\nasset = "EUR"\nscale = 2\nurl = "{book}"\n'
            text += f'account = "{party}"\napi_key = "{self._keys[party]}"\n'
        if party in self._coins:
            (folder / "coins.key").write_text(self._coins[party].hex())
            node, config = self.world.node, self.world.config
            text += f'[ledgers.{BITCOIN}]\nkind = "bitcoin"\nasset = "BTC"\nscale = 8\nnetwork = "regtest"\n'
            text += f"start_height = {config.start_height}\nconfirmations = {config.confirmations}\n"
            text += 'settle_seconds = 600\nanswer_seconds = 60\npoll_ms = 100\nkey_file = "coins.key"\n'
            for _ in range(2):  # two connections stand for two nodes, which have to agree
                text += f'[[ledgers.{BITCOIN}.nodes]]\nurl = "{node.url}"\nuser = "{node.user}"\n'
                text += f'password = "{node.password}"\n'
        if party == B:
            text += f'[receiving]\nledger = "{self.target}"\n'
        if party == C:
            text += f'[[clearing.corridors]]\nsource = "{self.source}"\ntarget = "{self.target}"\n'
            text += '[clearing.rates]\nbackend = "static"\nprices = { EUR = "1.00", BTC = "50000.00" }\n'
        return text

    def _url(self, party: PartyId) -> str:
        return f"http://127.0.0.1:{self._ports[party]}"
