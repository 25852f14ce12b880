"""A storeman carries what is signed until the vault's events show that nothing is left of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.evm.errors import NodeUnavailable
from adapters.evm.lockbox import events as lb
from adapters.evm.lockbox.errors import LockboxRefused
from bridge.agents.vaults.carrying import CarryToVaults
from bridge.agents.vaults.signing import SignForVaults
from foundation.errors import CausewayError
from foundation.quantities import TokenUnits
from tests.support.bridge_evm import ETH, TOKEN, Asked
from tests.support.vault_office import GIVE_BACK_SECONDS, PAYOUT, VaultOffice

ONE, TWO = Asked(1), Asked(2, amount=3 * ETH, max_fee=500)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[VaultOffice]:
    opened = await VaultOffice.open(tmp_path)
    await opened.ask(ONE, TWO)
    await SignForVaults(opened.office).run()
    yield opened
    await opened.close()


def labels(office: VaultOffice) -> list[str]:
    """What was sent to the vault."""
    return [label for label, _ in office.carrier.sent]


async def pay(office: VaultOffice, *asked: Asked) -> None:
    await office.chains.evm(*(office.side.released(a.number, a.rest, a.max_fee) for a in asked))


async def test_a_release_is_carried_and_published_and_then_done(office: VaultOffice) -> None:
    """Not again while its transaction is on its way, and not once the vault's events show all of it."""
    duty = CarryToVaults(office.office)
    assert await duty.run() is True
    assert await duty.run() is True
    assert len(labels(office)) == 1
    assert [label for label, _ in office.sender.sent] == ["publish_release"]
    await pay(office, ONE, TWO)
    assert await duty.run() is False
    assert (len(labels(office)), await office.signed()) == (1, [])


async def test_nothing_is_carried_out_of_turn(office: VaultOffice) -> None:
    """The others do it; this node looks again when its turn comes."""
    office.turn = False
    assert await CarryToVaults(office.office).run() is True
    assert labels(office) == []


async def test_a_release_that_had_no_effect_is_carried_again_later(office: VaultOffice) -> None:
    """Not at once: a paused or exhausted vault is asked now and then."""
    duty = CarryToVaults(office.office)
    office.carrier.error = LockboxRefused("Lockbox: paused", "release")
    for _ in range(3):
        await duty.run()
    assert len(labels(office)) == 1
    office.now += 15_000
    office.carrier.error = None
    await duty.run()
    assert len(labels(office)) == 2


async def test_the_rest_of_a_delayed_release_goes_in_a_transaction_of_its_own(office: VaultOffice) -> None:
    """The first took effect, so its key is used up: under the same one nothing would ever be sent again."""
    duty = CarryToVaults(office.office)
    await duty.run()
    delayed = lb.PaymentDelayed(office.side.at(), 2)
    await office.chains.evm(office.side.released(1, ONE.rest, ONE.max_fee), delayed)
    office.now += 15_000
    await duty.run()
    keys = [key for _, key in office.carrier.sent]
    assert len(keys) == len(set(keys)) == 2
    office.now += 15_000
    await duty.run()
    assert len({key for _, key in office.carrier.sent}) == 2, "nothing new happened: the same transaction"


async def test_what_failed_is_done_for_the_release_and_not_for_its_cancellation(office: VaultOffice) -> None:
    """A number that failed is consumed; its cancellation is carried until it is claimed or cancelled."""
    side = office.side
    await office.chains.evm(side.failed(1, ONE.rest, ONE.max_fee), side.released(2, TWO.rest, TWO.max_fee))
    office.now += int(GIVE_BACK_SECONDS * 1000)
    await SignForVaults(office.office).run()
    duty = CarryToVaults(office.office)
    await duty.run()
    assert [row.kind for row in await office.signed()] == ["cancel"]
    assert len(labels(office)) == 1
    await office.chains.evm(side.cancelled(1, ONE.rest))
    assert await duty.run() is False
    assert await office.signed() == []


async def test_a_configuration_is_done_by_its_nonce(office: VaultOffice) -> None:
    """Whatever the vault was told under it."""
    await pay(office, ONE, TWO)
    await office.deny(deposit_limit=TokenUnits(5))
    await SignForVaults(office.office).run()
    duty = CarryToVaults(office.office)
    await duty.run()
    assert [row.kind for row in await office.signed()] == ["configure"]
    told = lb.AssetConfigured(office.side.at(), bytes(20), TokenUnits(9), TokenUnits(0), True, 1)
    await office.chains.evm(told)
    assert await duty.run() is False


async def test_a_rotated_keys_signature_is_dropped(office: VaultOffice) -> None:
    """The vault takes it no more."""
    await office.chains.evm(lb.KeyRotated(office.side.at(), 1, b"k" * 32))
    assert await CarryToVaults(office.office).run() is False
    assert (labels(office), await office.signed()) == ([], [])


@pytest.mark.parametrize(("gas", "carried"), [(1, 0), (0, 1)])
async def test_who_carries_nothing_at_a_loss_looks_at_its_price(office: VaultOffice, gas: int, carried: int) -> None:
    """The fees of both payments are 1,500 wei; a unit of gas costs a gwei."""
    office.outpost.section.relay_at_loss = False
    office.gas = gas
    await CarryToVaults(office.office).run()
    assert len(labels(office)) == carried
    assert [label for label, _ in office.sender.sent] == ["publish_release"], "others may carry it"


async def test_a_fee_that_somebody_else_has_got_pays_for_nothing(office: VaultOffice) -> None:
    """Of a release that is paid in part only the rest earns."""
    rich = Asked(3, max_fee=10**9)
    await office.ask(rich, Asked(4, max_fee=1), payout=b"q" * 32)
    await SignForVaults(office.office).run()
    await pay(office, ONE, TWO, rich)
    office.outpost.section.relay_at_loss = False
    office.gas = 1
    await CarryToVaults(office.office).run()
    assert labels(office) == []


async def test_fees_in_tokens_are_worth_nothing_known(office: VaultOffice) -> None:
    """Nobody here knows their price."""
    await pay(office, ONE, TWO)
    chains, side = office.chains, office.side
    token = side.token().id
    await chains.evm(side.locked(2, 50 * ETH, TOKEN))
    await chains.say(chains.mints(2, 50 * ETH, TOKEN))
    await chains.say(chains.asks(Asked(3, max_fee=ETH), asset=token))
    await chains.say(chains.reserves(b"q" * 32, Asked(3), asset=token))
    await SignForVaults(office.office).run()
    office.outpost.section.relay_at_loss = False
    office.gas = 1
    await CarryToVaults(office.office).run()
    assert labels(office) == []


async def test_a_node_that_carries_nothing_publishes(office: VaultOffice) -> None:
    """So that anyone can carry it; once."""
    office.outpost.section.relay = False
    duty = CarryToVaults(office.office)
    for _ in range(2):
        await duty.run()
    assert labels(office) == []
    assert [label for label, _ in office.sender.sent] == ["publish_release"]


@pytest.mark.parametrize("broken", ["carrier", "sender"])
async def test_one_chains_trouble_does_not_stop_the_other(office: VaultOffice, broken: str) -> None:
    """What cannot be published is carried, and the other way round."""
    error: CausewayError = NodeUnavailable("http://127.0.0.1", "away")
    getattr(office, broken).error = error
    duty = CarryToVaults(office.office)
    if broken == "carrier":
        with pytest.raises(NodeUnavailable):
            await duty.run()
    else:
        await duty.run()
    assert len(labels(office)) == len(office.sender.sent) == 1
    getattr(office, broken).error = None
    office.now += 15_000
    await duty.run()
    assert len(office.sender.sent) == (1 if broken == "carrier" else 2)
    assert (await office.signed())[0].subject == PAYOUT


async def test_a_refused_deposit_is_sent_back_at_a_loss_too(office: VaultOffice) -> None:
    """Its return offers no fee, and nobody else has its signature."""
    await pay(office, ONE, TWO)
    chains, side = office.chains, office.side
    await chains.evm(side.locked(2, 7 * ETH))
    await chains.say(chains.bars(2, 7 * ETH))
    await SignForVaults(office.office).run()
    office.outpost.section.relay_at_loss = False
    office.gas = 1
    await CarryToVaults(office.office).run()
    assert len(labels(office)) == 1
