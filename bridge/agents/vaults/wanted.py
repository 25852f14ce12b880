"""What a group is to sign for its vault, derived from what this node has stored: the same on every member."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from adapters.evm.lockbox.types import RETURN
from bridge import vault_books
from bridge.codec import decode_withdrawal
from bridge.deposits import Stage
from bridge.directory import EvmOrigin
from bridge.intake.common import Context, failed_fact
from bridge.intake.releases import token_of
from bridge.messages import CancelProposal, ConfigureProposal, ReleaseProposal
from bridge.payouts import Payout, PayoutStage, Withdrawal, WithdrawalStage
from bridge.storage import ReleaseOutcome, TransferKind, VaultAssetRow, View
from bridge.vault_requests import (
    VaultRequest,
    cancel_request,
    configure_request,
    numbers_of,
    payments_of,
    release_request,
)
from registry.assets import AssetPolicy


@dataclass(frozen=True, slots=True)
class Wanted:
    """Fields: request; subject (payout, deposit, withdrawal or asset id); transfers (whose journeys it is in); text."""

    request: VaultRequest
    subject: bytes
    transfers: tuple[bytes, ...] = ()
    text: str = ""


async def wanted_of(view: View, context: Context, origin: EvmOrigin, epoch: int, give_back_ms: int) -> list[Wanted]:
    """All that a vault waits for, oldest first. `give_back_ms`: how long a payment fails before it is given up."""
    return [
        *await _configurations(view, context, origin, epoch),
        *await _releases(view, context, origin, epoch),
        *await _returns(view, origin, epoch),
        *await _cancellations(view, context, origin, epoch, give_back_ms),
    ]


async def is_done(view: View, chain: bytes, kind: str, body: bytes) -> bool:
    """Whether a vault has done all that a request asks for, as far as this node has read."""
    match VaultRequest.decoded(kind, body).proposal:
        case ReleaseProposal() as release:
            numbers = [payment.number for payment in payments_of(release)]
            return len(await view.releases.get_many(chain, numbers)) == len(numbers)
        case CancelProposal() as cancel:
            found = await view.releases.get_many(chain, numbers_of(cancel))
            ended = [r for r in found.values() if r.outcome is not ReleaseOutcome.FAILED]
            return len(ended) == len(cancel.numbers)
        case ConfigureProposal() as configure:
            told = await view.vault_assets.get(chain, configure.token)
            return told is not None and told.nonce >= configure.nonce


async def _configurations(view: View, context: Context, origin: EvmOrigin, epoch: int) -> Iterable[Wanted]:
    chain, directory = origin.chain.id, context.directory
    told = {row.asset: row for row in await view.vault_assets.all(chain)}
    found = []
    for asset in directory.assets.values():
        if asset.chain != chain:
            continue
        token = token_of(directory, asset.id)
        row = told.get(token) or VaultAssetRow(chain, token)
        limits = vault_books.wanted_limits(asset.policy)
        if limits != (row.deposit_limit, row.withdrawal_limit, row.denied):
            request = configure_request(chain, epoch, token, limits, row.nonce + 1)
            found.append(Wanted(request, asset.id, (), "limits"))
    return found


async def _releases(view: View, context: Context, origin: EvmOrigin, epoch: int) -> Iterable[Wanted]:
    directory, found = context.directory, []
    for payout in await vault_books.live_payouts(view, origin.chain.id, PayoutStage.RESERVED):
        if directory.policy_of(payout.asset).denied:
            continue
        payments = await vault_books.release_of(view, directory, payout)
        request = release_request(origin.chain.id, epoch, payments)
        found.append(Wanted(request, payout.payout_id, payout.withdrawals, "release"))
    return found


async def _returns(view: View, origin: EvmOrigin, epoch: int) -> Iterable[Wanted]:
    found = []
    for deposit in await vault_books.locked(view, origin.chain.id, Stage.RETURNING):
        if deposit.spend is None and deposit.height is not None:
            request = release_request(origin.chain.id, epoch, vault_books.return_of(deposit))
            found.append(Wanted(request, deposit.deposit_id, (deposit.deposit_id,), "return"))
    return found


async def _cancellations(
    view: View, context: Context, origin: EvmOrigin, epoch: int, give_back_ms: int
) -> Iterable[Wanted]:
    """Payments that have failed for long; and those of denied assets, which nobody tries."""
    chain, directory, now = origin.chain.id, context.directory, context.clock()
    numbers: dict[int, bytes] = {}
    for release in await view.releases.by_outcome(chain, ReleaseOutcome.FAILED):
        if release.number >= RETURN:
            continue  # a deposit that was sent back stays its sender's to claim
        withdrawal = await _withdrawal(view, context, chain, release.number)
        since = int(await view.node_meta.get(failed_fact(chain, release.number)) or now)
        if withdrawal is not None and now - since >= give_back_ms:
            numbers[release.number] = withdrawal.withdrawal_id
    for payout in await vault_books.live_payouts(view, chain, PayoutStage.RESERVED):
        numbers.update(await _out_of_reach(view, chain, payout, directory.policy_of(payout.asset)))
    return [
        Wanted(cancel_request(chain, epoch, [number]), id_, (id_,), "cancellation") for number, id_ in numbers.items()
    ]


async def _withdrawal(view: View, context: Context, chain: bytes, number: int) -> Withdrawal | None:
    """The chain's withdrawal with this number while it may still be given back; the number may be another chain's."""
    row = await view.transfers.get(context.withdrawal_id(number))
    if row is None or row.kind is not TransferKind.WITHDRAWAL:
        return None
    withdrawal = decode_withdrawal(row)
    if context.directory.chain_of(withdrawal.asset) != chain:
        return None
    paying = {WithdrawalStage.RESERVED, WithdrawalStage.SETTLED}
    return withdrawal if withdrawal.stage in paying else None


async def _out_of_reach(view: View, chain: bytes, payout: Payout, policy: AssetPolicy) -> dict[int, bytes]:
    """The numbers of a payout that were not tried, and cannot be while things stand as they do."""
    found = await vault_books.withdrawals_of(view, payout)
    withdrawals = [withdrawal for withdrawal in found if vault_books.is_out_of_reach(withdrawal, policy)]
    consumed = await view.releases.get_many(chain, [withdrawal.number for withdrawal in withdrawals])
    return {w.number: w.withdrawal_id for w in withdrawals if w.number not in consumed}
