"""CertEq, the equality check: all participants sign what they saw, and all signatures together are a certificate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mpc import bip340
from mpc.chilldkg.params import signed_message
from mpc.curve import SecretScalar

SIGNATURE_BYTES: Final = bip340.SIGNATURE_BYTES
_CERTIFICATE: Final = "certeq message"
_ACKNOWLEDGMENT: Final = "recovery acknowledgment"


def certify(hostseckey: SecretScalar, participant_id: int, seen: bytes, aux_rand: bytes) -> bytes:
    """This participant's signature (64 bytes) under what it saw."""
    return bip340.sign_scalar(signed_message(_CERTIFICATE, participant_id, seen), hostseckey, aux_rand)


def first_invalid(hostpubkeys: Sequence[bytes], seen: bytes, signatures: Sequence[bytes]) -> int | None:
    """The first participant whose signature is not valid for what was seen; None if all are.

    The messages hold all keys and the identifier, so it does no harm that BIP-340 ignores the sign of a key.
    """
    return _first_invalid(_CERTIFICATE, hostpubkeys, seen, signatures)


def acknowledge(hostseckey: SecretScalar, participant_id: int, recovery_data: bytes, aux_rand: bytes) -> bytes:
    """This participant's signature (64 bytes) that says it holds the recovery data."""
    return bip340.sign_scalar(signed_message(_ACKNOWLEDGMENT, participant_id, recovery_data), hostseckey, aux_rand)


def first_invalid_ack(hostpubkeys: Sequence[bytes], recovery_data: bytes, signatures: Sequence[bytes]) -> int | None:
    """The first participant whose acknowledgement is invalid; None if all are valid."""
    return _first_invalid(_ACKNOWLEDGMENT, hostpubkeys, recovery_data, signatures)


def _first_invalid(purpose: str, keys: Sequence[bytes], content: bytes, signatures: Sequence[bytes]) -> int | None:
    for i, (key, signature) in enumerate(zip(keys, signatures, strict=True)):
        if not bip340.verify(signed_message(purpose, i, content), key[1:], signature):
            return i
    return None
