"""ROAST (Ruffing et al., CCS 2022) over FROST: any t honest and live of n finish, whoever else stalls or lies.

The coordinator's side as a pure state machine. All members are invited; each answers with nonces. Whenever t of them
are ready, they get a round. A member that answers a round brings nonces for the next one and is ready again; one that
stalls holds up only the rounds that it is in, and one whose partial signature is wrong is named and takes part no
more. Each unfinished round holds a member that no other round holds, so at most n − t + 1 rounds are needed.

Partial signatures are verified only when their sum is not a valid signature: the honest case pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from foundation.quantities import UnixMs
from mpc import frost
from mpc.cluster_errors import SigningRefused, SigningTimeout
from mpc.errors import InvalidPartialSignature, MalformedInput
from mpc.evidence import MALFORMED_ANSWER, WRONG_SHARE, Evidence, GroupKey, check_items, session_of
from mpc.frost.nonces import parse_pubnonce
from mpc.messages import Round, encode, offer_hash
from mpc.ports import SigningItem

HEAD_START_MS: Final = 200
"""How long a round is given before members that are ready again are used for another. ROAST opens the next one as soon
as it can; that would double the work of the honest case, where the missing answers are on their way."""

MAX_LOSSES: Final = 8
"""How often a member may lose its nonces (by restarts, say) in one session before it is asked no more."""


@dataclass(frozen=True, slots=True)
class Nonces:
    """A member's public nonces, one an item (66 bytes each), and the signed envelope they came in (for evidence)."""

    pubnonces: tuple[bytes, ...]
    envelope: bytes


# Changes: what happens to a session.


@dataclass(frozen=True, slots=True)
class Offered:
    """A member answered its invitation."""

    signer: int
    nonces: Nonces


@dataclass(frozen=True, slots=True)
class Shared:
    """A member answered round `round`: a partial signature for each item (32 bytes each), and nonces for the next."""

    signer: int
    round: int
    psigs: tuple[bytes, ...]
    nonces: Nonces


@dataclass(frozen=True, slots=True)
class Declined:
    """A member refuses to sign this request."""

    signer: int
    error: str
    text: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A member did not answer a round in time, or no longer has the nonces that it offered: it is invited again."""

    signer: int
    round: int


@dataclass(frozen=True, slots=True)
class Garbled:
    """A member's answer, signed by it, is malformed. `round`: None for an invitation; `envelope`: the answer."""

    signer: int
    round: int | None
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Change: TypeAlias = Offered | Shared | Declined | Lost | Garbled | Tick


# Effects: what the shell has to do.


@dataclass(frozen=True, slots=True)
class Invite:
    """Ask the member for nonces."""

    signer: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Send the member its part of a round."""

    signer: int
    round: Round


@dataclass(frozen=True, slots=True)
class Blame:
    """Record that a member is at fault."""

    evidence: Evidence


Effect: TypeAlias = Invite | Ask | Blame


# States.


@dataclass(frozen=True, slots=True)
class Open:
    """A round: who signs it, with which nonces, and the partial signatures that have come."""

    number: int
    opened_at: UnixMs
    nonces: Mapping[int, Nonces]
    asked: Mapping[int, Round]
    sessions: tuple[frost.SessionContext, ...] = field(repr=False)
    answers: Mapping[int, Shared]


@dataclass(frozen=True, slots=True)
class Signing:
    """A session under way.

    Attributes:
        session: 32 bytes, fresh; key: the group's; items: what is signed; deadline: when it gives up.
        invited: members that owe an answer to an invitation; ready: nonces that wait for a round, oldest first.
        busy: which round a member owes an answer to; rounds: unfinished rounds; next_round: the next one's number.
        culprits: members at fault; declined: members that refuse, and why; losses: how often a member lost its nonces.
    """

    session: bytes
    key: GroupKey
    items: tuple[SigningItem, ...]
    deadline: UnixMs
    invited: frozenset[int]
    ready: Mapping[int, Nonces]
    busy: Mapping[int, int]
    rounds: Mapping[int, Open]
    next_round: int
    culprits: frozenset[int]
    declined: Mapping[int, tuple[str, str]]
    losses: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Signed:
    """The end: a signature (64 bytes, verified) for each item; who signed; who was at fault."""

    signatures: tuple[bytes, ...]
    signers: tuple[int, ...]
    culprits: frozenset[int]


@dataclass(frozen=True, slots=True)
class Failed:
    """The end without a signature."""

    error: SigningRefused | SigningTimeout
    culprits: frozenset[int]


State: TypeAlias = Signing | Signed | Failed


def start(
    session: bytes, key: GroupKey, items: Sequence[SigningItem], candidates: Sequence[int], deadline: UnixMs
) -> tuple[Signing, tuple[Effect, ...]]:
    """Open a session. `session`: 32 fresh bytes; `candidates`: the members to ask, at least the threshold.

    Raises:
        MalformedInput: see `check_items`; or there are too few or unknown candidates.
    """
    wanted = frozenset(candidates)
    check_items(key, items)
    if len(wanted) < key.threshold or not wanted <= set(range(len(key.members))):
        raise MalformedInput("candidates", "are fewer than the threshold, or no members")
    state = Signing(session, key, tuple(items), deadline, wanted, {}, {}, {}, 0, frozenset(), {}, {})
    return state, tuple(Invite(i) for i in candidates)


def widen(state: State, more: Sequence[int]) -> tuple[State, tuple[Effect, ...]]:
    """Ask further members, who were left out at the start because of what is held against them."""
    if not isinstance(state, Signing):
        return state, ()
    fresh = [i for i in more if i not in _known(state) and i < len(state.key.members)]
    return replace(state, invited=state.invited | set(fresh)), tuple(Invite(i) for i in fresh)


def step(state: State, change: Change, now: UnixMs) -> tuple[State, tuple[Effect, ...]]:
    """Advance a session. Pure; a repeated or late change does no harm and never raises."""
    if not isinstance(state, Signing):
        return state, ()
    effects: tuple[Effect, ...]
    match change:
        case Offered():
            state, effects = _offered(state, change)
        case Shared():
            state, effects = _shared(state, change)
        case Declined():
            state, effects = _declined(state, change), ()
        case Lost():
            state, effects = _lost(state, change)
        case Garbled():
            state, effects = _garbled(state, change)
        case Tick():
            effects = ()
    following, more = _advance(state, now)
    return following, effects + more


def _known(state: Signing) -> set[int]:
    """All members that were asked and have not been given up."""
    return {*state.invited, *state.ready, *state.busy, *state.culprits, *state.declined}


def _offered(state: Signing, change: Offered) -> tuple[Signing, tuple[Effect, ...]]:
    signer = change.signer
    if signer not in state.invited:
        return state, ()
    state = replace(state, invited=state.invited - {signer})
    if not _well_formed(change.nonces.pubnonces, len(state.items)):
        return _blame(state, signer, MALFORMED_ANSWER, b"", b"", change.nonces.envelope)
    return replace(state, ready={**state.ready, signer: change.nonces}), ()


def _shared(state: Signing, change: Shared) -> tuple[Signing, tuple[Effect, ...]]:
    signer, current = change.signer, state.rounds.get(change.round)
    if current is None or signer not in current.asked or signer in current.answers or signer in state.culprits:
        return state, ()
    if len(change.psigs) != len(state.items) or not _well_formed(change.nonces.pubnonces, len(state.items)):
        return _blame_in(state, signer, current, change.nonces.envelope, MALFORMED_ANSWER)
    current = replace(current, answers={**current.answers, signer: change})
    state = replace(state, rounds={**state.rounds, change.round: current})
    if state.busy.get(signer) == change.round:
        state = _withdrawn(state, signer)
        state = replace(state, ready={**state.ready, signer: change.nonces})
    return state, ()


def _declined(state: Signing, change: Declined) -> Signing:
    if change.signer in state.culprits:
        return state
    state = _withdrawn(state, change.signer)
    return replace(state, declined={**state.declined, change.signer: (change.error, change.text)})


def _lost(state: Signing, change: Lost) -> tuple[Signing, tuple[Effect, ...]]:
    signer = change.signer
    if state.busy.get(signer) != change.round:
        return state, ()
    losses = state.losses.get(signer, 0) + 1
    if losses > MAX_LOSSES:
        return _declined(state, Declined(signer, "NonceUnavailable", "it lost its nonces again and again")), ()
    state = _withdrawn(state, signer)
    state = replace(state, invited=state.invited | {signer}, losses={**state.losses, signer: losses})
    return state, (Invite(signer),)


def _garbled(state: Signing, change: Garbled) -> tuple[Signing, tuple[Effect, ...]]:
    if change.round is None:
        if change.signer not in state.invited:
            return state, ()
        return _blame(state, change.signer, MALFORMED_ANSWER, b"", b"", change.envelope)
    current = state.rounds.get(change.round)
    if change.signer in state.culprits or current is None or change.signer not in current.asked:
        return state, ()
    return _blame_in(state, change.signer, current, change.envelope, MALFORMED_ANSWER)


def _withdrawn(state: Signing, signer: int) -> Signing:
    """The state without the member's readiness. Its rounds stay open: its answer may still come."""
    return replace(
        state,
        invited=state.invited - {signer},
        ready={i: nonces for i, nonces in state.ready.items() if i != signer},
        busy={i: number for i, number in state.busy.items() if i != signer},
    )


def _blame_in(
    state: Signing, signer: int, current: Open, answer: bytes, reason: str
) -> tuple[Signing, tuple[Effect, ...]]:
    return _blame(state, signer, reason, current.nonces[signer].envelope, encode(current.asked[signer]), answer)


def _blame(
    state: Signing, signer: int, reason: str, offer: bytes, asked: bytes, answer: bytes
) -> tuple[Signing, tuple[Effect, ...]]:
    """Name a member. Its rounds cannot finish, but stay until the others' answers have brought their next nonces."""
    evidence = Evidence(signer, reason, offer, asked, answer, state.items)
    state = replace(_withdrawn(state, signer), culprits=state.culprits | {signer})
    return state, (Blame(evidence),)


def _advance(state: Signing, now: UnixMs) -> tuple[State, tuple[Effect, ...]]:
    """Finish complete rounds, open the next, or give up."""
    effects: tuple[Effect, ...] = ()
    for current in tuple(state.rounds.values()):
        if current.asked.keys() - current.answers.keys() - state.culprits:
            continue
        state = replace(state, rounds={k: v for k, v in state.rounds.items() if k != current.number})
        if state.culprits.isdisjoint(current.asked):
            signatures, blamed = _aggregate(current)
            if not blamed:
                return Signed(signatures, tuple(current.asked), state.culprits), effects
            for signer in blamed:
                answer = current.answers[signer].nonces.envelope
                state, more = _blame_in(state, signer, current, answer, WRONG_SHARE)
                effects += more
    if len(state.ready) >= state.key.threshold and now >= next_round_at(state):
        state, asked = _open_round(state, now)
        effects += asked
    if len(state.invited) + len(state.ready) + len(state.busy) < state.key.threshold:
        refused = SigningRefused(state.key.group, state.declined, sorted(state.culprits))
        return Failed(refused, state.culprits), effects
    if now >= state.deadline:
        waiting_for = sorted(state.invited | state.busy.keys())
        late = SigningTimeout(state.key.group, waiting_for, sorted(state.culprits))
        return Failed(late, state.culprits), effects
    return state, effects


def _aggregate(current: Open) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    """The signatures of a round; or none, and who is to blame."""
    ids = tuple(current.asked)
    signatures = []
    for position, session in enumerate(current.sessions):
        psigs = [current.answers[i].psigs[position] for i in ids]
        pubnonces = [current.nonces[i].pubnonces[position] for i in ids]
        try:
            signatures.append(frost.aggregate_and_verify(psigs, pubnonces, ids, session))
        except InvalidPartialSignature as wrong:
            return (), wrong.participant_ids
    return tuple(signatures), ()


def next_round_at(state: Signing) -> UnixMs:
    """When the next round may open: the shell sends a `Tick` then. 0 if no round is promising."""
    promising = [r.opened_at for r in state.rounds.values() if state.culprits.isdisjoint(r.asked)]
    return UnixMs(max(promising) + HEAD_START_MS) if promising else UnixMs(0)


def _open_round(state: Signing, now: UnixMs) -> tuple[Signing, tuple[Effect, ...]]:
    chosen = dict(list(state.ready.items())[: state.key.threshold])
    ids, count = sorted(chosen), len(state.items)
    aggnonces = [frost.nonce_agg([chosen[i].pubnonces[k] for i in ids], ids) for k in range(count)]
    signers = state.key.signers(ids)
    sessions = tuple(session_of(signers, item, agg) for item, agg in zip(state.items, aggnonces, strict=True))
    number = state.next_round
    asked = {i: Round(state.session, number, ids, aggnonces, offer_hash(chosen[i].pubnonces)) for i in ids}
    state = replace(
        state,
        ready={i: nonces for i, nonces in state.ready.items() if i not in chosen},
        busy={**state.busy, **dict.fromkeys(ids, number)},
        rounds={**state.rounds, number: Open(number, now, chosen, asked, sessions, {})},
        next_round=number + 1,
    )
    return state, tuple(Ask(i, asked[i]) for i in ids)


def _well_formed(pubnonces: Sequence[bytes], count: int) -> bool:
    if len(pubnonces) != count:
        return False
    try:
        for pubnonce in pubnonces:
            parse_pubnonce(pubnonce)
    except MalformedInput:
        return False
    return True
