"""The structures that storemen and vouchers sign for the contracts. Source: EIP-712, EIP-2, docs/architecture.md.

A signature is 65 bytes `r ‖ s ‖ v` with v 27 or 28 and s in the lower half of the group order. Digests are 32 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from coincurve import PrivateKey, PublicKey
from eth_utils.crypto import keccak

from adapters.evm.abi import encode_values
from adapters.native.types import Statement, StatementKind
from foundation.errors import BadInput

_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_DOMAIN_TYPE: Final = keccak(text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_VERSION: Final = keccak(text="1")

DEPOSIT_ATTESTATION: Final = (
    "DepositAttestation(bytes32 asset,bytes32 txid,uint256 vout,uint256 amount,address recipient,bytes32 group)"
)
DEPOSIT_RETURN: Final = (
    "DepositReturn(bytes32 asset,bytes32 txid,uint256 vout,uint256 amount,bytes32 group,uint256 reason)"
)
PAYOUT_RESERVATION: Final = "PayoutReservation(bytes32 group,bytes32 asset,bytes32[] withdrawals,bytes32[] inputs)"
ANCHOR_SPENT: Final = "AnchorSpent(bytes32 payout,bytes32 spender)"
PAYOUT_SETTLEMENT: Final = "PayoutSettlement(bytes32 payout,bytes32 txid,uint256 fee)"
ASSET_INTRODUCTION: Final = "AssetIntroduction(bytes32 chain,string caip19,string name,string symbol,uint256 decimals)"
RELEASE_CANCELLED: Final = "ReleaseCancelled(bytes32 withdrawal,uint256 amount)"
HALT: Final = "Halt(bytes32 asset,uint256 until)"
RESUME: Final = "Resume(bytes32 asset,uint256 until)"
PERMIT: Final = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
GROUP_KEY: Final = "GroupKey(bytes32 group,uint256 epoch,bytes32 key)"
_STATEMENTS: Final = {
    StatementKind.DEPOSIT_ATTESTATION: DEPOSIT_ATTESTATION,
    StatementKind.PAYOUT_SETTLEMENT: PAYOUT_SETTLEMENT,
    StatementKind.ANCHOR_SPENT: ANCHOR_SPENT,
}
# What stands in a structure as its hash: a text, and a list as its elements, without their number.
_HASHED: Final[dict[str, Callable[[Any], bytes]]] = {"string": str.encode, "bytes32[]": b"".join}


class BadSignature(BadInput):
    """A signature is not one that the contracts accept, whoever is said to have made it. Fields as `BadInput`."""

    def __init__(self, problem: str) -> None:
        super().__init__("signature", problem, "65 bytes r, s, v with v 27 or 28 and a low s")


@dataclass(frozen=True, slots=True)
class Domain:
    """Where signatures count: one contract on one chain. Fields: chain_id (EIP-155); contract (20 bytes); name."""

    chain_id: int
    contract: bytes
    name: str = "Causeway"

    @property
    def separator(self) -> bytes:
        """The hash of the domain. Raises `BadInput`."""
        types = ("bytes32", "bytes32", "bytes32", "uint256", "address")
        values = (_DOMAIN_TYPE, keccak(text=self.name), _VERSION, self.chain_id, self.contract)
        return keccak(encode_values(types, values, "domain"))


class HubDigests:
    """Digests of what is signed for the Hub. Each method raises `BadInput` for a field of a wrong length."""

    def __init__(self, chain_id: int, hub: bytes) -> None:
        """For the Hub at the address `hub` (20 bytes) on the chain with this EIP-155 number."""
        self._separator = Domain(chain_id, hub).separator

    def deposit_attestation(
        self, asset: bytes, txid: bytes, vout: int, amount: int, recipient: bytes, group: bytes
    ) -> bytes:
        """A voucher saw the deposit final. `amount`: what arrived, before the fee."""
        return self._digest(DEPOSIT_ATTESTATION, asset, txid, vout, amount, recipient, group)

    def deposit_return(self, asset: bytes, txid: bytes, vout: int, amount: int, group: bytes, reason: int) -> bytes:
        """A storeman agrees that the deposit is never minted, and goes back."""
        return self._digest(DEPOSIT_RETURN, asset, txid, vout, amount, group, reason)

    def payout_reservation(
        self, group: bytes, asset: bytes, withdrawals: Sequence[bytes], inputs: Sequence[bytes]
    ) -> bytes:
        """A storeman checked that these withdrawals may be paid from these coins (outpoint ids)."""
        return self._digest(PAYOUT_RESERVATION, group, asset, tuple(withdrawals), tuple(inputs))

    def anchor_spent(self, payout: bytes, spender: bytes) -> bytes:
        """A voucher saw the payout's anchor finally spent by a transaction that is no version of it."""
        return self._digest(ANCHOR_SPENT, payout, spender)

    def payout_settlement(self, payout: bytes, txid: bytes, fee: int) -> bytes:
        """A voucher saw a version of the payout final."""
        return self._digest(PAYOUT_SETTLEMENT, payout, txid, fee)

    def asset_introduction(self, chain: bytes, caip19: str, name: str, symbol: str, decimals: int) -> bytes:
        """A voucher saw that a token of this chain says this of itself; names as the Registry takes them."""
        return self._digest(ASSET_INTRODUCTION, chain, caip19, name, symbol, decimals)

    def release_cancelled(self, withdrawal: bytes, amount: int) -> bytes:
        """A voucher saw it final that the Lockbox will never pay a settled withdrawal. `amount`: what it kept."""
        return self._digest(RELEASE_CANCELLED, withdrawal, amount)

    def halt(self, asset: bytes, until: int) -> bytes:
        """A voucher wants an asset (32 zero bytes: all) to stand still. `until`: seconds since 1970."""
        return self._digest(HALT, asset, until)

    def resume(self, asset: bytes, until: int) -> bytes:
        """A voucher wants the halt that would end at `until` (the Hub's `halted_until`) to end now."""
        return self._digest(RESUME, asset, until)

    def statement(self, statement: Statement) -> bytes:
        """What the signer of a statement signed, for whatever kind it is."""
        struct = keccak(keccak(text=_STATEMENTS[statement.kind]) + b"".join(statement.words))
        return keccak(b"\x19\x01" + self._separator + struct)

    def _digest(self, type_text: str, *values: Any) -> bytes:
        return _typed_digest(self._separator, type_text, values)


class RegistryDigests:
    """Digests of what is signed for the Registry."""

    def __init__(self, chain_id: int, registry: bytes) -> None:
        """For the Registry at the address `registry` (20 bytes) on the chain with this EIP-155 number."""
        self._separator = Domain(chain_id, registry).separator

    def group_key(self, group: bytes, epoch: int, key: bytes) -> bytes:
        """A member holds a share of this key (x-only, 32 bytes). Raises `BadInput`."""
        return _typed_digest(self._separator, GROUP_KEY, (group, epoch, key))


def permit_digest(domain: Domain, owner: bytes, spender: bytes, amount: int, nonce: int, deadline: int) -> bytes:
    """What the owner of tokens signs, so that `spender` may take `amount` of them (EIP-2612). Raises `BadInput`.

    Args:
        domain: of the token, with its name (`TokenInfo.name`).
        owner, spender: accounts, 20 bytes each.
        amount: in base units.
        nonce: `NativeChain.token_nonce` of the owner.
        deadline: in seconds since 1970; a block with a later time refuses the permit.
    """
    return _typed_digest(domain.separator, PERMIT, (owner, spender, amount, nonce, deadline))


def sign_digest(secret: bytes, digest: bytes) -> bytes:
    """A signature by an account over a digest, 65 bytes. The nonce is deterministic (RFC 6979).

    Raises:
        BadInput: the key is no secret key, or the digest is not 32 bytes.
    """
    if len(digest) != 32:
        raise BadInput("digest", f"{len(digest)} bytes", "32 bytes")
    try:
        key = PrivateKey(secret)
    except ValueError as error:
        raise BadInput("account key", "is no secret key", "32 bytes, not zero, below the group order") from error
    compact = key.sign_recoverable(digest, hasher=None)  # libsecp256k1 signs with a low s
    return compact[:64] + bytes([compact[64] + 27])


def recover(digest: bytes, signature: bytes) -> bytes:
    """The account (20 bytes) that signed a digest.

    Raises:
        BadSignature: the contracts would refuse the signature.
        BadInput: the digest is not 32 bytes.
    """
    if len(digest) != 32:
        raise BadInput("digest", f"{len(digest)} bytes", "32 bytes")
    if len(signature) != 65:
        raise BadSignature(f"{len(signature)} bytes")
    if signature[64] not in (27, 28):
        raise BadSignature(f"v is {signature[64]}")
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        raise BadSignature("s is high")
    compact = signature[:64] + bytes([signature[64] - 27])
    try:
        public = PublicKey.from_signature_and_message(compact, digest, hasher=None)
    except Exception as error:  # coincurve raises bare Exceptions where libsecp256k1 says no
        raise BadSignature("no key made it") from error
    return account_of(public.format(compressed=False))


def account_of(public_key: bytes) -> bytes:
    """The account (20 bytes) of a public key (33 or 65 bytes). Raises `BadInput`."""
    try:
        point = PublicKey(public_key).format(compressed=False)
    except ValueError as error:
        raise BadInput("public key", "is no point of the curve", "33 or 65 bytes") from error
    return keccak(point[1:])[12:]


def account_of_secret(secret: bytes) -> bytes:
    """The account (20 bytes) of a secret key (32 bytes). Raises `BadInput`."""
    try:
        return account_of(PrivateKey(secret).public_key.format())
    except ValueError as error:
        raise BadInput("account key", "is no secret key", "32 bytes, not zero, below the group order") from error


def by_signer(signatures: dict[bytes, bytes]) -> tuple[bytes, ...]:
    """Signatures by account, in the order that contracts ask for: ascending accounts."""
    return tuple(signatures[account] for account in sorted(signatures))


def _typed_digest(separator: bytes, type_text: str, values: Sequence[Any]) -> bytes:
    """EIP-712's `keccak256(0x1901 ‖ domain ‖ hashStruct)` for structures of plain fields, texts and lists of words."""
    name, _, fields = type_text.partition("(")
    types = [field.split(" ")[0] for field in fields.removesuffix(")").split(",")]
    plain: list[Any] = []
    for index, (kind, value) in enumerate(zip(types, values, strict=True)):
        if kind in _HASHED:
            encode_values([kind], [value], f"{name}[{index}]")
            plain.append(keccak(_HASHED[kind](value)))
        else:
            plain.append(value)
    words = ["bytes32" if kind in _HASHED else kind for kind in types]
    struct = keccak(encode_values(["bytes32", *words], [keccak(text=type_text), *plain], name))
    return keccak(b"\x19\x01" + separator + struct)
