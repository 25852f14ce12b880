"""HTLC outputs: their scripts, sizes and spends, without a node."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from coincurve import PrivateKey, PublicKeyXOnly

from adapters.bitcoin.errors import BadSignature, OutputBelowDust
from adapters.bitcoin.htlc import (
    NOBODYS_POINT,
    Htlc,
    HtlcSpend,
    PointLock,
    TimedOutput,
    htlc_spend,
    spend_vsize,
    unspendable_key,
)
from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.bitcoin.scripts import vault_script
from adapters.bitcoin.transactions import parse_transaction, vsize_of
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB

PREIMAGE = hashlib.sha256(b"preimage").digest()
PAYEE, PAYER = (hashlib.sha256(name).digest() for name in (b"payee", b"payer"))
RATE = SatPerKvB(2_000)


def key_of(secret: bytes) -> bytes:
    """The x-only public key."""
    return bytes(PublicKeyXOnly.from_secret(secret).format())


HTLC = Htlc(unspendable_key(bytes(32)), hashlib.sha256(PREIMAGE).digest(), key_of(PAYEE), key_of(PAYER), 1_800_000_000)
COIN = Coin(OutPoint(b"\x01" * 32, 0), Satoshi(100_000), HTLC.script)
TO = vault_script(key_of(PAYEE))


def input_vb(htlc: TimedOutput, *, is_claim: bool) -> float:
    """Virtual bytes of the input alone."""
    return (spend_vsize(htlc, TO, is_claim=is_claim) * 4 - vsize_of(0, [TO], 0) * 4) / 4


def test_internal_key_is_nobodys_and_commits() -> None:
    """The key is H of BIP-341 moved by a hash of the commitment: another commitment is another key."""
    digest = hashlib.sha256(b"Causeway/htlc").digest()
    offset = hashlib.sha256(digest + digest + b"\x07" * 32).digest()
    point = PublicKeyXOnly(NOBODYS_POINT)
    point.tweak_add(offset)
    assert unspendable_key(b"\x07" * 32) == point.format() != unspendable_key(b"\x08" * 32)
    with pytest.raises(BadInput):
        unspendable_key(b"")


def test_leaves_are_as_documented() -> None:
    """The claim enforces 32 bytes and their hash, the refund the time; both want one signature."""
    claim = b"\x82\x01\x20\x88\xa8\x20" + HTLC.condition + b"\x88\x20" + HTLC.payee + b"\xac"
    refund = b"\x04" + (1_800_000_000).to_bytes(4, "little") + b"\xb1\x75\x20" + HTLC.payer + b"\xac"
    assert (HTLC.claim_leaf.script, HTLC.refund_leaf.script) == (claim, refund)
    assert (len(claim), len(refund)) == (73, 41)


def test_every_field_changes_the_output() -> None:
    """No two terms share an output."""
    others = [
        replace(HTLC, internal_key=unspendable_key(b"\x01" * 32)),
        replace(HTLC, condition=bytes(32)),
        replace(HTLC, payee=HTLC.payer),
        replace(HTLC, payer=HTLC.payee),
        replace(HTLC, expires_at=HTLC.expires_at + 1),
    ]
    assert len({HTLC.script, *(other.script for other in others)}) == 6


def test_spends_are_small() -> None:
    """A claim costs at most 102 vB an input and a refund 87, also with the longer times after 2038."""
    late = replace(HTLC, expires_at=0xFFFF_FFFF)
    for htlc in (HTLC, late):
        assert input_vb(htlc, is_claim=True) <= 102
        assert input_vb(htlc, is_claim=False) <= 87


@pytest.mark.parametrize("preimage", [PREIMAGE, None])
def test_spend_has_the_size_and_fee_foretold(preimage: bytes | None) -> None:
    """A signed claim or refund has the virtual size that its fee was computed from."""
    spend = htlc_spend(HTLC, COIN, TO, RATE, preimage=preimage)
    parsed = parse_transaction(spend.signed_by(PAYER if preimage is None else PAYEE))
    assert (parsed.vsize, parsed.txid) == (spend.vsize, spend.txid())
    assert parsed.locktime == (HTLC.expires_at if preimage is None else 0)
    assert spend.fee == -(-2_000 * spend.vsize // 1_000)
    assert parsed.outputs[0].value == 100_000 - spend.fee


def test_preimage_is_read_from_a_claim_alone() -> None:
    """A claim's witness tells the preimage, with an annex too; a refund's and a key path's tell none."""
    claim = parse_transaction(htlc_spend(HTLC, COIN, TO, RATE, preimage=PREIMAGE).signed_by(PAYEE)).witnesses[0]
    refund = parse_transaction(htlc_spend(HTLC, COIN, TO, RATE).signed_by(PAYER)).witnesses[0]
    assert HTLC.preimage_in(claim) == PREIMAGE
    assert HTLC.preimage_in((*claim, b"\x50annex")) == PREIMAGE
    assert [HTLC.preimage_in(one) for one in (refund, (bytes(64),), (), (*claim[:2], b"other", claim[3]))] == [None] * 4


def test_only_the_named_key_signs() -> None:
    """The payer's key signs no claim, the payee's no refund, and a signature of another transaction does not hold."""
    claim, refund = htlc_spend(HTLC, COIN, TO, RATE, preimage=PREIMAGE), htlc_spend(HTLC, COIN, TO, RATE)
    with pytest.raises(BadInput):
        claim.signed_by(PAYER)
    with pytest.raises(BadInput):
        refund.signed_by(PAYEE)
    with pytest.raises(BadSignature):
        claim.signed(PrivateKey(PAYEE).sign_schnorr(refund.sighash()))


def test_replacement_pays_its_minimum() -> None:
    """A bumped spend pays at least what it is told to, and one that would leave dust is refused."""
    assert htlc_spend(HTLC, COIN, TO, RATE, minimum_fee=Satoshi(5_000)).fee == 5_000
    with pytest.raises(OutputBelowDust):
        htlc_spend(HTLC, COIN, TO, RATE, minimum_fee=Satoshi(99_900))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("condition", bytes(31)),
        ("payee", bytes(32)),
        ("payer", b"\x02" * 33),
        ("expires_at", 499_999_999),
        ("expires_at", 2**32),
    ],
)
def test_terms_that_cannot_be_are_refused(field: str, value: object) -> None:
    """Keys are points, a condition has 32 bytes, and a time is one that CHECKLOCKTIMEVERIFY takes for a time."""
    with pytest.raises(BadInput) as refusal:
        replace(HTLC, **{field: value})  # type: ignore[arg-type]
    assert refusal.value.field == field


def test_other_coins_and_preimages_are_refused() -> None:
    """A coin of other terms, and a preimage of another length, make no spend."""
    with pytest.raises(BadInput):
        HtlcSpend(HTLC, replace(COIN, script=TO), TO, Satoshi(500), None)
    with pytest.raises(BadInput):
        HtlcSpend(HTLC, COIN, TO, Satoshi(500), PREIMAGE + b"\0")


POINT = PointLock(unspendable_key(b"\x02" * 32), key_of(PAYER), 1_800_000_000)


def test_a_point_lock_is_refunded_as_a_hash_lock_is() -> None:
    """Its tree is the refund alone, which is smaller than a hash lock's, and signed by the payer."""
    coin = replace(COIN, script=POINT.script)
    spend = htlc_spend(POINT, coin, TO, RATE)
    parsed = parse_transaction(spend.signed_by(PAYER))
    assert (parsed.vsize, parsed.locktime) == (spend.vsize, POINT.expires_at)
    assert parsed.witnesses[0][1:] == (HTLC.refund_leaf.script, POINT.control_block(POINT.refund_leaf))
    assert POINT.merkle_root == HTLC.refund_leaf.hash()
    assert input_vb(POINT, is_claim=False) == input_vb(HTLC, is_claim=False) - 8
    with pytest.raises(BadInput):
        spend.signed_by(PAYEE)


def test_a_point_lock_has_no_claim_by_preimage() -> None:
    """No preimage opens a point lock, and a hash lock's coin is none of its."""
    coin = replace(COIN, script=POINT.script)
    with pytest.raises(BadInput):
        htlc_spend(POINT, coin, TO, RATE, preimage=PREIMAGE)
    with pytest.raises(BadInput):
        HtlcSpend(POINT, coin, TO, Satoshi(500), PREIMAGE)
    with pytest.raises(BadInput):
        htlc_spend(POINT, COIN, TO, RATE)


def test_refunds_are_told_from_claims() -> None:
    """A witness of the refund's leaf is a refund, with an annex too, whatever the output; others are not."""
    claim = parse_transaction(htlc_spend(HTLC, COIN, TO, RATE, preimage=PREIMAGE).signed_by(PAYEE)).witnesses[0]
    refund = parse_transaction(htlc_spend(HTLC, COIN, TO, RATE).signed_by(PAYER)).witnesses[0]
    assert HTLC.is_refund(refund)
    assert HTLC.is_refund((*refund, b"\x50annex"))
    assert not any(HTLC.is_refund(one) for one in (claim, (bytes(64),), (), (bytes(64), b"\x50annex")))


@pytest.mark.parametrize(("field", "value"), [("internal_key", bytes(32)), ("payer", b"\x02"), ("expires_at", 5)])
def test_point_locks_that_cannot_be_are_refused(field: str, value: object) -> None:
    """Keys are points, and a time is one that CHECKLOCKTIMEVERIFY takes for a time."""
    with pytest.raises(BadInput) as refusal:
        replace(POINT, **{field: value})  # type: ignore[arg-type]
    assert refusal.value.field == field
