"""Swaps at which a watchtower looks: both legs on real nodes, and what each side's machine would know."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adapters.bitcoin.hd_keys import new_mnemonic
from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.evm.escrow.types import AnyTerms
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB, TokenUnits
from settlement.swap.bitcoin.cosign import Asker, answer
from settlement.swap.bitcoin.output import SwapOutput, output_of
from settlement.swap.bitcoin.rungs import Rung
from settlement.swap.engine.settings import TraderSettings, load_settings
from settlement.swap.evm.terms import lock_terms
from settlement.swap.machine.facts import LockStatus, Output
from settlement.swap.machine.states import Follower, Initiator, Swap
from settlement.swap.planning.gates import Gates
from settlement.swap.terms import BitcoinLeg, EvmLeg, Mode, Role, SwapTerms, point_condition
from settlement.swap.wallet.secrets import SwapSecrets, TraderKeys
from settlement.swap.watchtower.bundle import Bundle
from settlement.swap.watchtower.making import make_bundle
from settlement.swap.watchtower.opening import open_tower
from settlement.swap.watchtower.shelf import Shelf
from settlement.swap.watchtower.tower import News, Watchtower
from tests.support.patience import eventually
from tests.support.swap_bitcoin import AMOUNT, POLICY, Deal, SwapNode
from tests.support.swap_locks import SwapWorld
from tests.support.swap_people import QUICK, SETTINGS
from tests.support.swap_terms import ANVIL, NOW, REGTEST

HOUR = 3_600
FEES = (Satoshi(300), Satoshi(1_200), Satoshi(5_000))
PAYEE = b"\x51\x20" + b"\x07" * 32
"""Where the trader's bitcoin goes to; the tests only look whether it does."""


def secrets_of(index: int = 0) -> SwapSecrets:
    """Somebody's keys of a swap."""
    return TraderKeys(new_mnemonic(secrets.token_bytes(32))).swap(index)


def gates_of(terms: SwapTerms) -> Gates:
    """Gates of a swap that has an hour for everything."""
    t2, t1 = terms.bitcoin.expires_at, terms.evm.expires_at
    return Gates(
        last_lock=t2 - 3_000,
        last_fund=t2 - 2_000,
        last_reveal=t2 - 1_000,
        refund_bitcoin=t2,
        claim_evm_by=t1 - HOUR,
        refund_evm=t1,
        patience_ms=1_000,
        resend_ms=1_000,
        bump_bitcoin_ms=1_000,
        bump_evm_ms=1_000,
    )


@dataclass
class Trade:
    """A swap. Fields: terms; initiator, follower (their keys); coin (the output, once it is funded)."""

    terms: SwapTerms
    initiator: SwapSecrets
    follower: SwapSecrets
    coin: Coin | None = None

    @property
    def output(self) -> SwapOutput:
        """On bitcoin."""
        return output_of(self.terms)

    @property
    def lock(self) -> AnyTerms:
        """On the EVM chain."""
        return lock_terms(self.terms)

    @property
    def secret(self) -> bytes:
        """What claims both."""
        return self.initiator.scalar if self.terms.mode is Mode.POINT else self.initiator.preimage

    @property
    def deal(self) -> Deal:
        """Its bitcoin."""
        terms = self.terms
        return Deal(terms.mode, self.initiator.bitcoin, self.follower.bitcoin, self.secret, terms.bitcoin.expires_at)

    def rungs(self) -> tuple[Rung, ...]:
        """A private swap's claims."""
        assert self.coin is not None
        return self.deal.rungs(self.coin, PAYEE, FEES)

    def claimed_together(self) -> bytes:
        """The initiator's claim that both sign: where the secret is a preimage, the chain does not show it."""
        assert self.coin is not None
        spend = self.output.by_key(self.coin, PAYEE, SatPerKvB(2_000))
        asker = Asker(self.output, Role.INITIATOR, self.initiator.bitcoin, spend)
        return asker.finish(answer(self.output, Role.FOLLOWER, self.follower.bitcoin, asker.request))

    def seen(self, *outputs: Output) -> tuple[Output, ...]:
        """What a machine knows of the output."""
        if outputs or self.coin is None:
            return outputs
        return (Output(self.coin.outpoint.serialized(), self.coin.value, 1),)

    def state(self, role: Role, *, rungs: Sequence[Rung] = (), revealed: bool = False) -> Swap:
        """A side's, after the funding; and after the reveal, when both know the secret."""
        common: dict[str, Any] = {
            "terms_bytes": self.terms.encoded,
            "gates": gates_of(self.terms),
            "began_at": self.terms.agreed_at * 1_000,
            "outputs": self.seen(),
        }
        signed = tuple(one.encode() for one in rungs)
        if role is Role.FOLLOWER:
            return Follower(
                **common,
                funding=True,
                presignatures=(signed,) if signed else (),
                secret=self.secret if revealed else b"",
            )
        target = self.coin.outpoint.serialized() if revealed and self.coin else b""
        return Initiator(
            **common,
            locking=True,
            presignatures=signed,
            revealed_at=self.terms.agreed_at * 1_000 if revealed else 0,
            shown=revealed,
            target=target,
        )

    def bundle(self, role: Role, *, rungs: Sequence[Rung] = (), revealed: bool = False) -> bytes:
        """A side's, as a file."""
        keys = self.follower if role is Role.FOLLOWER else self.initiator
        state = self.state(role, rungs=rungs, revealed=revealed)
        return made(state, keys, self.terms.agreed_at).encode(keys.identity)


def a_trade(
    mode: Mode,
    now: int,
    settings: TraderSettings | None,
    payer: bytes,
    beneficiary: bytes,
    *keys: SwapSecrets,
) -> Trade:
    """A swap that is agreed now, of which nothing is on any chain. T2 in an hour, T1 in four. `keys`: the initiator's
    and the follower's; fresh ones where none are given."""
    initiator, follower = keys or (secrets_of(), secrets_of())
    is_point = mode is Mode.POINT
    terms = SwapTerms(
        mode=mode,
        condition=point_condition(initiator.point) if is_point else initiator.condition,
        point=initiator.point if is_point else b"",
        offer_id=secrets.token_bytes(32),
        bitcoin=BitcoinLeg(
            chain=REGTEST if settings is None else settings.bitcoin_chain,
            amount=AMOUNT,
            claimer=initiator.bitcoin_key,
            refunder=follower.bitcoin_key,
            expires_at=now + HOUR,
            confirmations=2,
        ),
        evm=EvmLeg(
            chain=ANVIL if settings is None else settings.evm_chain,
            escrow=b"\x10" * 20 if settings is None else settings.site.escrow,
            lock_id=initiator.lock_key if is_point else initiator.bitcoin_key,
            payer=payer,
            beneficiary=beneficiary,
            refund_to=payer,
            asset=bytes(20),
            amount=TokenUnits(1_000_000),
            expires_at=now + 4 * HOUR,
            confirmations=1,
        ),
        agreed_at=now,
    )
    return Trade(terms, initiator, follower)


def on_paper(mode: Mode = Mode.HASH) -> Trade:
    """A swap with an output that no chain knows."""
    trade = a_trade(mode, NOW, None, b"\x01" * 20, b"\x02" * 20)
    trade.coin = Coin(OutPoint(b"\x0c" * 32, 0), AMOUNT, trade.output.script)
    return trade


def made(state: Swap, keys: SwapSecrets, now: int) -> Bundle:
    """A bundle by the tests' policy."""
    return make_bundle(state, keys, PAYEE, POLICY, now)


@dataclass
class TowerTown:
    """Chains of the tests' own, whose time they move. Fields: chain (bitcoin); world (an Escrow and two people)."""

    chain: SwapNode
    world: SwapWorld
    folder: Path
    gas: bytes
    news: list[News] = field(default_factory=list)

    @property
    def settings(self) -> TraderSettings:
        """A tower's: its node has no wallet of the name that is there; what is final is as at the world's site."""
        site, node = self.world.site, self.chain.node
        text = SETTINGS.format(
            bitcoin=node.url,
            wallet="nobody",
            user=node.user,
            password=node.password,
            zmq=node.zmq_hashblock,
            chain=site.number,
            genesis=site.chain.genesis.hex(),
            evm=self.world.node.url,
            escrow=site.escrow.hex(),
            start=site.start,
            board="http://127.0.0.1:1",
        )
        (self.folder / "swap.toml").write_text(text)
        return replace(load_settings(self.folder), site=site)

    async def trade(self, mode: Mode) -> Trade:
        """A swap that is agreed now, with the lock made and the output funded."""
        now = max(await self.chain.median_time(), await self.world.world.tick())
        # Other tests have moved one clock or the other: both chains tell the same time when a swap begins.
        await self.chain.pass_time(now)
        await self.world.world.pass_time(now)
        trade = a_trade(mode, now, self.settings, self.world.initiator.account, self.world.follower.account)
        await self.world.initiator.leg.place(trade.terms.swap_id, trade.lock, b"")
        keys = trade.initiator.bitcoin, trade.follower.bitcoin
        trade.coin = await self.chain.funded(Deal(mode, *keys, trade.secret, trade.terms.bitcoin.expires_at))
        return trade

    def put(self, name: str, data: bytes) -> Path:
        """A bundle's file."""
        path = self.folder / name
        path.write_bytes(data)
        return path

    @asynccontextmanager
    async def tower(self, *paths: Path, grace_s: int = 0) -> AsyncIterator[Watchtower]:
        """A watchtower at work. Raises what ends it before."""
        shelf = Shelf(paths)
        shelf.check()
        async with open_tower(
            self.settings, shelf, self.gas, self.folder, grace_s=grace_s, tell=self.news.append, sender=QUICK
        ) as tower:
            task = asyncio.create_task(tower.run(0.03))
            try:
                yield tower
            finally:
                task.cancel()
                (ended,) = await asyncio.gather(task, return_exceptions=True)
                if isinstance(ended, BaseException) and not isinstance(ended, asyncio.CancelledError):
                    raise ended

    async def spender(self, trade: Trade) -> bytes | None:
        """The transaction in the mempool that spends the output."""
        assert trade.coin is not None
        (txid,) = await self.chain.rpc.spenders([trade.coin.outpoint])
        return txid

    async def spent_by(self, trade: Trade, *, other: bytes | None = None) -> bytes:
        """Once there is one, and not that other one."""

        async def look() -> bytes | None:
            found = await self.spender(trade)
            return found if found != other else None

        return await eventually(look, "the output is being spent")

    async def lock_is(self, trade: Trade, status: LockStatus) -> None:
        """Once the lock is so."""
        await self._once(lambda: self._status(trade, status), f"the lock is {status}")

    async def over(self, tower: Watchtower) -> None:
        """Once the tower has nothing left to do; blocks come meanwhile, so that what happened becomes final."""

        async def look() -> bool:
            await self.chain.node.mine()
            await self.world.node.mine(8)
            return len(tower.over) == len(tower.bundles)

        await self._once(look, "nothing is left to do")

    async def _status(self, trade: Trade, status: LockStatus) -> bool:
        return await self.world.follower.leg.status(trade.lock) is status

    @staticmethod
    async def _once(look: Callable[[], Awaitable[bool]], what: str) -> None:
        await eventually(look, what)

    async def pass_t2(self, trade: Trade) -> None:
        """Move bitcoin's median time past T2 by blocks that take nothing from the mempool, and not one more: what is
        broadcast then has lingered for no block."""
        t2 = trade.terms.bitcoin.expires_at
        await self.chain.node.rpc.call("setmocktime", max(t2, await self.chain.median_time()) + 1)
        while await self.chain.median_time() <= t2:
            await self.chain.empty_blocks(1)

    async def pass_t1(self, trade: Trade) -> None:
        """Move the EVM chain's clock past T1."""
        await self.world.world.pass_time(trade.terms.evm.expires_at)

    def said(self) -> str:
        """All news."""
        return "\n".join(one.text for one in self.news)


__all__ = ["PAYEE", "BlockHeight", "TowerTown", "Trade", "gates_of", "made", "secrets_of"]
