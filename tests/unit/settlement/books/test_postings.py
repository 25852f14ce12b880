"""What custody's events are in the three parties' books."""

from __future__ import annotations

from collections import defaultdict

import pytest

from foundation.errors import BadInput
from settlement.books.accounts import Account
from settlement.books.postings import chart_of, entry_for, funding_entry, ledger_accounts
from settlement.custody.states import Role
from settlement.custody.terms import Quote
from tests.support.settlement_books import EUR, EURO, LEDGERS, YUAN, A, id_of, quote


def _after(role: Role, *events: str, of: Quote | None = None) -> dict[Account, int]:
    sums: defaultdict[Account, int] = defaultdict(int)
    for event in events:
        for line in entry_for(role, event, id_of("payment"), of or quote(), LEDGERS).lines:
            sums[line.account] += line.change
    return {account: total for account, total in sums.items() if total}


def test_payer_pays() -> None:
    """What was held has left; the customers' claim is smaller, and the fee is an expense."""
    assert _after(Role.PAYER, "hold") == {EURO.held: 1_001_00, EURO.nostro: -1_001_00}
    assert _after(Role.PAYER, "hold", "paid") == {
        EURO.nostro: -1_001_00,
        EURO.customers: 1_000_00,
        EURO.fees_paid: 1_00,
    }


def test_what_comes_back_leaves_nothing() -> None:
    """A hold that was returned leaves every balance as it was."""
    assert _after(Role.PAYER, "hold", "returned") == {}
    assert _after(Role.CLEARER, "hold", "returned") == {}


def test_clearing_bank_earns_once_it_is_paid() -> None:
    """With the preimage it has a claim; the fee is income when the claim is paid; two currencies, each in balance."""
    assert _after(Role.CLEARER, "hold") == {
        YUAN.held: 2_000_00,
        YUAN.nostro: -2_000_00,
        EURO.incoming: 1_001_00,
        EURO.incoming_contra: -1_001_00,
    }
    between = _after(Role.CLEARER, "hold", "paid")
    assert (between[EURO.claims], EURO.fees_earned in between, YUAN.held in between) == (1_000_00, False, False)
    assert _after(Role.CLEARER, "hold", "paid", "earned") == {
        YUAN.nostro: -2_000_00,
        YUAN.conversion: 2_000_00,
        EURO.nostro: 1_001_00,
        EURO.conversion: -1_000_00,
        EURO.fees_earned: -1_00,
    }


def test_payee_receives() -> None:
    """The money is there, and owed to a customer."""
    assert _after(Role.PAYEE, "received") == {YUAN.nostro: 2_000_00, YUAN.customers: -2_000_00}


def test_no_fee_is_no_line() -> None:
    """Where there is no fee, no line of nothing is posted."""
    free = quote(source=1_000_00, fee=0)
    assert EURO.fees_paid not in _after(Role.PAYER, "hold", "paid", of=free)
    assert EURO.fees_earned not in _after(Role.CLEARER, "hold", "paid", "earned", of=free)


def test_memo_is_no_asset() -> None:
    """What is held for the clearing bank is noted below equity, and sums to nothing there."""
    roots = {account.root for account in (EURO.incoming, EURO.incoming_contra)}
    assert [root.value for root in roots] == ["Equity"]


def test_each_event_has_one_id() -> None:
    """An event of a payment is one entry, whoever asks for it how often; other events and roles are others."""
    made = {
        entry_for(role, event, id_of(payment), quote(), LEDGERS).entry_id
        for payment in (1, 2)
        for role, event in ((Role.PAYER, "hold"), (Role.PAYER, "paid"), (Role.CLEARER, "hold"))
        for _again in range(2)
    }
    assert len(made) == 6


@pytest.mark.parametrize(("role", "event"), [(Role.PAYEE, "hold"), (Role.PAYER, "earned"), (Role.CLEARER, "x")])
def test_unknown_event_is_refused(role: Role, event: str) -> None:
    """A role posts its own events, and no others."""
    with pytest.raises(BadInput) as refusal:
        entry_for(role, event, id_of("payment"), quote(), LEDGERS)
    assert refusal.value.field == "event"


def test_unknown_ledger_is_refused() -> None:
    """A payment on a ledger without accounts is not posted."""
    with pytest.raises(BadInput) as refusal:
        entry_for(Role.CLEARER, "hold", id_of("payment"), quote(), {"digital-euro": EURO})
    assert refusal.value.field == "ledger"


def test_ledgers_with_the_same_accounts_are_refused() -> None:
    """Two ledgers whose names make one account would mix their money up."""
    with pytest.raises(BadInput):
        chart_of(A, {name: ledger_accounts(name, EUR) for name in ("digital-euro", "Digital_Euro")})


def test_funding_takes_a_balance_over() -> None:
    """Money that no payment brought comes from equity."""
    lines = {line.account: line.change for line in funding_entry(id_of(0), EURO, 7).lines}
    assert lines == {EURO.nostro: 7, EURO.funding: -7}
