"""A receipt as one JSON file, with all that an auditor needs to verify it without asking anybody. Bytes are base64."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from foundation.database import View
from foundation.errors import BadInput
from foundation.files import write_durably
from foundation.unreadable import UNREADABLE
from settlement.books.batch_store import BatchStore
from settlement.books.batches import Anchored, BatchText
from settlement.books.errors import UnknownReceipt
from settlement.books.merkle import path_to
from settlement.books.receipt_store import ReceiptStore
from settlement.books.receipts import Receipt
from settlement.cosign.cosignatures import CoSignature
from settlement.cosign.registry import KeyRecord, KeyRegistry
from settlement.custody.terms import Bytes32, Leg, Quote
from settlement.quantities import PartyId

FILE_BYTES_MAX: Final = 65_536
FORMAT: Final = "causeway-receipt/1"


class LegText(Struct, frozen=True, forbid_unknown_fields=True):
    """`Leg` with its fields named."""

    ledger: str
    asset: str
    scale: int
    payer: str
    payee: str
    amount: int
    expires_at: int


class QuoteText(Struct, frozen=True, forbid_unknown_fields=True):
    """`Quote` with its fields named."""

    quote_id: bytes
    payer: str
    clearer: str
    payee: str
    source: LegText
    target: LegText
    rate_num: int
    rate_den: int
    fee: int
    expires_at: int


class BatchProof(Struct, frozen=True, forbid_unknown_fields=True):
    """That a receipt is in an anchored batch.

    Fields: keeper (whose books); text, signature (the batch, signed by the keeper alone); sequence (of the receipt in
    the keeper's chain); previous (the link before it); path (Merkle proof of its link); anchored (None: not yet).
    """

    keeper: PartyId
    text: BatchText
    signature: CoSignature
    sequence: Annotated[int, Meta(ge=1, lt=2**53)]
    previous: Bytes32
    path: Annotated[tuple[Bytes32, ...], Meta(max_length=64)]
    anchored: Anchored | None


class ReceiptFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file.

    Fields: format; payment_id, terms, agreement, preimage (32 bytes each); quote; signature (of all three parties);
    keys (theirs and the keeper's, with their proofs of possession); proof (None: the receipt is in no batch yet).
    """

    format: str
    payment_id: Bytes32
    quote: QuoteText
    terms: Bytes32
    agreement: Bytes32
    preimage: Bytes32
    signature: CoSignature
    keys: Annotated[tuple[KeyRecord, ...], Meta(max_length=64)]
    proof: BatchProof | None

    @property
    def receipt(self) -> Receipt:
        """The receipt in it.

        Raises:
            BadInput: the quote is none.
        """
        try:
            quote = msgspec.convert(msgspec.to_builtins(_listed(self.quote)), Quote)
        except msgspec.ValidationError as error:
            raise BadInput("quote", str(error), "ask for the file anew") from error
        return Receipt(self.payment_id, quote, self.terms, self.agreement, self.preimage, self.signature)


async def receipt_file(view: View, payment_id: bytes, keeper: PartyId, keys: KeyRegistry) -> ReceiptFile:
    """The file of a payment's receipt, as this party can prove it now.

    Args:
        view: of the database with the receipts.
        payment_id: 32 bytes.
        keeper: this party.
        keys: those of all parties.

    Raises:
        UnknownReceipt: the payment is not closed.
    """
    store = ReceiptStore(view.connection)
    kept = await store.of_payment(payment_id)
    if kept is None:
        raise UnknownReceipt(payment_id, "there is no receipt of it")
    receipt, batch = kept.receipt, await BatchStore(view.connection).covering(kept.sequence)
    proof = None
    if batch is not None:
        text = batch.text
        links = await store.links(text.first, text.last)
        path = path_to(links, kept.sequence - text.first)
        before = await store.link(kept.sequence - 1)
        signed = (keeper, text, batch.signature)
        proof = BatchProof(*signed, kept.sequence, before, path, batch.anchored)
    return ReceiptFile(
        format=FORMAT,
        payment_id=receipt.payment_id,
        quote=_named(receipt.quote),
        terms=receipt.terms,
        agreement=receipt.agreement,
        preimage=receipt.preimage,
        signature=receipt.signature,
        keys=_keys_of((*receipt.signature.parties, keeper), keys),
        proof=proof,
    )


def encode_file(file: ReceiptFile) -> bytes:
    """JSON, indented for people."""
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def decode_file(raw: bytes) -> ReceiptFile:
    """A file's content; nothing is verified.

    Raises:
        BadInput: it is none.
    """
    if len(raw) > FILE_BYTES_MAX:
        raise BadInput("receipt", f"more than {FILE_BYTES_MAX} bytes", "name a receipt's file")
    try:
        file = msgspec.json.decode(raw, type=ReceiptFile)
    except UNREADABLE as error:
        raise BadInput("receipt", f"no receipt: {error}", "name a receipt's file") from error
    if file.format != FORMAT:
        raise BadInput("receipt.format", f"{file.format[:40]!r} is not known", f"{FORMAT} is")
    return file


def write_file(path: Path, file: ReceiptFile) -> None:
    """Write it. Raises OSError."""
    write_durably(path, encode_file(file), mode=0o644)


def read_file(path: Path) -> ReceiptFile:
    """Read it. Raises BadInput where it cannot be read, or is none."""
    try:
        with path.open("rb") as file:
            return decode_file(file.read(FILE_BYTES_MAX + 1))
    except OSError as error:
        raise BadInput(str(path), error.strerror or "cannot be read", "name a receipt's file") from error


def _keys_of(parties: Iterable[PartyId], keys: KeyRegistry) -> tuple[KeyRecord, ...]:
    wanted = set(parties)
    return tuple(record for record in keys.records() if record.possession.party in wanted)


def _named(quote: Quote) -> QuoteText:
    values = {name: getattr(quote, name) for name in Quote.__struct_fields__}
    return QuoteText(**{**values, "source": _named_leg(quote.source), "target": _named_leg(quote.target)})


def _named_leg(leg: Leg) -> LegText:
    return LegText(**{name: getattr(leg, name) for name in Leg.__struct_fields__})


def _listed(quote: QuoteText) -> list[object]:
    """As `Quote` is encoded: a list."""
    values = {name: getattr(quote, name) for name in Quote.__struct_fields__}
    for side in ("source", "target"):
        values[side] = [getattr(values[side], name) for name in Leg.__struct_fields__]
    return list(values.values())
