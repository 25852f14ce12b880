"""The keystore: encrypted, whole after a crash, used by one process at a time."""

import inspect
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mpc import chilldkg
from mpc.cluster_errors import (
    ConflictingShare,
    EmptyPassword,
    KeystoreDamaged,
    KeystoreExists,
    KeystoreInUse,
    ShareNotHeld,
    WrongPassword,
)
from mpc.keystore import PRODUCTION_COST, Keystore, _read, recovery_from_export
from mpc.nonce_store import NonceJournal
from tests.support.cluster import CHEAP, GROUP, deal, identities, with_epoch

SECRET = identities(1)[0].host_secret


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys"


@pytest.fixture
def store(path):
    store = Keystore.create(path, "password", SECRET, CHEAP)
    yield store
    store.close()


def reopened(store, path):
    store.close()
    return Keystore.open(path, "password")


def test_what_is_stored_is_there_after_a_restart(store, path):
    """Identity, shares and public data come back from the file."""
    shares = [deal(2, 3)[0], with_epoch(deal(2, 3, seed=b"later")[0], 1)]
    for share in shares:
        store.store(share)
    again = reopened(store, path)
    assert again.identity == store.identity
    assert list(again.shares()) == shares
    assert again.share(GROUP) == shares[1]
    assert again.share(GROUP, 0) == shares[0]
    again.erase(GROUP, 1)
    with pytest.raises(ShareNotHeld):
        again.share(GROUP, 1)
    with pytest.raises(ShareNotHeld):
        again.erase(GROUP, 1)
    again.close()


def test_no_secret_is_readable_in_the_file_or_in_text(store, path):
    """Neither the host key nor a share stands in the file, whose mode is 0600, or in the text of an object."""
    share = deal(2, 3)[0]
    store.store(share)
    for secret in (SECRET, share.secshare, store.identity.transport_secret):
        assert secret not in path.read_bytes()
        assert secret.hex() not in repr(share) + repr(store.identity)
        assert repr(secret) not in repr(share) + repr(store.identity)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_passwords_are_expensive_to_try(path):
    """A keystore that is made without more ado takes 128 MiB and n = 2**17 for each try of a password (RFC 7914)."""
    assert (PRODUCTION_COST.log_n, PRODUCTION_COST.r, PRODUCTION_COST.p) == (17, 8, 1)
    assert inspect.signature(Keystore.create).parameters["cost"].default == PRODUCTION_COST


def test_an_empty_password_is_refused(path):
    """A keystore without a password would not be a secret; nothing is written."""
    with pytest.raises(EmptyPassword):
        Keystore.create(path, "", SECRET, CHEAP)
    assert not path.exists()


def test_a_password_is_the_same_however_it_is_typed(path):
    """Composed and decomposed forms of a letter, which depend on the system, are one password."""
    Keystore.create(path, "Schl\u00fcssel", SECRET, CHEAP).close()
    Keystore.open(path, "Schlu\u0308ssel").close()


def test_all_files_of_a_node_are_for_its_user_only(store, path, tmp_path):
    """Keystore, lock and journal have mode 0600 whatever the umask; nobody else may write the public export."""
    before = os.umask(0)
    try:
        Keystore.create(tmp_path / "other", "password", None, CHEAP).close()
        NonceJournal(tmp_path / "nonces.journal").close()
        store.export_recovery(tmp_path / "recovery.json")
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert modes.pop("recovery.json") & 0o022 == 0
    assert modes == dict.fromkeys(("keys", "keys.lock", "other", "other.lock", "nonces.journal"), 0o600)


def test_a_killed_process_leaves_no_lock(store, path):
    """The lock belongs to the process, not to the file: what a killed process left does not keep others out."""
    code = "import os, sys, pathlib; from mpc.keystore import Keystore\n"
    code += "Keystore.open(pathlib.Path(sys.argv[1]), 'password'); os.kill(os.getpid(), 9)"
    store.close()
    killed = subprocess.run([sys.executable, "-c", code, path], check=False, cwd=Path(__file__).parents[4])
    assert killed.returncode == -9
    assert path.with_name("keys.lock").exists()
    Keystore.open(path, "password").close()


def test_secrets_do_not_show_in_errors_or_parsed_content(store, path):
    """Neither the parsed content of the file nor an error of the keystore shows a secret or the password."""
    share = deal(2, 3)[0]
    store.store(share)
    store.close()
    with pytest.raises(WrongPassword) as wrong:
        Keystore.open(path, "hunter2hunter2")
    assert "hunter2" not in repr(wrong.value) + str(wrong.value)
    header, _, content = _read(path, "password")
    shown = repr(content) + repr(content.shares) + repr(header) + repr(store) + repr(vars(store))
    for secret in (SECRET, share.secshare, store.identity.account_secret):
        assert secret.hex() not in shown
        assert repr(secret) not in shown


def test_a_wrong_password_is_told_from_a_damaged_file(store, path):
    """Another password is refused as such; any changed byte is noticed."""
    store.close()
    with pytest.raises(WrongPassword):
        Keystore.open(path, "passwort")
    whole = path.read_bytes()
    for position in range(0, len(whole), 5):
        changed = bytearray(whole)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises((KeystoreDamaged, WrongPassword)):
            Keystore.open(path, "password")
    for cut in (0, 10, 60, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(KeystoreDamaged):
            Keystore.open(path, "password")
    changed = bytearray(whole)
    changed[-1] ^= 1
    path.write_bytes(changed)
    with pytest.raises(KeystoreDamaged, match="changed"):
        Keystore.open(path, "password")


def test_a_forged_header_cannot_exhaust_the_memory(store, path):
    """A cost beyond the limits is refused before anything is derived."""
    store.close()
    whole = path.read_bytes()
    at = whole.index(bytes([CHEAP.log_n, CHEAP.r, CHEAP.p]))
    path.write_bytes(whole[:at] + bytes([60]) + whole[at + 1 :])
    with pytest.raises(KeystoreDamaged, match="header"):
        Keystore.open(path, "password")


def test_a_keystore_is_open_once(store, path):
    """A second opening is refused while the first lasts, and making a new one over it always."""
    with pytest.raises(KeystoreInUse):
        Keystore.open(path, "password")
    store.close()
    with pytest.raises(KeystoreExists):
        Keystore.create(path, "password", None, CHEAP)
    Keystore.open(path, "password").close()


def test_a_share_is_never_replaced_by_another(store):
    """A different key for the same group and epoch is refused; proof and readiness are added and stay."""
    share = replace(deal(2, 3)[0], ready=False)
    store.store(share)
    with pytest.raises(ConflictingShare):
        store.store(deal(2, 3, seed=b"other")[0])
    store.store(replace(share, ready=True, key=replace(share.key, proof=b"p" * 64)))
    store.store(share)
    assert store.share(GROUP).ready
    assert store.share(GROUP).key.proof == b"p" * 64


def test_a_failed_write_changes_nothing(store, path, monkeypatch):
    """If the disk fails, the old file stays and the share is not held."""
    before = path.read_bytes()

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("mpc.keystore.write_durably", fail)
    with pytest.raises(OSError, match="no space"):
        store.store(deal(2, 3)[0])
    assert path.read_bytes() == before
    with pytest.raises(ShareNotHeld):
        store.share(GROUP)


def test_each_write_has_a_nonce_of_its_own(store, path):
    """Two writes of the same content differ."""
    first = path.read_bytes()
    store.store(deal(2, 3)[0])
    store.erase(GROUP, 0)
    assert len(path.read_bytes()) == len(first)
    assert path.read_bytes()[-40:] != first[-40:]


def test_recovery_from_the_exported_public_data(store, path, tmp_path):
    """A new keystore with the old host key gets its share back from the plain export, which holds no secret."""
    hosts = [identity.host_secret for identity in identities(3)]
    data = key_generation(hosts, 2)
    share = store.recover(GROUP, 0, data)
    store.export_recovery(tmp_path / "recovery.json")
    assert share.secshare.hex() not in (tmp_path / "recovery.json").read_text()
    restored = Keystore.create(tmp_path / "new", "other", SECRET, CHEAP)
    for group, epoch, recovery_data in recovery_from_export(tmp_path / "recovery.json"):
        restored.recover(group, epoch, recovery_data)
    assert list(restored.shares()) == [share]
    restored.close()
    (tmp_path / "recovery.json").write_text("{}")
    with pytest.raises(KeystoreDamaged):
        recovery_from_export(tmp_path / "recovery.json")


def key_generation(hosts, t):
    """The recovery data of a key generation between these host keys."""
    params = chilldkg.SessionParams([chilldkg.hostpubkey_gen(host) for host in hosts], t)
    first = [chilldkg.participant_step1(host, params, os.urandom(32)) for host in hosts]
    coordinator, cmsg1 = chilldkg.coordinator_step1([pmsg for _, pmsg in first], params)
    second = [
        chilldkg.participant_step2(host, state, cmsg1, bytes(32))[1]
        for host, (state, _) in zip(hosts, first, strict=True)
    ]
    return chilldkg.coordinator_finalize(coordinator, second)[2]
