"""Founding a bridge: contracts, the bitcoin chain and its asset, vouchers, a group. Each step looks first, so that it
can be repeated until all is done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from adapters.native.errors import AlreadyAVoucher, AlreadyRegistered
from adapters.native.events import GroupProposed
from cli.exits import TimedOut
from foundation.quantities import BlockHeight, Wei

if TYPE_CHECKING:
    from adapters.bitcoin.addresses import Network
    from adapters.native.chain import NativeChain
    from adapters.native.ports import Sender
    from registry.assets import AssetPolicy
    from registry.groups import Group, Member

_LOOK_SECONDS: Final = 0.2
_CONFIRMATIONS: Final = 6
"""After how many blocks a bitcoin payment is final for the Registry; on a network of one's own the first is."""


def bitcoin_confirmations(network: Network) -> int:
    """How many confirmations make a payment final, where nobody says otherwise."""
    return 1 if network.name == "regtest" else _CONFIRMATIONS


async def register_bitcoin(
    native: NativeChain, owner: Sender, network: Network, policy: AssetPolicy, confirmations: int | None = None
) -> bool:
    """Register the bitcoin chain and its asset, where they are not. Returns whether anything was missing.

    Args:
        native: the chain.
        owner: the account that deployed the contracts.
        network: which bitcoin.
        policy: of the asset.
        confirmations: how many make a payment final; None: `bitcoin_confirmations`.

    Raises:
        BadInput: the Registry would refuse the policy or the confirmations.
        NotTheOwner: the sender did not deploy the contracts.
        What `TxSender.send` raises.
    """
    from bridge.settings import bitcoin_asset
    from registry.assets import Asset
    from registry.chains import Chain

    asset = bitcoin_asset(network)
    depth = bitcoin_confirmations(network) if confirmations is None else confirmations
    chain = Chain.named(asset.chain, network.genesis, depth)
    missing = False
    if await native.chain_info(chain.id, "latest") is None:
        missing = True
        await _unless_done(owner.send(native.calls.register_chain(chain), "register chain"))
    if await native.asset(asset.id, "latest") is None:
        missing = True
        named = Asset.named(asset, "Bitcoin", "BTC", 8, policy)
        await _unless_done(owner.send(native.calls.register_asset(named), "register asset"))
    return missing


async def admit(native: NativeChain, owner: Sender, account: bytes) -> bool:
    """Let an account (20 bytes) join the vouchers. Returns whether it was new. Raises as `register_bitcoin`."""
    return await _unless_done(owner.send(native.calls.admit_voucher(account), f"admit {account.hex()}"))


async def join(
    native: NativeChain, sender: Sender, member: Member, stake: Wei | None = None, commission_bps: int = 0
) -> bool:
    """Become a voucher; `stake` None: the least allowed. Returns whether it was new.

    `commission_bps`: what it keeps of what its delegators earn, in basis points.

    Raises:
        NotAdmitted: the owner has not admitted the account.
        StakeTooSmall: the stake is below the minimum.
        What `TxSender.send` raises.
    """
    stake = await native.minimum_stake("latest") if stake is None else stake
    call = native.calls.join_vouchers(member.host_key, member.transport_key, member.endpoint, stake, commission_bps)
    return await _unless_done(sender.send(call, f"join {member.account.hex()}"))


async def propose(native: NativeChain, owner: Sender, chain: bytes, threshold: int, members: Sequence[Member]) -> bytes:
    """Propose a group; its id. Raises `BadInput`, and as `register_bitcoin`."""
    key = "propose " + b"".join(member.account for member in members).hex()
    result = await owner.send(native.calls.propose_group(chain, threshold, members), key)
    proposed = [event for event in native.decoded(result.receipt.logs) if isinstance(event, GroupProposed)]
    return proposed[0].id


async def proposals(native: NativeChain, chain: bytes) -> list[bytes]:
    """The ids of all groups that were proposed for a chain, the newest last."""
    last = (await native.latest_block()).number
    events = await native.events(BlockHeight(native.deployment.start_block), last)
    return [event.id for event in events if isinstance(event, GroupProposed) and event.chain == chain]


async def until_active(
    native: NativeChain,
    group: bytes,
    timeout_seconds: float,
    looked: Callable[[Group | None], Awaitable[None]] | None = None,
) -> Group:
    """Wait until a group has its key, finally.

    Args:
        native: the chain.
        group: its id.
        timeout_seconds: how long to wait.
        looked: told of the group as each look found it; what it raises ends the waiting.

    Raises:
        TimedOut: it has not.
    """
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while True:
        found = await native.group(group)
        if found is not None and found.is_active:
            return found
        if looked is not None:
            await looked(found)
        if asyncio.get_running_loop().time() > deadline:
            cure = "all members must run and reach each other: look at causeway node status of each"
            raise TimedOut(f"group {group.hex()} has no key", timeout_seconds, cure)
        await asyncio.sleep(_LOOK_SECONDS)


async def _unless_done(sending: Awaitable[object]) -> bool:
    """Whether a call changed something; False where what it wanted is so already."""
    try:
        await sending
    except (AlreadyRegistered, AlreadyAVoucher):
        return False
    return True
