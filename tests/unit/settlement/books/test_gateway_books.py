"""Custody's events and closings through the gateway's books."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import event

from foundation.errors import BadInput
from settlement.books.receipt_store import ReceiptStore
from settlement.books.store import Books
from settlement.custody import changes as c
from settlement.custody import clearer, payee, payer
from settlement.custody.packet import SharedSecret, preimage_of
from settlement.custody.terms import Particulars, PaymentId, Terms, terms_hash
from settlement.gateway.bookkeeping import GatewayBooks, receipt_for
from settlement.quantities import Condition
from tests.support.settlement_books import CNY, EUR, EURO, NOW, YUAN, A, B, C, books_database, id_of, quote, receipt

PAYMENT = PaymentId(id_of("payment"))
SECRET, AGREEMENT = id_of("secret"), id_of("agreement")
PREIMAGE = preimage_of(SharedSecret(SECRET), PAYMENT, AGREEMENT)
TERMS = Terms(PAYMENT, quote(), b"", "g.bank-b.x", Particulars("GDDS", "DE", "SG", "natural", "legal"))
ORDER = payer.Order(PAYMENT, A, C, B, "digital-yuan", 1, "digital-euro", A, 2, TERMS.particulars, 3)
DEAL = payer.Deal(TERMS, AGREEMENT, SECRET, Condition(bytes(32)), b"")
PAID = payer.Paid(ORDER, DEAL, PREIMAGE, ())
PAYERS = payer.Closed(ORDER, DEAL, PREIMAGE, ())
TAKEN = clearer.Taken(Condition(bytes(32)), b"", terms_hash(TERMS), AGREEMENT)
CLEARERS = clearer.Closed(clearer.Offer(PAYMENT, quote(), b""), TAKEN, PREIMAGE, ())
PAYEES = payee.Closed(
    payee.Invitation(PAYMENT, A, B, SECRET, "g.bank-b.x", "digital-yuan", B, 5),
    payee.Deal(TERMS, AGREEMENT, Condition(bytes(32))),
    (),
)
SIGNATURE = receipt().signature


def _books() -> GatewayBooks:
    return GatewayBooks(C, {"digital-euro": EUR, "digital-yuan": CNY}, bytes(32))


def test_all_three_have_one_receipt() -> None:
    """Payer, clearing bank and payee make the same receipt out of their own states."""
    made = {receipt_for(PAYMENT, state, SIGNATURE).digest for state in (PAYERS, CLEARERS, PAYEES)}
    assert made == {receipt_for(PAYMENT, PAYERS, SIGNATURE).digest}
    assert receipt_for(PAYMENT, PAYEES, SIGNATURE).preimage == PREIMAGE
    with pytest.raises(BadInput):
        receipt_for(PAYMENT, PAID, SIGNATURE)


async def test_transaction_is_written_at_its_end(tmp_path: Path) -> None:
    """Events of many payments and a receipt are written by `flush`, once, in nine statements."""
    books = _books()
    async with books_database(tmp_path) as database, database.unit() as unit:
        await Books(unit.connection).open_accounts(books.chart.accounts.values(), NOW)
        for number in range(50):
            for name in ("hold", "paid", "earned"):
                await books.post(unit.connection, PaymentId(id_of(number)), CLEARERS, name, NOW)
        await books.close(unit.connection, PAYMENT, CLEARERS, SIGNATURE, NOW)
        assert await Books(unit.connection).head() == (0, bytes(32))
        made: list[str] = []
        event.listen(unit.connection.sync_connection, "after_cursor_execute", lambda *told: made.append(told[2]))
        await books.flush(unit.connection, NOW)
        assert len(made) == 9, made
        await books.flush(unit.connection, NOW)
        balances = await Books(unit.connection).balances()
        assert (balances[EURO.nostro], balances[YUAN.nostro]) == (50 * 1_001_00, 50 * -2_000_00)
        assert (await Books(unit.connection).head())[0] == 150
        assert (await ReceiptStore(unit.connection).head())[0] == 1


async def test_what_did_not_take_effect_is_forgotten(tmp_path: Path) -> None:
    """After a failed transaction nothing of it is in the next."""
    books = _books()
    async with books_database(tmp_path) as database, database.unit() as unit:
        await books.post(unit.connection, PAYMENT, PAID, "hold", NOW)
        await books.close(unit.connection, PAYMENT, PAYERS, SIGNATURE, NOW)
        books.forget()
        await books.flush(unit.connection, NOW)
        assert (await Books(unit.connection).head())[0] == 0


async def test_state_without_money_is_not_posted(tmp_path: Path) -> None:
    """Before money is held there is nothing to post."""
    async with books_database(tmp_path) as database, database.unit() as unit:
        with pytest.raises(BadInput):
            await _books().post(unit.connection, PAYMENT, payer.Failed(ORDER, c.Why.RULES, ""), "hold", NOW)
