"""Adding an EVM chain: each step once, however often the command is cut short and given again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from adapters.evm.types import Call
from adapters.native.errors import AlreadyRegistered
from adapters.native.events import GroupProposed
from cli.chain_origin import durable_sender, once, open_journal
from cli.chain_registering import ChainPlan, Coin, FalseChain, Registered, Registration
from cli.exits import NotFound, TimedOut
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, TokenUnits
from registry.assets import Asset, AssetPolicy
from registry.caip import evm_chain
from registry.chains import Chain, Vault
from registry.groups import Group, GroupStatus, Member
from tests.support.evm_chain import SECRET, TARGET, FakeChain

OWNER, GUARDIAN = b"o" * 20, b"g" * 20
NAME = evm_chain(5)
GENESIS = b"G" * 32
BITCOIN = b"b" * 32
KEY = b"K" * 32
POLICY = AssetPolicy(TokenUnits(1_000), TokenUnits(0), TokenUnits(1_000))
OPEN = AssetPolicy(TokenUnits(1), TokenUnits(0), TokenUnits(1), fee_bps=10)


def _members(count: int, first: int = 1) -> tuple[Member, ...]:
    numbers = range(first, first + count)
    return tuple(
        Member(bytes([n]) * 20, b"\x02" + bytes([n]) * 32, bytes([n]) * 32, f"tcp://127.0.0.1:{n}") for n in numbers
    )


PLAN = ChainPlan(NAME, Coin("Ether", "ETH", 18, 60, POLICY), GUARDIAN, 3_600, OPEN, is_open=True)


class Cut(Exception):
    """The command was ended here."""


@dataclass
class World:
    """A native chain and an EVM chain in memory; what a sender's journal knows outlives its run.

    `dead`: groups that never make their key. `cut_at`: the command ends at that send, before it takes effect, or after
    it (`cut_after`).
    """

    chains: dict[bytes, Chain] = field(default_factory=dict)
    coins: dict[bytes, Asset] = field(default_factory=dict)
    policies: dict[bytes, AssetPolicy] = field(default_factory=dict)
    groups: dict[bytes, Group] = field(default_factory=dict)
    vaults: dict[bytes, Vault] = field(default_factory=dict)
    proposed: list[GroupProposed] = field(default_factory=list)
    journal: dict[str, Any] = field(default_factory=dict)
    lockboxes: list[bytes] = field(default_factory=list)
    genesis_found: bytes = GENESIS
    makes_keys: bool = True
    dead: set[bytes] = field(default_factory=set)
    sent: int = 0
    cut_at: int | None = None
    cut_after: bool = False

    def __post_init__(self) -> None:
        bitcoin = Group(b"B" * 32, BITCOIN, 2, _members(3), 0, b"k" * 32, GroupStatus.ACTIVE)
        self.groups[bitcoin.id] = bitcoin

    # The native chain's reads.

    @property
    def calls(self) -> Any:
        return self

    @property
    def deployment(self) -> Any:
        return SimpleNamespace(start_block=0)

    async def chain_info(self, chain: bytes, _at: str) -> Chain | None:
        return self.chains.get(chain)

    async def assets(self, _at: str) -> tuple[Asset, ...]:
        return tuple(self.coins.values())

    async def chain_policy(self, chain: bytes, _at: str) -> AssetPolicy | None:
        return self.policies.get(chain)

    async def vault(self, chain: bytes, _at: str) -> Vault | None:
        return self.vaults.get(chain)

    async def group(self, group: bytes, _at: str = "finalized") -> Group | None:
        found = self.groups.get(group)
        if self.makes_keys and found is not None and found.key is None and group not in self.dead:
            found = self.groups[group] = replace(found, key=KEY, status=GroupStatus.ACTIVE)
        return found

    async def active_group(self, chain: bytes, _at: str) -> bytes | None:
        return next((g.id for g in self.groups.values() if g.chain == chain and g.key is not None), None)

    async def latest_block(self) -> Any:
        return SimpleNamespace(number=BlockHeight(9))

    async def events(self, _first: int, _last: int) -> list[GroupProposed]:
        return self.proposed

    def decoded(self, logs: Any) -> Any:
        return logs

    # The calls: each is what it does, with a value for the receipt.

    def register_chain(self, chain: Chain) -> Any:
        return lambda: self._new(self.chains, chain.id, chain)

    def register_asset(self, asset: Asset) -> Any:
        return lambda: self._new(self.coins, asset.id, asset)

    def register_vault(self, chain: bytes, vault: Vault) -> Any:
        return lambda: self._new(self.vaults, chain, vault)

    def set_chain_policy(self, chain: bytes, policy: AssetPolicy, *, is_open: bool) -> Any:
        def change() -> None:
            self.policies.pop(chain, None)
            if is_open:
                self.policies[chain] = policy

        return change

    def propose_group(self, chain: bytes, threshold: int, members: tuple[Member, ...]) -> Any:
        def propose() -> Any:
            group = Group(bytes([len(self.groups)]) * 32, chain, threshold, members, 0, None, GroupStatus.PROPOSED)
            self.groups[group.id] = group
            self.proposed.append(GroupProposed(cast(Any, None), group.id, chain, threshold, len(members)))
            return self.proposed[-1:]

        return propose

    def _new(self, known: dict[bytes, Any], key: bytes, value: Any) -> None:
        if key in known:
            raise AlreadyRegistered("register", "Registry: already registered")
        known[key] = value

    # The owner's sender.

    @property
    def account(self) -> bytes:
        return OWNER

    async def is_used_up(self, key: str) -> bool:
        return False

    async def send(self, call: Callable[[], Any], key: str) -> Any:
        if key not in self.journal:
            self._cut(before=True)
            self.journal[key] = SimpleNamespace(receipt=SimpleNamespace(logs=call()))
            self._cut(before=False)
            self.sent += 1
        return self.journal[key]

    def _cut(self, *, before: bool) -> None:
        if self.sent == self.cut_at and before is not self.cut_after:
            raise Cut

    # The EVM chain.

    async def genesis(self) -> bytes:
        return self.genesis_found

    async def deploy_lockbox(self, chain: Chain, key: bytes, guardian: bytes, window: int) -> tuple[bytes, BlockHeight]:
        def deploy() -> bytes:
            self.lockboxes.append(key + guardian)
            return bytes([len(self.lockboxes)]) * 20

        done = await self.send(deploy, f"lockbox:{key.hex()}:{guardian.hex()}:{window}")
        return done.receipt.logs, BlockHeight(7)

    async def check_lockbox(self, chain: Chain, lockbox: bytes, key: bytes) -> None:
        assert key == KEY


def register(world: World, plan: ChainPlan = PLAN) -> Registered:
    """One run of the command."""
    all_of_it = cast(Any, world)
    run = Registration(all_of_it, all_of_it, all_of_it, BITCOIN, plan, lambda _: None, 0.0)
    return asyncio.run(run.run())


def test_one_run_does_all_and_the_next_does_nothing() -> None:
    """Chain, coin, policy, group of bitcoin's members, vault; then the same command finds it all done."""
    world = World()
    done = register(world)
    assert (done.chain, done.is_open) == (Chain.named(NAME, GENESIS, 0), True)
    assert (done.group.threshold, done.group.members, done.group.key) == (2, _members(3), KEY)
    assert world.vaults == {NAME.id: Vault(b"\x01" * 20, BlockHeight(7), done.group.id)}
    assert world.lockboxes == [KEY + GUARDIAN]
    assert len(done.done) == 6
    sent = world.sent
    again = register(world)
    assert (again.done, world.sent) == ((), sent)
    assert (again.vault, again.group) == (done.vault, done.group)


@pytest.mark.parametrize("after", [False, True], ids=["before it takes effect", "after"])
@pytest.mark.parametrize("step", range(6))
def test_a_run_that_was_cut_short_is_gone_on_with(step: int, after: bool) -> None:
    """Wherever the command ends, just before a transaction or just after, the next one does the rest and nothing twice:
    above all no second vault and no second group."""
    world = World(cut_at=step, cut_after=after)
    with pytest.raises(Cut):
        register(world)
    world.cut_at = None
    register(world)
    whole = World()
    register(whole)
    for name in ("chains", "coins", "policies", "vaults", "groups", "lockboxes"):
        assert getattr(world, name) == getattr(whole, name), name
    assert len(world.lockboxes) == 1


def test_a_group_that_is_still_making_its_key_is_waited_for() -> None:
    """A run that was not patient enough leaves its proposal, and the next waits for the same one."""
    world = World(makes_keys=False)
    for _ in range(2):
        with pytest.raises(TimedOut):
            register(world)
    assert len(world.groups) == 2  # bitcoin's, and one for this chain
    world.makes_keys = True
    register(world)
    assert len(world.groups) == 2


def test_other_members_are_proposed_anew_until_a_group_has_its_key() -> None:
    """A proposal that came to nothing can be replaced by naming members; a group with a key cannot."""
    world = World(makes_keys=False)
    with pytest.raises(TimedOut):
        register(world)
    world.makes_keys, world.dead = True, set(world.groups)
    others = replace(PLAN, members=_members(3, 4), threshold=3)
    world.cut_at = world.sent + 1  # the group has its key, and there is no vault yet
    with pytest.raises(Cut):
        register(world, others)
    world.cut_at = None
    for option, plan in (
        ("--members", replace(PLAN, members=_members(3))),
        ("--threshold", replace(PLAN, threshold=2)),
    ):
        with pytest.raises(BadInput) as refusal:
            register(world, plan)
        assert refusal.value.field == option
    assert register(world).group.members == _members(3, 4)


def test_a_false_chain_is_refused_before_anything_is_sent() -> None:
    """Endpoints with another first block than the registered chain's are not the chain, whatever number they tell."""
    world = World()
    register(world)
    sent, world.genesis_found = world.sent, b"F" * 32
    with pytest.raises(FalseChain) as refusal:
        register(world)
    assert (refusal.value.registered, refusal.value.found, world.sent) == (GENESIS, b"F" * 32, sent)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"confirmations": 5}, "--finality"),
        ({"coin": Coin("Ether", "ETC", 18, 61, POLICY)}, "--coin"),
    ],
)
def test_what_is_registered_for_good_is_not_contradicted(changes: dict[str, Any], field: str) -> None:
    """Another finality rule or another coin than the registered one is a mistake, and named."""
    world = World()
    register(world)
    with pytest.raises(BadInput) as refusal:
        register(world, replace(PLAN, **changes))
    assert refusal.value.field == field


def test_the_policy_of_new_tokens_changes_only_where_it_is_written() -> None:
    """Without --open or --closed a chain stays as it is: at first closed; --closed closes it again."""
    world = World()
    assert register(world, replace(PLAN, is_open=None)).is_open is False
    assert world.policies == {}
    assert register(world).is_open is True
    assert register(world, replace(PLAN, is_open=None)).is_open is True
    assert register(world, replace(PLAN, is_open=True, introduced=POLICY)).done != ()
    assert world.policies == {NAME.id: POLICY}
    assert register(world, replace(PLAN, is_open=False)).is_open is False
    assert world.policies == {}


def test_what_new_tokens_of_an_open_chain_get_stays_where_it_is_not_written() -> None:
    """--open alone keeps the fee that an open chain has: a repeated command changes nothing; a closed one opens."""
    world = World()
    assert register(world, replace(PLAN, keeps_introduced=True)).is_open is True
    assert world.policies == {NAME.id: OPEN}
    kept = register(world, replace(PLAN, introduced=POLICY, keeps_introduced=True))
    assert (kept.done, kept.is_open) == ((), True)
    assert world.policies == {NAME.id: OPEN}
    assert register(world, replace(PLAN, is_open=False, keeps_introduced=True)).is_open is False


def test_without_a_group_somewhere_members_have_to_be_named() -> None:
    """Where no group serves bitcoin, the members cannot be taken over, and the options that name them are told."""
    world = World()
    world.groups.clear()
    with pytest.raises(NotFound) as refusal:
        register(world)
    assert "--members" in refusal.value.cure
    named = replace(PLAN, members=_members(2), threshold=2)
    assert register(world, named).group.members == _members(2)


async def test_what_was_sent_by_an_earlier_run_is_not_sent_again(tmp_path: Path) -> None:
    """The journal is a file: a second run asks what became of the first one's transaction, and sends none."""
    chain = FakeChain()
    call = Call(TARGET, b"deploy", "deploy")
    async with (
        open_journal(tmp_path / "a" / "b.db") as journal,
        durable_sender(cast(Any, chain), journal, SECRET, 5, scope="eip155:5") as sender,
    ):
        cut = asyncio.create_task(once(sender, call, "lockbox"))
        while not chain.broadcasts:
            await asyncio.sleep(0)
        cut.cancel()
        await asyncio.gather(cut, return_exceptions=True)
    chain.automine = True
    chain.mine(4)
    async with (
        open_journal(tmp_path / "a" / "b.db") as journal,
        durable_sender(cast(Any, chain), journal, SECRET, 5, scope="eip155:5") as sender,
    ):
        assert (await once(sender, call, "lockbox")).transaction == chain.broadcasts[0].hash
    assert chain.effects[b"deploy"] == 1
