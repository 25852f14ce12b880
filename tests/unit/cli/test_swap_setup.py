"""What `swap init` finds out by itself."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.evm.errors import RpcRefused
from cli.swap_setup import _deployed_at
from foundation.errors import BadInput


class Node:
    """A node that knows the states of the newest blocks only."""

    def __init__(self, head: int, deployed: int, keeps: int) -> None:
        self.head, self.deployed, self.keeps = head, deployed, keeps

    async def block(self, _number: Any) -> Any:
        """The newest."""
        return SimpleNamespace(number=self.head)

    async def code(self, _address: bytes, number: int) -> bytes:
        """The contract's, from its block on."""
        if number <= self.head - self.keeps:
            raise RpcRefused("eth_getCode", -32000, "missing trie node")
        return b"code" if number >= self.deployed else b""


async def found(head: int, deployed: int, keeps: int) -> int:
    """What is found."""
    rpc: Any = Node(head, deployed, keeps)
    return await _deployed_at(rpc, bytes(20))


@given(st.data())
def test_the_block_of_an_escrow_is_found_with_few_states(data: st.DataObject) -> None:
    """A node needs to remember twice as many blocks as have passed since, and no more."""
    head = data.draw(st.integers(0, 100_000))
    deployed = data.draw(st.integers(0, head))
    assert asyncio.run(found(head, deployed, keeps=2 * (head - deployed) + 2)) == deployed


async def test_a_node_that_has_forgotten_says_which_option_helps() -> None:
    """The states around the deployment are gone."""
    with pytest.raises(BadInput, match="--escrow-start"):
        await found(1_000, 500, keeps=128)
