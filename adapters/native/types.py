"""What the native contracts hold, typed. Ids, txids and asset ids are 32 bytes, accounts 20; amounts in base units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, reduce
from operator import or_
from typing import Any, NamedTuple

from foundation.errors import BadInput
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
    RESTORED = 5
    """Settled, but its Lockbox never paid: the Hub gave tokens back."""


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
    """Withdrawals, and the coins that pay them; the first coin of the first version is the payout's anchor.

    Where a Lockbox pays, there are no coins and no further versions.
    """

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
    """A withdrawal as the Hub holds it.

    Fields: amount (what is paid out, the miner's or the carrier's fee included); max_fee (on a bitcoin chain the most
    that miners may take of it; on an EVM chain what its carrier gets); destination (a scriptPubKey, or an account of 20
    bytes); payout (the one that it is or was last in); number (counts the Hub's withdrawals, from 1; a Lockbox pays
    each number once); fee (the service fee, which was taken besides `amount`).
    """

    id: bytes
    asset: bytes
    owner: bytes
    amount: TokenUnits
    max_fee: TokenUnits
    destination: bytes
    status: WithdrawalStatus
    payout: bytes | None
    number: int = 0
    fee: TokenUnits = TokenUnits(0)


@dataclass(frozen=True, slots=True)
class PayoutRecord:
    """A payout as the Hub holds it: its newest version.

    Fields: anchor (outpoint id of the coin that every version spends; zero where a Lockbox pays); version (counts
    accepted reservations, from 1); withdrawals; inputs (outpoint ids of the newest version; the coins themselves are in
    its `PayoutReserved` event); signers (bitmap of the storemen who signed the newest version, by index in the group).
    """

    id: bytes
    group: bytes
    asset: bytes
    anchor: bytes
    version: int
    status: PayoutStatus
    withdrawals: tuple[bytes, ...]
    inputs: tuple[bytes, ...]
    signers: int = 0


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """What a mapping token says of itself. `name` is also that of its EIP-712 domain (EIP-2612)."""

    token: bytes
    name: str
    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True)
class Voucher:
    """A member of the committee that attests.

    Fields: member; weight (all that is bonded to it); index (its bit in the Hub's bitmaps, 0 to 255).
    """

    member: Member
    weight: Wei
    index: int = 0


@dataclass(frozen=True)
class VoucherSet:
    """The committee at one block. Fields: vouchers; total_weight."""

    vouchers: tuple[Voucher, ...]
    total_weight: Wei

    @cached_property
    def _weights(self) -> dict[bytes, int]:
        return {voucher.member.account: voucher.weight for voucher in self.vouchers}

    @cached_property
    def _bits(self) -> dict[bytes, int]:
        return {voucher.member.account: 1 << voucher.index for voucher in self.vouchers}

    def weight_of(self, account: bytes) -> Wei:
        """The weight of an account; 0 for a stranger."""
        return Wei(self._weights.get(account, 0))

    def is_quorum(self, accounts: Iterable[bytes]) -> bool:
        """Whether these accounts, each counted once, have more than two thirds of the weight."""
        return 3 * sum(self.weight_of(account) for account in set(accounts)) > 2 * self.total_weight

    def is_alarm(self, accounts: Iterable[bytes]) -> bool:
        """Whether these accounts have more than a third of the weight: enough for a halt."""
        return 3 * sum(self.weight_of(account) for account in set(accounts)) > self.total_weight

    def bitmap(self, accounts: Iterable[bytes]) -> int:
        """The bits of these accounts, as the Hub keeps who attested; strangers have none."""
        return reduce(or_, (self._bits.get(account, 0) for account in accounts), 0)

    def of_bitmap(self, bitmap: int) -> tuple[bytes, ...]:
        """The accounts of the members whose bits are set, in the order of `vouchers`."""
        return tuple(account for account, bit in self._bits.items() if bitmap & bit)


class StatementKind(IntEnum):
    """What a voucher stated, of what it can be slashed for. The numbers are those of Bonds."""

    DEPOSIT_ATTESTATION = 1
    PAYOUT_SETTLEMENT = 2
    ANCHOR_SPENT = 3


@dataclass(frozen=True, slots=True)
class Statement:
    """What a voucher signed for the Hub. `words`: the structure's fields, 32 bytes each; `signature`: 65 bytes."""

    kind: StatementKind
    words: tuple[bytes, ...]
    signature: bytes


@dataclass(frozen=True, slots=True)
class BondTerms:
    """The numbers that Bonds was deployed with, for ever.

    Fields: minimum_stake (a voucher's least own bond); unbonding_seconds (how long a bond stays within reach of a slash
    after it was unbonded); slash_bps (what a slash takes of each bond); reward_bps (what of that goes to who reported).
    """

    minimum_stake: Wei
    unbonding_seconds: int
    slash_bps: int
    reward_bps: int

    def check(self) -> None:
        """Refuse what Bonds would refuse to be deployed with. Raises `BadInput`."""
        for name, value, least, most in (
            ("minimum_stake", self.minimum_stake, 1, 2**128 - 1),
            ("unbonding_seconds", self.unbonding_seconds, 1, 2**32 - 1),
            ("slash_bps", self.slash_bps, 1, 10_000),
            ("reward_bps", self.reward_bps, 0, 5_000),
        ):
            if not least <= value <= most:
                raise BadInput(f"bonds.{name}", f"{value} is not possible", f"{least} to {most}")


@dataclass(frozen=True, slots=True)
class OperatorRecord:
    """A voucher or a storeman as Bonds holds it. Bonds in wei.

    Fields: account; bond, shares (all that is bonded to it); unbonding_bond, unbonding_shares (on its way out, within
    reach of a slash); own_position (0: none); commission_bps (now), next_commission_bps and commission_rises_at (what
    is announced, in seconds since 1970; 0: nothing); index (its bit in bitmaps of vouchers); roles.
    """

    account: bytes
    bond: Wei
    shares: int
    unbonding_bond: Wei
    unbonding_shares: int
    own_position: int
    commission_bps: int
    next_commission_bps: int
    commission_rises_at: int
    index: int
    is_voucher: bool
    was_voucher: bool
    is_storeman: bool
    is_slashed: bool

    @classmethod
    def read(cls, account: bytes, fields: tuple[Any, ...]) -> OperatorRecord:
        """Of what `Bonds.operator` answers for an account."""
        return cls(account, *fields)


@dataclass(frozen=True, slots=True)
class BondPosition:
    """Coin that somebody bonded to an operator.

    Fields: id; worth (now, after slashes); operator, owner (accounts; the same one for an operator's own bond); shares
    (of the operator's pool); opened, closed (values of the contract's sequence; `closed` 0: still bonded).
    """

    id: int
    worth: Wei
    operator: bytes
    owner: bytes
    shares: int
    opened: int
    closed: int

    @property
    def is_open(self) -> bool:
        """Whether it is still bonded, and earns."""
        return self.closed == 0


@dataclass(frozen=True, slots=True)
class UnbondingRecord:
    """Coin on its way out. Fields as `BondPosition`; ready_at (seconds since 1970)."""

    id: int
    worth: Wei
    operator: bytes
    owner: bytes
    shares: int
    ready_at: int
