"""Making a bundle out of a swap's state and keys."""

from __future__ import annotations

from adapters.bitcoin.builders import fee_at
from adapters.bitcoin.errors import OutputBelowDust
from adapters.bitcoin.fees import FeePolicy
from adapters.bitcoin.primitives import Coin, OutPoint
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB
from settlement.swap.bitcoin.fees import ladder, refund_ladder
from settlement.swap.bitcoin.output import SwapOutput, output_of
from settlement.swap.bitcoin.rungs import Rung
from settlement.swap.machine.facts import Output
from settlement.swap.machine.states import Follower, Initiator, Swap
from settlement.swap.terms import Mode
from settlement.swap.wallet.secrets import SwapSecrets
from settlement.swap.watchtower.bundle import Bundle, Ladder

LEAST_RISE = SatPerKvB(1_000)
"""What a replacement pays for its own relay at nodes' usual settings."""


def make_bundle(state: Swap, secrets: SwapSecrets, destination: bytes, policy: FeePolicy, now: int) -> Bundle:
    """The bundle of a swap as it stands now. It is good for what is known now: after a funding, a refund or a reveal a
    new one can do more.

    Args:
        state: the swap.
        secrets: its keys.
        destination: the trader's own scriptPubKey, the one that the engine uses too.
        policy: from which fee to which.
        now: seconds since 1970.

    Raises:
        BadInput: the swap has ended, or a key is another's.
    """
    if state.outcome is not None:
        raise BadInput("swap", "has ended", "nothing is left to watch")
    output = output_of(state.terms)
    rates = ladder(policy.floor, policy.highest, LEAST_RISE)
    refunds: list[Ladder] = []
    claims: list[Ladder] = []
    presignatures: tuple[bytes, ...] = ()
    if isinstance(state, Follower):
        for seen in state.outputs:
            signed = refund_ladder(output, _coin(output, seen), destination, secrets.bitcoin, rates)
            refunds.append(Ladder(seen.outpoint, seen.value, tuple(rung.raw for rung in signed)))
        presignatures = tuple(one for signed in state.presignatures for one in signed)
    elif isinstance(state, Initiator) and state.revealed_at:
        # Never before: a claim holds the secret, or is completed by it.
        target = next((seen for seen in state.outputs if seen.outpoint == state.target), None)
        if target is not None:
            claims.append(_claims(state, output, target, secrets, destination, rates))
    return Bundle(state.terms, state.role, secrets.identity_key, now, tuple(refunds), tuple(claims), presignatures)


def _claims(
    state: Initiator,
    output: SwapOutput,
    target: Output,
    secrets: SwapSecrets,
    destination: bytes,
    rates: tuple[SatPerKvB, ...],
) -> Ladder:
    coin = _coin(output, target)
    if state.terms.mode is Mode.POINT:
        rungs = tuple(Rung.decode(one).claim(output, coin, secrets.scalar) for one in state.presignatures)
        return Ladder(target.outpoint, target.value, rungs)
    signed = []
    for rate in rates:
        if fee_at(rate, output.claim_vsize(destination)) >= coin.value:
            break
        try:
            made = output.claim(coin, destination, rate, secrets.preimage)
        except OutputBelowDust:
            break
        signed.append(made.signed_by(secrets.bitcoin))
    return Ladder(target.outpoint, target.value, tuple(signed))


def _coin(output: SwapOutput, seen: Output) -> Coin:
    return Coin(OutPoint.parse(seen.outpoint), Satoshi(seen.value), output.script)
