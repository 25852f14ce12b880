"""What operators see of a connector: plain values, for the command line and the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from settlement.connector.accounts import Account
from settlement.connector.conversion import Rate
from settlement.quantities import Asset


@dataclass(frozen=True, slots=True)
class AccountView:
    """One account. Fields: id; asset; relation; balance (of all processes, as written; what we owe the holder);
    held_in, held_out (for packets in flight of this process, from and to the holder); floor, ceiling; is_up; received,
    fulfilled (packets from the holder); refused, rejected (by code: by us, by later hops); volume_in, volume_out.
    Amounts are base units.
    """

    id: str
    asset: Asset
    relation: str
    balance: int
    held_in: int
    held_out: int
    floor: int | None
    ceiling: int | None
    is_up: bool
    received: int
    fulfilled: int
    refused: Mapping[str, int]
    rejected: Mapping[str, int]
    volume_in: int
    volume_out: int


@dataclass(frozen=True, slots=True)
class RateView:
    """A price. Fields: asset; price (in the backend's own money); is_current."""

    asset: str
    price: Rate
    is_current: bool


def account_view(account: Account, balance: int) -> AccountView:
    """The account as it is now, with its balance as the database has it."""
    config, position = account.config, account.position
    return AccountView(
        id=account.id,
        asset=config.asset,
        relation=config.relation.value,
        balance=balance,
        held_in=position.debits,
        held_out=position.credits,
        floor=config.floor,
        ceiling=config.ceiling,
        is_up=account.link.is_up,
        received=account.received,
        fulfilled=account.fulfilled,
        refused=dict(account.refused),
        rejected=dict(account.rejected),
        volume_in=account.volume_in,
        volume_out=account.volume_out,
    )
