"""A storeman's and voucher's office for vaults on EVM chains: real intakes and database, everything else made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from coincurve import PrivateKey, PublicKeyXOnly

from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.evm.types import BlockRef
from adapters.native.eip712 import HubDigests, account_of_secret
from adapters.native.types import Voucher, VoucherSet, WithdrawalStatus
from bridge.agents.office import Office
from bridge.intake.common import Context
from bridge.intake.intake import Intake
from bridge.settings import PolicySection
from bridge.signals import Signal
from bridge.storage import IncidentKind, VaultSignatureRow
from foundation.errors import CausewayError
from foundation.quantities import BlockHeight, TokenUnits, UnixMs, Wei
from registry.groups import Group, GroupStatus, Member
from tests.support.bridge_evm import ETH, EVM_GROUP, Asked, EvmSide
from tests.support.bridge_intake import DEPLOYMENT, Chains
from tests.support.bridge_office import Peers, Sender, identity

PAYOUT = b"p" * 32
HELD = 100 * ETH
START_MS = 1_000_000_000
GIVE_BACK_SECONDS = 60.0
SECRET = PrivateKey(b"\x07" * 32)
KEY = PublicKeyXOnly.from_secret(SECRET.secret).format()


def member(number: int) -> Member:
    i = identity(number)
    return Member(account_of_secret(i.account_secret), i.host_key, i.transport_key, f"tcp://127.0.0.1:{number}")


MEMBERS = tuple(member(number) for number in (1, 2, 3))


@dataclass
class Endpoints:
    """What a chain's nodes say of it. `balances`: of the vault, by token; None for what it cannot say."""

    side: EvmSide
    balances: dict[bytes, int] = field(default_factory=dict)
    ahead: int = 0
    """Blocks that are final and not read yet."""
    error: CausewayError | None = None

    async def final(self) -> Any:
        if self.error is not None:
            raise self.error
        return SimpleNamespace(number=BlockHeight(self.side.block + self.ahead))

    async def balance(self, address: bytes, at: BlockHeight) -> int:
        assert address == self.side.vault.lockbox
        return self.balances[NATIVE_COIN]

    async def call(self, call: Any, at: BlockHeight) -> bytes:
        return self.balances[call.to].to_bytes(32, "big")


@dataclass
class Cluster:
    """The group, as one key: signs what this node's own authorizer lets pass."""

    office: VaultOffice
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    error: CausewayError | None = None

    async def sign_together(self, group: bytes, kind: str, body: bytes, timeout_s: float) -> Any:
        self.asked.append((kind, body))
        if self.error is not None:
            raise self.error
        (item,) = await self.office.chains.vaults().authorize(group, kind, body)
        return SimpleNamespace(signatures=(SECRET.sign_schnorr(item.message),), signers=(0, 2))


@dataclass
class Hub:
    """The Hub's newest state, as a test sets it, and its calls by their names."""

    statuses: dict[bytes, WithdrawalStatus] = field(default_factory=dict)
    pending: int = 0
    hub_digests: HubDigests = field(default_factory=lambda: HubDigests(31337, DEPLOYMENT.hub))
    calls: Any = None
    final: Callable[[], int] = lambda: 0
    """The native chain's newest final block."""

    async def withdrawals(self, ids: Sequence[bytes], at: Any) -> list[Any]:
        found = [self.statuses.get(id_, WithdrawalStatus.REQUESTED) for id_ in ids]
        return [SimpleNamespace(status=status) for status in found]

    async def finalized_block(self) -> Any:
        return SimpleNamespace(number=BlockHeight(self.final()))

    async def pending_fees(self, asset: bytes, group: bytes | None, signers: int, at: Any) -> int:
        return self.pending


class Calls:
    """The Hub's calls, told by their names."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *arguments: SimpleNamespace(label=name, data=repr((name, arguments)).encode())


@dataclass
class VaultOffice:
    """One node. `now`: its clock, in milliseconds; `turn`: whether it is always its turn, or never."""

    chains: Chains
    hub: Hub
    sender: Sender
    carrier: Sender
    peers: Peers
    endpoints: Endpoints
    now: int = START_MS
    turn: bool = True
    gas: int = 0
    native_ahead: int = 0
    """Blocks of the native chain that are final and not read yet."""
    fake: Any = None
    cluster: Cluster = field(init=False)

    @classmethod
    async def open(cls, folder: Path, **policy: Any) -> VaultOffice:
        """With a vault that holds `HELD` of its chain's coin, all of it minted."""
        chains = await Chains.open(folder, **policy)
        side = chains.ethereum
        office = cls(chains, Hub(calls=Calls()), Sender(), Sender(), Peers(), Endpoints(side, {NATIVE_COIN: HELD}))
        office.cluster = Cluster(office)
        office.hub.final = lambda: office.chains.block + office.native_ahead
        await office.restart()
        await office.chains.serve(side, assets=[side.token()])
        await office.with_group()
        await office.chains.evm(side.locked(1, HELD))
        await office.chains.say(office.chains.mints(1, HELD))
        return office

    async def with_group(self) -> None:
        """A group of three with a key that can sign keeps the vault, and serves its chain."""
        chain = self.chains.ethereum.chain.id
        native = self.chains.native
        native.groups[EVM_GROUP] = Group(EVM_GROUP, chain, 2, MEMBERS, 0, KEY, GroupStatus.ACTIVE)

        async def active_group(of: bytes, at: Any = "finalized") -> bytes | None:
            return EVM_GROUP if of == chain else native.active

        cast(Any, native).active_group = active_group
        native.committee = VoucherSet(tuple(Voucher(m, Wei(1)) for m in MEMBERS), Wei(3))
        await self.chains.context.directory.refresh(native.groups)

    async def restart(self) -> None:
        """The same database, with this office's clock and nothing in memory."""
        old = self.chains
        context = Context(DEPLOYMENT, old.context.directory, old.context.policy, lambda: UnixMs(self.now))
        intake = Intake(old.database, old.bitcoin, context, Signal())
        await intake.load()
        await intake.start_at(await old.bitcoin.tip())
        self.chains = replace(old, intake=intake, context=context)
        self.fake = self._office()

    def _office(self) -> Any:
        me, side = identity(1), self.chains.ethereum
        section = SimpleNamespace(
            id=side.chain.id, relay=True, relay_at_loss=True, give_back_after_seconds=GIVE_BACK_SECONDS
        )
        rpc = SimpleNamespace(simulate=self._simulate)
        outpost = SimpleNamespace(
            section=section, endpoints=self.endpoints, rpc=rpc, sender=self.carrier, chain=side.chain.id
        )
        return SimpleNamespace(
            identity=me,
            account=account_of_secret(me.account_secret),
            database=self.chains.database,
            context=self.chains.context,
            directory=self.chains.context.directory,
            intake=self.chains.intake,
            policy=self.chains.context.policy,
            settings=SimpleNamespace(evm=(section,)),
            native=self.hub,
            bitcoin=self.chains.bitcoin,
            sender=self.sender,
            peers=self.peers,
            cluster=self.cluster,
            changed=Signal(),
            clock=lambda: UnixMs(self.now),
            is_turn=lambda members, turns=1, subject=b"": self.turn,
            outposts={side.chain.id: outpost},
        )

    async def _simulate(self, call: Any, account: bytes) -> Any:
        return SimpleNamespace(gas=self.gas, block=SimpleNamespace(base_fee=10**9))

    @property
    def office(self) -> Office:
        return cast(Office, self.fake)

    @property
    def side(self) -> EvmSide:
        return self.chains.ethereum

    @property
    def outpost(self) -> Any:
        """This node's place on the EVM chain."""
        return self.fake.outposts[self.side.chain.id]

    @property
    def policy(self) -> PolicySection:
        return self.chains.context.policy

    async def ask(self, *asked: Asked, payout: bytes | None = PAYOUT) -> None:
        """Withdrawals of coin, and the payout that reserves them, finally."""
        await self.chains.say(*(self.chains.asks(a) for a in asked))
        if payout is not None:
            await self.chains.say(self.chains.reserves(payout, *asked))

    async def deny(self, denied: bool = True, **changes: Any) -> None:
        """The Registry's owner changes the coin's policy."""
        coin = self.side.coin
        changed = replace(coin, policy=replace(coin.policy, denied=denied, **changes))
        native = self.chains.native
        native.foreign = [changed if asset.id == coin.id else asset for asset in native.foreign]
        await self.chains.context.directory.refresh(native.groups)

    async def empty_block(self, native: bool = True, evm: bool = True) -> None:
        """The chains go on, and nothing happens."""
        if native:
            self.chains.block += 1
            self.chains.intake.native_cursor = BlockRef(BlockHeight(self.chains.block), b"b" * 32)
        if evm:
            last = self.side.batch(()).last
            self.chains.intake.evm_cursors[self.side.chain.id] = last

    async def signed(self) -> list[VaultSignatureRow]:
        """What is signed and not carried yet."""
        async with self.chains.database.view() as view:
            return list(await view.vault_signatures.open(self.side.chain.id))

    async def incidents(self) -> list[tuple[IncidentKind, str]]:
        async with self.chains.database.view() as view:
            return [(row.kind, row.error) for row in await view.incidents.latest()]

    async def fact(self, name: str) -> bytes | None:
        return await self.chains.fact(name)

    async def close(self) -> None:
        await self.chains.database.close()


def units(amount: int) -> TokenUnits:
    return TokenUnits(amount)
