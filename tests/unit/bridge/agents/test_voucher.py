"""A voucher signs only what it saw itself, once; keeps only what vouchers say of what it knows; submits quorums."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.native.errors import DepositAlreadyFinal
from bridge.agents.attesting import deposit_claim
from bridge.agents.voucher import Attest, Submit, TakeAttestations
from bridge.codec import decode, encode
from bridge.deposits import Stage
from bridge.messages import (
    AnchorSeen,
    Attestation,
    Attestations,
    Claim,
    DepositSeen,
    PayoutSeen,
    Taken,
    amount_bytes,
    amount_of,
    claim_digest,
)
from bridge.payouts import Confirmed, PayoutStage
from bridge.storage import CoinKind, CoinRow, CoinSpend, IncidentKind
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi
from mpc.transport import Received
from tests.support.bridge_office import HUB, VOUCHERS, World, accounts, attested, deposit, identity, paid_payout


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    opened = await World.open(tmp_path)
    yield opened
    await opened.database.close()


async def take(world: World, *items: Attestation, sender: int = 2) -> list[bool]:
    """What this voucher answers to a post."""
    received = Received(identity(sender).host_key, "bridge.attestations", encode(Attestations(list(items))), b"")
    return decode(await TakeAttestations(world.office).on_attestations(received), Taken).kept


async def signers(world: World, claim: Claim) -> set[bytes]:
    async with world.database.view() as view:
        return {row.signer for row in await view.attestations.of_digest(claim_digest(HUB, claim))}


async def incidents(world: World) -> set[tuple[IncidentKind, str, bytes]]:
    async with world.database.view() as view:
        return {(row.kind, row.error, row.party) for row in await view.incidents.latest()}


async def test_only_final_deposits_are_attested_and_each_once(world: World) -> None:
    """A deposit that is not final is not attested; a final one is, is posted to all others, and not again."""
    final = deposit(0)
    await world.store(final, deposit(1, Stage.CONFIRMING), deposit(2, Stage.REFUSED), deposit(3, Stage.MISSING))
    attest = Attest(world.office)
    for _ in range(2):
        await attest.run()
    assert await signers(world, deposit_claim(final)) == set(accounts([1]))
    async with world.database.view() as view:
        assert len(await view.outbox.due(world.office.clock())) == len(VOUCHERS) - 1
        assert await view.promises.get("DepositSeen", final.deposit_id) is not None
        for vout in (1, 2, 3):
            assert await view.attestations.of_subject(deposit(vout).deposit_id) == ()


async def test_a_broken_promise_is_refused_and_stops_no_other_attestation(world: World) -> None:
    """After a reorg beyond finality this voucher attests no second transaction for a payout; others are attested."""
    withdrawal, payout = paid_payout()
    await world.store(withdrawal, payout)
    attest = Attest(world.office)
    await attest.run()
    other = replace(payout, confirmed=Confirmed(b"y" * 32, BlockHeight(191), Satoshi(400)))
    await world.store(other, deposit(7))
    version = world.office.changed.version
    for _ in range(3):
        await attest.run()
    assert await signers(world, PayoutSeen(payout.payout_id, b"x" * 32, amount_bytes(300))) == set(accounts([1]))
    assert await signers(world, PayoutSeen(payout.payout_id, b"y" * 32, amount_bytes(400))) == set()
    assert await signers(world, deposit_claim(deposit(7))) == set(accounts([1]))
    assert await incidents(world) == {(IncidentKind.ALARM, "PromiseConflict", b"")}
    assert world.office.changed.version == version + 1, "it does not wake itself for ever"


async def test_an_anchor_is_attested_as_spent_when_that_is_final_and_submitted_to_void_the_payout(world: World) -> None:
    """A stranger that spends a payout's anchor voids it once vouchers see that deep enough, not before."""
    withdrawal, payout = paid_payout()
    stranger = replace(payout, stage=PayoutStage.RESERVED, confirmed=None, stranger=b"s" * 32)
    anchor = payout.anchor
    coin = CoinRow(anchor.txid, anchor.vout, b"v" * 34, Satoshi(50_000), CoinKind.VAULT, BlockHeight(100), b"1" * 32)
    await world.store(withdrawal, stranger)
    for height, expected in ((200, 0), (199, 1)):  # the tip is at 200, two confirmations are asked for
        async with world.database.unit() as uow:
            await uow.coins.disconnect(b"2" * 32)
            await uow.coins.receive(coin)
            await uow.coins.spend(CoinSpend(anchor.txid, anchor.vout, b"s" * 32, BlockHeight(height), b"2" * 32))
            await uow.commit()
        await Attest(world.office).run()
        async with world.database.view() as view:
            rows = await view.attestations.of_subject(payout.payout_id)
        assert len(rows) == expected
    async with world.database.view() as view:
        (promise,) = [await view.promises.get("PayoutSeen", payout.payout_id)]
    assert promise is not None
    claim = AnchorSeen(payout.payout_id, b"s" * 32)
    assert await take(world, attested(claim, 2), attested(claim, 3)) == [True, True]
    await Submit(world.office).run()
    assert [label for label, _ in world.sender.sent] == ["void_payout"]


async def test_who_attested_a_payment_never_attests_that_its_coin_was_spent_otherwise(world: World) -> None:
    """Both signatures together are proof of a lie, whatever reorg lies between them: the second is never made."""
    withdrawal, payout = paid_payout()
    await world.store(withdrawal, payout)
    attest = Attest(world.office)
    await attest.run()
    anchor = payout.anchor
    async with world.database.unit() as uow:
        coin = (anchor.txid, anchor.vout, b"v" * 34, Satoshi(50_000), CoinKind.VAULT, BlockHeight(100), b"1" * 32)
        await uow.coins.receive(CoinRow(*coin))
        await uow.coins.spend(CoinSpend(anchor.txid, anchor.vout, b"s" * 32, BlockHeight(190), b"2" * 32))
        await uow.commit()
    await world.store(replace(payout, stage=PayoutStage.RESERVED, confirmed=None, stranger=b"s" * 32))
    await attest.run()
    assert await signers(world, AnchorSeen(payout.payout_id, b"s" * 32)) == set()
    assert {error for _, error, _ in await incidents(world)} == {"PromiseConflict"}


async def test_what_is_not_known_is_not_kept_and_comes_again(world: World) -> None:
    """A signature about an unknown subject is told to be sent again; after the coin is seen it is kept."""
    claim = deposit_claim(deposit(0))
    item = attested(claim, 2)
    assert await take(world, item) == [False]
    assert await signers(world, claim) == set()
    await world.store(deposit(0, Stage.CONFIRMING))
    assert await take(world, item) == [True]
    assert await signers(world, claim) == set(accounts([2]))


async def test_signatures_of_strangers_and_broken_ones_are_not_stored(world: World) -> None:
    """They are said to be kept, so that they do not come again, and they are nowhere."""
    await world.store(deposit(0))
    claim = deposit_claim(deposit(0))
    broken = Attestation(claim, bytes(65))
    assert await take(world, attested(claim, 9), broken, attested(claim, 3)) == [True, True, True]
    assert await signers(world, claim) == set(accounts([3]))


async def test_a_false_claim_is_not_stored_and_its_signer_is_named(world: World) -> None:
    """A wrong amount, recipient or group of a coin that this node knows is a lie, and kept as its signer's fault."""
    await world.store(deposit(0))
    truth = deposit_claim(deposit(0))
    d = truth
    lies = [
        DepositSeen(d.asset, d.txid, d.vout, amount_bytes(amount_of(d.amount) + 1), d.recipient, d.group),
        DepositSeen(d.asset, d.txid, d.vout, d.amount, b"z" * 20, d.group),
        DepositSeen(d.asset, d.txid, d.vout, d.amount, d.recipient, b"z" * 32),
    ]
    assert await take(world, *(attested(lie, 4) for lie in lies)) == [True] * 3
    async with world.database.view() as view:
        assert await view.attestations.of_subject(deposit(0).deposit_id) == ()
    assert await incidents(world) == {(IncidentKind.FAULT, "FalseAttestation", identity(4).host_key)}


async def test_a_voucher_cannot_fill_the_disk_with_claims_about_one_payout(world: World) -> None:
    """Of contradictory claims about a payout only a few are kept of one signer; another's are not touched by that."""
    await world.store(*paid_payout())
    claims = [PayoutSeen(b"p" * 32, bytes([n]) * 32, amount_bytes(300)) for n in range(20)]
    assert all(await take(world, *(attested(claim, 4) for claim in claims)))
    await take(world, attested(claims[19], 3))
    async with world.database.view() as view:
        rows = await view.attestations.of_subject(b"p" * 32)
    by_signer = [sum(row.signer == account for row in rows) for account in accounts([4, 3])]
    assert by_signer == [3, 1]
    assert (IncidentKind.FAULT, "ContradictoryAttestation", identity(4).host_key) in await incidents(world)


async def test_a_malformed_post_is_refused(world: World) -> None:
    """Whatever is no list of attestations is bad input."""
    for body in (b"", b"\xc1", encode({"items": [1]})):
        with pytest.raises(BadInput):
            await TakeAttestations(world.office).on_attestations(Received(b"k", "k", body, b""))


async def test_only_a_quorum_of_vouchers_is_submitted_once_and_strangers_do_not_count(world: World) -> None:
    """Three of four equal weights are more than two thirds; two and a stranger are not."""
    await world.store(deposit(0))
    claim = deposit_claim(deposit(0))
    await Attest(world.office).run()
    await take(world, attested(claim, 2), attested(claim, 9))
    submit = Submit(world.office)
    await submit.run()
    assert world.sender.sent == []
    await take(world, attested(claim, 3))
    for _ in range(3):
        await submit.run()
    assert [label for label, _ in world.sender.sent] == ["mint"]
    world.now += 31_000
    world.sender.error = DepositAlreadyFinal("mint", "Hub: deposit is final")
    await submit.run()
    assert len(world.sender.sent) == 2, "what had no effect is looked at again, and another's success is no trouble"
