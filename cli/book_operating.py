"""What `causeway book` asks of a book, over REST or in its database."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cli.book_access import BookRefused, Reached, operating, reading
from cli.book_service import new_secret_file
from cli.exits import NotFound
from cli.output import facts, table
from foundation.errors import BadInput
from settlement.ledgers.book.config import BookConfig
from settlement.ledgers.book.store import BookStore
from settlement.ledgers.book.types import AccountKind, Paid, Payment
from settlement.ledgers.book.verify import Verifier
from settlement.ledgers.protocol import AccountView, LedgerAccount, Refused, TransferId
from settlement.quantities import HASH_BYTES, Asset, Scale, Units

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to be opened. Fields: as `BookOperator.open_account`."""

    name: str
    asset: Asset
    owner: str
    kind: AccountKind
    floor: int | None

    @classmethod
    def of(cls, name: str, code: str, scale: int, owner: str, kind: str, floor: str | None) -> NewAccount:
        """From a command line. Raises `BadInput`."""
        asset = Asset(code, Scale(scale))
        if floor is None:
            return cls(name, asset, owner, AccountKind(kind), None)
        sign = -1 if floor.startswith("-") else 1
        return cls(name, asset, owner, AccountKind(kind), sign * asset.units(floor.removeprefix("-"), "--floor"))


@dataclass(frozen=True, slots=True)
class NewMoney:
    """A payment by an issuer. Fields: transfer_id (32 bytes); issuer; account; amount (decimal text); memo."""

    transfer_id: TransferId
    issuer: str
    account: str
    amount: str
    memo: bytes

    @classmethod
    def of(cls, issuer: str, account: str, amount: str, transfer: str | None, memo: str) -> NewMoney:
        """From a command line; without an id a new one is drawn. Raises `BadInput`."""
        try:
            number = os.urandom(HASH_BYTES) if transfer is None else bytes.fromhex(transfer)
        except ValueError:
            number = b""
        if len(number) != HASH_BYTES:
            raise BadInput("--id", "it is no transfer's id", "64 hex digits")
        return cls(TransferId(number), issuer, account, amount, memo.encode())


async def open_one(book: Reached, wanted: NewAccount) -> AccountView:
    """Open an account, or find it open on the same terms. Raises as `translated`."""
    async with operating(book) as operator:
        return await operator.open_account(wanted.name, wanted.asset, wanted.owner, wanted.kind, wanted.floor)


async def make_key(book: Reached, key_id: str, holder: str, out: Path) -> None:
    """Make a holder's key, into a new file. Raises as `translated`; BadInput where the file is there."""
    with new_secret_file(out) as write:
        async with operating(book) as operator:
            write(await operator.make_key(key_id, holder))


async def revoke(book: Reached, key_id: str) -> None:
    """Take a key back. Raises as `translated`."""
    async with operating(book) as operator:
        await operator.revoke_key(key_id)


async def set_frozen(book: Reached, account: str, frozen: bool) -> None:
    """Freeze an account, or thaw it. Raises as `translated`."""
    async with operating(book) as operator:
        await operator.freeze(account, frozen)


async def accounts_over(book: Reached, names: Sequence[str]) -> list[AccountView]:
    """These accounts, over REST. Raises as `translated`."""
    async with operating(book) as operator:
        return [await operator.account(name) for name in names]


async def accounts_in(config: BookConfig, names: Sequence[str]) -> list[AccountView]:
    """These accounts of a database, or all where none is named. Raises `NotFound`."""
    found: dict[str, AccountView] = {}
    async with reading(config) as view:
        store, after = BookStore(view.connection), ""
        while page := await store.all_accounts(after, _PAGE):
            found |= {str(account.name): account.view for account in page}
            after = page[-1].name
    for name in names:
        if name not in found:
            raise NotFound(f"there is no account {name}", "causeway book accounts lists them")
    return [found[name] for name in names or found]


async def pay_out(book: Reached, wanted: NewMoney) -> dict[str, Any]:
    """Pay from an issuer; what was paid. Raises as `translated`, and `BookRefused` for what the book refuses."""
    async with operating(book) as operator:
        asset = (await operator.account(wanted.account)).asset
        payer, payee = LedgerAccount(wanted.issuer), LedgerAccount(wanted.account)
        amount = asset.units(wanted.amount, "AMOUNT")
        if amount == 0:
            raise BadInput("AMOUNT", "it is 0", "an amount above 0")
        (answer,) = await operator.pay([Payment(wanted.transfer_id, payer, payee, Units(amount), wanted.memo)])
    if isinstance(answer, Refused):
        raise BookRefused(str(answer.reason), answer.detail)
    if not isinstance(answer, Paid):
        raise BookRefused("answer", "it answers a payment with a hold", "the book is another program; look at --url")
    return {
        "transfer_id": wanted.transfer_id.hex(),
        "from": wanted.issuer,
        "to": wanted.account,
        "asset": asset.code,
        "scale": int(asset.scale),
        "amount": str(amount),
        "amount_text": asset.text(amount),
        "paid_at_ms": int(answer.paid_at),
    }


async def verdict_over(book: Reached) -> dict[str, Any]:
    """What the book's own look at itself found. Raises as `translated`."""
    async with operating(book) as operator:
        found = await operator.verify()
    return {"ok": found.ok, "entries": found.entries, "sums": found.sums, "faults": found.faults}


async def verdict_in(config: BookConfig) -> dict[str, Any]:
    """The same, out of its database."""
    async with reading(config) as view:
        found = await Verifier(view.connection).verdict()
    sums = {asset: str(total) for asset, total in found.sums.items()}
    return {"ok": not found.faults, "entries": found.entries, "sums": sums, "faults": list(found.faults)}


def accounts_table(found: Sequence[AccountView]) -> str:
    """Accounts below each other, in decimals."""
    amounts = ("balance", "held", "incoming", "available")
    rows = [
        (each.account, each.asset.code, *(each.asset.text(getattr(each, name)) for name in amounts)) for each in found
    ]
    return table(("account", "asset", *amounts), rows, right=amounts)


def row_facts(opened: AccountView) -> str:
    """One account."""
    floor = opened.asset.text(opened.floor)
    return facts([("account", opened.account), ("asset", opened.asset.code), ("floor", floor)])
