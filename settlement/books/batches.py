"""Batches of receipts: a Merkle root over their links, signed by this party, anchored on the native chain.

A leaf is a receipt's link, which covers the receipt and all before it; so one anchored root fixes the whole past.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta, Struct

from foundation.quantities import UnixMs
from settlement.cosign.cosignatures import CoSignature
from settlement.cosign.keys import Signer, sign_alone
from settlement.cosign.statements import Kind
from settlement.custody.terms import Bytes32
from settlement.quantities import tagged_hash

NO_ROOT: Final = bytes(32)
"""What the first batch names as the root before."""

BATCH_MAX: Final = 16_384
"""Receipts in a batch, at most: what a minute brings at 150 payments a second, and room."""

_Address = Annotated[bytes, Meta(min_length=20, max_length=20)]
_Number = Annotated[int, Meta(ge=1, lt=2**53)]


class Place(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose roots are anchored where.

    Fields: chain (CAIP-2, such as `eip155:1337`); contract (an `Anchors`, 20 bytes); authority (the account that
    anchors, 20 bytes).
    """

    chain: Annotated[str, Meta(min_length=1, max_length=128)]
    contract: _Address
    authority: _Address


class Anchored(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a root stands, finally. Fields: transaction (hash); block (hash); height (of the block)."""

    transaction: Bytes32
    block: Bytes32
    height: Annotated[int, Meta(ge=0)]


class BatchText(Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed of a batch.

    Fields: place; number (from 1; the anchor's, too); first, last (sequence numbers of the receipts that it covers);
    root; previous (the root before); made_at (Unix milliseconds).
    """

    place: Place
    number: _Number
    first: _Number
    last: _Number
    root: Bytes32
    previous: Bytes32
    made_at: UnixMs

    @property
    def size(self) -> int:
        """How many receipts it covers."""
        return self.last - self.first + 1

    @property
    def digest(self) -> bytes:
        """32 bytes over all of it: a root that is signed for one chain, contract and account counts on no other."""
        numbers = b"".join(number.to_bytes(8, "big") for number in (self.number, self.first, self.last, self.made_at))
        place = self.place
        return tagged_hash(
            "books/batch", place.chain.encode(), place.contract, place.authority, numbers, self.root, self.previous
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it is kept. Fields: text; signature (of this party alone, `Kind.ANCHOR`); anchored."""

    text: BatchText
    signature: CoSignature
    anchored: Anchored | None = None


def signed_batch(text: BatchText, signer: Signer) -> Batch:
    """The batch, signed by this party."""
    return Batch(text, sign_alone(signer, Kind.ANCHOR, text.digest))
