"""Receipts whose keys are local secrets."""

from __future__ import annotations

from adapters.bitcoin.addresses import REGTEST, Network
from adapters.bitcoin.scripts import DepositTerms
from bridge.receipts import DepositReceipt
from bridge.settings import bitcoin_asset
from foundation.quantities import BlockHeight
from tests.support.vault_coins import GROUP_KEY, RECLAIM_KEY


def receipt(
    network: Network = REGTEST,
    *,
    delay: int = 144,
    salt: bytes = bytes(32),
    recipient: bytes = b"\x01" * 20,
    reclaim_key: bytes = RECLAIM_KEY,
    birthday: int = 100,
) -> DepositReceipt:
    """A receipt of a deposit to a group with a known key."""
    terms = DepositTerms(
        31337,
        b"\x02" * 20,
        bitcoin_asset(network).id,
        b"\x03" * 32,
        GROUP_KEY,
        recipient,
        reclaim_key,
        delay,
        salt,
    )
    return DepositReceipt(network, terms, BlockHeight(birthday))
