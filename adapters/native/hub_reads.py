"""What the Hub says: deposits, withdrawals, payouts, halts, pending fees; and its mapping tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from adapters.evm.abi import Function
from adapters.evm.types import Call
from adapters.native.bindings import Hub, Token
from adapters.native.reads import NOBODY, NOTHING, At, ContractReads, checked
from adapters.native.types import (
    DepositStatus,
    PayoutRecord,
    PayoutStatus,
    TokenInfo,
    WithdrawalRecord,
    WithdrawalStatus,
)
from foundation.quantities import TokenUnits
from registry.ids import fees_key

_STATUSES_AT_ONCE: Final = 256
"""The length of the Hub's list in `deposit_statuses`."""


class HubReads(ContractReads):
    """Typed reads of the Hub and of mapping tokens."""

    async def deposit_status(self, deposit: bytes, at: At = "finalized") -> DepositStatus:
        """What became of one deposit."""
        return (await self.deposit_statuses([deposit], at))[0]

    async def deposit_statuses(self, deposits: Sequence[bytes], at: At = "finalized") -> list[DepositStatus]:
        """What became of deposits, in their order."""
        parts = [deposits[i : i + _STATUSES_AT_ONCE] for i in range(0, len(deposits), _STATUSES_AT_ONCE)]
        calls = [self._hub(Hub.deposit_statuses, tuple(part)) for part in parts]
        answers = await self._all(calls, Hub.deposit_statuses, at)
        found = [status for (statuses,) in answers for status in statuses]
        return checked(Hub.deposit_statuses, lambda: [DepositStatus(status) for status in found])

    async def withdrawal(self, withdrawal: bytes, at: At = "finalized") -> WithdrawalRecord | None:
        """One withdrawal, None where it is unknown."""
        return (await self.withdrawals([withdrawal], at))[0]

    async def withdrawals(self, withdrawals: Sequence[bytes], at: At = "finalized") -> list[WithdrawalRecord | None]:
        """Withdrawals, in their order; None for those that are unknown."""
        calls = [self._hub(Hub.withdrawal, withdrawal) for withdrawal in withdrawals]
        answers = await self._all(calls, Hub.withdrawal, at)
        return [_withdrawal(found, *answer) for found, (answer,) in zip(withdrawals, answers, strict=True)]

    async def payout(self, payout: bytes, at: At = "finalized") -> PayoutRecord | None:
        """A payout, None where it is unknown."""
        (found,) = await self._one(self._hub(Hub.payout, payout), Hub.payout, at)
        group, asset, anchor, version, status, withdrawals, inputs, signers = found
        if status == PayoutStatus.UNKNOWN:
            return None
        return checked(
            Hub.payout,
            lambda: PayoutRecord(
                payout, group, asset, anchor, version, PayoutStatus(status), withdrawals, inputs, signers
            ),
        )

    async def reserved_by(self, outpoints: Sequence[bytes], at: At = "finalized") -> list[bytes | None]:
        """The payout that reserves or bars each outpoint id, None for the free ones."""
        calls = [self._hub(Hub.reserved_by, outpoint) for outpoint in outpoints]
        answers = await self._all(calls, Hub.reserved_by, at)
        return [None if payout == NOTHING else payout for (payout,) in answers]

    async def supply(self, asset: bytes, at: At = "finalized") -> TokenUnits:
        """All mapping tokens of an asset, the locked ones included."""
        (units,) = await self._one(self._hub(Hub.supply, asset), Hub.supply, at)
        return TokenUnits(units)

    async def token_of(self, asset: bytes, at: At = "finalized") -> bytes | None:
        """The mapping token's address, None before the asset's first mint."""
        (token,) = await self._one(self._hub(Hub.token_of, asset), Hub.token_of, at)
        return None if token == NOBODY else token

    async def token_balance(self, token: bytes, account: bytes, at: At = "latest") -> TokenUnits:
        """How many units of a mapping token an account has."""
        (units,) = await self._one(_token(token, Token.balance_of, account), Token.balance_of, at)
        return TokenUnits(units)

    async def token_allowance(self, token: bytes, owner: bytes, at: At = "latest") -> TokenUnits:
        """How many units the Hub may take of an account's."""
        call = _token(token, Token.allowance, owner, self.deployment.hub)
        (units,) = await self._one(call, Token.allowance, at)
        return TokenUnits(units)

    async def token_nonce(self, token: bytes, owner: bytes, at: At = "latest") -> int:
        """The nonce of an account's next permit."""
        (nonce,) = await self._one(_token(token, Token.nonces, owner), Token.nonces, at)
        return int(nonce)

    async def token_info(self, token: bytes, at: At = "finalized") -> TokenInfo:
        """A mapping token's name, symbol and decimals. Raises `BadAnswer` where no token is."""
        functions = (Token.token_name, Token.token_symbol, Token.decimals)
        answers = await self._read([_token(token, function) for function in functions], functions, at)
        (name,), (symbol,), (decimals,) = answers
        return TokenInfo(token, name, symbol, decimals)

    async def asset_of(self, token: bytes, at: At = "finalized") -> bytes | None:
        """The asset of a mapping token, None for any other address."""
        (asset,) = await self._one(self._hub(Hub.asset_of, token), Hub.asset_of, at)
        return None if asset == NOTHING else asset

    async def halted_until(self, asset: bytes, at: At = "finalized") -> int:
        """Until when vouchers stopped an asset (32 zero bytes: all), in seconds since 1970; 0 where they never did."""
        (until,) = await self._one(self._hub(Hub.halted_until, asset), Hub.halted_until, at)
        return int(until)

    async def pending_fees(self, asset: bytes, group: bytes | None, signers: int, at: At = "finalized") -> TokenUnits:
        """Service fees that wait for `Hub.distribute`. `group` None: those of the vouchers in the bitmap `signers`."""
        call = self._hub(Hub.pending_fees, asset, fees_key(NOTHING if group is None else group, signers))
        (units,) = await self._one(call, Hub.pending_fees, at)
        return TokenUnits(units)

    async def pending_total(self, asset: bytes, at: At = "finalized") -> TokenUnits:
        """All service fees of an asset that wait: what the reserves have to cover besides the supply."""
        (units,) = await self._one(self._hub(Hub.pending_total, asset), Hub.pending_total, at)
        return TokenUnits(units)


def _token(token: bytes, function: Function, *arguments: Any) -> Call:
    return Call(token, function.encode(*arguments), function.label)


def _withdrawal(withdrawal: bytes, *fields: Any) -> WithdrawalRecord | None:
    asset, owner, amount, max_fee, destination, status, payout, number, fee = fields
    if status == WithdrawalStatus.UNKNOWN:
        return None
    plain = (withdrawal, asset, owner, amount, max_fee, destination)
    in_payout = None if payout == NOTHING else payout
    return checked(Hub.withdrawal, lambda: WithdrawalRecord(*plain, WithdrawalStatus(status), in_payout, number, fee))
