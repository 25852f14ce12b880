"""What a trader has at its nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.evm.endpoint import Endpoint
from adapters.evm.escrow.contract import EscrowContract
from settlement.swap.bitcoin.wallet import NodeWallet
from settlement.swap.engine.runtime import bitcoin_rpc
from settlement.swap.evm.opening import views_of

if TYPE_CHECKING:
    from settlement.swap.engine.settings import TraderSettings


@dataclass(frozen=True, slots=True)
class Funds:
    """Fields: satoshi; assets (symbol, address, base units)."""

    satoshi: int
    assets: tuple[tuple[str, bytes, int], ...]


async def read_funds(settings: TraderSettings, account: bytes) -> Funds:
    """Ask both nodes. Raises what they raise."""
    async with bitcoin_rpc(settings.bitcoin) as rpc:
        satoshi = await NodeWallet(rpc, settings.bitcoin.network).balance()
    views = views_of([Endpoint.at(url) for url in settings.urls], settings.site, quorum=settings.quorum)
    async with views.heads:
        await views.heads.check()
        head = await views.heads.final()
        assert head is not None, "it has a first block"
        contract = EscrowContract(views.heads, settings.site.escrow)
        assets = [
            (one.symbol, one.token, await contract.balance(account, one.token, head.number))
            for one in settings.assets
            if one.token is not None
        ]
    return Funds(satoshi, tuple(assets))
