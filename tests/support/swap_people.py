"""People who swap on real nodes: each with a wallet, a folder and an engine of their own; and a board between them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from adapters.bitcoin.hd_keys import new_mnemonic
from adapters.evm.escrow.deploy import deploy_escrow
from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import VolatileJournal
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.native.eip712 import account_of_secret
from api.board.service import serve_board
from api.board.tables import SCHEMA as BOARD_SCHEMA
from foundation.database import Database
from foundation.quantities import BlockHeight, Satoshi, TokenUnits, UnixMs, Wei
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind, Wallet
from settlement.swap.engine.runtime import Engine, open_engine, wall_clock
from settlement.swap.engine.settings import TraderSettings, load_settings
from settlement.swap.engine.trading import Draft
from settlement.swap.machine.changes import OwnerAsked, Wish
from settlement.swap.machine.states import Outcome
from settlement.swap.offers import Offer, SignedOffer
from settlement.swap.store.store import SwapRow, SwapStore, TakingState
from settlement.swap.terms import Mode
from settlement.swap.wallet.secrets import TraderKeys
from tests.support.patience import eventually
from tests.support.swap_room import roomy

QUICK = SenderPolicy(poll_seconds=0.02, tend_seconds=0.2)
ETHER = 10**18
COIN = 100_000_000


def with_room(settings: TraderSettings) -> TraderSettings:
    """Time-outs that a slow machine does not reach in the middle of a swap."""
    return replace(settings, conditions=roomy(settings.conditions))


@dataclass
class Person:
    """A trader. Fields: name; folder; keys; wallet (of the bitcoin node); place (URL of the mailboxes); engine (while
    it works); clock; tune (what it has otherwise than its swap.toml says)."""

    name: str
    folder: Path
    keys: TraderKeys
    wallet: Wallet
    place: str
    engine: Engine | None = None
    clock: Callable[[], UnixMs] = wall_clock
    tune: Callable[[TraderSettings], TraderSettings] = with_room

    def __post_init__(self) -> None:
        self.keys = self.keys.at(self.settings.realm)

    @property
    def settings(self) -> TraderSettings:
        """Of the folder."""
        return self.tune(load_settings(self.folder))

    @asynccontextmanager
    async def at_work(self, *, runs: bool = True) -> AsyncIterator[Engine]:
        """The engine, running until the block ends; or opened alone."""
        async with open_engine(self.settings, self.keys, clock=self.clock, sender=QUICK) as engine:
            self.engine = engine
            try:
                if not runs:
                    yield engine
                    return
                async with self.running(engine):
                    yield engine
            finally:
                self.engine = None

    @asynccontextmanager
    async def running(self, engine: Engine) -> AsyncIterator[None]:
        """An engine's loops, until the block ends. Raises what ended them before."""
        task = asyncio.create_task(engine.run())
        try:
            yield
        finally:
            task.cancel()
            (ended_by,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(ended_by, BaseException) and not isinstance(ended_by, asyncio.CancelledError):
                raise ended_by

    async def offer(self, engine: Engine, *, gives_bitcoin: bool, mode: Mode = Mode.HASH) -> SignedOffer:
        """One bitcoin against twenty ether."""
        draft = Draft(gives_bitcoin, Satoshi(COIN), TokenUnits(20 * ETHER), mode, 600, self.place)
        return (await engine.trading.offer(draft, template(self.settings))).signed


def template(settings: TraderSettings, asset: bytes = bytes(20)) -> Offer:
    """An offer's chains and contract, from the settings."""
    return Offer(
        maker=b"\x02" * 32,
        letters=bytes(32),
        place="http://127.0.0.1:1",
        mode=Mode.HASH,
        gives_bitcoin=True,
        bitcoin_chain=settings.bitcoin_chain,
        satoshi=Satoshi(COIN),
        bitcoin_confirmations=1,
        evm_chain=settings.evm_chain,
        escrow=settings.site.escrow,
        asset=asset,
        account=b"\x01" * 20,
        amount=TokenUnits(1),
        evm_confirmations=1,
        made_at=1,
        valid_until=2,
        salt=bytes(16),
    )


@dataclass
class Town:
    """Two people, a board, and chains. Fields: alice, bob; bitcoind; anvil; place (of the board)."""

    alice: Person
    bob: Person
    bitcoind: Bitcoind
    anvil: Anvil
    place: str

    async def mine(self, blocks: int = 1) -> None:
        """A block on each chain."""
        await self.bitcoind.mine(blocks)
        await self.anvil.mine(1)


SETTINGS = """
[bitcoin]
network = "regtest"
url = "{bitcoin}"
wallet = "{wallet}"
user = "{user}"
password = "{password}"
zmq = "{zmq}"

[evm]
chain = "eip155:{chain}"
genesis = "0x{genesis}"
urls = ["{evm}"]
escrow = "0x{escrow}"
start = {start}
poll_seconds = 0.05

[letters]
board = "{board}"
"""


@asynccontextmanager
async def town(
    folder: Path, bitcoind: Bitcoind, anvil: Anvil, *, satoshi: int = 3 * COIN, ether: int = 100
) -> AsyncIterator[Town]:
    """A new Escrow, and two people with 3 BTC and 100 ETH each, or as much as is said."""
    deployer = secrets.token_bytes(32)
    await anvil.faucet("0x" + account_of_secret(deployer).hex(), Wei(10**20))
    async with EvmRpc(anvil.url) as rpc, TxSender(rpc, VolatileJournal(), deployer, anvil.chain_id, QUICK) as sender:
        escrow, start = await deploy_escrow(sender)
        genesis = await rpc.block(BlockHeight(0))
        assert genesis is not None
    url = f"sqlite:///{folder / 'board.db'}"
    async with await Database.open(url, BOARD_SCHEMA) as database, serve_board(database) as place:

        async def person(name: str) -> Person:
            keys = TraderKeys(new_mnemonic(secrets.token_bytes(32)))
            home = folder / name
            home.mkdir(parents=True)
            wallet = await bitcoind.wallet(f"{name}-{secrets.token_hex(4)}", Satoshi(satoshi))
            await anvil.faucet("0x" + keys.account.hex(), Wei(ether * ETHER))
            text = SETTINGS.format(
                bitcoin=bitcoind.url,
                wallet=wallet.name,
                user=bitcoind.user,
                password=bitcoind.password,
                zmq=bitcoind.zmq_hashblock,
                chain=anvil.chain_id,
                genesis=genesis.hash.hex(),
                evm=anvil.url,
                escrow=escrow.hex(),
                start=start,
                board=place,
            )
            (home / "swap.toml").write_text(text)
            return Person(name, home, keys, wallet, place)

        yield Town(await person("alice"), await person("bob"), bitcoind, anvil, place)


async def agreed(engine: Engine, offer: SignedOffer) -> bytes:
    """The swap's id, once the taker has the maker's terms."""

    async def look() -> bytes | None:
        async with engine.office.database.view() as view:
            taking = await SwapStore(view.connection).taking(offer.offer.offer_id)
        assert taking is not None
        assert taking.state is not TakingState.REFUSED, taking.problem
        return taking.swap_id

    return await eventually(look, "the offer is accepted")


async def redeem(engine: Engine, swap_id: bytes) -> None:
    """Its owner says that it may claim at once."""
    await engine.office.apply(swap_id, [OwnerAsked(Wish.REDEEM)])


async def ended(engine: Engine, swap_id: bytes, mine: Callable[[], Awaitable[None]] | None = None) -> SwapRow:
    """The swap once nothing is left to do; blocks come meanwhile where `mine` is given."""

    async def look() -> SwapRow | None:
        row = await engine.office.swap(swap_id)
        if mine is not None:
            await mine()
        return row if row is not None and row.state.outcome is not None else None

    return await eventually(look, "the swap has ended")


__all__ = ["Outcome", "Person", "Town", "agreed", "ended", "redeem", "town"]
