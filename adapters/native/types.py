"""What the native contracts hold, typed. Ids, txids and asset ids are 32 bytes, accounts 20; amounts in base units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

from foundation.quantities import TokenUnits, Wei
from registry.groups import Member


class Outpoint(NamedTuple):
    """A bitcoin output. Fields: txid (internal byte order); vout."""

    txid: bytes
    vout: int


class DepositStatus(IntEnum):
    """What the Hub did with a deposit, for ever. The numbers are the Hub's."""

    UNKNOWN = 0
    MINTED = 1
    RETURNED = 2


class WithdrawalStatus(IntEnum):
    """Where a withdrawal is. The numbers are the Hub's."""

    UNKNOWN = 0
    REQUESTED = 1
    RESERVED = 2
    SETTLED = 3
    CANCELLED = 4


class PayoutStatus(IntEnum):
    """Where a payout is. The numbers are the Hub's."""

    UNKNOWN = 0
    LIVE = 1
    SETTLED = 2
    VOIDED = 3


@dataclass(frozen=True, slots=True)
class DepositClaim:
    """A deposit as vouchers attest it. `amount`: what arrived, before the fee."""

    asset: bytes
    txid: bytes
    vout: int
    amount: TokenUnits
    recipient: bytes
    group: bytes


@dataclass(frozen=True, slots=True)
class Reservation:
    """Withdrawals, and the coins that pay them; the first coin of the first version is the payout's anchor."""

    group: bytes
    asset: bytes
    withdrawals: tuple[bytes, ...]
    inputs: tuple[Outpoint, ...]


@dataclass(frozen=True, slots=True)
class Announcement:
    """The terms of a deposit address, published so that any node can recompute it.

    Fields: asset; group; recipient; reclaim_key (x-only, 32 bytes); delay (blocks); salt (32 bytes); birthday (the
    height below which no coin can be).
    """

    asset: bytes
    group: bytes
    recipient: bytes
    reclaim_key: bytes
    delay: int
    salt: bytes
    birthday: int


@dataclass(frozen=True, slots=True)
class WithdrawalRecord:
    """A withdrawal as the Hub holds it. `payout`: the one that it is or was last in; `destination`: a scriptPubKey."""

    id: bytes
    asset: bytes
    owner: bytes
    amount: TokenUnits
    max_fee: TokenUnits
    destination: bytes
    status: WithdrawalStatus
    payout: bytes | None


@dataclass(frozen=True, slots=True)
class PayoutRecord:
    """A payout as the Hub holds it: its newest version.

    Fields: anchor (outpoint id of the coin that every version spends); version (counts accepted reservations, from 1);
    withdrawals; inputs (outpoint ids of the newest version; the coins themselves are in its `PayoutReserved` event).
    """

    id: bytes
    group: bytes
    asset: bytes
    anchor: bytes
    version: int
    status: PayoutStatus
    withdrawals: tuple[bytes, ...]
    inputs: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """What a mapping token says of itself. `name` is also that of its EIP-712 domain (EIP-2612)."""

    token: bytes
    name: str
    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True)
class Voucher:
    """A member of the committee that attests. `weight` is its bonded stake."""

    member: Member
    weight: Wei


@dataclass(frozen=True)
class VoucherSet:
    """The committee at one block. Fields: vouchers; total_weight."""

    vouchers: tuple[Voucher, ...]
    total_weight: Wei

    @cached_property
    def _weights(self) -> dict[bytes, int]:
        return {voucher.member.account: voucher.weight for voucher in self.vouchers}

    def weight_of(self, account: bytes) -> Wei:
        """The weight of an account; 0 for a stranger."""
        return Wei(self._weights.get(account, 0))

    def is_quorum(self, accounts: Iterable[bytes]) -> bool:
        """Whether these accounts, each counted once, have more than two thirds of the weight."""
        return 3 * sum(self.weight_of(account) for account in set(accounts)) > 2 * self.total_weight
