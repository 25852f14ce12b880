"""Proof of reserves of assets on EVM chains: by a database, by the chains, and by what the vault really has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.evm.lockbox.events import LockboxEvent, Locked, PaymentCancelled, PaymentClaimed, PaymentFailed, Released
from adapters.evm.lockbox.types import Position
from adapters.evm.types import BlockRef
from bridge import reserves_evm
from bridge.codec import encode_state
from bridge.directory import Directory
from bridge.intake.common import evm_cursor, supply_fact
from bridge.intake.evm import cursor_of
from bridge.payouts import Confirmed, PayoutStage
from bridge.reserves_evm import VaultReserves, observed_vault, recorded_vaults, vault_differences
from bridge.storage import PayoutRow, ReleaseOutcome, TransferKind, TransferRow, UnitOfWork, VaultAssetRow
from foundation.quantities import BlockHeight, TokenUnits
from registry.chains import Vault
from tests.unit.bridge.views.test_evm_journeys import CHAIN, COIN, NOW, PAYOUT, RESERVED, WITHDRAWAL, done

ETHER = 10**18
AT = Position(BlockRef(BlockHeight(5), b"b" * 32), b"t" * 32, 0)


def counted(held: int, supply: int, unsettled: int = 0, aside: int = 0, balance: int | None = None) -> VaultReserves:
    """Reserves of these numbers."""
    real = None if balance is None else TokenUnits(balance)
    kept = (TokenUnits(held), TokenUnits(aside), TokenUnits(unsettled), TokenUnits(supply))
    return VaultReserves(COIN, *kept, None, None, real)


@given(held=st.integers(0, 2**255), unsettled=st.integers(0, 2**250))
@settings(max_examples=20)
def test_tokens_are_covered_up_to_what_is_held_and_paid(held: int, unsettled: int) -> None:
    """Supply may be as large as both together, and not one unit larger."""
    exact = counted(held, held + unsettled, unsettled)
    assert exact.covered
    assert not replace(exact, supply=TokenUnits(held + unsettled + 1)).covered


def test_a_vault_that_lacks_what_its_events_say_is_not_covered() -> None:
    """What is set aside for payees has to be there too; coin that was forced in does no harm."""
    fine = counted(9 * ETHER, 9 * ETHER, aside=ETHER, balance=10 * ETHER)
    assert fine.covered
    assert "covered" in fine.line()
    assert "1 ETH set aside" in fine.line()
    assert replace(fine, balance=TokenUnits(11 * ETHER)).covered
    poor = replace(fine, balance=TokenUnits(10 * ETHER - 1))
    assert not poor.covered
    assert "LACKS 0.000000000000000001 ETH" in poor.line()
    assert (poor.as_json()["covered"], poor.as_json()["balance"]) == (False, str(10 * ETHER - 1))


async def test_a_database_is_counted_for_each_asset(unit: UnitOfWork) -> None:
    """The vault by its row, payments of live payouts, and the supply; a chain that is not followed is left out."""
    directory = Directory(None, b"c" * 32, b"a" * 32)  # type: ignore[arg-type]  # nothing of it is asked
    directory.assets = {COIN.id: COIN}
    assert await recorded_vaults(unit, directory) == ()
    await unit.cursors.put(evm_cursor(CHAIN.id), cursor_of(BlockRef(BlockHeight(33), b"b" * 32)))
    await unit.vault_assets.put(VaultAssetRow(CHAIN.id, bytes(20), 8 * ETHER))
    await unit.node_meta.put(supply_fact(COIN.id), str(10 * ETHER).encode())
    withdrawal = replace(WITHDRAWAL, **RESERVED)
    kind = TransferKind.WITHDRAWAL
    row = TransferRow(WITHDRAWAL.withdrawal_id, kind, withdrawal.stage, encode_state(withdrawal), NOW, NOW)
    await unit.transfers.save(replace(row, chain=CHAIN.id))
    paid = replace(PAYOUT, stage=PayoutStage.PAID, confirmed=Confirmed(b"p" * 32, BlockHeight(20), TokenUnits(1)))
    stored = PayoutRow(paid.payout_id, paid.stage, encode_state(paid), NOW, NOW, chain=CHAIN.id)
    await unit.payouts.save(stored)
    await unit.payouts.link(paid.payout_id, paid.withdrawals)
    await unit.releases.put(done(12, ReleaseOutcome.FAILED))
    (found,) = await recorded_vaults(unit, directory)
    assert (found.held, found.unsettled, found.supply) == (8 * ETHER, 2 * ETHER, 10 * ETHER)
    assert (found.set_aside, found.height, found.covered) == (199 * ETHER // 100, 33, True)


class Chains:
    """Both chains, as `observed_vault` asks them."""

    class deployment:  # noqa: N801 - an attribute of the real one
        start_block = 1

    def __init__(self, supply: int, balance: int) -> None:
        self._supply = supply
        self._balance = balance

    async def events(self, first: int, last: int) -> list[Any]:
        return []

    async def supply(self, asset: bytes, at: int) -> int:
        return self._supply

    async def balance(self, token: bytes, at: int) -> int:
        return self._balance


async def test_the_chains_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks add, payments take away, what failed is set aside until it is claimed or given up."""
    payee = b"p" * 20

    def units(*amounts: int) -> list[TokenUnits]:
        return [TokenUnits(amount) for amount in amounts]

    events: list[LockboxEvent] = [
        Locked(AT, b"i" * 32, bytes(20), payee, 1, TokenUnits(1_000), payee),
        Locked(AT, b"i" * 32, b"\x0a" * 20, payee, 2, TokenUnits(7), payee),
        Released(AT, 1, bytes(20), payee, *units(90, 10)),
        *(PaymentFailed(AT, number, bytes(20), payee, *units(45, 5)) for number in (2, 3, 4)),
        PaymentClaimed(AT, 3, payee, TokenUnits(45)),
        PaymentCancelled(AT, 4, TokenUnits(45)),
        PaymentCancelled(AT, 5, TokenUnits(0)),
    ]

    async def logs(*_: Any) -> list[LockboxEvent]:
        return events

    monkeypatch.setattr(reserves_evm, "read_logs", logs)
    monkeypatch.setattr(reserves_evm, "decode_event", lambda event: event)
    chains: Any = Chains(supply=795, balance=840)
    at = BlockHeight(9)
    vault = Vault(b"\x10" * 20, BlockHeight(1), b"g" * 32)
    (found,) = await observed_vault(chains, chains, chains, vault, [COIN], at, at)
    assert (found.held, found.set_aside, found.supply, found.balance) == (795, 45, 795, 840)
    assert found.covered


def test_a_database_that_differs_from_the_chains_is_told() -> None:
    """Each number that differs is named with both values; assets that only one side has counted are passed over."""
    ours, theirs = counted(5 * ETHER, 5 * ETHER), counted(4 * ETHER, 5 * ETHER, balance=4 * ETHER)
    assert vault_differences([ours], [ours]) == ()
    assert vault_differences([ours], []) == ()
    (line,) = vault_differences([ours], [theirs])
    assert line == "ETH on eip155:5001, held: 5 ETH in the database, 4 ETH on the chains"
