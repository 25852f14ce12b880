"""A trader's secrets follow from the words alone."""

from __future__ import annotations

import hashlib

import pytest

from foundation.errors import BadInput
from settlement.swap.wallet.secrets import INDEX_MAX, SwapSecrets, TraderKeys

WORDS = "test " * 11 + "junk"
KINDS = ("bitcoin", "preimage", "scalar", "lock", "letters", "identity", "salt")


def test_the_same_words_give_the_same_secrets() -> None:
    """Two wallets of one mnemonic agree on everything."""
    one, other = TraderKeys(WORDS).swap(3), TraderKeys(WORDS.upper()).swap(3)
    assert all(getattr(one, kind) == getattr(other, kind) for kind in KINDS)
    assert TraderKeys(WORDS).account.hex() == "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"


def test_the_secrets_of_one_wallet_all_differ() -> None:
    """No key serves twice, within a swap or between two."""
    keys = TraderKeys(WORDS)
    found = [getattr(keys.swap(index), kind) for index in range(20) for kind in KINDS]
    assert len(set(found)) == len(found) == 140
    assert all(len(secret) == 32 for secret in found)


def test_secrets_of_this_version_never_change() -> None:
    """Money on chains depends on them: a change of the derivation is a new version beside this one."""
    swap = TraderKeys(WORDS).swap(0)
    digest = hashlib.sha256(b"".join(getattr(swap, kind) for kind in KINDS)).hexdigest()
    assert digest == "cdadf4816468b14be983638e4e9c9cb5e74c00306b0cdd7ceaa3dd87c9b10b06"


def test_each_realm_has_secrets_of_its_own() -> None:
    """What a swap has shown on one chain or Escrow opens no lock elsewhere; the account is the same everywhere."""
    words = TraderKeys(WORDS)
    here, there = words.at(b"\x01" * 32), words.at(b"\x02" * 32)
    for kind in KINDS:
        assert len({getattr(keys.swap(0), kind) for keys in (words, here, there)}) == 3, kind
    assert len({words.wallet_id, here.wallet_id, there.wallet_id}) == 3
    assert words.account == here.account == there.account
    again = there.at(b"\x01" * 32)
    assert (again.wallet_id, again.swap(0).preimage) == (here.wallet_id, here.swap(0).preimage)
    with pytest.raises(BadInput, match="realm"):
        words.at(bytes(8))


def test_secrets_of_a_realm_never_change() -> None:
    """As above: money on chains depends on them."""
    swap = TraderKeys(WORDS).at(bytes(range(32))).swap(0)
    digest = hashlib.sha256(b"".join(getattr(swap, kind) for kind in KINDS)).hexdigest()
    assert digest == "b7f153b73ad4cf25632a6f4eb9e6dedde786a0bb786ed4499c9c9f17bd5a4f19"


def test_public_parts_are_those_of_the_secrets() -> None:
    """Condition, point and keys are what the other side can check."""
    swap = TraderKeys(WORDS).swap(1)
    assert swap.condition == hashlib.sha256(swap.preimage).digest()
    assert len(swap.point) == 33
    assert {len(key) for key in (swap.bitcoin_key, swap.lock_key, swap.identity_key)} == {32}


@pytest.mark.parametrize("index", [-1, INDEX_MAX + 1])
def test_an_index_out_of_range_is_refused(index: int) -> None:
    """A hardened step has 31 bits."""
    with pytest.raises(BadInput, match="names no swap"):
        TraderKeys(WORDS).swap(index)


def test_nothing_secret_is_shown() -> None:
    """Neither in a log nor in an error."""
    keys = TraderKeys(WORDS)
    assert repr(keys) == "TraderKeys(hidden)"
    swap: SwapSecrets = keys.swap(2)
    assert repr(swap) == "SwapSecrets(2, hidden)"
