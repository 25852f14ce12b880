"""`causeway bond show`: who takes bonds, and what an account has in Bonds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from adapters.evm.hexes import address_text
from cli import bonding
from cli.context import NetworkFile, open_native
from cli.output import coin, duration, facts, table

if TYPE_CHECKING:
    from adapters.native.chain import NativeChain
    from cli.bonding import Claimable, Holdings, OperatorView


async def show_json(network: NetworkFile, account: bytes | None) -> dict[str, Any]:
    """Everything, of an account too where one is named."""
    async with open_native(network) as native:
        return await _read(native, account)


async def _read(native: NativeChain, account: bytes | None) -> dict[str, Any]:
    terms = await native.bond_terms("latest")
    newest = await native.block("latest")
    now = int(time.time()) if newest is None else newest.timestamp
    document: dict[str, Any] = {
        "minimum_stake_wei": str(terms.minimum_stake),
        "unbonding_seconds": terms.unbonding_seconds,
        "slash_bps": terms.slash_bps,
        "reward_bps": terms.reward_bps,
        "insurance_wei": str(await native.insurance("latest")),
        "operators": [_operator(one) for one in await bonding.operators(native)],
        "account": None if account is None else address_text(account),
    }
    return document if account is None else document | _held(await bonding.holdings(native, account), now)


def _operator(one: OperatorView) -> dict[str, Any]:
    r = one.record
    return {
        "account": address_text(r.account),
        "name": one.name,
        "role": one.role,
        "weight_wei": str(r.bond if r.is_voucher and not r.is_slashed else 0),
        "bond_wei": str(r.bond),
        "own_wei": str(one.own),
        "delegated_wei": str(one.delegated),
        "unbonding_wei": str(r.unbonding_bond),
        "commission_bps": r.commission_bps,
        "slashed": r.is_slashed,
    }


def _held(held: Holdings, now: int) -> dict[str, Any]:
    return {
        "positions": [
            {
                "position": p.id,
                "operator": address_text(p.operator),
                "worth_wei": str(p.worth),
                "claimable": [_fee(one) for one in held.claimable if one.position == p.id],
            }
            for p in held.positions
        ],
        "closed_claimable": [
            {"position": one.position, **_fee(one)}
            for one in held.claimable
            if one.position is not None and one.position not in {p.id for p in held.positions}
        ],
        "commission_claimable": [_fee(one) for one in held.claimable if one.position is None],
        "unbondings": [
            {
                "unbonding": u.id,
                "operator": address_text(u.operator),
                "worth_wei": str(u.worth),
                "ready_at": u.ready_at,
                "seconds_left": max(u.ready_at - now, 0),
            }
            for u in held.unbondings
        ],
    }


def _fee(one: Claimable) -> dict[str, Any]:
    return {"asset": one.asset.caip19, "units": str(one.units), "shown": one.asset.format(one.units)}


def show_text(document: dict[str, Any]) -> str:
    """For people."""
    parts = [_terms(document), _operators(document)]
    if document["account"] is not None:
        parts.append(_account(document))
    return "\n\n".join(parts)


def _terms(document: dict[str, Any]) -> str:
    return facts(
        [
            ("least stake", coin(int(document["minimum_stake_wei"]))),
            ("unbonding takes", duration(document["unbonding_seconds"] * 1000)),
            (
                "a slash takes",
                f"{_percent(document['slash_bps'])}; the reporter gets {_percent(document['reward_bps'])} of it",
            ),
            ("insurance", coin(int(document["insurance_wei"]))),
        ]
    )


def _operators(document: dict[str, Any]) -> str:
    rows = [
        (
            one["name"],
            one["account"],
            coin(int(one["weight_wei"]), places=4),
            coin(int(one["own_wei"]), places=4),
            coin(int(one["delegated_wei"]), places=4),
            _percent(one["commission_bps"]),
            one["role"],
        )
        for one in document["operators"]
    ]
    headers = ("name", "operator", "weight", "own", "delegated", "commission", "role")
    return (
        table(headers, rows, right=("weight", "own", "delegated", "commission")) if rows else "nobody takes bonds yet"
    )


def _account(document: dict[str, Any]) -> str:
    lines = [f"Account {document['account']}"]
    for p in document["positions"]:
        lines.append(
            f"  position {p['position']}: {coin(int(p['worth_wei']))} with {p['operator']}{_earned(p['claimable'])}"
        )
    for one in document["closed_claimable"]:
        lines.append(f"  position {one['position']}, closed: {one['shown']} to claim")
    if document["commission_claimable"]:
        lines.append(f"  commission{_earned(document['commission_claimable'])}")
    for u in document["unbondings"]:
        left = u["seconds_left"]
        when = f"ready in {duration(left * 1000)}" if left else "ready: causeway bond withdraw"
        lines.append(f"  unbonding {u['unbonding']}: {coin(int(u['worth_wei']))}, {when}")
    return "\n".join(lines if len(lines) > 1 else [*lines, "  has bonded nothing"])


def _earned(fees: list[dict[str, Any]]) -> str:
    return f"; to claim: {', '.join(fee['shown'] for fee in fees)}" if fees else ""


def _percent(bps: int) -> str:
    return f"{bps / 100:g} %"
