"""Calls of a Lockbox, ready for `TxSender.send`. Each raises `BadInput` for what the contract has no place for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.evm.abi import Function
from adapters.evm.lockbox.bindings import Lockbox, Token
from adapters.evm.lockbox.messages import check_count
from adapters.evm.lockbox.types import NATIVE_COIN, Payment, check_address, check_limit, check_word
from adapters.evm.types import Call
from adapters.native.proofs import Proof
from foundation.errors import BadInput
from foundation.quantities import TokenUnits, Wei


class LockboxCalls:
    """Builds the calls of one Lockbox (address of 20 bytes)."""

    def __init__(self, lockbox: bytes) -> None:
        """For the Lockbox at that address. Raises `BadInput`."""
        check_address(lockbox, "lockbox", zero_allowed=False)
        self.lockbox = lockbox

    def lock(self, asset: bytes, amount: TokenUnits, recipient: bytes) -> Call:
        """Send an asset over the bridge to `recipient` on the native chain; tokens need an allowance (`approve`).

        `NATIVE_COIN` is sent along with the call.
        """
        _check_lock(asset, amount, recipient)
        value = Wei(amount if asset == NATIVE_COIN else 0)
        return self._call(Lockbox.lock, asset, amount, recipient, value=value)

    def lock_with_permit(
        self, asset: bytes, amount: TokenUnits, recipient: bytes, deadline: int, signature: bytes
    ) -> Call:
        """As `lock`, with the sender's EIP-2612 permit (65 bytes: r, s, v) in the place of an allowance.

        Args:
            asset: a token that has permits.
            amount: what is locked, and what the permit allows.
            recipient: an account on the native chain.
            deadline: seconds since 1970; as it was signed.
            signature: over the token's permit for this Lockbox.
        """
        _check_lock(asset, amount, recipient)
        if asset == NATIVE_COIN:
            raise BadInput("asset", "the chain's own coin needs no permit", "use lock")
        if len(signature) != 65:
            raise BadInput("permit", f"{len(signature)} bytes", "65 bytes")
        r, s, v = signature[:32], signature[32:64], signature[64]
        return self._call(Lockbox.lock_with_permit, asset, amount, recipient, deadline, v, r, s)

    def release(self, payments: Sequence[Payment], proof: Proof) -> Call:
        """Carry a signed release; anyone. The sender gets the fees."""
        check_count(len(payments), "payments")
        return self._call(Lockbox.release, [payment.tuple for payment in payments], _rxsy(proof))

    def claim(self, number: int, asset: bytes, amount: TokenUnits, to: bytes) -> Call:
        """Take a payment that failed: its payee to any address, anyone else to the payee.

        `number`, `asset` and `amount` are those of its `PaymentFailed`.
        """
        check_address(to, "to", zero_allowed=False)
        return self._call(Lockbox.claim, number, asset, amount, to)

    def claim_fee(self, asset: bytes, to: bytes) -> Call:
        """Take the fees that the sender earned as a carrier and that could not be paid at once, to any address."""
        check_address(to, "to", zero_allowed=False)
        return self._call(Lockbox.claim_fee, asset, to)

    def cancel(self, numbers: Sequence[int], proof: Proof) -> Call:
        """Make payments impossible that did not happen; anyone, with the group's signature."""
        check_count(len(numbers), "numbers")
        return self._call(Lockbox.cancel, list(numbers), _rxsy(proof))

    def configure(
        self,
        asset: bytes,
        deposit_limit: TokenUnits,
        withdrawal_limit: TokenUnits,
        denied: bool,
        nonce: int,
        proof: Proof,
    ) -> Call:
        """Give an asset limits of a window (0: none), or deny it; anyone, with the group's signature."""
        check_limit(deposit_limit, "deposit limit")
        check_limit(withdrawal_limit, "withdrawal limit")
        values = (asset, deposit_limit, withdrawal_limit, denied, nonce)
        return self._call(Lockbox.configure, *values, _rxsy(proof))

    def rotate(self, key: bytes, proof: Proof, acceptance: Proof) -> Call:
        """Hand the Lockbox over to another key (x-only); anyone, signed by the old key and accepted by the new."""
        return self._call(Lockbox.rotate, key, _rxsy(proof), _rxsy(acceptance))

    def pause(self) -> Call:
        """Stop locks and releases for a day; the guardian only."""
        return self._call(Lockbox.pause)

    def unpause(self, nonce: int, proof: Proof) -> Call:
        """End a pause early; anyone, with the group's signature."""
        return self._call(Lockbox.unpause, nonce, _rxsy(proof))

    def approve(self, token: bytes, amount: TokenUnits) -> Call:
        """Let the Lockbox take tokens of the sender."""
        check_address(token, "token", zero_allowed=False)
        return Call(token, Token.approve.encode(self.lockbox, amount), Token.approve.label)

    def _call(self, function: Function, *arguments: Any, value: Wei = Wei(0)) -> Call:
        return Call(self.lockbox, function.encode(*arguments), function.label, value)


def _check_lock(asset: bytes, amount: int, recipient: bytes) -> None:
    check_address(asset, "asset")
    check_address(recipient, "recipient", zero_allowed=False)
    check_word(amount, "amount")
    if amount == 0:
        raise BadInput("amount", "is nothing", "more than 0")


def _rxsy(proof: Proof) -> tuple[bytes, bytes, bytes]:
    return proof.rx, proof.s, proof.ry
