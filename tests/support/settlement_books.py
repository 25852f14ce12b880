"""Books, accounts, quotes and signed receipts for tests of them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Final

from foundation.database import CommitHook, Database, Schema
from foundation.quantities import UnixMs
from settlement.books.accounts import Account, AccountName
from settlement.books.journal import Entry, EntryId, Line
from settlement.books.postings import LedgerAccounts, ledger_accounts
from settlement.books.receipts import Receipt
from settlement.books.sealing import NarrativeKey
from settlement.books.tables import METADATA
from settlement.cosign.cosignatures import assemble
from settlement.cosign.keys import LocalSigner
from settlement.cosign.registry import KeyRegistry
from settlement.cosign.statements import Kind, Statement
from settlement.custody.terms import Leg, Quote, receipt_hash
from settlement.quantities import Asset, PartyId, Scale

EUR, CNY = Asset("EUR", Scale(2)), Asset("CNY", Scale(2))
EURO, YUAN = ledger_accounts("digital-euro", EUR), ledger_accounts("digital-yuan", CNY)
LEDGERS: Final[dict[str, LedgerAccounts]] = {"digital-euro": EURO, "digital-yuan": YUAN}
NOW: Final = UnixMs(1_795_000_000_000)
KEY: Final = NarrativeKey(bytes(range(32)))
A, B, C = PartyId("bank-a"), PartyId("bank-b"), PartyId("clearing")
SIGNERS: Final = {party: LocalSigner(party, hashlib.sha256(party.encode()).digest()) for party in (A, B, C)}
SCHEMA: Final = Schema((METADATA,))


def id_of(label: object) -> EntryId:
    """32 bytes by a label."""
    return EntryId(hashlib.sha256(repr(label).encode()).digest())


def account(name: str, asset: Asset = EUR) -> Account:
    return Account(AccountName(name), asset)


def entry(label: object, *changes: tuple[Account, int], narrative: str = "") -> Entry:
    """An entry of these lines."""
    return Entry(id_of(label), "test", tuple(Line(*change) for change in changes), narrative=narrative)


def quote(source: int = 1_001_00, target: int = 2_000_00, fee: int = 1_00, payment: object = 0) -> Quote:
    """Bank A pays bank B in yuan, out of euro."""
    return Quote(
        quote_id=id_of(("quote", payment)),
        payer=A,
        clearer=C,
        payee=B,
        source=Leg("digital-euro", "EUR", 2, A, C, source, NOW + 600_000),
        target=Leg("digital-yuan", "CNY", 2, C, B, target, NOW + 300_000),
        rate_num=2,
        rate_den=1,
        fee=fee,
        expires_at=NOW + 60_000,
    )


@cache
def registry() -> KeyRegistry:
    """The three parties' keys."""
    return KeyRegistry([signer.possession(UnixMs(NOW - 1_000)) for signer in SIGNERS.values()])


@cache
def receipt(label: object = 0, signers: tuple[PartyId, ...] = (A, B, C)) -> Receipt:
    """A receipt, signed."""
    payment, deal = id_of(("payment", label)), quote(payment=label)
    terms, agreement, preimage = (id_of((name, label)) for name in ("terms", "agreement", "preimage"))
    text = receipt_hash(payment, deal, terms, agreement, preimage)
    statement = Statement(Kind.RECEIPT, text, registry().circle(list(signers), UnixMs(deal.expires_at)))
    signature = assemble(statement, [SIGNERS[party].sign(statement) for party in signers])
    return Receipt(payment, deal, terms, agreement, preimage, signature)


@asynccontextmanager
async def books_database(folder: Path, hook: CommitHook | None = None, url: str = "") -> AsyncIterator[Database]:
    """A database for books."""
    async with await Database.open(url or f"sqlite:///{folder / 'books.db'}", SCHEMA, commit_hook=hook) as database:
        yield database
