"""Binding withdrawals to a payout on the Hub, so that their owners cannot cancel what a vault is about to pay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import structlog

from adapters.native.eip712 import by_signer
from adapters.native.errors import ContractRefused
from adapters.native.types import Reservation, WithdrawalStatus
from bridge.agents.office import Apart, Office, send_call
from bridge.agents.storeman.cosigning import Cosigning
from bridge.codec import decode_withdrawal
from bridge.directory import EvmOrigin
from bridge.messages import ReserveProposal
from bridge.payouts import Withdrawal, WithdrawalStage
from bridge.storage import TransferKind
from foundation.quantities import UnixMs
from registry.groups import Group

_LOG: Final = structlog.get_logger(__name__)
_AGAIN_MS: Final = 20_000
"""What was sent and has no final effect after this time is proposed again."""


class ReserveOnVaults:
    """Proposes reservations for withdrawals to EVM chains, oldest first, one for each asset at a time."""

    name = "reserve on vaults"

    def __init__(self, office: Office, cosigning: Cosigning) -> None:
        self._office = office
        self._cosigning = cosigning
        self._sent: dict[bytes, UnixMs] = {}

    async def run(self) -> bool:
        """Reserve for what waits, when it is this node's turn."""
        waits = False
        apart = Apart()
        for chain, origin in self._office.directory.origins.items():
            active = self._office.directory.active_of(chain)
            group = None if active is None else self._office.directory.groups.get(active)
            if group is None or group.index_of(self._office.account) is None:
                continue
            async with self._office.database.view() as view:
                rows = await view.transfers.by_stage(TransferKind.WITHDRAWAL, WithdrawalStage.REQUESTED, chain=chain)
            waits = waits or bool(rows)
            if rows and self._office.is_turn(self._office.directory.storeman_peers(group.id)):
                with apart:
                    await self._reserve(origin, group, [decode_withdrawal(row) for row in rows])
        apart.end()
        return waits

    async def _reserve(self, origin: EvmOrigin, group: Group, waiting: Sequence[Withdrawal]) -> None:
        by_asset: dict[bytes, list[Withdrawal]] = defaultdict(list)
        for withdrawal in await self._still_requested(waiting):
            if not self._office.directory.policy_of(withdrawal.asset).denied:
                by_asset[withdrawal.asset].append(withdrawal)
        apart = Apart()
        for asset, withdrawals in by_asset.items():
            with apart:
                await self._propose(group, asset, withdrawals[: self._office.policy.max_withdrawals])
        apart.end()

    async def _still_requested(self, waiting: Sequence[Withdrawal]) -> list[Withdrawal]:
        """Those that the Hub's newest block still has as requested: another reservation may not be final yet."""
        now = self._office.clock()
        self._sent = {id_: at for id_, at in self._sent.items() if now - at <= _AGAIN_MS}
        fresh = [w for w in waiting if w.withdrawal_id not in self._sent]
        records = await self._office.native.withdrawals([w.withdrawal_id for w in fresh], "latest")
        pairs = zip(fresh, records, strict=True)
        return [w for w, record in pairs if record is not None and record.status is WithdrawalStatus.REQUESTED]

    async def _propose(self, group: Group, asset: bytes, withdrawals: Sequence[Withdrawal]) -> None:
        ids = [withdrawal.withdrawal_id for withdrawal in withdrawals]
        digest = self._office.native.hub_digests.payout_reservation(group.id, asset, ids, [])
        signatures = await self._cosigning.cosign(group, ReserveProposal(group.id, ids, []), digest)
        reservation = Reservation(group.id, asset, tuple(ids), ())
        call = self._office.native.calls.reserve(reservation, by_signer(signatures))
        try:
            await send_call(self._office.sender, "reserve", digest, call)
        except ContractRefused as error:
            _LOG.info("the Hub refuses a reservation", reason=str(error), withdrawals=len(ids))
            # Another storeman may have reserved some in the meantime: the others need not wait for that.
            left = {withdrawal.withdrawal_id for withdrawal in await self._still_requested(withdrawals)}
            ids = [id_ for id_ in ids if id_ not in left] or ids
        else:
            names = [self._office.directory.name_of(account) for account in sorted(signatures)]
            _LOG.info("reserved", withdrawals=len(ids), cosigned_by=names)
        self._sent.update(dict.fromkeys(ids, self._office.clock()))
