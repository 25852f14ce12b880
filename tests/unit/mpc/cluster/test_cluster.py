"""Whole clusters in one process over loopback: the facade from both sides."""

import asyncio
import shutil

import msgspec
import pytest

from mpc import bip340, frost, messages, signer_service
from mpc.cluster_errors import (
    GroupNotProposed,
    KeyGenerationFailed,
    PeerRefused,
    ShareNotHeld,
    SigningRefused,
    SigningTimeout,
)
from mpc.evidence import Evidence, proves_fault
from mpc.messages import DkgStep
from mpc.standing import TOLERATED_FAULTS
from tests.support.cluster import GROUP, NETWORK, NotYet, item, members, start_member
from tests.support.patience import PATIENCE_S

BODY = bytes(range(64))


def verify(member, signatures):
    key = member.cluster.key(GROUP)
    for i, signature in enumerate(signatures):
        wanted = item(BODY[32 * i : 32 * i + 32])
        assert bip340.verify(wanted.message, key.tweaked(wanted), signature)
    assert len(signatures) == 2


def make_liar(monkeypatch, secshare):
    """The member with this share makes wrong partial signatures."""
    honest = frost.sign

    class SometimesLying:
        @staticmethod
        def sign(secnonce, share, my_id, session):
            psig = honest(secnonce, share, my_id, session)
            return psig[:-1] + bytes([psig[-1] ^ 1]) if share == secshare else psig

    monkeypatch.setattr(signer_service, "frost", SometimesLying)


async def test_a_new_group_proves_its_key_and_signs(tmp_path):
    """The key is made once, whoever asks and however often; its proof is by the key, over the directory's message."""
    async with members(tmp_path, 2, 3, dealt=False) as (nodes, directory):
        hosts = [node.identity.host_key for node in nodes]
        keys = [await node.cluster.create_group(GROUP, hosts, 2, attempt) for attempt, node in enumerate(nodes)]
        assert len({key.thresh_pk for key in keys}) == 1
        assert await nodes[0].cluster.create_group(GROUP, hosts, 2, 0) == keys[0]
        message = await directory.proof_message(GROUP, 0, keys[0].xonly)
        assert all(bip340.verify(message, key.xonly, key.proof) for key in keys)
        verify(nodes[1], await nodes[1].cluster.sign(GROUP, "test", BODY, 5))
        with pytest.raises(GroupNotProposed):
            await nodes[0].cluster.create_group(GROUP, hosts, 3, 0)


async def test_a_node_that_restarts_goes_on(tmp_path):
    """After a restart a node has its identity, share and culprits, but no nonces, and signs."""
    async with members(tmp_path, 2, 3) as (nodes, directory):
        await nodes[0].cluster.sign(GROUP, "test", BODY, 5)
        old = nodes[0]
        await old.stop()
        nodes[0] = await start_member(old.identity, directory, old.folder, old.incidents)
        verify(nodes[0], await nodes[0].cluster.sign(GROUP, "test", BODY, 5))
        verify(nodes[2], await nodes[2].cluster.sign(GROUP, "test", BODY, 5))


async def test_a_restored_backup_answers_no_round_again(tmp_path):
    """Attack: after a signer's folder is restored from before a signature, the coordinator sends the old round, and one
    with the old nonces and another aggregate; neither is answered, and the restored signer goes on with new nonces."""
    async with members(tmp_path, 2, 2) as (nodes, directory):
        seen = {}
        exchange = nodes[0].network.exchange

        async def listen(peer, kind, body, timeout_s):
            answer = await exchange(peer, kind, body, timeout_s)
            seen[kind] = (body, answer.body)
            return answer

        nodes[0].network.exchange = listen
        shutil.copytree(nodes[1].folder, tmp_path / "backup")
        await nodes[0].cluster.sign(GROUP, "test", BODY, 5)
        old = nodes[1]
        await old.stop()
        shutil.rmtree(old.folder)
        shutil.copytree(tmp_path / "backup", old.folder)
        nodes[1] = await start_member(old.identity, directory, old.folder, old.incidents)
        asked = messages.decode(seen["sign.round"][0], messages.Round)
        other = msgspec.structs.replace(asked, number=1, aggnonces=asked.aggnonces[::-1])
        for again in (asked, other):
            with pytest.raises(PeerRefused, match="SessionUnknown"):
                await exchange(old.identity.host_key, "sign.round", messages.encode(again), 5)
        offer = await exchange(old.identity.host_key, "sign.invite", seen["sign.invite"][0], 5)
        fresh = messages.decode(offer.body, messages.Offer)
        assert not set(fresh.pubnonces) & set(messages.decode(seen["sign.invite"][1], messages.Offer).pubnonces)
        for again in (asked, other):
            with pytest.raises(PeerRefused, match="NonceUnavailable"):
                await exchange(old.identity.host_key, "sign.round", messages.encode(again), 5)
        verify(nodes[0], await nodes[0].cluster.sign(GROUP, "test", BODY, 5))


async def test_a_liar_is_named_with_evidence_and_left_out(tmp_path, monkeypatch):
    """Every wrong partial signature is recorded with evidence that convinces others and frames nobody; after a few the
    member is not asked any more; that survives a restart."""
    async with members(tmp_path, 2, 3) as (nodes, directory):
        share = nodes[1].keystore.share(GROUP)
        make_liar(monkeypatch, share.secshare)
        await nodes[2].network.close()
        for _ in range(TOLERATED_FAULTS):
            # With the third member away the liar takes part each time, and the two cannot finish without it.
            with pytest.raises(SigningRefused):
                await asyncio.wait_for(sign_beside_nobody(nodes[0]), PATIENCE_S)
        (culprit,) = nodes[0].cluster.culprits()
        assert (culprit.peer, culprit.faults) == (nodes[1].identity.host_key, TOLERATED_FAULTS)
        incidents = [i for i in nodes[0].incidents.recorded if i.kind == "wrong-share"]
        assert {incident.peer for incident in incidents} == {culprit.peer}
        evidence = Evidence.from_bytes(incidents[0].evidence)
        assert proves_fault(evidence, share.key, NETWORK)
        assert not proves_fault(evidence, share.key, bytes(32))
        for change in ({"index": 2}, {"items": evidence.items[:1]}, {"offer": evidence.answer}, {"round": b""}):
            assert not proves_fault(changed(evidence, **change), share.key, NETWORK)
        old = nodes[0]
        await old.stop()
        nodes[0] = await start_member(old.identity, directory, old.folder, old.incidents)
        assert list(nodes[0].cluster.culprits()) == [culprit]


def changed(evidence, **change):
    fields = {name: getattr(evidence, name) for name in evidence.__struct_fields__}
    return Evidence(**(fields | change))


async def sign_beside_nobody(node):
    """Sign while the third member counts as refusing, so that the session ends as soon as the liar is named."""
    key = node.cluster.key(GROUP)
    absent = key.members[2]
    exchange = node.network.exchange

    async def refuse(peer, kind, body, timeout_s):
        if peer == absent:
            raise PeerRefused(peer, kind, "Away", "")
        return await exchange(peer, kind, body, timeout_s)

    node.network.exchange = refuse
    try:
        return await node.cluster.sign(GROUP, "test", BODY, 5)
    finally:
        node.network.exchange = exchange


async def test_an_honest_share_is_no_evidence(tmp_path):
    """Evidence made up from an honest member's messages proves nothing."""
    async with members(tmp_path, 2, 2) as (nodes, _):
        key, seen = nodes[0].cluster.key(GROUP), []
        exchange = nodes[0].network.exchange

        async def listen(peer, kind, body, timeout_s):
            answer = await exchange(peer, kind, body, timeout_s)
            seen.append((kind, body, answer.envelope))
            return answer

        nodes[0].network.exchange = listen
        await nodes[0].cluster.sign(GROUP, "test", BODY, 5)
        (_, _, offer), (_, asked, answer) = seen
        items = (item(BODY[:32]), item(BODY[32:]))
        for reason in ("a partial signature is wrong", "an answer is malformed"):
            assert not proves_fault(Evidence(1, reason, offer, asked, answer, items), key, NETWORK)
        other = (item(BODY[32:]), item(BODY[:32]))
        assert not proves_fault(Evidence(1, "a partial signature is wrong", offer, asked, answer, other), key, NETWORK)


async def test_refusals_come_back_typed(tmp_path):
    """When signers refuse, the coordinator learns who refused why, and each of them has recorded it."""
    async with members(tmp_path, 2, 3) as (nodes, _):
        for node in nodes[1:]:
            node.authorizer.refusal = NotYet("2 of 6 confirmations")
        with pytest.raises(SigningRefused) as refused:
            await nodes[0].cluster.sign(GROUP, "test", BODY, 5)
        assert refused.value.refusals == dict.fromkeys((1, 2), ("NotYet", "2 of 6 confirmations"))
        assert nodes[1].incidents.recorded[0].peer == nodes[0].identity.host_key
        nodes[0].authorizer.refusal = NotYet("nor do I")
        with pytest.raises(NotYet):
            await nodes[0].cluster.sign(GROUP, "test", BODY, 5)
        with pytest.raises(ShareNotHeld):
            await nodes[0].cluster.sign(bytes(32), "test", BODY, 5)


async def test_signers_that_mean_something_else_are_not_blamed(tmp_path):
    """A member whose authorizer names other items is passed over as refusing, not named as a liar."""
    async with members(tmp_path, 2, 3) as (nodes, _):

        async def authorize(*_):
            return (item(b"something else"),)

        nodes[1].authorizer.authorize = authorize
        verify(nodes[0], await nodes[0].cluster.sign(GROUP, "test", BODY, 5))
        nodes[2].authorizer.authorize = authorize
        with pytest.raises(SigningRefused) as refused:
            await nodes[0].cluster.sign(GROUP, "test", BODY, 5)
        assert {error for error, _ in refused.value.refusals.values()} == {"ItemsDiffer"}
        assert nodes[0].cluster.culprits() == []


async def test_a_bug_in_the_own_signer_shows_at_once(tmp_path):
    """An error that nobody foresaw ends the session with that error, not with a time-out."""
    async with members(tmp_path, 2, 3) as (nodes, _):

        async def invite(*_):
            raise ZeroDivisionError

        nodes[0].cluster.signer.invite = invite
        for node in nodes[1:]:
            await node.network.close()
        with pytest.raises(ZeroDivisionError):
            await nodes[0].cluster.sign(GROUP, "test", BODY, 30)


async def test_too_few_that_are_live_time_out(tmp_path):
    """With fewer than the threshold up, signing ends at its time and names who is awaited."""
    async with members(tmp_path, 2, 3) as (nodes, _):
        for node in nodes[1:]:
            await node.network.close()
        with pytest.raises(SigningTimeout) as late:
            await nodes[0].cluster.sign(GROUP, "test", BODY, 0.2)
        assert late.value.waiting_for == (1, 2)


async def test_many_sessions_at_once(tmp_path):
    """Sessions of several coordinators run beside each other, and no nonce and no session is left over."""
    async with members(tmp_path, 3, 5) as (nodes, _):
        signed = await asyncio.gather(*(node.cluster.sign(GROUP, "test", BODY, 20) for node in nodes for _ in range(4)))
        for signatures in signed:
            verify(nodes[0], signatures)
        async with asyncio.timeout(PATIENCE_S):
            while any(node.cluster.signer.open_sessions for node in nodes):
                await asyncio.sleep(0.01)


async def test_a_faulty_participant_is_named_by_the_coordinator(tmp_path):
    """A participant that signs nonsense in a key generation is accused, and no key is made."""
    async with members(tmp_path, 2, 3, dealt=False) as (nodes, _):

        async def second(received):
            step = messages.decode(received.body, DkgStep)
            return messages.encode(messages.DkgSecond(step.session, bytes(64), -2, ""))

        nodes[1].network.on("dkg.second", second)
        with pytest.raises(KeyGenerationFailed) as failed:
            await nodes[0].cluster.create_group(GROUP, [node.identity.host_key for node in nodes], 2, 0)
        assert [(a.accuser, a.accused) for a in failed.value.accusations] == [(None, 1)]
        with pytest.raises(ShareNotHeld):
            nodes[0].cluster.key(GROUP)
