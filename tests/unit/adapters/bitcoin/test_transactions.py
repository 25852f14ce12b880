"""Transactions: what they commit to, how large they are, when a signed one is accepted, and strict parsing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from bitcoin.core import CTransaction

from adapters.bitcoin.errors import BadSignature, MalformedTransaction, WrongTransaction
from adapters.bitcoin.primitives import MAX_MONEY, TxOut
from adapters.bitcoin.scripts import deposit_script
from adapters.bitcoin.transactions import SEQUENCE, ParsedTx, UnsignedTx, check_signed, parse_transaction, serialize
from foundation.errors import BadInput
from foundation.quantities import Satoshi
from tests.support.vault_coins import P2PKH, P2WPKH, VAULT, coin, coins, deposit_coin, signatures, terms


@pytest.fixture
def unsigned() -> UnsignedTx:
    """Two inputs, two outputs, a fee of 1,000."""
    return UnsignedTx(coins(50_000, 60_000), (TxOut(Satoshi(40_000), P2WPKH), TxOut(Satoshi(69_000), VAULT)))


@pytest.fixture
def raw(unsigned: UnsignedTx) -> bytes:
    """The same, signed."""
    return unsigned.signed(signatures(unsigned))


def test_serialized_is_what_another_library_reads(unsigned: UnsignedTx, raw: bytes) -> None:
    """python-bitcoinlib reads the signed form with the same id, inputs, sequence numbers, outputs and witnesses."""
    theirs = CTransaction.deserialize(raw)
    assert theirs.GetTxid() == unsigned.txid()
    assert (theirs.nVersion, theirs.nLockTime) == (2, 0)
    assert [(i.prevout.hash, i.prevout.n, i.nSequence) for i in theirs.vin] == [
        (c.outpoint.txid, c.outpoint.vout, 0xFFFFFFFD) for c in unsigned.inputs
    ]
    assert [(o.nValue, bytes(o.scriptPubKey)) for o in theirs.vout] == [(o.value, o.script) for o in unsigned.outputs]
    assert [len(w.scriptWitness.stack[0]) for w in theirs.wit.vtxinwit] == [64, 64]


def test_parsing_returns_what_was_built(unsigned: UnsignedTx, raw: bytes) -> None:
    """The parsed form has the built one's fields, and its size is the one that was foretold."""
    parsed = parse_transaction(raw)
    assert (parsed.txid, parsed.vsize) == (unsigned.txid(), unsigned.vsize)
    assert parsed.wtxid == CTransaction.deserialize(raw).GetHash() != parsed.txid
    assert parsed.inputs == tuple(c.outpoint for c in unsigned.inputs)
    assert (parsed.sequences, parsed.signature_scripts) == ((SEQUENCE,) * 2, (b"",) * 2)
    assert (parsed.outputs, parsed.version, parsed.locktime) == (unsigned.outputs, 2, 0)


def test_without_witnesses_both_ids_are_equal(unsigned: UnsignedTx) -> None:
    """The form without witnesses parses too; its wtxid is its txid and its witnesses are empty."""
    parsed = parse_transaction(unsigned.serialized())
    assert parsed.txid == parsed.wtxid == unsigned.txid()
    assert parsed.witnesses == ((), ())
    assert parsed.vsize == len(unsigned.serialized())


def test_fee_and_rate(unsigned: UnsignedTx) -> None:
    """The fee is what the outputs leave; the rate is that for 1,000 virtual bytes."""
    assert unsigned.fee == 1_000
    assert unsigned.fee_rate == 1_000_000 // unsigned.vsize


def test_a_wrong_signature_is_named(unsigned: UnsignedTx) -> None:
    """`signed` verifies each signature against the coin's key, and names the input whose signature does not hold."""
    good = signatures(unsigned)
    for bad in (good[0], good[1][:-1] + bytes([good[1][-1] ^ 1]), good[1] + b"\x01", b""):
        with pytest.raises(BadSignature) as refusal:
            unsigned.signed([good[0], bad])
        assert refusal.value.index == 1
    with pytest.raises(BadInput, match="signatures"):
        unsigned.signed(good[:1])


def test_a_deposit_is_signed_with_its_own_tweak() -> None:
    """A deposit's coin needs the key tweaked with its Merkle root; the vault's key does not do."""
    deposit = deposit_coin(50_000, 7)
    unsigned = UnsignedTx((deposit, coin(1_000, 8)), (TxOut(Satoshi(50_000), VAULT),))
    root = deposit_script(terms(7)).merkle_root
    assert unsigned.signed(signatures(unsigned, [root, b""]))
    with pytest.raises(BadSignature):
        unsigned.signed(signatures(unsigned))


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ((), (TxOut(Satoshi(1), VAULT),)),
        (coins(1), ()),
        ((coin(5), coin(5)), (TxOut(Satoshi(1), VAULT),)),
        ((coin(5, script=P2WPKH),), (TxOut(Satoshi(1), VAULT),)),
        (coins(5), (TxOut(Satoshi(6), VAULT),)),
        (coins(5), (TxOut(Satoshi(-1), VAULT),)),
        ((coin(MAX_MONEY + 1),), (TxOut(Satoshi(1), VAULT),)),
    ],
)
def test_impossible_transactions_are_refused(inputs: tuple[object, ...], outputs: tuple[TxOut, ...]) -> None:
    """Nothing in or out, a coin twice, a coin of another kind, amounts that cannot be: none of these is built."""
    with pytest.raises(BadInput):
        UnsignedTx(inputs, outputs)  # type: ignore[arg-type]  # the empty case has no element type


def test_the_signed_form_is_accepted(unsigned: UnsignedTx, raw: bytes) -> None:
    """`check_signed` returns nothing for the very transaction, signed."""
    check_signed(unsigned, raw)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda u: replace(u, inputs=u.inputs[::-1]), "inputs"),
        (lambda u: replace(u, outputs=u.outputs[::-1]), "outputs"),
        (lambda u: replace(u, outputs=(u.outputs[0], TxOut(Satoshi(69_001), VAULT))), "outputs"),
        (lambda u: replace(u, inputs=u.inputs[:1], outputs=u.outputs[:1]), "inputs"),
    ],
)
def test_another_transaction_is_named(
    unsigned: UnsignedTx, change: Callable[[UnsignedTx], UnsignedTx], field: str
) -> None:
    """A well signed transaction that is not the one to be signed is refused, with the field that differs."""
    other = change(unsigned)
    with pytest.raises(WrongTransaction) as refusal:
        check_signed(unsigned, other.signed(signatures(other)))
    assert refusal.value.field == field


def test_other_constants_are_named(unsigned: UnsignedTx, raw: bytes) -> None:
    """Another version, sequence number, signature script or lock time is refused and named, the rest being equal."""
    spends = [(c.outpoint, 0xFFFFFFFF) for c in unsigned.inputs]
    final = serialize(spends, unsigned.outputs, parse_transaction(raw).witnesses)
    plain = unsigned.serialized()
    scripted = plain[:41] + b"\x01\x51" + plain[42:]
    for wrong, field in [
        (final, "sequences"),
        (b"\x01" + raw[1:], "version"),
        (raw[:-4] + b"\x01\x00\x00\x00", "locktime"),
        (scripted, "signature_scripts"),
    ]:
        with pytest.raises(WrongTransaction) as refusal:
            check_signed(unsigned, wrong)
        assert refusal.value.field == field


def test_wrong_witnesses_are_refused(unsigned: UnsignedTx) -> None:
    """A missing, foreign or sighash-typed signature is a bad one; more than a signature is another transaction."""
    spends = [(c.outpoint, SEQUENCE) for c in unsigned.inputs]
    first, second = signatures(unsigned)
    for witness in ((), (first,), (second + b"\x01",)):
        with pytest.raises(BadSignature) as refusal:
            check_signed(unsigned, serialize(spends, unsigned.outputs, [(first,), witness]))
        assert refusal.value.index == 1
    with pytest.raises(BadSignature):
        check_signed(unsigned, unsigned.serialized())
    with pytest.raises(WrongTransaction, match="witnesses"):
        check_signed(unsigned, serialize(spends, unsigned.outputs, [(first,), (second, b"\x50")]))


def malformed(raw: bytes) -> str:
    """The problem that the parser names."""
    with pytest.raises(MalformedTransaction) as refusal:
        parse_transaction(raw)
    return refusal.value.problem


def test_every_truncation_is_refused(raw: bytes) -> None:
    """No prefix of a transaction parses, and nothing may follow one."""
    for length in range(len(raw)):
        malformed(raw[:length])
    assert "follow" in malformed(raw + b"\x00")


def test_malformed_parts_are_refused(unsigned: UnsignedTx, raw: bytes) -> None:
    """Long sizes, empty sides, a coin twice, too much money, an unknown marker and missing witnesses are refused."""
    plain = unsigned.serialized()
    spends = [(c.outpoint, SEQUENCE) for c in unsigned.inputs]
    rich = TxOut(Satoshi(MAX_MONEY), VAULT)
    assert "longer" in malformed(plain[:4] + b"\xfd\x02\x00" + plain[5:])
    assert "no inputs" in malformed(plain[:4] + b"\x00" + plain[5:])
    assert "marker" in malformed(raw[:5] + b"\x02" + raw[6:])
    assert "outputs" in malformed(serialize(spends, []))
    assert "twice" in malformed(serialize([spends[0]] * 2, unsigned.outputs))
    assert "more than" in malformed(serialize(spends, [TxOut(Satoshi(MAX_MONEY + 1), VAULT)]))
    assert "more than" in malformed(serialize(spends, [rich, rich]))
    assert "has none" in malformed(serialize(spends, unsigned.outputs, [(), ()]))
    assert "announces" in malformed(plain[:4] + b"\xfe\xff\xff\xff\xff" + plain[5:])


def test_a_coinbase_and_a_legacy_transaction_parse() -> None:
    """The block reward's null outpoint and old signature scripts are no obstacle."""
    genesis = bytes.fromhex(
        "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054"
        "696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f7574"
        "20666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea"
        "1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
    )
    parsed: ParsedTx = parse_transaction(genesis)
    assert parsed.txid[::-1].hex() == "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
    assert (parsed.version, parsed.vsize, len(parsed.signature_scripts[0])) == (1, 204, 77)
    assert parsed.outputs[0].value == 50 * 100_000_000


def test_sizes_of_more_kinds() -> None:
    """The foretold size is exact for every count of inputs and kind of output, where a count takes three bytes too."""
    for count, script in [(1, P2PKH), (2, P2WPKH), (252, VAULT), (253, VAULT)]:
        spent = coins(*[1_000] * count)
        unsigned = UnsignedTx(spent, (TxOut(Satoshi(600), script),))
        witnesses = [(bytes(64),)] * count
        spends = [(c.outpoint, SEQUENCE) for c in spent]
        assert parse_transaction(serialize(spends, unsigned.outputs, witnesses)).vsize == unsigned.vsize
