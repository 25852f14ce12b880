"""The three machines behind one face: what a party keeps of a payment, as bytes, and how it is stepped."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from foundation.quantities import UnixMs
from settlement.custody import clearer, payee, payer
from settlement.custody.changes import AnyChange, AnyEffect, Effects


class Role(StrEnum):
    """What a party is in a payment."""

    PAYER = "payer"
    CLEARER = "clearer"
    PAYEE = "payee"


State: TypeAlias = payer.PayerState | clearer.ClearerState | payee.PayeeState

_ENDED = (
    *(payer.Closed, payer.Back, payer.Failed),
    *(clearer.Closed, clearer.Failed, clearer.Lapsed, clearer.Lost),
    *(payee.Closed, payee.Failed, payee.Lost),
)
_encoder = msgspec.msgpack.Encoder()
_decoders: dict[Role, msgspec.msgpack.Decoder[State]] = {
    Role.PAYER: msgspec.msgpack.Decoder(payer.PayerState),
    Role.CLEARER: msgspec.msgpack.Decoder(clearer.ClearerState),
    Role.PAYEE: msgspec.msgpack.Decoder(payee.PayeeState),
}
_effects: msgspec.msgpack.Decoder[AnyEffect] = msgspec.msgpack.Decoder(AnyEffect)


def role_of(state: State) -> Role:
    """Whose machine the state is of."""
    match state:
        case payer.State():
            return Role.PAYER
        case clearer.State():
            return Role.CLEARER
        case payee.State():
            return Role.PAYEE


def stage_of(state: State) -> str:
    """The name of the state, as people and the API see it."""
    tag = type(state).__struct_config__.tag
    assert isinstance(tag, str), "every state is tagged with its name"
    return tag


def is_open(state: State) -> bool:
    """Whether something can still happen to the payment. A hold that comes after the end is given back all the same."""
    return not isinstance(state, _ENDED)


def note_of(state: State) -> str:
    """What a person should read beside the stage; empty where the stage says it all."""
    match state:
        case payer.Failed() | payer.Back() | payee.Failed() | payee.Refusing() | clearer.Failed() | clearer.Returning():
            return f"{state.why}: {state.detail}"
        case payer.Held(word=word):
            return word
        case clearer.Checking():
            return f"{state.why}: {state.detail}"
        case clearer.Lost(resolution=found) | payee.Lost(resolution=found) if found is not None:
            return f"{found.by}: {'counts' if found.counts else 'does not count'}: {found.detail}"
        case _:
            return ""


class Times(msgspec.Struct, frozen=True):
    """What the machines need to know of this party's margins.

    Fields: reveal_ms and place_ms by ledger: how long before a hold's time-out on that ledger the payee still shows the
    preimage, and the clearing bank still begins the hold; known_from by ledger (Unix milliseconds): from when on all
    that an earlier process of this party may have asked of that ledger is final, and shown.
    """

    reveal_ms: dict[str, int]
    place_ms: dict[str, int]
    known_from: dict[str, int] = {}


def wakes_at(state: State, times: Times) -> UnixMs | None:
    """When a `Tick` moves the payment, if nothing else did before; None where time alone moves nothing."""
    match state:
        case payer.Asking() | payer.Pricing():
            moment = state.order.answer_by
        case payer.Clearing() | payer.Agreeing():
            moment = state.terms.quote.expires_at
        case payer.Held():
            moment = state.deal.terms.quote.source.expires_at
        case payee.Offered():
            moment = state.invitation.until
        case payee.Considering() | payee.Consenting():
            moment = state.terms.quote.target.expires_at
        case payee.Expecting():
            moment = state.deal.terms.quote.target.expires_at
        case clearer.Quoted():
            moment = state.offer.quote.expires_at
        case clearer.Clearing():
            target = state.offer.quote.target
            moment = target.expires_at - times.place_ms[target.ledger] + 1
        case clearer.Waiting():
            moment = state.offer.quote.target.expires_at
        case clearer.Checking(is_early=True):
            moment = times.known_from.get(state.offer.quote.target.ledger, 0)
        case _:
            return None
    return UnixMs(moment)


def encode_state(state: State) -> bytes:
    """MessagePack, for the store."""
    return _encoder.encode(state)


def decode_state(role: Role, raw: bytes) -> State:
    """The state that `encode_state` wrote."""
    return _decoders[role].decode(raw)


def encode_effect(effect: AnyEffect) -> bytes:
    """MessagePack, for the outbox."""
    return _encoder.encode(effect)


def decode_effect(raw: bytes) -> AnyEffect:
    """The effect that `encode_effect` wrote."""
    return _effects.decode(raw)


def step(state: State, change: AnyChange, now: UnixMs, times: Times) -> tuple[State, Effects]:
    """Advance a payment by the machine that it is in."""
    match state:
        case payer.State():
            return payer.step(state, change, now)
        case clearer.State():
            target = state.offer.quote.target.ledger
            return clearer.step(state, change, now, times.place_ms[target], times.known_from.get(target, 0))
        case payee.State():
            return payee.step(state, change, now, times.reveal_ms[state.invitation.ledger])
