"""Reclaiming a deposit alone: the transaction, its PSBT, its signature, and reading the key."""

from __future__ import annotations

import base64
import secrets

import pytest
import wallycore  # type: ignore[import-untyped]  # ships no types
from coincurve import PrivateKey

from adapters.bitcoin.addresses import MAINNET, REGTEST, TESTNET4
from adapters.bitcoin.errors import BadSignature, OutputBelowDust
from adapters.bitcoin.reclaim import (
    UnsignedReclaim,
    finalize_reclaim,
    parse_reclaim_key,
    reclaim_transaction,
    sign_reclaim,
)
from adapters.bitcoin.scripts import deposit_script
from adapters.bitcoin.taproot import Leaf
from adapters.bitcoin.transactions import parse_transaction
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, SatPerKvB
from tests.support.vault_coins import (
    GROUP_KEY,
    GROUP_SECRET,
    P2WPKH,
    RECLAIM_KEY,
    RECLAIM_SECRET,
    coin,
    deposit_coin,
    terms,
)

RATE = SatPerKvB(3_000)


@pytest.fixture
def reclaim() -> UnsignedReclaim:
    """Of the deposit with terms 4, at 3 sat/vB."""
    return reclaim_transaction(terms(4), deposit_coin(50_000, 4), P2WPKH, RATE)


def test_a_signed_reclaim_is_as_foretold(reclaim: UnsignedReclaim) -> None:
    """The signed transaction has the delay as its sequence number, one output less the fee, and the foretold size."""
    parsed = parse_transaction(sign_reclaim(reclaim, RECLAIM_SECRET))
    deposit = deposit_script(terms(4))
    assert (parsed.version, parsed.sequences, parsed.inputs) == (2, (144,), (reclaim.coin.outpoint,))
    assert [(out.value, out.script) for out in parsed.outputs] == [(50_000 - reclaim.fee, P2WPKH)]
    assert parsed.witnesses[0][1:] == (deposit.leaf, deposit.control_block)
    assert (parsed.vsize, parsed.txid) == (reclaim.vsize, reclaim.txid())
    assert reclaim.fee == 3 * reclaim.vsize
    assert reclaim.fee_rate == RATE


@pytest.mark.parametrize("delay", [1, 16, 17, 127, 128, 32_768, 65_535])
def test_sizes_are_exact_for_every_length_of_the_delay(delay: int) -> None:
    """The delay takes one to four bytes in the leaf; the foretold size is exact for each."""
    given = terms(4, delay)
    spent = coin(50_000, 4, deposit_script(given).script)
    reclaim = reclaim_transaction(given, spent, P2WPKH, RATE)
    parsed = parse_transaction(sign_reclaim(reclaim, RECLAIM_SECRET))
    assert (parsed.vsize, parsed.sequences) == (reclaim.vsize, (delay,))


def test_valid_from_counts_blocks_from_the_coins(reclaim: UnsignedReclaim) -> None:
    """A coin in block 100 with a delay of 144 can be reclaimed in block 244."""
    assert reclaim.valid_from(BlockHeight(100)) == 244


def test_a_signature_made_elsewhere_finishes_it(reclaim: UnsignedReclaim) -> None:
    """A signature over the sighash is enough; one by another key, or over something else, is refused."""
    signature = PrivateKey(RECLAIM_SECRET).sign_schnorr(reclaim.sighash())
    assert parse_transaction(finalize_reclaim(reclaim, signature)).witnesses[0][0] == signature
    wrong = PrivateKey(GROUP_SECRET).sign_schnorr(reclaim.sighash())
    for bad in (wrong, PrivateKey(RECLAIM_SECRET).sign_schnorr(bytes(32)), signature + b"\x01"):
        with pytest.raises(BadSignature):
            finalize_reclaim(reclaim, bad)


def test_another_key_is_refused(reclaim: UnsignedReclaim) -> None:
    """Signing with a key that is not the one in the terms is refused before anything is signed."""
    with pytest.raises(BadInput) as refusal:
        sign_reclaim(reclaim, GROUP_SECRET)
    assert refusal.value.field == "reclaim key"


def test_a_coin_of_another_deposit_is_refused() -> None:
    """A coin that does not pay the address of the terms is refused."""
    with pytest.raises(BadInput) as refusal:
        reclaim_transaction(terms(5), deposit_coin(50_000, 4), P2WPKH, RATE)
    assert refusal.value.field == "coin"


def test_dust_is_not_reclaimed() -> None:
    """What would be left below the destination's dust threshold is refused."""
    with pytest.raises(OutputBelowDust):
        reclaim_transaction(terms(4), deposit_coin(500, 4), P2WPKH, RATE)


def test_the_psbt_has_what_a_signer_needs(reclaim: UnsignedReclaim) -> None:
    """libwally reads the PSBT; it carries the transaction, the coin, the leaf, its control block, root and keys."""
    psbt = wallycore.psbt_from_base64(reclaim.psbt(), wallycore.WALLY_PSBT_PARSE_FLAG_STRICT)
    assert wallycore.psbt_get_version(psbt) == 0
    transaction = wallycore.psbt_get_global_tx(psbt)
    assert bytes(wallycore.tx_to_bytes(transaction, 0)) == reclaim.serialized()
    spent = wallycore.psbt_get_input_witness_utxo(psbt, 0)
    assert wallycore.tx_output_get_satoshi(spent) == 50_000
    assert bytes(wallycore.psbt_get_input_taproot_internal_key(psbt, 0)) == GROUP_KEY
    raw, deposit = base64.b64decode(reclaim.psbt()), deposit_script(terms(4))
    leaf = deposit.leaf + b"\xc0"
    assert sized(b"\x15" + deposit.control_block) + sized(leaf) in raw
    assert sized(b"\x16" + RECLAIM_KEY) + sized(b"\x01" + Leaf(deposit.leaf).hash() + bytes(4)) in raw
    assert sized(b"\x18") + sized(deposit.merkle_root) in raw


def sized(data: bytes) -> bytes:
    """Fewer than 253 bytes after their length."""
    return bytes([len(data)]) + data


def wif(secret: bytes, version: int, suffix: bytes = b"\x01") -> str:
    """A private key in wallet import format."""
    return str(wallycore.base58_from_bytes(bytes([version]) + secret + suffix, wallycore.BASE58_FLAG_CHECKSUM))


def test_keys_are_read_in_both_forms() -> None:
    """Hex digits of either case, and wallet import format of the network, compressed or not."""
    for text in (
        RECLAIM_SECRET.hex(),
        f" {RECLAIM_SECRET.hex().upper()}\n",
        wif(RECLAIM_SECRET, 0xEF),
        wif(RECLAIM_SECRET, 0xEF, b""),
    ):
        assert parse_reclaim_key(text, REGTEST) == RECLAIM_SECRET
    assert parse_reclaim_key(wif(RECLAIM_SECRET, 0x80), MAINNET) == RECLAIM_SECRET
    assert parse_reclaim_key(wif(RECLAIM_SECRET, 0xEF), TESTNET4) == RECLAIM_SECRET


@pytest.mark.parametrize(
    "text",
    [
        "",
        "é" * 64,
        RECLAIM_SECRET.hex()[:-1],
        wif(RECLAIM_SECRET, 0x80),
        wif(RECLAIM_SECRET, 0xEF)[:-1] + "1",
        wif(RECLAIM_SECRET, 0xEF, b"\x02"),
        wif(RECLAIM_SECRET[:20], 0xEF),
        "00" * 32,
        "ff" * 32,
    ],
)
def test_a_bad_key_is_refused_without_being_shown(text: str) -> None:
    """What is no key, mistyped, of another network or out of range is refused, and the error never quotes it."""
    with pytest.raises(BadInput) as refusal:
        parse_reclaim_key(text, REGTEST)
    assert refusal.value.field == "reclaim key"
    assert not text or text not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_any_fresh_key_works() -> None:
    """A random secret in hex comes back as it is."""
    secret = secrets.token_bytes(32)
    assert parse_reclaim_key(secret.hex(), MAINNET) == secret
