"""A watchtower's command ends in order."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cli import swap_watch
from cli.swap_watch import TowerViewer, watch_bundles
from tests.support.patience import PATIENCE_S
from tests.support.swap_settings import settings_in


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_the_tower_and_its_view(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ctrl-C does: the picture is taken off the terminal, and the tower is closed."""
    ended: list[str] = []

    class Tower:
        """Is told to end as soon as it runs."""

        async def run(self, *_: Any) -> None:
            os.kill(os.getpid(), number)
            await asyncio.sleep(PATIENCE_S)

    @asynccontextmanager
    async def tower(*_: Any, **__: Any) -> AsyncIterator[Tower]:
        try:
            yield Tower()
        finally:
            ended.append("the tower")

    class Viewer(TowerViewer):
        """Says when it ends."""

        def __exit__(self, *_: Any) -> None:
            ended.append("the view")

    monkeypatch.setattr(swap_watch, "open_tower", tower)
    monkeypatch.setattr(swap_watch, "TowerViewer", Viewer)
    bundles = tmp_path / "bundles"
    bundles.mkdir()
    with pytest.raises(asyncio.CancelledError):
        await watch_bundles(settings_in(tmp_path), [bundles], bytes(32), 1, None, as_json=False)
    assert ended == ["the tower", "the view"]
