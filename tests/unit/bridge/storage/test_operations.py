"""The outbox and its back-off, the incidents that operators read, and the facts about a node."""

from __future__ import annotations

import json

import pytest

from adapters.evm.journal import SignedTx, TxStatus, VolatileJournal
from bridge.storage import Database, DatabaseJournal, IncidentKind, Moment, UnitOfWork, WrongDatabase
from foundation.quantities import UnixMs, Wei

NODE, OTHER = b"n" * 33, b"o" * 33


class Crash(Exception):
    """The node dies here."""


async def test_an_effect_is_asked_for_once_by_its_key(unit: UnitOfWork) -> None:
    """To step again after a crash asks for the same delivery, not for a second one."""
    await unit.outbox.add("mint", "mint:1", b"first", UnixMs(1))
    await unit.outbox.add("mint", "mint:1", b"again", UnixMs(2))
    await unit.outbox.add_many("tell", {"tell:1": b"a", "tell:2": b"b"}, UnixMs(3))
    due = await unit.outbox.due(UnixMs(3))
    assert [(row.key, row.body, row.attempts) for row in due] == [
        ("mint:1", b"first", 0),
        ("tell:1", b"a", 0),
        ("tell:2", b"b", 0),
    ]
    assert [row.key for row in await unit.outbox.due(UnixMs(3), kind="tell")] == ["tell:1", "tell:2"]
    assert len(await unit.outbox.due(UnixMs(3), limit=2)) == 2


async def test_a_failed_attempt_waits_and_is_counted(unit: UnitOfWork) -> None:
    """Due again only from its new time on, with its attempts counted, however often that happens."""
    await unit.outbox.add("mint", "late", b"", UnixMs(0), not_before=UnixMs(5))
    assert await unit.outbox.due(UnixMs(4)) == ()
    assert await unit.outbox.next_due() == 5
    (row,) = await unit.outbox.due(UnixMs(5))
    for attempt, again in enumerate((10, 30, 70), start=1):
        await unit.outbox.postpone(row.id, UnixMs(again))
        assert await unit.outbox.due(UnixMs(again - 1)) == ()
        (found,) = await unit.outbox.due(UnixMs(again))
        assert found.attempts == attempt
    assert await unit.outbox.next_due() == 70


async def test_what_was_delivered_is_never_due_again_until_it_is_forgotten(unit: UnitOfWork) -> None:
    """Its key stays taken, so that a replayed step asks for nothing; to forget it frees the key."""
    await unit.outbox.add("mint", "key", b"", UnixMs(0))
    (row,) = await unit.outbox.due(UnixMs(0))
    await unit.outbox.delivered([row.id], UnixMs(10))
    await unit.outbox.delivered([row.id], UnixMs(99))
    await unit.outbox.add("mint", "key", b"", UnixMs(11))
    assert await unit.outbox.due(UnixMs(100)) == ()
    assert await unit.outbox.next_due() is None
    await unit.outbox.forget(UnixMs(10))
    await unit.outbox.add("mint", "key", b"", UnixMs(12))
    assert await unit.outbox.due(UnixMs(100)) == ()
    await unit.outbox.forget(UnixMs(11))
    await unit.outbox.add("mint", "key", b"", UnixMs(13))
    assert len(await unit.outbox.due(UnixMs(100))) == 1


@pytest.mark.parametrize("moment", list(Moment))
async def test_a_delivery_is_made_at_least_once_over_a_crash(database_url: str, moment: Moment) -> None:
    """A node that dies while it notes a delivery makes it again, unless the note took effect; none is ever lost."""
    crashing = False

    async def hook(now: Moment) -> None:
        if crashing and now is moment:
            raise Crash

    async with await Database.open(database_url, commit_hook=hook) as database:
        async with database.unit() as unit:
            await unit.outbox.add("mint", "key", b"", UnixMs(0))
            await unit.commit()
        crashing = True
        with pytest.raises(Crash):
            async with database.unit() as unit:
                (row,) = await unit.outbox.due(UnixMs(0))
                await unit.outbox.delivered([row.id], UnixMs(1))
                await unit.commit()
    async with await Database.open(database_url) as database, database.view() as view:
        assert len(await view.outbox.due(UnixMs(0))) == (1 if moment is Moment.BEFORE else 0)


async def test_the_same_incident_is_counted_and_shows_its_latest_fields(unit: UnitOfWork) -> None:
    """A party that repeats itself does not fill the disk."""
    record = unit.incidents.record
    await record(IncidentKind.REFUSAL, "UnaskedOutput", UnixMs(1), party=NODE, fields={"script": b"\x51", "value": 1})
    await record(IncidentKind.REFUSAL, "UnaskedOutput", UnixMs(9), party=NODE, fields={"script": b"\x52", "at": NODE})
    (row,) = await unit.incidents.latest()
    assert (row.first_at_ms, row.at_ms, row.count, row.party, row.error) == (1, 9, 2, NODE, "UnaskedOutput")
    assert json.loads(row.fields) == {"script": "52", "at": NODE.hex()}


async def test_incidents_of_another_party_kind_error_or_subject_are_their_own(unit: UnitOfWork) -> None:
    """The latest come first, and are chosen by kind and party."""
    record = unit.incidents.record
    await record(IncidentKind.REFUSAL, "E", UnixMs(1), party=NODE)
    await record(IncidentKind.REFUSAL, "E", UnixMs(2), party=OTHER)
    await record(IncidentKind.FAULT, "E", UnixMs(3), party=NODE)
    await record(IncidentKind.REFUSAL, "E", UnixMs(4), party=NODE, subject=b"s")
    await record(IncidentKind.ALARM, "F", UnixMs(5))
    latest = unit.incidents.latest
    assert [row.at_ms for row in await latest()] == [5, 4, 3, 2, 1]
    assert [row.at_ms for row in await latest(limit=2)] == [5, 4]
    assert [row.at_ms for row in await latest(kind=IncidentKind.REFUSAL, party=NODE)] == [4, 1]
    assert [row.party for row in await latest(kind=IncidentKind.ALARM)] == [b""]


async def test_facts_change_and_claims_do_not(unit: UnitOfWork) -> None:
    """A database that belongs to another network or another node is refused, and named."""
    await unit.node_meta.put("heartbeat", b"1")
    await unit.node_meta.put("heartbeat", b"2")
    assert await unit.node_meta.get("heartbeat") == b"2"
    await unit.node_meta.claim("network", b"main")
    await unit.node_meta.claim("network", b"main")
    with pytest.raises(WrongDatabase) as wrong:
        await unit.node_meta.claim("network", b"test")
    assert (wrong.value.key, wrong.value.expected, wrong.value.found) == ("network", b"test", b"main")
    assert await unit.node_meta.get("network") == b"main"


def signed(nonce: int, max_fee: int = 10, key: str = "k", account: bytes = b"a" * 20) -> SignedTx:
    return SignedTx(
        key=key,
        account=account,
        nonce=nonce,
        hash=bytes([nonce]) + max_fee.to_bytes(31, "big"),
        to=b"t" * 20,
        data=b"data",
        value=Wei(2**256 - 1),
        gas=21_000,
        max_fee=Wei(max_fee),
        tip=Wei(1),
        raw=b"raw",
        label="mint",
    )


async def test_the_journal_does_what_its_port_says(database: Database) -> None:
    """On a database as in memory: the same answers to the same calls, with the largest amounts kept exactly."""
    durable, volatile = DatabaseJournal(database, lambda: UnixMs(1)), VolatileJournal()
    account = b"a" * 20
    for journal in (durable, volatile):
        assert await journal.next_nonce(account) == 0
        for row in (
            signed(1, key="next"),
            signed(0, 2**200),
            signed(0, 9),
            signed(0, 9),
            signed(7, account=b"b" * 20),
        ):
            await journal.record(row)
    for journal in (durable, volatile):
        assert [row.max_fee for row in await journal.by_key(account, "k")] == [9, 2**200]
        assert await journal.by_nonce(account, 1) == (signed(1, key="next"),)
        assert await journal.by_nonce(account, 5) == ()
        assert len(await journal.pending(account)) == 3
        assert await journal.next_nonce(account) == 2
        await journal.finish(account, 0, signed(0, 9).hash, TxStatus.MINED)
        await journal.finish(account, 1, None, TxStatus.LOST)
        assert [row.status for row in await journal.by_nonce(account, 0)] == [TxStatus.MINED, TxStatus.REPLACED]
        assert [row.status for row in await journal.by_nonce(account, 1)] == [TxStatus.LOST]
        assert await journal.pending(account) == ()
        assert len(await journal.pending(b"b" * 20)) == 1


async def test_each_chain_has_a_journal_of_its_own(database: Database) -> None:
    """One account's nonces, keys and even hashes on one chain say nothing about another's."""
    account = b"a" * 20
    native, one, two = (DatabaseJournal(database, lambda: UnixMs(1), chain) for chain in ("", "eip155:1", "eip155:2"))
    for nonce in (0, 1):
        await native.record(signed(nonce))
    await one.record(signed(0))
    assert [await journal.next_nonce(account) for journal in (native, one, two)] == [2, 1, 0]
    assert [len(await journal.by_key(account, "k")) for journal in (native, one, two)] == [2, 1, 0]
    assert [len(await journal.by_nonce(account, 0)) for journal in (native, one, two)] == [1, 1, 0]
    await one.finish(account, 0, signed(0).hash, TxStatus.MINED)
    await two.finish(account, 1, None, TxStatus.LOST)
    assert [len(await journal.pending(account)) for journal in (native, one, two)] == [2, 0, 0]
