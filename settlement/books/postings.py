"""What happens to a custodial payment, as entries of each party's journal. Pure.

| who | event | debit | credit |
| --- | --- | --- | --- |
| payer | hold | Held | Nostro |
| | paid | Customers (the amount without the fee), clearing fees | Held |
| | returned | Nostro | Held |
| clearing bank | hold | Held (target); memo: Incoming (source) | Nostro (target); memo: its other side |
| | paid | Conversion (target), Claims (source) | Held (target), Conversion (source) |
| | returned | Nostro (target); memo taken back | Held (target) |
| | earned | Nostro (source); memo taken back | Claims (source), fees earned |
| payee | received | Nostro | Customers |

`Assets:<Ledger>` is the account on that ledger: its sum is the balance there, its part `Held` is what is held from it.
With the preimage in hand, and not before, the clearing bank has a claim on the source's hold; the fee is income only
once the claim is paid. What is held for it is no asset yet: it is noted in a pair below equity that sums to nothing.
Two currencies meet in the conversion accounts, whose balances are the position in each (Beancount's "conversions").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final, TypeAlias

from foundation.errors import BadInput
from settlement.books.accounts import Account, AccountName, Chart, chart, component
from settlement.books.journal import Entry, EntryId, Line
from settlement.custody.states import Role
from settlement.custody.terms import Quote
from settlement.quantities import Asset, PartyId, tagged_hash

Change: TypeAlias = tuple[Account, int]


@dataclass(frozen=True, slots=True)
class LedgerAccounts:
    """A party's accounts for one ledger on which it has an account.

    Fields: nostro (what it can use there); held (set aside from it); claims (holds whose preimage it has); customers
    (what it owes those for whom it keeps the money); conversion (its position from exchanging); fees_paid; fees_earned;
    funding (where money comes from that no payment brought); incoming and incoming_contra (memo: held for it).
    """

    nostro: Account
    held: Account
    claims: Account
    customers: Account
    conversion: Account
    fees_paid: Account
    fees_earned: Account
    funding: Account
    incoming: Account
    incoming_contra: Account

    @property
    def group(self) -> str:
        """The group whose sum is the balance on the ledger."""
        return self.nostro.name.rpartition(":")[0]


def ledger_accounts(ledger: str, asset: Asset) -> LedgerAccounts:
    """The usual accounts for a ledger, named after it. Raises BadInput where its name has neither letter nor digit."""
    name = component(ledger)

    def account(pattern: str) -> Account:
        return Account(AccountName(pattern.format(name)), asset)

    return LedgerAccounts(
        nostro=account("Assets:{}:Nostro"),
        held=account("Assets:{}:Held"),
        claims=account("Assets:Claims:{}"),
        customers=account("Liabilities:Customers:{}"),
        conversion=account("Equity:Conversions:{}"),
        fees_paid=account("Expenses:ClearingFees:{}"),
        fees_earned=account("Income:ClearingFees:{}"),
        funding=account("Equity:Funding:{}"),
        incoming=account("Equity:Memo:{}:Incoming"),
        incoming_contra=account("Equity:Memo:{}:IncomingContra"),
    )


def chart_of(entity: PartyId, ledgers: Mapping[str, LedgerAccounts]) -> Chart:
    """The chart of all these accounts.

    Raises:
        BadInput: two ledgers' names give the same account.
    """
    return chart(entity, (getattr(each, field.name) for each in ledgers.values() for field in fields(each)))


def entry_for(role: Role, event: str, payment_id: bytes, quote: Quote, accounts: Mapping[str, LedgerAccounts]) -> Entry:
    """The entry of an event (`changes.Post`) in the journal of the party that has this role in the payment.

    Raises:
        BadInput: the role knows no such event, or the party has no accounts for the ledger.
    """
    changes = _RULES.get((role, event))
    if changes is None:
        raise BadInput("event", f"{event!r} is no event of a {role}", "see settlement.custody.changes.Post")
    return Entry(
        entry_id=EntryId(tagged_hash("books/custody", payment_id, role.encode(), event.encode())),
        event=event,
        lines=_lines(changes(quote, accounts)),
        payment_id=payment_id,
        narrative=f"{quote.payer} pays {quote.payee} through {quote.clearer}",
    )


def funding_entry(entry_id: bytes, accounts: LedgerAccounts, change: int, narrative: str = "") -> Entry:
    """Money that came to the account on a ledger (negative: left it) by another way than a payment of this gateway.

    With it the books take over the balance that is there at the start, and later deposits and withdrawals.
    """
    lines = (Line(accounts.nostro, change), Line(accounts.funding, -change))
    return Entry(EntryId(entry_id), "funding", lines, narrative=narrative)


def _payer_hold(quote: Quote, ledgers: Mapping[str, LedgerAccounts]) -> Sequence[Change]:
    source, amount = _of(ledgers, quote.source.ledger), quote.source.amount
    return (source.held, amount), (source.nostro, -amount)


def _payer_paid(quote: Quote, ledgers: Mapping[str, LedgerAccounts]) -> Sequence[Change]:
    source, amount = _of(ledgers, quote.source.ledger), quote.source.amount
    return (source.customers, amount - quote.fee), (source.fees_paid, quote.fee), (source.held, -amount)


def _payer_returned(quote: Quote, ledgers: Mapping[str, LedgerAccounts]) -> Sequence[Change]:
    return _negated(_payer_hold(quote, ledgers))


def _clearer_hold(quote: Quote, ledgers: Mapping[str, LedgerAccounts]) -> Sequence[Change]:
    target, amount = _of(ledgers, quote.target.ledger), quote.target.amount
    return (target.held, amount), (target.nostro, -amount), *_memo(quote, ledgers, quote.source.amount)


def _clearer_returned(quote: Quote, ledgers: Mapping[str, LedgerAccounts]) -> Sequence[Change]:
    return _negated(_clearer_hold(quote, ledgers))


def _clearer_paid(quote: Quote, ledgers: Mapping[str, LedgerAccounts]) -> Sequence[Change]:
    source, target = _of(ledgers, quote.source.ledger), _of(ledgers, quote.target.ledger)
    worth = quote.source.amount - quote.fee
    return (
        (target.conversion, quote.target.amount),
        (target.held, -quote.target.amount),
        (source.claims, worth),
        (source.conversion, -worth),
    )


def _clearer_earned(quote: Quote, ledgers: Mapping[str, LedgerAccounts]) -> Sequence[Change]:
    source, amount = _of(ledgers, quote.source.ledger), quote.source.amount
    return (
        (source.nostro, amount),
        (source.claims, quote.fee - amount),
        (source.fees_earned, -quote.fee),
        *_memo(quote, ledgers, -amount),
    )


def _payee_received(quote: Quote, ledgers: Mapping[str, LedgerAccounts]) -> Sequence[Change]:
    target, amount = _of(ledgers, quote.target.ledger), quote.target.amount
    return (target.nostro, amount), (target.customers, -amount)


def _memo(quote: Quote, ledgers: Mapping[str, LedgerAccounts], change: int) -> Sequence[Change]:
    source = _of(ledgers, quote.source.ledger)
    return (source.incoming, change), (source.incoming_contra, -change)


def _negated(changes: Sequence[Change]) -> Sequence[Change]:
    return tuple((account, -change) for account, change in changes)


def _lines(changes: Sequence[Change]) -> tuple[Line, ...]:
    """Lines without those of nothing; a ledger that is source and target at once has one line for each account."""
    sums: dict[Account, int] = {}
    for account, change in changes:
        sums[account] = sums.get(account, 0) + change
    return tuple(Line(account, change) for account, change in sums.items() if change)


def _of(ledgers: Mapping[str, LedgerAccounts], ledger: str) -> LedgerAccounts:
    found = ledgers.get(ledger)
    if found is None:
        raise BadInput("ledger", f"the books have no accounts for {ledger!r}", "add the ledger to the chart")
    return found


_RULES: Final[dict[tuple[Role, str], Callable[[Quote, Mapping[str, LedgerAccounts]], Sequence[Change]]]] = {
    (Role.PAYER, "hold"): _payer_hold,
    (Role.PAYER, "paid"): _payer_paid,
    (Role.PAYER, "returned"): _payer_returned,
    (Role.CLEARER, "hold"): _clearer_hold,
    (Role.CLEARER, "paid"): _clearer_paid,
    (Role.CLEARER, "returned"): _clearer_returned,
    (Role.CLEARER, "earned"): _clearer_earned,
    (Role.PAYEE, "received"): _payee_received,
}
