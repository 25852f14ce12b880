"""Batches of any shape: exactly the bad signatures are named."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.cosign.batches import verify_batch
from settlement.cosign.cosignatures import CoSignature, assemble
from settlement.cosign.errors import BadBatch
from settlement.cosign.keys import LocalSigner
from settlement.cosign.statements import Kind, Statement, circle
from settlement.quantities import PartyId

SIGNERS = [LocalSigner(PartyId(name), name.encode() * 32) for name in "abc"]
CIRCLES = [circle([s.member for s in SIGNERS[:2]]), circle([s.member for s in SIGNERS]), circle([SIGNERS[2].member])]


def _signed(statement: Statement) -> CoSignature:
    return assemble(statement, [s.sign(statement) for s in SIGNERS if statement.circle.member(s.party)])


STATEMENTS = [Statement(Kind.RECEIPT, bytes([n]), CIRCLES[n % 3]) for n in range(12)]
GOOD = [(statement, _signed(statement)) for statement in STATEMENTS]
OTHERS = [_signed(Statement(Kind.ANCHOR, statement.text, statement.circle)) for statement in STATEMENTS]


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 11), st.booleans()), max_size=14))
def test_exactly_the_bad_ones_are_named(choices: list[tuple[int, bool]]) -> None:
    """A batch passes if all are good; if some are bad, whichever they are, their places are named and no others."""
    items = [GOOD[place] if good else (STATEMENTS[place], OTHERS[place]) for place, good in choices]
    named: tuple[int, ...] = ()
    try:
        verify_batch(items)
    except BadBatch as refusal:
        named = refusal.bad
    assert named == tuple(place for place, (_, good) in enumerate(choices) if not good)
