"""Having the group sign a transaction, and telling everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from adapters.bitcoin.errors import MempoolRefused
from adapters.bitcoin.primitives import OutPoint, TxOut, hash_text
from adapters.bitcoin.transactions import UnsignedTx, check_signed, parse_transaction
from bridge.agents.office import Office
from bridge.agents.post import SIGNED_TRANSACTION, post
from bridge.authorizer import child_coin
from bridge.codec import decode, decode_payout, encode
from bridge.cosigner import NotOurGroup
from bridge.ledger import coins_of
from bridge.messages import PlainOutpoint, PlainOutput, SharedTransaction, TransactionProposal
from bridge.refusals import MalformedProposal, NotYet
from bridge.storage import BitcoinTransactionRow, CoinKind, JourneyEntry, TransactionPurpose, UnitOfWork, View
from foundation.errors import BadInput
from foundation.quantities import Satoshi
from mpc.transport import Received
from registry.ids import deposit_id, outpoint_id

_LOG: Final = structlog.get_logger(__name__)
_SIGN_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Plan:
    """A transaction that the group is to sign. `subject`: see `TransactionProposal`."""

    group: bytes
    purpose: TransactionPurpose
    subject: bytes
    transaction: UnsignedTx

    def proposal(self) -> TransactionProposal:
        """As it is proposed to the others."""
        t = self.transaction
        inputs = [PlainOutpoint(c.outpoint.txid, c.outpoint.vout) for c in t.inputs]
        return TransactionProposal(self.subject, inputs, [PlainOutput(o.value, o.script) for o in t.outputs])


class Signing:
    """The coordinator's part, and the answer to other coordinators' results."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def sign(self, plan: Plan) -> bytes:
        """Have the group sign, keep and post the result, broadcast it; its txid.

        Raises:
            SigningRefused, SigningTimeout, and what this node's own check refuses with.
        """
        proposal = plan.proposal()
        body = encode(proposal)
        signed = await self._office.cluster.sign_together(plan.group, plan.purpose, body, _SIGN_SECONDS)
        raw = plan.transaction.signed(signed.signatures)
        shared = SharedTransaction(plan.group, plan.purpose, proposal, raw, list(signed.signers))
        members = self._office.directory.storeman_peers(plan.group)
        others = [peer for peer in members if peer != self._office.identity.host_key]
        txid = plan.transaction.txid()
        async with self._office.database.unit() as uow:
            await self._keep(uow, shared, plan.transaction)
            await post(uow, SIGNED_TRANSACTION, txid.hex(), encode(shared), others, self._office.clock())
            await uow.commit()
        _LOG.info("signed", purpose=plan.purpose, txid=hash_text(txid), fee=plan.transaction.fee)
        self._office.changed.set()
        await self.broadcast(txid, raw)
        return txid

    async def on_transaction(self, received: Received) -> bytes:
        """Take a transaction that the group has signed: its signatures are checked against this node's own coins."""
        shared = decode(received.body, SharedTransaction, "transaction")
        if received.sender not in self._office.directory.storeman_peers(shared.group):
            raise NotOurGroup(shared.group)
        if shared.purpose not in set(TransactionPurpose):
            raise BadInput("transaction.purpose", f"{shared.purpose!r} is not known")
        async with self._office.database.view() as view:
            transaction = await self._rebuilt(view, shared)
            await self._check_name(view, shared, transaction)
        check_signed(transaction, shared.raw)
        async with self._office.database.unit() as uow:
            await self._keep(uow, shared, transaction)
            await uow.commit()
        self._office.changed.set()
        return b""

    async def _rebuilt(self, view: View, shared: SharedTransaction) -> UnsignedTx:
        """The transaction with the coins that this node knows; a child's coin is its parent's output."""
        proposal = shared.proposal
        outputs = tuple(_output(o) for o in proposal.outputs)
        if shared.purpose == TransactionPurpose.CPFP:
            parent = await view.bitcoin_transactions.get(proposal.subject)
            if parent is None:
                raise NotYet("the parent transaction")
            change = child_coin(parent.txid, parent_outputs(parent.raw), self._office.directory.vault(shared.group))
            if change is None:
                raise MalformedProposal("inputs", "are not the parent's output to the vault")
            return UnsignedTx((change,), outputs)
        return UnsignedTx(await coins_of(view, [OutPoint(i.txid, i.vout) for i in proposal.inputs]), outputs)

    async def _check_name(self, view: View, shared: SharedTransaction, transaction: UnsignedTx) -> None:
        """The transaction is what it is said to be: under a false name it would replace what another one does.

        Raises:
            MalformedProposal: it is something else. NotYet: this node does not know the payout yet.
        """
        subject, vault = shared.proposal.subject, self._office.directory.vault(shared.group)
        spent = [coin.outpoint for coin in transaction.inputs]
        asset, first = self._office.directory.asset, spent[0]
        coins = [await view.coins.get(o.txid, o.vout) for o in spent]
        deposits = all(coin is not None and coin.kind is CoinKind.DEPOSIT for coin in coins)
        home = all(output.script == vault for output in transaction.outputs)
        if shared.purpose == TransactionPurpose.PAYOUT:
            row = await view.payouts.get(subject)
            if row is None:
                raise NotYet("the payout's reservation")
            fits = decode_payout(row).anchor in spent
        elif shared.purpose == TransactionPurpose.SWEEP:
            fits = deposits and home and subject == outpoint_id(first.txid, first.vout)
        elif shared.purpose == TransactionPurpose.RETURN:
            fits = deposits and not home and subject == deposit_id(asset, first.txid, first.vout)
        else:
            fits = True  # a child was rebuilt from its parent
        if not fits:
            raise MalformedProposal("subject", f"is not what this {shared.purpose} is about")

    async def _keep(self, uow: UnitOfWork, shared: SharedTransaction, transaction: UnsignedTx) -> None:
        """Store a signed transaction, mark the versions that it replaces, and tell the transfers' journeys."""
        txid = transaction.txid()
        if await uow.bitcoin_transactions.get(txid) is not None:
            return
        purpose = TransactionPurpose(shared.purpose)
        subject = shared.proposal.subject
        for older in await uow.bitcoin_transactions.of_subject(purpose, subject):
            if older.height is None and older.fee < transaction.fee and older.replaced_by is None:
                await uow.bitcoin_transactions.replace(older.txid, txid)
        row = BitcoinTransactionRow(txid, purpose, subject, shared.raw, transaction.fee, transaction.vsize)
        spent = [(coin.outpoint.txid, coin.outpoint.vout) for coin in transaction.inputs]
        await uow.bitcoin_transactions.add(row, spent)
        await self._confirm(uow, txid, spent)
        names = ", ".join(self._names(shared.group, shared.signers))
        rate = transaction.fee * 1000 // transaction.vsize / 1000
        text = f"{purpose} signed by {names}, fee {transaction.fee} sat ({rate:.1f} sat/vB)"
        await self._note(uow, await self._transfers(uow, purpose, subject, transaction), text, txid)

    async def _confirm(self, uow: UnitOfWork, txid: bytes, spent: Sequence[tuple[bytes, int]]) -> None:
        """A transaction may be in a block before the post brings it here."""
        coin = await uow.coins.get(*spent[0])
        if coin is not None and coin.spent_by == txid and coin.spent_height is not None and coin.spent_block_hash:
            await uow.bitcoin_transactions.confirm([txid], coin.spent_height, coin.spent_block_hash)

    def _names(self, group: bytes, signers: Sequence[int]) -> list[str]:
        members = self._office.directory.storeman_peers(group)
        return [self._office.directory.name_of(members[i]) for i in sorted(signers) if i < len(members)]

    async def _transfers(
        self, view: View, purpose: TransactionPurpose, subject: bytes, transaction: UnsignedTx
    ) -> list[bytes]:
        """Whose journeys a transaction belongs to."""
        if purpose is TransactionPurpose.PAYOUT:
            return list(await view.payouts.withdrawals_of(subject))
        if purpose is TransactionPurpose.RETURN:
            return [subject]
        asset = self._office.directory.asset
        return [deposit_id(asset, c.outpoint.txid, c.outpoint.vout) for c in transaction.inputs]

    async def _note(self, uow: UnitOfWork, transfers: Sequence[bytes], text: str, txid: bytes) -> None:
        now = self._office.clock()
        rows = await uow.transfers.get_many(transfers)
        entries = [JourneyEntry(id_, now, row.stage, text, txid, "bitcoin") for id_, row in rows.items()]
        await uow.journey.append(*entries)

    async def broadcast(self, txid: bytes, raw: bytes) -> bool:
        """Give a transaction to the bitcoin node. Returns whether the node has it now.

        One whose fee is too low counts as given: it lingers from now on, and is bumped.

        Raises:
            NodeUnavailable: try again later.
        """
        taken = True
        try:
            await self._office.bitcoin.submit(raw)
        except MempoolRefused as error:
            taken = error.already_known
            if not taken:
                _LOG.info("not taken by the bitcoin node", txid=hash_text(txid), reason=str(error))
            if not taken and not error.fee_too_low:
                return False
        async with self._office.database.unit() as uow:
            await uow.bitcoin_transactions.broadcast([txid], self._office.clock())
            await uow.commit()
        return taken


def _output(plain: PlainOutput) -> TxOut:
    return TxOut(Satoshi(plain.value), plain.script)


def parent_outputs(raw: bytes) -> tuple[TxOut, ...]:
    """The outputs of one of our own transactions."""
    return parse_transaction(raw).outputs
