"""How long each part of a swap may take."""

from __future__ import annotations

from dataclasses import dataclass

from settlement.swap.planning.conditions import Conditions


@dataclass(frozen=True, slots=True)
class Spans:
    """How long each part of a swap may take, seconds.

    Fields: lock (the initiator's lock becomes final); fund (the follower's funding gets its confirmations); claim (the
    claim of the bitcoin is final, and blocks' times lie ahead); refund (from T2 on, the refund is valid and final);
    claim_evm (the claim of the lock is final).
    """

    lock: int
    fund: int
    claim: int
    refund: int
    claim_evm: int

    @property
    def between(self) -> int:
        """How much later than T2 the follower needs T1 to be."""
        return self.refund + self.claim_evm


def spans_of(conditions: Conditions, bitcoin_confirmations: int, evm_confirmations: int) -> Spans:
    """How long each part may take, with these confirmations."""
    bitcoin, evm, risk = conditions.bitcoin, conditions.evm, conditions.risk
    care = conditions.reaction_s + conditions.skew_s
    stress = bitcoin.stress_blocks + bitcoin_confirmations
    own = care + conditions.margin_s
    lock = evm.seconds(evm.ordinary_blocks, evm_confirmations, conditions.progress, stress=False)
    return Spans(
        lock=lock + care,
        fund=bitcoin.seconds(bitcoin.ordinary_blocks + bitcoin_confirmations, conditions.progress) + care,
        claim=bitcoin.seconds(stress, risk) + bitcoin.lie_s + own,
        refund=bitcoin.seconds(bitcoin.lag_blocks + stress, risk) + bitcoin.lie_s + own,
        claim_evm=evm.seconds(evm.stress_blocks, evm_confirmations, risk, stress=True)
        + evm.outage_s
        + evm.lie_s
        + care,
    )
