"""The intakes on made-up chains: bitcoin blocks in memory, and events of other chains that a test writes itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from bitcoin.core import CTransaction
from coincurve import PublicKeyXOnly

from adapters.bitcoin.primitives import OutPoint
from adapters.bitcoin.scripts import deposit_script, vault_script
from adapters.evm.lockbox.events import LockboxEvent
from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.evm.types import BlockRef
from adapters.native import events as e
from adapters.native.deployment import Deployment
from adapters.native.types import Announcement, VoucherSet
from bridge.codec import decode_deposit, decode_payout, decode_withdrawal
from bridge.deposits import Deposit
from bridge.directory import Directory
from bridge.intake.common import Context
from bridge.intake.intake import Intake
from bridge.payouts import Payout, Withdrawal
from bridge.settings import PolicySection, TierSection
from bridge.signals import Signal
from bridge.storage import Database, DepositTermsRow
from bridge.vault_authorizer import VaultAuthorizer
from foundation.quantities import BlockHeight, TokenUnits, UnixMs, Wei
from registry.assets import Asset, AssetPolicy
from registry.chains import Chain, Vault
from registry.groups import Group, GroupStatus, Member
from registry.ids import deposit_id
from tests.support.bitcoin_chain import FakeChain, transaction
from tests.support.bridge_database import fresh_database
from tests.support.bridge_evm import EVM_GROUP, RECIPIENT, Asked, EvmSide

ASSET, CHAIN, GROUP = b"a" * 32, b"c" * 32, b"g" * 32
KEY = PublicKeyXOnly.from_secret(b"k" * 32).format()
RECLAIM = PublicKeyXOnly.from_secret(b"r" * 32).format()
VAULT = vault_script(KEY)
MEMBER = Member(b"m" * 20, b"\x02" + b"m" * 32, b"t" * 32, "tcp://127.0.0.1:1")
DEPLOYMENT = Deployment(b"1" * 20, b"2" * 20, b"3" * 20, b"4" * 20, 31337, BlockHeight(0), b"n" * 32)


POLICY = AssetPolicy(TokenUnits(10_000), TokenUnits(2_000), TokenUnits(10_000))
NOBODY = VoucherSet((), Wei(0))


@dataclass
class Native:
    """The contracts' state, as a test sets it."""

    policy: AssetPolicy = POLICY
    groups: dict[bytes, Group] = field(default_factory=dict)
    active: bytes | None = None
    committee: VoucherSet = NOBODY
    others: list[Chain] = field(default_factory=list)
    """The EVM chains."""
    foreign: list[Asset] = field(default_factory=list)
    """Their assets."""
    vaults: dict[bytes, Vault] = field(default_factory=dict)
    open: AssetPolicy | None = None

    async def group(self, group: bytes, at: Any = "finalized") -> Group | None:
        return self.groups.get(group)

    async def active_group(self, chain: bytes, at: Any = "finalized") -> bytes | None:
        return self.active

    async def vouchers(self, at: Any = "finalized") -> VoucherSet:
        return self.committee

    async def chains(self, at: Any = "finalized") -> Sequence[Chain]:
        return self.others

    async def assets(self, at: Any = "finalized") -> Sequence[Asset]:
        return [Asset(ASSET, "bip122:test/slip44:1", CHAIN, "Bitcoin", "BTC", 8, self.policy), *self.foreign]

    async def vault(self, chain: bytes, at: Any = "finalized") -> Vault | None:
        return self.vaults.get(chain)

    async def chain_policy(self, chain: bytes, at: Any = "finalized") -> AssetPolicy | None:
        return self.open

    def group_proof_message(self, group: bytes, epoch: int, key: bytes) -> bytes:
        return group + key


@dataclass
class Chains:
    """A node's two intakes with its database."""

    database: Database
    bitcoin: FakeChain
    native: Native
    intake: Intake
    context: Context
    block: int = 0
    ethereum: EvmSide = field(default_factory=lambda: EvmSide(1))

    @classmethod
    async def open(cls, folder: Path, **policy: Any) -> Chains:
        """With an activated group, at bitcoin height 0; one confirmation is final."""
        database = await fresh_database(folder / "intake.db")
        group = Group(GROUP, CHAIN, 1, (MEMBER,), 0, KEY, GroupStatus.ACTIVE)
        native = Native(groups={GROUP: group}, active=GROUP)
        directory = Directory(cast(Any, native), CHAIN, ASSET)
        tiers = {"tiers": (TierSection(confirmations=1),), "settled_depth": 2, "mint_margin": 10}
        section = PolicySection(**{**tiers, **policy})
        context = Context(DEPLOYMENT, directory, section, lambda: UnixMs(5_000))
        chain = FakeChain()
        intake = Intake(database, chain, context, Signal())
        chains = cls(database, chain, native, intake, context)
        await intake.load()
        await intake.start_at(await chain.tip())
        await chains.say(
            e.GroupProposed(chains.at(), GROUP, CHAIN, 1, 1), e.GroupActivated(chains.at(), GROUP, CHAIN, 0, KEY)
        )
        return chains

    def vaults(self) -> VaultAuthorizer:
        """Who checks what is signed for vaults; a payment that fails waits a second."""
        waits = dict.fromkeys(self.context.directory.origins, 1_000)
        return VaultAuthorizer(self.database, self.context, waits)

    async def restarted(self) -> Chains:
        """The same database with nothing in memory."""
        directory = Directory(cast(Any, self.native), CHAIN, ASSET)
        context = Context(DEPLOYMENT, directory, self.context.policy, self.context.clock)
        intake = Intake(self.database, self.bitcoin, context, Signal())
        await intake.load()
        await intake.start_at(await self.bitcoin.tip())
        return Chains(self.database, self.bitcoin, self.native, intake, context, self.block, self.ethereum)

    def at(self) -> e.Position:
        return e.Position(BlockRef(BlockHeight(self.block), b"b" * 32), 0, bytes([self.block]) * 32)

    async def say(self, *events: Any) -> None:
        """One native block with these events."""
        self.block += 1
        last = BlockRef(BlockHeight(self.block), bytes([self.block]) * 32)
        await self.intake.native(e.EventBatch(BlockHeight(self.block), last, tuple(events)))

    async def serve(self, *sides: EvmSide, assets: Sequence[Asset] = ()) -> None:
        """Register EVM chains with their vaults and their coins, and `assets` besides."""
        for side in sides:
            self.native.others.append(side.chain)
            self.native.vaults[side.chain.id] = side.vault
            self.native.foreign.append(side.coin)
            self.native.groups[EVM_GROUP] = side.group
            await self.say(
                e.ChainRegistered(self.at(), side.chain.id, side.chain.caip2, side.chain.genesis, 2, 0),
                e.GroupProposed(self.at(), EVM_GROUP, side.chain.id, 1, 1),
                e.VaultRegistered(self.at(), side.chain.id, side.vault.lockbox, side.vault.start_block, EVM_GROUP),
                self.registers(side.coin),
            )
        for asset in assets:
            await self.register(asset)

    async def register(self, asset: Asset) -> None:
        """One native block that registers an asset of an EVM chain."""
        self.native.foreign.append(asset)
        await self.say(self.registers(asset))

    def registers(self, asset: Asset) -> e.AssetRegistered:
        a = asset
        return e.AssetRegistered(self.at(), a.id, a.chain, a.caip19, a.name, a.symbol, a.decimals)

    async def evm(self, *events: LockboxEvent, side: EvmSide | None = None) -> None:
        """One block of an EVM chain with these events of its vault."""
        side = side or self.ethereum
        await self.intake.evm(side.chain.id, side.batch(events))

    async def held(self, token: bytes = NATIVE_COIN, side: EvmSide | None = None) -> int:
        """What the vault holds, as this node counts it."""
        async with self.database.view() as view:
            row = await view.vault_assets.get((side or self.ethereum).chain.id, token)
        return 0 if row is None else row.held

    async def fact(self, name: str) -> bytes | None:
        """What this node knows under a name."""
        async with self.database.view() as view:
            return await view.node_meta.get(name)

    async def locked(self, number: int, token: bytes = NATIVE_COIN, side: EvmSide | None = None) -> Deposit | None:
        """The deposit of a lock."""
        async with self.database.view() as view:
            row = await view.transfers.get((side or self.ethereum).deposit_id(number, token))
        return None if row is None else decode_deposit(row)

    def mints(
        self, number: int, amount: int, token: bytes = NATIVE_COIN, side: EvmSide | None = None
    ) -> e.DepositMinted:
        """The Hub mints all of a locked deposit."""
        side, units = side or self.ethereum, TokenUnits(amount)
        id_, asset = side.deposit_id(number, token), side.asset_id(token)
        return e.DepositMinted(self.at(), id_, asset, RECIPIENT, units, units, side.lock_id(number), 0, EVM_GROUP)

    def bars(self, number: int, amount: int, side: EvmSide | None = None) -> e.DepositReturned:
        """The Hub bars a locked deposit of the chain's coin."""
        side = side or self.ethereum
        id_, name = side.deposit_id(number), side.lock_id(number)
        return e.DepositReturned(self.at(), id_, side.coin.id, name, 0, TokenUnits(amount), EVM_GROUP, 2)

    def asks(self, asked: Asked, asset: bytes | None = None) -> e.WithdrawalRequested:
        """A withdrawal of the EVM chain's coin, or of another asset."""
        a, id_ = asked, self.context.withdrawal_id(asked.number)
        units = TokenUnits(a.amount), TokenUnits(a.max_fee)
        asset = self.ethereum.coin.id if asset is None else asset
        return e.WithdrawalRequested(
            self.at(), id_, asset, b"o" * 20, *units, a.destination, a.number, TokenUnits(a.service_fee)
        )

    def reserves(self, payout: bytes, *asked: Asked, asset: bytes | None = None) -> e.PayoutReserved:
        """A payout of withdrawals to the EVM chain: it binds no coins."""
        ids = tuple(self.context.withdrawal_id(a.number) for a in asked)
        return e.PayoutReserved(self.at(), payout, EVM_GROUP, asset or self.ethereum.coin.id, 1, ids, ())

    def settles(self, payout: bytes, txid: bytes, *asked: Asked) -> e.PayoutSettled:
        """The Hub burns the tokens of a payout, the service fees too."""
        fee = TokenUnits(sum(a.max_fee for a in asked))
        burnt = TokenUnits(sum(a.amount + a.service_fee for a in asked))
        return e.PayoutSettled(self.at(), payout, txid, fee, burnt, TokenUnits(sum(a.service_fee for a in asked)))

    async def asked(self, asked: Asked) -> Withdrawal | None:
        return await self.withdrawal(self.context.withdrawal_id(asked.number))

    async def mine(self, *transactions: CTransaction) -> int:
        """One bitcoin block, applied; its height."""
        self.bitcoin.mine(*transactions)
        await self.follow()
        return len(self.bitcoin.heights) - 1

    async def follow(self) -> None:
        while await self.intake.bitcoin():
            pass

    def terms(self, salt: int = 1, birthday: int = 0, delay: int = 144, recipient: bytes = b"p" * 20) -> Announcement:
        return Announcement(ASSET, GROUP, recipient, RECLAIM, delay, bytes([salt]) * 32, birthday)

    def script(self, terms: Announcement) -> bytes:
        t = terms
        row = DepositTermsRow(
            b"", b"", t.asset, t.group, t.recipient, t.reclaim_key, t.delay, t.salt, BlockHeight(t.birthday)
        )
        return deposit_script(self.context.deposit_terms(row)).script

    def announced(self, terms: Announcement) -> e.DepositAnnounced:
        return e.DepositAnnounced(self.at(), b"i" * 32, terms)

    def minted(self, txid: bytes, amount: int, vout: int = 0) -> e.DepositMinted:
        id_ = deposit_id(ASSET, txid, vout)
        units = TokenUnits(amount), TokenUnits(amount - 2_000)
        return e.DepositMinted(self.at(), id_, ASSET, b"p" * 20, *units, txid, vout, GROUP)

    async def deposit(self, txid: bytes, vout: int = 0) -> Deposit | None:
        async with self.database.view() as view:
            row = await view.transfers.get(deposit_id(ASSET, txid, vout))
        return None if row is None else decode_deposit(row)

    async def withdrawal(self, id_: bytes) -> Withdrawal | None:
        async with self.database.view() as view:
            row = await view.transfers.get(id_)
        return None if row is None else decode_withdrawal(row)

    async def payout(self, id_: bytes) -> Payout | None:
        async with self.database.view() as view:
            row = await view.payouts.get(id_)
        return None if row is None else decode_payout(row)

    async def notes(self, id_: bytes) -> list[str]:
        async with self.database.view() as view:
            return [entry.note for entry in await view.journey.of(id_)]

    async def alarms(self) -> list[str]:
        async with self.database.view() as view:
            return [row.fields for row in await view.incidents.latest()]


def pays(*outputs: tuple[int, bytes], salt: int = 0) -> CTransaction:
    """A payment out of somebody's coin."""
    return transaction([(OutPoint(bytes([200 + salt]) * 32, 0), [b"s" * 64])], outputs)


def spends(coins: Sequence[tuple[bytes, int]], *outputs: tuple[int, bytes], leaf: bool = False) -> CTransaction:
    """A transaction of the group (by key), or of a depositor (through the leaf)."""
    witness = [b"s" * 64, b"script", b"\xc0" + b"c" * 64] if leaf else [b"s" * 64]
    return transaction([(OutPoint(txid, vout), witness) for txid, vout in coins], outputs)
