"""A deployed bridge for the contracts' tests: deployed once, and put back as it was after each test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import boa
import pytest

from tests.support.native_contracts import World, build_world


@pytest.fixture(scope="session")
def _deployed() -> World:
    return build_world()


@pytest.fixture
def world(_deployed: World) -> Iterator[World]:
    """One asset, an active group (3 of 5), four vouchers of the same weight, and no token yet."""
    with boa.env.anchor():
        yield replace(_deployed)


@pytest.fixture
def funded(world: World) -> World:
    """The same where account("user") holds 1,000,000 units and lets the Hub take them."""
    world.fund(1_000_000)
    return world
