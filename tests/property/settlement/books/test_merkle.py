"""Merkle proofs: each record has one, and nothing else does."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import BadInput
from settlement.books.merkle import is_included, leaf_hash, node_hash, path_to, root_of, tree_of

RECORDS = st.lists(st.binary(max_size=40), min_size=1, max_size=40)


def _by_the_book(records: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, as it is defined: split at the largest power of two below the size."""
    if len(records) == 1:
        return hashlib.sha256(b"\x00" + records[0]).digest()
    split = 1 << (len(records) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + _by_the_book(records[:split]) + _by_the_book(records[split:])).digest()


def test_known_roots() -> None:
    """The roots of Certificate Transparency's own test vectors."""
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    records = [bytes.fromhex(each) for each in inputs]
    assert root_of(records[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert root_of(records[:3]).hex() == "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
    assert root_of(records).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    with pytest.raises(BadInput):
        root_of([])


@given(RECORDS)
def test_root_is_the_one_that_the_rfc_defines(records: list[bytes]) -> None:
    """Building from the leaves up gives the root that is defined from the top down, for every size."""
    assert root_of(records) == _by_the_book(records)


@given(RECORDS)
def test_each_record_is_proved_at_its_place_and_nowhere_else(records: list[bytes]) -> None:
    """A proof holds for its record at its place in a tree of its size."""
    root = root_of(records)
    for index, record in enumerate(records):
        path = path_to(records, index)
        assert is_included(record, index, len(records), path, root)
        for other in range(len(records)):
            if records[other] != record:
                assert not is_included(record, other, len(records), path, root)
    for index in (-1, len(records)):
        with pytest.raises(BadInput):
            path_to(records, index)


@given(RECORDS)
def test_a_whole_tree_is_its_root_and_all_paths(records: list[bytes]) -> None:
    """Made together, root and paths are those that are made one by one."""
    assert tree_of(records) == (root_of(records), [path_to(records, index) for index in range(len(records))])


@settings(max_examples=200)
@given(RECORDS, st.data())
def test_changed_proofs_prove_nothing(records: list[bytes], data: st.DataObject) -> None:
    """Another record, hash, order, length or place makes a proof worthless."""
    root, index = root_of(records), data.draw(st.integers(0, len(records) - 1))
    size, path = len(records), path_to(records, index)
    record = records[index]
    assert not is_included(record + b"\0", index, size, path, root)
    assert not is_included(record, index, size, path, bytes(32))
    assert not is_included(record, index, size, (*path, bytes(32)), root)
    assert not is_included(record, index, size, path * 40, root) or not path
    assert not is_included(record, -1, size, path, root)
    assert not is_included(record, size, size, path, root)
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        flipped = bytes([path[at][0] ^ 1]) + path[at][1:]
        assert not is_included(record, index, size, (*path[:at], flipped, *path[at + 1 :]), root)
        assert not is_included(record, index, size, path[:-1], root)
        assert not is_included(record, index, size, (*path[:-1], path[-1][:31]), root)


@given(RECORDS)
def test_inner_nodes_are_no_leaves(records: list[bytes]) -> None:
    """An inner node's children, given as a record, are not in the tree: no second preimage by another depth."""
    if len(records) < 2:
        return
    root = root_of(records)
    forged = leaf_hash(records[0]) + leaf_hash(records[1])
    path = path_to(records, 0)[1:]
    assert not is_included(forged, 0, max(1, (len(records) + 1) // 2), path, root)
    assert not is_included(b"\x01" + forged, 0, max(1, (len(records) + 1) // 2), path, root)
    assert node_hash(leaf_hash(records[0]), leaf_hash(records[1])) != leaf_hash(forged)


@given(RECORDS)
def test_copying_the_last_record_changes_the_root(records: list[bytes]) -> None:
    """No two lists have one root: not even one and the same with its end said twice (CVE-2012-2459)."""
    assert root_of(records) != root_of([*records, records[-1]])
    assert root_of(records) != root_of(records + records)
