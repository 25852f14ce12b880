"""Banks as processes: a channel on a chain, one on a book, and a payment over the proxy between them, through kills."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters.evm.channels.deploy import deploy_channels
from adapters.evm.journal import VolatileJournal
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.native.eip712 import account_of_secret
from cli.channel_commands import (
    NotPaid,
    order_close,
    order_invoice,
    order_open,
    order_payment,
    shown,
    vouched,
)
from foundation.quantities import BlockHeight, Wei
from infra.anvil import Anvil
from infra.ports import free_port
from settlement.ledgers.book.client import BookClient
from settlement.quantities import PartyId
from tests.support.channel_processes import BankFolder, Command, channel_section
from tests.support.channels_chain import COIN, SENDING
from tests.support.patience import PATIENCE_S
from tests.support.settlement_book import LEDGER, Bank

pytestmark = pytest.mark.integration

MARGINS = "fee_units = 10\nhop_seconds = 20\nleast_seconds = 20\n"


@dataclass
class Banks:
    """Ann has a channel with the hub on a chain, Bob one with it on a book."""

    ann: BankFolder
    hub: BankFolder
    bob: BankFolder
    runs: dict[str, Command]
    bob_at_book: BookClient
    rpc: EvmRpc

    async def show(self, bank: BankFolder, name: str) -> dict[str, str]:
        """One channel as a bank sees it."""
        (found,) = await shown(bank.config, name)
        return found

    async def until(self, bank: BankFolder, name: str, field: str, value: str) -> None:
        """Wait until a bank sees a channel so: processes tell nobody here of what they store."""
        async with asyncio.timeout(PATIENCE_S):
            while (await self.show(bank, name))[field] != value:
                await asyncio.sleep(0.2)

    async def start(self, bank: BankFolder) -> None:
        """Start a bank, or start it again."""
        await self.runs[bank.party].start("channels run")


async def chain_section(node: Anvil, rpc: EvmRpc, *folders: BankFolder) -> str:
    """A new contract, and coin for banks; the ledger's section of a configuration."""
    founder = secrets.token_bytes(32)
    for account in (account_of_secret(founder), *(each.account for each in folders)):
        await node.faucet("0x" + account.hex(), Wei(10 * COIN))
    async with TxSender(rpc, VolatileJournal(), founder, node.chain_id, SENDING) as sender:
        contract, start = await deploy_channels(sender)
    genesis = await rpc.block(BlockHeight(0))
    assert genesis is not None
    return f"""
[ledgers.chain]
kind = "evm"
chain = "eip155:{node.chain_id}"
genesis = "{genesis.hash.hex()}"
contract = "0x{contract.hex()}"
start_block = {start}
urls = ["{node.url}"]
asset = "EUR"
scale = 2
settle_seconds = 10
poll_ms = 50
"""


async def court_command(folder: Path, book: Bank, *folders: BankFolder) -> tuple[Command, int]:
    """The adjudicator's configuration, and where it will listen."""
    await book.account("court")
    port = free_port()
    members = "".join(f'{each.party} = "0x{each.account.hex()}"\n' for each in folders)
    (folder / "court.toml").write_text(f"""
[adjudicator]
database = "sqlite:///court.db"
listen = "127.0.0.1:{port}"
[book]
ledger = "{LEDGER}"
url = "{book.url}"
account = "court"
api_key = "{book.keys["court"]}"
asset = "EUR"
scale = 2
[members]
{members}""")
    return Command("channel", "adjudicate", "--config", str(folder / "court.toml")), port


def book_section(book: Bank, port: int, account: str) -> str:
    """The ledger's section of a configuration."""
    return f"""
[ledgers.{LEDGER}]
kind = "book"
adjudicator = "http://127.0.0.1:{port}"
operator = "court"
url = "{book.url}"
account = "{account}"
api_key = "{book.keys[account]}"
asset = "EUR"
scale = 2
"""


@pytest.fixture
async def banks(tmp_path: Path) -> AsyncIterator[Banks]:
    """All of them, running, with no channel open yet."""
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(Anvil(tmp_path / "anvil", block_seconds=0.1))
        rpc = await stack.enter_async_context(EvmRpc(node.url))
        book = await stack.enter_async_context(Bank(f"sqlite:///{tmp_path}/book.db"))
        ann, hub, bob = (BankFolder(tmp_path, PartyId(name)) for name in ("ann", "hub", "bob"))
        bob_at_book = await book.account("bob", 500_000)
        await book.account("hub", 500_000)
        chain = await chain_section(node, rpc, ann, hub)
        court, port = await court_command(tmp_path, book, hub, bob)
        authority = tmp_path / "authority.key"
        authority.write_text(secrets.token_hex(32))
        said = vouched("hub", hub.account.hex(), authority, tmp_path / "hub.credential", 1)
        ann.extra = f'authority = "{said["authority"]}"'
        ann.sections = [
            chain,
            channel_section("hub", "chain", "a", hub, "1000.00", "1000.00"),
            f'[proxies.hub]\nchannel = "hub"\ncredential = "hub.credential"\n{MARGINS}',
        ]
        hub.sections = [
            chain,
            book_section(book, port, "hub"),
            channel_section("ann", "chain", "b", ann, "1000.00", "1000.00"),
            channel_section("bob", LEDGER, "a", bob, "500.00", "200.00", "bob"),
            f"[proxy]\n{MARGINS}",
        ]
        bob.sections = [
            book_section(book, port, "bob"),
            channel_section("hub", LEDGER, "b", hub, "200.00", "500.00", "hub"),
        ]
        runs = {each.party: each.write() for each in (ann, hub, bob)}
        for command in (court, *runs.values()):
            stack.push_async_callback(command.kill)
        await asyncio.gather(court.start("listens"), *(each.start("channels run") for each in runs.values()))
        yield Banks(ann, hub, bob, dict(runs), bob_at_book, rpc)


async def test_payment_goes_over_the_proxy_through_kills(banks: Banks) -> None:
    """Two channels are opened, paid in directly and over the hub; kill -9 in between loses and doubles nothing."""
    ann, hub, bob = banks.ann, banks.hub, banks.bob
    await asyncio.gather(
        order_open(ann.config, "hub", 60),
        order_open(hub.config, "ann", 60),
        order_open(hub.config, "bob", 60),
        order_open(bob.config, "hub", 60),
    )
    for bank, name in ((ann, "hub"), (hub, "ann"), (hub, "bob"), (bob, "hub")):
        await banks.until(bank, name, "phase", "open")
    assert (await order_payment(ann.config, "hub", "10.00", None, 30))["state"] == "paid"
    assert (await order_payment(bob.config, "hub", "5.00", None, 30))["state"] == "paid"
    with pytest.raises(NotPaid):
        await order_payment(bob.config, "hub", "200.00", None, 30)
    invoice = bob.folder / "invoice.json"
    await order_invoice(bob.config, "hub", "80.00", invoice, 10, 30)
    # The payee is gone: the hub holds the payer's money, and dies too. Whoever comes back goes on.
    await banks.runs["bob"].kill()
    paying = asyncio.create_task(order_payment(ann.config, "hub", None, invoice, 60))
    await banks.until(ann, "hub", "set_aside", "80.10")
    await banks.runs["hub"].kill()
    await banks.start(bob)
    await banks.start(hub)
    assert (await paying)["state"] == "paid"
    await banks.until(ann, "hub", "ours", "909.90")
    await banks.until(hub, "ann", "ours", "1090.10")
    await banks.until(hub, "bob", "ours", "425.00")
    await banks.until(bob, "hub", "ours", "275.00")
    # A second payment of the same invoice goes back.
    with pytest.raises(NotPaid):
        await order_payment(ann.config, "hub", None, invoice, 60)
    await banks.until(ann, "hub", "ours", "909.90")
    await asyncio.gather(order_close(ann.config, "hub", False, 30), order_close(bob.config, "hub", False, 30))
    for bank, name in ((ann, "hub"), (hub, "ann"), (hub, "bob"), (bob, "hub")):
        await banks.until(bank, name, "phase", "closed")
    assert (await banks.bob_at_book.account()).balance == 500_000 + 7_500
    assert await banks.rpc.balance(account_of_secret(ann.secret)) > 9 * COIN
