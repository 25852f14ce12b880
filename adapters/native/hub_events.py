"""The Hub's events, typed. Ids, txids and asset ids are 32 bytes, accounts 20; amounts in base units."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.native.position import Position
from adapters.native.proofs import Proof
from adapters.native.types import Announcement, Outpoint
from foundation.quantities import TokenUnits


@dataclass(frozen=True, slots=True)
class DepositAnnounced:
    """Somebody published the terms of a deposit address. Nothing is checked: terms may be nonsense, or repeated."""

    at: Position
    id: bytes
    terms: Announcement


@dataclass(frozen=True, slots=True)
class TokenDeployed:
    """An asset has its mapping token, from its first mint on."""

    at: Position
    asset: bytes
    token: bytes


@dataclass(frozen=True, slots=True)
class DepositMinted:
    """A deposit of `amount` became `minted` units of the mapping token.

    Where a Lockbox holds it, `txid` is its lock id and `vout` 0. `fee`: the service fee; `attesters`: bitmap of the
    vouchers who earn it.
    """

    at: Position
    id: bytes
    asset: bytes
    recipient: bytes
    amount: TokenUnits
    minted: TokenUnits
    txid: bytes
    vout: int
    group: bytes
    fee: TokenUnits = TokenUnits(0)
    attesters: int = 0


@dataclass(frozen=True, slots=True)
class DepositReturned:
    """A deposit can never be minted; its storemen send it back."""

    at: Position
    id: bytes
    asset: bytes
    txid: bytes
    vout: int
    amount: TokenUnits
    group: bytes
    reason: int


@dataclass(frozen=True, slots=True)
class WithdrawalRequested:
    """Tokens are locked for a withdrawal; the fields are those of `WithdrawalRecord`."""

    at: Position
    id: bytes
    asset: bytes
    owner: bytes
    amount: TokenUnits
    max_fee: TokenUnits
    destination: bytes
    number: int = 0
    fee: TokenUnits = TokenUnits(0)


@dataclass(frozen=True, slots=True)
class WithdrawalCancelled:
    """The owner took a withdrawal back before it was reserved."""

    at: Position
    id: bytes


@dataclass(frozen=True, slots=True)
class MaxFeeRaised:
    """The owner lets a withdrawal bear more of the miner fee."""

    at: Position
    id: bytes
    max_fee: TokenUnits


@dataclass(frozen=True, slots=True)
class PayoutReserved:
    """Storemen bound coins to withdrawals; version 1 is the first, each replacement counts one more.

    Where a Lockbox pays, there are no coins. `signers`: bitmap of the storemen who signed, by index in the group.
    """

    at: Position
    id: bytes
    group: bytes
    asset: bytes
    version: int
    withdrawals: tuple[bytes, ...]
    inputs: tuple[Outpoint, ...]
    signers: int = 0


@dataclass(frozen=True, slots=True)
class PayoutVoided:
    """The payout can never be made: a stranger's transaction spent its anchor. Its withdrawals are requested again."""

    at: Position
    id: bytes
    spender: bytes


@dataclass(frozen=True, slots=True)
class PayoutSettled:
    """The payout is final on its chain, and the tokens are burnt.

    Fields: fee (of miners, or of carriers); burnt (all, the service fees included); service_fee (of it, owed: half of
    it, rounded down, to the storemen who signed, the rest to the vouchers in the bitmap `attesters`).
    """

    at: Position
    id: bytes
    txid: bytes
    fee: TokenUnits
    burnt: TokenUnits
    service_fee: TokenUnits = TokenUnits(0)
    attesters: int = 0


@dataclass(frozen=True, slots=True)
class WithdrawalRestored:
    """The Lockbox will never pay a settled withdrawal: its owner has `amount` of tokens again."""

    at: Position
    id: bytes
    amount: TokenUnits


@dataclass(frozen=True, slots=True)
class ReleasePublished:
    """Somebody published what a group's signature for a payout by its Lockbox is said to be. Nothing is checked."""

    at: Position
    payout: bytes
    epoch: int
    proof: Proof


@dataclass(frozen=True, slots=True)
class Halted:
    """Vouchers stopped an asset (32 zero bytes: all). `until`: seconds since 1970."""

    at: Position
    asset: bytes
    until: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """Vouchers ended a halt before its time."""

    at: Position
    asset: bytes


@dataclass(frozen=True, slots=True)
class FeesDistributed:
    """Pending fees were minted and credited. `group`: 32 zero bytes for vouchers; `signers`: bitmap of who earned."""

    at: Position
    asset: bytes
    group: bytes
    signers: int
    amount: TokenUnits
