"""Each way in which a Lockbox refuses has its type, and says what to do."""

from __future__ import annotations

import re

import pytest

from adapters.evm.errors import Reverted
from adapters.evm.lockbox.errors import LockboxRefused, MoreGas, typed_revert
from contracts.artifacts import SOURCES

PLAIN = frozenset(
    {
        # Mistakes of whoever deploys it: a person reads the words.
        "Lockbox: no key",
        "Lockbox: bad window",
        # What only the Lockbox itself calls.
        "Lockbox: not the Lockbox",
    }
)

SAID = frozenset(re.findall(r'"(Lockbox: [^"\n]+)"', (SOURCES / "Lockbox.vy").read_text()))
CLASSES = LockboxRefused.__subclasses__()


def test_every_reason_of_the_contract_has_a_type() -> None:
    """No reason is forgotten, and none is typed that the contract does not say."""
    typed = frozenset(words for kind in CLASSES for words in kind.says)
    assert SAID - PLAIN - typed == frozenset()
    assert typed - SAID == frozenset()


@pytest.mark.parametrize("reason", sorted(SAID))
def test_reasons_become_errors(reason: str) -> None:
    """A reason becomes an error of its class, whose cure tells a person what to do."""
    error = typed_revert("Lockbox.release", reason, b"\x01")
    assert isinstance(error, LockboxRefused)
    assert (error.reason, error.label, error.data) == (reason.removeprefix("Lockbox: "), "Lockbox.release", b"\x01")
    assert reason in PLAIN or (type(error) is not LockboxRefused and error.cure)


def test_strangers_words_stay_words() -> None:
    """What no Lockbox says is a plain refusal."""
    assert type(typed_revert("x", "ERC20: paused")) is Reverted
    assert type(typed_revert("x", "Lockbox: something new")) is LockboxRefused
    assert type(typed_revert("x", "Lockbox: more gas")) is MoreGas
