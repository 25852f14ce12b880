"""What this node puts its key share to: `mpc.ports.Authorizer`, by the signing policy and what this node has seen.

A request names a transaction's structure. Every amount and script behind its inputs comes from this node's own
database, never from the request, and the digests are computed here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final

import structlog

from adapters.bitcoin.primitives import Coin, OutPoint, TxOut
from adapters.bitcoin.scripts import deposit_script, return_script
from adapters.bitcoin.taproot import tap_tweak
from adapters.bitcoin.transactions import UnsignedTx, parse_transaction
from bridge import policy
from bridge.codec import decode, decode_deposit, decode_payout
from bridge.halts import check_not_halted
from bridge.intake.common import Context
from bridge.intake.intake import Intake
from bridge.ledger import coins_of, deposits_of, withdrawals_of
from bridge.messages import TransactionProposal
from bridge.payouts import Payout
from bridge.promised_fees import funds, promise_fee
from bridge.refusals import InputNotOurs, MalformedProposal, NotYet
from bridge.storage import Database, TransactionPurpose, TransferKind, View
from bridge.sweep_claims import SweepClaims
from bridge.vault_authorizer import VaultAuthorizer
from bridge.vault_requests import VAULT_KINDS
from foundation.errors import BadInput, CausewayError
from foundation.quantities import BlockHeight, Satoshi
from mpc.ports import SigningItem, Tweak
from registry.ids import deposit_id, outpoint_id

_LOG: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Checked:
    """A proposal that this node would sign. `items`: one an input."""

    transaction: UnsignedTx
    items: tuple[SigningItem, ...]


class StoremanAuthorizer:
    """Checks what coordinators propose; this node's own proposals too."""

    def __init__(self, database: Database, context: Context, intake: Intake, vaults: VaultAuthorizer) -> None:
        """`vaults`: who checks what is proposed for vaults on EVM chains."""
        self._database = database
        self._context = context
        self._intake = intake
        self._vaults = vaults
        self._claims = SweepClaims()
        self._one_at_a_time = asyncio.Lock()

    async def authorize(self, proposer: bytes, group: bytes, kind: str, body: bytes) -> tuple[SigningItem, ...]:
        """The items to sign for a proposal; `kind` is its purpose.

        `body`: a `TransactionProposal`; a `VaultRequest`'s where the kind is one of `VAULT_KINDS`.

        Raises:
            Refused: a subclass says why. NotYet: this node has not seen what the proposal rests on.
            BadInput: it is malformed.
        """
        try:
            if kind in VAULT_KINDS:
                return await self._vaults.authorize(group, kind, body)
            checked = await self._check(proposer, group, kind, body)
        except CausewayError as error:
            name = self._context.directory.name_of(proposer)
            fields = {key: v.hex() if isinstance(v, bytes) else str(v) for key, v in vars(error).items()}
            _LOG.warning(
                "a proposal is refused",
                proposer=name,
                purpose=kind,
                refusal=type(error).__name__,
                why=str(error),
                **{f"refusal_{key}": value for key, value in fields.items()},
            )
            raise
        return checked.items

    async def _check(self, proposer: bytes, group: bytes, kind: str, body: bytes) -> Checked:
        proposal = decode(body, TransactionProposal, "proposal")
        if kind not in set(TransactionPurpose):
            raise BadInput("kind", f"{kind!r} is nothing that is signed", ", ".join(TransactionPurpose))
        purpose = TransactionPurpose(kind)
        key = self._context.directory.key(group)
        tip = self._intake.tip
        if tip is None:
            raise NotYet("the bitcoin chain")
        now = self._context.clock()
        if purpose is TransactionPurpose.PAYOUT:
            async with self._database.view() as view:
                checked = await self._check_payout(view, group, key, proposal)
            self._claims.hold(checked.transaction, now, proposer)
            return checked
        if purpose is TransactionPurpose.RETURN:
            async with self._database.view() as view:
                checked = await self._check_return(view, group, key, proposal)
                await self._claims.claim(view, checked.transaction, now, proposer)
            return checked
        # The vault's surplus pays for these: one is written down before the next is looked at.
        async with self._one_at_a_time, self._database.unit() as uow:
            if purpose is TransactionPurpose.SWEEP:
                checked = await self._check_sweep(uow, group, key, proposal, tip.height)
                await self._claims.claim(uow, checked.transaction, now, proposer)
            else:
                checked = await self._check_child(uow, group, key, proposal)
            await promise_fee(uow, [coin.outpoint for coin in checked.transaction.inputs], checked.transaction.fee)
            await uow.commit()
        return checked

    async def _check_payout(self, view: View, group: bytes, key: bytes, proposal: TransactionProposal) -> Checked:
        row = await view.payouts.get(proposal.subject)
        if row is None:
            raise NotYet("the payout's reservation")
        payout = decode_payout(row)
        if payout.group != group:
            raise MalformedProposal("group", "did not reserve this payout")
        await check_not_halted(view, payout.asset, self._context.clock())
        transaction = await _transaction(view, proposal)
        await self._payout_rules(view, transaction, payout, await self._signed_before(view, transaction, payout))
        return Checked(transaction, _vault_items(transaction, key))

    async def _signed_before(self, view: View, transaction: UnsignedTx, payout: Payout) -> Satoshi | None:
        """The highest fee of a version with these coins that the group has signed, or is signing now.

        What was proposed and never signed counts for a short time only: a dishonest coordinator could otherwise name
        a fee that nobody asks for, and no other would be signed for ever.
        """
        held = self._claims.fee_held(transaction, self._context.clock())
        fees = [] if held is None else [held]
        coins = [coin.outpoint for coin in transaction.inputs]
        for row in await view.bitcoin_transactions.of_subject(TransactionPurpose.PAYOUT, payout.payout_id):
            if [OutPoint(*spent) for spent in await view.bitcoin_transactions.inputs(row.txid)] == coins:
                fees.append(row.fee)
        return max(fees, default=None)

    async def _payout_rules(
        self, view: View, transaction: UnsignedTx, payout: Payout, signed_before: Satoshi | None
    ) -> None:
        policy.check_payout(
            transaction,
            payout,
            await withdrawals_of(view, payout),
            self._context.directory.vault(payout.group),
            self._context.policy.limits,
            await funds(view, payout.inputs),
            signed_before,
        )

    async def _check_sweep(
        self, view: View, group: bytes, key: bytes, proposal: TransactionProposal, tip: BlockHeight
    ) -> Checked:
        transaction = await _transaction(view, proposal)
        outpoints = [coin.outpoint for coin in transaction.inputs]
        if proposal.subject != outpoint_id(outpoints[0].txid, outpoints[0].vout):
            raise MalformedProposal("subject", "is not the first input")
        asset = self._context.directory.asset
        deposits = await deposits_of(view, [deposit_id(asset, o.txid, o.vout) for o in outpoints])
        for outpoint, deposit in deposits.items():
            if deposit.group != group:
                raise InputNotOurs(outpoint, "is another group's deposit")
        vault = self._context.directory.vault(group)
        limits = self._context.policy.limits
        policy.check_sweep(transaction, deposits, vault, limits, tip, await funds(view, outpoints))
        return Checked(transaction, await self._deposit_items(view, transaction, key))

    async def _check_return(self, view: View, group: bytes, key: bytes, proposal: TransactionProposal) -> Checked:
        row = await view.transfers.get(proposal.subject)
        if row is None:
            raise NotYet("the deposit")
        if row.kind is not TransferKind.DEPOSIT:
            raise MalformedProposal("subject", "is no deposit")
        deposit = decode_deposit(row)
        terms = await view.deposit_terms.by_script(deposit.script)
        if deposit.group != group or terms is None:
            raise MalformedProposal("subject", "is no deposit of this group")
        transaction = await _transaction(view, proposal)
        policy.check_return(transaction, deposit, return_script(terms.reclaim_key), self._context.policy.limits)
        return Checked(transaction, await self._deposit_items(view, transaction, key))

    async def _check_child(self, view: View, group: bytes, key: bytes, proposal: TransactionProposal) -> Checked:
        row = await view.bitcoin_transactions.get(proposal.subject)
        if row is None:
            raise NotYet("the parent transaction")
        if row.purpose not in {TransactionPurpose.PAYOUT, TransactionPurpose.SWEEP}:
            raise MalformedProposal("subject", f"is a {row.purpose}: only payouts and sweeps have children")
        parsed = parse_transaction(row.raw)
        parent = UnsignedTx(await coins_of(view, parsed.inputs), parsed.outputs)
        vault = self._context.directory.vault(group)
        change = child_coin(row.txid, parsed.outputs, vault)
        if change is None or [plain_outpoint(i.txid, i.vout) for i in proposal.inputs] != [change.outpoint]:
            raise MalformedProposal("inputs", "are not the parent's output to the vault")
        in_chain = await view.coins.get(change.outpoint.txid, change.outpoint.vout)
        if in_chain is not None:  # it may be bound to a payout by now, which would lose its anchor
            change = replace(change, height=in_chain.height)
        transaction = UnsignedTx((change,), _outputs(proposal))
        limits = self._context.policy.limits
        held = await funds(view, [change.outpoint])
        policy.check_child(transaction, change, parent, vault, limits, held)
        return Checked(transaction, _vault_items(transaction, key))

    async def _deposit_items(self, view: View, transaction: UnsignedTx, key: bytes) -> tuple[SigningItem, ...]:
        rows = await view.deposit_terms.by_scripts({coin.script for coin in transaction.inputs})
        roots = {script: deposit_script(self._context.deposit_terms(row)).merkle_root for script, row in rows.items()}
        tweaks = [tap_tweak(key, roots[coin.script]) for coin in transaction.inputs]
        return _items(transaction, tweaks)


def child_coin(txid: bytes, outputs: tuple[TxOut, ...], vault: bytes) -> Coin | None:
    """The output to the vault of an unconfirmed transaction, which a child may spend."""
    for vout, output in enumerate(outputs):
        if output.script == vault:
            return Coin(OutPoint(txid, vout), output.value, output.script)
    return None


def plain_outpoint(txid: bytes, vout: int) -> OutPoint:
    """An outpoint of a message."""
    return OutPoint(txid, vout)


def _outputs(proposal: TransactionProposal) -> tuple[TxOut, ...]:
    return tuple(TxOut(Satoshi(output.value), output.script) for output in proposal.outputs)


async def _transaction(view: View, proposal: TransactionProposal) -> UnsignedTx:
    """The proposed transaction, with the coins that this node knows. Raises `Refused`, `BadInput`."""
    coins = await coins_of(view, [OutPoint(i.txid, i.vout) for i in proposal.inputs])
    return UnsignedTx(coins, _outputs(proposal))


def _vault_items(transaction: UnsignedTx, key: bytes) -> tuple[SigningItem, ...]:
    return _items(transaction, [tap_tweak(key)] * len(transaction.inputs))


def _items(transaction: UnsignedTx, tweaks: list[bytes]) -> tuple[SigningItem, ...]:
    return tuple(
        SigningItem(sighash, (Tweak(tweak, xonly=True),))
        for sighash, tweak in zip(transaction.sighashes(), tweaks, strict=True)
    )
