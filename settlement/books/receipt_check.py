"""Verifying a receipt's file, offline or against the chain: each check is named, and so is what was not checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from foundation.errors import Fatal
from foundation.quantities import UnixMs
from settlement.books.batches import Place
from settlement.books.merkle import is_included
from settlement.books.receipt_file import BatchProof, ReceiptFile
from settlement.books.receipts import Receipt, receipt_link
from settlement.cosign.registry import KeyRegistry
from settlement.cosign.statements import Kind, PublicKey
from settlement.custody.terms import check_quote
from settlement.quantities import PartyId

TrustedKeys = Mapping[PartyId, AbstractSet[PublicKey]]
"""The keys that the auditor knows to be each party's, from elsewhere than the file."""


class Outcome(StrEnum):
    """What came out of a check."""

    HOLDS = "holds"
    FAILS = "fails"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. Fields: name; outcome; detail (for people)."""

    name: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked of a file, and what was not. Fields: payment_id; checks, in order."""

    payment_id: bytes
    checks: tuple[Check, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing that was checked fails. What was not checked is for the reader to weigh."""
        return all(check.outcome is not Outcome.FAILS for check in self.checks)

    @property
    def is_complete(self) -> bool:
        """Whether everything was checked, and holds."""
        return all(check.outcome is Outcome.HOLDS for check in self.checks)


class ChainPort(Protocol):
    """A chain that the auditor asks itself."""

    async def root_at(self, place: Place, number: int) -> bytes | None:
        """The root that stands, finally, under a number; None where there is none, or it is another chain.

        Raises:
            Retryable: it does not answer.
        """


@dataclass
class _Reader:
    """Gathers checks; after a failure those that build on it are not made."""

    checks: list[Check] = field(default_factory=list)

    def note(self, name: str, outcome: Outcome, detail: str) -> bool:
        self.checks.append(Check(name, outcome, detail))
        return outcome is Outcome.HOLDS

    def judge(self, name: str, holds: bool, good: str, bad: str) -> bool:
        return self.note(name, Outcome.HOLDS if holds else Outcome.FAILS, good if holds else bad)

    def attempt(self, name: str, check: Callable[[], object], good: str) -> bool:
        try:
            check()
        except Fatal as problem:
            return self.note(name, Outcome.FAILS, str(problem))
        return self.note(name, Outcome.HOLDS, good)


async def verify_receipt(file: ReceiptFile, trusted: TrustedKeys | None, chain: ChainPort | None) -> Report:
    """Verify a receipt.

    Args:
        file: the receipt's.
        trusted: the parties' keys, as the auditor knows them; None: the file's own are taken, and the report says so.
        chain: asked for the anchored root; None: the report says that it was not.

    Raises:
        Retryable: the chain does not answer.
    """
    reader = _Reader()
    registry = _keys(reader, file, trusted)
    receipt = _receipt(reader, file)
    if registry is None or receipt is None:
        return Report(file.payment_id, tuple(reader.checks))
    parties = (receipt.quote.payer, receipt.quote.clearer, receipt.quote.payee)
    at = UnixMs(receipt.quote.expires_at)
    reader.attempt(
        "signature",
        lambda: registry.verify(Kind.RECEIPT, receipt.text, receipt.signature, at, [PartyId(name) for name in parties]),
        f"signed by {', '.join(parties)}",
    )
    proof = file.proof
    if proof is None:
        reader.note("inclusion", Outcome.UNCHECKED, "the receipt was in no batch yet when the file was made")
        return Report(file.payment_id, tuple(reader.checks))
    if _included(reader, receipt, proof, registry):
        await _anchored(reader, proof, chain)
    return Report(file.payment_id, tuple(reader.checks))


def _keys(reader: _Reader, file: ReceiptFile, trusted: TrustedKeys | None) -> KeyRegistry | None:
    """The file's keys, if each has proved possession and is known to be its party's."""
    registry: list[KeyRegistry] = []
    if not reader.attempt(
        "possession", lambda: registry.append(KeyRegistry.restored(file.keys)), "each key has proved possession"
    ):
        return None
    if trusted is None:
        reader.note("keys", Outcome.UNCHECKED, "the keys are the file's own: compare them with the parties'")
        return registry[0]
    strange = sorted(
        {
            record.possession.party
            for record in file.keys
            if record.possession.key not in trusted.get(record.possession.party, frozenset())
        }
    )
    names = ", ".join(strange)
    if not reader.judge("keys", not strange, "the parties' known keys", f"no known key of {names}"):
        return None
    return registry[0]


def _receipt(reader: _Reader, file: ReceiptFile) -> Receipt | None:
    made: list[Receipt] = []

    def read() -> None:
        receipt = file.receipt
        check_quote(receipt.quote)
        made.append(receipt)

    return made[0] if reader.attempt("quote", read, "the quote does not contradict itself") else None


def _included(reader: _Reader, receipt: Receipt, proof: BatchProof, registry: KeyRegistry) -> bool:
    """Whether the receipt is in the keeper's batch, and the keeper has signed that batch."""
    text = proof.text
    link = receipt_link(proof.previous, proof.sequence, receipt.digest)
    is_in = is_included(link, proof.sequence - text.first, text.size, proof.path, text.root)
    place = f"number {proof.sequence} of {proof.keeper}, in batch {text.number}"
    if not reader.judge("inclusion", is_in, place, "the Merkle proof does not lead to the batch's root"):
        return False
    if proof.signature.parties != (proof.keeper,):
        # Whoever else is named has no part in the keeper's books.
        return reader.judge("batch", False, "", f"it is not signed by {proof.keeper} alone")
    return reader.attempt(
        "batch",
        lambda: registry.verify(Kind.ANCHOR, text.digest, proof.signature, text.made_at, [proof.keeper]),
        f"the batch is signed by {proof.keeper}",
    )


async def _anchored(reader: _Reader, proof: BatchProof, chain: ChainPort | None) -> None:
    text, where = proof.text, proof.anchored
    if where is None:
        reader.note("anchor", Outcome.UNCHECKED, "the batch was not anchored yet when the file was made")
        return
    named = f"anchor {text.number} in block {where.height} of {text.place.chain}"
    if chain is None:
        reader.note("anchor", Outcome.UNCHECKED, f"{named}: the chain was not asked")
        return
    found = await chain.root_at(text.place, text.number)
    problem = "there is no such anchor" if found is None else "another root is anchored"
    reader.judge("anchor", found == text.root, named, f"{named}: {problem}")
