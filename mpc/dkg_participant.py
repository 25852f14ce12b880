"""A participant of a ChillDKG session as a pure state machine. `mpc.dkg_session` tells the whole course.

Steps that need secrets or randomness get them as arguments; states that hold secrets do not show them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from mpc import chilldkg
from mpc.chilldkg import DKGOutput, SessionParams
from mpc.cluster_errors import SessionConflict
from mpc.errors import (
    FaultyCoordinatorError,
    FaultyParticipantOrCoordinatorError,
    MalformedInput,
    UnknownFaultyParticipantOrCoordinatorError,
)

NOBODY: Final = -2
COORDINATOR: Final = -1
"""Who is blamed in a message: nobody yet, the coordinator, or else a participant or the coordinator."""


@dataclass(frozen=True, slots=True)
class Started:
    """The first message is sent."""

    session: bytes
    params: SessionParams
    pmsg1: bytes
    secret: chilldkg.ParticipantState1 = field(repr=False)


@dataclass(frozen=True, slots=True)
class Certifying:
    """What was seen is signed. `seen`: hash of the coordinator's message that was signed."""

    session: bytes
    params: SessionParams
    seen: bytes
    pmsg2: bytes
    secret: chilldkg.ParticipantState2 = field(repr=False)


@dataclass(frozen=True, slots=True)
class Complaining:
    """The share is wrong and it is not yet known who made it so."""

    session: bytes
    seen: bytes
    error: UnknownFaultyParticipantOrCoordinatorError = field(repr=False)


@dataclass(frozen=True, slots=True)
class Accusing:
    """The end: somebody is at fault. `blamed`: an index or `COORDINATOR`."""

    session: bytes
    blamed: int
    problem: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end: the key. To be stored before the acknowledgement leaves."""

    session: bytes
    params: SessionParams
    output: DKGOutput
    recovery_data: bytes


ParticipantState: TypeAlias = Started | Certifying | Complaining | Accusing | Finished


def participate(session: bytes, params: SessionParams, hostseckey: bytes, random: bytes) -> Started:
    """Begin. `session`: 32 bytes; `hostseckey`: 32 bytes; `random`: 32 bytes, FRESH for each session.

    Raises:
        MalformedInput, HostSeckeyError, SessionParamsError, RandomnessError: see `chilldkg.participant_step1`.
    """
    secret, pmsg1 = chilldkg.participant_step1(hostseckey, params, random)
    return Started(session, params, pmsg1, secret)


def second(state: ParticipantState, cmsg1: bytes, hostseckey: bytes, aux_rand: bytes) -> ParticipantState:
    """Take the coordinator's first message: `Certifying`, `Complaining` or `Accusing`. A repetition changes nothing.

    Raises:
        SessionConflict: another message came before; what was signed once is never signed for a second view.
    """
    seen = hashlib.sha256(cmsg1).digest()
    if isinstance(state, (Certifying, Complaining)) and state.seen == seen:
        return state
    if not isinstance(state, Started):
        raise SessionConflict(state.session, "the second message does not fit here")
    try:
        secret, pmsg2 = chilldkg.participant_step2(hostseckey, state.secret, cmsg1, aux_rand)
    except UnknownFaultyParticipantOrCoordinatorError as error:
        return Complaining(state.session, seen, error)
    except FaultyParticipantOrCoordinatorError as error:
        return Accusing(state.session, error.participant_id, error.problem)
    except FaultyCoordinatorError as error:
        return Accusing(state.session, COORDINATOR, error.problem)
    except MalformedInput as error:
        return Accusing(state.session, COORDINATOR, str(error))
    return Certifying(state.session, state.params, seen, pmsg2, secret)


def investigate(state: ParticipantState, cinv: bytes) -> Accusing:
    """Take the coordinator's investigation message: who is to blame.

    Raises:
        SessionConflict: this participant did not complain.
    """
    if isinstance(state, Accusing):
        return state
    if not isinstance(state, Complaining):
        raise SessionConflict(state.session, "there was no complaint to investigate")
    try:
        chilldkg.participant_investigate(state.error, cinv)
    except FaultyParticipantOrCoordinatorError as error:
        return Accusing(state.session, error.participant_id, error.problem)
    except FaultyCoordinatorError as error:
        return Accusing(state.session, COORDINATOR, error.problem)
    except MalformedInput as error:
        return Accusing(state.session, COORDINATOR, str(error))


def certificate(state: ParticipantState, cmsg2: bytes) -> Finished | Accusing:
    """Take the certificate. A repetition changes nothing.

    Raises:
        SessionConflict: this participant has not signed.
    """
    if isinstance(state, Finished):
        return state
    if not isinstance(state, Certifying):
        raise SessionConflict(state.session, "the certificate does not fit here")
    try:
        output, recovery_data = chilldkg.participant_finalize(state.secret, cmsg2)
    except FaultyCoordinatorError as error:
        return Accusing(state.session, COORDINATOR, error.problem)
    except MalformedInput as error:
        return Accusing(state.session, COORDINATOR, str(error))
    return Finished(state.session, state.params, output, recovery_data)
