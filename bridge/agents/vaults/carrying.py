"""Carrying signed messages to the vaults. Anyone can; a storeman does it for everybody, and earns the relay fee."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

import structlog

from adapters.evm.lockbox.calls import LockboxCalls
from adapters.evm.lockbox.errors import LockboxRefused
from adapters.evm.lockbox.types import NATIVE_COIN, RETURN
from adapters.evm.types import Call
from adapters.native.errors import ContractRefused
from adapters.native.proofs import Proof
from bridge.agents.office import Apart, Office, send_call
from bridge.agents.vaults.outpost import Outpost
from bridge.agents.vaults.wanted import is_done
from bridge.directory import EvmOrigin
from bridge.intake.common import epoch_fact
from bridge.messages import CANCEL, RELEASE, ReleaseProposal
from bridge.storage import VaultSignatureRow
from bridge.vault_requests import VaultRequest, payments_of
from foundation.errors import CausewayError
from foundation.quantities import UnixMs, Wei

_LOG: Final = structlog.get_logger(__name__)
_AGAIN_MS: Final = 15_000
"""What was carried and has no final effect after this time is looked at again."""
_AT_ONCE: Final = 8


class CarryToVaults:
    """Sends what is signed, when it is this node's turn, until the vault's events show that nothing is left of it."""

    name = "carry to vaults"

    def __init__(self, office: Office) -> None:
        self._office = office
        self._sent: dict[bytes, UnixMs] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> bool:
        """Carry what is open."""
        waits = False
        apart = Apart()
        for chain, origin in self._office.directory.origins.items():
            outpost = self._office.outposts.get(chain)
            group = self._office.directory.groups.get(origin.vault.group)
            if outpost is None or group is None or group.index_of(self._office.account) is None:
                continue
            rows = await self._open(chain)
            waits = waits or bool(rows)
            members = tuple(member.host_key for member in group.members)
            mine = [row for row in rows if self._is_due(row) and self._office.is_turn(members, subject=row.subject)]
            results = await asyncio.gather(*(self._carry(outpost, origin, row) for row in mine), return_exceptions=True)
            for result in results:
                with apart:
                    if isinstance(result, BaseException):
                        raise result
        apart.end()
        return waits

    async def _open(self, chain: bytes) -> list[VaultSignatureRow]:
        """What is left to be carried; what is done, or signed with a key that was rotated away, is closed."""
        async with self._office.database.view() as view:
            rows = await view.vault_signatures.open(chain)
            epoch = int(await view.node_meta.get(epoch_fact(chain)) or b"0")
            over = [row.message for row in rows if row.epoch != epoch or await is_done(view, chain, row.kind, row.body)]
        if over:
            async with self._office.database.unit() as uow:
                await uow.vault_signatures.done(over, self._office.clock())
                await uow.commit()
            for message in over:
                self._sent.pop(message, None)
        return [row for row in rows if row.message not in set(over)]

    def _is_due(self, row: VaultSignatureRow) -> bool:
        sent = self._sent.get(row.message)
        return sent is None or self._office.clock() - sent >= _AGAIN_MS

    async def _carry(self, outpost: Outpost, origin: EvmOrigin, row: VaultSignatureRow) -> None:
        async with self._slots:
            # Both to their end: neither is to go on behind the other's failure.
            parts = self._deliver(outpost, origin, row), self._publish(row)
            for result in await asyncio.gather(*parts, return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result

    async def _deliver(self, outpost: Outpost, origin: EvmOrigin, row: VaultSignatureRow) -> None:
        request = VaultRequest.decoded(row.kind, row.body)
        if not outpost.section.relay:
            return
        call = request.call(LockboxCalls(origin.vault.lockbox), Proof(row.rx, row.s, row.ry))
        consumed = await self._consumed(outpost.chain, request)
        try:
            if row.kind == RELEASE and not outpost.section.relay_at_loss and not _sends_back(request):
                fees = _coin_fees(request, consumed)
                needed = await self._cost(outpost, call)
                if fees < needed:
                    _LOG.info("a release does not pay its way", fees=fees, needed=needed, subject=row.subject.hex())
                    self._sent[row.message] = self._office.clock()
                    return
            verb = "cancel on" if row.kind == CANCEL else row.kind
            # A release whose payments were delayed in part is brought again for the rest, in another transaction.
            subject = row.message + len(consumed).to_bytes(2, "big")
            result = await send_call(outpost.sender, verb, subject, call)
        except LockboxRefused as error:  # paid, delayed, or paused: its events tell which, and later is another time
            _LOG.info("the vault takes nothing of it now", kind=row.kind, chain=origin.chain.caip2, reason=str(error))
        else:
            _LOG.info("carried", kind=row.kind, chain=origin.chain.caip2, transaction=result.transaction.hex())
        self._sent[row.message] = self._office.clock()

    async def _consumed(self, chain: bytes, request: VaultRequest) -> frozenset[int]:
        """Which numbers of a release the vault has dealt with, as far as this node has read."""
        if not isinstance(request.proposal, ReleaseProposal):
            return frozenset()
        async with self._office.database.view() as view:
            numbers = [payment.number for payment in payments_of(request.proposal)]
            return frozenset(await view.releases.get_many(chain, numbers))

    async def _cost(self, outpost: Outpost, call: Call) -> Wei:
        """What carrying it costs now, in wei."""
        simulated = await outpost.rpc.simulate(call, self._office.account)
        return Wei(simulated.gas * simulated.block.base_fee)

    async def _publish(self, row: VaultSignatureRow) -> None:
        """Put a payout's signature on the native chain, so that anyone can carry it, whatever storemen do."""
        if row.kind != RELEASE or row.published_at_ms is not None:
            return
        async with self._office.database.view() as view:
            payout = await view.payouts.get(row.subject)
        if payout is None:
            return  # a deposit that is sent back is no payout
        call = self._office.native.calls.publish_release(row.subject, row.epoch, Proof(row.rx, row.s, row.ry))
        try:
            await send_call(self._office.sender, "publish", row.message, call)
        except ContractRefused as error:
            _LOG.info("not published", payout=row.subject.hex(), reason=str(error))
        except CausewayError as error:  # the release itself is what matters
            _LOG.warning("not published yet", payout=row.subject.hex(), problem=str(error))
            return
        async with self._office.database.unit() as uow:
            await uow.vault_signatures.published(row.message, self._office.clock())
            await uow.commit()


def _sends_back(request: VaultRequest) -> bool:
    """Whether it sends a refused deposit back, which offers nobody a fee: storemen carry it whatever it costs."""
    release = request.proposal
    return isinstance(release, ReleaseProposal) and all(p.number >= RETURN for p in payments_of(release))


def _coin_fees(request: VaultRequest, consumed: Collection[int]) -> Wei:
    """What carrying a release earns in the chain's own coin; of tokens nobody here knows the price."""
    if not isinstance(request.proposal, ReleaseProposal):
        return Wei(0)
    left = [payment for payment in payments_of(request.proposal) if payment.number not in consumed]
    return Wei(sum(payment.fee for payment in left if payment.asset == NATIVE_COIN))
