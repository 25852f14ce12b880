"""Reading a Lockbox, and telling it from what is none of ours."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode

from adapters.evm.abi import Function
from adapters.evm.errors import BadAnswer
from adapters.evm.lockbox.bindings import Lockbox, Token
from adapters.evm.lockbox.errors import NotOurLockbox
from adapters.evm.lockbox.messages import Messages
from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.evm.lockbox.vault import IMMUTABLES, Limits, LockboxVault, runtime_code
from contracts.artifacts import load
from foundation.quantities import BlockHeight
from tests.support.evm_endpoint import CHAIN_ID, LOCKBOX, FakeChain, together

KEY, TOKEN, AT = b"\x07" * 32, b"\x20" * 20, BlockHeight(0)


@pytest.fixture
def chain() -> FakeChain:
    """A chain with a Lockbox of ours."""
    made = FakeChain()
    made.code[LOCKBOX] = runtime_code(load("Lockbox")) + b"\x01" * IMMUTABLES
    says(made, Lockbox.key, KEY)
    return made


def says(chain: FakeChain, function: Function, *outputs: Any, given: tuple[Any, ...] = (), at: bytes = LOCKBOX) -> None:
    """Let a contract answer a call so."""
    chain.answers[at, function.encode(*given)] = encode(function.outputs, outputs)


def vault(chain: FakeChain) -> LockboxVault:
    """The Lockbox, through two endpoints."""
    return LockboxVault(together(chain.endpoint(), chain.endpoint("second")), LOCKBOX)


async def test_our_lockbox_is_known(chain: FakeChain) -> None:
    """Our code with any immutables, under the group's key, is accepted."""
    await vault(chain).check(KEY, AT)


@pytest.mark.parametrize("change", [b"", b"\x60\x00", "longer", "other"])
async def test_other_code_is_refused(chain: FakeChain, change: bytes | str) -> None:
    """No code, another contract's, ours with an appendix and ours with one byte changed are told."""
    ours = chain.code[LOCKBOX]
    changed = {"longer": ours + b"\x00", "other": ours[:500] + bytes([ours[500] ^ 1]) + ours[501:]}
    chain.code[LOCKBOX] = changed[change] if isinstance(change, str) else change
    with pytest.raises(NotOurLockbox) as refusal:
        await vault(chain).check(KEY, AT)
    assert refusal.value.field == "code"


async def test_another_key_is_refused(chain: FakeChain) -> None:
    """A Lockbox of ours that obeys somebody else is told, with both keys."""
    with pytest.raises(NotOurLockbox) as refusal:
        await vault(chain).check(b"\x08" * 32, AT)
    assert (refusal.value.field, refusal.value.found) == ("key", KEY.hex())


async def test_where_no_contract_is_nothing_is_read(chain: FakeChain) -> None:
    """An address without a contract answers nothing, and that is told."""
    with pytest.raises(BadAnswer):
        await vault(chain).lock_count(AT)


async def test_all_that_it_holds_is_read(chain: FakeChain) -> None:
    """Epoch, limits, balances, payments and pauses are what the contract says."""
    says(chain, Lockbox.epoch, 4)
    says(chain, Lockbox.limits, 1, 2, 3, 4, True, given=(TOKEN,))
    says(chain, Lockbox.lock_count, 9)
    says(chain, Lockbox.paused_until, 77)
    says(chain, Lockbox.pause_count, 2)
    says(chain, Lockbox.configuration_nonce, 5, given=(TOKEN,))
    says(chain, Lockbox.failed_amount, 6, given=(1,))
    says(chain, Lockbox.fees_owed, 8, given=(TOKEN, NATIVE_COIN))
    says(chain, Token.balance_of, 10**30, given=(LOCKBOX,), at=TOKEN)
    chain.balances[LOCKBOX] = 10**20
    for number in range(250):
        says(chain, Lockbox.consumed, number % 3 == 0, given=(number,))
    one = vault(chain)
    assert await one.messages(AT) == Messages(CHAIN_ID, LOCKBOX, 4)
    assert await one.limits(TOKEN, AT) == Limits(1, 2, 3, 4, True)  # type: ignore[arg-type]  # plain numbers
    assert [await one.lock_count(AT), await one.paused_until(AT), await one.pause_count(AT)] == [9, 77, 2]
    assert await one.configuration_nonce(TOKEN, AT) == 5
    assert await one.failed_amount(1, AT) == 6
    assert await one.fees_owed(TOKEN, NATIVE_COIN, AT) == 8
    assert await one.balance(TOKEN, AT) == 10**30
    assert await one.balance(NATIVE_COIN, AT) == 10**20
    assert await one.consumed(range(250), AT) == [number % 3 == 0 for number in range(250)]
