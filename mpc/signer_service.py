"""The signer at work: asks the authorizer, keeps open sessions, spends nonces, makes partial signatures."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from foundation.errors import CausewayError
from foundation.quantities import UnixMs
from mpc import frost, offload, signer
from mpc.cluster_errors import EpochMismatch, NotAMember, SessionUnknown, ShareNotReady, TooManyRequests
from mpc.keystore import KeyShare, Keystore
from mpc.messages import Close, Invite, Offer, Round, Shares
from mpc.nonce_store import NonceStore
from mpc.ports import Authorizer, Clock, GroupDirectory, Incident, Incidents, SigningItem

GROUP_PROOF: Final = "group-proof"
"""The one kind of request that the cluster itself authorizes; all others go to the authorizer."""
SESSION_TTL_MS: Final = 120_000
MAX_SESSIONS_A_PEER: Final = 64


@dataclass(slots=True)
class _Session:
    """An open session. The lock keeps one coordinator's messages in order; `state` changes under it only."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    state: signer.SignerState | None = None


class SignerService:
    """Answers invitations and rounds of coordinators; this node's own coordinator calls it directly."""

    def __init__(
        self,
        keystore: Keystore,
        nonces: NonceStore,
        authorizer: Authorizer,
        directory: GroupDirectory,
        incidents: Incidents,
        clock: Clock,
        *,
        session_ttl_ms: int = SESSION_TTL_MS,
        max_sessions_a_peer: int = MAX_SESSIONS_A_PEER,
    ) -> None:
        self._keystore = keystore
        self._nonces = nonces
        self._authorizer = authorizer
        self._directory = directory
        self._incidents = incidents
        self._clock = clock
        self._ttl_ms = session_ttl_ms
        self._max_sessions = max_sessions_a_peer
        self._sessions: dict[tuple[bytes, bytes], _Session] = {}

    async def invite(self, coordinator: bytes, invite: Invite) -> Offer:
        """Agree to sign a request, or refuse; the answer to an invitation by `coordinator` (host key, 33 bytes).

        Raises:
            ShareNotHeld, EpochMismatch, NotAMember: this node cannot sign that for this peer.
            TooManyRequests: the peer has too many sessions or nonces open.
            SessionConflict: the session's id is used for another request.
            CausewayError: what the authorizer refuses with; it is recorded.
        """
        share = self._keystore.share(invite.group)
        if invite.epoch != share.key.epoch:
            raise EpochMismatch(invite.group, invite.epoch, share.key.epoch)
        if coordinator not in share.key.members:
            raise NotAMember(invite.group, coordinator)
        session = self._open(coordinator, invite.session)
        async with session.lock:
            if session.state is not None and self._sessions.get((coordinator, invite.session)) is not session:
                raise SessionUnknown(invite.session)  # it was closed while we waited
            if session.state is None or session.state.expires_at <= self._clock():
                session.state = await self._reopen(session, coordinator, invite, share)
            session.state, effect = signer.step(session.state, signer.Invited(invite), self._clock())
            if isinstance(effect, signer.MakeNonces):
                made = signer.Made(await self._make(session, session.state))
                session.state, effect = signer.step(session.state, made, self._clock())
            assert isinstance(effect, signer.Reply)
            assert isinstance(effect.message, Offer)
            return effect.message

    async def sign(self, coordinator: bytes, asked: Round) -> Shares:
        """Make the partial signatures of a round; the same round again gets the same answer.

        Raises:
            SessionUnknown: the session is not open. NonceUnavailable: the nonces are not on offer.
            InvalidRound: the round cannot be signed.
            OSError: the journal cannot be written; the nonces are lost and nothing is signed.
        """
        session = self._sessions.get((coordinator, asked.session))
        if session is None:
            raise SessionUnknown(asked.session)
        async with session.lock:
            before = session.state
            if before is None:
                raise SessionUnknown(asked.session)
            cost = len(before.items) + len(asked.ids) // 4
            state, effect = await offload.compute(cost, signer.step, before, signer.Asked(asked), self._clock())
            session.state = state
            if isinstance(effect, signer.SpendAndSign):
                try:
                    produced = await self._produce(session, state, effect)
                except BaseException:
                    session.state, _ = signer.step(state, signer.Broken(), self._clock())
                    raise
                session.state, effect = signer.step(state, produced, self._clock())
            assert isinstance(effect, signer.Reply)
            assert isinstance(effect.message, Shares)
            return effect.message

    def close_session(self, coordinator: bytes, close: Close) -> None:
        """Forget a session and zero its nonces."""
        self._forget((coordinator, close.session))

    def close(self) -> None:
        """Zero all nonces."""
        self._sessions.clear()
        self._nonces.close()

    @property
    def open_sessions(self) -> int:
        return len(self._sessions)

    def _open(self, coordinator: bytes, session_id: bytes) -> _Session:
        place = (coordinator, session_id)
        if place in self._sessions:
            return self._sessions[place]
        now = self._clock()
        for other, session in list(self._sessions.items()):
            if session.state is not None and session.state.expires_at <= now and not session.lock.locked():
                self._forget(other)
        if Counter(peer for peer, _ in self._sessions)[coordinator] >= self._max_sessions:
            raise TooManyRequests(coordinator, "open signing sessions")
        return self._sessions.setdefault(place, _Session())

    def _forget(self, place: tuple[bytes, bytes]) -> None:
        session = self._sessions.pop(place, None)
        if session is not None and session.state is not None:
            self._nonces.drop(session.state.offer)

    async def _reopen(
        self, session: _Session, coordinator: bytes, invite: Invite, share: KeyShare
    ) -> signer.SignerState:
        """Agree to a request that is new, was refused before, or has expired."""
        place = (coordinator, invite.session)
        self._forget(place)
        session.state = None
        self._sessions[place] = session
        state = await self._agree(coordinator, invite, share)
        if self._sessions.get(place) is not session:
            raise SessionUnknown(invite.session)  # it was closed meanwhile: make no nonces that nobody would drop
        return state

    async def _agree(self, coordinator: bytes, invite: Invite, share: KeyShare) -> signer.SignerState:
        try:
            items = await self._authorize(coordinator, invite, share)
            expires_at = UnixMs(self._clock() + self._ttl_ms)
            return signer.open_session(coordinator, invite, share.key, share.index, items, expires_at)
        except BaseException as refusal:
            # Nothing of a refused session stays: a flood of them takes no memory.
            self._sessions.pop((coordinator, invite.session), None)
            if isinstance(refusal, CausewayError):
                name, text = type(refusal).__name__, str(refusal)
                await self._incidents.record(
                    Incident(self._clock(), "refused", coordinator, invite.group, name, f"{invite.kind}: {text}")
                )
            raise

    async def _authorize(self, coordinator: bytes, invite: Invite, share: KeyShare) -> tuple[SigningItem, ...]:
        return await authorize(self._authorizer, self._directory, coordinator, share, invite.kind, invite.body)

    async def _make(self, session: _Session, state: signer.SignerState) -> tuple[bytes, ...]:
        """Nonces for the next round, unless the session was closed: then nobody would drop them.

        Raises:
            SessionUnknown: it was closed.
        """
        secshare = self._keystore.share(state.key.group, state.key.epoch).secshare
        place = (state.coordinator, state.session)
        made: tuple[bytes, ...] = ()
        if self._sessions.get(place) is session:
            made = await self._nonces.make(*place, state.key, state.index, secshare, state.items)
        if self._sessions.get(place) is not session:
            self._nonces.drop(made)
            raise SessionUnknown(state.session)
        return made

    async def _produce(
        self, session: _Session, state: signer.SignerState, effect: signer.SpendAndSign
    ) -> signer.Produced:
        key = state.key
        secnonces = await self._nonces.take(state.coordinator, state.session, key.group, key.epoch, effect.pubnonces)
        try:
            secshare = self._keystore.share(key.group, key.epoch).secshare
            psigs = await offload.compute(
                2 * len(secnonces), _sign_all, secnonces, secshare, state.index, effect.sessions
            )
        finally:
            for secnonce in secnonces:
                secnonce.erase()
        return signer.Produced(effect.round, psigs, await self._make(session, state))


def _sign_all(
    secnonces: Sequence[frost.SecNonce], secshare: bytes, index: int, sessions: Sequence[frost.SessionContext]
) -> tuple[bytes, ...]:
    """A partial signature for each item, each with its own nonce."""
    pairs = zip(secnonces, sessions, strict=True)
    return tuple(frost.sign(secnonce, secshare, index, context) for secnonce, context in pairs)


async def authorize(
    authorizer: Authorizer, directory: GroupDirectory, proposer: bytes, share: KeyShare, kind: str, body: bytes
) -> tuple[SigningItem, ...]:
    """What this node would sign for a request: the group's proof by itself, everything else by the authorizer.

    Raises:
        CausewayError: a refusal.
    """
    key = share.key
    if kind == GROUP_PROOF:
        return (SigningItem(await directory.proof_message(key.group, key.epoch, key.xonly)),)
    if not share.ready:
        raise ShareNotReady(key.group)
    return await authorizer.authorize(proposer, key.group, kind, body)
