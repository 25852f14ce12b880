"""Nodes that crash at their commits, and somebody who starts them again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Protocol

import bridge
from bridge.storage import CommitHook, Moment
from foundation.database.errors import DatabaseUnavailable
from tests.support.bridge_network import BridgeNode

_BRIDGE = str(Path(bridge.__file__).parent)
_PASSED_OVER = ("storage/database.py", "storage/unit.py")
HEARTBEAT = "Heartbeat.run"


class Crash(BaseException):
    """The end of a node. No handler of `Exception` holds it up."""


class Way(StrEnum):
    """What becomes of a commit."""

    UNDONE = "undone"  # the node crashes before it
    LAST = "last"  # it takes effect, and the node crashes after it
    UNSURE = "unsure"  # it takes effect, and the node is told that the database did not answer


class Plan(Protocol):
    """Decides what becomes of a commit at a site; None: nothing special."""

    def __call__(self, site: str, moment: Moment) -> Way | None: ...


class EachSite:
    """Every site in every way, once in the whole network. Fields: happened (which, where, and to whom)."""

    def __init__(self) -> None:
        self.happened: set[tuple[str, Way]] = set()
        self.seen: set[str] = set()

    def __call__(self, site: str, moment: Moment) -> Way | None:
        self.seen.add(site)
        for way in (Way.UNDONE,) if moment is Moment.BEFORE else (Way.LAST, Way.UNSURE):
            if (site, way) not in self.happened:
                self.happened.add((site, way))
                return way
        return None


class AtRandom:
    """One commit in `one_in`, at most `most` times. Fields: happened."""

    def __init__(self, seed: int, one_in: int, most: int) -> None:
        self._random = random.Random(seed)
        self._one_in = one_in
        self._most = most
        self.happened: list[tuple[str, Way]] = []

    def __call__(self, site: str, moment: Moment) -> Way | None:
        if len(self.happened) >= self._most or self._random.randrange(self._one_in):
            return None
        way = Way.UNDONE if moment is Moment.BEFORE else self._random.choice((Way.LAST, Way.UNSURE))
        self.happened.append((site, way))
        return way


class Crashing:
    """Hooks for all nodes of a network. `plan` None: nothing happens to anybody."""

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self._dead: set[str] = set()

    def hook(self, node: BridgeNode) -> CommitHook:
        """The commit hook of one node."""

        async def on_commit(moment: Moment) -> None:
            if node.name in self._dead:
                raise Crash  # nothing that it still does before its end takes effect
            site = _site()
            way = None if self.plan is None or site == HEARTBEAT else self.plan(site, moment)
            if way is Way.UNSURE:
                raise DatabaseUnavailable("its answer was lost")
            if way is not None:
                self._dead.add(node.name)
                if node.task is not None:
                    node.task.cancel()
                raise Crash

        return on_commit

    @contextlib.asynccontextmanager
    async def kept_running(self, nodes: list[BridgeNode]) -> AsyncIterator[None]:
        """Start the nodes, and start each again whenever it has crashed."""
        started = [asyncio.Event() for _ in nodes]
        async with asyncio.TaskGroup() as group:
            keepers = [
                group.create_task(self._keep(node, ready.set)) for node, ready in zip(nodes, started, strict=True)
            ]
            try:
                await asyncio.gather(*(ready.wait() for ready in started))
                yield
            finally:
                self.plan = None
                for keeper in keepers:
                    keeper.cancel()

    async def _keep(self, node: BridgeNode, started: Callable[[], None]) -> None:
        node.hook = self.hook(node)
        while True:
            self._dead.discard(node.name)
            try:
                await node.start()
                started()
                assert node.task is not None
                await asyncio.shield(node.task)
            except BaseException:
                if node.name not in self._dead:
                    raise
                assert node.task is not None
                await asyncio.wait({node.task})


def _site() -> str:
    """Who commits: the innermost function of the bridge outside the database's own."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the only way to see who awaits us
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_BRIDGE) and not file.endswith(_PASSED_OVER):
            return frame.f_code.co_qualname
        frame = frame.f_back
    return "?"
