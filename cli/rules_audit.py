"""What a gateway's rules decided, for an auditor."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from cli.book_times import EARLIEST, moment
from cli.books_gateway import gateway, gateway_secrets, gateway_view, payment_id
from cli.rules_view import decision_row
from foundation.quantities import UnixMs
from settlement.rules.store import Entry, RulesStore

_PAGE: Final = 1_000
_UNUSED_KEY: Final = bytes(32)
"""Lists of decisions need no key: it opens facts, which are not asked for then."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which decisions are listed. Fields: payment (None: all); verdict; since; limit; with_facts."""

    payment: bytes | None
    verdict: str | None
    since: UnixMs
    limit: int
    with_facts: bool

    @classmethod
    def of(cls, payment: str | None, verdict: str | None, since: str | None, limit: int, with_facts: bool) -> Wanted:
        """From a command line. Raises `BadInput`."""
        number = None if payment is None else payment_id(payment, "--payment")
        return cls(number, verdict, moment(since, "--since", EARLIEST), limit, with_facts)

    def covers(self, entry: Entry) -> bool:
        """Whether the decision is one of them."""
        decision = entry.decision
        return (
            self.payment in (None, decision.payment_id)
            and self.verdict in (None, decision.verdict.name.lower())
            and decision.at >= self.since
        )


async def read_decisions(config_file: Path, wanted: Wanted, password_file: Path | None) -> dict[str, Any]:
    """The newest decisions of those wanted, and the chain's length and head.

    Raises:
        ChainBroken: the decisions are not those that were made.
        What `gateway` and `gateway_secrets` raise.
    """
    config = gateway(config_file)
    key = gateway_secrets(config, password_file).facts_key if wanted.with_facts else _UNUSED_KEY
    async with gateway_view(config) as view:
        store = RulesStore(view.connection, key)
        length, head = await store.verify()
        found: deque[Entry] = deque(maxlen=wanted.limit)
        after = 0
        while page := await store.entries(after, _PAGE):
            found.extend(entry for entry in page if wanted.covers(entry))
            after = page[-1].sequence
        rows = [await _row(store, entry, wanted.with_facts) for entry in found]
    return {"chain": length, "head": head.hex(), "decisions": rows}


async def _row(store: RulesStore, entry: Entry, with_facts: bool) -> dict[str, Any]:
    approvals = [{"person": each.person, "clears": list(each.clears), "at": int(each.at)} for each in entry.approvals]
    row = {"number": entry.sequence, **decision_row(entry.decision), "approvals": approvals}
    if with_facts:
        facts = await store.facts_of(entry.decision.facts_digest)
        row["facts"] = None if facts is None else msgspec.to_builtins(facts)
    return row
