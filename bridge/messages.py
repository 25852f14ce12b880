"""What nodes say to each other about the bridge, as strict msgpack structures; who says it, the envelope tells.

Nothing here is believed: a receiver checks every claim against what it has seen itself.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from adapters.native.eip712 import HubDigests

Bytes20: TypeAlias = Annotated[bytes, Meta(min_length=20, max_length=20)]
Bytes32: TypeAlias = Annotated[bytes, Meta(min_length=32, max_length=32)]
Bytes65: TypeAlias = Annotated[bytes, Meta(min_length=65, max_length=65)]
Index: TypeAlias = Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
Units: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""Satoshi, or units of the mapping token; the msgpack decoder bounds integers at 64 bits."""
Script: TypeAlias = Annotated[bytes, Meta(min_length=1, max_length=10_000)]

MAX_BATCH: Final = 256

# Kinds of requests.
ATTESTATIONS: Final = "bridge.attestations"
COSIGN: Final = "bridge.cosign"
CONFIRM_KEY: Final = "bridge.confirm-key"
TRANSACTION: Final = "bridge.transaction"


class DepositSeen(Struct, frozen=True, forbid_unknown_fields=True, tag="deposit"):
    """A voucher saw this deposit final. `amount`: what arrived, in satoshi."""

    asset: Bytes32
    txid: Bytes32
    vout: Index
    amount: Units
    recipient: Bytes20
    group: Bytes32


class PayoutSeen(Struct, frozen=True, forbid_unknown_fields=True, tag="payout"):
    """A voucher saw a version of this payout final. `fee`: what the withdrawals bore, in satoshi."""

    payout: Bytes32
    txid: Bytes32
    fee: Units


class AnchorSeen(Struct, frozen=True, forbid_unknown_fields=True, tag="anchor"):
    """A voucher saw this payout's anchor finally spent by a transaction that is no version of the payout."""

    payout: Bytes32
    spender: Bytes32


Claim: TypeAlias = DepositSeen | PayoutSeen | AnchorSeen


class Attestation(Struct, frozen=True, forbid_unknown_fields=True):
    """A claim with its voucher's signature (EIP-712, 65 bytes)."""

    claim: Claim
    signature: Bytes65


class Attestations(Struct, frozen=True, forbid_unknown_fields=True):
    """Several at once; the answer is `Taken`."""

    items: Annotated[list[Attestation], Meta(max_length=MAX_BATCH)]


class Taken(Struct, frozen=True, forbid_unknown_fields=True):
    """For each attestation whether the receiver keeps it; those that it does not are to be sent again later."""

    kept: Annotated[list[bool], Meta(max_length=MAX_BATCH)]


class PlainOutpoint(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """An output of a bitcoin transaction."""

    txid: Bytes32
    vout: Index


class PlainOutput(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """What an output pays."""

    value: Units
    script: Script


class ReserveProposal(Struct, frozen=True, forbid_unknown_fields=True, tag="reserve"):
    """Bind these coins to these withdrawals; the answer is a signature."""

    group: Bytes32
    withdrawals: Annotated[list[Bytes32], Meta(min_length=1, max_length=32)]
    inputs: Annotated[list[PlainOutpoint], Meta(min_length=1, max_length=64)]


class BarProposal(Struct, frozen=True, forbid_unknown_fields=True, tag="bar"):
    """Bar this deposit's mint, and send it back; the answer is a signature."""

    deposit: Bytes32
    amount: Units
    reason: Annotated[int, Meta(ge=1, le=255)]


Proposal: TypeAlias = ReserveProposal | BarProposal


class Cosign(Struct, frozen=True, forbid_unknown_fields=True):
    """A proposal to co-sign."""

    proposal: Proposal


class Cosignature(Struct, frozen=True, forbid_unknown_fields=True):
    """The answer to `Cosign` and `ConfirmKey` (EIP-712, 65 bytes)."""

    signature: Bytes65


class ConfirmKey(Struct, frozen=True, forbid_unknown_fields=True):
    """Confirm that you hold a share of this key; the answer is a signature."""

    group: Bytes32
    epoch: Index
    key: Bytes32


class TransactionProposal(Struct, frozen=True, forbid_unknown_fields=True):
    """A bitcoin transaction that the group is to sign: the body of a signing request whose kind is the purpose.

    `subject`: the payout's or the deposit's id; of a sweep, the outpoint id of its first input; of a child that pays
    for its parent, the parent's txid.
    """

    subject: Bytes32
    inputs: Annotated[list[PlainOutpoint], Meta(min_length=1, max_length=64)]
    outputs: Annotated[list[PlainOutput], Meta(min_length=1, max_length=64)]


class SharedTransaction(Struct, frozen=True, forbid_unknown_fields=True):
    """A transaction that the group has signed, for all its members to keep and to broadcast. `raw`: with witnesses."""

    group: Bytes32
    purpose: Annotated[str, Meta(max_length=16)]
    proposal: TransactionProposal
    raw: Annotated[bytes, Meta(max_length=400_000)]
    signers: Annotated[list[Index], Meta(max_length=100)] = []


def claim_digest(digests: HubDigests, claim: Claim) -> bytes:
    """What a voucher signs for a claim, 32 bytes."""
    match claim:
        case DepositSeen():
            c = claim
            return digests.deposit_attestation(c.asset, c.txid, c.vout, c.amount, c.recipient, c.group)
        case PayoutSeen():
            return digests.payout_settlement(claim.payout, claim.txid, claim.fee)
        case AnchorSeen():
            return digests.anchor_spent(claim.payout, claim.spender)
