"""Opening the EVM leg with all that it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from adapters.evm.agreed_node import AgreedNode
from adapters.evm.endpoint import Endpoint
from adapters.evm.endpoints import Endpoints
from adapters.evm.escrow.errors import typed_revert
from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import TxJournal
from adapters.evm.sender import TxSender
from settlement.swap.evm.leg import EscrowLeg
from settlement.swap.evm.site import EscrowSite


@dataclass(frozen=True, slots=True)
class Views:
    """The same endpoints of one chain, twice. Fields: heads (their newest block counts as final); finals (as it is)."""

    heads: Endpoints
    finals: Endpoints


def views_of(endpoints: Sequence[Endpoint], site: EscrowSite, *, quorum: int | None = None) -> Views:
    """Both views of a chain. `quorum` as `Endpoints`. Raises `BadInput`: no endpoint, or an impossible quorum."""
    finals = Endpoints(endpoints, site.chain, quorum=quorum)
    return Views(Endpoints(endpoints, replace(site.chain, confirmations=1), quorum=quorum), finals)


@dataclass(frozen=True, slots=True)
class OpenLeg:
    """What an engine works with. Fields: leg (acts); views (for `EscrowWatch` and `search_locks`)."""

    leg: EscrowLeg
    views: Views


@asynccontextmanager
async def open_leg(
    site: EscrowSite,
    urls: Sequence[str],
    secret: bytes,
    journal: TxJournal,
    policy: SenderPolicy | None = None,
    *,
    quorum: int | None = None,
) -> AsyncIterator[OpenLeg]:
    """The leg of one account, running until the block ends. The chain may be down meanwhile.

    Args:
        site: the Escrow.
        urls: the chain's nodes; all that answer have to agree, and all are sent to.
        secret: the account's key, 32 bytes; nothing else may send from it.
        journal: durable, on disk before anything is sent.
        policy: bids and waits of the sender.
        quorum: how many nodes have to answer; all where None.

    Raises:
        BadInput: a URL or the key is none.
    """
    views = views_of([Endpoint.at(url, reverted=typed_revert) for url in urls], site, quorum=quorum)
    node = AgreedNode(views.finals)
    async with views.finals, TxSender(node, journal, secret, site.number, policy) as sender:
        yield OpenLeg(EscrowLeg(site, views.heads, node, sender, journal, secret), views)
