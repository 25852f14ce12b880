"""Nodes' own errors know no `swap.toml`: commands say where the nodes are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.evm.errors import EndpointsDisagree, TooFewEndpoints
from cli.exits import ExitCode, explain
from cli.swap_nodes import nodes_of, run_naming
from tests.support.swap_settings import settings_in


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (EndpointsDisagree("the balance", {"one": "1", "two": "2"}), "one says 1, two says 2"),
        (TooFewEndpoints(2, {"one": "it does not answer"}), "one: it does not answer"),
    ],
)
def test_several_evm_nodes_are_those_of_swap_toml(error: Exception, told: str, tmp_path: Path) -> None:
    """There is no network file; status 5, for it may be better by itself."""

    async def work() -> None:
        raise error

    with pytest.raises(Exception, match=told) as raised:
        run_naming(work(), nodes_of(settings_in(tmp_path)))
    explanation = explain(raised.value)
    assert explanation.code is ExitCode.NOT_YET
    assert f"[evm] urls in {tmp_path / 'swap.toml'}" in explanation.cure
