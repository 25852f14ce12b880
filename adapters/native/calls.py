"""Calls of the contracts, ready for `TxSender.send`. Each raises `BadInput` for arguments that do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from adapters.evm.abi import Function
from adapters.evm.types import Call
from adapters.native.bindings import Bonds, Hub, Registry, Token
from adapters.native.deployment import Deployment
from adapters.native.eip712 import BadSignature
from adapters.native.proofs import Proof
from adapters.native.types import Announcement, DepositClaim, Reservation
from foundation.errors import BadInput
from foundation.quantities import TokenUnits, Wei
from registry.assets import Asset, AssetPolicy
from registry.groups import Member, check_endpoint, check_threshold

NativeCall: TypeAlias = Call
"""A call of a native contract: `to`, `data`, `label`, and the `value` that is sent along."""


class Calls:
    """Builds calls of one bridge's contracts. Signatures are 65 bytes each, in ascending order of their accounts."""

    def __init__(self, deployment: Deployment) -> None:
        """For the contracts of `deployment`."""
        self._at = deployment

    def register_chain(self, caip2: str, genesis: bytes) -> NativeCall:
        """Name a chain; owner only. `genesis`: 32 bytes in the chain's own wire byte order."""
        return self._registry(Registry.register_chain, caip2, genesis)

    def register_asset(self, asset: Asset) -> NativeCall:
        """Name an asset of a registered chain; owner only."""
        policy = _policy(asset.policy)
        arguments = (asset.caip19, asset.chain, asset.name, asset.symbol, asset.decimals, policy)
        return self._registry(Registry.register_asset, *arguments)

    def set_asset_policy(self, asset: bytes, policy: AssetPolicy) -> NativeCall:
        """Change an asset's policy; owner only."""
        return self._registry(Registry.set_asset_policy, asset, _policy(policy))

    def propose_group(self, chain: bytes, threshold: int, members: Sequence[Member]) -> NativeCall:
        """Name the storemen of a new group; owner only."""
        check_threshold(threshold, len(members))
        for index, member in enumerate(members):
            check_endpoint(member.endpoint, f"members[{index}].endpoint")
        named = [(m.account, m.host_key, m.transport_key, m.endpoint) for m in members]
        return self._registry(Registry.propose_group, chain, threshold, named)

    def activate_group(
        self, group: bytes, key: bytes, proof: Proof, confirmations: Sequence[tuple[int, bytes]]
    ) -> NativeCall:
        """Give a group its key. `confirmations`: member index and signature of all, ascending by account."""
        rxsy = (proof.rx, proof.s, proof.ry)
        return self._registry(Registry.activate_group, group, key, rxsy, tuple(confirmations))

    def admit_voucher(self, account: bytes) -> NativeCall:
        """Let an account join the vouchers; owner only."""
        return self._bonds(Bonds.admit, account)

    def join_vouchers(self, host_key: bytes, transport_key: bytes, endpoint: str, stake: Wei) -> NativeCall:
        """Become a voucher with a stake."""
        check_endpoint(endpoint)
        return self._bonds(Bonds.join, host_key, transport_key, endpoint, value=stake)

    def top_up(self, stake: Wei) -> NativeCall:
        """Add to one's own stake."""
        return self._bonds(Bonds.top_up, value=stake)

    def announce_deposit(self, terms: Announcement) -> NativeCall:
        """Publish the terms of a deposit address; anyone."""
        arguments = (terms.asset, terms.group, terms.recipient, terms.reclaim_key, terms.delay, terms.salt)
        return self._hub(Hub.announce_deposit, *arguments, terms.birthday)

    def mint(self, claim: DepositClaim, signatures: Sequence[bytes]) -> NativeCall:
        """Mint a deposit that vouchers attest; anyone."""
        deposit = (claim.asset, claim.txid, claim.vout, claim.amount, claim.recipient, claim.group)
        return self._hub(Hub.mint, deposit, tuple(signatures))

    def return_deposit(
        self,
        asset: bytes,
        txid: bytes,
        vout: int,
        amount: TokenUnits,
        group: bytes,
        reason: int,
        signatures: Sequence[bytes],
    ) -> NativeCall:
        """Bar a deposit's mint for ever; anyone, with a quorum of storemen."""
        return self._hub(Hub.return_deposit, asset, txid, vout, amount, group, reason, tuple(signatures))

    def withdraw(self, asset: bytes, amount: TokenUnits, max_fee: TokenUnits, destination: bytes) -> NativeCall:
        """Lock tokens for a payment to a scriptPubKey. The Hub needs an allowance (`approve`)."""
        return self._hub(Hub.withdraw, asset, amount, max_fee, destination)

    def cancel(self, withdrawal: bytes) -> NativeCall:
        """Take a withdrawal back that is not reserved; its owner only."""
        return self._hub(Hub.cancel, withdrawal)

    def raise_max_fee(self, withdrawal: bytes, max_fee: TokenUnits) -> NativeCall:
        """Let a withdrawal bear more of the miner fee; its owner only."""
        return self._hub(Hub.raise_max_fee, withdrawal, max_fee)

    def reserve(self, reservation: Reservation, signatures: Sequence[bytes]) -> NativeCall:
        """Bind coins to withdrawals; anyone, with a quorum of storemen."""
        inputs = tuple((outpoint.txid, outpoint.vout) for outpoint in reservation.inputs)
        plain = (reservation.group, reservation.asset, reservation.withdrawals, inputs)
        return self._hub(Hub.reserve, plain, tuple(signatures))

    def void_payout(self, payout: bytes, spender: bytes, signatures: Sequence[bytes]) -> NativeCall:
        """End a payout whose anchor a stranger's transaction spent; anyone, with the vouchers' attestations."""
        return self._hub(Hub.void_payout, payout, spender, tuple(signatures))

    def settle(self, payout: bytes, txid: bytes, fee: TokenUnits, signatures: Sequence[bytes]) -> NativeCall:
        """Burn the tokens of a final payout; anyone, with the vouchers' attestations."""
        return self._hub(Hub.settle, payout, txid, fee, tuple(signatures))

    def approve(self, token: bytes, amount: TokenUnits) -> NativeCall:
        """Let the Hub take tokens of the sender."""
        return Call(token, Token.approve.encode(self._at.hub, amount), Token.approve.label)

    def transfer(self, token: bytes, recipient: bytes, amount: TokenUnits) -> NativeCall:
        """Send tokens to an account."""
        return Call(token, Token.transfer.encode(recipient, amount), Token.transfer.label)

    def permit(self, token: bytes, owner: bytes, amount: TokenUnits, deadline: int, signature: bytes) -> NativeCall:
        """Let the Hub take tokens of `owner`, who signed `permit_digest`; anyone. `deadline`: seconds since 1970.

        Raises also `BadSignature` for a signature that is not 65 bytes.
        """
        if len(signature) != 65:
            raise BadSignature(f"{len(signature)} bytes")
        r, s, v = signature[:32], signature[32:64], signature[64]
        arguments = (owner, self._at.hub, amount, deadline, v, r, s)
        return Call(token, Token.permit.encode(*arguments), Token.permit.label)

    def pay(self, account: bytes, amount: Wei) -> NativeCall:
        """Send the chain's own coin to an account (20 bytes), so that it can pay for gas."""
        if len(account) != 20:
            raise BadInput("account", f"{len(account)} bytes", "20 bytes")
        return Call(account, b"", f"pay 0x{account.hex()}", amount)

    def _registry(self, function: Function, *arguments: Any) -> NativeCall:
        return Call(self._at.registry, function.encode(*arguments), function.label)

    def _bonds(self, function: Function, *arguments: Any, value: Wei = Wei(0)) -> NativeCall:
        return Call(self._at.bonds, function.encode(*arguments), function.label, value)

    def _hub(self, function: Function, *arguments: Any) -> NativeCall:
        return Call(self._at.hub, function.encode(*arguments), function.label)


def _policy(policy: AssetPolicy) -> tuple[int, int, int, bool]:
    return policy.minimum_deposit, policy.deposit_fee, policy.minimum_withdrawal, policy.paused
