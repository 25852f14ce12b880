"""Every refusal of a contract that a person can meet is told with what to do about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adapters.evm.channels.errors import typed_revert as channels_revert
from adapters.evm.escrow.errors import typed_revert as escrow_revert
from adapters.evm.lockbox.errors import typed_revert as lockbox_revert
from adapters.native.errors import typed_revert as native_revert
from cli.exits import ExitCode, explain

SOURCES = Path(__file__).parents[3] / "contracts" / "src"
_WORDS = re.compile(r'"((?:Lockbox|Hub|Bonds|Registry|MappingToken|Escrow|Anchors|Channels): [^"]+)"')

_NOT_MET = {"Lockbox: bad window", "Lockbox: no key", "Lockbox: not the Lockbox", "Escrow: not the Escrow"}
"""What Lockbox and Escrow say to whoever deploys them, and to calls of themselves that they alone make."""
_OF_LIBRARIES = (
    "erc20: transfer amount exceeds balance",
    "erc20: insufficient allowance",
    "ownable: caller is not the owner",
)
"""What libraries in our contracts say to people."""
_REVERTS = {
    "Lockbox": lockbox_revert,
    "Escrow": escrow_revert,
    "Anchors": escrow_revert,
    "Channels": channels_revert,
}
"""Who types a contract's words; all others are the native adapter's."""


def _reasons() -> list[str]:
    """All strings with which our contracts revert, as their sources have them."""
    found = {words for source in SOURCES.glob("*.vy") for words in _WORDS.findall(source.read_text())}
    return sorted(found - _NOT_MET)


def test_the_sources_are_found() -> None:
    """The walk below goes over all eight contracts."""
    names = {words.partition(":")[0] for words in _reasons()}
    assert names == {"Lockbox", "Hub", "Bonds", "Registry", "MappingToken", "Escrow", "Anchors", "Channels"}
    assert len(_reasons()) > 120


@pytest.mark.parametrize("reason", [*_reasons(), *_OF_LIBRARIES])
def test_every_refusal_comes_with_a_cure(reason: str) -> None:
    """The message names the call and the reason, the status is that of a refusal, and the cure is not empty."""
    revert = _REVERTS.get(reason.partition(":")[0], native_revert)
    told = explain(revert("Contract.call", reason))
    assert told.code is ExitCode.REFUSED
    assert told.cure, f"nobody is told what to do about {reason!r}"
    assert reason.partition(": ")[2] in told.message


def test_a_strangers_refusal_is_told_as_it_is() -> None:
    """What a token says of its own is shown, though nobody here knows a cure."""
    told = explain(lockbox_revert("ERC20.approve", "SafeMath: overflow"))
    assert (told.code, "SafeMath: overflow" in told.message) == (ExitCode.REFUSED, True)
