"""What the settlement demo does: balances, a quote, the payment's thirteen steps, and then the books."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

import httpx

from adapters.evm.abi import function
from adapters.evm.rpc import EvmRpc
from adapters.evm.types import Call
from cli.demo_screen import Screen, Step
from cli.exits import TimedOut
from cli.settlement_books import show_books
from cli.settlement_town import BOOK, CHAIN, CLEARER, CREDITOR, DEBTOR, PAYEE, PAYER, YUAN, Town
from foundation.errors import BadInput

AMOUNT: Final = "2000.00"
_STEP_SECONDS: Final = 300.0
"""Until a step counts as never done: far more than it takes, because some machines are slow."""
_LOOK_SECONDS: Final = 0.05
_BALANCE = function("ERC20", "balanceOf", "address", "uint256")

Shown = Mapping[str, Any]


class Bank:
    """One bank's REST interface, as its own systems use it."""

    def __init__(self, name: str, client: httpx.AsyncClient) -> None:
        self.name = name
        self._client = client

    async def get(self, path: str) -> Any:
        """Read something. Raises `BadInput` with the interface's own words."""
        return _checked(await self._client.get(path))

    async def post(self, path: str, body: Shown, key: str) -> Any:
        """Ask for something, once for an idempotency key. Raises as `get`."""
        return _checked(await self._client.post(path, json=dict(body), headers={"Idempotency-Key": key}))


def _checked(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json()
    problem = answer.json()
    raise BadInput(str(problem.get("field", "request")), str(problem.get("detail", answer.text)))


class Watcher:
    """Follows one payment at all three parties."""

    def __init__(self, banks: Mapping[str, Bank], payment: str) -> None:
        self._banks = banks
        self._payment = payment
        self.shown: dict[str, Shown] = {}

    async def until(self, bank: str, *stages: str) -> Shown:
        """Wait until the payment has come to one of these stages, or past it, at a bank.

        Raises:
            TimedOut: it has not.
            BadInput: it ended otherwise; says how.
        """
        deadline = asyncio.get_running_loop().time() + _STEP_SECONDS
        while True:
            shown = await self._look(bank)
            passed = {line["stage"] for line in shown.get("history", ())}
            if passed.intersection(stages):
                return shown
            if shown.get("status") in ("failed", "returned", "lost"):
                raise BadInput(f"payment at {bank}", str(shown.get("reason")))
            if asyncio.get_running_loop().time() > deadline:
                raise TimedOut(f"{bank} has not come to {stages[0]}", _STEP_SECONDS, "the logs are below")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self, bank: str) -> Shown:
        try:
            self.shown[bank] = await self._banks[bank].get(f"/v1/payments/{self._payment}")
        except BadInput:
            return {}  # it has not heard of the payment yet
        return self.shown[bank]


async def perform(screen: Screen, town: Town, then: Callable[[Screen, Town], Awaitable[None]] | None = None) -> bool:
    """The whole demo, and then `then`; whether every ledger sums to zero and the auditor is content."""
    async with AsyncExitStack() as stack:
        with screen.step("Two ledgers, three banks, each a process", "") as step:
            await stack.enter_async_context(town)
            step.done("a book, a chain, three gateways")
            step.also("the digital euro: its central bank's double-entry book, over REST")
            step.also("the digital yuan: a token on the native EVM chain, held in the contract Escrow")
        banks = {name: Bank(name, await stack.enter_async_context(_client(town, name))) for name in town.apis}
        rpc = await stack.enter_async_context(EvmRpc(town.chain.url))
        await _balances(screen, town, rpc, "Before")
        quote = await _quote(screen, banks[PAYER])
        screen.say(f"\nThe payment: a laptop for {AMOUNT} digital yuan, paid for in digital euro", "bold")
        answer = await banks[PAYER].post("/v1/payments", _payment(quote), "demo-payment-1")
        watcher = Watcher(banks, answer["id"])
        await _thirteen_steps(screen, watcher)
        await _balances(screen, town, rpc, "After")
        fine = await show_books(screen, town, banks[PAYER], answer["id"])
        if then is not None:
            await then(screen, town)
        return fine


def _client(town: Town, bank: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {town.rest_keys[bank]}"}
    return httpx.AsyncClient(base_url=town.apis[bank], headers=headers, timeout=15.0)


async def _quote(screen: Screen, bank: Bank) -> Shown:
    with screen.step("Bank A asks the price: POST /v1/quotes", "") as step:
        target = {"ledger": CHAIN, "amount": AMOUNT, "currency": YUAN.code, "scale": int(YUAN.scale)}
        asked = {"payee": PAYEE, "clearing": CLEARER, "source_ledger": BOOK, "target": target}
        quote: Shown = await bank.post("/v1/quotes", asked, "demo-quote-1")
        cost, fee = quote["source"], quote["fee"]
        step.done(f"{cost['amount']} {cost['currency']}")
        step.also(f"two yuan for one euro, and {fee['amount']} {fee['currency']} for the clearing bank")
    return quote


def _payment(quote: Shown) -> Shown:
    return {
        "quote_id": quote["id"],
        "debtor": {"account": DEBTOR},
        "creditor": {"account": CREDITOR, "country": "CN", "kind": "legal"},
        "purpose": "GDDS",
        "reference": "One laptop",
    }


async def _thirteen_steps(screen: Screen, watcher: Watcher) -> None:
    """Each step is shown when the party that takes it says that it has."""
    for number, title, bank, stages, say in _STEPS:
        with screen.step(title, number) as step:
            shown = await watcher.until(bank, *stages)
            say(step, shown, watcher.shown)


Say = Callable[[Step, Shown, Mapping[str, Shown]], None]


def _secret(step: Step, shown: Shown, others: Mapping[str, Shown]) -> None:
    step.done("only A and B know it")
    step.also("sealed by HPKE to a key made for this answer, with an address and an account")


def _quoted(step: Step, shown: Shown, others: Mapping[str, Shown]) -> None:
    source, target, fee = shown["source"], shown["target"], shown["fee"]
    step.done(f"{_money(source)} for {_money(target)}")
    step.also(f"fee {fee['amount']} {fee['currency']}, signed by the clearing bank, firm for a minute")


def _accepted(step: Step, shown: Shown, others: Mapping[str, Shown]) -> None:
    step.done("both rules pass, both banks sign")
    step.also("each sent what the other requires, screened both persons, and signed these terms")


def _packet(step: Step, shown: Shown, others: Mapping[str, Shown]) -> None:
    step.done("an Interledger packet for B")
    step.also("the condition commits to the terms and both acceptances, under the secret")


def _held_a(step: Step, shown: Shown, others: Mapping[str, Shown]) -> None:
    step.done(f"{_money(shown['source'])} held")
    step.also(f"for the clearing bank, until {_time(shown['source'])} or the preimage")


def _seen(step: Step, shown: Shown, others: Mapping[str, Shown]) -> None:
    step.done("its ledger's event feed told it")


def _parsed(step: Step, shown: Shown, others: Mapping[str, Shown]) -> None:
    step.done("as quoted, signed by both banks")
    step.also("amounts, time-outs, condition and the BLS signature are right; its own rules pass")


def _held_b(step: Step, shown: Shown, others: Mapping[str, Shown]) -> None:
    step.done(f"{_money(shown['target'])} held for Bank B")
    step.also(f"until {_time(shown['target'])}: earlier than the other, so it is never left in the middle")


def _told_b(step: Step, shown: Shown, others: Mapping[str, Shown]) -> None:
    step.done("a proved log of the chain told it")


def _checked_b(step: Step, shown: Shown, others: Mapping[str, Shown]) -> None:
    step.done("the same condition, 2,000 yuan")
    step.also("B derives the preimage from the secret and the agreement, and compares")


def _fulfilled(step: Step, shown: Shown, others: Mapping[str, Shown]) -> None:
    step.done(f"{_money(shown['target'])} are Bank B's")


def _told_c(step: Step, shown: Shown, others: Mapping[str, Shown]) -> None:
    step.done("a proved log of the chain told it")


def _learnt(step: Step, shown: Shown, others: Mapping[str, Shown]) -> None:
    step.done("from that log")


def _claimed(step: Step, shown: Shown, others: Mapping[str, Shown]) -> None:
    step.done(f"{_money(shown['source'])} are its own")


_STEPS: Final[tuple[tuple[str, str, str, tuple[str, ...], Say], ...]] = (
    ("1", "A gets a shared secret from B", PAYER, ("pricing", "clearing"), _secret),
    ("2", "The clearing bank quotes", PAYER, ("clearing", "agreeing"), _quoted),
    ("", "KYC and AML data, and both acceptances", PAYER, ("holding",), _accepted),
    ("3", "A makes the packet and the condition", PAYER, ("holding",), _packet),
    ("4", "A has the money held on the euro's ledger", PAYER, ("held",), _held_a),
    ("5", "The clearing bank sees the hold", CLEARER, ("clearing",), _seen),
    ("6", "It reads the packet and checks it", CLEARER, ("forwarding",), _parsed),
    ("7", "It holds yuan for B, for a shorter time", CLEARER, ("waiting",), _held_b),
    ("8", "B sees the hold", PAYEE, ("fulfilling",), _told_b),
    ("9", "B checks it", PAYEE, ("fulfilling",), _checked_b),
    ("10", "B fulfils with the preimage", PAYEE, ("received",), _fulfilled),
    ("11", "The clearing bank sees the fulfilment", CLEARER, ("claiming",), _told_c),
    ("12", "It learns the preimage", CLEARER, ("claiming",), _learnt),
    ("13", "It fulfils on the euro's ledger", CLEARER, ("earned",), _claimed),
)


def _money(leg: Shown) -> str:
    return f"{leg['amount']} {leg['currency']}"


def _time(leg: Shown) -> str:
    return str(leg["expires_at"])[11:19] + " UTC"


async def _balances(screen: Screen, town: Town, rpc: EvmRpc, title: str) -> None:
    assert town.operator is not None, "the town is open"
    assert town.contracts is not None, "the town is open"
    rows: list[tuple[str, str, str]] = []
    for bank, name in ((PAYER, "Bank A"), (CLEARER, "the clearing bank")):
        view = await town.operator.account(bank)
        rows.append((name, f"{view.asset.text(view.balance)} {view.asset.code}", "on the digital euro's book"))
    for bank, name in ((CLEARER, "the clearing bank"), (PAYEE, "Bank B")):
        account = bytes.fromhex(town.account(bank).removeprefix("0x"))
        answer = await rpc.call(Call(town.contracts.token, _BALANCE.encode(account), _BALANCE.label), "latest")
        (units,) = _BALANCE.decode(answer)
        rows.append((name, f"{YUAN.text(units)} {YUAN.code}", f"on the native chain, {town.account(bank)}"))
    screen.table(f"\n{title}", ("who", "has", "where"), rows)
