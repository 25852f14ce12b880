"""Orders that move the swap's bitcoin output: claims and refunds, by both keys, by script, by pre-signed rung."""

from __future__ import annotations

from typing import Final

from adapters.bitcoin.errors import OutputBelowDust
from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.bitcoin.transactions import parse_transaction
from foundation.errors import BadInput
from foundation.quantities import Satoshi
from mpc.errors import NonceReused
from settlement.swap.bitcoin.cosign import Asker, BadCosignature, CosignAnswer, CosignRequest, answer
from settlement.swap.bitcoin.desk import Spend, Submission
from settlement.swap.bitcoin.rungs import Rung
from settlement.swap.engine.hands.desk import Changes, Desk, NotNow
from settlement.swap.machine import guards
from settlement.swap.machine.changes import CosignFailed, Sent, WrittenOff
from settlement.swap.machine.effects import (
    AskRefund,
    ClaimBitcoinByKey,
    ClaimBitcoinByRung,
    ClaimBitcoinByScript,
    CosignClaim,
    RefundBitcoin,
    RefundBitcoinByKey,
    RevealByLetter,
    SignRefundWith,
)
from settlement.swap.machine.facts import SpendKind
from settlement.swap.machine.messages import ClaimCosigned, RefundAsked, RefundCosigned, Secret
from settlement.swap.machine.states import Follower, Swap
from settlement.swap.store.store import SwapRow
from settlement.swap.terms import Mode, Role

_GONE: Final[Changes] = ()


# --- With the other side's signature ---


async def reveal(desk: Desk, row: SwapRow, order: RevealByLetter) -> Changes:
    """Tell the secret to the other side; in hash mode with a call for its signature.

    Not from T2 on: a letter that a crash held up for so long could only help a follower that takes its bitcoin back.
    """
    if desk.seconds >= row.state.terms.bitcoin.expires_at:
        return ()
    secrets = desk.secrets(row)
    if row.state.terms.mode is Mode.POINT:
        # Its one way to the money is a claim at a fee that was fixed long ago: none is told before a mempool has it.
        seen = desk.seen(row, order.outpoint)
        if seen is None or seen.spend is None or seen.spend.kind is not SpendKind.CLAIM:
            raise NotNow("the claim is not in the mempool yet")
        await desk.say(row, Secret(secrets.scalar, b""))
        return ()
    request = await _ask(desk, row, order.outpoint, Role.INITIATOR)
    await desk.say(row, Secret(secrets.preimage, request))
    return ()


async def ask_refund(desk: Desk, row: SwapRow, order: AskRefund) -> Changes:
    """Call for the other side's signature under this side's refund."""
    request = await _ask(desk, row, order.outpoint, Role.FOLLOWER)
    if request:
        await desk.say(row, RefundAsked(order.outpoint, request))
    return ()


async def _ask(desk: Desk, row: SwapRow, outpoint: bytes, role: Role) -> bytes:
    """A request with a fresh nonce; empty where nothing is to be signed now."""
    coin = desk.coin(row, outpoint)
    if coin is None:
        return b""
    try:
        spend = await desk.bitcoin.by_key(desk.output(row), coin, await desk.destination(row))
    except (BadInput, OutputBelowDust):
        return b""  # worth less than its fee: the other orders say so
    if spend is None:
        return b""  # it is in the mempool already
    asker = Asker(desk.output(row), role, desk.secrets(row).bitcoin, spend)
    desk.askers[row.swap_id, outpoint] = asker
    return asker.request.encode()


async def claim_by_key(desk: Desk, row: SwapRow, order: ClaimBitcoinByKey) -> Changes:
    """Finish and broadcast the claim that both sign."""
    return await _by_key(desk, row, order.key, order.outpoint, order.answer)


async def refund_by_key(desk: Desk, row: SwapRow, order: RefundBitcoinByKey) -> Changes:
    """Finish and broadcast the refund that both sign."""
    return await _by_key(desk, row, order.key, order.outpoint, order.answer)


async def _by_key(desk: Desk, row: SwapRow, key: str, outpoint: bytes, given: bytes) -> Changes:
    kept = await desk.kept(row, key)
    if kept:
        raw = kept[-1].raw
    else:
        asker = desk.askers.pop((row.swap_id, outpoint), None)
        if asker is None:
            return (CosignFailed(outpoint),)  # the nonce was in the memory of a process that has ended
        try:
            raw = asker.finish(CosignAnswer.decode(given))
        except (BadCosignature, BadInput, NonceReused):
            return (CosignFailed(outpoint),)
        await desk.keep(row, key, parse_transaction(raw).txid, raw, asker.spend.fee)
    return await _submitted(desk, key, raw) or (CosignFailed(outpoint),)


async def cosign_claim(desk: Desk, row: SwapRow, order: CosignClaim) -> Changes:
    """Sign the initiator's claim with it."""
    request = CosignRequest.decode(order.request)
    given = _cosign(desk, row, request, Role.FOLLOWER)
    if given:
        await desk.say(row, ClaimCosigned(given))
    return ()


async def cosign_refund(desk: Desk, row: SwapRow, order: SignRefundWith) -> Changes:
    """Sign the follower's refund with it."""
    request = CosignRequest.decode(order.request)
    if request.outpoint == OutPoint.parse(order.outpoint):
        given = _cosign(desk, row, request, Role.INITIATOR)
        if given:
            await desk.say(row, RefundCosigned(order.outpoint, given))
    return ()


def _cosign(desk: Desk, row: SwapRow, request: CosignRequest, role: Role) -> bytes:
    """The own part of a signature that moves a coin of this swap, as it was seen, and nothing else; or nothing."""
    if not _may_cosign(row.state):
        return b""
    coin = desk.coin(row, request.outpoint.serialized())
    if coin is None or coin.value != request.value:
        raise NotNow("the output to be signed for is not seen here yet")
    try:
        return answer(desk.output(row), role, desk.secrets(row).bitcoin, request).encode()
    except BadCosignature:
        return b""


def _may_cosign(state: Swap) -> bool:
    """The machines' own guards once more, where the key is used: a claim that the follower signs without the secret,
    and a refund that the initiator signs after it has shown the secret, would give away all."""
    if isinstance(state, Follower):
        return guards.secret_opens(state.terms, state.secret) and guards.claim_is_mined(state)
    return state.cosigned and guards.may_cosign_refund(state)


# --- Alone ---


async def claim_by_script(desk: Desk, row: SwapRow, order: ClaimBitcoinByScript) -> Changes:
    """Claim by the preimage, or pay more for it."""
    coin = desk.coin(row, order.outpoint)
    if coin is None:
        return _GONE
    secrets = desk.secrets(row)
    try:
        made = await desk.bitcoin.claim(
            desk.output(row),
            coin,
            await desk.destination(row),
            secrets.bitcoin,
            secrets.preimage,
            higher=order.attempt > 0 or _is_claimed(desk, row, order.outpoint),
            within_blocks=desk.blocks_until(order.confirm_by),
        )
    except (BadInput, OutputBelowDust):
        return (WrittenOff(order.outpoint),)
    return await _broadcast(desk, row, order.key, made)


async def refund_by_script(desk: Desk, row: SwapRow, order: RefundBitcoin) -> Changes:
    """Refund after the time-out, or pay more for it."""
    coin = desk.coin(row, order.outpoint)
    if coin is None:
        return _GONE
    try:
        made = await desk.bitcoin.refund(
            desk.output(row),
            coin,
            await desk.destination(row),
            desk.secrets(row).bitcoin,
            higher=order.attempt > 0,
            within_blocks=desk.blocks_until(order.confirm_by),
        )
    except (BadInput, OutputBelowDust):
        return (WrittenOff(order.outpoint),)
    return await _broadcast(desk, row, order.key, made)


async def claim_by_rung(desk: Desk, row: SwapRow, order: ClaimBitcoinByRung) -> Changes:
    """Complete a pre-signed claim with the scalar: the first that the mempool takes, from the attempt's rung on; when
    there is none, a child pays for the one that is there, or for the highest."""
    coin = desk.coin(row, order.outpoint)
    if coin is None:
        return _GONE
    output, scalar = desk.output(row), desk.secrets(row).scalar
    rungs = [Rung.decode(one) for one in getattr(row.state, "presignatures", ())]
    if not rungs:
        raise NotNow("there is no pre-signed claim", 60)
    for rung in rungs[order.attempt :]:
        raw = rung.claim(output, coin, scalar)
        await desk.keep(row, order.key, parse_transaction(raw).txid, raw, rung.fee)
        submitted = await desk.bitcoin.submit(raw)
        if submitted is Submission.TAKEN:
            return (Sent(order.key, parse_transaction(raw).txid),)
        if submitted is Submission.SPENT:
            return ()
    standing = await desk.bitcoin.standing(coin.outpoint)
    if standing is None:
        # The mempool asks more than the highest rung pays: a child may pay for both, handed over together.
        await _pay_for(desk, row, order, coin, rungs[-1], scalar)
    else:
        by_txid = {rung.spend(coin).txid(): rung for rung in rungs}
        if standing.txid in by_txid:
            await _pay_for(desk, row, order, coin, by_txid[standing.txid], scalar)
    return ()


async def _pay_for(desk: Desk, row: SwapRow, order: ClaimBitcoinByRung, coin: Coin, rung: Rung, scalar: bytes) -> None:
    """Let a child pay for a claim that lingers, out of the claimed money."""
    raw = rung.claim(desk.output(row), coin, scalar)
    parsed = parse_transaction(raw)
    paid = Coin(OutPoint(parsed.txid, 0), parsed.outputs[0].value, parsed.outputs[0].script)
    market = await desk.bitcoin.market(desk.blocks_until(order.confirm_by))
    rate = desk.policy.rate(market.estimate, market.floor)
    earlier = await desk.bitcoin.standing(paid.outpoint)
    minimum = Satoshi(0) if earlier is None else Satoshi(earlier.fee + market.incremental)
    child = await desk.wallet.child(raw, rung.fee, paid, rate, minimum_fee=minimum)
    await desk.keep(row, f"{order.key}:child", parse_transaction(child).txid, child, 0)
    await desk.bitcoin.submit_with_child(raw, child)


def _is_claimed(desk: Desk, row: SwapRow, outpoint: bytes) -> bool:
    seen = desk.seen(row, outpoint)
    return seen is not None and seen.spend is not None and seen.spend.kind is SpendKind.CLAIM


async def _broadcast(desk: Desk, row: SwapRow, key: str, made: Spend | None) -> Changes:
    """Keep a signed transaction and broadcast it; where nothing better can be bid, what is kept goes out again."""
    if made is None:
        kept = await desk.kept(row, key)
        return (await _submitted(desk, key, kept[-1].raw) or ()) if kept else ()
    await desk.keep(row, key, made.txid, made.raw, made.fee)
    return await _submitted(desk, key, made.raw) or ()


async def _submitted(desk: Desk, key: str, raw: bytes) -> Changes | None:
    """What came of a broadcast; None where the node does not take it, so that something else has to be done."""
    submitted = await desk.bitcoin.submit(raw)
    if submitted is Submission.TAKEN:
        return (Sent(key, parse_transaction(raw).txid),)
    if submitted is Submission.SPENT:
        return ()  # the watch tells by what
    if submitted is Submission.TOO_EARLY:
        raise NotNow("its time lock has not passed")
    return None
