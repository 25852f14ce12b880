"""ChillDKG sessions as pure state machines: this module has the coordinator's, `mpc.dkg_participant` a participant's.

Three exchanges, as in the ChillDKG BIP; when a participant's share is wrong, an exchange of investigation that names
the suspect instead of the third; then two more: every participant acknowledges that it has stored its share and the
recovery data, and everybody is shown all acknowledgements. Only then may the key be used. A participant that has the
key already answers with the recovery data, and the coordinator helps the others to the same key.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from mpc import chilldkg
from mpc.chilldkg import DKGOutput, SessionParams
from mpc.cluster_errors import Accusation
from mpc.curve import tagged_hash
from mpc.dkg_participant import COORDINATOR, NOBODY
from mpc.errors import (
    FaultyParticipantError,
    InvalidRecoveryAckError,
    MalformedInput,
    ProtocolError,
    RecoveryDataError,
)


def session_id(group: bytes, epoch: int, attempt: int, coordinator: bytes, params: SessionParams) -> bytes:
    """32 bytes that name a session: the same for everybody who means the same."""
    counters = epoch.to_bytes(4, "big") + attempt.to_bytes(4, "big")
    return tagged_hash("Causeway/dkg session", group + counters + coordinator + chilldkg.params_hash(params))


Stage: TypeAlias = Literal["start", "second", "investigate", "finish", "adopt", "done"]


@dataclass(frozen=True, slots=True)
class Send:
    """Send this stage's message to a participant and bring its answer back as a change."""

    participant: int
    stage: Stage
    payload: bytes
    acks: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class First:
    """A participant's first message."""

    participant: int
    pmsg1: bytes


@dataclass(frozen=True, slots=True)
class Known:
    """A participant has the group's key already and shows the recovery data."""

    participant: int
    recovery_data: bytes


@dataclass(frozen=True, slots=True)
class Second:
    """A participant's signature (64 bytes); empty: it complains. `blamed`, `problem`: whom it accuses of what."""

    participant: int
    pmsg2: bytes
    blamed: int = NOBODY
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Acked:
    """A participant has stored its share; its acknowledgement (64 bytes)."""

    participant: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A participant has seen all acknowledgements."""

    participant: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A participant refuses, or did not answer in time."""

    participant: int
    problem: str


Change: TypeAlias = First | Known | Second | Acked | Confirmed | Refused


@dataclass(frozen=True, slots=True)
class Collecting:
    """Waits for the first messages."""

    params: SessionParams
    first: Mapping[int, bytes]
    known: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Checking:
    """Waits for the signatures, or for the results of investigations."""

    params: SessionParams
    first: tuple[bytes, ...]
    inner: chilldkg.CoordinatorState
    second: Mapping[int, bytes]
    investigated: frozenset[int]
    accusations: tuple[Accusation, ...]
    investigation: tuple[bytes, ...] = ()
    """The messages of the investigation, made at the first complaint: making them takes seconds in a large group."""


@dataclass(frozen=True, slots=True)
class Storing:
    """The key exists; waits for the acknowledgements."""

    params: SessionParams
    output: DKGOutput
    recovery_data: bytes
    acks: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Confirming:
    """Everybody has stored its share; waits until everybody knows that."""

    params: SessionParams
    output: DKGOutput
    recovery_data: bytes
    acks: tuple[bytes, ...]
    confirmed: frozenset[int]


@dataclass(frozen=True, slots=True)
class Completed:
    """The end: the key, public (no share)."""

    params: SessionParams
    output: DKGOutput
    recovery_data: bytes
    acks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """The end without a key: who accuses whom, and who is missing."""

    accusations: tuple[Accusation, ...]
    missing: Mapping[int, str]


State: TypeAlias = Collecting | Checking | Storing | Confirming | Completed | Broken
_Result: TypeAlias = tuple[State, tuple[Send, ...]]


def coordinate(params: SessionParams) -> tuple[Collecting, tuple[Send, ...]]:
    """Begin.

    Raises:
        SessionParamsError: see `chilldkg.params_validate`.
    """
    chilldkg.params_validate(params)
    return Collecting(params, {}, {}), tuple(Send(i, "start", b"") for i in range(params.n))


def step(state: State, change: Change) -> _Result:
    """Advance the coordinator. Pure; what is repeated, late or out of place changes nothing."""
    match state, change:
        case ((Completed() | Broken()), _):
            return state, ()
        case _, Refused(participant=i, problem=problem):
            return Broken((), {i: problem}), ()
        case Collecting(), First(participant=i, pmsg1=pmsg1) if i not in state.first:
            return _collected(replace(state, first={**state.first, i: pmsg1}))
        case Collecting(), Known(participant=i, recovery_data=data) if i not in state.known:
            return _collected(replace(state, known={**state.known, i: data}))
        case Checking(), Second() if change.participant not in state.second:
            return _checked(state, change)
        case Storing(), Acked(participant=i, signature=signature) if i not in state.acks:
            return _stored(replace(state, acks={**state.acks, i: signature}))
        case Confirming(), Confirmed(participant=i):
            return _confirmed(replace(state, confirmed=state.confirmed | {i}))
        case _:
            return state, ()


def owing(state: State) -> frozenset[int]:
    """The participants that the session waits for."""
    have: Set[int]
    match state:
        case Collecting():
            have = state.first.keys() | state.known.keys()
        case Checking():
            have = state.second.keys()
        case Storing():
            have = state.acks.keys()
        case Confirming():
            return frozenset(range(state.params.n)) - state.confirmed
        case _:
            return frozenset()
    return frozenset(range(state.params.n)) - have


def _collected(state: Collecting) -> _Result:
    if owing(state):
        return state, ()
    if state.known:
        return _adopt(state)
    pmsgs1 = tuple(state.first[i] for i in range(state.params.n))
    try:
        inner, cmsg1 = chilldkg.coordinator_step1(pmsgs1, state.params)
    except FaultyParticipantError as error:
        return Broken((Accusation(None, error.participant_id, error.problem),), {}), ()
    except MalformedInput as error:
        return Broken((Accusation(None, _index_in(error.field), str(error)),), {}), ()
    sends = tuple(Send(i, "second", cmsg1) for i in range(state.params.n))
    return Checking(state.params, pmsgs1, inner, {}, frozenset(), ()), sends


def _index_in(field_name: str) -> int | None:
    """The i of `pmsgs1[i]`."""
    digits = field_name.partition("[")[2].rstrip("]")
    return int(digits) if digits.isdigit() else None


def _adopt(state: Collecting) -> _Result:
    """Some have the key: help the others to the same one. The certificate in the data proves that all agreed."""
    valid: dict[bytes, tuple[int, DKGOutput]] = {}
    accusations = []
    for i, data in state.known.items():
        try:
            output, params = chilldkg.coordinator_recover(data)
        except RecoveryDataError as error:
            accusations.append(Accusation(None, i, error.problem))
            continue
        if params != state.params:
            accusations.append(Accusation(None, i, "it shows a key of other members"))
        else:
            valid[data] = (i, output)
    keys = {output.thresh_pk for _, output in valid.values()}
    if len(keys) > 1:
        accusations += [Accusation(None, i, "members hold different keys") for i, _ in valid.values()]
    if accusations or len(keys) != 1:
        return Broken(tuple(accusations), {}), ()
    data, (_, output) = next(iter(valid.items()))
    sends = tuple(Send(i, "adopt", data) for i in range(state.params.n))
    return Storing(state.params, output, data, {}), sends


def _checked(state: Checking, change: Second) -> _Result:
    i = change.participant
    if change.blamed != NOBODY:
        accused = None if change.blamed == COORDINATOR else change.blamed
        accusation = Accusation(i, accused, change.problem)
        return Broken((*state.accusations, accusation), {}), ()
    if not change.pmsg2:
        if i in state.investigated:
            return Broken((Accusation(None, i, "it complains but accuses nobody"),), {}), ()
        made = state.investigation or chilldkg.coordinator_investigate(state.first, state.params)
        state = replace(state, investigated=state.investigated | {i}, investigation=made)
        return state, (Send(i, "investigate", made[i]),)
    state = replace(state, second={**state.second, i: change.pmsg2})
    if owing(state):
        return state, ()
    try:
        pmsgs2 = [state.second[k] for k in range(state.params.n)]
        cmsg2, output, recovery_data = chilldkg.coordinator_finalize(state.inner, pmsgs2)
    except FaultyParticipantError as error:
        return Broken((Accusation(None, error.participant_id, error.problem),), {}), ()
    except MalformedInput as error:
        return Broken((Accusation(None, _index_in(error.field), str(error)),), {}), ()
    sends = tuple(Send(k, "finish", cmsg2) for k in range(state.params.n))
    return Storing(state.params, output, recovery_data, {}), sends


def _stored(state: Storing) -> _Result:
    if owing(state):
        return state, ()
    acks = tuple(state.acks[i] for i in range(state.params.n))
    try:
        chilldkg.participant_recovery_acks_verify(state.recovery_data, state.params, acks)
    except InvalidRecoveryAckError as error:
        return Broken((Accusation(None, error.participant_id, error.problem),), {}), ()
    except (MalformedInput, ProtocolError) as error:
        return Broken((Accusation(None, None, str(error)),), {}), ()
    sends = tuple(Send(i, "done", state.recovery_data, acks) for i in range(state.params.n))
    return Confirming(state.params, state.output, state.recovery_data, acks, frozenset()), sends


def _confirmed(state: Confirming) -> _Result:
    if owing(state):
        return state, ()
    return Completed(state.params, state.output, state.recovery_data, state.acks), ()
