"""What nodes say to each other about the bridge, as strict msgpack structures; who says it, the envelope tells.

Nothing here is believed: a receiver checks every claim against what it has seen itself.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from adapters.native.eip712 import HubDigests
from foundation.errors import BadInput
from foundation.quantities import TokenUnits

Bytes20: TypeAlias = Annotated[bytes, Meta(min_length=20, max_length=20)]
Bytes32: TypeAlias = Annotated[bytes, Meta(min_length=32, max_length=32)]
Bytes65: TypeAlias = Annotated[bytes, Meta(min_length=65, max_length=65)]
Index: TypeAlias = Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
Units: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""Satoshi, or units of the mapping token; the msgpack decoder bounds integers at 64 bits."""
Amount: TypeAlias = Annotated[bytes, Meta(max_length=32)]
"""Base units of any asset, up to 2**256 − 1, as big-endian bytes without leading zeros; see `amount_bytes`."""
Text: TypeAlias = Annotated[str, Meta(max_length=160)]
Script: TypeAlias = Annotated[bytes, Meta(min_length=1, max_length=10_000)]

Seconds: TypeAlias = Annotated[int, Meta(ge=0, le=2**40)]

MAX_BATCH: Final = 256

# Kinds of requests.
ATTESTATIONS: Final = "bridge.attestations"
COSIGN: Final = "bridge.cosign"
CONFIRM_KEY: Final = "bridge.confirm-key"
TRANSACTION: Final = "bridge.transaction"
SIGNATURE: Final = "bridge.signature"

# Kinds of signing requests for a vault's contract.
RELEASE: Final = "release"
CANCEL: Final = "cancel"
CONFIGURE: Final = "configure"


def amount_bytes(units: int) -> bytes:
    """An amount as messages carry it. Raises OverflowError below 0 and above 2**256 − 1."""
    if units >> 256:
        raise OverflowError(f"{units} is not from 0 to 2**256 - 1")
    return units.to_bytes((units.bit_length() + 7) // 8, "big")


def amount_of(carried: bytes) -> TokenUnits:
    """The amount in a message. Raises `BadInput` for leading zeros: an amount has one form."""
    if carried[:1] == b"\0":
        raise BadInput("amount", "has leading zeros", "give the shortest form")
    return TokenUnits(int.from_bytes(carried, "big"))


class DepositSeen(Struct, frozen=True, forbid_unknown_fields=True, tag="deposit"):
    """A voucher saw this deposit final. `amount`: what arrived; on an EVM chain `txid` is the lock's id."""

    asset: Bytes32
    txid: Bytes32
    vout: Index
    amount: Amount
    recipient: Bytes20
    group: Bytes32


class PayoutSeen(Struct, frozen=True, forbid_unknown_fields=True, tag="payout"):
    """A voucher saw a version of this payout final. `fee`: what the withdrawals bore."""

    payout: Bytes32
    txid: Bytes32
    fee: Amount


class AnchorSeen(Struct, frozen=True, forbid_unknown_fields=True, tag="anchor"):
    """A voucher saw this payout's anchor finally spent by a transaction that is no version of the payout."""

    payout: Bytes32
    spender: Bytes32


class AssetSeen(Struct, frozen=True, forbid_unknown_fields=True, tag="asset"):
    """A voucher saw a deposit of an asset that nobody has registered, and read what the asset says of itself."""

    chain: Bytes32
    caip19: Text
    name: Text
    symbol: Text
    decimals: Annotated[int, Meta(ge=0, le=255)]


class CancellationSeen(Struct, frozen=True, forbid_unknown_fields=True, tag="cancellation"):
    """A voucher saw that the vault cancelled this withdrawal's payment for ever. `amount`: what goes back."""

    withdrawal: Bytes32
    amount: Amount


class HaltWanted(Struct, frozen=True, forbid_unknown_fields=True, tag="halt"):
    """A voucher wants the asset (zero: all of them) halted until then, in seconds since 1970."""

    asset: Bytes32
    until: Seconds


class ResumeWanted(Struct, frozen=True, forbid_unknown_fields=True, tag="resume"):
    """A voucher wants the halt that lasts until then to end now."""

    asset: Bytes32
    until: Seconds


Claim: TypeAlias = DepositSeen | PayoutSeen | AnchorSeen | AssetSeen | CancellationSeen | HaltWanted | ResumeWanted


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
    """Bind these coins to these withdrawals; the answer is a signature. On an EVM chain there are no coins to bind."""

    group: Bytes32
    withdrawals: Annotated[list[Bytes32], Meta(min_length=1, max_length=32)]
    inputs: Annotated[list[PlainOutpoint], Meta(max_length=64)]


class BarProposal(Struct, frozen=True, forbid_unknown_fields=True, tag="bar"):
    """Bar this deposit's mint, and send it back; the answer is a signature."""

    deposit: Bytes32
    amount: Amount
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


class PlainPayment(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """One payment of a release. `number`: the withdrawal's, or the lock's with the top bit set for a return."""

    number: Annotated[bytes, Meta(min_length=32, max_length=32)]
    token: Bytes20
    payee: Bytes20
    amount: Amount
    fee: Amount


class ReleaseProposal(Struct, frozen=True, forbid_unknown_fields=True):
    """Payments out of a vault's contract: the body of a signing request of kind `release`."""

    chain: Bytes32
    epoch: Index
    payments: Annotated[list[PlainPayment], Meta(min_length=1, max_length=64)]


class CancelProposal(Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers that a vault's contract is never to pay: the body of a signing request of kind `cancel`."""

    chain: Bytes32
    epoch: Index
    numbers: Annotated[list[Bytes32], Meta(min_length=1, max_length=64)]


class ConfigureProposal(Struct, frozen=True, forbid_unknown_fields=True):
    """What the Registry says of an asset, for the vault's contract: the body of a signing request `configure`."""

    chain: Bytes32
    epoch: Index
    token: Bytes20
    deposit_limit: Amount
    withdrawal_limit: Amount
    denied: bool
    nonce: Index


class SharedSignature(Struct, frozen=True, forbid_unknown_fields=True):
    """What the group has signed for a vault's contract, for all its members to keep and to carry.

    `kind` and `body`: of the signing request; `signature`: BIP-340, 64 bytes.
    """

    group: Bytes32
    kind: Annotated[str, Meta(max_length=16)]
    body: Annotated[bytes, Meta(max_length=100_000)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]
    signers: Annotated[list[Index], Meta(max_length=100)] = []


def claim_digest(digests: HubDigests, claim: Claim) -> bytes:
    """What a voucher signs for a claim, 32 bytes. Raises `BadInput` for an amount that is not in its shortest form."""
    match claim:
        case DepositSeen():
            c = claim
            return digests.deposit_attestation(c.asset, c.txid, c.vout, amount_of(c.amount), c.recipient, c.group)
        case PayoutSeen():
            return digests.payout_settlement(claim.payout, claim.txid, amount_of(claim.fee))
        case AnchorSeen():
            return digests.anchor_spent(claim.payout, claim.spender)
        case AssetSeen():
            return digests.asset_introduction(claim.chain, claim.caip19, claim.name, claim.symbol, claim.decimals)
        case CancellationSeen():
            return digests.release_cancelled(claim.withdrawal, amount_of(claim.amount))
        case HaltWanted():
            return digests.halt(claim.asset, claim.until)
        case ResumeWanted():
            return digests.resume(claim.asset, claim.until)
