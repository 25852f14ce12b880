"""The voucher's duties: attest what is final, gather the others' attestations, submit one transaction for each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from adapters.evm.errors import TransactionAbandoned
from adapters.native.calls import NativeCall
from adapters.native.eip712 import BadSignature, by_signer, recover, sign_digest
from adapters.native.errors import ContractRefused, DepositAlreadyFinal, PayoutNotLive
from bridge.agents.attesting import Due, Standing, claims_due, standing, subject_of
from bridge.agents.office import Office, send_call
from bridge.agents.post import ATTESTATION, post
from bridge.agents.submissions import is_enough, is_urgent, submission
from bridge.codec import decode, encode
from bridge.messages import (
    AnchorSeen,
    Attestation,
    Attestations,
    Claim,
    DepositSeen,
    HaltWanted,
    PayoutSeen,
    ResumeWanted,
    Taken,
    claim_digest,
)
from bridge.storage import IncidentKind, JourneyEntry, PromiseConflict, SignatureRow, UnitOfWork
from foundation.errors import Retryable
from foundation.quantities import UnixMs
from mpc.transport import Received

_LOG: Final = structlog.get_logger(__name__)
_AT_ONCE: Final = 32
"""Transactions that are sent at the same time."""
_AGAIN_MS: Final = 30_000
"""After this time a submission that had no visible effect is looked at again."""
_ATTEST_BATCH: Final = 256
_WISHES: Final = frozenset({HaltWanted.__name__, ResumeWanted.__name__})
_MOST_VERSIONS: Final = 3
"""Claims about one payout that are kept of one voucher; a reorg may make an honest one change what it says."""
_REMEMBERED: Final = 10_000
_MOST_WISHES: Final = 1_024
"""Wishes to halt, and to go on, that are kept of one voucher in a day: each may name a time of its own."""
_DAY_MS: Final = 86_400_000


class ClaimDigests:
    """The digests of claims, remembered: many deposits wait together, and are looked at again and again."""

    def __init__(self, office: Office) -> None:
        self._hub = office.native.hub_digests
        self._known: dict[Claim, bytes] = {}

    def of(self, claim: Claim) -> bytes:
        """What a voucher signs for a claim, 32 bytes."""
        if claim not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[claim] = claim_digest(self._hub, claim)
        return self._known[claim]


class Attest:
    """Signs what this node sees final, keeps the promise first, and posts the signature to the other vouchers."""

    name = "attest"

    def __init__(self, office: Office) -> None:
        self._office = office
        self._digests = ClaimDigests(office)
        self._broken: set[bytes] = set()
        """Digests that this node must not sign, because it has promised another one for the same subject."""

    async def run(self) -> bool:
        """Attest what is due."""
        tip = self._office.intake.tip
        if tip is None or self._office.directory.vouchers.weight_of(self._office.account) == 0:
            return False
        async with self._office.database.view() as view:
            due = await claims_due(view, tip.height, self._office.policy.settled_depth, self._office.context)
            digests = {self._digests.of(item.claim): item for item in due}
            signed = await view.attestations.of_digests(digests)
        mine = self._office.account
        missing = [
            (digest, item)
            for digest, item in digests.items()
            if digest not in self._broken and all(row.signer != mine for row in signed.get(digest, ()))
        ]
        for start in range(0, len(missing), _ATTEST_BATCH):
            async with self._office.database.unit() as uow:
                for digest, item in missing[start : start + _ATTEST_BATCH]:
                    await self._attest(uow, digest, item)
                await uow.commit()
        if missing:
            self._office.changed.set()
        return False

    async def _attest(self, uow: UnitOfWork, digest: bytes, item: Due) -> None:
        """Sign one claim. The promise bars this node from ever attesting anything else about the same subject."""
        now = self._office.clock()
        kind = type(item.claim).__name__
        try:
            await uow.promises.keep(_slot(item.claim), item.subject, digest, encode(item.claim), now)
        except PromiseConflict as error:  # a reorg beyond finality; the other subjects must not wait for it
            _LOG.error("a claim contradicts an attestation of before", subject=item.subject.hex(), problem=str(error))
            self._broken.add(digest)
            fields = {"text": str(error)}
            await uow.incidents.record(
                IncidentKind.ALARM, type(error).__name__, now, subject=item.subject, fields=fields
            )
            return
        signature = sign_digest(self._office.identity.account_secret, digest)
        await uow.attestations.add(SignatureRow(digest, self._office.account, item.subject, kind, signature, now))
        others = [p for p in self._office.directory.voucher_peers() if p != self._office.identity.host_key]
        await post(uow, ATTESTATION, digest.hex(), encode(Attestation(item.claim, signature)), others, now)
        await _note(uow, item.transfers, "attested by this voucher", now)


def _slot(claim: Claim) -> str:
    """What a promise is about. That a payout was made, and that it never can be, is one question with one answer: who
    signs both can be slashed, though it was a reorg that changed its mind.
    """
    return PayoutSeen.__name__ if isinstance(claim, AnchorSeen) else type(claim).__name__


class TakeAttestations:
    """Answers the other vouchers' posts."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._day = 0
        self._wishes: Counter[bytes] = Counter()

    async def on_attestations(self, received: Received) -> bytes:
        """Keep signatures that are valid, by vouchers, and about something that this node knows.

        What is refused for good, such as a signature that is no voucher's, or a lie, is said to be kept, so that it
        does not come again. A voucher's lie is kept as an incident with its name.
        """
        items = decode(received.body, Attestations, "attestations").items
        async with self._office.database.view() as view:
            found = [await standing(view, item.claim) for item in items]
        known = [(item, s) for item, s in zip(items, found, strict=True) if s is not Standing.UNKNOWN]
        rows = await asyncio.to_thread(self._checked, [item for item, _ in known])
        pairs = [(row, s) for row, (_, s) in zip(rows, known, strict=True) if row is not None]
        if pairs:
            async with self._office.database.unit() as uow:
                await self._keep(uow, [row for row, s in pairs if s is Standing.POSSIBLE])
                for row, s in pairs:
                    if s is Standing.FALSE:
                        await self._accuse(uow, row, "FalseAttestation")
                await uow.commit()
            self._office.changed.set()
        return encode(Taken([s is not Standing.UNKNOWN for s in found]))

    async def _keep(self, uow: UnitOfWork, rows: Sequence[SignatureRow]) -> None:
        """Add signatures; of what a voucher says about one payout only so much that it cannot fill the disk."""
        kept: list[SignatureRow] = []
        for row in rows:
            if row.kind in _WISHES and not self._may_wish(row.signer):
                continue
            if row.kind != DepositSeen.__name__:
                before = await uow.attestations.of_subject(row.subject, row.kind)
                others = {r.digest for r in [*before, *kept] if r.signer == row.signer and r.subject == row.subject}
                others.discard(row.digest)
                if others:
                    await self._accuse(uow, row, "ContradictoryAttestation")
                if len(others) >= _MOST_VERSIONS:
                    continue
            kept.append(row)
        await uow.attestations.add(*kept)

    def _may_wish(self, signer: bytes) -> bool:
        """Whether another wish of this voucher is kept today."""
        today = self._office.clock() // _DAY_MS
        if today != self._day:
            self._day, self._wishes = today, Counter()
        self._wishes[signer] += 1
        return self._wishes[signer] <= _MOST_WISHES

    async def _accuse(self, uow: UnitOfWork, row: SignatureRow, error: str) -> None:
        """Keep what a voucher has signed against better knowledge."""
        party = self._office.directory.host_key_of(row.signer) or row.signer
        _LOG.warning("an attestation is refused", problem=error, signer=self._office.directory.name_of(party))
        fields = {"text": f"{row.kind} with digest {row.digest.hex()}", "signature": row.signature.hex()}
        await uow.incidents.record(
            IncidentKind.FAULT, error, self._office.clock(), party=party, subject=row.subject, fields=fields
        )

    def _checked(self, items: Sequence[Attestation]) -> list[SignatureRow | None]:
        """A row for each, None where the signature is no voucher's."""
        return [self._row(item) for item in items]

    def _row(self, item: Attestation) -> SignatureRow | None:
        digest = claim_digest(self._office.native.hub_digests, item.claim)
        try:
            signer = recover(digest, item.signature)
        except BadSignature as error:
            _LOG.warning("an attestation is refused", problem=str(error))
            return None
        if not self._office.directory.vouchers.weight_of(signer):
            _LOG.warning("an attestation is refused", problem="its signer is no voucher", signer=signer.hex())
            return None
        kind, now = type(item.claim).__name__, self._office.clock()
        return SignatureRow(digest, signer, subject_of(item.claim), kind, item.signature, now)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A claim with a quorum."""

    due: Due
    call: NativeCall
    verb: str
    signers: tuple[bytes, ...]


class Submit:
    """Sends what has a quorum to the Hub, when it is this voucher's turn."""

    name = "submit"

    def __init__(self, office: Office) -> None:
        self._office = office
        self._digests = ClaimDigests(office)
        self._sent: dict[tuple[str, bytes], UnixMs] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> bool:
        """Submit what is ready."""
        tip = self._office.intake.tip
        if tip is None:
            return False
        async with self._office.database.view() as view:
            due = await claims_due(view, tip.height, self._office.policy.settled_depth, self._office.context)
            digests = {self._digests.of(item.claim): item for item in due}
            signed = await view.attestations.of_digests(digests)
        self._forget({_matter(item) for item in due})
        peers = self._office.directory.voucher_peers()
        mine = [
            (digest, item)
            for digest, item in digests.items()
            if not self._is_sent(item) and (is_urgent(item.claim) or self._office.is_turn(peers, subject=item.subject))
        ]
        ready = [r for digest, item in mine if (r := self._ready(item, signed.get(digest, ()))) is not None]
        sent = await asyncio.gather(*(self._submit(item) for item in ready))
        await self._note([result for result in sent if result is not None])
        return bool(due)

    def _ready(self, item: Due, rows: Sequence[SignatureRow]) -> _Ready | None:
        """The call, if enough weight has signed."""
        vouchers = self._office.directory.vouchers
        signatures = {row.signer: row.signature for row in rows if vouchers.weight_of(row.signer)}
        if not is_enough(vouchers, item.claim, signatures):
            return None
        call, verb = submission(self._office.native.calls, item.claim, by_signer(signatures))
        return _Ready(item, call, verb, tuple(sorted(signatures)))

    async def _submit(self, ready: _Ready) -> tuple[_Ready, bytes] | None:
        """Send one, and return it with the transaction's hash; None where it had no effect of ours."""
        async with self._slots:
            subject = ready.due.subject
            try:
                result = await send_call(self._office.sender, ready.verb, subject, ready.call)
            except (DepositAlreadyFinal, PayoutNotLive):
                self._sent[_matter(ready.due)] = self._office.clock()  # another voucher was faster
                return None
            except ContractRefused as error:
                _LOG.warning("the Hub refuses a submission", subject=subject.hex(), reason=str(error))
                self._sent[_matter(ready.due)] = self._office.clock()
                return None
            except (Retryable, TransactionAbandoned) as error:
                _LOG.info("a submission waits", subject=subject.hex(), problem=str(error))
                return None
        self._sent[_matter(ready.due)] = self._office.clock()
        return ready, result.transaction

    async def _note(self, sent: Sequence[tuple[_Ready, bytes]]) -> None:
        """Tell the journeys what was sent."""
        if not sent:
            return
        async with self._office.database.unit() as uow:
            for ready, transaction in sent:
                names = ", ".join(self._office.directory.name_of(account) for account in ready.signers)
                text = f"sent to the Hub, attested by {names}"
                await _note(uow, ready.due.transfers, text, self._office.clock(), transaction, "native")
            await uow.commit()

    def _is_sent(self, item: Due) -> bool:
        sent = self._sent.get(_matter(item))
        return sent is not None and self._office.clock() - sent < _AGAIN_MS

    def _forget(self, due: set[tuple[str, bytes]]) -> None:
        for matter in set(self._sent) - due:
            del self._sent[matter]


def _matter(item: Due) -> tuple[str, bytes]:
    """What a submission is about: a halt and its end are two matters of one subject."""
    return type(item.claim).__name__, item.subject


async def _note(
    uow: UnitOfWork,
    transfers: Sequence[bytes],
    text: str,
    now: UnixMs,
    transaction: bytes | None = None,
    chain: str = "",
) -> None:
    rows = await uow.transfers.get_many(transfers)
    entries = [JourneyEntry(id_, now, row.stage, text, transaction, chain) for id_, row in rows.items()]
    await uow.journey.append(*entries)
