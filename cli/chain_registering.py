"""Adding an EVM chain to a bridge: chain, coin, policy, group and vault. Each step looks first, so that the whole can
be repeated until all is done, and after that changes nothing."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from eth_utils.crypto import keccak

from adapters.native.chain import NativeChain
from adapters.native.errors import AlreadyRegistered
from adapters.native.events import GroupProposed
from cli.chain_origin import DurableSender, Origin, once
from cli.exits import NotFound
from cli.founding import proposals, until_active
from foundation.errors import BadInput, Fatal
from registry.assets import Asset, AssetPolicy
from registry.caip import ChainId, evm_coin
from registry.chains import OWN_FINALITY, Chain, Vault
from registry.groups import Group, Member

Looked = Callable[[Group | None], Awaitable[None]]
_SLIP44: Final = "/slip44:"


class FalseChain(Fatal):
    """The endpoints serve another chain than the one that is registered under this name.

    Fields: chain (CAIP-2); registered, found (hashes of the first block, 32 bytes); cure.
    """

    def __init__(self, chain: str, registered: bytes, found: bytes) -> None:
        self.chain = chain
        self.registered = registered
        self.found = found
        self.cure = (
            "name endpoints of the chain that is registered; two chains may share a number, none a genesis block"
        )
        super().__init__(
            f"{chain} is registered with the genesis block {registered.hex()}, the endpoints have {found.hex()}"
        )


@dataclass(frozen=True)
class Coin:
    """A chain's own coin. Fields: name; symbol; decimals; coin_type (SLIP-44); policy."""

    name: str
    symbol: str
    decimals: int
    coin_type: int
    policy: AssetPolicy

    def asset(self, chain: ChainId) -> Asset:
        """It as an asset. Raises `BadInput`."""
        return Asset.named(evm_coin(chain, self.coin_type), self.name, self.symbol, self.decimals, self.policy)


@dataclass(frozen=True)
class ChainPlan:
    """What shall be registered.

    Fields: chain; coin; guardian (20 bytes; may pause the vault); window_seconds (of the vault's limits);
    confirmations (None: as it is registered, at first the chain's own finality); is_open (whether vouchers may
    introduce its ERC-20s; None: as it is, at first not), introduced (what those get), keeps_introduced (what an open
    chain has for them stays); members, threshold (None: as those of the group that serves the chain, else bitcoin).
    """

    chain: ChainId
    coin: Coin
    guardian: bytes
    window_seconds: int
    introduced: AssetPolicy
    confirmations: int | None = None
    is_open: bool | None = None
    members: tuple[Member, ...] | None = None
    threshold: int | None = None
    keeps_introduced: bool = False


@dataclass(frozen=True)
class Registered:
    """A chain that can be served. Fields: chain; coin; group; vault; is_open; done (what this run did)."""

    chain: Chain
    coin: Asset
    group: Group
    vault: Vault
    is_open: bool
    done: tuple[str, ...]


@dataclass
class Registration:
    """One run. `run` may be called by any number of runs, one after the other, until the chain is registered.

    Fields: native; owner (the account that deployed the contracts; a journal that outlives the run); origin; bitcoin
    (the bitcoin chain's id, 32 bytes); plan; tell (told of each step); timeout_seconds (for the group's key); looked
    (told of the group while its key is waited for).
    """

    native: NativeChain
    owner: DurableSender
    origin: Origin
    bitcoin: bytes
    plan: ChainPlan
    tell: Callable[[str], None]
    timeout_seconds: float
    looked: Looked | None = None
    done: list[str] = field(default_factory=list)

    async def run(self) -> Registered:
        """Do what is missing.

        Raises:
            FalseChain: the endpoints serve another chain than the registered one.
            BadInput: the plan contradicts what is registered for good, or the Registry would refuse it.
            NotFound: there is no group whose members could be taken over.
            NotTheOwner: the sender did not deploy the contracts.
            TimedOut: the storemen have not made their key, or the deployment is not final; run again.
            NoGasOnChain, and what the chains raise.
        """
        coin = self.plan.coin.asset(self.plan.chain)
        chain = await self._chain()
        coin = await self._coin(chain, coin)
        is_open = await self._policy(chain)
        vault = await self.native.vault(chain.id, "latest")
        if vault is None:
            group = await self._group(chain)
            vault = await self._vault(chain, group)
        else:
            group = await self._known_group(vault.group)
            await self._checked(chain, vault, group)
        return Registered(chain, coin, group, vault, is_open, tuple(self.done))

    async def _chain(self) -> Chain:
        name, wanted = str(self.plan.chain), self.plan.confirmations
        genesis = await self.origin.genesis()
        known = await self.native.chain_info(self.plan.chain.id, "latest")
        if known is None:
            new = Chain.named(self.plan.chain, genesis, OWN_FINALITY if wanted is None else wanted)
            key = f"chain:{name}:{genesis.hex()}:{new.confirmations}"
            await self._register("chain", name, once(self.owner, self.native.calls.register_chain(new), key))
            known = await self.native.chain_info(self.plan.chain.id, "latest") or new
        if known.genesis != genesis:
            raise FalseChain(name, known.genesis, genesis)
        if wanted is not None and wanted != known.confirmations:
            problem = f"{name} is registered with {finality_text(known.confirmations)}"
            raise BadInput("--finality", problem, "a chain's finality rule is for ever: leave the option out")
        return known

    async def _coin(self, chain: Chain, coin: Asset) -> Asset:
        known = [a for a in await self.native.assets("latest") if a.chain == chain.id and _SLIP44 in a.caip19]
        if not known:
            sending = once(self.owner, self.native.calls.register_asset(coin), f"asset:{coin.caip19}:{coin.symbol}")
            await self._register("coin", f"{coin.symbol} ({coin.caip19})", sending)
            return coin
        if (known[0].caip19, known[0].symbol, known[0].decimals) != (coin.caip19, coin.symbol, coin.decimals):
            problem = f"the coin is registered as {known[0].symbol}, {known[0].caip19}, {known[0].decimals} decimals"
            raise BadInput("--coin", problem, "give the same --coin, --coin-type and --decimals")
        return known[0]

    async def _policy(self, chain: Chain) -> bool:
        """Say whether vouchers may introduce assets, and with which policy. Whether they may."""
        found, wanted = await self.native.chain_policy(chain.id, "latest"), self.plan.is_open
        kept = found is not None and (self.plan.keeps_introduced or found == self.plan.introduced)
        if wanted is None or (not wanted and found is None) or (wanted and kept):
            return found is not None
        call = self.native.calls.set_chain_policy(chain.id, self.plan.introduced, is_open=wanted)
        await self.owner.send(call, f"policy:{chain.caip2}:{secrets.token_hex(8)}")
        self._did("opened for ERC-20s that vouchers introduce" if wanted else "closed for ERC-20s of vouchers")
        return wanted

    async def _group(self, chain: Chain) -> Group:
        """The group for the vault, with its key."""
        active = await self.native.active_group(chain.id, "latest")
        proposed = await proposals(self.native, chain.id)
        if active is not None:
            newest = active
            self._refuse_other_members(await self._known_group(active))
        elif proposed and await self._is_meant(proposed[-1]):
            newest = proposed[-1]
            self.tell(f"group {newest.hex()[:8]} is proposed already")
        else:
            newest = await self._propose(chain, len(proposed))
        if active is None:
            self.tell("waiting until its members have made their key")
        return await until_active(self.native, newest, self.timeout_seconds, self.looked)

    async def _propose(self, chain: Chain, before: int) -> bytes:
        """Propose the group. The proposals before it are counted in the key: one that is on its way is not repeated."""
        members, threshold = await self._members()
        digest = keccak(b"".join(member.account + member.host_key for member in members)).hex()[:16]
        call = self.native.calls.propose_group(chain.id, threshold, members)
        result = await once(self.owner, call, f"group:{chain.caip2}:{threshold}:{digest}:{before}")
        events = [e for e in self.native.decoded(result.receipt.logs) if isinstance(e, GroupProposed)]
        self._did(f"proposed group {events[0].id.hex()[:8]}: {threshold} of {len(members)} sign")
        return events[0].id

    async def _members(self) -> tuple[tuple[Member, ...], int]:
        members, threshold = self.plan.members, self.plan.threshold
        if members is None or threshold is None:
            serving = await self.native.active_group(self.bitcoin, "latest")
            if serving is None:
                cure = "give --members and --threshold, or found a group for bitcoin first: causeway group create"
                raise NotFound("no group serves bitcoin, whose members could serve this chain too", cure)
            found = await self._known_group(serving)
            members = found.members if members is None else members
            threshold = found.threshold if threshold is None else threshold
        return members, threshold

    async def _is_meant(self, group: bytes) -> bool:
        """Whether a group that was proposed before is the one that the plan names, if it names one."""
        found = await self._known_group(group)
        wanted = self.plan.members
        return (wanted is None or wanted == found.members) and self.plan.threshold in (None, found.threshold)

    def _refuse_other_members(self, group: Group) -> None:
        named = self.plan.members
        if named is not None and named != group.members:
            problem = f"group {group.id.hex()[:8]} has made its key for this chain, with other members"
            raise BadInput("--members", problem, "leave the option out")
        if self.plan.threshold not in (None, group.threshold):
            problem = f"group {group.id.hex()[:8]} has made its key for this chain, with {group.threshold}"
            raise BadInput("--threshold", problem, "leave the option out")

    async def _vault(self, chain: Chain, group: Group) -> Vault:
        assert group.key is not None, "it was waited for"
        plan = self.plan
        self.tell(f"deploying the vault (Lockbox) on {chain.caip2}")
        lockbox, block = await self.origin.deploy_lockbox(chain, group.key, plan.guardian, plan.window_seconds)
        vault = Vault(lockbox, block, group.id)
        await self._checked(chain, vault, group)
        self._did(f"deployed the vault 0x{lockbox.hex()} in block {block:,}")
        key = f"vault:{chain.caip2}:{lockbox.hex()}"
        sending = once(self.owner, self.native.calls.register_vault(chain.id, vault), key)
        await self._register("vault", f"0x{lockbox.hex()}", sending)
        found = await self.native.vault(chain.id, "latest")
        if found is not None and found != vault:
            problem = f"0x{found.lockbox.hex()} was registered meanwhile"
            raise BadInput("vault", problem, "give the same command again, and only once at a time")
        return vault

    async def _checked(self, chain: Chain, vault: Vault, group: Group) -> None:
        assert group.key is not None, "the Registry takes no vault of a group without one"
        await self.origin.check_lockbox(chain, vault.lockbox, group.key)

    async def _known_group(self, group: bytes) -> Group:
        found = await self.native.group(group, "latest")
        assert found is not None, "the Registry named it"
        return found

    async def _register(self, kind: str, what: str, sending: Awaitable[object]) -> None:
        try:
            await sending
        except AlreadyRegistered:
            self.tell(f"{kind} {what} is registered already")
        else:
            self._did(f"registered {kind} {what}")

    def _did(self, what: str) -> None:
        self.done.append(what)
        self.tell(what)


def finality_text(confirmations: int) -> str:
    """A chain's rule of what is final, as `--finality` takes it."""
    return "finalized" if confirmations == OWN_FINALITY else f"depth:{confirmations}"
