"""Mnemonics and derived keys: the values of other wallets, and clear refusals."""

from __future__ import annotations

import pickle

import pytest

from adapters.bitcoin.hd_keys import EVM_ACCOUNT_PATH, HARDENED, HdKey, new_mnemonic, parse_mnemonic
from foundation.errors import BadInput

ABOUT = "abandon " * 11 + "about"


def test_zero_entropy_gives_the_words_of_the_standard() -> None:
    """Trezor's vectors of BIP-39 name them."""
    assert new_mnemonic(bytes(32)) == "abandon " * 23 + "art"


def test_an_evm_account_is_where_other_wallets_look_for_it() -> None:
    """The first address of the well-known test mnemonic."""
    secret = HdKey.from_mnemonic("test " * 11 + "junk").child(*EVM_ACCOUNT_PATH).secret
    assert secret.hex() == "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"


def test_a_path_is_its_steps_one_by_one() -> None:
    """Deriving at once and step by step ends at the same key."""
    master = HdKey.from_mnemonic(ABOUT)
    assert master.child(5 | HARDENED, 7).secret == master.child(5 | HARDENED).child(7).secret


def test_words_may_be_typed_with_other_spaces_and_capitals() -> None:
    """What a person types is put into the standard's form."""
    assert parse_mnemonic("  Abandon\n" + "abandon\t" * 10 + "ABOUT ") == ABOUT


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("abandon " * 11, "has 11 words"),
        ("abandon " * 11 + "zzzz", "word 12 is not in the list"),
        ("abandon " * 12, "checksum"),
        ("", "has 0 words"),
    ],
)
def test_a_slip_in_the_words_is_named_by_its_place_and_never_shown(words: str, problem: str) -> None:
    """The error says what to look at, and holds no word."""
    with pytest.raises(BadInput, match=problem) as caught:
        parse_mnemonic(words)
    assert caught.value.field == "mnemonic"
    assert "zzzz" not in str(caught.value)
    assert "abandon" not in str(caught.value)


def test_keys_neither_show_nor_pickle_themselves() -> None:
    """A log or a child process cannot get at them by accident."""
    key = HdKey.from_mnemonic(ABOUT)
    assert repr(key) == "HdKey(hidden)"
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_entropy_and_steps_have_bounds() -> None:
    """Too little randomness and impossible steps are refused."""
    with pytest.raises(BadInput, match="16 bytes"):
        new_mnemonic(bytes(16))
    with pytest.raises(BadInput, match="no step"):
        HdKey.from_mnemonic(ABOUT).child(1 << 32)
