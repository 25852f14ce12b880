"""The examples of docs/rest.md run as they stand."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest

from api.settings import load_settings
from tests.support.api_town import api_town, make_key
from tests.support.patience import PATIENCE_S

GUIDE = Path(__file__).parents[3] / "docs" / "rest.md"
BLOCKS = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS.findall(GUIDE.read_text()) if kind == language]


async def test_the_curl_examples_run_as_they_stand(tmp_path: Path) -> None:
    """One after the other in bash, against a gateway of bank A, each example ends well, and the payment is paid."""
    for program in ("curl", "jq", "bash", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not there")
    async with api_town(tmp_path, with_books=True) as town:
        key = await make_key(town.town, "reader-of-the-guide")
        script = "set -euo pipefail\n" + "\n".join(blocks("bash"))
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", script),
            cwd=tmp_path,
            env={**os.environ, "CAUSEWAY_URL": town.serving.url, "CAUSEWAY_KEY": key, "no_proxy": "127.0.0.1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        text = output.decode()
        assert process.returncode == 0, text
        assert '"status": "paid"' in text, text
        assert "event: payment.closed" in text, text
        assert (tmp_path / "statement.xml").read_bytes().startswith(b"<?xml")


def test_the_operators_file_is_read_as_shown(tmp_path: Path) -> None:
    """The example of api.toml is one that the gateway reads; without a file, what usually holds does."""
    (shown,) = blocks("toml")
    (tmp_path / "api.toml").write_text(shown)
    settings = load_settings(tmp_path / "api.toml")
    assert settings.tls is not None
    assert settings.tls.client_ca == str(tmp_path / "clients.pem")
    assert settings.agents == {"BANKSGSG": "bank-b"}
    assert load_settings(tmp_path / "none.toml").tls is None
