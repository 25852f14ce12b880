"""The database of a bank's channels, or of a book's adjudicator: the channels, and the transactions of the account."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from foundation.database import Schema
from settlement.channels import tables
from settlement.ledgers.evm import tables as ledger_tables

SCHEMA: Final = Schema((tables.METADATA, ledger_tables.METADATA), Path(__file__).parent / "migrations")
