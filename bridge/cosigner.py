"""What a storeman co-signs with its account for the native contracts: reservations, returns, and a new group's key."""

from __future__ import annotations

from typing import Final

import structlog

from adapters.bitcoin.primitives import OutPoint
from adapters.native.chain import NativeChain
from adapters.native.eip712 import account_of_secret, sign_digest
from bridge import policy, vault_books
from bridge.codec import decode, decode_deposit, decode_payout, decode_withdrawal, encode
from bridge.coin_needs import check_needed
from bridge.deposits import REFUSAL_CODES
from bridge.halts import check_not_halted
from bridge.intake.common import Clock, Context
from bridge.intake.intake import Intake
from bridge.ledger import balance, vault_view
from bridge.messages import BarProposal, ConfirmKey, Cosign, Cosignature, Proposal, ReserveProposal, amount_of
from bridge.refusals import MalformedProposal, NotYet
from bridge.storage import Database, IncidentKind, SignatureRow, TransferKind, View
from foundation.errors import BadInput, CausewayError, Fatal
from foundation.quantities import Satoshi
from mpc.identity import Identity
from mpc.keystore import Keystore
from mpc.transport import Received
from registry.ids import outpoint_id, payout_id

_LOG: Final = structlog.get_logger(__name__)


class NotOurGroup(Fatal):
    """Who asks, or this node, is no member of the group. Fields: group."""

    def __init__(self, group: bytes) -> None:
        self.group = group
        super().__init__(f"not a member of group {group.hex()}")


class Cosigner:
    """Answers `bridge.cosign` and `bridge.confirm-key`; this node's own coordinator calls it directly."""

    def __init__(
        self,
        identity: Identity,
        keystore: Keystore,
        native: NativeChain,
        database: Database,
        context: Context,
        intake: Intake,
        clock: Clock,
    ) -> None:
        self._identity = identity
        self._keystore = keystore
        self._native = native
        self._database = database
        self._context = context
        self._intake = intake
        self._clock = clock

    async def on_cosign(self, received: Received) -> bytes:
        """Answer a coordinator."""
        proposal = decode(received.body, Cosign, "proposal").proposal
        return encode(Cosignature(await self.cosign(received.sender, proposal)))

    async def on_confirm_key(self, received: Received) -> bytes:
        """Answer who makes a new group's activation ready."""
        return encode(Cosignature(self.confirm_key(decode(received.body, ConfirmKey, "confirmation"))))

    def confirm_key(self, asked: ConfirmKey) -> bytes:
        """Sign that this node holds a proved share of the key.

        Raises:
            ShareNotHeld: it has none. MalformedProposal: of another key, or not proved yet.
        """
        share = self._keystore.share(asked.group, asked.epoch)
        if not share.ready or share.key.thresh_pk[-32:] != asked.key:
            raise MalformedProposal("key", "is not the key that this node has a share of")
        digest = self._native.registry_digests.group_key(asked.group, asked.epoch, asked.key)
        return sign_digest(self._identity.account_secret, digest)

    async def cosign(self, proposer: bytes, proposal: Proposal) -> bytes:
        """Check a proposal against what this node has seen, and sign it.

        Raises:
            Refused: a subclass says why; it is recorded with its proposer. NotYet: ask again later.
        """
        try:
            async with self._database.view() as view:
                match proposal:
                    case ReserveProposal():
                        digest, subject = await self._check_reservation(view, proposer, proposal)
                    case BarProposal():
                        digest, subject = await self._check_bar(view, proposer, proposal)
        except (Fatal, NotYet) as error:
            await self._refused(proposer, type(proposal).__name__, error)
            raise
        signature = sign_digest(self._identity.account_secret, digest)
        account = account_of_secret(self._identity.account_secret)
        async with self._database.unit() as uow:
            row = SignatureRow(digest, account, subject, type(proposal).__name__, signature, self._clock())
            await uow.cosignatures.add(row)
            await uow.commit()
        return signature

    async def _check_reservation(self, view: View, proposer: bytes, proposal: ReserveProposal) -> tuple[bytes, bytes]:
        self._check_member(proposal.group, proposer)
        chain = self._context.directory.groups[proposal.group].chain
        if proposal.group != self._context.directory.active_of(chain):
            raise MalformedProposal("group", "does not serve the chain")
        if chain in self._context.directory.origins:
            return await self._check_vault_reservation(view, chain, proposal)
        tip = self._intake.tip
        rows = await view.transfers.get_many(proposal.withdrawals)
        if tip is None or len(rows) != len(set(proposal.withdrawals)):
            raise NotYet("a withdrawal of the proposal")
        if any(row.kind is not TransferKind.WITHDRAWAL for row in rows.values()):
            raise MalformedProposal("withdrawals", "one is a deposit")
        withdrawals = [decode_withdrawal(rows[id_]) for id_ in proposal.withdrawals]
        if any(w.asset != self._context.directory.asset for w in withdrawals):
            raise MalformedProposal("withdrawals", "are of another asset")
        await check_not_halted(view, self._context.directory.asset, self._clock())
        live = None
        if withdrawals[0].payout is not None:
            row = await view.payouts.get(withdrawals[0].payout)
            live = None if row is None else decode_payout(row)
        inputs = [OutPoint(i.txid, i.vout) for i in proposal.inputs]
        script = self._context.directory.vault(proposal.group)
        limits = self._context.policy.limits
        held = await balance(view, () if live is None else live.inputs)
        vault = await vault_view(view, script, tip.height)
        policy.check_reservation(withdrawals, inputs, live, vault, limits, held)
        check_needed(withdrawals, inputs, live, vault)
        ids = [outpoint_id(o.txid, o.vout) for o in inputs]
        digest = self._native.hub_digests.payout_reservation(
            proposal.group, self._context.directory.asset, proposal.withdrawals, ids
        )
        subject = live.payout_id if live else payout_id(proposal.group, proposal.withdrawals, ids[0])
        return digest, subject

    async def _check_vault_reservation(
        self, view: View, chain: bytes, proposal: ReserveProposal
    ) -> tuple[bytes, bytes]:
        """On an EVM chain there are no coins to bind: the vault's contract pays each number once, whoever signs."""
        if proposal.inputs:
            raise MalformedProposal("inputs", "a vault's contract has no coins to bind")
        ids = proposal.withdrawals
        if not 1 <= len(set(ids)) == len(ids) <= self._context.policy.max_withdrawals:
            raise MalformedProposal("withdrawals", f"1 to {self._context.policy.max_withdrawals} different ones")
        withdrawals = [await vault_books.withdrawal_by_id(view, id_) for id_ in ids]
        asset = withdrawals[0].asset
        if any(withdrawal.asset != asset for withdrawal in withdrawals):
            raise MalformedProposal("withdrawals", "are of different assets")
        if self._context.directory.chain_of(asset) != chain:
            raise MalformedProposal("withdrawals", "are of another chain")
        policy.check_requested(withdrawals)
        if self._context.directory.policy_of(asset).denied:
            raise MalformedProposal("withdrawals", "their asset is denied: their owners can cancel them")
        await check_not_halted(view, asset, self._clock())
        (await vault_books.balance(view, self._context.directory, asset)).check()
        digest = self._native.hub_digests.payout_reservation(proposal.group, asset, ids, [])
        return digest, payout_id(proposal.group, ids, bytes(32))

    async def _check_bar(self, view: View, proposer: bytes, proposal: BarProposal) -> tuple[bytes, bytes]:
        row = await view.transfers.get(proposal.deposit)
        if row is None:
            raise NotYet("the deposit")
        if row.kind is not TransferKind.DEPOSIT:
            raise MalformedProposal("deposit", "is a withdrawal")
        deposit = decode_deposit(row)
        self._check_member(deposit.group, proposer)
        policy.check_return_bar(deposit, amount_of(proposal.amount))
        if deposit.refusal is None or REFUSAL_CODES[deposit.refusal] != proposal.reason:
            raise MalformedProposal("reason", f"here it is: {deposit.refusal}")
        d = deposit
        digest = self._native.hub_digests.deposit_return(
            d.asset, d.txid, d.vout, Satoshi(d.amount), d.group, proposal.reason
        )
        return digest, deposit.deposit_id

    def _check_member(self, group: bytes, proposer: bytes) -> None:
        members = self._context.directory.storeman_peers(group)
        if proposer not in members or self._identity.host_key not in members:
            raise NotOurGroup(group)

    async def _refused(self, proposer: bytes, what: str, error: CausewayError) -> None:
        """Log a refusal with its fields, and keep it for `node status`."""
        name = self._context.directory.name_of(proposer)
        fields = {key: v.hex() if isinstance(v, bytes) else str(v) for key, v in vars(error).items()}
        _LOG.warning("a proposal is refused", proposer=name, proposal=what, refusal=type(error).__name__, **fields)
        if isinstance(error, NotYet | BadInput):
            return
        async with self._database.unit() as uow:
            await uow.incidents.record(
                IncidentKind.REFUSAL,
                type(error).__name__,
                self._clock(),
                party=proposer,
                fields={"text": str(error), **fields},
            )
            await uow.commit()
