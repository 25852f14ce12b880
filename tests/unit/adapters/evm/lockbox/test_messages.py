"""What a group signs for a Lockbox: bound to one chain, one Lockbox and one epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from coincurve import PrivateKey
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from adapters.evm.lockbox.messages import Messages, proof
from adapters.evm.lockbox.types import NATIVE_COIN, RETURN, Payment, return_number
from adapters.native.eip712 import BadSignature
from foundation.errors import BadInput
from foundation.quantities import TokenUnits

MESSAGES = Messages(1, b"\x10" * 20, 3)
TOKEN, PAYEE = b"\x20" * 20, b"\x30" * 20
PAYMENTS = [
    Payment(1, NATIVE_COIN, PAYEE, TokenUnits(10), TokenUnits(1)),
    Payment(2, TOKEN, PAYEE, TokenUnits(5), TokenUnits(0)),
]
KEY = b"\x50" * 32

ALL: dict[str, Callable[[Messages], bytes]] = {
    "release": lambda m: m.release(PAYMENTS),
    "cancel": lambda m: m.cancel([1, 2]),
    "configure": lambda m: m.configure(TOKEN, 100, 200, True, 1),
    "rotate": lambda m: m.rotate(KEY),
    "accept": lambda m: m.accept(KEY),
    "unpause": lambda m: m.unpause(1),
}


def tagged(action: str, types: list[str], values: list[object]) -> bytes:
    """The message as the specification spells it."""
    tag = hashlib.sha256(f"Causeway/{action}".encode()).digest()
    content = encode(["uint256", "address", "uint256", *types], [1, b"\x10" * 20, 3, *values])
    return hashlib.sha256(tag + tag + content).digest()


def test_messages_are_those_of_the_specification() -> None:
    """Each message is the tagged hash of chain, Lockbox, epoch and contents."""
    plain = [(1, NATIVE_COIN, PAYEE, 10, 1), (2, TOKEN, PAYEE, 5, 0)]
    payments = keccak(encode(["(uint256,address,address,uint256,uint256)[]"], [plain]))
    configuration = ["address", "uint256", "uint256", "bool", "uint256"]
    assert MESSAGES.release(PAYMENTS) == tagged("release", ["bytes32"], [payments])
    assert MESSAGES.cancel([1, 2]) == tagged("cancel", ["bytes32"], [keccak(encode(["uint256[]"], [[1, 2]]))])
    assert MESSAGES.configure(TOKEN, 100, 200, True, 1) == tagged(
        "configure", configuration, [TOKEN, 100, 200, True, 1]
    )
    assert MESSAGES.rotate(KEY) == tagged("rotate", ["bytes32"], [KEY])
    assert MESSAGES.accept(KEY) == tagged("accept", ["bytes32"], [KEY])
    assert MESSAGES.unpause(1) == tagged("unpause", ["uint256"], [1])


@pytest.mark.parametrize("action", ALL)
def test_a_message_is_good_for_one_place_only(action: str) -> None:
    """On another chain, for another Lockbox or in another epoch the same contents are another message."""
    make = ALL[action]
    others = [
        replace(MESSAGES, chain_id=2),
        replace(MESSAGES, lockbox=b"\x11" * 20),
        replace(MESSAGES, epoch=4),
    ]
    assert len({make(each) for each in (MESSAGES, *others)}) == 4


def test_messages_of_different_kinds_differ() -> None:
    """The same values signed for one purpose are worth nothing for another."""
    assert MESSAGES.rotate(KEY) != MESSAGES.accept(KEY)
    assert len({make(MESSAGES) for make in ALL.values()}) == len(ALL)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MESSAGES.release([]),
        lambda: MESSAGES.release(PAYMENTS[:1] * 65),
        lambda: MESSAGES.cancel([]),
        lambda: MESSAGES.cancel([2**256]),
        lambda: MESSAGES.configure(TOKEN[1:], 0, 0, False, 1),
        lambda: MESSAGES.configure(TOKEN, 2**112, 0, False, 1),
        lambda: MESSAGES.configure(TOKEN, 0, 2**112, False, 1),
        lambda: MESSAGES.rotate(b"\x02" + KEY),
        lambda: MESSAGES.accept(b""),
        lambda: MESSAGES.unpause(-1),
        lambda: Messages(1, bytes(20), 0),
        lambda: Messages(-1, TOKEN, 0),
        lambda: Payment(1, TOKEN, bytes(20), TokenUnits(1), TokenUnits(0)),
        lambda: Payment(2**256, TOKEN, PAYEE, TokenUnits(1), TokenUnits(0)),
        lambda: Payment(1, TOKEN, PAYEE, TokenUnits(2**256 - 1), TokenUnits(1)),
        lambda: Payment(1, TOKEN[1:], PAYEE, TokenUnits(1), TokenUnits(0)),
        lambda: return_number(0),
        lambda: return_number(RETURN),
    ],
)
def test_what_a_lockbox_has_no_place_for_is_refused(make: Callable[[], object]) -> None:
    """Counts, lengths and numbers that the contract would refuse, or read otherwise, are bad input."""
    with pytest.raises(BadInput):
        make()


def test_a_proof_is_of_a_valid_signature() -> None:
    """A signature becomes a proof only if it verifies."""
    secret, message = PrivateKey(b"\x07" * 32), MESSAGES.release(PAYMENTS)
    signature = secret.sign_schnorr(message)
    key = secret.public_key.format()[1:]
    made = proof(signature, key, message)
    assert made.rx + made.s == signature
    with pytest.raises(BadSignature):
        proof(signature, key, MESSAGES.cancel([1]))


def test_returns_have_numbers_of_their_own() -> None:
    """The number that returns a lock can never be a withdrawal's."""
    assert return_number(5) == 2**255 + 5
