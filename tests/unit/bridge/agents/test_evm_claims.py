"""What vouchers say of EVM chains, of assets and of halts: when it is due, what is kept of it, and who submits it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from adapters.native.calls import Calls
from adapters.native.types import DepositClaim, Voucher, VoucherSet
from bridge.agents import voucher
from bridge.agents.attesting import Standing, claims_due, deposit_claim, standing, subject_of
from bridge.agents.submissions import is_enough, is_urgent, submission
from bridge.agents.voucher import Attest, Submit, TakeAttestations
from bridge.codec import decode, encode
from bridge.deposits import Deposit, Lock, Stage
from bridge.intake.common import EVERYTHING, WANTED_ENDS, WANTED_HALTS, described_fact
from bridge.messages import (
    AnchorSeen,
    AssetSeen,
    Attestation,
    Attestations,
    CancellationSeen,
    Claim,
    DepositSeen,
    HaltWanted,
    PayoutSeen,
    ResumeWanted,
    Taken,
    amount_bytes,
    claim_digest,
)
from bridge.payouts import Confirmed, PayoutStage
from foundation.quantities import BlockHeight, TokenUnits, Wei
from mpc.transport import Received
from registry.ids import deposit_id
from tests.support.bridge_evm import ETH, STRANGE_TOKEN, EvmSide
from tests.support.bridge_intake import DEPLOYMENT, Chains
from tests.support.bridge_office import HUB, VOUCHERS, World, accounts, attested, identity, paid_payout

HUGE = 2**200
ASSET, OTHER = b"a" * 32, b"b" * 32
SIDE = EvmSide(1)
STRANGE = SIDE.token(STRANGE_TOKEN)
LOCKED = Deposit(
    *(deposit_id(SIDE.coin.id, SIDE.lock_id(1), 0), SIDE.coin.id, b"g" * 32, SIDE.lock_id(1), 0, TokenUnits(HUGE)),
    recipient=b"r" * 20,
    script=SIDE.vault.lockbox,
    delay=0,
    stage=Stage.FINAL,
    height=BlockHeight(7),
    lock=Lock(1, b"s" * 20, bytes(20), b"t" * 32, SIDE.chain.caip2),
)
DEPOSIT_SEEN = deposit_claim(LOCKED)
PAYOUT_SEEN = PayoutSeen(b"p" * 32, b"t" * 32, amount_bytes(HUGE))
ANCHOR_SEEN = AnchorSeen(b"p" * 32, b"t" * 32)
ASSET_SEEN = AssetSeen(STRANGE.chain, STRANGE.caip19, STRANGE.name, STRANGE.symbol, STRANGE.decimals)
CANCELLATION_SEEN = CancellationSeen(b"w" * 32, amount_bytes(HUGE))
HALT = HaltWanted(ASSET, 9_000)
RESUME = ResumeWanted(ASSET, 9_000)
CLAIMS: tuple[Claim, ...] = (
    *(DEPOSIT_SEEN, PAYOUT_SEEN, ANCHOR_SEEN, ASSET_SEEN, CANCELLATION_SEEN),
    *(HALT, RESUME),
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    opened = await World.open(tmp_path)
    yield opened
    await opened.database.close()


@pytest.fixture
async def chains(tmp_path: Path) -> AsyncIterator[Chains]:
    opened = await Chains.open(tmp_path)
    opened.native.open = opened.ethereum.policy
    await opened.serve(opened.ethereum)
    yield opened
    await opened.database.close()


async def take(world: World, *items: Attestation) -> list[bool]:
    """What this voucher answers to a post."""
    received = Received(identity(2).host_key, "bridge.attestations", encode(Attestations(list(items))), b"")
    return decode(await TakeAttestations(world.office).on_attestations(received), Taken).kept


async def want(world: World, fact: str, **wanted: int) -> None:
    """What this voucher's operator wants: `asset` or `everything` until then."""
    subjects = {"asset": ASSET, "everything": EVERYTHING}
    async with world.database.unit() as uow:
        await uow.node_meta.put(fact, encode({subjects[name]: until for name, until in wanted.items()}))
        await uow.commit()


async def signers(world: World, claim: Claim) -> set[bytes]:
    async with world.database.view() as view:
        return {row.signer for row in await view.attestations.of_digest(claim_digest(HUB, claim))}


async def standing_in(world: World, claim: Claim) -> Standing:
    async with world.database.view() as view:
        return await standing(view, claim)


async def due(chains: Chains) -> list[tuple[Claim, tuple[bytes, ...]]]:
    async with chains.database.view() as view:
        found = await claims_due(view, BlockHeight(0), 2, chains.context)
    assert all(item.subject == subject_of(item.claim) for item in found)
    return [(item.claim, item.transfers) for item in found]


def test_a_claim_is_about_what_its_id_names() -> None:
    """A voucher says one thing of each kind about a subject, for ever: the subject must not depend on what it says."""
    assert subject_of(DEPOSIT_SEEN) == LOCKED.deposit_id
    assert subject_of(replace_claim(DEPOSIT_SEEN, amount=b"\x01", recipient=b"z" * 20)) == LOCKED.deposit_id
    assert subject_of(PAYOUT_SEEN) == subject_of(ANCHOR_SEEN) == b"p" * 32
    assert subject_of(ASSET_SEEN) == STRANGE.id
    assert subject_of(replace_claim(ASSET_SEEN, name="Other", symbol="OTH", decimals=0)) == STRANGE.id
    assert subject_of(CANCELLATION_SEEN) == subject_of(CancellationSeen(b"w" * 32, b"\x01")) == b"w" * 32


def test_a_halt_until_another_time_or_of_another_asset_is_another_subject() -> None:
    """A voucher may want one halt after another."""
    assert len({subject_of(HaltWanted(asset, until)) for asset in (ASSET, OTHER) for until in (1, 2)}) == 4


def replace_claim(claim: Claim, **changes: Any) -> Claim:
    fields = {name: getattr(claim, name) for name in claim.__struct_fields__}
    return cast(Claim, type(claim)(**{**fields, **changes}))


def test_every_claim_is_signed_for_itself() -> None:
    """No signature on one claim is one on another: kinds and fields have digests of their own."""
    assert len({claim_digest(HUB, claim) for claim in CLAIMS}) == len(CLAIMS)
    assert claim_digest(HUB, HALT) != claim_digest(HUB, HaltWanted(OTHER, 9_000))
    assert claim_digest(HUB, HALT) != claim_digest(HUB, HaltWanted(ASSET, 9_001))
    assert claim_digest(HUB, ASSET_SEEN) != claim_digest(HUB, replace_claim(ASSET_SEEN, decimals=7))


def test_every_claim_is_brought_to_the_hub_by_its_own_call() -> None:
    """With its amounts as numbers, and under a verb of its own."""
    calls, signed = Calls(DEPLOYMENT), [b"\x01" * 65, b"\x02" * 65]
    units = TokenUnits(HUGE)
    deposit = DepositClaim(LOCKED.asset, LOCKED.txid, 0, units, LOCKED.recipient, LOCKED.group)
    a = ASSET_SEEN
    expected = [
        (calls.mint(deposit, signed), "mint"),
        (calls.settle(b"p" * 32, b"t" * 32, units, signed), "settle"),
        (calls.void_payout(b"p" * 32, b"t" * 32, signed), "void"),
        (calls.introduce(a.chain, a.caip19, a.name, a.symbol, a.decimals, signed), "introduce"),
        (calls.restore(b"w" * 32, units, signed), "restore"),
        (calls.halt(ASSET, 9_000, signed), "halt"),
        (calls.resume(ASSET, 9_000, signed), "resume"),
    ]
    assert [submission(calls, claim, signed) for claim in CLAIMS] == expected


@pytest.mark.parametrize(
    ("weights", "signed", "halts", "others"),
    [
        ((1, 1, 1), 1, False, False),  # exactly a third
        ((1, 1, 1), 2, True, False),  # exactly two thirds
        ((1, 1, 1), 3, True, True),
        ((2, 1, 2), 1, True, False),
        ((5, 1, 1), 1, True, True),  # by weight, not by heads
        ((1, 1, 98), 2, False, False),
        ((1, 1, 1), 0, False, False),
    ],
)
def test_a_halt_takes_more_than_a_third_and_all_else_more_than_two(
    weights: Sequence[int], signed: int, halts: bool, others: bool
) -> None:
    """Of the weight: who could refuse everything by silence may stop it. Strangers and repetitions add nothing."""
    members = [Voucher(replace(VOUCHERS[n].member), Wei(weight)) for n, weight in enumerate(weights)]
    vouchers = VoucherSet(tuple(members), Wei(sum(weights)))
    names = [voucher.member.account for voucher in members[:signed]]
    for claim in CLAIMS:
        enough = is_enough(vouchers, claim, [*names, *names, b"x" * 20])
        assert enough == (halts if isinstance(claim, HaltWanted) else others)


def test_only_a_halt_is_urgent() -> None:
    """It is submitted by everyone at once; all else by whose turn it is."""
    assert [claim for claim in CLAIMS if is_urgent(claim)] == [HALT]


async def test_what_this_node_knows_nothing_of_comes_again(world: World) -> None:
    """Claims about unknown deposits, payouts, assets and withdrawals are not kept yet; a halt is an opinion."""
    found = [await standing_in(world, claim) for claim in CLAIMS]
    assert found == [*[Standing.UNKNOWN] * 5, Standing.POSSIBLE, Standing.POSSIBLE]


async def test_what_this_node_knows_of_is_kept(world: World) -> None:
    """Once it has seen the lock, the payout, the withdrawal and the token, it keeps what others say of them."""
    withdrawal, payout = paid_payout()
    await world.store(LOCKED, withdrawal, replace(payout, inputs=()))
    async with world.database.unit() as uow:
        await uow.node_meta.put(described_fact(STRANGE.id), encode(ASSET_SEEN))
        await uow.commit()
    for claim in CLAIMS:
        assert await standing_in(world, claim) is Standing.POSSIBLE, claim


@pytest.mark.parametrize(
    "lie", [{"amount": amount_bytes(HUGE + 1)}, {"recipient": b"z" * 20}, {"group": b"z" * 32}, {"amount": b""}]
)
async def test_a_lie_about_a_lock_is_told_from_the_truth(world: World, lie: dict[str, Any]) -> None:
    """The lock's id fixes all that is claimed of it, to the last unit of a huge amount."""
    await world.store(LOCKED)
    assert await standing_in(world, replace_claim(DEPOSIT_SEEN, **lie)) is Standing.FALSE
    assert await take(world, attested(replace_claim(DEPOSIT_SEEN, **lie), 4)) == [True]
    async with world.database.view() as view:
        (incident,) = await view.incidents.latest()
        assert await view.attestations.of_subject(LOCKED.deposit_id) == ()
    assert (incident.error, incident.party) == ("FalseAttestation", identity(4).host_key)


async def test_a_lock_known_from_the_hub_alone_proves_nobody_a_liar(world: World) -> None:
    """Until this node has read the lock itself, it keeps what is said of it."""
    await world.store(replace(LOCKED, script=b"", lock=None, height=None, stage=Stage.MISSING))
    other = cast(DepositSeen, replace_claim(DEPOSIT_SEEN, amount=b"\x07"))
    assert await standing_in(world, other) is Standing.POSSIBLE


async def test_two_vouchers_of_four_halt_and_one_does_not(world: World) -> None:
    """A quarter of the weight is not more than a third; a half is, and then it is not this node's turn that decides."""
    cast(Any, world.office).is_turn = lambda members, turns=1, subject=b"": False
    await want(world, WANTED_HALTS, asset=9_000)
    await Attest(world.office).run()
    assert await signers(world, HALT) == set(accounts([1]))
    submit = Submit(world.office)
    await submit.run()
    assert world.sender.sent == []
    assert await take(world, attested(HALT, 2)) == [True]
    await submit.run()
    assert [label for label, _ in world.sender.sent] == ["halt"]


async def test_a_halt_ends_by_more_than_two_thirds(world: World) -> None:
    """Two of four that want it to end are not enough, three are."""
    await want(world, WANTED_ENDS, everything=9_000)
    claim = ResumeWanted(EVERYTHING, 9_000)
    await Attest(world.office).run()
    await take(world, attested(claim, 2))
    submit = Submit(world.office)
    await submit.run()
    assert world.sender.sent == []
    await take(world, attested(claim, 3))
    await submit.run()
    assert [label for label, _ in world.sender.sent] == ["resume"]


async def test_a_voucher_that_wants_no_halt_brings_none(world: World) -> None:
    """Others' wishes are kept, but only who wants it too submits it."""
    await take(world, *(attested(HALT, number) for number in (2, 3, 4)))
    await Submit(world.office).run()
    assert world.sender.sent == []


async def test_a_voucher_cannot_fill_the_disk_with_wishes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may name a time of its own, so their number is bounded, for each voucher and each day."""
    monkeypatch.setattr(voucher, "_MOST_WISHES", 3)
    taking = TakeAttestations(world.office)

    async def kept(first: int, *by: int) -> int:
        wishes = [HaltWanted(ASSET, until) for until in range(first, first + 5)]
        items = [attested(wish, number) for number in by for wish in wishes]
        received = Received(identity(2).host_key, "bridge.attestations", encode(Attestations(items)), b"")
        assert all(decode(await taking.on_attestations(received), Taken).kept)
        return sum([len(await signers(world, wish)) for wish in wishes])

    assert await kept(9_000, 2, 3) == 6
    assert await kept(10_000, 2) == 0
    world.now += 86_400_000
    assert await kept(11_000, 2) == 3


@pytest.mark.parametrize("doubted", [LOCKED.asset, EVERYTHING])
async def test_a_voucher_that_wants_a_halt_attests_no_deposit_of_the_asset(world: World, doubted: bytes) -> None:
    """Whoever doubts that tokens are backed lets no more of them be minted; other assets go on."""
    await world.store(LOCKED)
    for wanted, expected in (({OTHER: 5}, 1), ({doubted: 5}, 0), ({}, 1)):
        async with world.database.unit() as uow:
            await uow.node_meta.put(WANTED_HALTS, encode(wanted))
            await uow.commit()
        async with world.database.view() as view:
            found = await claims_due(view, BlockHeight(0), 2, world.office.context)
        assert sum(isinstance(item.claim, DepositSeen) for item in found) == expected


async def test_a_lock_and_a_payout_without_coins_are_attested(world: World) -> None:
    """As on bitcoin, with amounts of any size; what is paid is attested without a look at any coin."""
    withdrawal, payout = paid_payout()
    confirmed = Confirmed(b"x" * 32, BlockHeight(7), TokenUnits(HUGE), "", SIDE.chain.caip2)
    reserved = replace(payout, payout_id=b"q" * 32, inputs=(), stage=PayoutStage.RESERVED, confirmed=None)
    await world.store(LOCKED, withdrawal, replace(payout, inputs=(), confirmed=confirmed), reserved)
    await Attest(world.office).run()
    mine = set(accounts([1]))
    assert await signers(world, DEPOSIT_SEEN) == mine
    assert await signers(world, PayoutSeen(payout.payout_id, b"x" * 32, amount_bytes(HUGE))) == mine
    async with world.database.view() as view:
        assert await view.attestations.of_subject(b"q" * 32) == ()


async def test_an_asset_that_was_deposited_is_introduced_once_it_is_described(chains: Chains) -> None:
    """Not before this node has read what it says of itself, not on a closed chain, not after its registration."""
    side = chains.ethereum
    await chains.evm(side.locked(1, 5 * ETH, STRANGE_TOKEN), side.locked(2, 6 * ETH, STRANGE_TOKEN))
    assert await due(chains) == []
    async with chains.database.unit() as uow:
        await uow.node_meta.put(described_fact(STRANGE.id), encode(ASSET_SEEN))
        await uow.commit()
    waiting = {side.deposit_id(number, STRANGE_TOKEN) for number in (1, 2)}
    ((claim, transfers),) = await due(chains)
    assert (claim, set(transfers), len(transfers)) == (ASSET_SEEN, waiting, 2)
    chains.native.open = None
    await chains.context.directory.refresh([])
    assert await due(chains) == []
    chains.native.open = side.policy
    await chains.register(STRANGE)
    found = await due(chains)
    assert {type(claim) for claim, _ in found} == {DepositSeen}
    assert {transfers for _, transfers in found} == {(id_,) for id_ in waiting}


async def test_a_lock_of_an_unknown_asset_alone_introduces_it(chains: Chains) -> None:
    """A description without a deposit is nobody's business."""
    async with chains.database.unit() as uow:
        await uow.node_meta.put(described_fact(STRANGE.id), encode(ASSET_SEEN))
        await uow.commit()
    assert await due(chains) == []


async def test_halts_and_their_ends_are_due_while_they_are_wanted(chains: Chains) -> None:
    """Each with its own time, of an asset and of everything."""
    async with chains.database.unit() as uow:
        await uow.node_meta.put(WANTED_HALTS, encode({ASSET: 5, EVERYTHING: 6}))
        await uow.node_meta.put(WANTED_ENDS, encode({ASSET: 7}))
        await uow.commit()
    expected = [HaltWanted(ASSET, 5), HaltWanted(EVERYTHING, 6), ResumeWanted(ASSET, 7)]
    assert await due(chains) == [(claim, ()) for claim in expected]
