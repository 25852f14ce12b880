"""What is signed for the contracts: the digests are EIP-712's, and only strict signatures count."""

from __future__ import annotations

from typing import Any

import pytest
from coincurve import PrivateKey
from eth_account import Account
from eth_account.messages import _hash_eip191_message, encode_typed_data

from adapters.native.eip712 import (
    ANCHOR_SPENT,
    ASSET_INTRODUCTION,
    DEPOSIT_ATTESTATION,
    DEPOSIT_RETURN,
    GROUP_KEY,
    HALT,
    PAYOUT_RESERVATION,
    PAYOUT_SETTLEMENT,
    PERMIT,
    RELEASE_CANCELLED,
    RESUME,
    BadSignature,
    Domain,
    HubDigests,
    RegistryDigests,
    account_of,
    account_of_secret,
    by_signer,
    permit_digest,
    recover,
    sign_digest,
)
from adapters.native.types import Statement, StatementKind
from foundation.errors import BadInput

CHAIN_ID = 31_337
CONTRACT = bytes(range(20))
SECRET = bytes(31) + b"\x05"
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
A, B, C = (bytes([i]) * 32 for i in (0xA1, 0xB2, 0xC3))
ACCOUNT = b"\xee" * 20
HUB = HubDigests(CHAIN_ID, CONTRACT)
BIG = 2**256 - 1


def word(value: int | bytes) -> bytes:
    """A field as one word of 32 bytes."""
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


CASES: list[tuple[str, tuple[Any, ...], bytes]] = [
    (DEPOSIT_ATTESTATION, (A, B, 7, 50_000, ACCOUNT, C), HUB.deposit_attestation(A, B, 7, 50_000, ACCOUNT, C)),
    (DEPOSIT_RETURN, (A, B, 0, BIG, C, 3), HUB.deposit_return(A, B, 0, BIG, C, 3)),
    (PAYOUT_RESERVATION, (A, B, [C, A], [B, B, C]), HUB.payout_reservation(A, B, [C, A], [B, B, C])),
    (PAYOUT_RESERVATION, (A, B, [], []), HUB.payout_reservation(A, B, [], [])),
    (ANCHOR_SPENT, (A, B), HUB.anchor_spent(A, B)),
    (PAYOUT_SETTLEMENT, (A, B, 1_234), HUB.payout_settlement(A, B, 1_234)),
    (
        ASSET_INTRODUCTION,
        (A, "eip155:1/erc20:0x" + "ab" * 20, "Some Token", "TOK", 18),
        HUB.asset_introduction(A, "eip155:1/erc20:0x" + "ab" * 20, "Some Token", "TOK", 18),
    ),
    (ASSET_INTRODUCTION, (A, "", "\u00e9", "", 0), HUB.asset_introduction(A, "", "\u00e9", "", 0)),
    (RELEASE_CANCELLED, (A, BIG), HUB.release_cancelled(A, BIG)),
    (HALT, (A, 1_900_000_000), HUB.halt(A, 1_900_000_000)),
    (RESUME, (A, 1_900_000_000), HUB.resume(A, 1_900_000_000)),
    (GROUP_KEY, (A, 1, B), RegistryDigests(CHAIN_ID, CONTRACT).group_key(A, 1, B)),
]


def reference(type_text: str, values: tuple[Any, ...], name: str = "Causeway") -> bytes:
    """The digest as eth-account makes it."""
    primary, _, fields = type_text.partition("(")
    members = [dict(zip(("type", "name"), field.split(" "), strict=True)) for field in fields[:-1].split(",")]
    domain_types = (("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address"))
    message = encode_typed_data(
        full_message={
            "types": {"EIP712Domain": [{"name": n, "type": t} for n, t in domain_types], primary: members},
            "primaryType": primary,
            "domain": {"name": name, "version": "1", "chainId": CHAIN_ID, "verifyingContract": "0x" + CONTRACT.hex()},
            "message": {
                member["name"]: "0x" + value.hex() if member["type"] == "address" else value
                for member, value in zip(members, values, strict=True)
            },
        }
    )
    return bytes(_hash_eip191_message(message))


@pytest.mark.parametrize(("type_text", "values", "digest"), CASES)
def test_digests_are_those_of_eth_account(type_text: str, values: tuple[Any, ...], digest: bytes) -> None:
    """Each structure's digest equals that of an implementation which is not ours."""
    assert digest == reference(type_text, values)


@pytest.mark.parametrize(
    ("statement", "digest"),
    [
        (
            Statement(StatementKind.DEPOSIT_ATTESTATION, (A, B, word(7), word(50_000), word(ACCOUNT), C), b""),
            HUB.deposit_attestation(A, B, 7, 50_000, ACCOUNT, C),
        ),
        (Statement(StatementKind.PAYOUT_SETTLEMENT, (A, B, word(9)), b""), HUB.payout_settlement(A, B, 9)),
        (Statement(StatementKind.ANCHOR_SPENT, (A, B), b""), HUB.anchor_spent(A, B)),
    ],
)
def test_a_statement_has_the_digest_of_what_was_signed(statement: Statement, digest: bytes) -> None:
    """What is brought as proof, in words, hashes to the very digest that the voucher signed."""
    assert HUB.statement(statement) == digest


def test_a_permits_digest_is_that_of_eth_account() -> None:
    """A permit is signed under the token's own name."""
    domain = Domain(CHAIN_ID, CONTRACT, "Bitcoin (Causeway)")
    values = (ACCOUNT, b"\x01" * 20, 10**8, 4, 1_900_000_000)
    assert permit_digest(domain, *values) == reference(PERMIT, values, "Bitcoin (Causeway)")


def test_digests_differ_by_chain_and_contract() -> None:
    """A signature for one bridge is none for another."""
    digests = {HubDigests(chain, hub).anchor_spent(A, B) for chain in (1, CHAIN_ID) for hub in (CONTRACT, b"\x01" * 20)}
    assert len(digests) == 4


@pytest.mark.parametrize(
    "build",
    [
        lambda: HUB.anchor_spent(A[:31], B),
        lambda: HUB.anchor_spent(A, B + b"\0"),
        lambda: HUB.deposit_attestation(A, B, -1, 1, ACCOUNT, C),
        lambda: HUB.deposit_attestation(A, B, 0, BIG + 1, ACCOUNT, C),
        lambda: HUB.deposit_attestation(A, B, 0, 1, ACCOUNT[:19], C),
        lambda: HUB.payout_reservation(A, B, [C[:31]], []),
        lambda: HUB.asset_introduction(A, "", "", "", -1),
        lambda: HUB.release_cancelled(A, BIG + 1),
        lambda: HUB.halt(A[:31], 1),
        lambda: HUB.resume(A, -1),
        lambda: HubDigests(CHAIN_ID, CONTRACT[:19]),
    ],
)
def test_values_that_do_not_fit_are_refused(build: Any) -> None:
    """Nothing is padded or cut in silence."""
    with pytest.raises(BadInput):
        build()


def test_a_signature_is_recovered() -> None:
    """The account of the key that signed is found, and eth-account finds the same."""
    digest = HUB.anchor_spent(A, B)
    signature = sign_digest(SECRET, digest)
    assert len(signature) == 65
    assert recover(digest, signature) == account_of_secret(SECRET)
    assert Account._recover_hash(digest, signature=signature) == Account.from_key(SECRET).address
    assert account_of_secret(SECRET).hex() == Account.from_key(SECRET).address[2:].lower()
    assert account_of(PrivateKey(SECRET).public_key.format()) == account_of_secret(SECRET)
    assert sign_digest(SECRET, digest) == signature


def high(signature: bytes) -> bytes:
    """The other signature over the same digest by the same key, which Ethereum refuses (EIP-2)."""
    s = ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (high, "s is high"),
        (lambda s: s[:64] + bytes([s[64] - 27]), "v is"),
        (lambda s: s[:64] + b"\x1d", "v is 29"),
        (lambda s: s[:64], "64 bytes"),
        (lambda s: s + b"\0", "66 bytes"),
        (lambda s: bytes(64) + b"\x1b", "no key"),
        (lambda s: s[:32] + bytes(32) + s[64:], "no key"),
        (lambda s: b"\xff" * 32 + s[32:], "no key"),
    ],
)
def test_signatures_that_contracts_refuse_are_refused_here(spoil: Any, problem: str) -> None:
    """A high s, a strange v, a wrong length and numbers out of range are no signatures."""
    digest = HUB.anchor_spent(A, B)
    with pytest.raises(BadSignature, match=problem):
        recover(digest, spoil(sign_digest(SECRET, digest)))


def test_a_signature_over_something_else_is_a_strangers() -> None:
    """A signature over another digest never yields the signer's account."""
    assert recover(HUB.anchor_spent(B, A), sign_digest(SECRET, HUB.anchor_spent(A, B))) != account_of_secret(SECRET)


@pytest.mark.parametrize("secret", [bytes(32), ORDER.to_bytes(32, "big"), bytes(33)])
def test_what_is_no_key_signs_nothing(secret: bytes) -> None:
    """Zero, the group order and wrong lengths are no keys; a digest has 32 bytes."""
    with pytest.raises(BadInput):
        sign_digest(secret, A)
    with pytest.raises(BadInput):
        account_of_secret(secret)
    with pytest.raises(BadInput):
        sign_digest(SECRET, A[:31])
    with pytest.raises(BadInput):
        recover(A[:31], bytes(65))
    with pytest.raises(BadInput):
        account_of(bytes(33))


def test_signatures_are_put_in_the_contracts_order() -> None:
    """Signatures are listed by ascending account, whatever order they came in."""
    assert by_signer({b"\x02": b"two", b"\x01": b"one", b"\x03": b"three"}) == (b"one", b"two", b"three")
