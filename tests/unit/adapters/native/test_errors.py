"""Each way in which the contracts refuse has its type, on purpose."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from adapters.evm.errors import Reverted
from adapters.native import errors
from adapters.native.errors import ContractRefused, DepositAlreadyFinal, SignatureRefused, typed_revert
from adapters.native.refusal import PLAIN_REMEDIES
from cli.exits import explain
from contracts.artifacts import SOURCES

_REASON = re.compile(r'"((?:\w+): [^"\n]+)"')
_ELSEWHERE = ("Lockbox: ", "Escrow: ", "Anchors: ", "Channels: ", "Causeway: ")
"""Typed in `adapters.evm.lockbox`, `.escrow` and `.channels`; the last is no reason, but names a domain of hashes."""
_REVERTS = re.compile(r"^\s*(?:assert\b.*|raise\b.*)$")


def reasons_of(source: str) -> set[str]:
    """The reasons of all assertions and raises of a contract, also where they are on a line of their own."""
    code = re.sub(r'"""(?:.|\n)*?"""', "", source)
    code = "\n".join(line.split(" #")[0] for line in code.splitlines() if not line.strip().startswith("#"))
    return set(_REASON.findall(code))


def all_reasons() -> set[str]:
    """Every reason in our sources, but for those of contracts that are on other chains too."""
    found = set().union(*(reasons_of(path.read_text()) for path in SOURCES.glob("*.vy")))
    return {reason for reason in found if not reason.startswith(_ELSEWHERE)}


def test_every_reason_has_its_class_or_is_known_to_need_none() -> None:
    """A new reason in a contract has to be given a class, or be listed with a remedy as one that needs none."""
    found = all_reasons()
    assert len(found) > 100
    typed = {words for kind in ContractRefused.__subclasses__() for words in kind.says}
    plain = set(PLAIN_REMEDIES)
    assert found - typed - plain == set()
    assert plain & typed == set()
    assert found >= plain


def test_no_class_waits_for_words_that_nobody_says() -> None:
    """Each string that a class claims is said by a contract, ours or a library's."""
    spec = find_spec("snekmate")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (library,) = list(spec.submodule_search_locations)
    said = all_reasons()
    for name in ("auth/ownable.vy", "tokens/erc20.vy"):
        said |= reasons_of((Path(library) / name).read_text())
    for kind in ContractRefused.__subclasses__():
        assert kind.says <= said, kind.__name__


def test_no_revert_is_without_a_reason() -> None:
    """Every assertion of our contracts says why: a revert without words could not be typed."""
    for path in SOURCES.glob("*.vy"):
        for line in path.read_text().splitlines():
            statement = line.split(" #")[0].rstrip()
            if _REVERTS.match(statement) and not statement.endswith(("(", ",")):
                assert _REASON.search(statement), f"{path.name}: {line}"


@pytest.mark.parametrize("words", sorted(all_reasons()))
def test_every_refusal_says_what_to_do(words: str) -> None:
    """Whatever a contract refuses, a person is told a cure, one line of it."""
    refused = typed_revert("label", words)
    assert isinstance(refused, ContractRefused)
    assert explain(refused).cure == refused.cure
    assert 10 < len(refused.cure) < 100
    assert "\n" not in refused.cure


@pytest.mark.parametrize("kind", ContractRefused.__subclasses__(), ids=lambda kind: str(kind.__name__))
def test_each_class_is_made_from_its_words(kind: type[ContractRefused]) -> None:
    """`typed_revert` makes the class that claims the words, and splits them."""
    for words in kind.says:
        error = typed_revert("label", words, b"data")
        assert type(error) is kind
        assert f"{error.contract}: {error.reason}" == words
        assert (error.label, error.data, error.transaction) == ("label", b"data", None)


def test_no_two_classes_claim_the_same_words() -> None:
    """Words mean one class."""
    claimed = [words for kind in ContractRefused.__subclasses__() for words in kind.says]
    assert len(claimed) == len(set(claimed))


def test_words_of_strangers_are_not_ours() -> None:
    """Reasons without a class are `ContractRefused`; those of other contracts, and none at all, plain `Reverted`."""
    assert type(typed_revert("label", "Registry: unknown group")) is ContractRefused
    assert type(typed_revert("label", "Vault: unknown group")) is Reverted
    assert type(typed_revert("label", "")) is Reverted
    assert type(typed_revert("label", "panic 0x11")) is Reverted


def test_a_refusal_shows_all_words_and_the_transaction() -> None:
    """People see what was refused, by whom, why, and in which transaction."""
    error = typed_revert("Hub.mint", "Hub: deposit already final")
    assert isinstance(error, DepositAlreadyFinal)
    error.transaction = b"\x12" * 32
    assert str(error) == f"Hub.mint: Hub: deposit already final (transaction 0x{'12' * 32})"


def test_all_reasons_of_the_signature_library_are_of_signatures() -> None:
    """Whatever the library for signatures refuses is `SignatureRefused`."""
    reasons = reasons_of((SOURCES / "eip712.vy").read_text())
    assert reasons
    assert reasons <= SignatureRefused.says
    assert errors.typed_revert("l", next(iter(reasons))).__class__ is SignatureRefused
