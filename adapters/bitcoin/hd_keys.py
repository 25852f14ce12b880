"""Mnemonics and the keys that follow from them, by libwally.

Sources: BIP-39 (mnemonic, seed), BIP-32 (hardened derivation), SLIP-44 and BIP-44 (an EVM account's path).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

import wallycore as wally  # type: ignore[import-untyped]  # ships no types

from foundation.errors import BadInput

ENTROPY_BYTES: Final = 32
"""Of a new mnemonic: 24 words."""

HARDENED: Final = 0x8000_0000
"""Added to the number of a step whose result tells nothing of its neighbours."""

EVM_ACCOUNT_PATH: Final = (44 | HARDENED, 60 | HARDENED, HARDENED, 0, 0)
"""m/44'/60'/0'/0/0, where wallets of EVM chains look for their first account."""

_LENGTHS: Final = (12, 15, 18, 21, 24)


def new_mnemonic(entropy: bytes) -> str:
    """24 English words for 32 random bytes. Raises `BadInput` for another number of bytes."""
    if len(entropy) != ENTROPY_BYTES:
        raise BadInput("entropy", f"has {len(entropy)} bytes", f"{ENTROPY_BYTES} random bytes")
    return str(wally.bip39_mnemonic_from_bytes(None, entropy))


def parse_mnemonic(text: str) -> str:
    """The words of a mnemonic as BIP-39 writes them: lower case, one space between two.

    Raises:
        BadInput: not 12 to 24 words, a word that is not in the list (named by its place, never shown: it may be a
            secret with a slip), or a checksum that does not match.
    """
    words = text.lower().split()
    if len(words) not in _LENGTHS:
        raise BadInput("mnemonic", f"has {len(words)} words", "12, 15, 18, 21 or 24 words, with spaces between them")
    known = _word_list()
    for place, word in enumerate(words, 1):
        if word not in known:
            raise BadInput("mnemonic", f"word {place} is not in the list of BIP-39", "look at its spelling")
    phrase = " ".join(words)
    try:
        wally.bip39_mnemonic_validate(None, phrase)
    except ValueError:
        problem = "its checksum does not match: a word is another one, or two have changed places"
        raise BadInput("mnemonic", problem, "compare it with what you wrote down") from None
    return phrase


class HdKey:
    """A private key with its chain code, from which others follow. It never shows itself."""

    __slots__ = ("_key",)

    def __init__(self, key: Any) -> None:
        """Use `from_mnemonic` or `child`."""
        self._key = key

    @classmethod
    def from_mnemonic(cls, mnemonic: str) -> Self:
        """The master key of a mnemonic without a passphrase. Raises `BadInput` as `parse_mnemonic`."""
        seed = wally.bip39_mnemonic_to_seed512(parse_mnemonic(mnemonic), None)
        return cls(wally.bip32_key_from_seed(bytes(seed), wally.BIP32_VER_MAIN_PRIVATE, 0))

    def child(self, *path: int) -> HdKey:
        """The key at the end of a path of step numbers, `HARDENED` included in each hardened one."""
        flags = wally.BIP32_FLAG_KEY_PRIVATE | wally.BIP32_FLAG_SKIP_HASH
        return HdKey(wally.bip32_key_from_parent_path(self._key, _checked(path), flags))

    @property
    def secret(self) -> bytes:
        """32 bytes: a secret scalar of secp256k1, not zero and below the group order."""
        return bytes(wally.bip32_key_get_priv_key(self._key))

    def __repr__(self) -> str:
        return "HdKey(hidden)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("keys are not pickled")


def _checked(path: Sequence[int]) -> list[int]:
    for step in path:
        if not 0 <= step < 1 << 32:
            raise BadInput("path", f"{step} is no step", "0 to 2^32−1")
    return list(path)


def _word_list() -> frozenset[str]:
    words = wally.bip39_get_wordlist(None)
    return frozenset(wally.bip39_get_word(words, number) for number in range(2048))
