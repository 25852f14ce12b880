"""How two banks come to accept one payment: demands, disclosures, screening, acceptances. One machine for each side.

The machine is pure, and no personal datum comes near it: the shell opens, checks and stores what was disclosed, and
tells the machine digests and kinds of data. Whatever comes twice, late or out of order changes nothing; what comes
otherwise than it came before ends the exchange. At each tick a side that is not done repeats its demand and what it
said since, until `expires_at`, when the exchange is refused. Only a repeated demand is answered, and never by a demand:
so two machines cannot keep each other talking. No money moves before both acceptances are there.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final, TypeAlias

from msgspec.structs import replace

from foundation.errors import Fatal
from foundation.quantities import UnixMs
from settlement.connect.acceptance import Acceptance, Expected, PaymentId, SignedAcceptance
from settlement.connect.exchange_types import (
    Accepted,
    AskPerson,
    Change,
    Demand,
    Disclose,
    Disclosed,
    Effect,
    Exchange,
    OwnAcceptance,
    OwnDisclosure,
    Phase,
    Reason,
    Record,
    Screen,
    Screened,
    SendAcceptance,
    SendDemand,
    SendDisclosure,
    SendRefusal,
    Sign,
    TheirAcceptance,
    TheirRefusal,
    Tick,
)
from settlement.connect.policy import Facts, Objection, Policy, Refused, respond
from settlement.connect.screening import Outcome, Subject, Verdict, all_cleared
from settlement.quantities import PartyId, tagged_hash

Check: TypeAlias = Callable[[SignedAcceptance, Expected, UnixMs], None]
"""`check_acceptance` on the node's registry, or one that relies on a batch verified before; raises a Fatal error."""

Step: TypeAlias = tuple[Exchange, tuple[Effect, ...]]

_ENDED: Final = (Phase.ACCEPTED, Phase.REFUSED)
_REASONS: Final = {
    Objection.PURPOSE: Reason.PURPOSE,
    Objection.FEE: Reason.FEE,
    Objection.DISCLOSURE: Reason.DISCLOSURE,
    Objection.DEMAND: Reason.DEMAND,
}


def begin(
    payment: PaymentId,
    me: PartyId,
    counterparty: PartyId,
    subject: Subject,
    terms_hash: bytes,
    facts: Facts,
    policy: Policy,
    expires_at: UnixMs,
) -> Step:
    """Begin the exchange on one payment. `subject` is the role of this bank's own customer.

    Fields of what begins: terms_hash (32 bytes); expires_at (Unix ms: no acceptance lives longer, and until then both
    have to be there).
    """
    other = Subject.BENEFICIARY if subject is Subject.ORIGINATOR else Subject.ORIGINATOR
    state = Exchange(
        payment_id=payment,
        me=me,
        counterparty=counterparty,
        subject=subject,
        terms_hash=terms_hash,
        facts=facts,
        policy=policy,
        expires_at=expires_at,
        demand=Demand(terms_hash, policy.demands(other, facts)),
        phase=Phase.PROPOSED,
    )
    return state, (SendDemand(state.demand),)


def step(state: Exchange, change: Change, now: UnixMs, check: Check) -> Step:
    """Advance the exchange. Pure; replaying a change returns the same state, and what has to be sent again."""
    if state.phase is Phase.REFUSED:
        return state, (SendRefusal(),) if isinstance(change, Demand) else ()
    if now >= state.expires_at and state.phase is not Phase.ACCEPTED:
        return _refuse(state, Reason.EXPIRED, "expires_at", now)
    match change:
        case Demand():
            return _on_demand(state, change, now)
        case OwnDisclosure(digest):
            return _on_own_disclosure(state, digest, now)
        case Disclosed():
            return _on_disclosed(state, change, now)
        case Screened():
            return _on_screened(state, change, now)
        case OwnAcceptance(signed):
            return _on_own_acceptance(state, signed, now)
        case TheirAcceptance(signed):
            return _on_their_acceptance(state, signed, now, check)
        case TheirRefusal():
            return _on_their_refusal(state, now)
        case Tick():
            return state, () if state.phase is Phase.ACCEPTED else (SendDemand(state.demand), *_since(state))


def data_digest(state: Exchange) -> bytes | None:
    """32 bytes that stand for what both have disclosed; None as long as one has not. Both sides compute the same."""
    if state.own_digest is None or state.their_digest is None:
        return None
    originator, beneficiary = state.own_digest, state.their_digest
    if state.subject is Subject.BENEFICIARY:
        originator, beneficiary = beneficiary, originator
    return tagged_hash("connect/data", state.payment_id, originator, beneficiary)


def disclosure_digest(payment: PaymentId, discloser: PartyId, salt: bytes, document: bytes) -> bytes:
    """32 bytes that commit to a disclosure and tell nothing of it: the salt has 32 random bytes."""
    return tagged_hash("connect/disclosure", payment, discloser.encode(), salt, document)


def expected_from(state: Exchange, party: PartyId) -> Expected | None:
    """What the acceptance of `party` has to be of; None before both have disclosed."""
    digest = data_digest(state)
    if digest is None:
        return None
    other = state.counterparty if party == state.me else state.me
    return Expected(state.payment_id, party, other, state.terms_hash, digest)


def _on_demand(state: Exchange, demand: Demand, now: UnixMs) -> Step:
    if state.their_demand is not None:
        if state.their_demand != demand:
            return _refuse(state, Reason.CONTRADICTION, "demand", now)
        return state, _since(state)
    if not hmac.compare_digest(demand.terms_hash, state.terms_hash):
        return _refuse(state, Reason.TERMS, "terms_hash", now)
    answer = respond(state.policy, state.subject, demand.data, state.facts)
    if isinstance(answer, Refused):
        return _refuse(state, _REASONS[answer.reason], answer.field, now)
    state = replace(state, their_demand=demand, to_disclose=answer)
    return state, (Disclose(answer),)


def _on_own_disclosure(state: Exchange, digest: bytes, now: UnixMs) -> Step:
    if state.to_disclose is None:
        return state, ()
    if state.own_digest is not None:
        # The shell has stored another disclosure than the one that may be on its way: never send both.
        return (state, ()) if state.own_digest == digest else _refuse(state, Reason.CONTRADICTION, "disclosure", now)
    state = _phased(replace(state, own_digest=digest))
    return state, (SendDisclosure(digest), *_screening(state))


def _on_disclosed(state: Exchange, disclosed: Disclosed, now: UnixMs) -> Step:
    if state.their_digest is not None:
        if state.their_digest != disclosed.digest:
            return _refuse(state, Reason.CONTRADICTION, "disclosure", now)
        return state, ()
    if disclosed.flaw:
        return _refuse(state, Reason.DATA, disclosed.flaw, now)
    lacking = state.demand.data - disclosed.data
    if lacking:
        return _refuse(state, Reason.DATA, min(lacking), now)
    if disclosed.kind is not None and disclosed.kind is not state.facts.kind_of(_other(state.subject)):
        return _refuse(state, Reason.DATA, "kind", now)
    state = _phased(replace(state, their_digest=disclosed.digest))
    return state, _screening(state)


def _on_screened(state: Exchange, screened: Screened, now: UnixMs) -> Step:
    if state.phase is not Phase.DISCLOSED or data_digest(state) is None:
        return state, ()
    worst = [verdict.outcome for verdict in screened.verdicts]
    if Outcome.BLOCK in worst:
        return _refuse(state, Reason.SCREENING, "verdicts", now, screened)
    if not all_cleared(screened.verdicts):
        # Somebody has to look: the payment waits for another `Screened`, or for its end.
        record = _record(state, Reason.REFERRED, "verdicts", now, screened)
        return replace(state, is_referred=True), (record, AskPerson())
    digest = data_digest(state)
    assert digest is not None
    acceptance = Acceptance(
        payment_id=state.payment_id,
        party=state.me,
        counterparty=state.counterparty,
        terms_hash=state.terms_hash,
        data_digest=digest,
        verdicts=screened.verdicts,
        policy_version=state.policy.version,
        rule_version=screened.rule_version,
        accepted_at=now,
        valid_until=state.expires_at,
    )
    state = replace(state, phase=Phase.SCREENED, to_sign=acceptance)
    return state, (_record(state, Reason.CLEARED, "", now, screened), Sign(acceptance))


def _on_own_acceptance(state: Exchange, signed: SignedAcceptance, now: UnixMs) -> Step:
    if state.own_acceptance is not None:
        return state, ()
    # The signature comes from our own signer and is not verified again: it costs more than all else here.
    if signed.acceptance != state.to_sign or signed.signature.parties != (state.me,):
        return state, ()  # the next tick asks the signer again
    state = replace(state, own_acceptance=signed)
    return _completed(state, (SendAcceptance(signed),), now)


def _on_their_acceptance(state: Exchange, signed: SignedAcceptance, now: UnixMs, check: Check) -> Step:
    # Before both have disclosed there is nothing to hold it against: the other side repeats it.
    if state.their_acceptance is not None or not _is_theirs(state, signed, now, check):
        return state, ()
    return _completed(replace(state, their_acceptance=signed), (), now)


def _on_their_refusal(state: Exchange, now: UnixMs) -> Step:
    # Both acceptances are given: neither can take its own back by refusing; the terms' expiry ends what does not move.
    if state.phase is Phase.ACCEPTED:
        return state, ()
    refused = replace(state, phase=Phase.REFUSED, reason=Reason.COUNTERPARTY, field="counterparty")
    return refused, (_record(refused, Reason.COUNTERPARTY, "counterparty", now),)


def _is_theirs(state: Exchange, signed: SignedAcceptance, now: UnixMs, check: Check) -> bool:
    expected = expected_from(state, state.counterparty)
    if expected is None:
        return False
    try:
        check(signed, expected, now)
    except Fatal:
        return False
    return True


def _completed(state: Exchange, effects: tuple[Effect, ...], now: UnixMs) -> Step:
    if state.own_acceptance is None or state.their_acceptance is None:
        return state, effects
    done = Accepted(state.own_acceptance, state.their_acceptance)
    state = replace(state, phase=Phase.ACCEPTED)
    return state, (*effects, _record(state, Reason.ACCEPTED, "", now), done)


def _since(state: Exchange) -> tuple[Effect, ...]:
    """What this side has said after its demand, or waits for from its own shell: to be said and asked again."""
    effects: list[Effect] = []
    if state.to_disclose is not None:
        effects.append(Disclose(state.to_disclose) if state.own_digest is None else SendDisclosure(state.own_digest))
    if state.own_acceptance is not None:
        effects.append(SendAcceptance(state.own_acceptance))
    elif state.to_sign is not None:
        effects.append(Sign(state.to_sign))
    else:
        effects.extend(_screening(state))
    return tuple(effects)


def _screening(state: Exchange) -> tuple[Effect, ...]:
    waits = state.phase is Phase.DISCLOSED and data_digest(state) is not None and not state.is_referred
    return (Screen(),) if waits else ()


def _phased(state: Exchange) -> Exchange:
    return replace(state, phase=Phase.DISCLOSED) if state.own_digest is not None else state


def _refuse(state: Exchange, reason: Reason, field: str, now: UnixMs, screened: Screened | None = None) -> Step:
    refused = replace(state, phase=Phase.REFUSED, reason=reason, field=field)
    # The other side learns that, and never why: a reason could tip off who is screened.
    return refused, (_record(refused, reason, field, now, screened), SendRefusal())


def _record(state: Exchange, reason: Reason, field: str, now: UnixMs, screened: Screened | None = None) -> Record:
    verdicts: tuple[Verdict, ...] = screened.verdicts if screened is not None else ()
    rule_version = screened.rule_version if screened is not None else ""
    return Record(state.payment_id, reason, field, state.policy.version, rule_version, verdicts, now)


def _other(subject: Subject) -> Subject:
    return Subject.BENEFICIARY if subject is Subject.ORIGINATOR else Subject.ORIGINATOR
