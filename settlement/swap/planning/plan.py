"""The time-outs of a swap and each side's gates, with the reasoning that a person can follow.

Worked backwards: the initiator's claim has to be final before the follower's refund can be valid (T2, taken early by
what blocks' times may lie); the follower's refund, or else its claim of the lock, has to be final before T1, counted
from the moment at which the median time passes T2 at the latest. What comes before is time for progress: too little of
it costs nobody money. Source: /docs/swaps.md; BIP-113 for the median time past.
"""

from __future__ import annotations

from dataclasses import dataclass

from foundation.quantities import Satoshi
from settlement.swap.planning.conditions import Conditions
from settlement.swap.planning.errors import UnsafeTerms
from settlement.swap.planning.gates import Gates
from settlement.swap.planning.reasons import reasons_of, span_text
from settlement.swap.planning.spans import Spans, spans_of
from settlement.swap.terms import MAX_SATOSHI, OWN_FINALITY, Role, SwapTerms


@dataclass(frozen=True, slots=True)
class Plan:
    """A swap's times. Fields: bitcoin_expires_at, evm_expires_at (T2 and T1, seconds since 1970);
    bitcoin_confirmations, evm_confirmations; gates; spans; reasons (lines for people)."""

    bitcoin_expires_at: int
    evm_expires_at: int
    bitcoin_confirmations: int
    evm_confirmations: int
    gates: Gates
    spans: Spans
    reasons: tuple[str, ...]


def plan(amount: Satoshi, now: int, conditions: Conditions) -> Plan:
    """The time-outs of a swap that is agreed now.

    Args:
        amount: what the bitcoin leg carries; the value decides the confirmations.
        now: seconds since 1970.
        conditions: of the two chains.

    Raises:
        UnsafeTerms: the amount is too small or too large, or the money would be bound for too long.
    """
    _check_amount(amount, conditions)
    confirmations = conditions.bitcoin.confirmations.of(amount)
    evm_confirmations = conditions.evm.confirmations.of(amount)
    spans = spans_of(conditions, confirmations, evm_confirmations)
    t2 = now + _progress(spans, conditions) + spans.claim
    t1 = t2 + spans.between
    if t1 - now > conditions.longest_s:
        problem = f"the lock would last {span_text(t1 - now)}, and {span_text(conditions.longest_s)} are allowed"
        raise UnsafeTerms("evm.expires_at", problem, "trade less, or allow for more")
    gates = _gates(t2, t1, now, spans, conditions)
    reasons = reasons_of(spans, conditions, confirmations, evm_confirmations, t2 - now, t1 - now)
    return Plan(t2, t1, confirmations, evm_confirmations, gates, spans, reasons)


def check(terms: SwapTerms, now: int, role: Role, conditions: Conditions) -> Plan:
    """Whether a side is safe by these terms, whoever planned them; its gates.

    A side insists on what protects itself. What protects the other, and the time for progress, it takes as it is,
    within reason: a swap that runs out of time costs nobody money.

    Raises:
        UnsafeTerms: naming the field of the terms, the figures, and what would be safe.
    """
    _check_amount(terms.bitcoin.amount, conditions)
    _check_confirmations(terms, role, conditions)
    spans = spans_of(conditions, terms.bitcoin.confirmations, terms.evm.confirmations)
    t2, t1 = terms.bitcoin.expires_at, terms.evm.expires_at
    if terms.agreed_at > now + conditions.skew_s:
        raise UnsafeTerms("agreed_at", f"is {span_text(terms.agreed_at - now)} from now", "set the clocks right")
    if now > terms.agreed_at + conditions.handshake_s + conditions.skew_s:
        raise UnsafeTerms("agreed_at", f"was {span_text(now - terms.agreed_at)} ago", "agree anew")
    if role is Role.FOLLOWER and t1 - t2 < spans.between:
        problem = f"T1 is {span_text(t1 - t2)} after T2, and a refund or a claim may take {span_text(spans.between)}"
        raise UnsafeTerms("evm.expires_at", problem, f"T1 at {t2 + spans.between} or later")
    least = _least_progress(spans, conditions)
    if t2 - spans.claim - now < least:
        problem = f"T2 is in {span_text(t2 - now)}, of which a safe claim needs {span_text(spans.claim)}"
        raise UnsafeTerms("bitcoin.expires_at", problem, f"T2 at {now + least + spans.claim} or later")
    bound = t1 if role is Role.INITIATOR else t2
    if bound - now > conditions.longest_s:
        field = "evm.expires_at" if role is Role.INITIATOR else "bitcoin.expires_at"
        problem = f"your money would be bound for {span_text(bound - now)}"
        raise UnsafeTerms(field, problem, f"at most {span_text(conditions.longest_s)}")
    gates = _gates(t2, t1, now, spans, conditions)
    bitcoin, evm = terms.bitcoin.confirmations, terms.evm.confirmations
    reasons = reasons_of(spans, conditions, bitcoin, evm, t2 - now, t1 - now)
    return Plan(t2, t1, bitcoin, evm, gates, spans, reasons)


def recover_gates(terms: SwapTerms, conditions: Conditions) -> Gates:
    """The gates of a swap that is found again on the chains, by its terms alone. Never raises: money is there."""
    spans = spans_of(conditions, terms.bitcoin.confirmations, terms.evm.confirmations)
    return _gates(terms.bitcoin.expires_at, terms.evm.expires_at, terms.agreed_at, spans, conditions)


def _progress(spans: Spans, conditions: Conditions) -> int:
    """The time before the secret is shown."""
    return conditions.handshake_s + spans.lock + spans.fund


def _least_progress(spans: Spans, conditions: Conditions) -> int:
    return -(-_progress(spans, conditions) * conditions.tolerance // 100)


def _gates(t2: int, t1: int, now: int, spans: Spans, conditions: Conditions) -> Gates:
    """Each gate, from the time-outs back. Where there is less time for progress than planned, each part gets less."""
    last_reveal = t2 - spans.claim
    wanted = _progress(spans, conditions)
    share = min(max(last_reveal - now, 0), wanted)
    last_fund = last_reveal - spans.fund * share // wanted
    return Gates(
        last_lock=last_fund - spans.lock * share // wanted,
        last_fund=last_fund,
        last_reveal=last_reveal,
        refund_bitcoin=t2,
        claim_evm_by=t1 - spans.claim_evm,
        refund_evm=t1,
        patience_ms=conditions.patience_ms,
        resend_ms=conditions.resend_ms,
        bump_bitcoin_ms=conditions.bump_bitcoin_ms,
        bump_evm_ms=conditions.bump_evm_ms,
    )


def _check_amount(amount: Satoshi, conditions: Conditions) -> None:
    least = conditions.bitcoin.least_satoshi
    if amount < least:
        problem = f"{amount:,} satoshi are too few: a claim may cost a great part of them"
        raise UnsafeTerms("bitcoin.amount", problem, f"{least:,} or more")
    if amount > MAX_SATOSHI:
        raise UnsafeTerms("bitcoin.amount", f"{amount:,} satoshi will never exist", f"at most {MAX_SATOSHI:,}")


def _check_confirmations(terms: SwapTerms, role: Role, conditions: Conditions) -> None:
    amount = terms.bitcoin.amount
    least = conditions.bitcoin.confirmations.of(amount)
    if role is Role.INITIATOR and terms.bitcoin.confirmations < least:
        problem = f"{terms.bitcoin.confirmations} are too few for {amount:,} satoshi"
        raise UnsafeTerms("bitcoin.confirmations", problem, f"{least} or more")
    asked = terms.evm.confirmations
    if asked == OWN_FINALITY:
        if not conditions.evm.has_own_finality:
            raise UnsafeTerms("evm.confirmations", "this chain never says what is final", "1 or more")
        return
    least = conditions.evm.confirmations.of(amount)
    if role is Role.FOLLOWER and (least == OWN_FINALITY or asked < least):
        cure = "0: what the chain itself calls final" if least == OWN_FINALITY else f"{least} or more"
        raise UnsafeTerms("evm.confirmations", f"{asked} are too few for this value", cure)
