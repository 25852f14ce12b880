"""Receipts as files: written by who keeps them, verified by who trusts nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.evm.endpoints import Endpoints
from cli.book_times import now
from cli.books_gateway import gateway, gateway_view, payment_id
from cli.exits import NotFound
from cli.payment_api import Api, ApiAccess
from foundation.errors import BadInput
from foundation.files import write_durably
from registry.caip import ChainId
from registry.chains import OWN_FINALITY, Chain
from settlement.books.errors import UnknownReceipt
from settlement.books.evm_anchors import EvmRoots
from settlement.books.receipt_check import ChainPort, Report, TrustedKeys, verify_receipt
from settlement.books.receipt_file import ReceiptFile, decode_file, encode_file, read_file, receipt_file
from settlement.gateway.cards import read_cards
from settlement.gateway.keys import Directory

_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Asked:
    """The chain that an auditor asks. Fields: urls (all have to agree); genesis (64 hex digits); confirmations."""

    urls: tuple[str, ...]
    genesis: str | None
    confirmations: int | None

    def chain(self, name: str) -> Chain:
        """The chain that a receipt names, if its first block is the auditor's. Raises `BadInput`."""
        try:
            first = bytes.fromhex((self.genesis or "").removeprefix("0x"))
        except ValueError:
            first = b""
        if len(first) != _HASH_BYTES:
            raise BadInput("--genesis", "it is needed with --rpc", f"the hash of the first block of {name}")
        rule = OWN_FINALITY if self.confirmations is None else self.confirmations
        return Chain.named(ChainId.parse(name, "receipt.proof.text.place.chain"), first, rule)


def trusted_keys(folder: Path | None) -> TrustedKeys | None:
    """The parties' keys, by the cards that they handed out themselves; None where there is no folder.

    Raises:
        BadInput: it holds no card, or one that is none.
    """
    if folder is None:
        return None
    if not (cards := read_cards(folder)):
        raise BadInput("--cards", f"there is no card in {folder}", "the folder with the parties' cards, *.json")
    return {party: frozenset({card.possession.key}) for party, card in cards.items()}


async def verify(path: Path, cards: Path | None, asked: Asked) -> tuple[ReceiptFile, Report]:
    """A receipt's file, and what was checked of it.

    Raises:
        BadInput: the file, a card or the chain's first block is none.
        NodeUnavailable: the chain is asked, and does not answer.
    """
    file = read_file(path)
    async with _chain(file, asked) as chain:
        return file, await verify_receipt(file, trusted_keys(cards), chain)


@asynccontextmanager
async def _chain(file: ReceiptFile, asked: Asked) -> AsyncIterator[ChainPort | None]:
    if not asked.urls or file.proof is None:
        yield None
        return
    async with Endpoints.at(asked.urls, asked.chain(file.proof.text.place.chain)) as endpoints:
        yield EvmRoots(endpoints)


async def export_from(config_file: Path, payment: str) -> ReceiptFile:
    """A payment's receipt out of a gateway's database.

    Raises:
        NotFound: not all three parties have signed it.
        What `gateway` raises.
    """
    number = payment_id(payment)
    config = gateway(config_file)
    registry = Directory(read_cards(config.cards), now()).registry
    async with gateway_view(config) as view:
        try:
            return await receipt_file(view, number, config.party, registry)
        except UnknownReceipt as error:
            raise NotFound(str(error), "a receipt is there once all three parties have signed it") from error


async def export_over(access: ApiAccess, payment: str) -> ReceiptFile:
    """A payment's receipt over REST. Raises as `Api`, and `BadInput` where the answer is no receipt."""
    number = payment_id(payment).hex()
    async with Api(access) as api:
        return decode_file(await api.get_bytes(f"/v1/receipts/{number}"))


def write(file: ReceiptFile, path: Path) -> None:
    """Write a receipt's file."""
    write_durably(path, encode_file(file), 0o644)


def report_row(file: ReceiptFile, report: Report) -> dict[str, Any]:
    """What was checked, as a document."""
    quote = file.quote
    return {
        "payment_id": report.payment_id.hex(),
        "is_sound": report.is_sound,
        "is_complete": report.is_complete,
        "parties": [quote.payer, quote.clearer, quote.payee],
        "source": {"asset": quote.source.asset, "scale": quote.source.scale, "amount": str(quote.source.amount)},
        "target": {"asset": quote.target.asset, "scale": quote.target.scale, "amount": str(quote.target.amount)},
        "checks": [
            {"name": check.name, "outcome": check.outcome.value, "detail": check.detail} for check in report.checks
        ],
    }
