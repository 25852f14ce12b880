"""A running gateway, as the REST interface uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from api import showing
from api.ports import (
    AccountShown,
    ApprovalWanted,
    DecisionShown,
    EventShown,
    MomentShown,
    NotPossible,
    PaymentShown,
    PaymentWanted,
    QuoteShown,
    QuoteWanted,
    RateShown,
    ReasonShown,
    StatementShown,
    Unknown,
)
from api.pricing import Pricing, check_asset, offer_of, own_ledger
from api.reading import Reading
from foundation.database import Database
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.books.errors import UnknownReceipt
from settlement.books.receipt_file import encode_file, receipt_file
from settlement.custody import changes as c
from settlement.custody import payer
from settlement.custody.states import State, is_open, stage_of
from settlement.custody.terms import Particulars, PaymentId
from settlement.gateway.customers import Customer
from settlement.gateway.dossiers import Dossier
from settlement.gateway.runtime import Gateway, Parts
from settlement.ledgers.protocol import LedgerId
from settlement.quantities import MAX_UNITS, Asset, PartyId
from settlement.rules.approvals import LoggedIn, Proof, Signed
from settlement.rules.facts import Approval

_LOOKS = 10
"""At a payment that moves meanwhile, for one moment of it."""


class RunningGateway:
    """Implements `GatewayPort` over a gateway and its parts."""

    def __init__(self, gateway: Gateway, parts: Parts) -> None:
        self._gateway = gateway
        self._parts = parts
        self._pricing = Pricing(gateway, parts)
        self._reading = Reading(parts.database, parts.books, gateway.stored)

    @property
    def party(self) -> str:
        """See `GatewayPort`."""
        return self._parts.secrets.party

    @property
    def database(self) -> Database:
        """The gateway's; the REST interface keeps its own tables there."""
        return self._parts.database

    def now(self) -> UnixMs:
        """See `GatewayPort`."""
        return self._parts.clock()

    def asset(self, ledger: str) -> Asset | None:
        """See `GatewayPort`."""
        facts = self._parts.facts.get(LedgerId(ledger))
        return None if facts is None else facts.asset

    def assets(self) -> dict[str, Asset]:
        """See `GatewayPort`."""
        return {facts.asset.code: facts.asset for facts in self._parts.facts.values()}

    # --- Quotes and payments ------------------------------------------------------------------------------------------

    async def quote(self, wanted: QuoteWanted, *, firm: bool) -> QuoteShown:
        """See `GatewayPort`."""
        return await self._pricing.ask(wanted, firm=firm)

    async def pay(self, wanted: PaymentWanted) -> None:
        """See `GatewayPort`. The target's decimals are what the clearing bank says they are, or nothing begins."""
        asked, quote = wanted.wanted, wanted.quote
        ledger = own_ledger(self._parts, asked.source_ledger, "source.ledger")
        debtor = self._debtor(wanted.debtor)
        for field, money in (("source.amount_max", wanted.source_max), ("target.amount", asked.target)):
            if not 0 < money.units <= MAX_UNITS:
                raise BadInput(field, "it is not above 0 and at most 2^64−1 base units", "write a larger amount")
        if await self._gateway.state(PaymentId(wanted.payment_id)) is not None:
            return
        offer = None if quote is None else offer_of(quote)
        if offer is None:
            await self._check_target(asked)
        particulars = Particulars(
            wanted.purpose, debtor.country, wanted.creditor.country, debtor.kind, wanted.creditor.kind
        )
        order = payer.Order(
            payment_id=wanted.payment_id,
            payer=self.party,
            clearer=asked.clearing,
            payee=asked.payee,
            target_ledger=asked.target_ledger,
            target_amount=asked.target.units,
            source_ledger=asked.source_ledger,
            source_account=str(ledger.own),
            source_max=wanted.source_max.units,
            particulars=particulars,
            answer_by=self.now() + self._parts.margins.answer_ms,
            hold_ms_max=self._parts.margins.hold_ms_max,
            target_asset=asked.target.asset.code,
            target_scale=int(asked.target.asset.scale),
            offer=offer,
        )
        dossier = Dossier(wanted.debtor, wanted.creditor.account, wanted.initiator, wanted.reference)
        await self._gateway.pay(order, dossier)

    async def payment(self, payment_id: bytes) -> PaymentShown:
        """See `GatewayPort`."""
        number = PaymentId(payment_id)
        for _ in range(_LOOKS):
            lines = await self._gateway.history(number)
            stored = (await self._gateway.stored([number])).get(number)
            # Else it has moved between the two looks.
            if stored is None or not lines or lines[-1].stage == stage_of(stored.state):
                break
        if stored is None:
            raise Unknown("payment")
        history = tuple(MomentShown(one.at, one.stage, one.note) for one in lines)
        return showing.payment(number, stored, self.party, self._assets_of(stored.state), history)

    async def payments(
        self, limit: int, before: tuple[UnixMs, bytes] | None, statuses: Sequence[str]
    ) -> tuple[PaymentShown, ...]:
        """See `GatewayPort`."""
        numbers = await self._reading.payments(limit, before, showing.stages_of(statuses))
        found = await self._gateway.stored(numbers)
        return tuple(
            showing.payment(number, found[number], self.party, self._assets_of(found[number].state), ())
            for number in numbers
        )

    async def cancel(self, payment_id: bytes, reason: str) -> None:
        """See `GatewayPort`."""
        number = PaymentId(payment_id)
        before = await self._gateway.state(number)
        if before is None:
            raise Unknown("payment")
        if not is_open(before) and not isinstance(before, payer.Failed):
            raise NotPossible("the payment has ended")
        await self._gateway.change(number, c.Cancel(reason))
        after = await self._gateway.state(number)
        if not isinstance(after, payer.Failed) or after.why is not c.Why.CANCELLED:
            raise NotPossible("the payment cannot be cancelled any more, or is not this bank's to cancel")

    # --- Rules --------------------------------------------------------------------------------------------------------

    async def decision(self, payment_id: bytes) -> DecisionShown:
        """See `GatewayPort`."""
        async with self._parts.database.view() as view:
            store = self._gateway.validator.store(view.connection)
            entry = await store.latest(payment_id)
            if entry is None:
                raise Unknown("decision")
            approvals = await store.approvals(entry.decision.facts_digest)
        decision = entry.decision
        return DecisionShown(
            decision.facts_digest,
            decision.verdict.name.lower(),
            decision.rule_version,
            decision.at,
            tuple(ReasonShown(one.rule_id, one.verdict.name.lower(), one.text) for one in decision.reasons),
            tuple(one.person for one in approvals),
        )

    async def approve(self, payment_id: bytes, approval: ApprovalWanted, principal: str) -> None:
        """See `GatewayPort`."""
        state = await self._gateway.state(PaymentId(payment_id))
        if state is None:
            raise Unknown("payment")
        if not is_open(state):
            raise NotPossible("the payment has ended")
        proof: Proof = LoggedIn(principal) if approval.signature is None else Signed(approval.signature)
        validator = self._gateway.validator
        async with self._parts.database.unit() as unit:
            entry = await validator.store(unit.connection).latest(payment_id)
            if entry is None:
                raise NotPossible("the rules have not looked at this payment yet")
            said = Approval(entry.decision.facts_digest, approval.person, approval.clears, approval.at)
            await validator.approve(unit.connection, said, proof, self.now())
            await unit.commit()
        await self._gateway.recheck(PaymentId(payment_id))

    # --- Ledgers ------------------------------------------------------------------------------------------------------

    async def accounts(self) -> tuple[AccountShown, ...]:
        """See `GatewayPort`."""
        return tuple(
            [showing.account(str(name), await ledger.account()) for name, ledger in self._parts.ledgers.items()]
        )

    async def statement(self, ledger: str, since: UnixMs, until: UnixMs, after: int, limit: int) -> StatementShown:
        """See `GatewayPort`."""
        found = own_ledger(self._parts, ledger, "ledger")
        asset = self.asset(ledger)
        assert asset is not None, "a ledger has its facts"
        return await self._reading.statement(found, ledger, asset, since, until, after, limit)

    async def receipt(self, payment_id: bytes) -> bytes:
        """See `GatewayPort`."""
        if await self._gateway.state(PaymentId(payment_id)) is None:
            raise Unknown("payment")
        try:
            async with self._parts.database.view() as view:
                registry = self._parts.directory.registry
                file = await receipt_file(view, payment_id, PartyId(self.party), registry)
        except UnknownReceipt:
            raise NotPossible("there is no receipt before all three parties have signed") from None
        return encode_file(file)

    def rates(self) -> tuple[RateShown, ...]:
        """See `GatewayPort`."""
        return showing.rates(self._parts.pricing, self._parts.facts, self.now())

    # --- Events -------------------------------------------------------------------------------------------------------

    async def events(self, after: int, limit: int) -> tuple[EventShown, ...]:
        """See `GatewayPort`."""
        return await self._reading.events(after, limit)

    async def last_event(self) -> int:
        """See `GatewayPort`."""
        return await self._reading.last_event()

    def on_commit(self, listener: Callable[[], None]) -> Callable[[], None]:
        """See `GatewayPort`."""
        return self._gateway.on_commit(listener)

    # ------------------------------------------------------------------------------------------------------------------

    async def _check_target(self, asked: QuoteWanted) -> None:
        """Raises BadInput, NoQuote where the target is not what the clearing bank says that it is."""
        told = self._pricing.told.get((asked.clearing, asked.target_ledger))
        if told is None:
            await self._pricing.ask(asked, firm=False)
        else:
            self._pricing.check_known(asked.payee, "payee")
            check_asset(told, asked.target.asset)

    def _debtor(self, account: str) -> Customer:
        found = self._parts.customers.find(account)
        if found is None:
            raise BadInput("debtor.account", "this bank has no such account", "name a customer's account")
        return found

    def _assets_of(self, state: State) -> Mapping[str, Asset]:
        """Of the ledgers that a payment names before it has a quote."""
        known = {str(name): facts.asset for name, facts in self._parts.facts.items()}
        if isinstance(state, payer.State):
            told = self._pricing.told.get((state.order.clearer, state.order.target_ledger))
            if told is not None:
                known.setdefault(state.order.target_ledger, told)
        return known
