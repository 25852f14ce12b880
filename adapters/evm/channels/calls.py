"""Calls of a Channels contract, ready for `TxSender.send`. Each raises `BadInput` for what has no form there."""

from __future__ import annotations

from typing import Any

from adapters.evm.abi import Function
from adapters.evm.channels.bindings import Channels
from adapters.evm.channels.types import Sheet, Terms
from adapters.evm.lockbox.bindings import Token
from adapters.evm.lockbox.types import check_address
from adapters.evm.types import Call
from foundation.quantities import Wei


class ChannelsCalls:
    """Builds the calls of one contract (address of 20 bytes)."""

    def __init__(self, contract: bytes) -> None:
        """For the contract at that address. Raises `BadInput`."""
        check_address(contract, "channels", zero_allowed=False)
        self.contract = contract

    def open(self, terms: Terms) -> Call:
        """A opens with its deposit; the sender has to be A. Tokens need an allowance (`approve`)."""
        return self._call(Channels.open, terms.tuple, value=terms.deposit_a if terms.is_coin else 0)

    def join(self, terms: Terms) -> Call:
        """B puts its deposit in; as `open`."""
        return self._call(Channels.join, terms.tuple, value=terms.deposit_b if terms.is_coin else 0)

    def abandon(self, terms: Terms) -> Call:
        """A takes its deposit back, as B has not joined."""
        return self._call(Channels.abandon, terms.tuple)

    def close(self, terms: Terms, sheet: Sheet, signature_a: bytes, signature_b: bytes) -> Call:
        """The sender, one of the banks, closes by itself. Signatures: 65 bytes, both empty for sheet 0."""
        return self._call(Channels.close, terms.tuple, sheet.tuple, signature_a, signature_b)

    def challenge(self, terms: Terms, sheet: Sheet, signature_a: bytes, signature_b: bytes, held: bytes) -> Call:
        """The sender answers with a newer sheet. `held`: the other's acknowledgement, 65 bytes or empty."""
        return self._call(Channels.challenge, terms.tuple, sheet.tuple, signature_a, signature_b, held)

    def close_agreed(self, terms: Terms, sheet: Sheet, signature_a: bytes, signature_b: bytes) -> Call:
        """End at once, as both signed; anyone."""
        numbers = sheet.sequence, sheet.balance_a, sheet.balance_b
        return self._call(Channels.close_agreed, terms.tuple, *numbers, signature_a, signature_b)

    def reveal(self, preimage: bytes) -> Call:
        """Register a preimage (32 bytes), which is public from here on."""
        return self._call(Channels.reveal, preimage)

    def settle(self, terms: Terms, sheet: Sheet) -> Call:
        """Pay out by the newest sheet that was submitted; anyone."""
        return self._call(Channels.settle, terms.tuple, sheet.tuple)

    def collect(self, asset: bytes, account: bytes) -> Call:
        """Send an account what it is owed; anyone."""
        return self._call(Channels.collect, asset, account)

    def approve(self, token: bytes, amount: int) -> Call:
        """Let the contract take tokens of the sender."""
        check_address(token, "token", zero_allowed=False)
        return Call(token, Token.approve.encode(self.contract, amount), Token.approve.label)

    def _call(self, function: Function, *arguments: Any, value: int = 0) -> Call:
        return Call(self.contract, function.encode(*arguments), function.label, Wei(value))
