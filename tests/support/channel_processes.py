"""Banks' channels and a book's adjudicator as processes, which tests kill and start again."""

from __future__ import annotations

import asyncio
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path

from adapters.native.eip712 import account_of_secret
from foundation.quantities import UnixMs
from infra.ports import free_port
from mpc.keystore import ScryptCost
from settlement.cosign.keyfile import create_key_file
from settlement.gateway.cards import write_card
from settlement.gateway.keys import Secrets
from settlement.gateway.process import wall_clock
from settlement.quantities import PartyId
from tests.support.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "word"  # noqa: S105 - of keys that live as long as a test
COST = ScryptCost(log_n=4, r=1, p=1)


class Command:
    """A `causeway` command that runs until it is killed."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self.log = ""

    async def start(self, *until: str) -> None:
        """Start it, and wait until its log says these words."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli.main", *self._arguments),
            cwd=ROOT,
            stderr=asyncio.subprocess.PIPE,
        )
        waited = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read(until, waited))
        async with asyncio.timeout(PATIENCE_S):
            await waited

    async def _read(self, until: tuple[str, ...], waited: asyncio.Future[None]) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while line := (await self._process.stderr.readline()).decode():
            self.log += line
            if not waited.done() and all(word in line for word in until):
                waited.set_result(None)
        if not waited.done():
            waited.set_exception(EOFError(self.log))

    async def kill(self) -> None:
        """Kill -9."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reader


@dataclass
class BankFolder:
    """A bank's files. Fields: sections (of its configuration, beside [bank])."""

    folder: Path
    party: PartyId
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    port: int = field(default_factory=free_port)
    sections: list[str] = field(default_factory=list)
    extra: str = ""

    @property
    def account(self) -> bytes:
        """Its channel account."""
        return account_of_secret(self.secret)

    @property
    def url(self) -> str:
        """Where its channels listen."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def config(self) -> Path:
        """Its configuration."""
        return self.folder / f"{self.party}.toml"

    def write(self) -> Command:
        """Write all files; the command that watches."""
        seed = create_key_file(self.folder / f"{self.party}.seed", self.party, PASSWORD, cost=COST)
        cards = self.folder / "cards"
        cards.mkdir(exist_ok=True)
        card = Secrets.derive(self.party, seed).card(self.url, UnixMs(wall_clock() - 60_000))
        write_card(cards / f"{self.party}.json", card)
        (self.folder / f"{self.party}.key").write_text(self.secret.hex())
        (self.folder / "password").write_text(PASSWORD)
        lines = [
            "[bank]",
            f'party = "{self.party}"',
            f'database = "sqlite:///{self.party}.db"',
            f'listen = "127.0.0.1:{self.port}"',
            f'key_file = "{self.party}.seed"',
            f'account_key_file = "{self.party}.key"',
            "tick_ms = 100",
            self.extra,
            "[policy]",
            "resend_seconds = 1",
            "accept_seconds = 5",
            "reveal_seconds = 5",
        ]
        self.config.write_text("\n".join([*lines, *self.sections]) + "\n")
        password = str(self.folder / "password")
        return Command("channel", "watch", "--config", str(self.config), "--password-file", password)


def channel_section(
    name: str, ledger: str, side: str, peer: BankFolder, ours: str, theirs: str, peer_book: str = ""
) -> str:
    """One channel of a configuration."""
    return f"""
[channels.{name}]
ledger = "{ledger}"
side = "{side}"
peer = "{peer.party}"
peer_url = "{peer.url}"
peer_account = "0x{peer.account.hex()}"
peer_book_account = "{peer_book}"
deposit = "{ours}"
peer_deposit = "{theirs}"
challenge_seconds = 60
nonce = "the first one"
"""
