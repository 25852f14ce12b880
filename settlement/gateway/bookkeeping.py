"""The party's books behind the office: custody's events become entries, and closed payments receipts.

What a transaction posts is gathered and written at its end in a few statements, however many payments it moves.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.books.journal import Entry
from settlement.books.postings import LedgerAccounts, chart_of, entry_for, ledger_accounts
from settlement.books.receipt_store import ReceiptStore
from settlement.books.receipts import Receipt
from settlement.books.sealing import NarrativeKey
from settlement.books.store import Books
from settlement.cosign.cosignatures import CoSignature
from settlement.custody import clearer, payee, payer
from settlement.custody.packet import SharedSecret, preimage_of
from settlement.custody.states import State, role_of
from settlement.custody.terms import PaymentId, Quote, terms_hash
from settlement.quantities import Asset, PartyId


class GatewayBooks:
    """Implements the office's `Ledgers`. Call `flush` before the commit, and `forget` where it did not take effect."""

    def __init__(self, party: PartyId, ledgers: Mapping[str, Asset], key: bytes) -> None:
        """Describe the books; accounts are opened with their first line.

        Args:
            party: whose books they are.
            ledgers: those on which it has an account, by name.
            key: 32 secret bytes, from which the one that seals narratives is derived.

        Raises:
            BadInput: two ledgers' names give the same accounts, or the key has another length.
        """
        self.accounts: dict[str, LedgerAccounts] = {
            str(name): ledger_accounts(name, asset) for name, asset in ledgers.items()
        }
        self.chart = chart_of(party, self.accounts)
        self.key = NarrativeKey(key)
        self._entries: list[Entry] = []
        self._receipts: list[Receipt] = []

    async def post(
        self, connection: AsyncConnection, payment: PaymentId, state: State, event: str, now: UnixMs
    ) -> None:
        """Take note of what an event of a payment is to this party's accounts; `flush` writes it.

        Raises:
            BadInput: the payment is on a ledger that the books do not know.
        """
        self._entries.append(entry_for(role_of(state), event, payment, _quote_of(state), self.accounts))

    async def close(
        self, connection: AsyncConnection, payment: PaymentId, state: State, signature: CoSignature, now: UnixMs
    ) -> None:
        """Take note of a receipt, signed by all three; `flush` writes it."""
        self._receipts.append(receipt_for(payment, state, signature))

    async def flush(self, connection: AsyncConnection, now: UnixMs) -> None:
        """Write what this transaction has gathered: nine statements, and one when accounts are opened.

        Raises:
            EntryConflict, AccountConflict, ReceiptConflict: the books contradict what was posted before.
        """
        entries, self._entries = self._entries, []
        receipts, self._receipts = self._receipts, []
        await Books(connection, self.key).post_many(entries, now, self.chart)
        await ReceiptStore(connection).keep_many(receipts, now)

    def forget(self) -> None:
        """The transaction did not take effect."""
        self._entries.clear()
        self._receipts.clear()


def receipt_for(payment: PaymentId, state: State, signature: CoSignature) -> Receipt:
    """The receipt of a payment that has just been closed: the same at all three parties.

    Raises:
        BadInput: it is not closed.
    """
    match state:
        case payer.Closed(deal=deal, preimage=preimage):
            terms, agreement = terms_hash(deal.terms), deal.agreement
        case clearer.Closed(taken=taken, preimage=preimage):
            terms, agreement = taken.terms, taken.agreement
        case payee.Closed(deal=deal_of_payee):
            terms, agreement = terms_hash(deal_of_payee.terms), deal_of_payee.agreement
            preimage = preimage_of(SharedSecret(state.invitation.secret), payment, agreement)
        case _:
            raise BadInput("state", "the payment is not closed", "")
    return Receipt(payment, _quote_of(state), terms, agreement, preimage, signature)


def _quote_of(state: State) -> Quote:
    """The quote of a payment that has come so far that money has moved."""
    if isinstance(state, clearer.State):
        return state.offer.quote
    deal: payer.Deal | payee.Deal | None = getattr(state, "deal", None)
    if deal is None:
        raise BadInput("state", "no money has moved yet", "")
    return deal.terms.quote
