"""A connector's own account and its operators' service in the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundation.errors import BadInput
from settlement.connector.config import parse_config
from settlement.connector.config_local import Listen

TOKEN = "0123456789abcdef"


def content(local: dict[str, Any] | None, listen: dict[str, Any]) -> dict[str, Any]:
    """A configuration with these two tables."""
    account = {"id": "alice", "asset": "EUR", "scale": 2, "relation": "child", "btp": {"token": "secret"}}
    return {
        "connector": {"address": "test.hub"},
        "listen": {"btp": "127.0.0.1:0", **listen},
        "accounts": [account],
    } | ({} if local is None else {"local": local})


def test_own_account_and_operators_are_read(tmp_path: Path) -> None:
    """Limits, payees, the secret from its file and both addresses are as they were written."""
    (tmp_path / "stream.secret").write_text("ab" * 32 + "\n")
    local = {
        "asset": "USD",
        "scale": 4,
        "floor": "-1.5",
        "ceiling": "none",
        "payees": ["shop"],
        "secret_file": "stream.secret",
    }
    listen = {"admin": "127.0.0.1:7780", "admin_token": TOKEN, "spsp": "127.0.0.1:7790"}
    config = parse_config(content(local, listen), tmp_path)
    assert config.local is not None
    assert config.admin is not None
    assert (config.local.account.id, config.local.account.floor, config.local.account.ceiling) == (
        "local",
        -15_000,
        None,
    )
    assert (config.local.secret, config.local.payees) == (b"\xab" * 32, ("shop",))
    assert (config.local.spsp, config.admin.listen) == (Listen("127.0.0.1", 7790), Listen("127.0.0.1", 7780))
    assert TOKEN not in repr(config)
    assert str(b"\xab" * 32) not in repr(config)


@pytest.mark.parametrize(
    ("local", "listen", "field"),
    [
        ({"asset": "EUR", "scale": 2, "id": "alice"}, {}, "local.id"),
        ({"asset": "EUR", "scale": 2, "id": "a.b"}, {}, "local.id"),
        ({"asset": "EUR", "scale": 2, "payees": ["../x"]}, {}, "local.payees"),
        ({"asset": "EUR", "scale": 2, "secret": "abcd"}, {}, "local.secret"),
        ({"asset": "EUR", "scale": 2, "token": "x"}, {}, "local.token"),
        ({"scale": 2}, {}, "local.asset"),
        (None, {"spsp": "127.0.0.1:1"}, "local"),
        ({"asset": "EUR", "scale": 2}, {"admin": "127.0.0.1:1"}, "listen.admin_token"),
        ({"asset": "EUR", "scale": 2}, {"admin": "127.0.0.1:1", "admin_token": "short"}, "listen.admin_token"),
        ({"asset": "EUR", "scale": 2}, {"admin_token": TOKEN}, "listen.admin"),
        ({"asset": "EUR", "scale": 2}, {"admin": "nowhere", "admin_token": TOKEN}, "listen.admin"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, local: dict[str, Any] | None, listen: dict[str, Any], field: str
) -> None:
    """A mistake in either table is told by its dotted path; an open operators' service cannot be configured."""
    with pytest.raises(BadInput) as refused:
        parse_config(content(local, listen), tmp_path)
    assert refused.value.field == field
