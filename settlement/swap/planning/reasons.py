"""The planner's reasoning, in lines that a person reads."""

from __future__ import annotations

from settlement.swap.planning.conditions import BitcoinConditions, Conditions, EvmConditions
from settlement.swap.planning.spans import Spans
from settlement.swap.terms import OWN_FINALITY


def reasons_of(spans: Spans, conditions: Conditions, bitcoin: int, evm: int, t2_in: int, t1_in: int) -> tuple[str, ...]:
    """What each span is made of. `bitcoin`, `evm`: confirmations; `t2_in`, `t1_in`: seconds from now."""
    chain, other = conditions.bitcoin, conditions.evm
    final = "the chain's own finality" if evm == OWN_FINALITY else _count(evm, "confirmation")
    confirmations = _count(bitcoin, "confirmation")
    stressed = chain.seconds(chain.stress_blocks + bitcoin, conditions.risk)
    lie = f", and blocks' times may be {span_text(chain.lie_s)} wrong" if chain.lie_s else ""
    outage = f", an outage of {span_text(other.outage_s)}" if other.outage_s else ""
    return (
        f"letters: {span_text(conditions.handshake_s)} to agree before the lock",
        f"evm: the lock is in a block and has {final} within {span_text(spans.lock)} "
        f"{_odds(other, conditions.progress)}",
        f"bitcoin: the funding is in a block after at most {_count(chain.ordinary_blocks, 'block')} and has "
        f"{confirmations} within {span_text(spans.fund)} {_odds(chain, conditions.progress)}",
        f"bitcoin: a claim that waits {_count(chain.stress_blocks, 'block')} under fee stress has {confirmations} "
        f"within {span_text(stressed)} {_odds(chain, conditions.risk)}{lie}: the secret is shown no later than "
        f"{span_text(spans.claim)} before T2",
        f"bitcoin: the median time is {_count(chain.lag_blocks, 'block')} behind{lie}: a refund is final "
        f"{span_text(spans.refund)} after T2 {_odds(chain, conditions.risk)}",
        f"evm: a claim that waits {_count(other.stress_blocks, 'block')} under gas stress{outage} has {final} within "
        f"{span_text(spans.claim_evm)} {_odds(other, conditions.risk)}",
        f"people: {span_text(conditions.margin_s)} to start a machine again; {span_text(conditions.skew_s)} between "
        f"clocks and {span_text(conditions.reaction_s)} to react in each part",
        f"T2, bitcoin's time-out, is in {span_text(t2_in)}; T1, the lock's, in {span_text(t1_in)}",
    )


def span_text(seconds: int) -> str:
    """A span as people say it: `2 h 5 min`, `40 s`."""
    sign = "-" if seconds < 0 else ""
    minutes, rest = divmod(abs(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{value} {unit}" for value, unit in ((hours, "h"), (minutes, "min")) if value]
    if rest and not hours:
        parts.append(f"{rest} s")
    return sign + (" ".join(parts) or "0 s")


def _odds(chain: BitcoinConditions | EvmConditions, exponent: int) -> str:
    if not chain.is_random:
        return f"with a block every {span_text(chain.interval_s)}"
    return f"with probability 1 − 10^−{exponent}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
