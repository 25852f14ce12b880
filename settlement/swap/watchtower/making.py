"""Making a bundle out of a swap's state and keys."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.bitcoin.builders import fee_at
from adapters.bitcoin.fees import FeePolicy
from adapters.bitcoin.primitives import Coin, OutPoint
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB
from settlement.swap.bitcoin.fees import ladder, most_fee, refund_ladder
from settlement.swap.bitcoin.output import SwapOutput, output_of
from settlement.swap.bitcoin.rungs import Rung
from settlement.swap.machine.facts import Output
from settlement.swap.machine.states import Follower, Initiator, Swap
from settlement.swap.terms import Mode
from settlement.swap.wallet.secrets import SwapSecrets
from settlement.swap.watchtower.bundle import LADDERS_MAX, Bundle, Ladder

LEAST_RISE = SatPerKvB(1_000)
"""What a replacement pays for its own relay at nodes' usual settings."""


def make_bundle(
    state: Swap,
    secrets: SwapSecrets,
    destination: bytes,
    policy: FeePolicy,
    now: int,
    *,
    planned: Sequence[OutPoint] = (),
    birth: int = 0,
) -> Bundle:
    """The bundle of a swap as it stands now. It is good for what is known now: after a funding or a refund, or when the
    secret has been shown, a new one can do more.

    Args:
        state: the swap.
        secrets: its keys.
        destination: the trader's own scriptPubKey, the one that the engine uses too.
        policy: from which fee to which.
        now: seconds since 1970.
        planned: outputs of signed funding transactions that may be on their way.
        birth: the bitcoin block from which on the output may be there; 0: unknown.

    Raises:
        BadInput: the swap has ended, or a key is another's.
    """
    if state.outcome is not None:
        raise BadInput("swap", "has ended", "nothing is left to watch")
    output = output_of(state.terms)
    rates = ladder(policy.floor, policy.highest, LEAST_RISE)
    refunds: tuple[Ladder, ...] = ()
    claims: list[Ladder] = []
    presignatures: tuple[bytes, ...] = ()
    secret = b""
    act_by = state.gates.refund_bitcoin
    if isinstance(state, Follower):
        refunds = _refunds(output, _refundable(state, output, planned), destination, secrets.bitcoin, rates)
        presignatures = tuple(one for signed in state.presignatures for one in signed)
        # Who has paid nothing has nothing to claim.
        secret = state.secret if state.funding else b""
        act_by = state.gates.claim_evm_by
    elif isinstance(state, Initiator) and state.shown:
        # Never before: a claim holds the secret, or is completed by it.
        target = next((seen for seen in state.outputs if seen.outpoint == state.target), None)
        if target is not None:
            claims.append(_claims(state, output, target, secrets, destination, rates))
    return Bundle(
        terms=state.terms,
        role=state.role,
        owner=secrets.identity_key,
        made_at=now,
        act_by=act_by,
        since=0 if state.recovered else state.terms.agreed_at,  # a recovery does not know when it was agreed
        birth=birth,
        refunds=refunds,
        claims=tuple(claims),
        presignatures=presignatures,
        secret=secret,
    )


def _refunds(
    output: SwapOutput, coins: Sequence[Coin], destination: bytes, secret: bytes, rates: tuple[SatPerKvB, ...]
) -> tuple[Ladder, ...]:
    """Of coins that bear a fee, the first ones: as many as a tower takes."""
    made: list[Ladder] = []
    for coin in coins:
        signed = refund_ladder(output, coin, destination, secret, rates)
        if signed:
            made.append(Ladder(coin.outpoint.serialized(), coin.value, tuple(rung.raw for rung in signed)))
        if len(made) == LADDERS_MAX:
            break
    return tuple(made)


def _refundable(state: Follower, output: SwapOutput, planned: Sequence[OutPoint]) -> list[Coin]:
    """What was paid and is not spent for good, and what may be paid yet: a refund is valid for nothing else.

    The agreed amount first, and of that the trader's own funding, as far as it is known, before anybody else's; then by
    value: whatever strangers pay to the script, it does not push out what the swap is about.
    """
    depth = state.terms.bitcoin.confirmations
    seen = {one.outpoint for one in state.outputs}
    coins = [
        _coin(output, one)
        for one in state.outputs
        if not one.written_off and (one.spend is None or one.spend.confirmations < depth)
    ]
    prepared = [OutPoint.parse(state.prepared)] if state.prepared else []
    own = dict.fromkeys([*planned, *prepared])
    coming = dict.fromkeys([*planned, *([] if state.abandoned else prepared)])
    amount = state.terms.bitcoin.amount
    coins += [Coin(one, amount, output.script) for one in coming if one.serialized() not in seen]
    # What was seen stays before what was not: the sort keeps the order of equals.
    return sorted(coins, key=lambda coin: (coin.value != amount, coin.outpoint not in own, -coin.value))


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
    most, size = most_fee(coin, destination), output.claim_vsize(destination)
    made = [output.claim(coin, destination, rate, secrets.preimage) for rate in rates if fee_at(rate, size) <= most]
    return Ladder(target.outpoint, target.value, tuple(one.signed_by(secrets.bitcoin) for one in made))


def _coin(output: SwapOutput, seen: Output) -> Coin:
    return Coin(OutPoint.parse(seen.outpoint), Satoshi(seen.value), output.script)
