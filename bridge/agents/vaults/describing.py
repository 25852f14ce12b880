"""Reading what tokens say of themselves that somebody has deposited and nobody has registered."""

from __future__ import annotations

from typing import Final

import structlog

from adapters.evm.lockbox.tokens import token_description
from bridge.agents.office import Apart, Office
from bridge.codec import encode
from bridge.deposits import Deposit, Stage
from bridge.directory import EvmOrigin
from bridge.intake.common import described_fact
from bridge.messages import AssetSeen
from bridge.vault_books import locked
from registry.caip import erc20

_LOG: Final = structlog.get_logger(__name__)


class Describe:
    """Reads a token at the block of its first deposit, so that honest vouchers attest the same."""

    name = "describe"

    def __init__(self, office: Office) -> None:
        self._office = office

    async def run(self) -> bool:
        """Describe what is new, on the chains that are open for new assets."""
        apart = Apart()
        for chain, origin in list(self._office.directory.origins.items()):
            if chain not in self._office.directory.open_chains or chain not in self._office.outposts:
                continue
            for deposit in await self._unknown(chain):
                with apart:
                    await self._describe(origin, deposit)
        apart.end()
        return False

    async def _unknown(self, chain: bytes) -> list[Deposit]:
        """The first deposit of each asset that is not registered and not described yet.

        By the vault's own count: a token may say something else in each block, and every voucher has to ask in one.
        """
        first: dict[bytes, Deposit] = {}
        async with self._office.database.view() as view:
            for deposit in sorted(await locked(view, chain, Stage.CONFIRMING), key=_lock_number):
                known = deposit.asset in self._office.directory.assets or deposit.asset in first
                if not known and await view.node_meta.get(described_fact(deposit.asset)) is None:
                    first[deposit.asset] = deposit
        return list(first.values())

    async def _describe(self, origin: EvmOrigin, deposit: Deposit) -> None:
        assert deposit.lock is not None, "locked deposits alone wait to be described"
        assert deposit.height is not None, "it was seen in a block"
        endpoints = self._office.outposts[origin.chain.id].endpoints
        said = await token_description(endpoints, deposit.lock.token, deposit.height)
        text = str(erc20(origin.chain.chain_id, deposit.lock.token))
        claim = AssetSeen(origin.chain.id, text, said.name, said.symbol, said.decimals)
        async with self._office.database.unit() as uow:
            await uow.node_meta.put(described_fact(deposit.asset), encode(claim))
            await uow.commit()
        _LOG.info("a new asset", asset=text, name=said.name, symbol=said.symbol, decimals=said.decimals)
        self._office.changed.set()


def _lock_number(deposit: Deposit) -> int:
    assert deposit.lock is not None, "locked deposits alone wait to be described"
    return deposit.lock.number
