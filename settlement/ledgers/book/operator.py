"""An operator's side of a book: accounts, keys, money issued, and the check of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from settlement.ledgers.book.http import BookHttp, client_tls
from settlement.ledgers.book.types import AccountKind, Answer, Payment
from settlement.ledgers.book.wire import (
    AccountIn,
    AccountOut,
    AssetOut,
    FreezeIn,
    KeyIn,
    KeyOut,
    OutcomeOut,
    PaymentIn,
    VerdictOut,
)
from settlement.ledgers.protocol import AccountView, LedgerId
from settlement.quantities import Asset


class BookOperator:
    """What an operator's key may do. Use as `async with`.

    All raise LedgerUnavailable where the book does not answer, and LedgerMismatch where it refuses.
    """

    def __init__(
        self, ledger_id: LedgerId, url: str, api_key: str, timeout_seconds: float = 10.0, tls_certificate: str = ""
    ) -> None:
        self._http = BookHttp(ledger_id, url, api_key, timeout_seconds, client_tls(tls_certificate))

    async def __aenter__(self) -> Self:
        """Ready to ask."""
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._http.__aexit__(kind, error, trace)

    async def open_account(
        self,
        name: str,
        asset: Asset,
        owner: str,
        kind: AccountKind = AccountKind.LIABILITY,
        floor: int | None = None,
    ) -> AccountView:
        """Open an account, or find it open on the same terms."""
        denomination = AssetOut(asset.code, asset.scale)
        asked = AccountIn(name, denomination, owner, kind, None if floor is None else str(floor))
        opened: AccountOut = await self._http.post("/accounts", asked, AccountOut)
        return opened.view()

    async def account(self, name: str) -> AccountView:
        """Any account, as it stands."""
        found: AccountOut = await self._http.get(f"/accounts/{name}", AccountOut)
        return found.view()

    async def freeze(self, name: str, frozen: bool = True) -> None:
        """Let nothing new be held or paid from or to an account, or let it again."""
        await self._http.put(f"/accounts/{name}/frozen", FreezeIn(frozen), AccountOut)

    async def make_key(self, key_id: str, holder: str) -> str:
        """A new API key for a holder. The book does not know it afterwards."""
        made: KeyOut = await self._http.post("/keys", KeyIn(key_id, holder), KeyOut)
        return made.key

    async def revoke_key(self, key_id: str) -> None:
        """Take a holder's key back."""
        await self._http.delete(f"/keys/{key_id}")

    async def pay(self, payments: Sequence[Payment]) -> tuple[Answer, ...]:
        """Pay from the book's own accounts: from an issuer, money comes into being."""
        asked = [PaymentIn(p.transfer_id.hex(), p.payer, p.payee, str(p.amount), p.memo) for p in payments]
        outcomes: list[OutcomeOut] = await self._http.post("/payments", asked, list[OutcomeOut])
        return tuple(outcome.answer() for outcome in outcomes)

    async def verify(self) -> VerdictOut:
        """Whether the book is right, and what is wrong where it is not."""
        found: VerdictOut = await self._http.get("/verify", VerdictOut)
        return found
