"""Signing requests for vaults on EVM chains: their bodies, and the 32 bytes that the group signs for each.

A body is all that the call to the vault says, so whoever has it and the signature can make the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from adapters.evm.lockbox.calls import LockboxCalls
from adapters.evm.lockbox.messages import Messages
from adapters.evm.lockbox.types import Payment
from adapters.evm.types import Call
from adapters.native.proofs import Proof
from bridge.codec import decode, encode
from bridge.messages import (
    CANCEL,
    CONFIGURE,
    RELEASE,
    CancelProposal,
    ConfigureProposal,
    PlainPayment,
    ReleaseProposal,
    amount_bytes,
    amount_of,
)
from foundation.errors import BadInput

VaultProposal: TypeAlias = ReleaseProposal | CancelProposal | ConfigureProposal
VAULT_KINDS: Final = frozenset({RELEASE, CANCEL, CONFIGURE})


@dataclass(frozen=True, slots=True)
class VaultRequest:
    """What a group is asked to sign for a vault. Fields: kind (of the signing request); proposal."""

    kind: str
    proposal: VaultProposal

    @property
    def body(self) -> bytes:
        """The request's body."""
        return encode(self.proposal)

    @property
    def chain(self) -> bytes:
        """The vault's chain, 32 bytes."""
        return self.proposal.chain

    def message(self, messages: Messages) -> bytes:
        """The 32 bytes to sign. Raises `BadInput` for what the vault's contract has no place for."""
        match self.proposal:
            case ReleaseProposal():
                return messages.release(payments_of(self.proposal))
            case CancelProposal():
                return messages.cancel(numbers_of(self.proposal))
            case ConfigureProposal() as c:
                limits = amount_of(c.deposit_limit), amount_of(c.withdrawal_limit)
                return messages.configure(c.token, *limits, c.denied, c.nonce)

    def call(self, calls: LockboxCalls, proof: Proof) -> Call:
        """The call that carries it to the vault."""
        match self.proposal:
            case ReleaseProposal():
                return calls.release(payments_of(self.proposal), proof)
            case CancelProposal():
                return calls.cancel(numbers_of(self.proposal), proof)
            case ConfigureProposal() as c:
                limits = amount_of(c.deposit_limit), amount_of(c.withdrawal_limit)
                return calls.configure(c.token, *limits, c.denied, c.nonce, proof)

    @classmethod
    def decoded(cls, kind: str, body: bytes) -> VaultRequest:
        """The request in a body. Raises `BadInput`."""
        match kind:
            case "release":
                return cls(kind, decode(body, ReleaseProposal, "proposal"))
            case "cancel":
                return cls(kind, decode(body, CancelProposal, "proposal"))
            case "configure":
                return cls(kind, decode(body, ConfigureProposal, "proposal"))
            case _:
                raise BadInput(
                    "kind", f"{kind!r} is nothing that is signed for a vault", ", ".join(sorted(VAULT_KINDS))
                )


def release_request(chain: bytes, epoch: int, payments: Sequence[Payment]) -> VaultRequest:
    """The request to sign these payments."""
    plain = [
        PlainPayment(p.number.to_bytes(32, "big"), p.asset, p.payee, amount_bytes(p.amount), amount_bytes(p.fee))
        for p in payments
    ]
    return VaultRequest(RELEASE, ReleaseProposal(chain, epoch, plain))


def cancel_request(chain: bytes, epoch: int, numbers: Sequence[int]) -> VaultRequest:
    """The request to sign that these numbers are never paid."""
    return VaultRequest(CANCEL, CancelProposal(chain, epoch, [number.to_bytes(32, "big") for number in numbers]))


def configure_request(
    chain: bytes, epoch: int, token: bytes, limits: tuple[int, int, bool], nonce: int
) -> VaultRequest:
    """The request to sign an asset's limits (deposits, withdrawals) and whether it is denied."""
    deposits, withdrawals, denied = limits
    proposal = ConfigureProposal(chain, epoch, token, amount_bytes(deposits), amount_bytes(withdrawals), denied, nonce)
    return VaultRequest(CONFIGURE, proposal)


def payments_of(proposal: ReleaseProposal) -> tuple[Payment, ...]:
    """The payments of a proposal. Raises `BadInput` for one that no vault has a place for."""
    return tuple(
        Payment(int.from_bytes(p.number, "big"), p.token, p.payee, amount_of(p.amount), amount_of(p.fee))
        for p in proposal.payments
    )


def numbers_of(proposal: CancelProposal) -> tuple[int, ...]:
    """The numbers of a proposal."""
    return tuple(int.from_bytes(number, "big") for number in proposal.numbers)
