"""Fixtures for all tests. Nodes start when a test first asks for one, so unit tests never start any."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

from foundation.quantities import Satoshi
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind, Wallet
from infra.node import Node
from infra.postgres import Postgres
from tests.support.patience import TEST_S

# The same examples each time where a failure must not depend on luck; no deadline, because machines are shared.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# For pytest-timeout, before pyproject.toml: whoever waits longer for one thing waits longer for all.
os.environ.setdefault("PYTEST_TIMEOUT", str(TEST_S))

# A script that starts the tests with `&` has them ignore Ctrl-C, and with them all processes that tests send it to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
AnyNode = TypeVar("AnyNode", bound=Node)
SLOW = (
    "property",
    "unit/contracts",
    "unit/adapters/evm/channels",
    "unit/adapters/evm/escrow",
    "conformance/contracts",
    "conformance/api/test_fuzzing.py",
    "unit/settlement/channels",
    "unit/bridge/agents",
    "unit/settlement/connector/balances",
    "unit/settlement/connector/settle",
    "unit/settlement/ledgers",
    "unit/api",
)
"""Folders and files whose tests start no node, and yet take seconds each."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import what is slow where it is left out: the imports alone take seconds in each worker."""
    left_out = "not slow" in config.option.markexpr
    return True if left_out and any(collection_path.is_relative_to(TESTS / folder) for folder in SLOW) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in `integration/` and `e2e/` as such, and what is slow, so that the fast run can leave it out."""
    for item in items:
        if not item.path.is_relative_to(TESTS):
            continue
        kind = item.path.relative_to(TESTS).parts[0]
        if kind in {"integration", "e2e"}:
            item.add_marker("integration")
        if kind == "e2e":
            item.add_marker("e2e")
        if any(item.path.is_relative_to(TESTS / folder) for folder in SLOW):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of published test vectors, which lies beside the checkout; the test is skipped where it is absent."""
    folder = TESTS.parents[1] / "shared" / "vectors"
    if not folder.is_dir():
        pytest.skip("../shared/vectors is not there")
    return folder


@pytest.fixture(scope="session")
async def _shared_bitcoind(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bitcoind]:
    async with Bitcoind(tmp_path_factory.mktemp("bitcoind")) as node:
        yield node


@pytest.fixture(scope="session")
async def _shared_anvil(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Anvil]:
    async with Anvil(tmp_path_factory.mktemp("anvil")) as node:
        yield node


@pytest.fixture(scope="session")
async def _shared_postgres() -> AsyncIterator[Postgres]:
    async with Postgres() as node:
        yield node


@pytest.fixture
async def bitcoind(_shared_bitcoind: Bitcoind) -> Bitcoind:
    """The session's bitcoin node, serving. Others have used its chain: rely on no height, and make no reorg."""
    return await _serving(_shared_bitcoind)


@pytest.fixture
async def anvil(_shared_anvil: Anvil) -> Anvil:
    """The session's EVM node, serving. Others have used its chain and its accounts."""
    return await _serving(_shared_anvil)


@pytest.fixture
async def postgres(_shared_postgres: Postgres) -> Postgres:
    """The session's PostgreSQL server, serving."""
    return await _serving(_shared_postgres)


@pytest.fixture
async def fresh_bitcoind(tmp_path: Path) -> AsyncIterator[Bitcoind]:
    """A bitcoin node of this test's own, at height 0: to stop, to kill, to reorganise."""
    async with Bitcoind(tmp_path / "bitcoind") as node:
        yield node


@pytest.fixture
async def fresh_anvil(tmp_path: Path) -> AsyncIterator[Anvil]:
    """An EVM node of this test's own: to stop, to kill."""
    async with Anvil(tmp_path / "anvil") as node:
        yield node


@pytest.fixture
async def funded_wallet(bitcoind: Bitcoind) -> Wallet:
    """A wallet of this test's own in the session's bitcoin node, with 10 BTC confirmed."""
    return await bitcoind.wallet(f"funded-{secrets.token_hex(4)}", Satoshi(10 * 100_000_000))


@pytest.fixture
async def postgres_url(postgres: Postgres) -> AsyncIterator[str]:
    """SQLAlchemy's URL of an empty PostgreSQL database, removed after the test."""
    name = f"test_{secrets.token_hex(8)}"
    yield await postgres.create_database(name)
    await postgres.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """SQLAlchemy's URL of a SQLite database that does not exist yet."""
    return f"sqlite+aiosqlite:///{tmp_path / 'test.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def database_url(request: pytest.FixtureRequest) -> str:
    """SQLAlchemy's URL of an empty database: the test runs once on SQLite and once on PostgreSQL."""
    # Asked for by hand, so that the SQLite run starts no server.
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


async def _serving(node: AnyNode) -> AnyNode:
    """The node, running and answering, whatever the test before did to it."""
    if node.is_running:
        node.resume()
    return await node.start()
