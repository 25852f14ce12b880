"""The chain of receipts: whatever is left out, changed or moved, the last link is another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from settlement.books.journal import FIRST_LINK
from settlement.books.receipts import receipt_link

DIGESTS = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=12)


def _links(digests: list[bytes]) -> list[bytes]:
    links = [FIRST_LINK]
    for sequence, digest in enumerate(digests, 1):
        links.append(receipt_link(links[-1], sequence, digest))
    return links


@given(DIGESTS, DIGESTS)
def test_last_link_names_the_whole_past(one: list[bytes], other: list[bytes]) -> None:
    """Two chains end in one link only if they are the same."""
    assert (_links(one)[-1] == _links(other)[-1]) == (one == other)


@given(DIGESTS, st.data())
def test_one_change_changes_all_that_follows(digests: list[bytes], data: st.DataObject) -> None:
    """A changed receipt changes its link and each after it, and none before."""
    at = data.draw(st.integers(0, len(digests) - 1))
    changed = [*digests[:at], bytes(31) + b"\x01" if digests[at] == bytes(32) else bytes(32), *digests[at + 1 :]]
    before, after = _links(digests), _links(changed)
    assert before[: at + 1] == after[: at + 1]
    assert all(left != right for left, right in zip(before[at + 1 :], after[at + 1 :], strict=True))
