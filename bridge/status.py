"""What a node says of itself, for `node status`: written into its own database every two seconds."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from adapters.evm.endpoints import Endpoints
from bridge.agents.duty import DutyStatus, Runner
from bridge.agents.office import Office
from bridge.incidents import is_excluded
from bridge.ledger import balance
from foundation.errors import CausewayError
from foundation.quantities import UnixMs
from registry.caip import ChainId
from registry.groups import GroupStatus

STATUS: Final = "status"
_EVERY_SECONDS: Final = 2.0


@dataclass(slots=True)
class ChainStatus:
    """How following a chain goes. Fields: problem (empty when it goes well)."""

    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the status."""
        return {"state": "waiting" if self.problem else "ok", "problem": self.problem}


class Heartbeat:
    """Writes the status."""

    def __init__(
        self,
        office: Office,
        runners: list[Runner],
        bitcoin: ChainStatus,
        native: ChainStatus,
        evm: Mapping[str, ChainStatus],
        endpoint: str,
    ) -> None:
        """`evm`: how following each EVM chain goes, by its CAIP-2 name."""
        self._office = office
        self._runners = runners
        self._bitcoin = bitcoin
        self._native = native
        self._evm = evm
        self._endpoint = endpoint
        self._started_at = office.clock()

    async def run(self) -> None:
        """Until it is cancelled; a database that is away is waited for."""
        while True:
            try:
                body = json.dumps(await self.status()).encode()
                async with self._office.database.unit() as uow:
                    await uow.node_meta.put(STATUS, body)
                    await uow.commit()
            except CausewayError:
                pass  # the duties meet the same trouble, and log it
            await asyncio.sleep(_EVERY_SECONDS)

    async def status(self) -> dict[str, Any]:
        """The whole status."""
        office = self._office
        return {
            "at_ms": office.clock(),
            "pid": os.getpid(),
            "started_at_ms": self._started_at,
            "version": version("causeway"),
            "name": office.settings.node.name,
            "role": office.settings.node.role,
            "host_key": office.identity.host_key.hex(),
            "account": "0x" + office.account.hex(),
            "endpoint": self._endpoint,
            "bitcoin": self._bitcoin_status(),
            "native": self._native_status(),
            "evm": self._evm_status(),
            "groups": self._groups(),
            "peers": self._peers(),
            **await self._money(),
            "duties": {runner.duty.name: _duty(runner.status) for runner in self._runners},
            "culprits": self._culprits(office.clock()),
            "dropped": dict(office.peers.dropped),
        }

    def _bitcoin_status(self) -> dict[str, Any]:
        tip = self._office.intake.tip
        place = {"height": None, "hash": None} if tip is None else {"height": tip.height, "hash": tip.hash[::-1].hex()}
        return {**self._bitcoin.as_json(), **place}

    def _native_status(self) -> dict[str, Any]:
        at = self._office.intake.native_cursor
        place = {"block": None, "hash": None} if at is None else {"block": at.number, "hash": at.hash.hex()}
        return {**self._native.as_json(), **place}

    def _evm_status(self) -> list[dict[str, Any]]:
        found = []
        for name, status in self._evm.items():
            chain = ChainId.parse(name).id
            at, outpost = self._office.intake.evm_cursors.get(chain), self._office.outposts.get(chain)
            found.append(
                {
                    "chain": name,
                    **status.as_json(),
                    "block": None if at is None else at.number,
                    "hash": None if at is None else at.hash.hex(),
                    "endpoints": {} if outpost is None else _endpoints(outpost.endpoints),
                }
            )
        return found

    def _groups(self) -> list[dict[str, Any]]:
        return [
            {
                "id": group.id.hex(),
                "chain": group.chain.hex(),
                "key": None if group.key is None else group.key.hex(),
                "index": group.index_of(self._office.account),
                "threshold": group.threshold,
                "size": len(group.members),
                "epoch": group.epoch,
                "status": "active" if group.status is GroupStatus.ACTIVE else "proposed",
                "serves": group.id == self._office.directory.active_of(group.chain),
            }
            for group in self._office.directory.groups.values()
        ]

    def _peers(self) -> list[dict[str, Any]]:
        directory = self._office.directory
        return [
            {"host_key": p.host_key.hex(), "name": directory.name_of(p.host_key), "endpoint": p.endpoint}
            for p in directory.peers()
        ]

    async def _money(self) -> Mapping[str, Any]:
        async with self._office.database.view() as view:
            held = await balance(view)
        try:
            wei: int | None = await self._office.native.balance(self._office.account)
        except CausewayError:
            wei = None  # the native chain's own entry says why
        return {
            "account_balance_wei": wei,
            "reserves_sat": held.reserves,
            "unsettled_sat": held.unsettled,
            "supply_sat": held.supply,
        }

    def _culprits(self, now: UnixMs) -> list[dict[str, Any]]:
        return [
            {
                "peer": culprit.peer.hex(),
                "name": self._office.directory.name_of(culprit.peer),
                "faults": culprit.faults,
                "reason": culprit.reason,
                "excluded_until_ms": culprit.excluded_until if is_excluded(culprit, now) else None,
            }
            for culprit in self._office.cluster.culprits()
        ]


def _duty(status: DutyStatus) -> dict[str, Any]:
    return {"state": status.state, "problem": status.problem, "at_ms": status.at}


def _endpoints(endpoints: Endpoints) -> dict[str, str]:
    """What is wrong with each endpoint, by name; nothing where it answers well and never lied."""
    wrong = {**endpoints.lies, **endpoints.faults}
    return {name: str(wrong.get(name, "")) for name in endpoints.names}
