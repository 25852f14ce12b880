"""What `causeway payment` asks of a gateway, over REST or in its database."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from api.ports import MomentShown, PaymentShown
from api.showing import payment as shown_payment
from api.views import PaymentOut
from cli.book_times import now
from cli.books_gateway import gateway, gateway_secrets, gateway_view, payment_id
from cli.exits import NotFound, TimedOut
from cli.output import Output
from cli.payment_api import Api, ApiAccess, GatewayRefused
from cli.rules_approving import SignedApproval, Signing, check_clears
from foundation.errors import BadInput, Fatal
from foundation.files import write_durably
from foundation.quantities import UnixMs
from settlement.connect.iso20022.pacs002 import read_status_report
from settlement.custody.sealing import Sealer
from settlement.custody.states import Role
from settlement.custody.store import PaymentStore, Stored
from settlement.custody.terms import PaymentId
from settlement.gateway.config import GatewayConfig
from settlement.quantities import Asset, Scale

ENDED: Final = frozenset({"paid", "returned", "failed", "lost"})
_LOOK_SECONDS: Final = 0.3
_PAGE_MAX: Final = 200


class NotAgreed(Fatal):
    """A person has not confirmed the quote. Fields: cure."""

    def __init__(self) -> None:
        self.cure = "answer y, or say with --max-cost what it may cost"
        super().__init__("nothing was paid: the quote was not confirmed")


@dataclass(frozen=True, slots=True)
class Wish:
    """A payment that a person wants. Fields as the options of `causeway payment send`; scale None: not told."""

    payee: str
    clearing: str
    source: str
    target: str
    amount: str
    currency: str
    scale: int | None
    debtor: str
    creditor: str
    country: str
    kind: str
    purpose: str
    reference: str

    def question(self) -> dict[str, Any]:
        """What is asked of the clearing bank."""
        target: dict[str, Any] = {"ledger": self.target, "amount": self.amount, "currency": self.currency}
        if self.scale is not None:
            target["scale"] = self.scale
        return {"payee": self.payee, "clearing": self.clearing, "source_ledger": self.source, "target": target}

    def order(self, quote_id: str) -> dict[str, Any]:
        """The payment of a quote."""
        return {
            "quote_id": quote_id,
            "debtor": {"account": self.debtor},
            "creditor": {"account": self.creditor, "country": self.country, "kind": self.kind},
            "purpose": self.purpose,
            "reference": self.reference,
        }


async def send(
    access: ApiAccess, wish: Wish, key: str, agreed: Callable[[dict[str, Any]], None], wait_seconds: float
) -> dict[str, Any]:
    """Ask for a quote, let `agreed` look at it, and pay; the payment as it stands, at its end if that is waited for.

    The same key asks for the same quote and makes the same payment, also where an answer got lost.

    Raises:
        What `agreed` raises: nothing was paid then.
        TimedOut: the payment has not ended in time; it goes on.
        As `Api`.
    """
    async with Api(access) as api:
        quote = await api.post("/v1/quotes", wish.question(), f"{key}-quote")
        agreed(quote)
        payment: dict[str, Any] = await api.post("/v1/payments", wish.order(quote["id"]), key)
        return await _ended(api, payment, wait_seconds) if wait_seconds > 0 else payment


def check_cost(quote: dict[str, Any], most: str) -> None:
    """Whether a payment costs no more than a person wants.

    Raises:
        BadInput: that is no amount.
        GatewayRefused: it costs more.
    """
    source = quote["source"]
    asset = Asset(source["currency"], Scale(source["scale"]))
    if asset.units(source["amount"], "source") > asset.units(most, "--max-cost"):
        detail = f"it would cost {source['amount']} {asset.code}, more than {most}"
        raise GatewayRefused("above-limit", detail, "nothing was paid; allow more with --max-cost")


def confirm(output: Output) -> None:
    """Ask a person whether to pay; the question is on standard error, since a document may follow on the other.

    Raises:
        NotAgreed: the answer is not yes.
    """
    output.note("Pay? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise NotAgreed


async def _ended(api: Api, payment: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The payment once it has ended."""
    try:
        async with asyncio.timeout(seconds):
            while payment["status"] not in ENDED:
                await asyncio.sleep(_LOOK_SECONDS)
                payment = await api.get(f"/v1/payments/{payment['id']}")
    except TimeoutError as error:
        number = payment["id"]
        raise TimedOut(f"payment {number}", seconds, f"it goes on: causeway payment show {number}") from error
    return payment


async def show(access: ApiAccess, payment: str) -> dict[str, Any]:
    """One payment. Raises as `Api`."""
    number = payment_id(payment).hex()
    async with Api(access) as api:
        found: dict[str, Any] = await api.get(f"/v1/payments/{number}")
        return found


async def status_report(access: ApiAccess, payment: str, out: Path | None) -> dict[str, Any]:
    """A payment's pacs.002, written to a file where one is named; what it says.

    Raises:
        MalformedDocument: the answer is none that is valid.
        What `Api` raises.
    """
    number = payment_id(payment).hex()
    async with Api(access) as api:
        raw = await api.get_bytes(f"/v1/iso20022/pacs.002/{number}")
    report = read_status_report(raw)
    if out is not None:
        write_durably(out, raw, 0o600)
    return {
        "status": report.status.value,
        "reason": report.reason,
        "message_id": report.message_id,
        "end_to_end_id": report.original_end_to_end_id,
        "uetr": report.uetr,
    }


async def listed(access: ApiAccess, statuses: list[str], limit: int) -> list[dict[str, Any]]:
    """The newest payments, of these statuses where any is named. Raises as `Api`."""
    found: list[dict[str, Any]] = []
    after: list[tuple[str, str]] = []
    async with Api(access) as api:
        while len(found) < limit:
            params = [("limit", str(min(limit - len(found), _PAGE_MAX))), *(("status", one) for one in statuses)]
            page = await api.get("/v1/payments", [*params, *after])
            found.extend(page["payments"])
            if page["next"] is None:
                break
            after = [("after", page["next"])]
    return found


async def cancel(access: ApiAccess, payment: str, reason: str, key: str) -> dict[str, Any]:
    """End a payment for which nothing is held yet. Raises as `Api`."""
    number = payment_id(payment).hex()
    async with Api(access) as api:
        found: dict[str, Any] = await api.post(f"/v1/payments/{number}/cancel", {"reason": reason}, key)
        return found


async def decision(access: ApiAccess, payment: str) -> dict[str, Any]:
    """What the rules said last. Raises as `Api`."""
    number = payment_id(payment).hex()
    async with Api(access) as api:
        found: dict[str, Any] = await api.get(f"/v1/payments/{number}/decision")
        return found


async def approve(access: ApiAccess, payment: str, body: dict[str, Any], key: str) -> dict[str, Any]:
    """Hand a person's word in; the decision afterwards. Raises as `Api`."""
    number = payment_id(payment).hex()
    async with Api(access) as api:
        found: dict[str, Any] = await api.post(f"/v1/payments/{number}/approvals", body, key)
        return found


def approval_body(
    payment: str, said: dict[str, Any], signing: Signing, approval: SignedApproval | None, password_file: Path | None
) -> dict[str, Any]:
    """A person's word as it is handed in: one that was signed before, one that is signed now, or that of who is
    logged in.

    Raises:
        BadInput: it is of another payment, or of other facts than the rules looked at last; or a rule is to be cleared
            that did not refer the payment.
    """
    if approval is not None:
        if (approval.payment_id, approval.subject) != (payment, said["subject"]):
            raise BadInput("--approval", "it is of another payment, or of other facts", "look again, and sign anew")
        signed = approval
    else:
        check_clears({one["rule"] for one in said["reasons"] if one["verdict"] == "refer"}, signing.clears)
        if signing.key_file is None:
            body: dict[str, Any] = {"clears": list(signing.clears)}
            return {**body, "person": signing.person} if signing.person else body
        subject = bytes.fromhex(said["subject"])
        signed = signing.sign(bytes.fromhex(payment), subject, now(), signing.key(password_file))
    return {"person": signed.person, "clears": signed.clears, "at": signed.at, "signature": signed.signature}


async def show_in(config_file: Path, payment: str, password_file: Path | None) -> dict[str, Any]:
    """One payment out of a gateway's database, as REST would show it.

    Raises:
        NotFound: there is no such payment.
        What `gateway` and `gateway_secrets` raise.
    """
    number = PaymentId(payment_id(payment))
    config = gateway(config_file)
    sealer = Sealer(gateway_secrets(config, password_file).state_key)
    async with gateway_view(config) as view:
        store = PaymentStore(view.connection, sealer)
        stored = (await store.load([number])).get(number)
        if stored is None:
            raise NotFound(f"there is no payment {number.hex()}", "causeway payment list shows them")
        lines = [MomentShown(one.at, one.stage, one.note) for one in await store.history(number)]
    return _document(_shown(config, number, stored, tuple(lines)))


async def listed_in(
    config_file: Path, statuses: list[str], limit: int, password_file: Path | None
) -> list[dict[str, Any]]:
    """The newest payments of a gateway's database. Raises as `show_in`."""
    config = gateway(config_file)
    sealer = Sealer(gateway_secrets(config, password_file).state_key)
    found: list[dict[str, Any]] = []
    before: UnixMs | None = None
    async with gateway_view(config) as view:
        store = PaymentStore(view.connection, sealer)
        while len(found) < limit and (page := await store.page(_PAGE_MAX, before)):
            every = [_document(_shown(config, number, stored, ())) for number, stored in page]
            found.extend(one for one in every if _is_payment(one) and (not statuses or one["status"] in statuses))
            before = page[-1][1].created_at
    return found[:limit]


def _is_payment(row: dict[str, Any]) -> bool:
    """A clearing bank's quotes that nobody has used are none."""
    return not (row["role"] == Role.CLEARER and row["stage"] in ("quoted", "lapsed"))


def _shown(config: GatewayConfig, number: PaymentId, stored: Stored, history: tuple[MomentShown, ...]) -> PaymentShown:
    assets = {str(each.ledger_id): each.asset for each in config.ledgers}
    return shown_payment(number, stored, config.party, assets, history)


def _document(payment: PaymentShown) -> dict[str, Any]:
    return PaymentOut.of(payment).model_dump()


def new_key() -> str:
    """A fresh idempotency key."""
    return str(uuid.uuid4())
