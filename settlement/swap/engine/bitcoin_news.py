"""What a look at the bitcoin chain means for a swap: the facts that differ from what its machine knows. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from settlement.swap.bitcoin.output import Path, SwapOutput
from settlement.swap.bitcoin.rungs import Rung, scalar_in
from settlement.swap.bitcoin.watch import OutputView, SpendView
from settlement.swap.machine.changes import Change, OutputGone, OutputSeen, SecretSeen, SpendGone, SpendSeen
from settlement.swap.machine.facts import Output, SpendKind
from settlement.swap.machine.states import Follower, Swap
from settlement.swap.terms import Mode, Role


def news(state: Swap, output: SwapOutput, views: Sequence[OutputView], destination: bytes) -> list[Change]:
    """Changes that bring a state up to what the chain shows.

    Args:
        state: as it is.
        output: the swap's.
        views: all outputs to its script, as they stand.
        destination: this side's own scriptPubKey, empty where it has none yet.
    """
    known = {one.outpoint: one for one in state.outputs}
    changes: list[Change] = []
    for view in views:
        outpoint = view.outpoint.serialized()
        changes += _output_news(known.pop(outpoint, None), view, outpoint)
        if view.spend is not None:
            changes += _spend_news(state, output, view.spend, outpoint, destination)
        elif any(one.outpoint == outpoint and one.spend is not None for one in state.outputs):
            changes.append(SpendGone(outpoint))
    return [*changes, *(OutputGone(outpoint) for outpoint in known)]


def _output_news(known: Output | None, view: OutputView, outpoint: bytes) -> list[Change]:
    if known is not None and (known.value, known.confirmations) == (view.value, view.confirmations):
        return []
    return [OutputSeen(outpoint, view.value, view.confirmations)]


def _spend_news(state: Swap, output: SwapOutput, spend: SpendView, outpoint: bytes, destination: bytes) -> list[Change]:
    kind, secret = _read(state, output, spend, destination)
    known = next((one.spend for one in state.outputs if one.outpoint == outpoint), None)
    changes: list[Change] = []
    is_news = not state.secret if isinstance(state, Follower) else state.recovered and not state.revealed_at
    if secret and is_news:
        changes.append(SecretSeen(secret))
    if known is None or (known.kind, known.txid, known.confirmations) != (kind, spend.txid, spend.confirmations):
        changes.append(SpendSeen(outpoint, kind, spend.txid, spend.confirmations))
    return changes


def _read(state: Swap, output: SwapOutput, spend: SpendView, destination: bytes) -> tuple[SpendKind, bytes]:
    """Whose spend it is, and the secret that it shows (empty: none)."""
    reading = output.read(spend.witness)
    if reading.path is Path.CLAIM:
        return SpendKind.CLAIM, reading.preimage
    if reading.path is Path.REFUND:
        return SpendKind.REFUND, b""
    # Both signed: by the script that it pays to, which is this side's own or else the other's.
    is_own = bool(destination) and any(one.script == destination for one in spend.outputs)
    own = SpendKind.CLAIM if state.role is Role.INITIATOR else SpendKind.REFUND
    other = SpendKind.REFUND if state.role is Role.INITIATOR else SpendKind.CLAIM
    if isinstance(state, Follower) and output.mode is Mode.POINT and not is_own:
        rungs = [Rung.decode(one) for signed in state.presignatures for one in signed]
        return SpendKind.CLAIM, scalar_in(reading.signature, rungs, state.terms.point) or b""
    return own if is_own else other, b""
