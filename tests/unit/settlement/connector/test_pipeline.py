"""The connector's pipeline: what is forwarded, what is refused, and what moves."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from settlement.connector.balances.model import IncidentKind
from settlement.connector.limits import Window
from settlement.ilp.errors import Code, amount_limits
from settlement.ilp.packets import MAX_DATA_BYTES, Fulfill, Reject, encode
from settlement.quantities import MAX_UNITS
from tests.support.connector import (
    ALICE,
    BOB,
    CAROL,
    START,
    Core,
    Replies,
    condition_for,
    fulfilment,
    make_core,
    make_prepare,
    rejection,
)


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    """A core with accounts alice and bob (EUR, 2 decimals) and carol (USD, 4 decimals; 1.10 USD for one EUR)."""
    core = await make_core(tmp_path)
    yield core
    await core.close()


async def turn() -> None:
    """Let what was scheduled on the loop run: the commit among it."""
    for _ in range(3):
        await asyncio.sleep(0)


def answer(core: Core, name: str, packet: Fulfill | Reject) -> None:
    """The next hop answers the last packet it was sent."""
    core.links[name].sent[-1][1](encode(packet))


async def test_packet_is_forwarded_with_its_amount_converted_and_its_expiry_cut(core: Core) -> None:
    """The next hop gets the converted amount and an earlier expiry; all else stays as it was."""
    packet = make_prepare(100, "test.clearing.carol.shop")
    core.take("alice", packet)
    forwarded, _ = core.links["carol"].sent[0]
    assert forwarded == replace(packet, amount=11_000, expires_at=packet.expires_at - 1_000)


async def test_fulfill_is_passed_on_only_after_the_commit(core: Core) -> None:
    """The sender hears of a fulfilment once the balances are written, and not before."""
    replies = core.take("alice", make_prepare(100, seed=1))
    answer(core, "bob", fulfilment(1, b"thanks"))
    assert replies.all == []
    assert await core.balances.balance("alice") == 0
    await turn()
    assert replies.only == fulfilment(1, b"thanks")
    assert await core.balances.balance("alice") == -100
    assert await core.balances.balance("bob") == 100


async def test_reject_of_the_next_hop_is_passed_on_and_nothing_moves(core: Core) -> None:
    """A later hop's Reject reaches the sender unchanged, and what was held is free again."""
    replies = core.take("alice", make_prepare(1_000))
    answer(core, "bob", rejection())
    assert replies.only == rejection()
    assert core.take("alice", make_prepare(1_000)).all == [], "the whole credit is there again"
    assert core.balance("alice") == 0


async def test_wrong_fulfillment_is_refused_and_not_paid(core: Core) -> None:
    """A fulfillment that does not hash to the condition is answered with F05, and the next hop gets nothing."""
    replies = core.take("alice", make_prepare(100, seed=1))
    answer(core, "bob", fulfilment(2))
    await turn()
    assert replies.code == Code.WRONG_CONDITION
    assert core.balance("bob") == 0


@pytest.mark.parametrize("surplus", [5, 32_000])
async def test_fulfill_that_not_every_transport_carries_moves_nothing(core: Core, surplus: int) -> None:
    """Whatever a next hop puts behind the longest Fulfill there is, no sender is debited for what cannot reach it."""
    longest = encode(fulfilment(1, bytes(MAX_DATA_BYTES)))
    replies = core.take("alice", make_prepare(100, seed=1))
    core.links["bob"].sent[-1][1](longest + bytes(surplus))
    await turn()
    assert replies.code == Code.WRONG_CONDITION
    assert (core.balance("alice"), core.balance("bob")) == (0, 0)
    replies = core.take("alice", make_prepare(100, seed=1))
    core.links["bob"].sent[-1][1](longest)
    await turn()
    assert isinstance(replies.only, Fulfill)


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\x0d", b"\x0d\x20" + bytes(32), b"\x0e\x01F", b"\x0c\x00", b"\x0d\x85" + bytes(40), bytes(70_000)],
)
async def test_garbage_from_the_next_hop_is_a_reject_and_frees_what_was_held(core: Core, garbage: bytes) -> None:
    """Whatever bytes a next hop answers, the sender gets a Reject and both accounts are as before."""
    replies = core.take("alice", make_prepare(1_000))
    core.links["bob"].sent[-1][1](garbage)
    await turn()
    assert replies.code in {Code.PEER_UNREACHABLE, Code.WRONG_CONDITION}
    assert core.book.positions["alice"].debits == 0
    assert core.book.positions["bob"].credits == 0


async def test_second_answer_moves_nothing(core: Core) -> None:
    """A next hop that fulfils twice is paid once, and the sender hears once."""
    replies = core.take("alice", make_prepare(100, seed=1))
    answer(core, "bob", fulfilment(1))
    answer(core, "bob", fulfilment(1))
    answer(core, "bob", rejection())
    await turn()
    assert replies.only == fulfilment(1)
    assert core.balance("bob") == 100
    assert core.book.positions["bob"].credits == 0


async def test_silence_of_the_next_hop_is_a_timeout_before_the_senders_expiry(core: Core) -> None:
    """A next hop that does not answer costs nothing: R00 leaves in time, and what was held is free."""
    replies = core.take("alice", make_prepare(1_000, expires_at=START + 5_000))
    core.clock.forward(4_400)
    core.pipeline.timers.tick()
    assert replies.all == [], "the next hop's answer may still be on its way"
    core.clock.forward(200)
    core.pipeline.timers.tick()
    assert replies.code == Code.TRANSFER_TIMED_OUT
    assert core.book.positions["alice"].debits == 0


async def test_fulfill_after_the_timeout_is_not_credited_but_reported(core: Core) -> None:
    """The sender was told R00, so a late Fulfill is not paid for (RFC 27); the operator learns of it once."""
    core.take("alice", make_prepare(500, seed=1, expires_at=START + 5_000))
    core.clock.forward(4_600)
    core.pipeline.timers.tick()
    answer(core, "bob", fulfilment(1))
    answer(core, "bob", fulfilment(1))
    await turn()
    assert core.balance("bob") == 0
    [(_, incident)] = await core.balances.incidents()
    assert (incident.kind, incident.account, incident.amount) == (IncidentKind.LATE, "bob", 500)


async def test_fulfill_before_the_timer_ticks_but_after_the_deadline_is_late_too(core: Core) -> None:
    """The clock decides, not the timer: no Fulfill is taken after the deadline because a tick was slow."""
    replies = core.take("alice", make_prepare(500, seed=1, expires_at=START + 5_000))
    core.clock.forward(4_600)
    answer(core, "bob", fulfilment(1))
    await turn()
    assert replies.code == Code.TRANSFER_TIMED_OUT
    assert core.balance("bob") == 0


async def test_commit_too_late_for_the_sender_credits_the_next_hop_at_our_loss(core: Core) -> None:
    """The next hop fulfilled in time and keeps its credit; the sender, who can no longer be told, is not debited."""
    replies = core.take("alice", make_prepare(100, seed=1, expires_at=START + 5_000))
    answer(core, "bob", fulfilment(1))
    core.clock.forward(5_000)
    await turn()
    assert replies.code == Code.TRANSFER_TIMED_OUT
    await turn()
    balances = {name: await core.balances.balance(name) for name in ("alice", "bob", "own:EUR.2")}
    assert balances == {"alice": 0, "bob": 100, "own:EUR.2": -100}
    [(_, incident)] = await core.balances.incidents()
    assert (incident.kind, incident.account) == (IncidentKind.UNPAID, "bob")


async def test_expired_packet_is_refused(core: Core) -> None:
    """Nothing is forwarded at or after the packet's own expiry."""
    assert core.take("alice", make_prepare(expires_at=START)).code == Code.TRANSFER_TIMED_OUT
    assert core.links["bob"].sent == []


async def test_packet_with_too_little_time_is_refused(core: Core) -> None:
    """A packet that would leave the next hop less than it needs is answered with R02."""
    assert core.take("alice", make_prepare(expires_at=START + 1_999)).code == Code.INSUFFICIENT_TIMEOUT
    assert core.take("alice", make_prepare(expires_at=START + 2_000)).all == []


async def test_far_expiry_is_capped(core: Core) -> None:
    """The next hop never gets more time than the longest hold."""
    core.take("alice", make_prepare(expires_at=START + 10_000_000))
    assert core.links["bob"].sent[0][0].expires_at == START + Window().hold_max


async def test_unknown_destination_is_unreachable(core: Core) -> None:
    """A destination without a route is answered with F02, in our name."""
    replies = core.take("alice", make_prepare(destination="test.elsewhere.dave"))
    assert replies.code == Code.UNREACHABLE
    reply = replies.only
    assert isinstance(reply, Reject)
    assert reply.triggered_by == "test.clearing"


async def test_route_that_changes_is_seen_at_once(core: Core) -> None:
    """A remembered next hop is forgotten as soon as the routes change."""
    core.take("alice", make_prepare())
    core.routes.set("test.clearing.bob", "carol")
    core.take("alice", make_prepare())
    assert (len(core.links["bob"].sent), len(core.links["carol"].sent)) == (1, 1)
    core.routes.remove("test.clearing.bob")
    assert core.take("alice", make_prepare()).code == Code.UNREACHABLE


async def test_link_that_is_down_is_a_temporary_error(core: Core) -> None:
    """A next hop that is not connected is answered with T01, and nothing stays held."""
    core.links["bob"].is_up = False
    assert core.take("alice", make_prepare(1_000)).code == Code.PEER_UNREACHABLE
    assert core.book.positions["alice"].debits == 0


async def test_link_that_breaks_while_sending_frees_what_was_held(core: Core) -> None:
    """A link that says it is up and then refuses is answered with T01, and both accounts are free."""

    class Broken:
        is_up = True
        send = core.links["bob"].send

    core.links["bob"].is_up = False
    core.accounts["bob"].link = Broken()
    assert core.take("alice", make_prepare(1_000)).code == Code.PEER_UNREACHABLE
    assert core.book.positions["alice"].debits == core.book.positions["bob"].credits == 0
    assert len(core.pipeline.timers) == 0


async def test_balance_floor_counts_what_is_held(core: Core) -> None:
    """Packets in flight count: together they cannot take more than the account may owe."""
    core.take("alice", make_prepare(600))
    assert core.take("alice", make_prepare(401)).code == Code.INSUFFICIENT_LIQUIDITY
    assert core.take("alice", make_prepare(400)).all == []


async def test_balance_ceiling_counts_what_is_held(tmp_path: Path) -> None:
    """We never come to owe a next hop more than agreed, whatever is in flight, and the sender's hold is undone."""
    core = await make_core(tmp_path, [replace(ALICE, floor=None), replace(BOB, ceiling=1_000)])
    core.take("alice", make_prepare(600))
    assert core.take("alice", make_prepare(401)).code == Code.INSUFFICIENT_LIQUIDITY
    assert core.book.positions["alice"].debits == 600
    await core.close()


async def test_amount_in_flight_to_a_next_hop_is_bounded(tmp_path: Path) -> None:
    """What a crash could cost at a next hop never exceeds the agreed amount in flight."""
    core = await make_core(tmp_path, [replace(ALICE, floor=None), replace(BOB, in_flight_max=1_000)])
    core.take("alice", make_prepare(1_000))
    assert core.take("alice", make_prepare(1)).code == Code.INSUFFICIENT_LIQUIDITY
    await core.close()


async def test_packet_above_the_senders_maximum_says_the_maximum(tmp_path: Path) -> None:
    """F08 tells in its data what came and what would pass, so that senders find the right size."""
    core = await make_core(tmp_path, [replace(ALICE, max_packet=100), BOB])
    replies = core.take("alice", make_prepare(101))
    assert replies.code == Code.AMOUNT_TOO_LARGE
    reply = replies.only
    assert isinstance(reply, Reject)
    assert amount_limits(reply.data) == (101, 100)
    await core.close()


async def test_packet_above_the_next_hops_maximum_says_it_in_the_senders_units(tmp_path: Path) -> None:
    """The maximum in F08 is the largest amount of the sender's that the next hop would still take."""
    core = await make_core(tmp_path, [ALICE, replace(CAROL, max_packet=10_999)])
    reply = core.take("alice", make_prepare(100, "test.clearing.carol")).only
    assert isinstance(reply, Reject)
    assert amount_limits(reply.data) == (100, 99)
    assert core.take("alice", make_prepare(99, "test.clearing.carol")).all == []
    await core.close()


async def test_amount_that_no_packet_can_carry_after_conversion_is_too_large(tmp_path: Path) -> None:
    """An amount that the conversion lifts above 2^64−1 is refused with F08, never cut."""
    core = await make_core(tmp_path, [replace(ALICE, floor=None), CAROL])
    assert core.take("alice", make_prepare(MAX_UNITS, "test.clearing.carol")).code == Code.AMOUNT_TOO_LARGE
    assert core.links["carol"].sent == []
    await core.close()


async def test_amount_that_converts_to_nothing_is_refused(tmp_path: Path) -> None:
    """Money of which nothing would arrive is answered with R01."""
    core = await make_core(tmp_path, [replace(ALICE, fee=5), BOB])
    assert core.take("alice", make_prepare(5)).code == Code.INSUFFICIENT_SOURCE_AMOUNT
    await core.close()


async def test_packet_without_money_is_forwarded_and_answered_without_a_write(core: Core) -> None:
    """A packet of amount 0 needs no balance: its Fulfill is passed on at once."""
    replies = core.take("alice", make_prepare(0, seed=3))
    answer(core, "bob", fulfilment(3))
    assert replies.only == fulfilment(3)


async def test_missing_rate_is_refused(tmp_path: Path) -> None:
    """Without a rate between the two assets nothing is forwarded."""
    core = await make_core(tmp_path, prices={"EUR": "1"})
    assert core.take("alice", make_prepare(100, "test.clearing.carol")).code == Code.INTERNAL_ERROR
    assert core.take("alice", make_prepare(100, "test.clearing.bob")).all == [], "one asset needs no rate"
    await core.close()


async def test_packets_above_the_rate_are_refused_and_recover_with_time(tmp_path: Path) -> None:
    """A sender's packets above its rate are answered with T05; after a pause they pass again."""
    core = await make_core(tmp_path, [replace(ALICE, packets_per_second=10, burst=2), BOB])
    taken = [core.take("alice", make_prepare(1)) for _ in range(3)]
    assert [len(replies.all) for replies in taken] == [0, 0, 1]
    assert taken[2].code == Code.RATE_LIMITED
    core.clock.forward(100)
    assert core.take("alice", make_prepare(1)).all == []
    await core.close()


async def test_bandwidth_limits_amounts_and_is_given_back(tmp_path: Path) -> None:
    """Amounts above the bandwidth of either side are answered with T04; a refused packet uses none of it."""
    core = await make_core(tmp_path, [replace(ALICE, bandwidth_in=500), replace(BOB, bandwidth_out=300)])
    assert core.take("alice", make_prepare(301)).code == Code.INSUFFICIENT_LIQUIDITY
    assert core.take("alice", make_prepare(300)).all == []
    assert core.take("alice", make_prepare(1)).code == Code.INSUFFICIENT_LIQUIDITY
    core.clock.forward(1_000)
    assert core.take("alice", make_prepare(300)).all == []
    await core.close()


async def test_stranger_is_refused(core: Core) -> None:
    """A packet of an account that does not exist is answered and moves nothing."""
    assert core.take("mallory", make_prepare()).code == Code.UNREACHABLE


@pytest.mark.parametrize("cut", [0, 1, 2, 10, 58, 60, 70, 75])
async def test_packet_that_is_cut_off_is_invalid(core: Core, cut: int) -> None:
    """A Prepare that ends early, wherever, is answered with F01 and not forwarded."""
    assert core.take("alice", encode(make_prepare())[:cut]).code == Code.INVALID_PACKET
    assert core.links["bob"].sent == []


async def test_packet_with_a_wrong_inner_length_is_invalid(core: Core) -> None:
    """A length that points out of the packet is answered with F01."""
    raw = bytearray(encode(make_prepare(data=b"x" * 20)))
    raw[-21] = 60
    assert core.take("alice", bytes(raw) + bytes(60)).code == Code.INVALID_PACKET


async def test_bytes_after_the_packet_are_not_forwarded(core: Core) -> None:
    """What follows a packet in a peer's message goes no further."""
    packet = make_prepare()
    seen: list[bytes] = []

    class Raw:
        is_up = True

        def send(self, prepare: bytes, reply: object) -> None:
            seen.append(prepare)

    core.accounts["bob"].link = Raw()  # type: ignore[assignment]
    core.take("alice", encode(packet) + b"smuggled")
    assert len(seen[0]) == len(encode(packet))


async def test_peer_packets_go_to_their_handler_and_nowhere_else(tmp_path: Path) -> None:
    """`peer.x` is dealt with here by the handler for x; others are unreachable, and none takes money."""
    seen: list[tuple[str, str]] = []

    def handler(account: str, destination: str, prepare: bytes, reply: Replies) -> None:
        seen.append((account, destination))
        reply(encode(Fulfill(bytes(32), b"")))  # type: ignore[arg-type]

    core = await make_core(tmp_path, peers={"route": handler})  # type: ignore[dict-item]
    core.routes.set("", "bob")
    condition = hashlib.sha256(bytes(32)).digest()
    control = replace(make_prepare(0, "peer.route.control"), condition=condition)
    assert core.take("alice", control).only == Fulfill(bytes(32), b"")  # type: ignore[arg-type]
    assert core.take("alice", replace(control, amount=5)).code == Code.BAD_REQUEST
    assert core.take("alice", replace(control, destination="peer.other")).code == Code.UNREACHABLE
    assert core.take("alice", replace(control, expires_at=START)).code == Code.TRANSFER_TIMED_OUT
    assert seen == [("alice", "peer.route.control")]
    assert core.links["bob"].sent == []
    await core.close()


async def test_journaled_packet_leaves_only_after_it_is_written_down(tmp_path: Path) -> None:
    """With the journal on, a crash leaves a row for each packet that may have been fulfilled: it is written first."""
    core = await make_core(tmp_path, is_journaling=True)
    core.take("alice", make_prepare(100, seed=1))
    assert core.links["bob"].sent == []
    await turn()
    assert len(core.links["bob"].sent) == 1
    crashed = await make_core_again(core, tmp_path)
    [(_, incident)] = await crashed.balances.incidents()
    assert (incident.kind, incident.account, incident.amount) == (IncidentKind.UNSETTLED, "bob", 100)
    assert incident.condition == condition_for(1)
    await crashed.close()


async def test_journal_is_empty_when_packets_have_ended(tmp_path: Path) -> None:
    """Packets that were fulfilled or rejected leave nothing behind in the journal."""
    core = await make_core(tmp_path, is_journaling=True)
    for seed in (1, 2):
        core.take("alice", make_prepare(100, seed=seed))
        await turn()
        answer(core, "bob", fulfilment(1) if seed == 1 else rejection())
        await turn()
    crashed = await make_core_again(core, tmp_path)
    assert await crashed.balances.incidents() == []
    await crashed.close()


async def test_expired_before_it_was_written_down_is_never_sent(tmp_path: Path) -> None:
    """A packet that waited for the journal beyond the next hop's expiry is refused instead of sent."""
    core = await make_core(tmp_path, is_journaling=True)
    replies = core.take("alice", make_prepare(100, expires_at=START + 3_000))
    core.clock.forward(2_000)
    await turn()
    assert replies.code == Code.TRANSFER_TIMED_OUT
    assert core.links["bob"].sent == []
    await core.close()


async def make_core_again(core: Core, folder: Path) -> Core:
    """What a new process finds after this one was killed."""
    core.kill()
    return await make_core(folder, clock=core.clock)
