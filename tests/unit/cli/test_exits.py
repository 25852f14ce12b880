"""Errors and their exit statuses."""

from __future__ import annotations

import pytest

from adapters.bitcoin.errors import NodeUnavailable
from adapters.evm.errors import InsufficientBalance, WrongChain
from adapters.native.errors import NotTheOwner, typed_revert
from cli.exits import ExitCode, NotFound, TimedOut, explain
from foundation.errors import BadInput, Retryable
from mpc.cluster_errors import WrongPassword


class _Strange(Retryable):
    """An error that no table knows."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("amount", "is zero"), ExitCode.BAD_INPUT),
        (FileNotFoundError(2, "No such file or directory", "x"), ExitCode.BAD_INPUT),
        (NotFound("no such group"), ExitCode.NOT_FOUND),
        (TimedOut("the group", 3), ExitCode.NOT_YET),
        (NodeUnavailable("getblockcount", "refused"), ExitCode.NOT_YET),
        (InsufficientBalance(bytes(20), "0"), ExitCode.NOT_YET),
        (_Strange("later"), ExitCode.NOT_YET),
        (WrongChain("chain id", "1", "2"), ExitCode.REFUSED),
        (typed_revert("withdraw", "Hub: asset paused"), ExitCode.REFUSED),
        (ValueError("what"), ExitCode.BUG),
        (ExceptionGroup("tasks", [ExceptionGroup("inner", [BadInput("url", "is wrong")])]), ExitCode.BAD_INPUT),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_kind_of_error_has_its_status(error: BaseException, code: ExitCode) -> None:
    """Scripts can tell by the exit status whether to correct the input, to try again, or to give up."""
    assert explain(error).code is code


def test_bad_input_names_the_field_and_the_cure() -> None:
    """The message names the value that is wrong, and the cure is told apart from it."""
    told = explain(BadInput("node.listen", "is no endpoint", "tcp://host:port"))
    assert (told.message, told.cure) == ("node.listen: is no endpoint", "tcp://host:port")
    assert dict(told.fields) == {"field": "node.listen", "problem": "is no endpoint", "cure": "tcp://host:port"}


def test_common_errors_come_with_a_cure() -> None:
    """What operators meet most often tells them what to do."""
    refused = typed_revert("propose", "ownable: caller is not the owner")
    assert isinstance(refused, NotTheOwner)
    for error in (NodeUnavailable("getblockcount", "refused"), refused, _Strange("later")):
        assert explain(error).cure


def test_bytes_in_an_errors_fields_become_hex() -> None:
    """An error with bytes in its fields can be printed as JSON."""
    fields = explain(InsufficientBalance(bytes(20), "0")).as_json()["error"]["fields"]
    assert fields["account"] == "00" * 20


def test_a_wrong_password_is_bad_input(tmp_path: object) -> None:
    """A wrong password is something to correct, not something to wait for."""
    from pathlib import Path

    told = explain(WrongPassword(Path("keystore")))
    assert told.code is ExitCode.BAD_INPUT
    assert told.cure
