"""A gateway's folder and database as they lie on a disk, for tests of the commands that work beside a gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import pytest

from cli.gateway_folder import NewGateway, make_folder
from foundation.database import Database, UnitOfWork
from foundation.quantities import UnixMs
from mpc.keystore import ScryptCost
from settlement.cosign.keyfile import create_key_file, open_key_file
from settlement.gateway.config import GatewayConfig, load_config
from settlement.gateway.keys import Secrets
from settlement.gateway.runtime import SCHEMA
from settlement.quantities import PartyId
from settlement.rules.decision import Decision
from settlement.rules.facts import Facts
from settlement.rules.reload import load_rules
from settlement.rules.validator import Validator

QUICK: Final = ScryptCost(1, 8, 1)
PASSWORD: Final = "open sesame"
PARTY: Final = PartyId("bank-a")
_LEDGER = """
[ledgers.digital-euro]
kind = "book"
asset = "EUR"
scale = 2
url = "http://127.0.0.1:9"
account = "bank-a"
api_key_file = "digital-euro.api-key"
"""
Found = TypeVar("Found")


@dataclass(frozen=True)
class GatewayFolder:
    """What `causeway gateway init` made, filled in with one ledger. Fields: config (the file); secrets."""

    config: Path
    secrets: Secrets

    @property
    def loaded(self) -> GatewayConfig:
        return load_config(self.config)

    @property
    def password_file(self) -> Path:
        return self.config.parent / "password"

    @property
    def options(self) -> tuple[str, ...]:
        """For commands that open what is sealed."""
        return "--config", str(self.config), "--password-file", str(self.password_file)

    async def write(self, work: Callable[[UnitOfWork], Awaitable[Found]]) -> Found:
        """Do something in the gateway's database, in one transaction."""
        async with await Database.open(self.loaded.database, SCHEMA) as database, database.unit() as unit:
            found = await work(unit)
            await unit.commit()
            return found

    async def decide(self, facts: Facts, now: UnixMs) -> Decision:
        """Put a payment before the folder's rules."""
        validator = Validator(lambda: load_rules(self.loaded.rules), self.secrets.facts_key)
        return await self.write(lambda unit: validator.decide(unit.connection, facts, now))


def new_gateway_folder(folder: Path, rules: str = "") -> GatewayFolder:
    """Make one in an empty folder. `rules` come behind the usual head of the file."""
    url = "http://127.0.0.1:8500"
    new = NewGateway(PARTY, "g.bank-a", "127.0.0.1:8500", "127.0.0.1:8501", url, "sqlite:///gateway.db")
    with pytest.MonkeyPatch.context() as patch:  # the password is tried at each command
        patch.setattr("cli.gateway_folder.create_key_file", partial(create_key_file, cost=QUICK))
        config = make_folder(folder, new, PASSWORD).config
    config.write_text(config.read_text() + _LEDGER)
    (folder / "digital-euro.api-key").write_text("bank-a.secret\n")
    (folder / "password").write_text(PASSWORD + "\n")
    if rules:
        (folder / "rules.toml").write_text(rules)
    return GatewayFolder(config, Secrets.derive(PARTY, open_key_file(folder / "seed.key", PARTY, PASSWORD)))
