"""`causeway voucher halt` and `resume`: what a voucher's operator wants is in its node's database."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.agents.attesting import wanted
from bridge.intake.common import EVERYTHING, WANTED_ENDS, WANTED_HALTS
from bridge.storage import Database
from cli import voucher_votes
from cli.exits import NotFound
from foundation.errors import BadInput
from tests.unit.cli.test_evm_commands import COIN, Native, Network


def _voucher(folder: Path, role: str = "voucher") -> Path:
    folder.mkdir()
    (folder / "config.toml").write_text(
        f'[node]\nrole = "{role}"\nname = "one"\nlisten = "tcp://127.0.0.1:1"\n'
        '[bitcoin]\nnetwork = "regtest"\nurl = "http://127.0.0.1:1"\nuser = "u"\npassword = "p"\n'
        '[native]\nurl = "http://127.0.0.1:1"\n'
    )
    return folder


def test_a_voucher_wants_a_halt_and_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wish is in the node's database, from where it attests; a storeman has no vote."""
    chain = Native(COIN)

    @asynccontextmanager
    async def native(_: Any) -> Any:
        yield chain

    monkeypatch.setattr(voucher_votes, "open_native", native)
    folder, network = _voucher(tmp_path / "v"), Network()

    async def stored() -> tuple[dict[bytes, int], dict[bytes, int]]:
        async with await Database.open(f"sqlite:///{folder / 'node.db'}") as database, database.view() as view:
            return await wanted(view, WANTED_HALTS), await wanted(view, WANTED_ENDS)

    asyncio.run(voucher_votes.vote_halt(folder, network, "ETH", 6))  # type: ignore[arg-type]  # a fake
    asyncio.run(voucher_votes.vote_halt(folder, network, "all", 1))  # type: ignore[arg-type]
    halts, ends = asyncio.run(stored())
    assert set(halts) == {COIN.id, EVERYTHING}
    assert halts[COIN.id] % 3600 == 0
    assert halts[COIN.id] - halts[EVERYTHING] in (5 * 3600, 4 * 3600)
    chain._halted = until = halts[COIN.id]
    with pytest.raises(BadInput):
        asyncio.run(voucher_votes.vote_halt(folder, network, "ETH", 5))  # type: ignore[arg-type]
    asyncio.run(voucher_votes.vote_resume(folder, network, "ETH"))  # type: ignore[arg-type]
    halts, ends = asyncio.run(stored())
    assert (set(halts), ends) == ({EVERYTHING}, {COIN.id: until})
    chain._halted = 0
    asyncio.run(voucher_votes.vote_resume(folder, network, "all"))  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        asyncio.run(voucher_votes.vote_resume(folder, network, "all"))  # type: ignore[arg-type]
    with pytest.raises(BadInput):
        asyncio.run(voucher_votes.vote_halt(_voucher(tmp_path / "s", "storeman"), network, "ETH", 6))  # type: ignore[arg-type]
