"""The events of Bonds, typed. Accounts and tokens are 20 bytes; amounts in wei, or in a token's base units."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.native.position import Position
from foundation.quantities import TokenUnits, Wei


@dataclass(frozen=True, slots=True)
class VoucherAdmitted:
    """The owner lets an account join the vouchers."""

    at: Position
    account: bytes


@dataclass(frozen=True, slots=True)
class VoucherJoined:
    """A voucher bonded its stake."""

    at: Position
    account: bytes
    host_key: bytes
    transport_key: bytes
    endpoint: str
    stake: Wei


@dataclass(frozen=True, slots=True)
class VoucherRemoved:
    """A voucher left, or was slashed: it attests no more."""

    at: Position
    account: bytes


@dataclass(frozen=True, slots=True)
class StoremanJoined:
    """A storeman of a group takes bonds, and earns for its share of signatures."""

    at: Position
    account: bytes
    group: bytes


@dataclass(frozen=True, slots=True)
class WeightChanged:
    """A voucher's weight, and with it the total, is another one."""

    at: Position
    account: bytes
    weight: Wei
    total: Wei


@dataclass(frozen=True, slots=True)
class Bonded:
    """Somebody, the operator itself or a delegator, bonded coin to an operator. `position`: its number."""

    at: Position
    position: int
    operator: bytes
    owner: bytes
    amount: Wei


@dataclass(frozen=True, slots=True)
class PositionClosed:
    """A position is bonded no more. `into`: the one that goes on with the rest of it, 0 for none."""

    at: Position
    position: int
    into: int


@dataclass(frozen=True, slots=True)
class CommissionChanged:
    """What an operator keeps of its delegators' fees changes. `since`: seconds since 1970 from which it holds."""

    at: Position
    operator: bytes
    commission_bps: int
    since: int


@dataclass(frozen=True, slots=True)
class Unbonding:
    """A bond is on its way out. `ready_at`: seconds since 1970 from which it can be withdrawn."""

    at: Position
    id: int
    operator: bytes
    owner: bytes
    amount: Wei
    ready_at: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A bond was paid out, less what a slashing took of it meanwhile."""

    at: Position
    id: int
    owner: bytes
    amount: Wei


@dataclass(frozen=True, slots=True)
class FeesCredited:
    """An operator and its delegators have earned tokens."""

    at: Position
    operator: bytes
    token: bytes
    amount: TokenUnits


@dataclass(frozen=True, slots=True)
class FeesClaimed:
    """Earned tokens were paid out."""

    at: Position
    owner: bytes
    token: bytes
    amount: TokenUnits


@dataclass(frozen=True, slots=True)
class Slashed:
    """A voucher was proved to have signed two conflicting statements. `cut`: of its bonds; `reward`: of the cut."""

    at: Position
    voucher: bytes
    reporter: bytes
    cut: Wei
    reward: Wei


@dataclass(frozen=True, slots=True)
class InsurancePaid:
    """The owner paid out of what was slashed."""

    at: Position
    to: bytes
    amount: Wei


@dataclass(frozen=True, slots=True)
class CompanionsBound:
    """Bonds serves this Registry and this Hub, for ever."""

    at: Position
    registry: bytes
    hub: bytes
