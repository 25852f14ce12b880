"""Calls of an Escrow and of Anchors, ready for `TxSender.send`. Each raises `BadInput` for what has no form there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.evm.abi import Function
from adapters.evm.escrow.bindings import Anchors, Escrow
from adapters.evm.escrow.types import MAX_CLAIMS, MAX_MEMO, MAX_NOTE, AnyTerms, PointTerms, Terms
from adapters.evm.lockbox.bindings import Token
from adapters.evm.lockbox.types import check_address
from adapters.evm.types import Call
from foundation.errors import BadInput
from foundation.quantities import Wei


class EscrowCalls:
    """Builds the calls of one Escrow (address of 20 bytes)."""

    def __init__(self, escrow: bytes) -> None:
        """For the Escrow at that address. Raises `BadInput`."""
        check_address(escrow, "escrow", zero_allowed=False)
        self.escrow = escrow

    def lock(self, terms: Terms, memo: bytes = b"") -> Call:
        """Make a lock; the sender has to be `terms.payer`. Tokens need an allowance (`approve`).

        Args:
            terms: all of them.
            memo: public bytes for the beneficiary; empty: none, which costs less.
        """
        if len(memo) > MAX_MEMO:
            raise BadInput("memo", f"{len(memo)} bytes", f"at most {MAX_MEMO:,} bytes")
        tail = (terms.beneficiary, terms.refund_to, terms.condition, terms.expires_at)
        told = (memo,) if memo else ()
        if terms.is_coin:
            function = Escrow.lock_with_memo if memo else Escrow.lock
            return self._call(function, terms.id, *tail, *told, value=Wei(terms.amount))
        function = Escrow.lock_token_with_memo if memo else Escrow.lock_token
        return self._call(function, terms.id, terms.asset, terms.amount, *tail, *told)

    def lock_noted(self, terms: AnyTerms, note: bytes) -> Call:
        """As `lock`, for a lock of either kind and a short memo, at 5,000 gas less in coin.

        Args:
            terms: all of them.
            note: public bytes, up to `MAX_NOTE`; empty: none.
        """
        if len(note) > MAX_NOTE:
            raise BadInput("note", f"{len(note)} bytes", f"at most {MAX_NOTE:,} bytes")
        if isinstance(terms, PointTerms):
            rest = (terms.beneficiary, terms.refund_to, terms.point, terms.expires_at, note)
            if terms.is_coin:
                return self._call(Escrow.lock_point, terms.id, *rest, value=Wei(terms.amount))
            return self._call(Escrow.lock_point_token, terms.id, terms.asset, terms.amount, *rest)
        if not note or not terms.is_coin:
            return self.lock(terms, note)
        rest = (terms.beneficiary, terms.refund_to, terms.condition, terms.expires_at, note)
        return self._call(Escrow.lock_with_note, terms.id, *rest, value=Wei(terms.amount))

    def claim(self, terms: Terms, preimage: bytes) -> Call:
        """Have the beneficiary paid, before the time-out; anyone. From here on the preimage (32 bytes) is public."""
        return self._call(Escrow.claim, terms.tuple, preimage)

    def claim_batch(self, claims: Sequence[tuple[Terms, bytes]]) -> Call:
        """As `claim` for several locks; what cannot be claimed is passed over."""
        if not 1 <= len(claims) <= MAX_CLAIMS:
            raise BadInput("claims", f"there are {len(claims)}", f"1 to {MAX_CLAIMS}")
        return self._call(Escrow.claim_batch, [(terms.tuple, preimage) for terms, preimage in claims])

    def claim_point(self, terms: PointTerms, scalar: bytes) -> Call:
        """As `claim`, by the scalar of the point (32 bytes, big-endian), which is public from here on."""
        if len(scalar) != 32:
            raise BadInput("scalar", f"{len(scalar)} bytes", "32 bytes")
        return self._call(Escrow.claim_point, terms.tuple, int.from_bytes(scalar, "big"))

    def refund(self, terms: AnyTerms) -> Call:
        """Send the money back once the time-out has passed; anyone."""
        function = Escrow.refund if isinstance(terms, Terms) else Escrow.refund_point
        return self._call(function, terms.tuple)

    def give_back(self, terms: AnyTerms, signature: bytes = b"") -> Call:
        """Send the money back at any time.

        Args:
            terms: the lock's.
            signature: the beneficiary's `give_back_digest`, 65 bytes; empty where the sender is the beneficiary.
        """
        function = Escrow.give_back if isinstance(terms, Terms) else Escrow.give_back_point
        return self._call(function, terms.tuple, signature)

    def withdraw(self, owner: bytes, asset: bytes, to: bytes) -> Call:
        """Pay what a beneficiary did not take: the owner to any address, anyone else to the owner."""
        check_address(to, "to", zero_allowed=False)
        return self._call(Escrow.withdraw, owner, asset, to)

    def approve(self, token: bytes, amount: int) -> Call:
        """Let the Escrow take tokens of the sender."""
        check_address(token, "token", zero_allowed=False)
        return Call(token, Token.approve.encode(self.escrow, amount), Token.approve.label)

    def _call(self, function: Function, *arguments: Any, value: Wei = Wei(0)) -> Call:
        return Call(self.escrow, function.encode(*arguments), function.label, value)


def anchor(anchors: bytes, root: bytes, count: int, previous: bytes) -> Call:
    """Append a Merkle root (32 bytes) over `count` records to the sender's chain, whose last root is `previous`."""
    check_address(anchors, "anchors", zero_allowed=False)
    return Call(anchors, Anchors.anchor.encode(root, count, previous), Anchors.anchor.label)
