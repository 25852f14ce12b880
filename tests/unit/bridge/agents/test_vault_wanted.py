"""What vaults wait for follows from what is stored alone, and is what this node itself would sign."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.evm.lockbox import events as lb
from adapters.evm.lockbox.types import NATIVE_COIN, RETURN
from adapters.native import events as e
from bridge.agents.attesting import claims_due
from bridge.agents.vaults.wanted import Wanted, wanted_of
from bridge.messages import CancellationSeen, CancelProposal, ConfigureProposal, ReleaseProposal, amount_bytes
from bridge.vault_requests import numbers_of, payments_of
from foundation.quantities import BlockHeight, TokenUnits
from tests.support.bridge_evm import ETH, EVM_GROUP, Asked, EvmSide
from tests.support.vault_office import PAYOUT, VaultOffice

ONE, TWO = Asked(1), Asked(2, amount=3 * ETH, max_fee=500)
PATIENCE_MS = 1_000
OTHER = EvmSide(10)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[VaultOffice]:
    opened = await VaultOffice.open(tmp_path)
    yield opened
    await opened.close()


async def wanted(office: VaultOffice, side: EvmSide | None = None) -> list[Wanted]:
    """What the vault waits for; this node signs all of it itself."""
    context = office.chains.context
    origin = context.directory.origins[(side or office.side).chain.id]
    async with office.chains.database.view() as view:
        found = await wanted_of(view, context, origin, 0, PATIENCE_MS)
    for item in found:
        await office.chains.vaults().authorize(EVM_GROUP, item.request.kind, item.request.body)
    return found


async def numbers(office: VaultOffice, side: EvmSide | None = None) -> dict[str, list[int]]:
    """The numbers that are to be paid, sent back, and given up."""
    found: dict[str, list[int]] = {}
    for item in await wanted(office, side):
        proposal = item.request.proposal
        if isinstance(proposal, ReleaseProposal):
            found.setdefault(item.text, []).extend(p.number for p in payments_of(proposal))
        elif isinstance(proposal, CancelProposal):
            found.setdefault(item.text, []).extend(numbers_of(proposal))
    return found


async def test_a_payout_is_wanted_whole_until_all_of_it_is_consumed(office: VaultOffice) -> None:
    """What is paid already stays in it: so it is one message, whoever derives it and whenever."""
    assert await wanted(office) == []
    await office.ask(ONE, TWO)
    (before,) = await wanted(office)
    assert (before.subject, before.transfers) == (
        PAYOUT,
        tuple(office.chains.context.withdrawal_id(number) for number in (1, 2)),
    )
    side = office.side
    await office.chains.evm(side.released(2, TWO.rest, TWO.max_fee))
    assert await wanted(office) == [before]
    await office.chains.evm(side.released(1, ONE.rest, ONE.max_fee))
    assert await wanted(office) == []


async def test_a_barred_deposit_is_sent_back_once(office: VaultOffice) -> None:
    """Not before this node has seen what was locked, not after the vault sent it, nor where its sender must claim."""
    chains, side = office.chains, office.side
    for number in (2, 3):
        await chains.say(chains.bars(number, 7 * ETH))
    assert await numbers(office) == {}
    await chains.evm(side.locked(2, 7 * ETH), side.locked(3, 7 * ETH))
    assert await numbers(office) == {"return": [RETURN | 2, RETURN | 3]}
    await chains.evm(side.released(RETURN | 2, 7 * ETH, 0, payee=b"s" * 20))
    assert await numbers(office) == {"return": [RETURN | 3]}
    await chains.evm(side.failed(RETURN | 3, 7 * ETH, 0, payee=b"s" * 20))
    office.now += 10 * PATIENCE_MS
    assert await numbers(office) == {}


async def test_a_payment_that_fails_for_long_is_given_up(office: VaultOffice) -> None:
    """Also after its tokens are burnt; not where it was claimed, and not once it was given back."""
    chains, side = office.chains, office.side
    await office.ask(ONE)
    await office.ask(TWO, payout=b"q" * 32)
    failed = [side.failed(a.number, a.rest, a.max_fee) for a in (ONE, TWO)]
    await chains.evm(*failed)
    office.now += PATIENCE_MS - 1
    assert await numbers(office) == {}
    office.now += 1
    assert await numbers(office) == {"cancellation": [1, 2]}
    await chains.say(chains.settles(PAYOUT, failed[0].at.transaction, ONE))
    assert await numbers(office) == {"cancellation": [1, 2]}
    await chains.evm(side.claimed(2, TWO.rest), side.cancelled(1, ONE.rest))
    assert await numbers(office) == {}


async def test_a_denied_assets_payouts_are_cancelled_instead_of_paid(office: VaultOffice) -> None:
    """Only what the vault has not dealt with; and paid again if the asset is taken again."""
    await office.ask(ONE, TWO)
    await office.deny()
    assert await numbers(office) == {"cancellation": [1, 2]}
    await office.chains.evm(office.side.cancelled(1))
    assert await numbers(office) == {"cancellation": [2]}
    await office.deny(denied=False)
    assert await numbers(office) == {"release": [1, 2]}


async def test_a_vault_is_told_limits_once(office: VaultOffice) -> None:
    """With the nonce after its newest; each asset apart."""
    await office.deny(deposit_limit=TokenUnits(50))
    (item,) = await wanted(office)
    assert isinstance(item.request.proposal, ConfigureProposal)
    said = item.request.proposal
    assert (said.token, said.deposit_limit, said.denied, said.nonce) == (NATIVE_COIN, b"\x32", True, 1)
    told = lb.AssetConfigured(office.side.at(), NATIVE_COIN, TokenUnits(50), TokenUnits(0), True, 1)
    await office.chains.evm(told)
    assert await wanted(office) == []
    await office.deny(denied=False, deposit_limit=TokenUnits(50))
    (item,) = await wanted(office)
    assert isinstance(item.request.proposal, ConfigureProposal)
    assert item.request.proposal.nonce == 2


async def elsewhere(office: VaultOffice) -> None:
    """A second chain, with a withdrawal that its vault has paid and the Hub has settled."""
    chains = office.chains
    await chains.serve(OTHER)
    await office.with_group()
    await chains.evm(OTHER.locked(1, 50 * ETH), side=OTHER)
    await chains.say(chains.mints(1, 50 * ETH, side=OTHER))
    await chains.say(chains.asks(ONE, asset=OTHER.coin.id))
    await chains.say(chains.reserves(PAYOUT, ONE, asset=OTHER.coin.id))
    paid = OTHER.released(1, ONE.rest, ONE.max_fee)
    await chains.evm(paid, side=OTHER)
    await chains.say(chains.settles(PAYOUT, paid.at.transaction, ONE))


async def test_another_chains_number_is_not_given_up_here(office: VaultOffice) -> None:
    """A vault whose group is dishonest fails and cancels numbers of other chains: no honest node goes along."""
    await elsewhere(office)
    await office.chains.evm(office.side.failed(1, ONE.rest, ONE.max_fee))
    office.now += PATIENCE_MS
    assert await numbers(office) == {}


async def test_what_was_paid_on_its_own_chain_is_not_restored_for_another_chains_cancellation(
    office: VaultOffice,
) -> None:
    """Numbers are the Hub's, so each vault can cancel any: it counts only at the vault that was to pay it."""
    await elsewhere(office)
    await office.chains.evm(office.side.cancelled(1))
    async with office.chains.database.view() as view:
        due = await claims_due(view, BlockHeight(0), 2, office.chains.context)
    assert [item.claim for item in due if isinstance(item.claim, CancellationSeen)] == []
    await office.chains.evm(OTHER.cancelled(1), side=OTHER)  # which no contract of ours would say
    async with office.chains.database.view() as view:
        due = await claims_due(view, BlockHeight(0), 2, office.chains.context)
    back = CancellationSeen(office.chains.context.withdrawal_id(1), amount_bytes(ONE.rest))
    assert [item.claim for item in due if isinstance(item.claim, CancellationSeen)] == [back]


async def test_a_halt_of_the_asset_hides_nothing_that_waits(office: VaultOffice) -> None:
    """It is wanted as before, and signed when the halt is over."""
    await office.ask(ONE)
    (before,) = await wanted(office)
    await office.chains.say(e.Halted(office.chains.at(), office.side.coin.id, office.now // 1000 + 1))
    office.now += 1_000
    assert await wanted(office) == [before]
