"""Following the vaults of EVM chains, one task a chain."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack
from typing import Final

import structlog

from adapters.evm.errors import CursorReorged
from adapters.evm.lockbox.follower import VerifiedFollower
from adapters.evm.lockbox.vault import LockboxVault
from bridge.agents.office import Office
from bridge.agents.vaults.alarms import raise_alarm
from bridge.agents.vaults.outpost import Outpost
from bridge.directory import EvmOrigin
from bridge.settings import EvmSection
from bridge.status import ChainStatus
from foundation.errors import Retryable

_LOG: Final = structlog.get_logger(__name__)
_FIRST_BACK_OFF: Final = 0.2
_MOST_BACK_OFF: Final = 5.0
_LOOK_SECONDS: Final = 0.25


class VaultNotFinal(Retryable):
    """The block in which the vault's contract was deployed is not final yet. Fields: chain."""

    def __init__(self, chain: str) -> None:
        self.chain = chain
        super().__init__(f"the vault of {chain} was deployed in a block that is not final yet")


async def follow_evm(office: Office, section: EvmSection, status: ChainStatus, native_read: asyncio.Event) -> None:
    """Apply the final, proved events of a chain's vault as they come, for ever.

    It begins once the native chain is read and names the vault. An endpoint that serves another chain, and a vault that
    is not our contract, end the node: its configuration is wrong. A chain that takes back what was final is not served
    any more, and all its assets are wanted halted, until a person has looked; the other chains go on.

    Raises:
        WrongChain, NotOurLockbox: see above.
    """
    await native_read.wait()
    origin = await _origin(office, section, status)
    back_off = _FIRST_BACK_OFF
    while True:
        async with AsyncExitStack() as stack:
            try:
                outpost = await Outpost.open(stack, section, origin, office.database, office.identity.account_secret)
                await _check_vault(office, outpost, origin)
            except Retryable as error:
                back_off = await _wait(section, status, error, back_off)
                continue
            office.outposts[section.id] = outpost
            stack.callback(office.outposts.pop, section.id)
            _LOG.info("following", chain=section.chain, vault="0x" + origin.vault.lockbox.hex())
            try:
                await _follow(office, outpost, origin, status)
            except CursorReorged as error:
                reorged = error
        # The outpost is closed: no duty acts on the chain any more.
        status.problem = f"not served any more: {reorged}"
        while True:  # until a person has looked, and starts the node again
            assets = [asset.id for asset in office.directory.assets.values() if asset.chain == section.id]
            with contextlib.suppress(Retryable):  # the database may be away
                await raise_alarm(office, assets, type(reorged).__name__, f"{section.chain}: {reorged}")
            await asyncio.sleep(_MOST_BACK_OFF)


async def _check_vault(office: Office, outpost: Outpost, origin: EvmOrigin) -> None:
    """The contract at the vault's address is ours, and obeys a group of its chain. Raises `NotOurLockbox`.

    After a rotation that is the group which serves the chain now; before, the one with which the vault was registered.
    """
    final = await outpost.endpoints.final()
    if final is None or final.number < origin.vault.start_block:
        raise VaultNotFinal(origin.chain.caip2)
    vault = LockboxVault(outpost.endpoints, origin.vault.lockbox)
    serving = office.directory.active_of(origin.chain.id) or origin.vault.group
    keys = [office.directory.key(group) for group in dict.fromkeys([origin.vault.group, serving])]
    found = await vault.key(final.number)
    await vault.check(found if found in keys else keys[0], final.number)


async def _origin(office: Office, section: EvmSection, status: ChainStatus) -> EvmOrigin:
    """The chain with its vault, once the Registry names them."""
    while True:
        origin = office.directory.origins.get(section.id)
        if origin is not None:
            return origin
        status.problem = "the Registry names no vault for this chain yet, or not the chain's own coin"
        await asyncio.sleep(_LOOK_SECONDS)


async def _follow(office: Office, outpost: Outpost, origin: EvmOrigin, status: ChainStatus) -> None:
    follower = VerifiedFollower(
        outpost.endpoints, origin.vault.lockbox, origin.vault.start_block, max_range=outpost.section.log_range
    )
    back_off = _FIRST_BACK_OFF
    while True:
        try:
            batch = await follower.read(await office.intake.evm_cursor(outpost.chain))
            if batch is not None:
                await office.intake.evm(outpost.chain, batch)
        except Retryable as error:
            back_off = await _wait(outpost.section, status, error, back_off)
            continue
        status.problem = ""
        back_off = _FIRST_BACK_OFF
        if batch is None:
            await asyncio.sleep(outpost.section.poll_seconds)


async def _wait(section: EvmSection, status: ChainStatus, error: Retryable, back_off: float) -> float:
    if status.problem != str(error):
        _LOG.warning("waiting", what=section.chain, problem=str(error))
    status.problem = str(error)
    await asyncio.sleep(back_off)
    return min(2 * back_off, _MOST_BACK_OFF)
