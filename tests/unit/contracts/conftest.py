"""A deployed bridge for the contracts' tests: deployed once, and put back as it was after each test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import boa
import pytest

from tests.support.native_contracts import World, build_world
from tests.support.native_vaults import EvmSide, add_evm_side


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


@pytest.fixture
def evm(world: World) -> EvmSide:
    """The same world with an EVM chain: its coin, a group of its own (2 of 3), a vault, and no token yet."""
    return add_evm_side(world)


@pytest.fixture
def rich(evm: EvmSide) -> EvmSide:
    """The same where account("user") holds 10**18 units of the coin's token and lets the Hub take them."""
    evm.fund(10**18)
    return evm
