"""What `causeway asset` shows of an asset."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from cli.output import clock, facts, short, table
from cli.policy_options import policy_document
from cli.registry_lookup import shared_symbols
from foundation.errors import BadInput
from registry.amounts import format_amount

if TYPE_CHECKING:
    from adapters.native.chain import NativeChain
    from registry.assets import Asset

EVERYTHING: Final = bytes(32)
"""In place of an asset: a halt of all."""


async def asset_documents(
    native: NativeChain, assets: Sequence[Asset], shown: Sequence[Asset] | None = None
) -> list[dict[str, Any]]:
    """Assets for `--json`. `assets`: all that are registered; `shown`: those of them to show, None: all."""
    newest = await native.block("latest")
    now = 0 if newest is None else newest.timestamp
    all_halted = await native.halted_until(EVERYTHING, "latest")
    sharing = shared_symbols(assets)
    chosen = assets if shown is None else shown
    return list(await asyncio.gather(*(_document(native, asset, sharing, all_halted, now) for asset in chosen)))


async def _document(
    native: NativeChain, asset: Asset, sharing: Mapping[str, Sequence[Asset]], all_halted: int, now: int
) -> dict[str, Any]:
    token = await native.token_of(asset.id, "latest")
    supply = await native.supply(asset.id, "latest")
    halted = max(all_halted, await native.halted_until(asset.id, "latest"))
    others = [other.id.hex() for other in sharing.get(asset.symbol.upper(), ()) if other.id != asset.id]
    return {
        "id": asset.id.hex(),
        "caip19": asset.caip19,
        "chain": asset.chain.hex(),
        "name": asset.name,
        "symbol": asset.symbol,
        "decimals": asset.decimals,
        "same_symbol": others,
        "token": None if token is None else "0x" + token.hex(),
        "supply_units": str(supply),
        "halted_until": halted if halted > now else None,
        "policy": policy_document(asset.policy),
    }


def state_of(document: Mapping[str, Any]) -> str:
    """What can be done with the asset, in a word or two."""
    policy = document["policy"]
    if policy["denied"]:
        return "DENIED"
    if document["halted_until"] is not None:
        return f"HALTED until {clock(document['halted_until'] * 1000)}"
    return "PAUSED" if policy["paused"] else "open"


def list_text(documents: Sequence[Mapping[str, Any]]) -> str:
    """A table, and a warning where a symbol stands for more than one asset."""
    rows = [
        (
            short(d["id"]),
            d["symbol"] + (" !" if d["same_symbol"] else ""),
            d["name"],
            _amount(d, d["supply_units"]),
            state_of(d),
            d["caip19"],
        )
        for d in documents
    ]
    text = table(("id", "symbol", "name", "supply", "state", "asset"), rows, right=("supply",))
    if any(d["same_symbol"] for d in documents):
        text += "\n\n! SEVERAL ASSETS HAVE THIS SYMBOL: look at the id and the contract before you accept one"
    return text


def asset_text(d: Mapping[str, Any]) -> str:
    """One asset for people."""
    policy = d["policy"]

    def limit(units: str) -> str:
        return "none" if units == "0" else f"{_amount(d, units)} a day"

    pairs: list[tuple[str, Any]] = [
        ("asset", d["caip19"]),
        ("id", d["id"]),
        ("name", f"{d['name']} ({d['symbol']}), {d['decimals']} decimals"),
        ("mapping token", d["token"] or "none yet: its first mint deploys it"),
        ("supply", _amount(d, d["supply_units"])),
        ("state", state_of(d)),
        ("least deposit", f"{_amount(d, policy['minimum_deposit_units'])}, of which a sweep takes "
                          f"{_amount(d, policy['deposit_fee_units'])}"),
        ("least withdrawal", _amount(d, policy["minimum_withdrawal_units"])),
        ("service fee", f"{policy['fee_bps']} basis points, at least {_amount(d, policy['fee_floor_units'])}"),
        ("deposit limit", limit(policy["deposit_limit_units"])),
        ("withdrawal limit", limit(policy["withdrawal_limit_units"])),
    ]  # fmt: skip
    text = facts(pairs)
    if d["same_symbol"]:
        others = ", ".join(short(other) for other in d["same_symbol"])
        text += f"\n\n! OTHER ASSETS HAVE THE SYMBOL {d['symbol']} TOO: {others}"
    return text


def _amount(document: Mapping[str, Any], units: str) -> str:
    """With the symbol; in base units where an asset claims more decimals than there can be."""
    try:
        return format_amount(int(units), document["decimals"], symbol=document["symbol"])
    except BadInput:
        return f"{units} base units of {document['symbol']}"
