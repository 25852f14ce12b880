"""One swap between two people on nodes of the cases' own: who may stop at any order, lie, and let time pass."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from adapters.bitcoin.hd_keys import new_mnemonic
from api.board.service import serve_board
from api.board.tables import SCHEMA as BOARD_SCHEMA
from foundation.database import Database
from foundation.quantities import BlockHeight, Satoshi, TokenUnits, UnixMs, Wei
from settlement.swap.engine.hands.desk import Changes, Desk, NotNow
from settlement.swap.engine.performer import HANDS, Hand
from settlement.swap.engine.runtime import Engine
from settlement.swap.engine.settings import AssetName, TraderSettings
from settlement.swap.engine.trading import Draft
from settlement.swap.machine.effects import Effect
from settlement.swap.machine.states import Follower, Initiator, Outcome, Swap
from settlement.swap.offers import SignedOffer
from settlement.swap.store.store import SwapRow, SwapStore, Taking, TakingState
from settlement.swap.terms import Mode, Role
from settlement.swap.wallet.secrets import TraderKeys
from tests.support.evm_escrow import EscrowWorld
from tests.support.patience import eventually
from tests.support.swap_bitcoin import Person as WalletOwner
from tests.support.swap_bitcoin import SwapNode
from tests.support.swap_people import ETHER, SETTINGS, Person, template
from tests.support.swap_room import roomy

SATOSHI = Satoshi(10_000_000)
WEI = TokenUnits(2 * ETHER)
TOKENS = TokenUnits(5_000_000)
FEES_SATOSHI = 60_000
FEES_WEI = ETHER // 50
"""What either side may spend on fees and gas: more than it ever does, and far less than what is traded."""
NOTHING = (0, 0, 0)
"""What is gained where nothing but fees is lost: satoshi, wei, tokens."""
ENDS_WELL = (Outcome.SWAPPED, Outcome.SWAPPED)
_NEVER = 10**9
T = TypeVar("T")
AnyOrder = TypeVar("AnyOrder", bound=Effect)


class Clock:
    """What all machines show: the time of day, moved ahead."""

    def __init__(self) -> None:
        self.ahead_s = 0

    def __call__(self) -> UnixMs:
        return UnixMs(time.time_ns() // 1_000_000 + 1_000 * self.ahead_s)

    @property
    def seconds(self) -> int:
        """Since 1970."""
        return self() // 1000


@dataclass
class Chains:
    """Nodes that these cases reorganise and move in time, one Escrow and one token. `mining`: blocks come by
    themselves, where transactions wait for them."""

    bitcoin: SwapNode
    evm: EscrowWorld
    genesis: bytes
    clock: Clock = field(default_factory=Clock)
    mining: bool = True

    async def mine(self, blocks: int = 1) -> None:
        """Blocks on both chains."""
        await self.bitcoin.node.mine(blocks)
        await self.evm.node.mine(blocks)

    async def pass_time(self, until_s: int, *, blocks_are_empty: bool = False) -> None:
        """Move everybody's clock past a moment, and bitcoin's median time, and the EVM chain's.

        What waits for a block has one first where blocks come: nobody finds it late and takes it back.
        """
        if self.mining and await self.mempool():
            await self.bitcoin.node.mine()
        self.clock.ahead_s += max(0, until_s + 1 - self.clock.seconds)
        await self.evm.node.rpc.call("anvil_setTime", self.clock.seconds)
        await self.evm.node.mine(1)
        if blocks_are_empty:
            await self.bitcoin.node.rpc.call("setmocktime", self.clock.seconds)
            await self.bitcoin.empty_blocks(11)
        else:
            await self.bitcoin.pass_time(self.clock.seconds)

    async def mempool(self) -> list[str]:
        """Transactions that wait for a bitcoin block."""
        found = await self.bitcoin.node.rpc.call("getrawmempool")
        assert isinstance(found, list)
        return [str(one) for one in found]

    @asynccontextmanager
    async def miner(self) -> AsyncIterator[None]:
        """A block whenever a bitcoin transaction waits for one, until the context ends."""

        async def dig() -> None:
            while True:
                if self.mining and await self.mempool():
                    await self.bitcoin.node.mine()
                await asyncio.sleep(0.1)

        task = asyncio.create_task(dig())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class Hands(dict[type[Any], Hand]):
    """`performer.HANDS` where somebody's own hands may stand in for those of an order."""

    def __init__(self) -> None:
        self.others: dict[tuple[int, type[Any]], Hand] = {}
        super().__init__({kind: self._chosen(kind, hand) for kind, hand in HANDS.items()})

    def _chosen(self, kind: type[Any], hand: Hand) -> Hand:
        async def carry_out(desk: Desk, row: SwapRow, order: Any) -> Changes:
            return await self.others.get((id(desk), kind), hand)(desk, row, order)

        return carry_out


@dataclass
class Side:
    """One of the two in a case. Fields: person; owner (of the wallet); hands (its own, by kind of order); engine,
    stack (while it works); at_first (satoshi, wei and tokens)."""

    person: Person
    owner: WalletOwner
    case: Case
    hands: dict[type[Any], Hand] = field(default_factory=dict)
    engine: Engine | None = None
    stack: AsyncExitStack | None = None
    at_first: tuple[int, int, int] = (0, 0, 0)

    async def work(self, *, runs: bool = True) -> Engine:
        """Open the engine, and let it run."""
        assert self.stack is None
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(self.person.at_work(runs=False))
            for kind, hand in self.hands.items():
                self.case.hands.others[id(engine.desk), kind] = hand
            if runs:
                await stack.enter_async_context(self.person.running(engine))
            self.engine, self.stack = engine, stack.pop_all()
        return engine

    async def vanish(self) -> None:
        """End its process. What it has in its database stays."""
        stack, self.stack = self.stack, None
        if stack is not None:
            await stack.aclose()

    async def return_(self) -> None:
        """Come back, an honest one."""
        self.hands.clear()
        self.case.hands.others.clear()
        await self.work()

    def vanishes_at(self, kind: type[Any]) -> asyncio.Event:
        """Never carry out an order of this kind. The event: it would have been time."""
        reached = asyncio.Event()

        async def nothing(desk: Desk, row: SwapRow, order: Any) -> Changes:
            reached.set()
            raise NotNow("it has stopped", _NEVER)

        self.hands[kind] = nothing
        return reached

    async def row(self) -> SwapRow:
        """Its swap."""
        assert self.engine is not None
        found = await self.engine.office.swap(self.case.swap_id)
        assert found is not None
        return found

    async def is_done(self) -> bool:
        """Whether nothing is left to do in its swap."""
        return not (await self.row()).is_open

    async def state(self, holds: Callable[[Any], object], what: str = "") -> Swap:
        """Its state once something holds of it."""

        async def look() -> Swap | None:
            state = (await self.row()).state
            return state if holds(state) else None

        return await eventually(look, what or "the state")

    async def ended(self) -> Outcome:
        """How the swap ended for it, once nothing is left to do."""
        state = await self.state(lambda state: state.outcome is not None, f"{self.person.name}'s swap has ended")
        assert state.outcome is not None
        return state.outcome

    async def wealth(self) -> tuple[int, int, int]:
        """Satoshi, wei and tokens that it has, in blocks."""
        world, account = self.case.chains.evm, self.person.keys.account
        wei = await world.rpc.balance(account)
        return int(await self.owner.node_wallet.balance()), int(wei), await self.case.tokens_of(account)

    async def gained(self) -> tuple[int, int, int]:
        """What it has more than at first, whatever it paid in fees: zero where that is all that it lost."""
        if await self.case.chains.mempool():
            await self.case.chains.bitcoin.node.mine()
        now = await self.wealth()
        satoshi, wei, tokens = (one - before for one, before in zip(now, self.at_first, strict=True))
        return (
            0 if -FEES_SATOSHI <= satoshi <= 0 else satoshi,
            0 if -FEES_WEI <= wei <= 0 else wei,
            tokens,
        )


@dataclass
class Case:
    """One swap. Fields: chains; hands; initiator, follower; mode; maker; place (of the board); swap_id."""

    chains: Chains
    hands: Hands
    mode: Mode
    place: str = ""
    asset: bytes = bytes(20)
    swap_id: bytes = b""
    sides: dict[Role, Side] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def initiator(self) -> Side:
        """Gives the EVM asset."""
        return self.sides[Role.INITIATOR]

    @property
    def follower(self) -> Side:
        """Gives bitcoin."""
        return self.sides[Role.FOLLOWER]

    @property
    def amount(self) -> TokenUnits:
        """Of the EVM asset."""
        return TOKENS if any(self.asset) else WEI

    async def offered(self, maker: Side) -> SignedOffer:
        """The maker's offer of what it has to give."""
        assert maker.engine is not None
        draft = Draft(maker is self.follower, SATOSHI, self.amount, self.mode, 600, self.place)
        settings = maker.person.settings
        return (await maker.engine.trading.offer(draft, template(settings, self.asset))).signed

    async def taken(self, offer: SignedOffer, taker: Side) -> Taking:
        """What the maker said, in the end."""
        engine = taker.engine
        assert engine is not None
        await engine.trading.take(offer)

        async def look() -> Taking | None:
            async with engine.office.database.view() as view:
                found = await SwapStore(view.connection).taking(offer.offer.offer_id)
            assert found is not None
            return None if found.state is TakingState.ASKED else found

        return await eventually(look, "the maker has answered")

    async def agree(self, maker: Role = Role.FOLLOWER) -> None:
        """Both come to work, one makes an offer, the other takes it."""
        for side in self.sides.values():
            await side.work()
        made = self.sides[maker]
        taking = await self.taken(await self.offered(made), self.sides[maker.other])
        assert taking.swap_id is not None, taking.problem
        self.swap_id = taking.swap_id

    async def outcomes(self) -> tuple[Outcome, Outcome]:
        """Of the initiator and of the follower, at the end."""
        return await self.initiator.ended(), await self.follower.ended()

    async def gains(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """What the initiator and the follower have more than at first, in satoshi, wei and tokens."""
        return await self.initiator.gained(), await self.follower.gained()

    async def all_got(self) -> None:
        """Make sure that both have what was agreed, less fees; it is of the chain's coin."""
        (got, sent, _), (gave, received, _) = await self.gains()
        assert 0 < SATOSHI - got < 10_000
        assert 0 <= -gave - SATOSHI < 10_000
        assert 0 < -sent - WEI < FEES_WEI
        assert 0 < WEI - received < FEES_WEI

    async def pass_t2(self, *, blocks_are_empty: bool = False) -> None:
        """The follower's refund is valid from here on; before the last of the blocks that pass the time, so that one of
        them may have it already, unless they are empty."""
        await self.chains.pass_time((await self._terms()).bitcoin.expires_at, blocks_are_empty=blocks_are_empty)

    async def pass_t1(self) -> None:
        """The lock can be refunded from here on."""
        await self.chains.pass_time((await self._terms()).evm.expires_at)

    async def _terms(self) -> Any:
        side = next(side for side in self.sides.values() if side.stack is not None)
        return (await side.row()).state.terms

    async def tokens_of(self, account: bytes) -> int:
        """What somebody has of the token."""
        world = self.chains.evm
        data = "0x70a08231" + account.rjust(32, b"\0").hex()
        call = {"to": "0x" + world.config.token.hex(), "data": data}
        return int(str(await world.node.rpc.call("eth_call", call, "latest")), 16)


@asynccontextmanager
async def open_case(
    chains: Chains,
    folder: Path,
    hands: Hands,
    mode: Mode = Mode.HASH,
    *,
    confirmations: int = 1,
    with_token: bool = False,
    patience_s: float = 1.5,
) -> AsyncIterator[Case]:
    """Two people who know of each other through a board. Nobody works yet. `patience_s`: see `quick`."""
    case = Case(chains, hands, mode, asset=chains.evm.config.token if with_token else bytes(20))
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            await Database.open(f"sqlite:///{folder / 'board.db'}", BOARD_SCHEMA)
        )
        case.place = await stack.enter_async_context(serve_board(database, clock=lambda: chains.clock.seconds))
        await stack.enter_async_context(chains.miner())
        for role in Role:
            case.sides[role] = await _side(
                case, folder, role, lambda settings: quick(settings, confirmations, patience_s)
            )
            stack.push_async_callback(case.sides[role].vanish)
        yield case


async def _side(case: Case, folder: Path, role: Role, pace: Callable[[TraderSettings], TraderSettings]) -> Side:
    chains = case.chains
    words = new_mnemonic(secrets.token_bytes(32))
    keys = TraderKeys(words)
    home = folder / role.value
    home.mkdir()
    (home / "words").write_text(words)
    owner = await chains.bitcoin.person(*((2 * SATOSHI, 2 * SATOSHI) if role is Role.FOLLOWER else ()))
    node, world = chains.bitcoin.node, chains.evm
    await world.node.faucet("0x" + keys.account.hex(), Wei(10 * ETHER))
    if any(case.asset) and role is Role.INITIATOR:
        await world.give(keys.account, 2 * TOKENS)
    text = SETTINGS.format(
        bitcoin=node.url,
        wallet=owner.node_wallet.name,
        user=node.user,
        password=node.password,
        zmq=node.zmq_hashblock,
        chain=world.node.chain_id,
        genesis=chains.genesis.hex(),
        evm=world.node.url,
        escrow=world.config.escrow.hex(),
        start=world.config.start_block,
        board=case.place,
    )
    (home / "swap.toml").write_text(text)

    def tune(settings: TraderSettings) -> TraderSettings:
        token = AssetName("EUR", 6, world.config.token)
        return replace(pace(settings), assets=(*settings.assets, token))

    person = Person(role.value, home, keys, owner.node_wallet, case.place, clock=chains.clock, tune=tune)
    side = Side(person, owner, case)
    side.at_first = await side.wealth()
    return side


def quick(settings: TraderSettings, confirmations: int = 1, patience_s: float = 1.5) -> TraderSettings:
    """Settings for chains on one machine: letters and transactions are repeated after a second or so, and the initiator
    waits `patience_s` for the other's signature. Only a test that moves the clock comes near the time-outs."""
    known = roomy(settings.conditions)
    bitcoin = replace(known.bitcoin, confirmations=replace(known.bitcoin.confirmations, most=confirmations))
    evm = replace(known.evm, confirmations=replace(known.evm.confirmations, most=confirmations))
    times = {"patience_ms": int(1_000 * patience_s), "resend_ms": 700}
    times |= {"bump_bitcoin_ms": 1_500, "bump_evm_ms": 1_500}
    return replace(settings, conditions=replace(known, bitcoin=bitcoin, evm=evm, **times))


async def genesis_of(world: EscrowWorld) -> bytes:
    """The hash of a chain's first block."""
    found = await world.rpc.block(BlockHeight(0))
    assert found is not None
    return found.hash


OpenCase: TypeAlias = Callable[..., AbstractAsyncContextManager[Case]]
"""Opens a case: `async with case(mode, …) as swap`."""


def as_initiator(state: Swap) -> Initiator:
    """A state of that side's."""
    assert isinstance(state, Initiator)
    return state


def as_follower(state: Swap) -> Follower:
    """A state of that side's."""
    assert isinstance(state, Follower)
    return state
