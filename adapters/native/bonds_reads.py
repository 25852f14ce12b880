"""What Bonds says: the committee, operators, positions, what they earned, what leaves."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.native.bindings import Bonds
from adapters.native.reads import NOBODY, At, ContractReads, checked
from adapters.native.types import (
    BondPosition,
    BondTerms,
    OperatorRecord,
    UnbondingRecord,
    Voucher,
    VoucherSet,
)
from foundation.quantities import TokenUnits, Wei
from registry.groups import Member


class BondsReads(ContractReads):
    """Typed reads of Bonds."""

    async def vouchers(self, at: At = "finalized") -> VoucherSet:
        """The committee: all active vouchers, their identities, weights and indices."""
        # One block for all reads, or somebody who joins between them would be counted in the total alone.
        number = await self._number(at)
        calls = [self._bonds(Bonds.vouchers), self._bonds(Bonds.total_weight)]
        (accounts,), (total,) = await self._read(calls, (Bonds.vouchers, Bonds.total_weight), number)
        details = await self._all([self._bonds(Bonds.voucher, a) for a in accounts], Bonds.voucher, number)
        operators = await self._all([self._bonds(Bonds.operator, a) for a in accounts], Bonds.operator, number)
        found = [
            (account, voucher, OperatorRecord.read(account, operator))
            for account, (voucher,), (operator,) in zip(accounts, details, operators, strict=True)
        ]
        vouchers = checked(
            Bonds.voucher,
            lambda: tuple(Voucher(Member(account, *v[:3]), Wei(v[3]), seat.index) for account, v, seat in found),
        )
        # By index is the order of joining; the contract's own list has none.
        return VoucherSet(tuple(sorted(vouchers, key=lambda voucher: voucher.index)), Wei(total))

    async def bond_terms(self, at: At = "finalized") -> BondTerms:
        """The numbers that Bonds was deployed with."""
        functions = (Bonds.minimum_stake, Bonds.unbonding_seconds, Bonds.slash_bps, Bonds.reward_bps)
        answers = await self._read([self._bonds(function) for function in functions], functions, at)
        (stake,), (seconds,), (slash,), (reward,) = answers
        return BondTerms(Wei(stake), seconds, slash, reward)

    async def minimum_stake(self, at: At = "finalized") -> Wei:
        """The least that a voucher bonds of its own."""
        (stake,) = await self._one(self._bonds(Bonds.minimum_stake), Bonds.minimum_stake, at)
        return Wei(stake)

    async def is_admitted(self, account: bytes, at: At = "finalized") -> bool:
        """Whether the owner has let an account join the vouchers."""
        (found,) = await self._one(self._bonds(Bonds.voucher, account), Bonds.voucher, at)
        return bool(found[4])

    async def operator(self, account: bytes, at: At = "finalized") -> OperatorRecord | None:
        """An operator's pool and roles, None for an account that never was one."""
        (found,) = await self._one(self._bonds(Bonds.operator, account), Bonds.operator, at)
        record = OperatorRecord.read(account, found)
        return record if record.was_voucher or record.is_voucher or record.is_storeman else None

    async def bond_position(self, position: int, at: At = "finalized") -> BondPosition | None:
        """One position with its worth, None for a number that was not given yet."""
        return next(iter(await self.bond_positions([position], at)), None)

    async def bond_positions(self, positions: Sequence[int], at: At = "finalized") -> list[BondPosition]:
        """Positions with their worth, in their order; without those that do not exist."""
        number = await self._number(at)
        answers = await self._all([self._bonds(Bonds.position, p) for p in positions], Bonds.position, number)
        worths = await self._all([self._bonds(Bonds.worth, p) for p in positions], Bonds.worth, number)
        return [
            BondPosition(position, Wei(worth), *fields)
            for position, (fields,), (worth,) in zip(positions, answers, worths, strict=True)
            if fields[1] != NOBODY
        ]

    async def positions_of(
        self, account: bytes, at: At = "finalized", *, with_closed: bool = False
    ) -> list[BondPosition]:
        """The positions that an account owns or, as an operator, is bonded with; closed ones still hold fees.

        All positions are read: this is for a person who asks, not for every block.
        """
        number = await self._number(at)
        (count,) = await self._one(self._bonds(Bonds.position_count), Bonds.position_count, number)
        found = await self.bond_positions(range(1, count + 1), number)
        return [p for p in found if account in (p.owner, p.operator) and (with_closed or p.is_open)]

    async def unbondings_of(self, owner: bytes, at: At = "finalized") -> list[UnbondingRecord]:
        """What an account unbonded and has not withdrawn, the oldest first. Reads all, like `positions_of`."""
        number = await self._number(at)
        (count,) = await self._one(self._bonds(Bonds.unbonding_count), Bonds.unbonding_count, number)
        ids = range(1, count + 1)
        answers = await self._all([self._bonds(Bonds.unbonding, i) for i in ids], Bonds.unbonding, number)
        worths = await self._all([self._bonds(Bonds.unbonding_worth, i) for i in ids], Bonds.unbonding_worth, number)
        return [
            UnbondingRecord(identity, Wei(worth), *fields)
            for identity, (fields,), (worth,) in zip(ids, answers, worths, strict=True)
            if fields[1] == owner
        ]

    async def claimable(self, position: int, token: bytes, at: At = "finalized") -> TokenUnits:
        """What a position's owner can claim in a token."""
        (units,) = await self._one(self._bonds(Bonds.claimable, position, token), Bonds.claimable, at)
        return TokenUnits(units)

    async def commission_owed(self, operator: bytes, token: bytes, at: At = "finalized") -> TokenUnits:
        """What an operator can claim of its commission in a token."""
        call = self._bonds(Bonds.commission_owed, operator, token)
        (units,) = await self._one(call, Bonds.commission_owed, at)
        return TokenUnits(units)

    async def insurance(self, at: At = "finalized") -> Wei:
        """What slashes took and no reporter got."""
        (amount,) = await self._one(self._bonds(Bonds.insurance), Bonds.insurance, at)
        return Wei(amount)
