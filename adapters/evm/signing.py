"""One account's signed transactions. Source: EIP-1559."""

from __future__ import annotations

from adapters.evm.accounts import Account
from adapters.evm.fees import Fees
from adapters.evm.journal import SignedTx
from adapters.evm.types import Call
from foundation.errors import BadInput
from foundation.quantities import Wei

FILLER_GAS = 21_000
"""What a bare transfer needs (yellow paper, G_transaction)."""


class AccountSigner:
    """The account of one secret key on one chain."""

    def __init__(self, secret: bytes, chain_id: int) -> None:
        """Hold the key. Raises `BadInput` for one that is not 32 bytes or not in the group's range."""
        try:
            self._account = Account.from_key(secret)
        except Exception as error:  # eth_account raises types of several libraries here, all meaning the same
            raise BadInput("account key", "is no secret key", "32 bytes, not zero, below the group order") from error
        self._chain_id = chain_id
        self.address: bytes = bytes.fromhex(self._account.address[2:])

    def sign(self, key: str, nonce: int, call: Call, gas: int, fees: Fees) -> SignedTx:
        """The signed transaction that makes `call`."""
        fields: dict[str, object] = {
            "type": 2,
            "chainId": self._chain_id,
            "nonce": nonce,
            "value": call.value,
            "data": call.data,
            "gas": gas,
            "maxFeePerGas": fees.max_fee,
            "maxPriorityFeePerGas": fees.tip,
        }
        if call.to is not None:
            fields["to"] = call.to
        signed = self._account.sign_transaction(fields)
        return SignedTx(
            key=key,
            account=self.address,
            nonce=nonce,
            hash=bytes(signed.hash),
            to=call.to or b"",
            data=call.data,
            value=call.value,
            gas=gas,
            max_fee=fees.max_fee,
            tip=fees.tip,
            raw=bytes(signed.raw_transaction),
            label=call.label,
        )

    def repriced(self, old: SignedTx, fees: Fees) -> SignedTx:
        """The same transaction with another bid."""
        return self.sign(old.key, old.nonce, Call(old.to or None, old.data, old.label, old.value), old.gas, fees)

    def filler(self, key: str, nonce: int, fees: Fees) -> SignedTx:
        """A transfer of nothing to ourselves, which uses up a nonce."""
        return self.sign(key, nonce, Call(self.address, b"", f"fill nonce {nonce}", Wei(0)), FILLER_GAS, fees)
