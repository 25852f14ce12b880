"""What this node puts its key share to for vaults on EVM chains.

Every payee, amount and limit is held against this node's own database; the message is computed here.
"""

from __future__ import annotations

from collections.abc import Mapping

from adapters.evm.lockbox.types import RETURN, Payment
from bridge import vault_books, vault_policy
from bridge.codec import decode_deposit, decode_payout
from bridge.directory import EvmOrigin
from bridge.halts import check_not_halted
from bridge.intake.common import Context, failed_fact
from bridge.intake.releases import token_of
from bridge.messages import CancelProposal, ConfigureProposal, ReleaseProposal, amount_of
from bridge.payouts import WithdrawalStage
from bridge.refusals import MalformedProposal, NotPayable, NotYet, UnaskedPayment, WrongEpoch
from bridge.storage import Database, TransferKind, VaultAssetRow, View
from bridge.vault_requests import VaultRequest, numbers_of, payments_of
from mpc.ports import SigningItem
from registry.ids import deposit_id, lock_id


class VaultAuthorizer:
    """Checks what coordinators propose for vaults; this node's own proposals too."""

    def __init__(self, database: Database, context: Context, give_back_after_ms: Mapping[bytes, int]) -> None:
        """`give_back_after_ms`: for each chain that this node serves (id), how long a failed payment waits."""
        self._database = database
        self._context = context
        self._give_back_after_ms = give_back_after_ms

    async def authorize(self, group: bytes, kind: str, body: bytes) -> tuple[SigningItem, ...]:
        """The item to sign for a request.

        Raises:
            Refused: a subclass says why. NotYet, AssetHalted: later, perhaps. BadInput: it is malformed.
        """
        request = VaultRequest.decoded(kind, body)
        origin = self._context.directory.origins.get(request.chain)
        if origin is None or request.chain not in self._give_back_after_ms:
            raise NotYet("the vault's chain")
        if origin.vault.group != group:
            raise MalformedProposal("group", "does not hold this vault")
        async with self._database.view() as view:
            messages = await vault_books.messages(view, origin)
            if request.proposal.epoch != messages.epoch:
                raise WrongEpoch(request.proposal.epoch, messages.epoch)
            match request.proposal:
                case ReleaseProposal():
                    await self._check_release(view, origin, payments_of(request.proposal))
                case CancelProposal():
                    await self._check_cancel(view, origin, numbers_of(request.proposal))
                case ConfigureProposal():
                    await self._check_configure(view, origin, request.proposal)
        return (SigningItem(request.message(messages), ()),)

    async def _check_release(self, view: View, origin: EvmOrigin, payments: tuple[Payment, ...]) -> None:
        if len({payment.number for payment in payments}) != len(payments):
            raise MalformedProposal("payments", "a number is named twice")
        assets = set()
        for payment in payments:
            check = self._check_return if payment.number >= RETURN else self._check_withdrawal
            assets.add(await check(view, origin, payment))
        for asset in assets:
            await check_not_halted(view, asset, self._context.clock())
            (await vault_books.balance(view, self._context.directory, asset)).check()

    async def _check_withdrawal(self, view: View, origin: EvmOrigin, payment: Payment) -> bytes:
        withdrawal = await vault_books.withdrawal_by_id(view, self._context.withdrawal_id(payment.number))
        directory = self._context.directory
        if directory.chain_of(withdrawal.asset) != origin.chain.id:
            raise UnaskedPayment(payment.number, "its asset comes from another chain")
        if withdrawal.stage is WithdrawalStage.CANCELLED:
            raise NotPayable(withdrawal.withdrawal_id, withdrawal.stage)
        row = None if withdrawal.payout is None else await view.payouts.get(withdrawal.payout)
        if row is None:
            raise NotYet("the payout's reservation")
        token, policy = token_of(directory, withdrawal.asset), directory.policy_of(withdrawal.asset)
        vault_policy.check_payment(payment, withdrawal, decode_payout(row), token, policy)
        return withdrawal.asset

    async def _check_return(self, view: View, origin: EvmOrigin, payment: Payment) -> bytes:
        name = lock_id(origin.chain_number, origin.vault.lockbox, payment.number - RETURN)
        asset = origin.token_asset(payment.asset)
        row = await view.transfers.get(deposit_id(asset, name, 0))
        if row is None or row.kind is not TransferKind.DEPOSIT:
            raise NotYet("the deposit that is sent back")
        vault_policy.check_return(payment, decode_deposit(row))
        return asset

    async def _check_cancel(self, view: View, origin: EvmOrigin, numbers: tuple[int, ...]) -> None:
        chain = origin.chain.id
        if len(set(numbers)) != len(numbers):
            raise MalformedProposal("numbers", "one is named twice")
        if any(number >= RETURN for number in numbers):
            raise MalformedProposal("numbers", "a deposit that is sent back stays its sender's to claim")
        releases = await view.releases.get_many(chain, numbers)
        for number in numbers:
            withdrawal = await vault_books.withdrawal_by_id(view, self._context.withdrawal_id(number))
            if self._context.directory.chain_of(withdrawal.asset) != chain:
                raise MalformedProposal("numbers", "one is of another chain")
            policy = self._context.directory.policy_of(withdrawal.asset)
            failed_at = int(await view.node_meta.get(failed_fact(chain, number)) or self._context.clock())
            failed_ms = self._context.clock() - failed_at
            vault_policy.check_cancellation(
                withdrawal, releases.get(number), policy, self._give_back_after_ms[chain], failed_ms
            )

    async def _check_configure(self, view: View, origin: EvmOrigin, proposal: ConfigureProposal) -> None:
        asset = origin.token_asset(proposal.token)
        if asset not in self._context.directory.assets:
            raise NotYet("the asset that is configured")
        present = await view.vault_assets.get(origin.chain.id, proposal.token)
        limits = amount_of(proposal.deposit_limit), amount_of(proposal.withdrawal_limit), proposal.denied
        vault_policy.check_configuration(
            self._context.directory.policy_of(asset),
            present or VaultAssetRow(origin.chain.id, proposal.token),
            limits,
            proposal.nonce,
        )
