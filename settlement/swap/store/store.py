"""A trader's swaps, their orders, letters and cursors, on one connection."""

from __future__ import annotations

from settlement.swap.store.orders import HISTORY_MAX, OrderStore
from settlement.swap.store.rows import (
    DueOrder,
    KeptTransaction,
    Line,
    OfferState,
    OtherWallet,
    OwnOffer,
    Peer,
    SwapRow,
    Taking,
    TakingState,
)
from settlement.swap.store.swaps import SwapsStore
from settlement.swap.store.trades import TradeStore

__all__ = [
    "HISTORY_MAX",
    "DueOrder",
    "KeptTransaction",
    "Line",
    "OfferState",
    "OtherWallet",
    "OwnOffer",
    "Peer",
    "SwapRow",
    "SwapStore",
    "Taking",
    "TakingState",
]


class SwapStore(TradeStore, SwapsStore, OrderStore):
    """All tables of a trader, in one unit of work."""
