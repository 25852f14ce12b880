"""The few functions of libwally that we use, with types. Beside it only `hd_keys` imports `wallycore`."""

from __future__ import annotations

from collections.abc import Sequence

import wallycore as wally  # type: ignore[import-untyped]  # ships no types

_NO_CODESEPARATOR = 0xFFFFFFFF
_TAPSCRIPT_KEY_VERSION = 0


class TaprootHasher:
    """Signature hashes of the inputs of one transaction (BIP-341, BIP-342), given the outputs that it spends."""

    def __init__(self, raw: bytes, scripts: Sequence[bytes], values: Sequence[int]) -> None:
        """Take the serialized transaction (witnesses do not matter) and what it spends, in the order of its inputs.

        Raises:
            ValueError: the transaction is malformed, or the sequences have not one item for each input.
        """
        self._transaction = wally.tx_from_bytes(raw, 0)
        inputs = wally.tx_get_num_inputs(self._transaction)
        if not inputs == len(scripts) == len(values):
            raise ValueError(f"{inputs} inputs, {len(scripts)} scripts, {len(values)} values")
        self._values = list(values)
        self._scripts = wally.map_init(len(scripts), None)
        for index, script in enumerate(scripts):
            wally.map_add_integer(self._scripts, index, script)

    def key_path(self, index: int, hash_type: int = 0) -> bytes:
        """What a key-path signature of input `index` signs, 32 bytes. `hash_type` 0 is SIGHASH_DEFAULT."""
        return self._hash(index, None, hash_type)

    def script_path(self, index: int, leaf: bytes, hash_type: int = 0) -> bytes:
        """What a signature in the tapscript `leaf` signs, where no OP_CODESEPARATOR was executed."""
        return self._hash(index, leaf, hash_type)

    def _hash(self, index: int, leaf: bytes | None, hash_type: int) -> bytes:
        return bytes(
            wally.tx_get_btc_taproot_signature_hash(
                self._transaction,
                index,
                self._scripts,
                self._values,
                leaf,
                _TAPSCRIPT_KEY_VERSION,
                _NO_CODESEPARATOR,
                None,  # no annex
                hash_type,
                0,
            )
        )


def segwit_address(script: bytes, prefix: str) -> str:
    """Bech32 (version 0) or bech32m (later) text of a witness program. Raises `ValueError`."""
    return str(wally.addr_segwit_from_bytes(script, prefix, 0))


def segwit_script(address: str, prefix: str) -> bytes:
    """The scriptPubKey of a bech32 or bech32m address. Raises `ValueError`: malformed, or another prefix."""
    return bytes(wally.addr_segwit_to_bytes(address, prefix, 0))


def base58check(payload: bytes) -> str:
    """Base58 with a checksum."""
    return str(wally.base58_from_bytes(payload, wally.BASE58_FLAG_CHECKSUM))


def base58check_payload(text: str) -> bytes:
    """The inverse of `base58check`. Raises `ValueError`: malformed, or the checksum is wrong."""
    return bytes(wally.base58_to_bytes(text, wally.BASE58_FLAG_CHECKSUM))
