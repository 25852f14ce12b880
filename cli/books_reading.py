"""A gateway's books, as `causeway books` reads them: beside the gateway, each role its share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from cli.book_times import iso, now
from cli.books_gateway import gateway, gateway_secrets, gateway_unit, gateway_view
from foundation.database import View
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.books.alerts import AlertStore
from settlement.books.export import Period, balances_before, write_beancount, write_csv
from settlement.books.postings import LedgerAccounts, ledger_accounts
from settlement.books.reconciliation import (
    AccountStatement,
    Reconciliation,
    StatementLine,
    from_camt053,
    from_entries,
    reconcile,
    reversed_sides,
)
from settlement.books.roles import CLEARANCES, Level, Role, check_level
from settlement.books.sealing import NarrativeKey
from settlement.books.store import Books
from settlement.books.tree import equations
from settlement.books.verify import verify_batches, verify_journal, verify_receipts
from settlement.books.verify_acts import verify_acts
from settlement.books.views import PAGE_MAX, BooksView, ShownEntry
from settlement.connect.iso20022.camt053 import read_statement
from settlement.connect.iso20022.documents import DOCUMENT_BYTES_MAX
from settlement.cosign.registry import KeyRegistry
from settlement.gateway.cards import read_cards
from settlement.gateway.config import GatewayConfig
from settlement.gateway.keys import Directory
from settlement.quantities import Asset


@dataclass(frozen=True, slots=True)
class Opened:
    """A gateway's books and who looks at them. Fields: config; role; key (opens narratives)."""

    config: GatewayConfig
    role: Role
    key: NarrativeKey

    @classmethod
    def of(cls, config_file: Path, role: str, password_file: Path | None) -> Opened:
        """From a command line. Raises what `gateway` and `gateway_secrets` raise."""
        config = gateway(config_file)
        return cls(config, Role(role), NarrativeKey(gateway_secrets(config, password_file).books_key))

    def view(self, view: View) -> BooksView:
        """The books as the role sees them."""
        return BooksView(view.connection, self.config.party, self.role, self.key)

    @property
    def narratives(self) -> NarrativeKey | None:
        """The key for exports; None for a role that reads no narratives."""
        return self.key if CLEARANCES[self.role].level >= Level.FULL else None


async def balances(books: Opened, confirmed: bool) -> dict[str, Any]:
    """The tree of balances, and the balance sheet's equation for each asset."""
    async with gateway_view(books.config) as view:
        top = await books.view(view).balances(confirmed=confirmed)
    nodes = [
        {"name": node.name, "sums": [_money(asset, amount) for asset, amount in node.sums.items()]}
        for node in top.walk()
    ]
    sheet = [
        {
            "asset": each.asset.code,
            "scale": int(each.asset.scale),
            "assets": str(each.assets),
            "liabilities": str(each.liabilities),
            "equity": str(each.equity),
            "difference": str(each.difference),
        }
        for each in equations(top)
    ]
    return {"entity": books.config.party, "confirmed": confirmed, "nodes": nodes, "equations": sheet}


async def journal(books: Opened, after: int, limit: int) -> list[dict[str, Any]]:
    """Entries with numbers above `after`. Raises NotPermitted."""
    found: list[ShownEntry] = []
    async with gateway_view(books.config) as view:
        reader = books.view(view)
        while len(found) < limit and (page := await reader.entries(after, min(limit - len(found), PAGE_MAX))):
            found.extend(page)
            after = page[-1].number
    return [_entry(each) for each in found]


async def acts(books: Opened, number: int | None) -> list[dict[str, Any]]:
    """Who did what with entries. Raises NotPermitted."""
    async with gateway_view(books.config) as view:
        recorded = await books.view(view).acts(number)
    return [
        {
            "number": each.sequence,
            "entry": each.number,
            "at": iso(each.at),
            "action": each.act.action.value,
            "role": each.act.role.value,
            "by": each.act.actor,
            "why": each.act.why,
        }
        for each in recorded
    ]


@asynccontextmanager
async def exported(books: Opened, form: str, period: Period) -> AsyncIterator[AsyncIterator[str]]:
    """The period as text, piece by piece. Raises NotPermitted for a role that sees no entries."""
    check_level(books.role, Level.SEALED, "export entries")
    async with gateway_view(books.config) as view:
        if form == "csv":
            yield write_csv(view.connection, period, books.narratives)
        else:
            yield write_beancount(view.connection, books.config.party, period, books.narratives)


async def checked(config: GatewayConfig, key: NarrativeKey | None) -> dict[str, Any]:
    """The journal, the receipts and their batches checked from the beginning, and the alerts that stand.

    With the key, acts are replayed too: their words are sealed. Ledgers and chains are not asked: the running gateway
    does that each minute, and its alerts are here.
    """
    keys: KeyRegistry = Directory(read_cards(config.cards), now()).registry
    async with gateway_view(config) as view:
        journal_mark, faults = await verify_journal(view.connection, config.party)
        receipt_mark, broken = await verify_receipts(view.connection)
        _, _, wrong = await verify_batches(view.connection, config.party, keys)
        acts_wrong = () if key is None else await verify_acts(view.connection, key)
        alerts = await AlertStore(view.connection).standing()
    findings = [*faults, *broken, *wrong, *acts_wrong]
    return {
        "ok": not findings and not alerts,
        "entries": journal_mark.number,
        "journal": journal_mark.link.hex(),
        "receipts": receipt_mark.sequence,
        "chain": receipt_mark.link.hex(),
        "acts_checked": key is not None,
        "findings": [
            {"monitor": each.monitor.value, "subject": each.subject, "detail": each.detail} for each in findings
        ],
        "alerts": [
            {
                "number": each.id,
                "monitor": each.monitor.value,
                "subject": each.subject,
                "detail": each.detail,
                "state": each.state.value,
                "since": iso(each.opened_at),
                "by": each.acknowledged_by,
            }
            for each in alerts
        ],
    }


def narrative_key(config: GatewayConfig, password_file: Path | None) -> NarrativeKey | None:
    """What opens narratives and the words of acts; None where no password is given."""
    if password_file is None:
        return None
    return NarrativeKey(gateway_secrets(config, password_file).books_key)


async def acknowledge(config: GatewayConfig, alert: int, by: str) -> None:
    """Somebody looks at an alert. Raises UnknownAlert."""
    async with gateway_unit(config) as unit:
        await AlertStore(unit.connection).acknowledge(alert, by)
        await unit.commit()


async def reconciled(books: Opened, ledger: str, statement: Path, is_theirs: bool, days: int) -> Reconciliation:
    """Our books of one ledger against the other side's camt.053 of the same days.

    Raises:
        BadInput: it is no ledger of ours, or the file cannot be read.
        MalformedDocument: it is no valid statement.
        NotPermitted: the role sees no entries.
    """
    check_level(books.role, Level.SEALED, "compare entries with a statement")
    asset, accounts = ledger_of(books.config, ledger)
    message = read_statement(_read(statement), {asset.code: asset})
    theirs = reversed_sides(from_camt053(message)) if is_theirs else from_camt053(message)
    async with gateway_view(books.config) as view:
        ours = await _own_side(view, asset, accounts, message.from_time, message.to_time)
    return reconcile(ours, theirs, days)


async def _own_side(
    view: View, asset: Asset, accounts: LedgerAccounts, since: UnixMs, until: UnixMs
) -> AccountStatement:
    before = await balances_before(view.connection, since)
    group = f"{accounts.group}:"
    opening = sum(
        balance for account, balance in before.items() if account.asset == asset and account.name.startswith(group)
    )
    # A statement's end is its last moment; the journal is asked for what is before a moment.
    posted = [each async for each in Books(view.connection).journal(since=since, until=UnixMs(until + 1))]
    return from_entries(asset, accounts.group, opening, posted)


def ledger_of(config: GatewayConfig, name: str) -> tuple[Asset, LedgerAccounts]:
    """A ledger's asset, and the books' accounts for it. Raises `BadInput`."""
    for each in config.ledgers:
        if each.ledger_id == name:
            asset = each.asset
            return asset, ledger_accounts(name, asset)
    known = ", ".join(str(each.ledger_id) for each in config.ledgers)
    raise BadInput("--ledger", f"{name[:80]!r} is no ledger of this gateway", f"one of {known}")


def reconciliation_row(found: Reconciliation) -> dict[str, Any]:
    """What came out, as a document."""
    return {
        "ok": found.first_difference is None,
        "matched": len(found.matched),
        "first_difference": None if found.first_difference is None else found.first_difference.detail,
        "differences": [
            {"what": each.what.value, "ours": _line(each.ours), "theirs": _line(each.theirs), "detail": each.detail}
            for each in found.differences
        ],
    }


def period_of(first: str | None, last: str | None) -> Period:
    """Days such as `2026-11-01`; without the first the beginning of the year, without the last today.

    Raises:
        BadInput: one is no day, or they are the wrong way round.
    """
    today = datetime.now(UTC).date()
    end = _day(last, "--last", today)
    return Period(_day(first, "--first", end.replace(month=1, day=1)), end)


def _day(text: str | None, option: str, usual: date) -> date:
    try:
        return usual if text is None else date.fromisoformat(text)
    except ValueError:
        raise BadInput(option, f"{text[:40] if text else ''!r} is no day", "such as 2026-11-21") from None


def _entry(each: ShownEntry) -> dict[str, Any]:
    return {
        "number": each.number,
        "at": iso(each.at),
        "event": each.event,
        "payment_id": None if each.payment_id is None else each.payment_id.hex(),
        "reverses": each.reverses,
        "state": each.review.state.value,
        "lines": [{"account": line.account.name, **_money(line.account.asset, line.change)} for line in each.lines],
        **({} if each.narrative is None else {"narrative": each.narrative}),
    }


def _money(asset: Asset, amount: int) -> dict[str, Any]:
    return {"asset": asset.code, "scale": int(asset.scale), "amount": str(amount)}


def _line(line: StatementLine | None) -> dict[str, Any] | None:
    return None if line is None else {"label": line.label, "amount": str(line.change), "on": line.on.isoformat()}


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(DOCUMENT_BYTES_MAX + 1)
    except OSError as error:
        raise BadInput("--statement", f"{path} cannot be read", "the path of a camt.053") from error
