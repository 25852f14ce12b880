"""A participant of key generations at work: checks that a group is proposed, and stores before it acknowledges.

Two coordinators may try at once. A participant signs what it saw only for attempts in ascending order (number of the
attempt, then host key of the coordinator), and takes a certificate only for the last one that it signed. So no two
honest participants can end up with different keys: whoever signed a later attempt will not store an earlier key, and
whoever has stored a key signs no more.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from foundation.quantities import UnixMs
from mpc import chilldkg, dkg_participant
from mpc.chilldkg import SessionParams
from mpc.cluster_errors import (
    ConflictingShare,
    GroupNotProposed,
    NotAMember,
    SessionConflict,
    SessionUnknown,
    ShareNotHeld,
    TooManyRequests,
)
from mpc.dkg_participant import NOBODY, Accusing, Certifying, Complaining, Finished, Started
from mpc.dkg_session import session_id
from mpc.evidence import GroupKey
from mpc.keystore import KeyShare, Keystore
from mpc.messages import DkgAck, DkgDone, DkgFirst, DkgSecond, DkgStart, DkgStep
from mpc.ports import Clock, GroupDirectory, Incident, IncidentKind, Incidents

SESSION_TTL_MS: Final = 600_000
MAX_SESSIONS_A_PEER: Final = 8
_Order: TypeAlias = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class _Session:
    """A session as this participant sees it; `state` is None where the key was there before."""

    start: DkgStart
    coordinator: bytes
    params: SessionParams
    state: dkg_participant.ParticipantState | None
    expires_at: UnixMs

    @property
    def order(self) -> _Order:
        return self.start.attempt, self.coordinator


class DkgService:
    """Answers coordinators of key generations; this node's own coordinator calls it directly."""

    def __init__(self, keystore: Keystore, directory: GroupDirectory, incidents: Incidents, clock: Clock) -> None:
        self._keystore = keystore
        self._directory = directory
        self._incidents = incidents
        self._clock = clock
        self._sessions: dict[bytes, _Session] = {}
        self._signed: dict[tuple[bytes, int], _Order] = {}
        """The last attempt that was signed for each group and epoch."""

    async def start(self, coordinator: bytes, start: DkgStart) -> DkgFirst:
        """Take part in a key generation, or show the key if it is there already.

        Raises:
            GroupNotProposed: the directory does not know this group with these members, threshold and epoch.
            NotAMember: the coordinator is not a member, or we are not.
            TooManyRequests: the coordinator has too many sessions open.
            SessionParamsError: the members' keys are invalid.
        """
        params = await self._check_proposed(coordinator, start)
        session = session_id(start.group, start.epoch, start.attempt, coordinator, params)
        known = self._sessions.get(session)
        held = self._held(start.group, start.epoch)
        if held is not None:
            self._open(session, _Session(start, coordinator, params, None, self._expiry()))
            return DkgFirst(session, b"", held.key.recovery_data)
        if known is not None and isinstance(known.state, Started):
            return DkgFirst(session, known.state.pmsg1, b"")
        # Whatever there was of this session is lost to its coordinator, which begins anew; so do we, with new secrets.
        state = dkg_participant.participate(session, params, self._keystore.identity.host_secret, os.urandom(32))
        self._open(session, _Session(start, coordinator, params, state, self._expiry()))
        return DkgFirst(session, state.pmsg1, b"")

    async def second(self, coordinator: bytes, step: DkgStep) -> DkgSecond:
        """Sign what the coordinator shows, or complain.

        Raises:
            SessionUnknown: the session is not open. SessionConflict: a later attempt was signed, or another message
            of this one, or the key is there already.
        """
        found = self._find(coordinator, step.session)
        place = (found.start.group, found.start.epoch)
        if found.state is None or self._held(*place) is not None:
            raise SessionConflict(step.session, "the group's key is there already")
        if self._signed.get(place, found.order) > found.order:
            raise SessionConflict(step.session, "a later attempt was signed")
        state = dkg_participant.second(found.state, step.payload, self._keystore.identity.host_secret, os.urandom(32))
        if isinstance(state, Certifying):
            self._signed[place] = found.order
        self._sessions[step.session] = replace(found, state=state)
        return await self._answer(found, state)

    async def investigate(self, coordinator: bytes, step: DkgStep) -> DkgSecond:
        """Find out whom to accuse.

        Raises:
            SessionUnknown, SessionConflict: as for `second`.
        """
        found = self._find(coordinator, step.session)
        if found.state is None:
            raise SessionConflict(step.session, "there was no complaint to investigate")
        state = dkg_participant.investigate(found.state, step.payload)
        self._sessions[step.session] = replace(found, state=state)
        return await self._answer(found, state)

    async def finish(self, coordinator: bytes, step: DkgStep) -> DkgAck:
        """Take the certificate: the share and the recovery data are on disk before this returns.

        Raises:
            SessionUnknown, SessionConflict: as for `second`; also if the certificate is wrong.
            ConflictingShare: another key of this group is held. OSError: the disk failed; nothing is acknowledged.
        """
        found = self._find(coordinator, step.session)
        start = found.start
        if found.state is None or self._signed.get((start.group, start.epoch)) != found.order:
            raise SessionConflict(step.session, "this is not the last attempt that was signed")
        state = dkg_participant.certificate(found.state, step.payload)
        self._sessions[step.session] = replace(found, state=state)
        if isinstance(state, Accusing):
            await self._record(found, "FaultyCoordinatorError", state.problem)
            raise SessionConflict(step.session, state.problem)
        self._keystore.store(self._share_of(found, state))
        return self._ack(found, state.recovery_data)

    async def adopt(self, coordinator: bytes, step: DkgStep) -> DkgAck:
        """Take the key that other members have already: it is on disk before this returns.

        Raises:
            SessionUnknown: the session is not open. SessionConflict: the data is of other members.
            RecoveryDataError: the data is no finished session's, so its certificate lacks somebody's signature.
            ConflictingShare: another key of this group is held; it is recorded. OSError: the disk failed.
        """
        found = self._find(coordinator, step.session)
        _, params = chilldkg.coordinator_recover(step.payload)
        if params != found.params:
            raise SessionConflict(step.session, "the recovery data is of other members")
        try:
            self._keystore.recover(found.start.group, found.start.epoch, step.payload, ready=False)
        except ConflictingShare as error:
            await self._record(found, "ConflictingShare", str(error), "conflicting-key")
            raise
        return self._ack(found, step.payload)

    async def done(self, coordinator: bytes, done: DkgDone) -> None:
        """See that all members hold the key; from now on the share signs.

        Raises:
            SessionUnknown: the session is not open. ShareNotHeld: we have not stored it.
            SessionConflict: it is another key. InvalidRecoveryAckError, MalformedInput, RecoveryDataError: an
            acknowledgement is missing or wrong.
        """
        found = self._find(coordinator, done.session)
        share = self._keystore.share(found.start.group, found.start.epoch)
        if share.key.recovery_data != done.recovery_data:
            raise SessionConflict(done.session, "the acknowledgements are for another key")
        chilldkg.participant_recovery_acks_verify(done.recovery_data, found.params, done.acks)
        self._keystore.store(replace(share, ready=True))

    async def _check_proposed(self, coordinator: bytes, start: DkgStart) -> SessionParams:
        proposal = await self._directory.proposal(start.group)
        members = tuple(start.members)
        if proposal is None or (proposal.epoch, proposal.members, proposal.threshold) != (
            start.epoch,
            members,
            start.threshold,
        ):
            raise GroupNotProposed(start.group)
        for member in (coordinator, self._keystore.identity.host_key):
            if member not in members:
                raise NotAMember(start.group, member)
        return SessionParams(members, start.threshold)

    def _held(self, group: bytes, epoch: int) -> KeyShare | None:
        try:
            return self._keystore.share(group, epoch)
        except ShareNotHeld:
            return None

    def _expiry(self) -> UnixMs:
        return UnixMs(self._clock() + SESSION_TTL_MS)

    def _open(self, session: bytes, entry: _Session) -> None:
        now = self._clock()
        self._sessions = {k: v for k, v in self._sessions.items() if v.expires_at > now}
        if Counter(v.coordinator for v in self._sessions.values())[entry.coordinator] >= MAX_SESSIONS_A_PEER:
            raise TooManyRequests(entry.coordinator, "open key generations")
        self._sessions[session] = entry

    def _find(self, coordinator: bytes, session: bytes) -> _Session:
        found = self._sessions.get(session)
        if found is None or found.coordinator != coordinator:
            raise SessionUnknown(session)
        return found

    async def _answer(self, found: _Session, state: dkg_participant.ParticipantState) -> DkgSecond:
        session = state.session
        match state:
            case Certifying(pmsg2=pmsg2):
                return DkgSecond(session, pmsg2, NOBODY, "")
            case Complaining():
                return DkgSecond(session, b"", NOBODY, "")
            case Accusing(blamed=blamed, problem=problem):
                await self._record(found, "KeyGenerationFault", f"{problem} (index {blamed}; -1 is the coordinator)")
                return DkgSecond(session, b"", blamed, problem[:512])
            case _:
                raise SessionConflict(session, "the second message does not fit here")

    def _share_of(self, found: _Session, state: Finished) -> KeyShare:
        assert state.output.secshare is not None
        members = tuple(found.params.hostpubkeys)
        output, start = state.output, found.start
        key = GroupKey(
            start.group, start.epoch, found.params.t, members, output.thresh_pk, output.pubshares, state.recovery_data
        )
        return KeyShare(key, members.index(self._keystore.identity.host_key), state.output.secshare)

    def _ack(self, found: _Session, recovery_data: bytes) -> DkgAck:
        secret = self._keystore.identity.host_secret
        signature = chilldkg.participant_recovery_ack_sign(secret, recovery_data, found.params, os.urandom(32))
        start = found.start
        session = session_id(start.group, start.epoch, start.attempt, found.coordinator, found.params)
        return DkgAck(session, signature)

    async def _record(self, found: _Session, error: str, text: str, kind: IncidentKind = "key-generation") -> None:
        incident = Incident(self._clock(), kind, found.coordinator, found.start.group, error, text)
        await self._incidents.record(incident)
