"""One node of the development network: a folder, and a process that runs it."""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.context import CONFIG
from cli.node_folder import NodePlan, PublicIdentity, create_node, load_settings
from foundation.files import write_durably
from infra.ports import free_port
from infra.processes import Process

if TYPE_CHECKING:
    from bridge.settings import Settings
    from mpc.identity import Identity

PASSWORD: Final = "password"  # noqa: S105 - a file's name
_LOG: Final = "node.log"
_RECORD: Final = "process.json"
_STOP_SECONDS: Final = 20

DEV_POLICY: Final[dict[str, Any]] = {
    "tiers": [{"up_to": "10", "confirmations": 1}, {"confirmations": 2}],
    "input_depth": 1,
    "settled_depth": 1,
    "mint_margin": 10,
    "fee_floor": 1.0,
    "fee_fallback": 2.0,
    "slot_seconds": 2.0,
    "sweep_after_seconds": 1.0,
    "bump_after_seconds": 60.0,
}
"""For a chain whose only miner is the developer: one confirmation suffices, and turns are short."""


class DevNode:
    """One node. Starting and stopping twice is harmless; one that another run started is joined.

    Attributes:
        name: such as storeman-1; role: storeman or voucher; folder: what `causeway node` takes.
        process: the process that runs it, see `infra.processes.Process`.
    """

    def __init__(self, folder: Path, role: str, *, detached: bool = False) -> None:
        """Describe the node; nothing is written or started."""
        self.folder = folder
        self.name = folder.name
        self.role = role
        self._settings: Settings | None = None
        self.process = Process(
            self.name,
            [sys.executable, "-m", "cli.main", "node", "run", folder],
            log=folder / _LOG,
            record=folder / _RECORD,
            cwd=folder,
            detached=detached,
        )

    @property
    def exists(self) -> bool:
        """Whether its folder is made."""
        return (self.folder / CONFIG).exists()

    @property
    def public(self) -> PublicIdentity:
        """What others know of it: `.member` has account, keys and endpoint."""
        return PublicIdentity.load(self.folder)

    @property
    def is_running(self) -> bool:
        """Whether its process runs, healthy or not."""
        return self.process.attach()

    @property
    def was_started(self) -> bool:
        """Whether this run has started or joined its process, which may have ended since."""
        return self.process.identity is not None

    def create(self, bitcoin: dict[str, Any], native: dict[str, Any], database: str) -> None:
        """Make its folder, where it is not there. Blocks for a moment."""
        from mpc.keystore import ScryptCost

        if self.exists:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        password = secrets.token_urlsafe(16)
        write_durably(self.folder / PASSWORD, password.encode())
        plan = NodePlan(
            role=self.role,
            name=self.name,
            listen=f"tcp://127.0.0.1:{free_port()}",
            bitcoin=bitcoin,
            native=native,
            database=database,
            password_file=PASSWORD,
            policy=DEV_POLICY,
        )
        for leftover in (self.folder / name for name in ("keystore", "identity.json")):
            leftover.unlink(missing_ok=True)  # of a start that was cut short before the configuration was written
        # The cheapest cost: the password lies beside the keystore anyway.
        create_node(self.folder, plan, password, ScryptCost(log_n=4))

    def identity(self) -> Identity:
        """Its secret keys. The node must not run. Raises `KeystoreInUse`."""
        from mpc.keystore import Keystore

        keystore = Keystore.open(self.folder / "keystore", (self.folder / PASSWORD).read_text())
        try:
            return keystore.identity
        finally:
            keystore.close()

    async def start(self) -> None:
        """Start its process, where it does not run. It is up once `status()` shows the process's pid."""
        await self.process.start()

    async def stop(self) -> None:
        """End it in order."""
        self.process.attach()
        await self.process.stop(_STOP_SECONDS)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        self.process.attach()
        self.process.kill()

    async def status(self) -> dict[str, Any] | None:
        """What it last said of itself (see `bridge.status`), None where it never did. It may not run any more."""
        from cli.node_status import read_status

        if self._settings is None:
            self._settings = await asyncio.to_thread(load_settings, self.folder)
        return (await read_status(self._settings))[0]

    async def is_up(self) -> bool:
        """Whether its process runs and has spoken since it was started."""
        if not self.is_running:
            return False
        status = await self.status()
        return status is not None and status["pid"] == self.process.pid

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return self.process.tail(lines)
