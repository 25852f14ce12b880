"""A transfer's journey as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from adapters.bitcoin.addresses import Network, address_text
from adapters.bitcoin.primitives import hash_text
from adapters.evm.hexes import address_text as account_text
from bridge.journey_parts import Journey, TransactionRef
from bridge.storage import JourneyEntry, TransferKind
from cli.output import btc, clock, duration, facts

_ACCOUNT_BYTES: Final = 20
"""How an account on an EVM chain differs from a scriptPubKey."""


def journey_json(journey: Journey, network: Network) -> dict[str, Any]:
    """For programs."""
    depth, waiting, fee, reclaim = journey.depth, journey.waiting, journey.fee, journey.reclaim
    # Amounts are text where they may be larger than programs take numbers to be.
    in_sat = {"amount_sat": journey.amount, "arrives_sat": journey.arrives} if journey.is_bitcoin else {}
    return {
        "id": journey.id.hex(),
        "kind": str(journey.kind),
        "stage": journey.stage,
        "asset": journey.asset.hex(),
        "chain": journey.unit.chain,
        "symbol": journey.unit.symbol,
        "amount": str(journey.amount),
        "arrives": None if journey.arrives is None else str(journey.arrives),
        **in_sat,
        "party": account_text(journey.party),
        "destination": _destination(journey, network),
        "created_at_ms": journey.created_at_ms,
        "updated_at_ms": journey.updated_at_ms,
        "payout": None if journey.payout is None else journey.payout.hex(),
        "transactions": [_transaction(ref) for ref in journey.transactions],
        "confirmations": None if depth is None else {"of": depth.of, "have": depth.have, "asked": depth.asked},
        "waits_for": waiting.what,
        "move": str(waiting.mover),
        "next_at_ms": waiting.next_at_ms,
        "fee": None
        if fee is None
        else {
            "text": fee.text,
            "enough": fee.enough,
            "sat_per_kvb": fee.rate,
            "wanted_sat_per_kvb": fee.wanted,
            "cure": fee.cure,
        },
        "reclaim": None
        if reclaim is None
        else {
            "valid_from": reclaim.valid_from,
            "blocks_left": reclaim.blocks_left,
            "fee_sat": reclaim.fee,
            "destination": address_text(reclaim.destination, network),
            "psbt": reclaim.psbt,
        },
        "journey": [_entry(step) for step in journey.steps],
    }


def journey_text(journey: Journey, network: Network, now_ms: int) -> str:
    """For people; what is to be copied is not cut."""
    parts = [facts(_head(journey, network, now_ms))]
    wide = max([8, *(len(ref.chain) + 1 for ref in journey.transactions)])
    rows = [f"  {ref.chain:<{wide}}{_id(ref)}  {_where(ref)}" for ref in journey.transactions]
    parts.append("\n".join(["Transactions", *rows]))
    parts.append("\n".join(_story(journey.steps)))
    if journey.reclaim is not None:
        parts.append(_reclaim(journey, network))
    return "\n\n".join(parts)


def _head(journey: Journey, network: Network, now_ms: int) -> Iterator[tuple[str, str]]:
    yield str(journey.kind), journey.id.hex()
    yield "stage", journey.stage
    yield "amount", journey.unit.show(journey.amount)
    if journey.kind is TransferKind.DEPOSIT:
        yield "recipient", account_text(journey.party)
    else:
        yield "owner", account_text(journey.party)
        on = f" on {journey.unit.chain}" if journey.unit.chain.startswith("eip155:") else ""
        yield "pays to", f"{_destination(journey, network)}{on}"
    if journey.arrives is not None:
        in_tokens = " in tokens" if journey.kind is TransferKind.DEPOSIT else ""
        yield "arrives", journey.unit.show(journey.arrives) + in_tokens
    depth = journey.depth
    if depth is not None:
        have = f"{depth.have:,} of {depth.asked}" if depth.have <= depth.asked else f"{depth.have:,}, {depth.asked}"
        yield "confirmations", f"{have} asked of the {depth.of}"
    waiting = journey.waiting
    yield "waits for", waiting.what
    yield "whose move", str(waiting.mover)
    if waiting.next_at_ms is not None:
        yield "next stage", f"expected in about {duration(waiting.next_at_ms - now_ms)}"
    if journey.fee is not None:
        yield "fee", journey.fee.text
        if journey.fee.cure:
            yield "do", journey.fee.cure


def _reclaim(journey: Journey, network: Network) -> str:
    reclaim = journey.reclaim
    assert reclaim is not None, "the caller looked"
    when = "it is valid now" if not reclaim.blocks_left else f"in {reclaim.blocks_left:,} blocks"
    return (
        f"The depositor's way back, valid from block {reclaim.valid_from:,} on: {when}\n"
        f"It pays {btc(journey.amount - reclaim.fee)} to {address_text(reclaim.destination, network)},\n"
        f"the reclaim key's own address. To be signed by that key (PSBT):\n{reclaim.psbt}"
    )


def _destination(journey: Journey, network: Network) -> str | None:
    if len(journey.destination) == _ACCOUNT_BYTES:
        return account_text(journey.destination)
    return address_text(journey.destination, network) if journey.destination else None


def _transaction(ref: TransactionRef) -> dict[str, Any]:
    return {"role": ref.role, "chain": ref.chain, "txid": _id(ref), "height": ref.height, "replaced": ref.replaced}


def _entry(step: JourneyEntry) -> dict[str, Any]:
    txid = None if step.txid is None else _chain_id(step.chain, step.txid)
    return {"at_ms": step.at_ms, "stage": step.stage, "note": step.note, "chain": step.chain, "txid": txid}


def _id(ref: TransactionRef) -> str:
    return _chain_id(ref.chain, ref.txid)


def _chain_id(chain: str, txid: bytes) -> str:
    return hash_text(txid) if chain == "bitcoin" else "0x" + txid.hex()


def _where(ref: TransactionRef) -> str:
    place = f", block {ref.height:,}" if ref.height is not None else ", replaced" if ref.replaced else ""
    return f"{ref.role}{place}"


def _story(steps: Sequence[JourneyEntry]) -> Iterator[str]:
    """What was told, with the date in the heading where it is the same for all."""
    days = {clock(step.at_ms)[:10] for step in steps}
    shared = len(days) == 1
    yield f"Journey, on {days.pop()}" if shared else "Journey"
    for step in steps:
        yield f"  {clock(step.at_ms)[11 if shared else 0 :]}  {step.stage:<11}{step.note}"
