"""The bitcoin leg of swaps in tests: two people, their keys, a node, and one output between them."""

from __future__ import annotations

import hashlib
import itertools
import secrets
import time
from dataclasses import dataclass, field

from coincurve import PrivateKey, PublicKeyXOnly

from adapters.bitcoin.addresses import REGTEST, address_text, parse_address
from adapters.bitcoin.fees import FeePolicy
from adapters.bitcoin.primitives import Coin, OutPoint, TxOut, parse_hash
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.bitcoin.transactions import parse_transaction
from foundation.quantities import Satoshi, SatPerKvB
from infra.bitcoind import Bitcoind, Wallet
from settlement.swap.bitcoin.desk import BitcoinDesk
from settlement.swap.bitcoin.funding import Funding
from settlement.swap.bitcoin.output import SwapOutput
from settlement.swap.bitcoin.rungs import Rung, RungMaker, complete_rungs, offer_rungs
from settlement.swap.bitcoin.wallet import NodeWallet
from settlement.swap.bitcoin.watch import BitcoinWatch
from settlement.swap.terms import Mode

AMOUNT = Satoshi(1_000_000)
RATE = SatPerKvB(2_000)
LIMIT = Satoshi(100_000)
POLICY = FeePolicy(SatPerKvB(1_000), SatPerKvB(200_000), SatPerKvB(2_000))
HOUR = 3_600


def secret_of(name: str) -> bytes:
    """Somebody's secret key."""
    return hashlib.sha256(name.encode()).digest()


def key_of(secret: bytes) -> bytes:
    """Its x-only key."""
    return bytes(PublicKeyXOnly.from_secret(secret).format())


def point_of(scalar: bytes) -> bytes:
    """A scalar's point, 33 bytes."""
    return bytes(PrivateKey(scalar).public_key.format())


_numbers = itertools.count()


@dataclass
class Deal:
    """What two agreed on. Fields: mode; initiator, follower, secret (preimage or scalar; 32 bytes each); expires_at."""

    mode: Mode = Mode.HASH
    initiator: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    follower: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    secret: bytes = field(default_factory=lambda: hashlib.sha256(b"secret %d" % next(_numbers)).digest())
    expires_at: int = field(default_factory=lambda: int(time.time()) + HOUR)

    @property
    def condition(self) -> bytes:
        """Hash mode's; point mode's is not on bitcoin."""
        return hashlib.sha256(self.secret).digest()

    @property
    def point(self) -> bytes:
        """Point mode's."""
        return point_of(self.secret)

    @property
    def output(self) -> SwapOutput:
        """The swap's."""
        return SwapOutput(self.mode, key_of(self.initiator), key_of(self.follower), self.condition, self.expires_at)

    @property
    def paid(self) -> TxOut:
        """The swap's output, as a transaction has it."""
        return TxOut(AMOUNT, self.output.script)

    def coin(self, label: str = "coin") -> Coin:
        """A coin of the swap that no chain knows."""
        return Coin(OutPoint(hashlib.sha256(label.encode()).digest(), 0), AMOUNT, self.output.script)

    def rungs(self, coin: Coin, destination: bytes, fees: tuple[Satoshi, ...]) -> tuple[Rung, ...]:
        """Point mode's handshake between the two, who are both honest."""
        maker = RungMaker(self.output, self.follower, len(fees))
        nonces = maker.nonces
        offers, partials = offer_rungs(self.output, self.initiator, coin, nonces, destination, fees, self.point)
        kept, answers = maker.countersign(coin, offers, partials, self.point)
        made = complete_rungs(self.output, coin, self.point, offers, partials, nonces, answers)
        assert made == kept
        return made


@dataclass
class Person:
    """Somebody with a wallet in the node. Fields: wallet (the swap's port), node_wallet (as its owner uses it)."""

    wallet: NodeWallet
    node_wallet: Wallet


@dataclass
class SwapNode:
    """A node of the tests' own, which they reorganise and move in time."""

    node: Bitcoind
    rpc: BitcoinRpc
    idle: list[Wallet] = field(default_factory=list)
    busy: list[Wallet] = field(default_factory=list)

    async def person(self, *coins: int, kind: str = "bech32m") -> Person:
        """Somebody with coins of so many satoshi each, confirmed."""
        wallet = await self._empty_wallet()
        self.busy.append(wallet)
        for value in coins:
            await self.node.faucet(await wallet.address(kind), Satoshi(value))
        await self.node.mine()
        rpc = BitcoinRpc(f"{self.node.url}/wallet/{wallet.name}", self.node.user, self.node.password)
        return Person(NodeWallet(rpc, REGTEST), wallet)

    async def _empty_wallet(self) -> Wallet:
        """One of a test before, without its money, for to make one takes a node seconds."""
        if not self.idle:
            return await self.node.wallet(f"swap-{secrets.token_hex(4)}")
        wallet = self.idle.pop()
        await wallet.call("lockunspent", True)
        if await wallet.call("listunspent", 0):
            text = await self.node.rpc.call("getnewaddress", path="/wallet/miner")
            await wallet.call("sendall", [text], None, "unset", 2)
        return wallet

    def reset(self) -> None:
        """A test is over: its wallets may be used again."""
        self.idle += self.busy
        self.busy.clear()

    @property
    def desk(self) -> BitcoinDesk:
        """A desk with the tests' policy."""
        return BitcoinDesk(self.rpc, POLICY)

    async def script(self) -> bytes:
        """Somewhere to be paid to: the miner's."""
        text = await self.node.rpc.call("getnewaddress", path="/wallet/miner")
        return parse_address(str(text), REGTEST)

    async def pay(self, script: bytes, value: int = AMOUNT, *, mine: bool = True) -> Coin:
        """Pay a script from the miner's wallet."""
        txid = await self.node.faucet(address_text(script, REGTEST), Satoshi(value))
        parsed = parse_transaction(bytes.fromhex(str(await self.node.rpc.call("getrawtransaction", txid))))
        if mine:
            await self.node.mine()
        vout = next(at for at, output in enumerate(parsed.outputs) if output.script == script)
        return Coin(OutPoint(parse_hash(txid), vout), Satoshi(value), script)

    async def funded(self, deal: Deal) -> Coin:
        """The swap's output, exactly, in a block."""
        return await self.pay(deal.output.script)

    async def spent(self, coin: Coin) -> bool:
        """Whether a block or the mempool spends it."""
        return await self.rpc.unspent(coin.outpoint, include_mempool=True) is None

    async def pass_time(self, until: int) -> None:
        """Move the node's clock, and its chain's median time, past a moment."""
        now = max(until, await self.median_time()) + 1
        await self.node.rpc.call("setmocktime", now)
        await self.node.mine(11)

    async def median_time(self) -> int:
        """The chain's."""
        return (await self.rpc.header((await self.rpc.tip()).hash)).median_time

    async def drop(self, blocks: int) -> None:
        """Take the newest blocks off, without others instead."""
        height = await self.node.height()
        await self.node.rpc.call("invalidateblock", await self.node.rpc.call("getblockhash", height - blocks + 1))

    async def empty_blocks(self, count: int) -> None:
        """Blocks without any transaction of the mempool."""
        for _ in range(count):
            address = address_text(b"\x00\x14" + secrets.token_bytes(20), REGTEST)
            await self.node.rpc.call("generateblock", address, [])

    async def broadcast(self, funding: Funding) -> Coin:
        """Send a funding; nothing is mined."""
        await self.rpc.submit(funding.raw)
        return funding.coin

    async def watch(self, deal: Deal) -> BitcoinWatch:
        """A watch that begins now, for one swap."""
        watch = await BitcoinWatch.start(self.rpc)
        watch.watch(deal.output.script, (await self.rpc.tip()).height)
        return watch
