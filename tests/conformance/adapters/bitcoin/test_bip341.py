"""The published vectors of BIP-341: scripts and addresses, signature hashes, key-path signatures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from coincurve import PublicKeyXOnly

from adapters.bitcoin._wally import TaprootHasher
from adapters.bitcoin.addresses import MAINNET, address_text, parse_address
from adapters.bitcoin.scripts import taproot_script
from adapters.bitcoin.taproot import Leaf, Tree, control_blocks, merkle_root, output_key, tap_tweak, tweak_secret
from adapters.bitcoin.transactions import parse_transaction


@pytest.fixture(scope="module")
def cases(vectors: Path) -> Any:
    """The file of vectors."""
    return json.loads((vectors / "bip341" / "wallet-test-vectors.json").read_text())


def tree_of(given: Any) -> Tree:
    """A script tree in the vectors' notation."""
    if isinstance(given, list):
        left, right = given
        return tree_of(left), tree_of(right)
    return Leaf(bytes.fromhex(given["script"]), given["leafVersion"])


def test_script_pub_keys(cases: Any) -> None:
    """Tweak, output key, script, address, Merkle root, leaf hashes and control blocks are those of the vectors."""
    assert len(cases["scriptPubKey"]) == 7
    for case in cases["scriptPubKey"]:
        internal = bytes.fromhex(case["given"]["internalPubkey"])
        given, expected, steps = case["given"]["scriptTree"], case["expected"], case["intermediary"]
        root = b""
        if given is not None:
            tree = tree_of(given)
            root = merkle_root(tree)
            leaves = control_blocks(internal, tree)
            assert [leaf.hash().hex() for leaf, _ in leaves] == steps["leafHashes"]
            assert [block.hex() for _, block in leaves] == expected["scriptPathControlBlocks"]
            assert root.hex() == steps["merkleRoot"]
        assert tap_tweak(internal, root).hex() == steps["tweak"]
        key = output_key(internal, root).key
        assert key.hex() == steps["tweakedPubkey"]
        script = taproot_script(key)
        assert script.hex() == expected["scriptPubKey"]
        assert address_text(script, MAINNET) == expected["bip350Address"]
        assert parse_address(expected["bip350Address"], MAINNET) == script


def test_key_path_spending(cases: Any) -> None:
    """Tweaked secret keys, signature hashes and signatures are those of the vectors, for each hash type."""
    for case in cases["keyPathSpending"]:
        spent = case["given"]["utxosSpent"]
        scripts = [bytes.fromhex(coin["scriptPubKey"]) for coin in spent]
        values = [coin["amountSats"] for coin in spent]
        hasher = TaprootHasher(bytes.fromhex(case["given"]["rawUnsignedTx"]), scripts, values)
        assert len(case["inputSpending"]) == 7
        for spending in case["inputSpending"]:
            given, steps = spending["given"], spending["intermediary"]
            index, hash_type = given["txinIndex"], given["hashType"]
            secret = bytes.fromhex(given["internalPrivkey"])
            assert PublicKeyXOnly.from_secret(secret).format().hex() == steps["internalPubkey"]
            root = bytes.fromhex(given["merkleRoot"] or "")
            assert tap_tweak(bytes.fromhex(steps["internalPubkey"]), root).hex() == steps["tweak"]
            tweaked = tweak_secret(secret, root)
            assert tweaked.secret.hex() == steps["tweakedPrivkey"]
            sighash = hasher.key_path(index, hash_type)
            assert sighash.hex() == steps["sigHash"]
            signature = tweaked.sign_schnorr(sighash, bytes(32))
            (witness,) = spending["expected"]["witness"]
            assert (signature + (bytes([hash_type]) if hash_type else b"")).hex() == witness


def test_the_signed_transaction(cases: Any) -> None:
    """The vectors' signed transaction parses: the unsigned one's id, inputs and outputs, and the expected witnesses."""
    for case in cases["keyPathSpending"]:
        signed = parse_transaction(bytes.fromhex(case["auxiliary"]["fullySignedTx"]))
        unsigned = parse_transaction(bytes.fromhex(case["given"]["rawUnsignedTx"]))
        assert signed.inputs == unsigned.inputs
        assert (signed.outputs, signed.locktime) == (unsigned.outputs, unsigned.locktime)
        for spending in case["inputSpending"]:
            witness = signed.witnesses[spending["given"]["txinIndex"]]
            assert [item.hex() for item in witness] == spending["expected"]["witness"]
