"""`settlement.swap.bitcoin.output`: the output of both modes, its sizes, and what a witness shows."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from adapters.bitcoin.errors import OutputBelowDust
from adapters.bitcoin.htlc import Htlc, PointLock
from adapters.bitcoin.scripts import vault_script
from adapters.bitcoin.taproot import output_key
from adapters.bitcoin.transactions import SEQUENCE, parse_transaction, vsize_of
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB
from mpc.musig import KeyAggregate
from settlement.swap.bitcoin.output import Path, Reading
from settlement.swap.terms import Mode, Role
from tests.support.swap_bitcoin import AMOUNT, RATE, Deal, key_of, secret_of

DEAL = Deal(Mode.HASH, secret_of("initiator"), secret_of("follower"), secret_of("preimage"), 1_800_000_000)
POINT = replace(DEAL, mode=Mode.POINT)
TO = vault_script(key_of(secret_of("destination")))
MODES = pytest.mark.parametrize("deal", [DEAL, POINT], ids=["hash", "point"])


def input_vb(vsize: int) -> float:
    """Virtual bytes of the one input: the transaction's, less what it would have with its output and no input.

    As the vault's are counted: the outpoint, the sequence number and the witness; the fixed parts and the output are
    the same whatever is spent. Witness bytes count a quarter, so a fraction may remain; the fixed parts are rounded up.
    """
    return vsize - vsize_of(0, [TO], 0)


@MODES
def test_the_key_path_is_both_keys_in_their_order(deal: Deal) -> None:
    """The output's key is the MuSig2 aggregate of initiator and follower, tweaked with the tree."""
    output = deal.output
    keys = KeyAggregate.of([b"\x02" + output.claimer, b"\x02" + output.refunder])
    assert output.internal.xonly_key == keys.xonly_key
    assert output.script[2:] == output_key(keys.xonly_key, output.lock.merkle_root).key == output.signing.xonly_key


def test_the_modes_differ_in_their_leaves_alone() -> None:
    """Hash mode has a claim and a refund, point mode the refund alone, which is the same."""
    hashed, pointed = DEAL.output.lock, POINT.output.lock
    assert isinstance(hashed, Htlc)
    assert isinstance(pointed, PointLock)
    assert hashed.refund_leaf == pointed.refund_leaf
    assert hashed.internal_key == pointed.internal_key
    assert DEAL.output.script != POINT.output.script


def test_the_point_is_not_in_the_output() -> None:
    """In point mode the condition leaves no trace on bitcoin: nothing there links it to the other leg."""
    other = replace(POINT, secret=secret_of("other"))
    assert other.output.script == POINT.output.script
    assert replace(DEAL, secret=secret_of("other")).output.script != DEAL.output.script


@MODES
@pytest.mark.parametrize("field", ["initiator", "follower", "expires_at"])
def test_every_term_changes_the_output(deal: Deal, field: str) -> None:
    """Another key or time-out is another output."""
    other = 1_800_000_001 if field == "expires_at" else secret_of("somebody")
    assert replace(deal, **{field: other}).output.script != deal.output.script  # type: ignore[arg-type]


@MODES
def test_sizes_are_what_the_swap_promises(deal: Deal) -> None:
    """A cooperative spend costs at most 58 vB an input, a claim by script 102, a refund 87."""
    output, coin = deal.output, deal.coin()
    assert input_vb(output.by_key(coin, TO, RATE).vsize) <= 58
    assert input_vb(output.refund(coin, TO, RATE).vsize) <= 87
    if deal.mode is Mode.HASH:
        assert input_vb(output.claim(coin, TO, RATE, deal.secret).vsize) <= 102


@MODES
def test_every_spend_may_be_replaced(deal: Deal) -> None:
    """All spends signal that a higher fee may replace them."""
    output, coin = deal.output, deal.coin()
    spends = [output.by_key(coin, TO, RATE).serialized(), output.refund(coin, TO, RATE).serialized()]
    assert {parse_transaction(raw).sequences for raw in spends} == {(SEQUENCE,)}


def test_a_witness_is_read_for_what_it_is() -> None:
    """Claims show the preimage, key paths the signature, refunds neither."""
    output, coin = DEAL.output, DEAL.coin()
    claim = parse_transaction(output.claim(coin, TO, RATE, DEAL.secret).signed_by(DEAL.initiator)).witnesses[0]
    refund = parse_transaction(output.refund(coin, TO, RATE).signed_by(DEAL.follower)).witnesses[0]
    assert output.read(claim) == Reading(Path.CLAIM, preimage=DEAL.secret)
    assert output.read(refund) == output.read((*refund, b"\x50annex")) == Reading(Path.REFUND)
    assert output.read((b"\x07" * 64,)) == Reading(Path.KEY, signature=b"\x07" * 64)
    assert output.read((b"\x07" * 64 + b"\x01", b"\x50annex")) == Reading(Path.KEY, signature=b"\x07" * 64)


def test_only_the_preimage_opens() -> None:
    """A preimage of another length or value is refused before a transaction is made."""
    output = DEAL.output
    assert output.opens(DEAL.secret)
    assert not output.opens(DEAL.secret[:-1])
    long = b"\x05" * 33
    assert not replace(DEAL, secret=long).output.opens(long)
    with pytest.raises(BadInput):
        output.claim(DEAL.coin(), TO, RATE, secret_of("other"))
    with pytest.raises(BadInput):
        POINT.output.claim(POINT.coin(), TO, RATE, POINT.secret)


@MODES
def test_another_swaps_coin_is_refused(deal: Deal) -> None:
    """No spend is made of a coin with another script."""
    coin = replace(deal.coin(), script=TO)
    with pytest.raises(BadInput):
        deal.output.by_key(coin, TO, RATE)
    with pytest.raises(BadInput):
        deal.output.refund(coin, TO, RATE)


def test_dust_is_never_made() -> None:
    """A spend that would leave less than nodes relay is refused."""
    with pytest.raises(OutputBelowDust):
        DEAL.output.refund(DEAL.coin(), TO, RATE, minimum_fee=Satoshi(AMOUNT - 329))
    with pytest.raises(OutputBelowDust):
        DEAL.output.by_key(replace(DEAL.coin(), value=Satoshi(400)), TO, SatPerKvB(1_000))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("claimer", bytes(32)),
        ("refunder", b"\x02" * 31),
        ("refunder", DEAL.output.claimer),
        ("condition", hashlib.sha1(b"", usedforsecurity=False).digest()),
        ("expires_at", 499_999_999),
    ],
)
def test_outputs_that_cannot_be_are_refused(field: str, value: object) -> None:
    """Keys are points and differ, a condition has 32 bytes, a time-out is a time."""
    with pytest.raises(BadInput):
        replace(DEAL.output, **{field: value})  # type: ignore[arg-type]


def test_only_the_named_secrets_sign() -> None:
    """A secret that is not of this side's key is refused."""
    assert DEAL.output.secret_of(Role.INITIATOR, DEAL.initiator).point().to_xonly() == DEAL.output.claimer
    with pytest.raises(BadInput):
        DEAL.output.secret_of(Role.INITIATOR, DEAL.follower)
