"""How commands reach a book: over its REST interface with an API key, or in its database, beside the service."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from cli.context import read_text
from cli.exits import NotFound
from foundation.errors import BadInput, Fatal

if TYPE_CHECKING:
    from foundation.database import View
    from settlement.ledgers.book.client import BookClient
    from settlement.ledgers.book.config import BookConfig
    from settlement.ledgers.book.operator import BookOperator
    from settlement.ledgers.protocol import AccountView
    from settlement.quantities import Asset

UrlOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--url", envvar="CAUSEWAY_BOOK_URL", metavar="URL", help="Where the book is.", show_default=False),
]
KeyFileOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        envvar="CAUSEWAY_BOOK_KEY_FILE",
        metavar="FILE",
        help="Holds the API key of an operator, or of the account's holder.",
        show_default=False,
    ),
]
CertificateOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        envvar="CAUSEWAY_BOOK_CERTIFICATE",
        metavar="FILE",
        help="PEM file to trust instead of what the system trusts.",
        show_default=False,
    ),
]

_NAME: Final = "book"
"""A book's own name is known after it has answered; until then errors speak of the book."""
_REFUSED: Final = re.compile(r"refused \((\d{3})\): (.*)", re.DOTALL)


class BookRefused(Fatal):
    """The book refuses what a command asks. Fields: reason; detail; cure."""

    def __init__(self, reason: str, detail: str, cure: str = "") -> None:
        self.reason = reason
        self.detail = detail
        self.cure = cure
        super().__init__(f"the book refuses ({reason}): {detail}")


@dataclass(frozen=True, slots=True)
class Reached:
    """A book's address and the key to it. Fields: url; api_key (secret); certificate (path, empty: the system's)."""

    url: str
    api_key: str
    certificate: str = ""

    def __repr__(self) -> str:
        return f"Reached({self.url!r})"


def reached(url: str | None, key_file: Path | None, certificate: Path | None) -> Reached:
    """The book that the options name. Raises `BadInput`."""
    if not url:
        raise BadInput("--url", "is missing", "such as http://127.0.0.1:8480; CAUSEWAY_BOOK_URL may name it")
    if not url.startswith(("http://", "https://")):
        raise BadInput("--url", f"{url[:80]!r} is no URL of a book", "http://… on this machine, else https://…")
    if key_file is None:
        cure = "a file with an API key; CAUSEWAY_BOOK_KEY_FILE may name it"
        raise BadInput("--key-file", "is missing", cure)
    key = read_text(key_file, "--key-file").strip()
    if not key.isascii() or not key.isprintable() or "." not in key or " " in key:
        raise BadInput("--key-file", f"{key_file} holds no API key", "one line, as `new-key` or `api-key` wrote it")
    return Reached(url, key, str(certificate or ""))


@asynccontextmanager
async def operating(book: Reached) -> AsyncIterator[BookOperator]:
    """A book's operator. Raises as `translated` says."""
    from settlement.ledgers.book.operator import BookOperator
    from settlement.ledgers.protocol import LedgerId

    with translated():
        async with BookOperator(LedgerId(_NAME), book.url, book.api_key, tls_certificate=book.certificate) as operator:
            yield operator


@asynccontextmanager
async def holding(book: Reached, account: str, asset: Asset) -> AsyncIterator[BookClient]:
    """A client of one account. Raises as `translated` says."""
    from settlement.ledgers.book.client import BookAccess, BookClient
    from settlement.ledgers.protocol import LedgerAccount, LedgerId

    access = BookAccess(
        LedgerId(_NAME), asset, book.url, LedgerAccount(account), book.api_key, tls_certificate=book.certificate
    )
    with translated():
        async with BookClient(access) as client:
            yield client


@contextmanager
def translated() -> Iterator[None]:
    """What a book answers, as a person at a command is told it.

    Raises:
        BadInput: the key is none that may do this, or a value is refused.
        NotFound: there is no such account.
        BookRefused: the book refuses otherwise.
        LedgerUnavailable: it does not answer.
    """
    from settlement.ledgers.protocol import LedgerMismatch

    try:
        yield
    except LedgerMismatch as error:
        raise _translated(error.field, error.found, error) from error


def _translated(field: str, found: str, error: Exception) -> Exception:
    match = _REFUSED.fullmatch(found)
    if match is None:
        return error
    status, detail = match.groups()
    if field == "Authorization":
        return BadInput("--key-file", detail, "the key of one of the book's operators, or of the account's holder")
    if status == "404":
        return NotFound(detail, "look at the name; an operator's key sees all accounts")
    if status in ("400", "413", "415", "422"):
        return BadInput(field, detail)
    return BookRefused(field, detail)


def load_book(path: Path) -> BookConfig:
    """A book's configuration, for commands beside it. Raises `BadInput`; `NotFound` where it has no database yet."""
    from settlement.ledgers.book.config import BookConfig

    config = BookConfig.load(path)
    check_there(config.database)
    return config


def check_there(url: str) -> None:
    """Raises `NotFound` for a SQLite file that is not there: a command that reads shall not make one."""
    scheme, _, name = url.partition(":///")
    if scheme.startswith("sqlite") and not Path(name).exists():
        raise NotFound(f"there is no database {name} yet", "run the service once, or correct database in its file")


@asynccontextmanager
async def reading(config: BookConfig) -> AsyncIterator[View]:
    """The book's database as of one moment, whether the service runs or not. It is read as it is, never migrated."""
    from foundation.database import Database, Schema

    async with await Database.open(config.database, Schema(())) as database, database.view() as view:
        yield view


def account_row(account: AccountView) -> dict[str, Any]:
    """An account's money as a document; amounts are text, in base units."""
    return {
        "account": str(account.account),
        "asset": account.asset.code,
        "scale": int(account.asset.scale),
        "balance": str(account.balance),
        "held": str(account.held),
        "incoming": str(account.incoming),
        "available": str(account.available),
        "floor": str(account.floor),
    }
