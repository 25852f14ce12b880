"""A signer against coordinators that cheat: at most one partial signature for each nonce, and no bad round signed."""

import asyncio
import os
from dataclasses import replace

import pytest

from foundation.quantities import UnixMs
from mpc import frost
from mpc import signer as signing
from mpc.cluster_errors import (
    EpochMismatch,
    InvalidRound,
    NonceUnavailable,
    NotAMember,
    SessionConflict,
    SessionUnknown,
    ShareNotHeld,
    ShareNotReady,
    TooManyRequests,
)
from mpc.evidence import session_of
from mpc.keystore import Keystore
from mpc.messages import Close, Invite, Round, offer_hash
from mpc.nonce_store import NonceJournal, NonceStore
from mpc.ports import items_hash
from mpc.signer_service import GROUP_PROOF, SignerService
from tests.support.cluster import (
    CHEAP,
    GROUP,
    BodyAuthorizer,
    Directory,
    ManualClock,
    MemoryIncidents,
    NotYet,
    deal,
    identities,
    item,
    with_epoch,
)

SHARES = deal(2, 3)
KEY = SHARES[0].key
BODY = bytes(range(64))
ITEMS = (item(BODY[:32]), item(BODY[32:]))
COORDINATOR = KEY.members[1]
SESSION = b"\x07" * 32


class Signer:
    """A signer service with its surroundings."""

    def __init__(self, folder, *, share=SHARES[0], **limits):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.keystore = Keystore.create(folder / "keys", "p", identities(3)[0].host_secret, CHEAP)
        self.keystore.store(share)
        self.clock, self.authorizer, self.incidents = ManualClock(), BodyAuthorizer(), MemoryIncidents()
        self.restart(**limits)

    def restart(self, **limits):
        """As after a crash: what is not on disk is gone."""
        self.nonces = NonceStore(NonceJournal(self.folder / "nonces.journal"))
        self.service = SignerService(
            self.keystore, self.nonces, self.authorizer, Directory(), self.incidents, self.clock, **limits
        )

    async def invite(self, session=SESSION, *, sender=COORDINATOR, epoch=0, body=BODY, kind="test", group=GROUP):
        return await self.service.invite(sender, Invite(session, group, epoch, kind, body))

    async def sign(self, asked, sender=COORDINATOR):
        return await self.service.sign(sender, asked)


@pytest.fixture
def signer(tmp_path):
    return Signer(tmp_path / "node")


def others_nonces(count=2, index=1):
    return [frost.nonce_gen(SHARES[index].secshare, None, None, None, None, os.urandom(32))[1] for _ in range(count)]


def a_round(offer, *, ids=(0, 1), number=0, aggnonces=None):
    """A round over the signer's offer and another member's nonces, fresh for each call."""
    pubnonces = offer.pubnonces if not isinstance(offer, list) else offer
    if aggnonces is None:
        aggnonces = [frost.nonce_agg(pair) for pair in zip(pubnonces, others_nonces(len(pubnonces)), strict=True)]
    return Round(SESSION, number, list(ids), aggnonces, offer_hash(pubnonces))


async def test_an_answer_holds_valid_partial_signatures_and_fresh_nonces(signer):
    """An honest round gets a valid partial signature for each item, and nonces that were never used."""
    offer = await signer.invite()
    assert offer.items == items_hash(ITEMS)
    asked = a_round(offer)
    shares = await signer.sign(asked)
    signers = KEY.signers(asked.ids)
    for wanted, aggnonce, pubnonce, psig in zip(ITEMS, asked.aggnonces, offer.pubnonces, shares.psigs, strict=True):
        assert frost.verify_share(psig, pubnonce, 0, session_of(signers, wanted, aggnonce))
    assert not set(shares.pubnonces) & set(offer.pubnonces)
    assert (shares.round, shares.items) == (asked.digest(), offer.items)


async def test_different_aggregates_or_signer_sets_for_one_offer_get_one_answer(signer):
    """A coordinator that shows other aggregate nonces or signer sets for the same nonces, one after the other or at
    once, gets at most one partial signature for each nonce; the very same round gets the very same answer."""
    offer = await signer.invite()
    rounds = [a_round(offer), a_round(offer), a_round(offer, ids=(0, 2)), a_round(offer, ids=(0, 1, 2), number=1)]
    answers = await asyncio.gather(*(signer.sign(asked) for asked in rounds), return_exceptions=True)
    assert sum(not isinstance(answer, Exception) for answer in answers) == 1
    assert {type(answer) for answer in answers if isinstance(answer, Exception)} == {NonceUnavailable}
    (signed,) = (asked for asked, answer in zip(rounds, answers, strict=True) if not isinstance(answer, Exception))
    assert await signer.sign(signed) in answers


def test_the_machine_itself_names_an_offer_in_one_effect_only():
    """Without the store behind it the state machine still spends an offer once: while it signs, after it failed, and
    after it answered, another round over the same nonces is refused."""
    invite = Invite(SESSION, GROUP, 0, "test", BODY)
    pubnonces = tuple(others_nonces(2, 0))
    state = signing.open_session(COORDINATOR, invite, KEY, 0, ITEMS, UnixMs(100))
    state, _ = signing.step(state, signing.Made(pubnonces), UnixMs(1))
    asked = a_round(list(pubnonces))
    state, effect = signing.step(state, signing.Asked(asked), UnixMs(1))
    assert effect.pubnonces == pubnonces
    failed, _ = signing.step(state, signing.Broken(), UnixMs(1))
    produced = signing.Produced(asked.digest(), (bytes(32),) * 2, tuple(others_nonces(2, 0)))
    answered, _ = signing.step(state, produced, UnixMs(1))
    for later in (state, failed, answered):
        with pytest.raises(NonceUnavailable):
            signing.step(later, signing.Asked(a_round(list(pubnonces), number=1)), UnixMs(1))


async def test_every_nonce_of_a_long_session_is_new(signer):
    """Over many rounds with one session no public nonce is offered twice."""
    pubnonces = list((await signer.invite()).pubnonces)
    seen = list(pubnonces)
    for number in range(20):
        pubnonces = (await signer.sign(a_round(pubnonces, number=number))).pubnonces
        seen += pubnonces
    assert len(set(seen)) == len(seen)
    assert signer.nonces.outstanding(COORDINATOR) == 2


async def test_a_restart_forgets_nonces_and_an_invitation_brings_new_ones(signer):
    """After a crash with an offer out, or after the signature, the old nonces cannot be used; new ones can."""
    offer = await signer.invite()
    signer.restart()
    with pytest.raises(SessionUnknown):
        await signer.sign(a_round(offer))
    fresh = await signer.invite()
    assert not set(fresh.pubnonces) & set(offer.pubnonces)
    with pytest.raises(NonceUnavailable):
        await signer.sign(a_round(offer))
    await signer.sign(a_round(fresh))


@pytest.mark.parametrize(
    "change",
    [
        {"ids": [0, 0]},
        {"ids": [0, 3]},
        {"ids": [0, 99]},
        {"ids": [1, 2]},
        {"ids": [0]},
        {"aggnonces": [(b"\x02" + bytes(31) + b"\x05") * 2] * 2},
        {"aggnonces": [b"\x09" * 66] * 2},
        {"aggnonces": [bytes(66)]},
    ],
    ids=["doubled", "too large", "far too large", "without us", "too few", "not a point", "no prefix", "count"],
)
async def test_a_round_that_cannot_be_signed_spends_nothing(signer, change):
    """Identifiers doubled, out of range, without us or too few, and bad aggregates: refused, and the offer stands."""
    offer = await signer.invite()
    asked = a_round(offer)
    fields = {name: getattr(asked, name) for name in asked.__struct_fields__} | change
    with pytest.raises(InvalidRound):
        await signer.sign(Round(**fields))
    assert (await signer.invite()).pubnonces == offer.pubnonces
    await signer.sign(asked)


async def test_nonces_of_another_coordinator_are_out_of_reach(signer):
    """A coordinator cannot use the offer that another one got."""
    offer = await signer.invite()
    other = KEY.members[2]
    with pytest.raises(SessionUnknown):
        await signer.sign(a_round(offer), sender=other)
    await signer.invite(sender=other)
    with pytest.raises(NonceUnavailable):
        await signer.sign(a_round(offer), sender=other)


async def test_only_members_in_the_right_epoch_get_offers(signer):
    """Strangers, unknown groups and other epochs are refused, and the authorizer is not even asked."""
    with pytest.raises(NotAMember):
        await signer.invite(sender=b"\x02" * 33)
    with pytest.raises(ShareNotHeld):
        await signer.invite(group=bytes(32))
    with pytest.raises(EpochMismatch):
        await signer.invite(epoch=1)
    assert signer.authorizer.asked == []


async def test_shares_of_two_epochs_do_not_mix(tmp_path):
    """With shares of two epochs a signer offers for the newer one only, and the older share cannot sign with it."""
    signer = Signer(tmp_path / "node")
    newer = with_epoch(deal(2, 3, seed=b"other")[0], 1)
    signer.keystore.store(newer)
    with pytest.raises(EpochMismatch):
        await signer.invite(epoch=0)
    offer = await signer.invite(epoch=1)
    mixed = replace(newer.key, pubshares=(KEY.pubshares[0], *newer.key.pubshares[1:]))
    with pytest.raises(ValueError, match="interpolate"):
        mixed.signers((0, 1))
    await signer.sign(a_round(offer))


async def test_a_refusal_is_recorded_and_leaves_nothing_behind(signer):
    """What the authorizer refuses reaches the coordinator as it is, is recorded, and takes no memory."""
    signer.authorizer.refusal = NotYet("the deposit has 2 of 6 confirmations")
    for _ in range(200):
        with pytest.raises(NotYet):
            await signer.invite(os.urandom(32))
    assert signer.service.open_sessions == 0
    incident = signer.incidents.recorded[0]
    assert (incident.kind, incident.peer, incident.error) == ("refused", COORDINATOR, "NotYet")
    assert incident.text == "test: the deposit has 2 of 6 confirmations"
    signer.authorizer.refusal = None
    await signer.invite()


async def test_a_session_belongs_to_one_request(signer):
    """The id of a session cannot be used for another structure."""
    await signer.invite()
    with pytest.raises(SessionConflict):
        await signer.invite(body=bytes(32))


async def test_open_sessions_are_limited_and_expire(tmp_path):
    """A coordinator has a bounded number of sessions; closed and expired ones make room and lose their nonces."""
    signer = Signer(tmp_path / "node", max_sessions_a_peer=2)
    await signer.invite(b"\x01" * 32)
    await signer.invite(b"\x02" * 32)
    with pytest.raises(TooManyRequests):
        await signer.invite(b"\x03" * 32)
    await signer.invite(b"\x03" * 32, sender=KEY.members[2])
    signer.service.close_session(COORDINATOR, Close(b"\x01" * 32))
    await signer.invite(b"\x03" * 32)
    signer.clock.now += 10**7
    await signer.invite(b"\x04" * 32)
    assert signer.nonces.outstanding(COORDINATOR) == 2
    assert signer.nonces.outstanding(KEY.members[2]) == 0


async def test_an_expired_offer_is_not_signed(signer):
    """A round that comes after the session's time is refused; what was authorized then may no longer hold."""
    offer = await signer.invite()
    signer.clock.now += 10**7
    with pytest.raises(NonceUnavailable, match="expired"):
        await signer.sign(a_round(offer))
    fresh = await signer.invite()
    assert fresh.pubnonces != offer.pubnonces
    assert len(signer.authorizer.asked) == 2


async def test_an_unconfirmed_share_signs_nothing_but_the_proof(tmp_path):
    """Until all members are known to hold their shares, the key signs its proof and nothing else."""
    signer = Signer(tmp_path / "node", share=replace(SHARES[0], ready=False))
    with pytest.raises(ShareNotReady):
        await signer.invite()
    await signer.invite(kind=GROUP_PROOF)
    assert signer.authorizer.asked == []


async def test_a_disk_that_fails_costs_the_nonces_but_not_the_share(signer, monkeypatch):
    """If the journal cannot be written, nothing is signed, and the next offer is fresh."""
    offer = await signer.invite()

    def fail(_):
        raise OSError("input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="input/output"):
            await signer.sign(a_round(offer))
    with pytest.raises(NonceUnavailable):
        await signer.sign(a_round(offer))
    fresh = await signer.invite()
    assert not set(fresh.pubnonces) & set(offer.pubnonces)
    await signer.sign(a_round(fresh))
