"""docs/swaps.md keeps up with the program: the whole swap.toml, and the planner's times."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from foundation.quantities import Satoshi
from settlement.swap.engine.settings import load_settings, settings_form
from settlement.swap.planning.conditions import conditions_for
from settlement.swap.planning.plan import plan
from settlement.swap.planning.reasons import span_text
from tests.support.swap_terms import ETHEREUM, MAINNET, NOW

PAGE = (Path(__file__).parents[3] / "docs" / "swaps.md").read_text()
COMMENTED = {"bitcoin.user", "bitcoin.password"}
"""In the page, but beside what excludes them."""


def the_file() -> str:
    """The page's swap.toml."""
    found = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def named(form: Any, place: str = "") -> set[str]:
    """All fields of a form, dotted."""
    found, info = set(), msgspec.inspect.type_info(form)
    assert isinstance(info, msgspec.inspect.StructType)
    for one in info.fields:
        for inner in [one.type, *getattr(one.type, "types", []), getattr(one.type, "item_type", None)]:
            if isinstance(inner, msgspec.inspect.StructType):
                found |= named(inner.cls, f"{place}{one.encode_name}.")
                break
        else:
            found.add(f"{place}{one.encode_name}")
    return found


def written(content: dict[str, Any], place: str = "") -> set[str]:
    """All fields of a file, dotted."""
    found = set()
    for name, value in content.items():
        inner = value[0] if isinstance(value, list) and isinstance(value[0], dict) else value
        found |= written(inner, f"{place}{name}.") if isinstance(inner, dict) else {f"{place}{name}"}
    return found


def test_the_page_has_every_field_of_the_file(tmp_path: Path) -> None:
    """And what it shows is a file that works."""
    (tmp_path / "swap.toml").write_text(the_file())
    assert load_settings(tmp_path).assets[2].symbol == "USDC"
    assert written(tomllib.loads(the_file())) | COMMENTED == named(settings_form())


@pytest.mark.parametrize(
    ("line", "satoshi"),
    [("below 0.1 BTC", 10**6), ("below 1 BTC", 5 * 10**7), ("below 10 BTC", 5 * 10**8), ("from 10 BTC", 2 * 10**9)],
)
def test_the_pages_times_are_the_planners(line: str, satoshi: int) -> None:
    """For bitcoin against Ethereum, to the minute."""
    found = plan(Satoshi(satoshi), NOW, conditions_for(MAINNET, ETHEREUM))
    times = (span_text(at - NOW) for at in (found.bitcoin_expires_at, found.evm_expires_at))
    assert f"| {line} | {found.bitcoin_confirmations} | {' | '.join(times)} |" in PAGE
