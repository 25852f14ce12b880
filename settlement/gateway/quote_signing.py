"""One signature for all the quotes that are asked for at the same time.

A clearing bank signs the root of a Merkle tree (RFC 9162, 2.1) over the hashes of the quotes, and hands each out with
its path. Each is as firm as if it were signed by itself, and whoever has one learns of the others their number and
random-looking hashes. What is signed for a tree has another tag than the hash of a quote, and covers the tree's size:
so no tree is taken for a quote, nor a quote for a tree, and each quote has one place in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from foundation.unreadable import UNREADABLE
from settlement.books.merkle import HASH_BYTES, root_by, tree_of
from settlement.cosign.cosignatures import CoSignature, SignedBy
from settlement.cosign.errors import MalformedSignature
from settlement.cosign.keys import Signer
from settlement.cosign.statements import Circle, Statement
from settlement.custody.terms import Quote, quote_hash
from settlement.gateway.keys import Directory
from settlement.quantities import tagged_hash

TOGETHER_MAX: Final = 256
"""Quotes under one signature: with eight hashes of a path it still fits the 512 bytes that a quote's may have."""


class _Together(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A signature on a tree, and the quote's place in it."""

    signature: CoSignature
    place: Annotated[int, Meta(ge=0)]
    size: Annotated[int, Meta(ge=2, le=TOGETHER_MAX)]
    path: Annotated[
        tuple[Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)], ...], Meta(max_length=8)
    ]


_forms = msgspec.msgpack.Decoder(CoSignature | _Together)


def sign_quotes(signer: Signer, directory: Directory, quotes: Sequence[Quote]) -> list[bytes]:
    """The signatures of `quotes`, all of them the signer's own; at most 512 bytes each.

    Raises:
        UnknownSigner, KeyNotValid, NotACircle: the signer's key is not the one that is valid at a quote's end.
    """
    # The keys that are valid at the quote's end count: quotes that end after a change of keys are signed apart.
    by_keys: dict[Circle, list[int]] = {}
    for number, quote in enumerate(quotes):
        by_keys.setdefault(directory.quote_statement(quote).circle, []).append(number)
    signed: dict[int, bytes] = {}
    for alike in by_keys.values():
        for start in range(0, len(alike), TOGETHER_MAX):
            numbers = alike[start : start + TOGETHER_MAX]
            signed.update(zip(numbers, _signed(signer, directory, [quotes[number] for number in numbers]), strict=True))
    return [signed[number] for number in range(len(quotes))]


def quote_signature(directory: Directory, quote: Quote, raw: bytes) -> tuple[Statement, CoSignature]:
    """What has to be verified of a quote's signature. Nothing is verified yet.

    Raises:
        MalformedSignature: it is none, or its path leads from this quote to no root.
        UnknownSigner, KeyNotValid: the clearing bank has no key that is valid at the quote's end.
    """
    try:
        found = _forms.decode(raw)
    except UNREADABLE as error:
        raise MalformedSignature("quote_signature", str(error)) from error
    if isinstance(found, CoSignature):
        return directory.quote_statement(quote), found
    root = root_by(quote_hash(quote), found.place, found.size, found.path)
    if root is None:
        raise MalformedSignature("quote_signature", "its path leads to no root", "")
    return directory.quotes_statement(quote, _tree_hash(found.size, root)), found.signature


def _signed(signer: Signer, directory: Directory, quotes: Sequence[Quote]) -> list[bytes]:
    if len(quotes) == 1:
        return [_alone(signer, directory.quote_statement(quotes[0])).encode()]
    hashes = [quote_hash(quote) for quote in quotes]
    root, paths = tree_of(hashes)
    signature = _alone(signer, directory.quotes_statement(quotes[0], _tree_hash(len(hashes), root)))
    return [msgspec.msgpack.encode(_Together(signature, place, len(hashes), path)) for place, path in enumerate(paths)]


def _alone(signer: Signer, statement: Statement) -> CoSignature:
    # Its own signature needs no verification: the sum of one part is the part.
    part = signer.sign(statement)
    return CoSignature((SignedBy(part.party, part.key_id),), part.signature)


def _tree_hash(size: int, root: bytes) -> bytes:
    return tagged_hash("quotes", size.to_bytes(8, "big"), root)
