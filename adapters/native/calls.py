"""Calls of the contracts, ready for `TxSender.send`. Each raises `BadInput` for arguments that do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any, Final, TypeAlias

from adapters.evm.abi import Function
from adapters.evm.types import Call
from adapters.native.bindings import Bonds, Hub, Registry, Token
from adapters.native.deployment import Deployment
from adapters.native.eip712 import BadSignature
from adapters.native.proofs import Proof
from adapters.native.types import Announcement, DepositClaim, Reservation, Statement
from foundation.errors import BadInput
from foundation.quantities import TokenUnits, Wei
from registry.assets import BASIS_POINTS, Asset, AssetPolicy, check_name, check_symbol
from registry.chains import Chain, Vault
from registry.groups import Member, check_endpoint, check_threshold

NativeCall: TypeAlias = Call
"""A call of a native contract: `to`, `data`, `label`, and the `value` that is sent along."""

NO_GROUP: Final = bytes(32)
"""In place of a group where vouchers are meant."""


class Calls:
    """Builds calls of one bridge's contracts. Signatures are 65 bytes each, in ascending order of their accounts."""

    def __init__(self, deployment: Deployment) -> None:
        """For the contracts of `deployment`."""
        self._at = deployment

    def register_chain(self, chain: Chain) -> NativeCall:
        """Name a chain, with what is final on it; owner only. `Chain.named` makes one."""
        return self._registry(Registry.register_chain, chain.caip2, chain.genesis, chain.confirmations)

    def register_vault(self, chain: bytes, vault: Vault) -> NativeCall:
        """Name the Lockbox of an EVM chain, once; owner only. Its group has to be activated."""
        return self._registry(Registry.register_vault, chain, vault.lockbox, vault.start_block, vault.group)

    def register_asset(self, asset: Asset) -> NativeCall:
        """Name an asset of a registered chain; owner only."""
        policy = _policy(asset.policy)
        arguments = (asset.caip19, asset.chain, asset.name, asset.symbol, asset.decimals, policy)
        return self._registry(Registry.register_asset, *arguments)

    def set_asset_policy(self, asset: bytes, policy: AssetPolicy) -> NativeCall:
        """Change an asset's policy; owner only."""
        policy.check()
        return self._registry(Registry.set_asset_policy, asset, _policy(policy))

    def set_chain_policy(self, chain: bytes, policy: AssetPolicy, *, is_open: bool) -> NativeCall:
        """Say what assets get that vouchers introduce on an EVM chain, and whether they may; owner only."""
        policy.check()
        return self._registry(Registry.set_chain_policy, chain, _policy(policy), is_open)

    def set_registrar(self, hub: bytes) -> NativeCall:
        """Let the Hub introduce assets, once; owner only."""
        return self._registry(Registry.set_registrar, hub)

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

    def bind(self) -> NativeCall:
        """Tell Bonds which Registry and which Hub it serves, once; owner only."""
        return self._bonds(Bonds.bind, self._at.registry, self._at.hub)

    def join_vouchers(
        self, host_key: bytes, transport_key: bytes, endpoint: str, stake: Wei, commission_bps: int = 0
    ) -> NativeCall:
        """Become a voucher with a bond of one's own. `commission_bps`: of what its delegators earn, 0 to 10,000."""
        check_endpoint(endpoint)
        _check_commission(commission_bps)
        return self._bonds(Bonds.join, host_key, transport_key, endpoint, commission_bps, value=stake)

    def join_as_storeman(self, group: bytes, commission_bps: int = 0, bond: Wei = Wei(0)) -> NativeCall:
        """Take bonds and earn fees as a storeman of a group; its member only."""
        _check_commission(commission_bps)
        return self._bonds(Bonds.join_as_storeman, group, commission_bps, value=bond)

    def set_commission(self, commission_bps: int) -> NativeCall:
        """Change what the sender keeps of what its delegators earn."""
        _check_commission(commission_bps)
        return self._bonds(Bonds.set_commission, commission_bps)

    def leave_vouchers(self) -> NativeCall:
        """Give up the voucher's role at once, and unbond all of one's own."""
        return self._bonds(Bonds.leave)

    def deposit_bond(self, amount: Wei) -> NativeCall:
        """Add to the sender's, an operator's, own bond."""
        return self._bonds(Bonds.deposit, value=amount)

    def delegate(self, operator: bytes, amount: Wei) -> NativeCall:
        """Bond coin to an operator, and earn and lose with it."""
        return self._bonds(Bonds.delegate, operator, value=amount)

    def unbond(self, position: int, amount: Wei) -> NativeCall:
        """Begin to take `amount` of a position out; its owner only."""
        return self._bonds(Bonds.unbond, position, amount)

    def withdraw_bond(self, unbonding: int) -> NativeCall:
        """Pay out what was unbonded and has waited long enough."""
        return self._bonds(Bonds.withdraw, unbonding)

    def claim_fees(self, position: int, token: bytes) -> NativeCall:
        """Pay a position's owner what it earned in a token."""
        return self._bonds(Bonds.claim, position, token)

    def claim_commission(self, token: bytes) -> NativeCall:
        """Pay the sender, an operator, its commission in a token."""
        return self._bonds(Bonds.claim_commission, token)

    def report(self, first: Statement, second: Statement) -> NativeCall:
        """Prove that a voucher signed two statements that conflict; anyone, who is rewarded."""
        both = [(int(said.kind), said.words, said.signature) for said in (first, second)]
        return self._bonds(Bonds.report, *both)

    def pay_insurance(self, to: bytes, amount: Wei) -> NativeCall:
        """Pay out of what was slashed; owner only."""
        return self._bonds(Bonds.pay_insurance, to, amount)

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
        """Lock tokens for a payment to a scriptPubKey, or to an account on an EVM chain (20 bytes).

        The Hub needs an allowance (`approve`) of `amount`. `max_fee`: the most that miners may take of what is left
        after the service fee; on an EVM chain exactly what its carrier gets.
        """
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

    def introduce(
        self, chain: bytes, caip19: str, name: str, symbol: str, decimals: int, signatures: Sequence[bytes]
    ) -> NativeCall:
        """Register an asset of an EVM chain that vouchers saw; anyone, with their attestations."""
        check_name(name)
        check_symbol(symbol)
        return self._hub(Hub.introduce, chain, caip19, name, symbol, decimals, tuple(signatures))

    def restore(self, withdrawal: bytes, amount: TokenUnits, signatures: Sequence[bytes]) -> NativeCall:
        """Mint a settled withdrawal back that its Lockbox will never pay; anyone, with the vouchers' attestations."""
        return self._hub(Hub.restore, withdrawal, amount, tuple(signatures))

    def publish_release(self, payout: bytes, epoch: int, proof: Proof) -> NativeCall:
        """Publish a group's signature for a Lockbox, so that anyone can carry it there."""
        return self._hub(Hub.publish_release, payout, epoch, (proof.rx, proof.s, proof.ry))

    def halt(self, asset: bytes, until: int, signatures: Sequence[bytes]) -> NativeCall:
        """Stop an asset (32 zero bytes: all) until a time in seconds since 1970; a third of the vouchers' weight."""
        return self._hub(Hub.halt, asset, until, tuple(signatures))

    def resume(self, asset: bytes, until: int, signatures: Sequence[bytes]) -> NativeCall:
        """End the halt that would end at `until`; two thirds of the vouchers' weight."""
        return self._hub(Hub.resume, asset, until, tuple(signatures))

    def distribute(self, asset: bytes, group: bytes | None, signers: int) -> NativeCall:
        """Mint pending service fees and credit them; anyone. `group` None: to the vouchers in `signers`."""
        return self._hub(Hub.distribute, asset, NO_GROUP if group is None else group, signers)

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


def _policy(policy: AssetPolicy) -> tuple[Any, ...]:
    return astuple(policy)


def _check_commission(commission_bps: int) -> None:
    if not 0 <= commission_bps <= BASIS_POINTS:
        raise BadInput("commission", f"{commission_bps} basis points", f"0 to {BASIS_POINTS}, which is all")
