"""Ports, the cache folder, settings and amounts."""

from __future__ import annotations

import hashlib
import hmac
import multiprocessing
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import BadInput
from foundation.quantities import Satoshi
from infra import cache, debian
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind, as_btc, from_btc, rpcauth
from infra.errors import CacheBusy, StateDamaged
from infra.ports import free_ports, is_free
from infra.postgres import Postgres


def test_free_ports_differ_and_lie_below_the_kernels_range() -> None:
    """No port is given twice, and none lies where the kernel takes ports for outgoing connections."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert max(ports) < 32_768


def test_a_port_that_another_process_was_given_is_not_given_again() -> None:
    """Though nobody listens on it yet: its server is still starting."""
    mine = free_ports(3)
    code = f"from infra import ports\nports._candidates = lambda: iter({[*mine, 14_999]})\nprint(ports.free_port())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "14999"


def test_port_with_a_listener_is_not_free() -> None:
    """A port on which somebody listens is seen as taken, and as free once it is closed."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)


def test_cache_folder_is_named_by_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CAUSEWAY_CACHE moves the cache; without it the cache is in the checkout."""
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "elsewhere"))
    assert cache.cache_folder() == tmp_path / "elsewhere"
    monkeypatch.delenv(cache.CACHE_VARIABLE)
    assert cache.cache_folder() == cache.CHECKOUT / ".cache"


def test_lock_keeps_a_second_run_out(tmp_path: Path) -> None:
    """While one holds the lock another one gives up after its patience, and gets it once it is free."""
    lock = tmp_path / "lock"
    with cache.locked(lock), pytest.raises(CacheBusy) as refusal, cache.locked(lock, wait_seconds=0):
        pass
    assert refusal.value.lock == lock
    with cache.locked(lock, wait_seconds=0):
        pass


def _hold_and_die(lock: str) -> None:
    with cache.locked(Path(lock)):
        multiprocessing.current_process().kill()


def test_lock_of_a_killed_run_is_free(tmp_path: Path) -> None:
    """A run that was killed while it held the lock does not block the next one."""
    lock = tmp_path / "lock"
    child = multiprocessing.get_context("spawn").Process(target=_hold_and_die, args=(str(lock),))
    child.start()
    child.join(20)
    with cache.locked(lock, wait_seconds=5):
        pass


def test_mirror_of_debian_comes_before_vendors_and_never_a_security_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what apt is configured with, Debian's mirror is tried first and security archives never."""
    listing = "https://one.test/node_20.x\nhttp://two.test/debian-security\nhttp://two.test/debian/\nhttp://two.test/debian/\n"
    monkeypatch.setattr(debian, "_run", lambda *_: listing)
    assert debian.mirrors() == ("http://two.test/debian/", "https://one.test/node_20.x")


def test_node_keeps_its_ports_and_password(tmp_path: Path) -> None:
    """A node that is looked up again in its folder has the endpoint it had before."""
    first, second = Bitcoind(tmp_path), Bitcoind(tmp_path)
    assert first.url_with_credentials == second.url_with_credentials
    assert first.zmq_rawblock == second.zmq_rawblock
    assert len({first.zmq_rawblock, first.zmq_hashblock, first.zmq_rawtx, first.url}) == 4


def test_settings_that_are_not_json_are_named(tmp_path: Path) -> None:
    """A damaged settings file is reported with its path."""
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(BadInput) as refusal:
        _ = Anvil(tmp_path).url
    assert refusal.value.field == str(tmp_path / "settings.json")


async def test_damaged_state_is_refused_before_anvil_starts(tmp_path: Path) -> None:
    """A state file that was cut short is not silently replaced by a new chain."""
    node = Anvil(tmp_path)
    node.state.write_text('{"block": ')
    with pytest.raises(StateDamaged) as refusal:
        await node.start()
    assert refusal.value.path == node.state
    assert not node.is_running


@pytest.mark.parametrize("name", ["a; drop", "Upper", "", "x" * 64, 'q"'])
async def test_database_name_that_is_not_plain_is_refused(name: str, tmp_path: Path) -> None:
    """A name that would have to be quoted never reaches the server."""
    with pytest.raises(BadInput):
        await Postgres(tmp_path).create_database(name)


def test_rpc_password_is_stored_as_a_keyed_hash() -> None:
    """The configuration holds user, salt and the HMAC of the password, not the password."""
    user, rest = rpcauth("alice", "secret").split(":")
    salt, digest = rest.split("$")
    assert (user, digest) == ("alice", hmac.new(salt.encode(), b"secret", hashlib.sha256).hexdigest())


@given(st.integers(0, 21_000_000 * 100_000_000))
def test_amounts_survive_the_way_to_bitcoind_and_back(amount: int) -> None:
    """Every amount up to the supply is the same after its text was read as a binary float."""
    assert from_btc(float(as_btc(Satoshi(amount)))) == amount
