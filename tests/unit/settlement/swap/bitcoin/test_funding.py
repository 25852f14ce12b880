"""`settlement.swap.bitcoin.funding`: funding transactions put together, checked, and kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.bitcoin.builders import fee_at
from adapters.bitcoin.errors import InsufficientFunds, MalformedTransaction, OutputBelowDust, WrongTransaction
from adapters.bitcoin.primitives import Coin, OutPoint, TxOut
from adapters.bitcoin.transactions import SEQUENCE, serialize
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi
from settlement.swap.bitcoin.funding import Funding, funding_draft, spend_vsize, sweep_draft
from tests.support.swap_bitcoin import RATE

P2WPKH, P2TR, P2PKH = b"\x00\x14" + bytes(20), b"\x51\x20" + bytes(32), b"\x76\xa9\x14" + bytes(20) + b"\x88\xac"
PAID = TxOut(Satoshi(50_000), b"\x51\x20" + b"\x01" * 32)
CHANGE = b"\x51\x20" + b"\x02" * 32


def coin(number: int, value: int, script: bytes = P2TR) -> Coin:
    """A wallet's coin."""
    return Coin(OutPoint(bytes([number]) * 32, 0), Satoshi(value), script, BlockHeight(5))


def signed(inputs: tuple[Coin, ...], outputs: tuple[TxOut, ...]) -> bytes:
    """As if a wallet had signed."""
    return serialize([(one.outpoint, SEQUENCE) for one in inputs], outputs, [(bytes(64),) for _ in inputs])


def test_a_draft_pays_exactly_and_gives_change() -> None:
    """The swap's output is exact, the fee is the rate's, and the rest comes back."""
    draft = funding_draft([coin(1, 90_000)], PAID, CHANGE, RATE)
    assert PAID in draft.outputs
    assert draft.fee == fee_at(RATE, spend_vsize(draft.inputs, [one.script for one in draft.outputs]))
    assert sum(one.value for one in draft.outputs) + draft.fee == 90_000


def test_the_order_of_outputs_tells_nothing() -> None:
    """Outputs are in the order of their scripts, whichever is the swap's."""
    for other in (b"\x51\x20" + b"\x00" * 32, CHANGE):
        draft = funding_draft([coin(1, 90_000)], PAID, other, RATE)
        assert list(draft.outputs) == sorted(draft.outputs, key=lambda one: one.script)


def test_change_that_would_be_dust_is_left_out() -> None:
    """Too little for change goes to the miner."""
    draft = funding_draft([coin(1, 50_500)], PAID, CHANGE, RATE)
    assert draft.outputs == (PAID,)
    assert draft.fee == 500


def test_coins_of_other_kinds_are_passed_over() -> None:
    """Only native segregated witness of one key funds a swap."""
    draft = funding_draft([coin(1, 900_000, P2PKH), coin(2, 90_000, P2WPKH)], PAID, CHANGE, RATE)
    assert [one.script for one in draft.inputs] == [P2WPKH]
    with pytest.raises(InsufficientFunds):
        funding_draft([coin(1, 900_000, P2PKH)], PAID, CHANGE, RATE)
    with pytest.raises(BadInput):
        spend_vsize([coin(1, 5, P2PKH)], [])


def test_a_replacement_keeps_its_inputs() -> None:
    """All inputs of what is replaced are in, and others only where the fee needs them."""
    first = funding_draft([coin(1, 60_000), coin(2, 70_000)], PAID, CHANGE, RATE)
    second = funding_draft([coin(3, 90_000)], PAID, CHANGE, RATE, required=first.inputs, minimum_fee=Satoshi(5_000))
    assert second.inputs == first.inputs
    assert second.fee == 5_000
    third = funding_draft([coin(3, 90_000)], PAID, CHANGE, RATE, required=first.inputs, minimum_fee=Satoshi(30_000))
    assert set(third.inputs) == {*first.inputs, coin(3, 90_000)}
    assert third.fee == 30_000


def test_too_little_money_is_said() -> None:
    """Coins that hold the amount but not the fee do not suffice."""
    with pytest.raises(InsufficientFunds):
        funding_draft([coin(1, 50_000)], PAID, CHANGE, RATE)
    with pytest.raises(InsufficientFunds):
        funding_draft([], PAID, CHANGE, RATE)
    with pytest.raises(OutputBelowDust):
        funding_draft([coin(1, 50_000)], replace(PAID, value=Satoshi(329)), CHANGE, RATE)


def test_a_signer_cannot_change_the_transaction() -> None:
    """What comes back from the wallet has to be what was asked for, signed throughout."""
    draft = funding_draft([coin(1, 60_000), coin(2, 70_000)], PAID, CHANGE, RATE)
    draft.check(signed(draft.inputs, draft.outputs))
    thief = (replace(draft.outputs[0], script=P2WPKH), *draft.outputs[1:])
    with pytest.raises(WrongTransaction):
        draft.check(signed(draft.inputs, thief))
    with pytest.raises(WrongTransaction):
        draft.check(draft.serialized())
    with pytest.raises(MalformedTransaction):
        draft.check(b"")


def test_a_funding_knows_its_parts() -> None:
    """Outpoint, coin, fee and change are read from the transaction, also after it was stored."""
    draft = funding_draft([coin(1, 60_000), coin(2, 70_000)], PAID, CHANGE, RATE)
    raw = signed(draft.inputs, draft.outputs)
    funding = Funding.decode(Funding(raw, draft.outputs.index(PAID), draft.inputs).encode())
    assert funding.txid == draft.txid()
    assert (funding.coin.value, funding.coin.script) == (PAID.value, PAID.script)
    assert funding.fee == draft.fee
    assert funding.change is not None
    assert funding.change.script == CHANGE
    assert funding.inputs == draft.inputs
    alone = Funding(signed((coin(1, 50_500),), (PAID,)), 0, (coin(1, 50_500),))
    assert alone.change is None
    with pytest.raises(BadInput):
        Funding.decode(b"\x01")


def test_a_sweep_pays_all_to_one() -> None:
    """Everything less the fee goes to one output, unless that is dust."""
    draft = sweep_draft([coin(1, 60_000), coin(2, 70_000)], CHANGE, RATE)
    assert draft.outputs == (TxOut(Satoshi(130_000 - draft.fee), CHANGE),)
    assert sweep_draft([coin(1, 60_000)], CHANGE, RATE, minimum_fee=Satoshi(9_000)).fee == 9_000
    with pytest.raises(OutputBelowDust):
        sweep_draft([coin(1, 500)], CHANGE, RATE)
