"""What transactions on bitcoin cost, entered into the books: without it they would differ from the ledger.

A hold's amount is its output's. Who makes a transaction bears its fee, which is known once a block has decided which of
its versions counts: so fees are posted when they are final, each once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from foundation.database import Database
from foundation.errors import Retryable
from foundation.quantities import Satoshi
from settlement.books.accounts import Account, AccountName, chart
from settlement.books.journal import Entry, EntryId, Line
from settlement.books.postings import LedgerAccounts
from settlement.books.sealing import NarrativeKey
from settlement.books.store import Books
from settlement.ledgers.bitcoin.ledger import BitcoinLedger
from settlement.ledgers.bitcoin.store import BitcoinLedgerStore
from settlement.ledgers.protocol import LedgerId
from settlement.quantities import Clock, PartyId, tagged_hash

EVERY_SECONDS: Final = 5.0
_BATCH: Final = 256
_log = structlog.get_logger(__name__)


class NetworkFees:
    """Posts one party's fees. Start `run` as a task, or call `post`."""

    def __init__(
        self,
        database: Database,
        party: PartyId,
        ledgers: Mapping[LedgerId, tuple[BitcoinLedger, LedgerAccounts]],
        key: NarrativeKey,
        clock: Clock,
    ) -> None:
        """`ledgers`: those on bitcoin, with the accounts that the books have for them; `key`: of narratives."""
        self._database = database
        self._party = party
        self._ledgers = dict(ledgers)
        self._key = key
        self._clock = clock

    async def run(self) -> None:
        """Post again and again, until cancelled."""
        while True:
            try:
                await self.post()
            except Retryable as problem:
                _log.warning("network fees were not posted", problem=str(problem))
            await asyncio.sleep(EVERY_SECONDS)

    async def post(self) -> None:
        """Post what is final and was not posted. Raises DatabaseUnavailable."""
        for name, (ledger, accounts) in self._ledgers.items():
            while await self._posted(name, ledger, accounts):
                continue

    async def _posted(self, name: LedgerId, ledger: BitcoinLedger, accounts: LedgerAccounts) -> bool:
        """Post one batch; whether there was one."""
        cost = network_fees_account(accounts)
        async with self._database.unit() as unit:
            store = BitcoinLedgerStore(unit.connection, name, ledger.script)
            found = await store.unposted_fees(_BATCH)
            if not found:
                return False
            entries = [_entry(name, key, paid, accounts, cost) for key, paid in found]
            known = chart(self._party, (accounts.nostro, cost))
            await Books(unit.connection, self._key).post_many(entries, self._clock(), known)
            await store.fees_posted([key for key, _ in found])
            await unit.commit()
        return True


def network_fees_account(accounts: LedgerAccounts) -> Account:
    """Where the books have what a ledger's transactions cost."""
    return Account(AccountName(accounts.fees_paid.name.replace("ClearingFees", "NetworkFees")), accounts.nostro.asset)


def _entry(name: LedgerId, key: str, paid: Satoshi, accounts: LedgerAccounts, cost: Account) -> Entry:
    number = EntryId(tagged_hash("gateway/network-fee", name.encode(), key.encode()))
    return Entry(number, "network_fee", (Line(cost, paid), Line(accounts.nostro, -paid)), narrative="network fee")
