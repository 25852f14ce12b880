"""Key generation sessions: blame, repeats, resumption, and that a share is stored before it is acknowledged."""

import os
import random

import pytest

from mpc import chilldkg, dkg_session
from mpc.cluster_errors import (
    ConflictingShare,
    GroupNotProposed,
    NotAMember,
    SessionConflict,
    SessionUnknown,
    ShareNotHeld,
    TooManyRequests,
)
from mpc.dkg_service import DkgService
from mpc.dkg_session import Acked, Broken, Completed, Confirmed, First, Known, Refused, Second
from mpc.errors import InvalidRecoveryAckError
from mpc.keystore import Keystore
from mpc.messages import DkgDone, DkgStart, DkgStep
from mpc.ports import GroupProposal
from tests.support.cluster import CHEAP, GROUP, Directory, ManualClock, MemoryIncidents, deal, identities

T, N = 2, 3
HOSTS = identities(N)
KEYS = [identity.host_key for identity in HOSTS]
PARAMS = chilldkg.SessionParams(KEYS, T)


class Participants:
    """The services of all participants, without any network, and a coordinator that is participant 0."""

    def __init__(self, folder):
        directory = Directory(proposals={GROUP: GroupProposal(GROUP, 0, tuple(KEYS), T)})
        self.incidents, self.clock = MemoryIncidents(), ManualClock()
        self.keystores = [
            Keystore.create(folder / f"keys{i}", "p", host.host_secret, CHEAP) for i, host in enumerate(HOSTS)
        ]
        self.services = [DkgService(keystore, directory, self.incidents, self.clock) for keystore in self.keystores]
        self.directory = directory

    def restart(self, i):
        self.services[i] = DkgService(self.keystores[i], self.directory, self.incidents, self.clock)

    def holds(self, i):
        try:
            return self.keystores[i].share(GROUP)
        except ShareNotHeld:
            return None


@pytest.fixture
def participants(tmp_path):
    return Participants(tmp_path)


def start_message(attempt=0, **change):
    fields = {"group": GROUP, "epoch": 0, "attempt": attempt, "threshold": T, "members": KEYS}
    return DkgStart(**(fields | change))


class Coordinator:
    """Carries a session's messages; `tamper(send)` may change one, None loses it."""

    def __init__(self, participants, index=0, attempt=0, tamper=lambda send: send):
        self.participants, self.me, self.tamper = participants, KEYS[index], tamper
        self.start = start_message(attempt)
        self.session = dkg_session.session_id(GROUP, 0, attempt, self.me, PARAMS)
        self.state, self.sends = dkg_session.coordinate(PARAMS)
        self.sends = list(self.sends)

    async def ask(self, send):
        service, step = self.participants.services[send.participant], DkgStep(self.session, send.payload)
        i = send.participant
        try:
            match send.stage:
                case "start":
                    first = await service.start(self.me, self.start)
                    return Known(i, first.recovery_data) if first.recovery_data else First(i, first.pmsg1)
                case "second" | "investigate":
                    ask = service.second if send.stage == "second" else service.investigate
                    second = await ask(self.me, step)
                    return Second(i, second.pmsg2, second.blamed, second.problem)
                case "finish" | "adopt":
                    ask = service.finish if send.stage == "finish" else service.adopt
                    return Acked(i, (await ask(self.me, step)).signature)
                case "done":
                    await service.done(self.me, DkgDone(self.session, send.payload, list(send.acks)))
                    return Confirmed(i)
        except (SessionConflict, SessionUnknown) as error:
            return Refused(i, str(error))

    async def run(self, until=(), choose=lambda _: 0):
        """Until the end, or until a message of the stage `until` would be sent."""
        while self.sends and not any(send.stage in until for send in self.sends):
            send = self.tamper(self.sends.pop(choose(len(self.sends))))
            if send is not None:
                self.state, more = dkg_session.step(self.state, await self.ask(send))
                self.sends += more
        return self.state


async def test_all_participants_end_with_the_same_key(participants):
    """In any order of messages the session completes, every share is stored and ready, and the key validates."""
    order = random.Random(5)
    state = await Coordinator(participants).run(choose=order.randrange)
    assert isinstance(state, Completed)
    shares = [participants.holds(i) for i in range(N)]
    assert all(share.ready for share in shares)
    assert {share.key.thresh_pk for share in shares} == {state.output.thresh_pk}
    assert {share.key.recovery_data for share in shares} == {state.recovery_data}


async def test_repeated_messages_get_the_same_answers(participants):
    """Every request may be sent twice: the answers are the same and the session completes."""
    coordinator = Coordinator(participants)
    seen = {}

    async def twice(send):
        once, again = await Coordinator.ask(coordinator, send), await Coordinator.ask(coordinator, send)
        if send.stage != "finish":
            assert once == again
        seen[send.stage] = True
        return once

    coordinator.ask = twice
    assert isinstance(await coordinator.run(), Completed)
    assert seen.keys() == {"start", "second", "finish", "done"}


async def test_a_wrong_share_is_investigated_and_its_sender_accused(participants):
    """When a participant's message gives another one a bad share, the investigation names the sender."""
    coordinator = Coordinator(participants)
    await coordinator.run(until=("second",))
    pmsg1 = coordinator.state.first
    # Participant 1 spoils the encrypted share for participant 2, the last 32 bytes of its message.
    spoiled = pmsg1[1][:-1] + bytes([pmsg1[1][-1] ^ 1])
    state, sends = dkg_session.Collecting(PARAMS, {0: pmsg1[0], 2: pmsg1[2]}, {}), []
    coordinator.state, sends = dkg_session.step(state, First(1, spoiled))
    coordinator.sends = list(sends)
    state = await coordinator.run()
    assert isinstance(state, Broken)
    (accusation,) = state.accusations
    assert (accusation.accuser, accusation.accused) == (2, 1)
    assert participants.incidents.recorded[0].kind == "key-generation"
    assert all(participants.holds(i) is None for i in range(N))


async def test_different_views_do_not_get_a_certificate(participants):
    """A coordinator that shows participants different first messages cannot complete a certificate."""
    coordinator = Coordinator(participants)
    await coordinator.run(until=("second",))
    firsts = list(coordinator.state.first)
    other = chilldkg.participant_step1(HOSTS[0].host_secret, PARAMS, os.urandom(32))[1]
    _, cmsg1 = chilldkg.coordinator_step1([other, *firsts[1:]], PARAMS)

    def show_another(send):
        wanted = send.stage == "second" and send.participant == 2
        return dkg_session.Send(2, "second", cmsg1) if wanted else send

    coordinator.tamper = show_another
    state = await coordinator.run()
    assert isinstance(state, Broken)
    assert all(participants.holds(i) is None for i in range(N))


async def test_one_session_is_signed_for_one_view(participants):
    """A participant that has signed one view refuses to sign another in the same session."""
    coordinator = Coordinator(participants)
    await coordinator.run(until=("second",))
    send = coordinator.sends[0]
    await coordinator.ask(send)
    other = chilldkg.participant_step1(HOSTS[1].host_secret, PARAMS, os.urandom(32))[1]
    firsts = coordinator.state.first
    _, cmsg1 = chilldkg.coordinator_step1([firsts[0], other, firsts[2]], PARAMS)
    with pytest.raises(SessionConflict):
        await participants.services[0].second(KEYS[0], DkgStep(coordinator.session, cmsg1))


async def test_a_share_is_on_disk_before_it_is_acknowledged(participants, monkeypatch):
    """If storing fails there is no acknowledgement, and after a restart the participant does not believe in the key."""
    coordinator = Coordinator(participants)
    await coordinator.run(until=("finish",))

    def fail(*_):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("mpc.keystore.write_durably", fail)
        with pytest.raises(OSError, match="no space"):
            await coordinator.ask(coordinator.sends[0])
    assert participants.holds(0) is None
    assert isinstance(await coordinator.run(), Completed)


@pytest.mark.parametrize("stage", ["second", "finish", "done"])
@pytest.mark.parametrize("reached", [0, 1, 2])
async def test_a_broken_off_session_is_resumed_with_the_same_key(participants, stage, reached):
    """If everything restarts in the middle of any stage, the next attempt, by another coordinator, completes; whoever
    had stored a key keeps it, and all end with that one."""
    first = Coordinator(participants)
    await first.run(until=(stage,))
    for send in first.sends[:reached]:
        await first.ask(send)
    stored = {participants.holds(i).key.thresh_pk for i in range(N) if participants.holds(i)}
    for i in range(N):
        participants.restart(i)
    second = Coordinator(participants, index=1, attempt=1)
    state = await second.run()
    assert isinstance(state, Completed)
    assert stored <= {state.output.thresh_pk}
    assert all(participants.holds(i).ready for i in range(N))
    assert {participants.holds(i).key.thresh_pk for i in range(N)} == {state.output.thresh_pk}


async def test_two_coordinators_at_once_cannot_make_two_keys(participants):
    """Whatever the interleaving of two sessions, no two participants store different keys, and a third completes."""
    for seed in range(30):
        order = random.Random(seed)
        for keystore in participants.keystores:
            if keystore.shares():
                keystore.erase(GROUP, 0)
        for i in range(N):
            participants.restart(i)
        runs = [Coordinator(participants, index, attempt=0) for index in (0, 1)]
        while any(run.sends for run in runs):
            run = order.choice([run for run in runs if run.sends])
            send = run.sends.pop(order.randrange(len(run.sends)))
            run.state, more = dkg_session.step(run.state, await run.ask(send))
            run.sends += more
        stored = {participants.holds(i).key.thresh_pk for i in range(N) if participants.holds(i)}
        assert len(stored) <= 1
        third = await Coordinator(participants, 2, attempt=1).run()
        assert isinstance(third, Completed)
        assert stored <= {third.output.thresh_pk}


async def test_only_proposed_groups_and_members_take_part(participants):
    """Other members, another threshold or epoch, an unknown group and a stranger as coordinator are refused."""
    service = participants.services[0]
    for change in ({"members": KEYS[:2]}, {"threshold": 1}, {"epoch": 1}, {"group": bytes(32)}):
        with pytest.raises(GroupNotProposed):
            await service.start(KEYS[1], start_message(**change))
    with pytest.raises(NotAMember):
        await service.start(identities(9)[8].host_key, start_message())


async def test_sessions_belong_to_their_coordinator_and_are_limited(participants):
    """Nobody else can go on with a session; one coordinator has a bounded number of them."""
    service = participants.services[0]
    first = await service.start(KEYS[1], start_message())
    with pytest.raises(SessionUnknown):
        await service.second(KEYS[2], DkgStep(first.session, b""))
    with pytest.raises(TooManyRequests):
        for attempt in range(1, 100):
            await service.start(KEYS[1], start_message(attempt))
    participants.clock.now += 10**7
    await service.start(KEYS[1], start_message(200))


async def test_acknowledgements_are_checked(participants):
    """A share becomes ready only with the acknowledgements of all members."""
    coordinator = Coordinator(participants)
    await coordinator.run(until=("done",))
    send = coordinator.sends[0]
    acks = [send.acks[0], send.acks[0], send.acks[2]]
    with pytest.raises(InvalidRecoveryAckError):
        await participants.services[0].done(KEYS[0], DkgDone(coordinator.session, send.payload, acks))
    assert not participants.holds(0).ready


async def test_a_member_that_shows_a_false_key_is_accused():
    """Recovery data that is damaged or of other members does not pass for the group's key."""
    state, _ = dkg_session.coordinate(PARAMS)
    for i in range(N - 1):
        state, _ = dkg_session.step(state, First(i, b""))
    state, sends = dkg_session.step(state, Known(2, b"nonsense"))
    assert isinstance(state, Broken)
    assert (state.accusations[0].accused, sends) == (2, ())
    assert deal(T, N)[0].key.recovery_data == b""


async def test_a_second_finished_key_is_refused_and_recorded(participants):
    """A coordinator that shows another finished key for a group gets no acknowledgement, and an incident says so."""
    await Coordinator(participants).run()
    held = participants.holds(1)
    first = [chilldkg.participant_step1(host.host_secret, PARAMS, os.urandom(32)) for host in HOSTS]
    state, cmsg1 = chilldkg.coordinator_step1([pmsg for _, pmsg in first], PARAMS)
    second = [
        chilldkg.participant_step2(host.host_secret, own, cmsg1, os.urandom(32))[1]
        for host, (own, _) in zip(HOSTS, first, strict=True)
    ]
    other = chilldkg.coordinator_finalize(state, second)[2]
    await participants.services[1].start(KEYS[0], start_message(1))
    session = dkg_session.session_id(GROUP, 0, 1, KEYS[0], PARAMS)
    with pytest.raises(ConflictingShare):
        await participants.services[1].adopt(KEYS[0], DkgStep(session, other))
    assert participants.holds(1) == held
    incident = participants.incidents.recorded[-1]
    assert (incident.kind, incident.peer, incident.error) == ("conflicting-key", KEYS[0], "ConflictingShare")
