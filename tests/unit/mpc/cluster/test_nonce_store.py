"""Nonces: in memory only, given out once, on record as spent before they are used."""

import os
import shutil

import pytest

from mpc import frost
from mpc.cluster_errors import KeystoreDamaged, NonceUnavailable, TooManyRequests
from mpc.errors import NonceReused
from mpc.nonce_store import NonceJournal, NonceStore
from tests.support.cluster import GROUP, deal, item

ITEMS = (item(b"a"), item(b"b"))
PEER, SESSION = b"\x02" * 33, b"\x05" * 32
SHARE = deal(2, 3)[0]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "nonces.journal"


async def make(store, session=SESSION, items=ITEMS):
    return await store.make(PEER, session, SHARE.key, SHARE.index, SHARE.secshare, items)


async def take(store, pubnonces, *, peer=PEER, session=SESSION, group=GROUP, epoch=0):
    return await store.take(peer, session, group, epoch, pubnonces)


async def test_a_nonce_is_given_out_once(path):
    """Taking an offer twice is refused, and no nonce is left in memory."""
    store = NonceStore(NonceJournal(path))
    pubnonces = await make(store)
    assert store.outstanding(PEER) == 2
    taken = await take(store, pubnonces)
    assert [secnonce.used for secnonce in taken] == [False, False]
    assert store.outstanding(PEER) == 0
    with pytest.raises(NonceUnavailable):
        await take(store, pubnonces)


async def test_spending_is_on_disk_before_the_nonce_is_given_out(path, monkeypatch):
    """When `take` returns, the journal was flushed; if the disk fails, the nonces are zeroed and nobody gets them."""
    store = NonceStore(NonceJournal(path))
    flushed = []
    flush = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (flush(fd), flushed.append(path.stat().st_size)))
    await take(store, await make(store))
    assert len(flushed) == 1
    assert len(NonceJournal(path)) == 2
    made = await make(store)
    held = [store._held[pubnonce].nonce for pubnonce in made]

    def fail(_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OSError, match="no space"):
        await take(store, made)
    assert all(secnonce.used for secnonce in held)
    with pytest.raises(NonceReused):
        held[0].take()
    monkeypatch.setattr(os, "fdatasync", flush)
    with pytest.raises(NonceUnavailable):
        await take(store, made)
    await take(store, await make(store))
    assert len(NonceJournal(path)) == 4


async def test_nonces_do_not_survive_a_crash_or_a_restored_backup(path, tmp_path):
    """Neither a restart nor a folder restored from before the signature can use a nonce again."""
    backup = tmp_path / "backup"
    store = NonceStore(NonceJournal(path))
    pubnonces = await make(store)
    shutil.copy(path, backup)
    await take(store, pubnonces)
    for journal in (path, backup):
        with pytest.raises(NonceUnavailable):
            await take(NonceStore(NonceJournal(journal)), pubnonces)


async def test_a_spent_nonce_is_refused_for_ever_even_if_the_randomness_repeats(path):
    """If the source of randomness repeats itself after a restart, the nonce is recognised and not offered."""
    store = NonceStore(NonceJournal(path), random=lambda count: bytes(count - 1) + b"\x01")
    pubnonces = await make(store, items=ITEMS[:1])
    with pytest.raises(NonceUnavailable, match="randomness"):
        await make(store, items=ITEMS[:1])
    await take(store, pubnonces)
    again = NonceStore(NonceJournal(path), random=lambda count: bytes(count - 1) + b"\x01")
    with pytest.raises(NonceUnavailable, match="randomness"):
        await make(again, items=ITEMS[:1])


async def test_a_spent_hash_is_refused_when_it_is_spent_again(path):
    """The journal itself refuses what it holds, also within one call."""
    journal = NonceJournal(path)
    await journal.spend(GROUP, 0, [b"a", b"b"])
    for pubnonces in ([b"b"], [b"c", b"c"]):
        with pytest.raises(NonceUnavailable):
            await journal.spend(GROUP, 0, pubnonces)
    with pytest.raises(NonceUnavailable):
        await NonceJournal(path).spend(GROUP, 0, [b"a"])


@pytest.mark.parametrize(
    "change",
    [{"peer": b"\x03" * 33}, {"session": bytes(32)}, {"group": bytes(32)}, {"epoch": 1}],
    ids=["peer", "session", "group", "epoch"],
)
async def test_a_nonce_is_bound_to_what_it_was_made_for(path, change):
    """Another coordinator, session, group or epoch cannot use a nonce, and trying does not spend it."""
    store = NonceStore(NonceJournal(path))
    pubnonces = await make(store)
    with pytest.raises(NonceUnavailable):
        await take(store, pubnonces, **change)
    with pytest.raises(NonceUnavailable):
        await take(store, pubnonces[::-1])
    await take(store, pubnonces)


async def test_open_nonces_are_limited_for_each_peer(path):
    """One peer cannot fill the memory, and dropped nonces are zeroed and count no more."""
    store = NonceStore(NonceJournal(path), limit_a_peer=3)
    pubnonces = await make(store)
    with pytest.raises(TooManyRequests):
        await make(store)
    held = [store._held[pubnonce].nonce for pubnonce in pubnonces]
    store.drop(pubnonces)
    assert all(secnonce.used for secnonce in held)
    await make(store)


async def test_nonces_differ_between_items_and_sessions(path):
    """Even for the same message no public nonce ever repeats."""
    store = NonceStore(NonceJournal(path))
    made = [
        *await make(store),
        *await make(store),
        *await make(store, session=bytes(32)),
        *await make(store, items=(ITEMS[0], ITEMS[0])),
    ]
    assert len(set(made)) == len(made)


async def test_a_torn_or_damaged_record_is_dropped(path):
    """What a crash left of the last record does not keep a node from starting, and the journal goes on."""
    journal = NonceJournal(path)
    await journal.spend(GROUP, 0, [b"a", b"b", b"c"])
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    torn = NonceJournal(path)
    assert [torn.is_spent(p) for p in (b"a", b"b", b"c")] == [True, True, False]
    await torn.spend(GROUP, 0, [b"d"])
    damaged = bytearray(path.read_bytes())
    damaged[-50] ^= 1
    path.write_bytes(damaged)
    assert [NonceJournal(path).is_spent(p) for p in (b"a", b"b", b"d")] == [True, False, True]
    path.write_bytes(b"something else")
    with pytest.raises(KeystoreDamaged):
        NonceJournal(path)


async def test_compaction_keeps_the_records_of_live_keys(path):
    """Records of an erased epoch go, those of a living one stay, and the journal can be appended to."""
    journal = NonceJournal(path)
    await journal.spend(GROUP, 0, [b"old"])
    await journal.spend(GROUP, 1, [b"new"])
    await journal.compact([(GROUP, 1)])
    await journal.spend(GROUP, 1, [b"newer"])
    reopened = NonceJournal(path)
    assert [reopened.is_spent(p) for p in (b"old", b"new", b"newer")] == [False, True, True]


async def test_a_closed_journal_takes_nothing(path):
    """A write that comes after closing fails instead of reaching another file."""
    journal = NonceJournal(path)
    journal.close()
    with pytest.raises(OSError, match="closed"):
        await journal.spend(GROUP, 0, [b"late"])


async def test_secret_nonces_are_never_on_disk(tmp_path):
    """Making nonces writes nothing."""
    store = NonceStore(NonceJournal(tmp_path / "nonces.journal"))
    before = (tmp_path / "nonces.journal").read_bytes()
    await make(store)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [before]
    assert frost.SecNonce.__reduce__ is not object.__reduce__
