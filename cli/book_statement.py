"""An account's statement, all its pages in one, as a table, as JSON and as ISO 20022's camt.053."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.book_access import Reached, holding, operating
from cli.book_times import iso, now, shown
from foundation.files import write_durably
from foundation.quantities import UnixMs
from settlement.connect.iso20022.camt053 import Entry, write_statement
from settlement.connect.iso20022.camt053 import Statement as Message
from settlement.connect.iso20022.parties import account_from
from settlement.ledgers.book.statement import Booking
from settlement.quantities import Asset

_REFERENCE_MAX = 35


@dataclass(frozen=True, slots=True)
class WholeStatement:
    """All bookings of a period. Fields: asset; opening, closing (base units); since, until."""

    account: str
    asset: Asset
    since: UnixMs
    until: UnixMs
    opening: int
    closing: int
    bookings: tuple[Booking, ...]

    def text(self, units: int) -> str:
        """An amount in decimals, with the asset."""
        return f"{self.asset.text(units)} {self.asset.code}"

    def document(self) -> dict[str, Any]:
        """For --json; amounts are text, in base units."""
        return {
            "account": self.account,
            "asset": self.asset.code,
            "scale": int(self.asset.scale),
            "opening": str(self.opening),
            "closing": str(self.closing),
            "lines": [
                {
                    "number": each.number,
                    "at": iso(each.at),
                    "kind": str(each.kind),
                    "transfer_id": each.transfer_id.hex(),
                    "counterparty": str(each.counterparty),
                    "amount": str(each.amount),
                    "after": str(each.after),
                }
                for each in self.bookings
            ],
        }


async def read_statement(book: Reached, account: str, since: UnixMs, until: UnixMs) -> WholeStatement:
    """All pages of a statement. Raises as `translated`."""
    async with operating(book) as operator:
        asset = (await operator.account(account)).asset
    found: list[Booking] = []
    async with holding(book, account, asset) as client:
        page = first = await client.statement(since, until)
        found.extend(page.bookings)
        while page.next_after is not None:
            page = await client.statement(since, until, page.next_after)
            found.extend(page.bookings)
    return WholeStatement(account, asset, since, until, first.opening, page.closing, tuple(found))


def statement_rows(statement: WholeStatement) -> Iterator[tuple[Any, ...]]:
    """The bookings as lines of a table."""
    text = statement.asset.text
    for each in statement.bookings:
        yield (
            shown(each.at),
            each.number,
            text(each.amount),
            text(each.after),
            each.counterparty,
            each.transfer_id.hex(),
        )


def as_camt053(statement: WholeStatement, path: Path) -> None:
    """Write the statement as a message, valid against its schema.

    The end-to-end id is the beginning of the transfer's id, as many hex digits as the message takes.

    Raises:
        MalformedDocument: the asset is no ISO 4217 currency, or the account's name is too long for the message.
    """
    at = now()
    entries = tuple(
        Entry(
            reference=str(each.number),
            change=each.amount,
            booked_on=datetime.fromtimestamp(each.at // 1000, UTC).date(),
            end_to_end_id=each.transfer_id.hex()[:_REFERENCE_MAX],
            information=str(each.counterparty),
        )
        for each in statement.bookings
    )
    message = Message(
        message_id=f"{statement.account[:20]}-{at}",
        statement_id=f"{statement.account[:20]}-{statement.bookings[-1].number if statement.bookings else 0}",
        created_at=at,
        from_time=statement.since or (statement.bookings[0].at if statement.bookings else at),
        to_time=UnixMs(min(statement.until, at)),
        account=account_from(statement.account),
        asset=statement.asset,
        opening=statement.opening,
        closing=statement.closing,
        entries=entries,
    )
    write_durably(path, write_statement(message), 0o644)
