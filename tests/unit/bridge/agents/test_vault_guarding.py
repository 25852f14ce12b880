"""A voucher's watch: an alarm where tokens are not backed, none where one chain is only read before the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.evm.errors import NodeUnavailable
from adapters.evm.lockbox.types import NATIVE_COIN
from bridge.agents.attesting import claims_due, wanted
from bridge.agents.vaults.guarding import Guard
from bridge.codec import encode
from bridge.halts import end_of_halt
from bridge.intake.common import EVERYTHING, SUPPLY, WANTED_ENDS, WANTED_HALTS
from bridge.messages import DepositSeen, HaltWanted
from bridge.storage import IncidentKind
from foundation.quantities import BlockHeight, UnixMs
from tests.support.bridge_evm import ETH, TOKEN, Asked
from tests.support.bridge_intake import ASSET
from tests.support.vault_office import HELD, VaultOffice

WAIT_MS = 60_000
DAY_MS = 86_400_000


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[VaultOffice]:
    opened = await VaultOffice.open(tmp_path)
    opened.endpoints.balances[TOKEN] = 0
    yield opened
    await opened.close()


async def halts(office: VaultOffice) -> dict[bytes, int]:
    """What this voucher wants halted."""
    async with office.chains.database.view() as view:
        return await wanted(view, WANTED_HALTS)


async def attests_deposits(office: VaultOffice) -> bool:
    async with office.chains.database.view() as view:
        due = await claims_due(view, BlockHeight(0), 2, office.chains.context)
    return any(isinstance(item.claim, DepositSeen) for item in due)


async def passes(office: VaultOffice, guard: Guard, native: bool = True, evm: bool = True) -> None:
    """Time passes with a block on each chain, and the guard looks before and after it."""
    await guard.run()
    await office.empty_block(native=native, evm=evm)
    office.now += WAIT_MS
    await guard.run()


async def test_nothing_is_wrong_with_a_vault_that_holds_what_it_owes(office: VaultOffice) -> None:
    """A payment that failed and waits for its payee's claim included."""
    one = Asked(1)
    await office.ask(one)
    await office.chains.evm(office.side.failed(1, one.rest, one.max_fee))
    office.endpoints.balances[NATIVE_COIN] = HELD - one.max_fee
    guard = Guard(office.office)
    for _ in range(3):
        await passes(office, guard)
    assert (await halts(office), await office.incidents()) == ({}, [])


async def test_a_vault_that_holds_less_than_its_events_say_is_an_alarm_at_once(office: VaultOffice) -> None:
    """Both are of one chain at one block: there is nothing to wait for. Its deposits are attested no more."""
    await office.chains.evm(office.side.locked(2, ETH))
    assert await attests_deposits(office)
    office.endpoints.balances[NATIVE_COIN] = HELD + ETH - 1
    await Guard(office.office).run()
    coin = office.side.coin.id
    assert await halts(office) == {coin: end_of_halt(UnixMs(office.now))}
    assert await office.incidents() == [(IncidentKind.ALARM, "NotBacked")]
    assert not await attests_deposits(office)
    async with office.chains.database.view() as view:
        due = await claims_due(view, BlockHeight(0), 2, office.chains.context)
    assert HaltWanted(coin, end_of_halt(UnixMs(office.now))) in [item.claim for item in due]


async def test_what_is_set_aside_for_payees_is_owed_too(office: VaultOffice) -> None:
    """A vault whose failed payment is gone is short of it."""
    one = Asked(1)
    await office.ask(one)
    await office.chains.evm(office.side.failed(1, one.rest, one.max_fee))
    office.endpoints.balances[NATIVE_COIN] = HELD - one.amount
    await Guard(office.office).run()
    assert set(await halts(office)) == {office.side.coin.id}


async def test_a_mint_that_is_read_before_its_lock_is_no_alarm(office: VaultOffice) -> None:
    """For as long as the lock is not read, and also if that takes long because its chain gives no blocks."""
    guard = Guard(office.office)
    await office.chains.say(office.chains.mints(2, 5 * ETH))
    await guard.run()
    for _ in range(3):
        await passes(office, guard, evm=False)
    assert await halts(office) == {}
    office.endpoints.balances[NATIVE_COIN] += 5 * ETH
    await office.chains.evm(office.side.locked(2, 5 * ETH))
    for _ in range(3):
        await passes(office, guard)
    assert await halts(office) == {}


async def test_a_payment_that_is_read_before_its_request_is_no_alarm(office: VaultOffice) -> None:
    """The other way round: the native chain stands still for this node."""
    guard, one = Guard(office.office), Asked(1)
    await office.chains.evm(office.side.released(1, one.rest, one.max_fee))
    office.endpoints.balances[NATIVE_COIN] -= one.amount
    for _ in range(3):
        await passes(office, guard, native=False)
    assert await halts(office) == {}
    await office.ask(one)
    for _ in range(3):
        await passes(office, guard)
    assert await halts(office) == {}


async def test_tokens_without_backing_are_an_alarm_after_a_while(office: VaultOffice) -> None:
    """Over blocks of both chains, and once; not before the time is over."""
    guard = Guard(office.office)
    await office.chains.say(office.chains.mints(2, 5 * ETH))
    await guard.run()
    await office.empty_block()
    office.now += WAIT_MS - 1
    await guard.run()
    assert await halts(office) == {}
    office.now += 1
    for _ in range(2):
        await guard.run()
    assert set(await halts(office)) == {office.side.coin.id}
    assert await office.incidents() == [(IncidentKind.ALARM, "NotBacked")]


@pytest.mark.parametrize("slow", ["native", "evm"])
async def test_a_node_that_reads_a_chain_slowly_raises_no_alarm(office: VaultOffice, slow: str) -> None:
    """It reads on, but has not read yet all that was final when it first saw a shortage: there it may end."""
    guard = Guard(office.office)
    office.endpoints.ahead, office.native_ahead = (3, 0) if slow == "evm" else (0, 3)
    await office.chains.say(office.chains.mints(2, 5 * ETH))
    await guard.run()
    for _ in range(3):
        office.endpoints.ahead, office.native_ahead = (
            max(0, office.endpoints.ahead - 1),
            max(0, office.native_ahead - 1),
        )
        await passes(office, guard)
        assert await halts(office) == {}
    await passes(office, guard)
    assert set(await halts(office)) == {office.side.coin.id}


async def test_a_shortage_that_ends_starts_anew(office: VaultOffice) -> None:
    """Two short ones far apart are not one long one."""
    guard = Guard(office.office)
    await office.chains.say(office.chains.mints(2, 5 * ETH))
    await guard.run()
    office.endpoints.balances[NATIVE_COIN] += 5 * ETH
    await office.chains.evm(office.side.locked(2, 5 * ETH))
    await guard.run()
    office.now += 10 * WAIT_MS
    await office.chains.say(office.chains.mints(3, 5 * ETH))
    await office.empty_block()
    await guard.run()
    assert await halts(office) == {}


async def test_what_waits_to_be_minted_hides_no_shortage(office: VaultOffice) -> None:
    """Somebody locks as much as is missing: its own tokens would come on top."""
    guard = Guard(office.office)
    await office.chains.say(office.chains.mints(2, 5 * ETH))
    office.endpoints.balances[NATIVE_COIN] += 5 * ETH
    await office.chains.evm(office.side.locked(3, 5 * ETH))
    await passes(office, guard)
    assert set(await halts(office)) == {office.side.coin.id}


async def test_a_payment_to_a_stranger_hides_no_shortage(office: VaultOffice) -> None:
    """Under the number of a live withdrawal, for more than it: nothing of it was asked for."""
    one = Asked(1)
    await office.ask(one)
    await office.chains.evm(office.side.released(1, 50 * ETH, 0, payee=b"x" * 20))
    office.endpoints.balances[NATIVE_COIN] -= 50 * ETH
    await passes(office, Guard(office.office))
    assert set(await halts(office)) == {office.side.coin.id}


async def test_what_was_cancelled_counts_once(office: VaultOffice) -> None:
    """It is in the vault again: counted as paid besides, it would hide a theft of as much."""
    one = Asked(1)
    await office.ask(one, Asked(2))
    side = office.side
    await office.chains.evm(side.failed(1, one.rest, one.max_fee), side.cancelled(1, one.rest))
    await office.chains.evm(side.released(77, 1, 0))
    office.endpoints.balances[NATIVE_COIN] -= one.max_fee + 1
    await passes(office, Guard(office.office))
    assert set(await halts(office)) == {side.coin.id}


async def test_a_node_that_is_far_behind_raises_no_alarm(office: VaultOffice) -> None:
    """It lost its database, and has read the native chain and not yet what was ever locked."""
    guard = Guard(office.office)
    office.endpoints.ahead = 1_000
    office.endpoints.balances[NATIVE_COIN] = 0
    await office.chains.say(office.chains.mints(2, 5 * ETH))
    for _ in range(3):
        await passes(office, guard)
    assert await halts(office) == {}


async def test_bitcoin_is_watched_too(office: VaultOffice) -> None:
    """Over a block of each chain; not while blocks are there that this node has not read."""
    guard = Guard(office.office)
    async with office.chains.database.unit() as uow:
        await uow.node_meta.put(SUPPLY, b"1")
        await uow.commit()
    await guard.run()
    office.chains.bitcoin.mine()
    office.chains.bitcoin.mine()
    await office.empty_block()
    office.now += WAIT_MS
    await guard.run()
    assert await halts(office) == {}
    await office.chains.follow()
    await guard.run()
    await office.chains.mine()
    await office.empty_block()
    office.now += WAIT_MS
    await guard.run()
    assert set(await halts(office)) == {ASSET}


async def test_a_wish_ends_with_its_time(office: VaultOffice) -> None:
    """The operator's own too, to halt and to go on; what is not over stays."""
    seconds = office.now // 1000
    async with office.chains.database.unit() as uow:
        coin = office.side.coin.id
        await uow.node_meta.put(WANTED_HALTS, encode({coin: seconds, EVERYTHING: seconds, ASSET: seconds + 1}))
        await uow.node_meta.put(WANTED_ENDS, encode({coin: seconds, EVERYTHING: seconds + 1}))
        await uow.commit()
    await Guard(office.office).run()
    assert await halts(office) == {ASSET: seconds + 1}
    async with office.chains.database.view() as view:
        assert await wanted(view, WANTED_ENDS) == {EVERYTHING: seconds + 1}


async def test_a_doubt_that_is_still_founded_is_never_dropped(office: VaultOffice) -> None:
    """When its time is over it is renewed in one step, so that no deposit is attested in between."""
    office.endpoints.balances[NATIVE_COIN] = HELD - 1
    guard = Guard(office.office)
    await guard.run()
    first = await halts(office)
    office.now += 2 * DAY_MS
    seen: list[bool] = []
    look = guard._forget

    async def forget(looked: set[bytes]) -> None:
        seen.append(office.side.coin.id in await halts(office))
        await look(looked)

    guard._forget = forget  # type: ignore[method-assign, assignment]  # to look in between
    await guard.run()
    assert seen == [True]
    (until,) = (await halts(office)).values()
    assert until > max(first.values())


async def test_a_doubt_stays_while_nobody_can_look(office: VaultOffice) -> None:
    """Its chain's endpoints are away when its time is over: nothing says that all is well again."""
    office.endpoints.balances[NATIVE_COIN] = HELD - 1
    guard = Guard(office.office)
    await guard.run()
    office.now += 2 * DAY_MS
    office.endpoints.error = NodeUnavailable("eth_getBlockByNumber", "away")
    with pytest.raises(NodeUnavailable):
        await guard.run()
    assert set(await halts(office)) == {office.side.coin.id}
    office.endpoints.error = None
    office.endpoints.balances[NATIVE_COIN] = HELD
    await guard.run()
    assert await halts(office) == {}
