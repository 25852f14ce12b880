"""A signer's side of a ROAST session as a pure state machine. It never names one nonce in two effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from foundation.quantities import UnixMs
from mpc import frost
from mpc.cluster_errors import InvalidRound, NonceUnavailable, SessionConflict
from mpc.errors import InvalidContributionError, MalformedInput
from mpc.evidence import GroupKey, check_items, session_of
from mpc.messages import Invite, Offer, Round, Shares, offer_hash
from mpc.ports import SigningItem, items_hash

MAX_ROUNDS: Final = 256
"""Rounds of one session that a signer answers; an honest coordinator needs far fewer."""


@dataclass(frozen=True, slots=True)
class SignerState:
    """One session as a signer sees it.

    Attributes:
        session: 32 bytes; coordinator: its host key (33 bytes); request: hash of what is asked; key, index: who signs;
        items: what this node agreed to sign; expires_at: when it is forgotten.
        offer: the public nonces (66 bytes each) that wait for a round; none before they are made and while they are
        used. signing: the digest of the round being signed. answered: the last round's digest and answer, for repeats.
        rounds: how many were answered.
    """

    session: bytes
    coordinator: bytes
    request: bytes
    key: GroupKey
    index: int
    items: tuple[SigningItem, ...]
    expires_at: UnixMs
    offer: tuple[bytes, ...] = ()
    signing: bytes | None = None
    answered: tuple[bytes, Shares] | None = None
    rounds: int = 0


@dataclass(frozen=True, slots=True)
class Invited:
    """The coordinator asks for nonces, for the first time or again."""

    invite: Invite


@dataclass(frozen=True, slots=True)
class Made:
    """Fresh nonces were made: the public parts, one an item."""

    pubnonces: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """The coordinator asks for partial signatures."""

    round: Round


@dataclass(frozen=True, slots=True)
class Produced:
    """Partial signatures were made, and fresh nonces for the next round."""

    round: bytes
    psigs: tuple[bytes, ...]
    pubnonces: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """Signing failed after the nonces were given away (the disk, say): they are lost."""


Change: TypeAlias = Invited | Made | Asked | Produced | Broken


@dataclass(frozen=True, slots=True)
class MakeNonces:
    """Make a nonce for each item, then step with `Made`."""


@dataclass(frozen=True, slots=True)
class SpendAndSign:
    """Record the nonces as spent, then sign each item with its own, then step with `Produced`."""

    round: bytes
    pubnonces: tuple[bytes, ...]
    sessions: tuple[frost.SessionContext, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the coordinator."""

    message: Offer | Shares


Effect: TypeAlias = MakeNonces | SpendAndSign | Reply


def step(state: SignerState, change: Change, now: UnixMs) -> tuple[SignerState, Effect | None]:
    """Advance a session by one change. Pure.

    Raises:
        SessionConflict: the session's id is used for another request.
        NonceUnavailable: the round names nonces that are not the ones on offer.
        InvalidRound: the round cannot be signed; nothing is spent.
    """
    match change:
        case Invited(invite=invite):
            if invite.digest() != state.request:
                raise SessionConflict(state.session, "it was opened for another request")
            return state, _offer(state) if state.offer else MakeNonces()
        case Made(pubnonces=pubnonces):
            state = replace(state, offer=pubnonces)
            return state, _offer(state)
        case Asked(round=asked):
            return _asked(state, asked, now)
        case Produced():
            assert state.signing == change.round
            answer = Shares(
                state.session, items_hash(state.items), change.round, list(change.psigs), list(change.pubnonces)
            )
            answered = (change.round, answer)
            state = replace(state, offer=change.pubnonces, signing=None, answered=answered, rounds=state.rounds + 1)
            return state, Reply(answer)
        case Broken():
            return replace(state, offer=(), signing=None), None


def _offer(state: SignerState) -> Reply:
    return Reply(Offer(state.session, items_hash(state.items), list(state.offer)))


def _asked(state: SignerState, asked: Round, now: UnixMs) -> tuple[SignerState, Effect]:
    digest = asked.digest()
    if state.answered is not None and state.answered[0] == digest:
        return state, Reply(state.answered[1])
    if now >= state.expires_at:
        raise NonceUnavailable("the session has expired")
    if not state.offer or offer_hash(state.offer) != asked.offer:
        raise NonceUnavailable("they are not on offer")
    if state.rounds >= MAX_ROUNDS:
        raise InvalidRound("too many rounds")
    sessions = _sessions(state, asked)
    effect = SpendAndSign(digest, state.offer, sessions)
    return replace(state, offer=(), signing=digest), effect


def _sessions(state: SignerState, asked: Round) -> tuple[frost.SessionContext, ...]:
    """The FROST sessions of a round, each checked in full.

    Raises:
        InvalidRound: an identifier is out of range or doubled, this signer is not among them, there are
            fewer than the threshold, or an aggregate nonce is missing or malformed.
    """
    if len(asked.aggnonces) != len(state.items):
        raise InvalidRound(f"{len(asked.aggnonces)} aggregate nonces for {len(state.items)} items")
    if state.index not in asked.ids:
        raise InvalidRound("this signer is not in the signer set")
    try:
        signers = state.key.signers(asked.ids)
        return tuple(
            session_of(signers, item, aggnonce) for item, aggnonce in zip(state.items, asked.aggnonces, strict=True)
        )
    except (MalformedInput, InvalidContributionError) as error:
        raise InvalidRound(str(error)) from error


def open_session(
    coordinator: bytes,
    invite: Invite,
    key: GroupKey,
    index: int,
    items: Sequence[SigningItem],
    expires_at: UnixMs,
) -> SignerState:
    """The state of a session that this node has agreed to.

    Raises:
        MalformedInput: see `check_items`.
    """
    check_items(key, items)
    request = invite.digest()
    return SignerState(invite.session, coordinator, request, key, index, tuple(items), expires_at)
