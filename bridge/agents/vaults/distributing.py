"""Having the Hub mint the service fees that were earned, and credit them to who earned them."""

from __future__ import annotations

from typing import Final

import structlog

from adapters.native.errors import ContractRefused
from bridge.agents.office import Apart, Office, send_call
from bridge.earned import Earned, earned
from foundation.quantities import UnixMs

_LOG: Final = structlog.get_logger(__name__)


class Distribute:
    """Asks for a distribution now and then, when it is this voucher's turn. Anyone may ask: it moves nobody's money."""

    name = "distribute"

    def __init__(self, office: Office) -> None:
        self._office = office
        self._asked_at = UnixMs(0)
        self._round = 0

    async def run(self) -> bool:
        """Distribute what is pending."""
        now = self._office.clock()
        pause = self._office.policy.distribute_after_seconds * 1000
        if now - self._asked_at < pause or not self._office.is_turn(self._office.directory.voucher_peers()):
            return False
        self._asked_at = now
        self._round = int(now // pause)
        async with self._office.database.view() as view:
            pending = await earned(view)
        apart = Apart()
        for item in pending:
            with apart:
                await self._distribute(item)
        apart.end()
        return False

    async def _distribute(self, item: Earned) -> None:
        group = None if item.group == bytes(32) else item.group
        amount = await self._office.native.pending_fees(item.asset, group, item.signers, "latest")
        if not amount:
            return
        call = self._office.native.calls.distribute(item.asset, group, item.signers)
        # The same sum may be earned again: in another round it is another transaction.
        subject = item.asset + item.group + item.signers.to_bytes(32, "big") + self._round.to_bytes(8, "big")
        try:
            await send_call(self._office.sender, "distribute", subject, call)
        except ContractRefused as error:
            _LOG.info("fees are not distributed", asset=item.asset.hex(), reason=str(error))
