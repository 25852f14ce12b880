"""Settling in bitcoin: one transaction a payment, replaced only by ones that spend the same coins.

A transaction is signed and in the database before it is sent, and its coins belong to that payment for ever. So a crash
sends the same transaction again, and of a payment's versions the chain takes one at most. What comes in counts once it
has the confirmations that the operator asks for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from adapters.bitcoin.addresses import Network, address_text, parse_address
from adapters.bitcoin.blocks import Watchlist
from adapters.bitcoin.errors import InsufficientFunds, MempoolRefused
from adapters.bitcoin.fees import FeePolicy, replacement_fee
from adapters.bitcoin.follower import BlockSource, Connected, Disconnected, Tail, Update, follow
from adapters.bitcoin.primitives import BlockRef, TxOut
from adapters.bitcoin.scripts import dust_threshold
from adapters.bitcoin.transactions import UnsignedTx
from foundation.database import Database
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB
from settlement.connector.settle.engines.bitcoin_wallet import (
    OURS,
    Keys,
    Version,
    WalletStore,
    coins_for,
    payment_to,
)
from settlement.connector.settle.engines.core import Credit, Payment
from settlement.connector.settle.engines.rail import (
    Answer,
    Ask,
    PeerUnclear,
    Question,
    RailTerms,
    Verdict,
    check_asset,
)
from settlement.connector.settle.engines.store import EngineStore

SCALE: Final = 8
_CURSOR: Final = "bitcoin"
_log = structlog.get_logger(__name__)


class BitcoinNode(BlockSource, Protocol):
    """What the rail needs of a node; `adapters.bitcoin.rpc.BitcoinRpc` has it, and says what each raises."""

    async def submit(self, raw: bytes) -> bytes: ...

    async def estimate_fee_rate(self, blocks: int) -> SatPerKvB | None: ...

    async def relay_floor(self) -> SatPerKvB: ...

    async def incremental_relay_fee(self) -> SatPerKvB: ...


@dataclass(frozen=True, slots=True)
class BitcoinPolicy:
    """An operator's rules.

    Fields: network; fees; start (nothing before it is ours); confirmations (what is final, at least 1); bump_blocks
    (after so many without confirmation a payment bids more); least (satoshi: smaller amounts stay owed until they add
    up, because each payment costs a fee).
    """

    network: Network
    fees: FeePolicy
    start: BlockRef
    confirmations: int = 6
    bump_blocks: int = 6
    least: int = 10_000

    def __post_init__(self) -> None:
        """Raises `BadInput`."""
        if self.confirmations < 1 or self.bump_blocks < 1:
            raise BadInput("confirmations or bump_blocks", "must be 1 or more", "6")
        if self.least < 546:
            raise BadInput("least", f"{self.least} satoshi are dust to some kinds of address", "546 or more")


class BitcoinRail:
    """Pays from coins of its own, whose keys come from one secret. See `Rail`."""

    def __init__(
        self, database: Database, node: BitcoinNode, policy: BitcoinPolicy, secret: bytes, *, poll_seconds: float = 1.0
    ) -> None:
        """Describe the rail.

        Args:
            database: the engine's.
            node: follows the chain, and sends.
            policy: rules.
            secret: 32 bytes, of which all keys are made.
            poll_seconds: between two looks for blocks.
        """
        if len(secret) != 32:
            raise BadInput("secret", f"{len(secret)} bytes", "32 random bytes")
        self._database = database
        self._node = node
        self._policy = policy
        self._keys = Keys(secret)
        self._poll_seconds = poll_seconds
        self._watched = Watchlist()
        self._tip = policy.start.height
        self._sent_at: dict[str, tuple[int, int]] = {}

    @property
    def terms(self) -> RailTerms:
        """See `Rail`."""
        return RailTerms(f"{self._policy.network.caip2}/slip44:0", SCALE, self._policy.least)

    @property
    def funding_address(self) -> str:
        """Where the operator pays the money that the engine settles with."""
        return self._address(OURS)

    async def meet(self, account: str, ask: Ask) -> str:
        """See `Rail`."""
        told = await ask(account, Question("payTo", self.terms.asset))
        try:
            parse_address(told.address, self._policy.network)
        except BadInput as error:
            raise PeerUnclear(account, str(error)) from error
        return told.address

    async def answer(self, account: str, question: Question) -> Answer:
        """See `Rail`."""
        check_asset(question, self.terms)
        if question.type != "payTo":
            raise BadInput("type", f"{question.type[:40]!r} is no question here", "payTo")
        # Watched from now on; a restart watches the addresses of all accounts in the database, as this one is.
        self._watched.add_scripts([self._keys.script(account)])
        return Answer(address=self._address(account))

    async def pay(self, payment: Payment, ask: Ask) -> Verdict:
        """See `Rail`."""
        async with self._database.view() as view:
            wallet = WalletStore(view.connection)
            versions = await wallet.versions(payment.id)
            points = versions[-1].inputs if versions else ()
            is_gone = await wallet.spent_up_to(points, self._tip - self._policy.confirmations + 1)
        if not versions:
            await self._send(await self._first(payment))
            return Verdict.UNDERWAY
        mined = next((version.height for version in versions if version.height is not None), None)
        if mined is not None:
            return Verdict.PAID if self._tip - mined + 1 >= self._policy.confirmations else Verdict.UNDERWAY
        if is_gone:
            return Verdict.STUCK  # somebody else has the key, and spent a coin that this payment needs
        latest = versions[-1]
        if self._tip - latest.signed_at >= self._policy.bump_blocks:
            latest = await self._bumped(payment, latest)
        await self._send(latest)
        return Verdict.UNDERWAY

    async def watch(self, changed: Callable[[], None]) -> None:
        """See `Rail`."""
        async with self._database.view() as view:
            wallet, raw = WalletStore(view.connection), await EngineStore(view.connection).cursor(_CURSOR)
            self._watched.add_scripts([self._keys.script(owner) for owner in await wallet.owners()])
            self._watched.add_outpoints([one.coin.outpoint for one in await wallet.unspent(self._keys)])
        tail = Tail.start(self._policy.start) if raw is None else Tail.decode(raw)
        self._note_tip(tail)
        while True:
            batch = await follow(self._node, tail, self._watched)
            if not batch.updates:
                await asyncio.sleep(self._poll_seconds)
                continue
            await self._take(batch.updates, batch.tail)
            tail = batch.tail
            self._note_tip(tail)
            changed()

    async def _take(self, updates: tuple[Update, ...], tail: Tail) -> None:
        assert tail.tip is not None, "a batch with updates ends at a block"
        async with self._database.unit() as unit:
            wallet, store = WalletStore(unit.connection), EngineStore(unit.connection)
            for update in updates:
                if isinstance(update, Disconnected):
                    await wallet.disconnect(update.block.height)
                else:
                    await self._connect(wallet, update)
            for one in await wallet.creditable(self._keys, tail.tip.height - self._policy.confirmations + 1):
                name = f"bitcoin:{one.coin.outpoint}"
                await store.add_credit(
                    Credit(name, one.owner, address_text(one.coin.script, self._policy.network), one.coin.value)
                )
                await wallet.credited(one.coin.outpoint)
            await store.move_cursor(_CURSOR, tail.encode())
            await unit.commit()

    async def _connect(self, wallet: WalletStore, update: Connected) -> None:
        for coin in update.matches.received:
            if not coin.is_coinbase and coin.value:
                owner = self._keys.owner(coin.script)
                await wallet.receive(coin.outpoint, coin.value, owner, update.block.height)
        for spent in update.matches.spent:
            await wallet.spend(spent.outpoint, spent.spender, update.block.height)

    async def _first(self, payment: Payment) -> Version:
        """Choose coins and sign, and keep both before anybody else can choose them."""
        rate = await self._rate()
        payee = TxOut(Satoshi(payment.units), parse_address(payment.target, self._policy.network))
        assert payee.value >= dust_threshold(payee.script), "`least` is above any dust"
        change = self._keys.script(OURS)
        async with self._database.unit() as unit:
            wallet = WalletStore(unit.connection)
            known = await wallet.versions(payment.id)
            if known:
                return known[-1]
            coins = coins_for(payee, await wallet.spendable(self._keys), change, rate)
            version = self._signed(payment, 0, payment_to(payee, coins, change, rate))
            await wallet.add_version(version)
            await unit.commit()
        return version

    async def _bumped(self, payment: Payment, latest: Version) -> Version:
        """A version that spends the same coins and bids more, if the fees ask for it and the change allows it."""
        incremental = await self._node.incremental_relay_fee()
        wanted, payee = await self._rate(), parse_address(payment.target, self._policy.network)
        change = self._keys.script(OURS)
        async with self._database.unit() as unit:
            wallet = WalletStore(unit.connection)
            coins = await wallet.coins_of(self._keys, latest.inputs)
            if len(coins) < len(latest.inputs):
                return latest  # a reorg took one of them for now
            out = TxOut(Satoshi(payment.units), payee)
            current = payment_to(out, coins, change, SatPerKvB(0), latest.fee)
            rate = self._policy.fees.bump_rate(current.fee_rate, wanted, incremental)
            if rate is None:
                return latest
            try:
                minimum = replacement_fee(latest.fee, current.vsize, incremental)
                unsigned = payment_to(out, coins, change, rate, minimum)
            except InsufficientFunds as error:
                _log.warning("a payment cannot bid more", payment=payment.id, problem=str(error))
                return latest
            version = self._signed(payment, latest.version + 1, unsigned)
            await wallet.add_version(version)
            await unit.commit()
        return version

    def _signed(self, payment: Payment, number: int, unsigned: UnsignedTx) -> Version:
        inputs = tuple(coin.outpoint for coin in unsigned.inputs)
        raw = self._keys.sign(unsigned)
        return Version(payment.id, number, unsigned.txid(), raw, inputs, unsigned.fee, BlockHeight(self._tip))

    async def _send(self, version: Version) -> None:
        """Hand a transaction to the node: once, and again after each block while it is in none."""
        if self._sent_at.get(version.payment) == (version.version, self._tip):
            return
        try:
            await self._node.submit(version.raw)
        except MempoolRefused as error:
            if not error.already_known:
                _log.warning("the node does not take a payment", payment=version.payment, problem=error.reason)
        self._sent_at[version.payment] = (version.version, self._tip)

    async def _rate(self) -> SatPerKvB:
        fees = self._policy.fees
        return fees.rate(await self._node.estimate_fee_rate(fees.target_blocks), await self._node.relay_floor())

    def _address(self, owner: str) -> str:
        return address_text(self._keys.script(owner), self._policy.network)

    def _note_tip(self, tail: Tail) -> None:
        if tail.tip is not None:
            self._tip = tail.tip.height
