"""Bundles: what they hold, what they never hold, and that nobody changes them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec.structs import replace as replaced

from adapters.bitcoin.primitives import OutPoint
from adapters.bitcoin.transactions import parse_transaction
from foundation.errors import BadInput
from settlement.swap.machine.absorb import absorb
from settlement.swap.machine.changes import OutputSeen
from settlement.swap.machine.facts import MAX_OUTPUTS, Output, Spend, SpendKind
from settlement.swap.machine.states import MAX_ROUNDS, MAX_RUNGS, Follower, Outcome
from settlement.swap.terms import Mode, Role
from settlement.swap.watchtower.bundle import LADDERS_MAX, Bundle, BundleDamaged, Ladder
from settlement.swap.watchtower.making import make_bundle
from tests.support.swap_bitcoin import AMOUNT, POLICY
from tests.support.swap_terms import NOW
from tests.support.swap_tower import PAYEE, Trade, made, on_paper

BOTH = pytest.mark.parametrize("mode", Mode)
SIDES = pytest.mark.parametrize("role", Role)


def secrets_in(trade: Trade) -> dict[str, bytes]:
    """All that nobody else may ever have, of both sides."""
    found = {}
    for name, keys in (("initiator", trade.initiator), ("follower", trade.follower)):
        for what in ("bitcoin", "lock", "letters", "identity"):
            found[f"{name}.{what}"] = getattr(keys, what)
    return found


def file_of(trade: Trade, role: Role, *, revealed: bool = False) -> bytes:
    """A side's bundle."""
    return trade.bundle(role, rungs=trade.rungs() if trade.terms.mode is Mode.POINT else (), revealed=revealed)


@BOTH
@SIDES
def test_a_file_gives_back_what_was_put_in(mode: Mode, role: Role) -> None:
    """Also with claims, after the reveal."""
    trade = on_paper(mode)
    keys = trade.follower if role is Role.FOLLOWER else trade.initiator
    rungs = trade.rungs() if mode is Mode.POINT else ()
    for revealed in (False, True):
        bundle = made(trade.state(role, rungs=rungs, revealed=revealed), keys, NOW)
        assert Bundle.decode(bundle.encode(keys.identity)) == bundle


@BOTH
@SIDES
def test_no_key_is_ever_in_a_file_and_no_secret_before_the_reveal(mode: Mode, role: Role) -> None:
    """Byte by byte: neither side's keys, nor the preimage or the scalar."""
    trade = on_paper(mode)
    data = file_of(trade, role)
    for name, secret in secrets_in(trade).items():
        assert secret not in data, name
    assert trade.secret not in data
    assert trade.initiator.preimage not in data
    assert trade.initiator.scalar not in data
    later = file_of(trade, role, revealed=True)
    assert all(secret not in later for secret in secrets_in(trade).values())
    is_told = role is Role.FOLLOWER or mode is Mode.HASH
    assert (trade.secret in later) == is_told, "the claims of the one that has shown it hold it, and the other knows it"


@BOTH
def test_a_followers_secret_is_in_its_bundle(mode: Mode) -> None:
    """When it knows it, and has paid; a bundle without one is what it was before there were any."""
    trade = on_paper(mode)
    state = trade.state(Role.FOLLOWER, revealed=True)
    assert made(state, trade.follower, NOW).secret == trade.secret
    assert not made(replaced(state, funding=False), trade.follower, NOW).secret
    assert b"secret" in file_of(trade, Role.FOLLOWER, revealed=True)
    assert b"secret" not in file_of(trade, Role.FOLLOWER)


@BOTH
def test_a_secret_that_opens_nothing_is_refused_even_when_signed(mode: Mode) -> None:
    """Another one, none of 32 bytes, no scalar, and the true one in the initiator's bundle."""
    trade = on_paper(mode)
    bundle = made(trade.state(Role.FOLLOWER), trade.follower, NOW)
    for wrong in (b"\x01" * 32, bytes(32), b"\xff" * 32, trade.secret[:31], trade.secret + b"\0", b"\x01"):
        _refuses(trade, replace(bundle, secret=wrong))
    _refuses(trade, replace(made(trade.state(Role.INITIATOR), trade.initiator, NOW), secret=trade.secret))


def test_a_bundle_before_the_reveal_completes_no_claim_of_a_private_swap() -> None:
    """The pre-signatures alone are in it, for the follower; the initiator's has not even those."""
    trade = on_paper(Mode.POINT)
    rungs = trade.rungs()
    early = made(trade.state(Role.INITIATOR, rungs=rungs), trade.initiator, NOW)
    assert (early.claims, early.presignatures) == ((), ())
    followers = made(trade.state(Role.FOLLOWER, rungs=rungs), trade.follower, NOW)
    assert len(followers.presignatures) == len(rungs)
    assert not followers.claims


@BOTH
def test_refunds_pay_the_trader_after_t2_and_climb(mode: Mode) -> None:
    """Each rung has the time lock, one input and one output, and pays more than the one before."""
    trade = on_paper(mode)
    (ladder,) = made(trade.state(Role.FOLLOWER), trade.follower, NOW).refunds
    parsed = [parse_transaction(raw) for raw in ladder.rungs]
    left = [one.outputs[0].value for one in parsed]
    assert len(parsed) > 10
    assert left == sorted(left, reverse=True)
    for one in parsed:
        assert one.locktime >= trade.terms.bitcoin.expires_at
        assert [output.script for output in one.outputs] == [PAYEE]


def test_what_is_on_its_way_is_refunded_and_what_is_over_is_not() -> None:
    """Signed fundings that no chain shows yet are in; outputs spent for good, or not worth a fee, are out."""
    trade = on_paper()
    state = trade.state(Role.FOLLOWER)
    (output,) = state.outputs
    final = replaced(output, spend=Spend(SpendKind.CLAIM, b"\x05" * 32, trade.terms.bitcoin.confirmations))
    young = replaced(output, spend=Spend(SpendKind.CLAIM, b"\x05" * 32, trade.terms.bitcoin.confirmations - 1))
    dust = Output(b"\x06" * 36, 400, 1, written_off=True)
    planned = OutPoint(b"\x0d" * 32, 1)

    def outpoints(*outputs: Output) -> list[bytes]:
        found = make_bundle(
            replaced(state, outputs=outputs), trade.follower, PAYEE, POLICY, NOW, planned=[planned, planned]
        )
        return [ladder.outpoint for ladder in found.refunds]

    assert outpoints(young, dust) == [planned.serialized(), output.outpoint], "the own funding is first"
    assert outpoints(final) == [planned.serialized()]


def paid_by_strangers(trade: Trade, *values: int) -> Follower:
    """A follower's state: strangers had paid these to the swap's script before the funding came."""
    state = trade.state(Role.FOLLOWER)
    assert isinstance(state, Follower)
    (own,) = state.outputs
    state = replaced(state, outputs=())
    for number, value in enumerate(values):
        state = absorb(state, OutputSeen(b"\x07" * 31 + bytes([number]) + bytes(4), value, 1))
    return absorb(state, OutputSeen(own.outpoint, own.value, 3))


def test_dust_disables_no_tower() -> None:
    """Whoever knows the script pays to it as often as a state remembers: the funding is refunded all the same, and what
    bears no fee takes no room."""
    trade = on_paper()
    state = paid_by_strangers(trade, *[330] * MAX_OUTPUTS)
    assert len(state.outputs) == MAX_OUTPUTS + 1
    data = made(state, trade.follower, NOW).encode(trade.follower.identity)
    (ladder,) = Bundle.decode(data).refunds
    assert ladder.outpoint == trade.seen()[0].outpoint


def test_what_a_bundle_has_no_room_for_is_worth_least() -> None:
    """The agreed amount is first, then all else by value, and what is left over is the smallest."""
    trade = on_paper()
    state = paid_by_strangers(trade, *range(5_000, 5_000 + MAX_OUTPUTS))
    bundle = Bundle.decode(made(state, trade.follower, NOW).encode(trade.follower.identity))
    values = [one.value for one in bundle.refunds]
    assert values == [AMOUNT, *range(5_000 + MAX_OUTPUTS - 1, 5_000, -1)]
    assert len(values) == LADDERS_MAX


def test_strangers_who_pay_the_agreed_amount_push_out_no_funding() -> None:
    """The trader's own is first: seen, or signed and on its way."""
    trade = on_paper()
    own = trade.seen()[0].outpoint
    state = paid_by_strangers(trade, *[AMOUNT] * MAX_OUTPUTS)
    planned = [OutPoint(b"\xfe" * 32, 0), OutPoint.parse(own)]
    found = make_bundle(state, trade.follower, PAYEE, POLICY, NOW, planned=planned).refunds
    assert [one.outpoint for one in found[:2]] == [own, planned[0].serialized()]
    assert len(found) == LADDERS_MAX


def test_every_round_of_a_private_swap_has_room() -> None:
    """Pre-signatures of all of them are kept: each can show the secret."""
    trade = on_paper(Mode.POINT)
    signed = tuple(one.encode() for one in trade.rungs())
    rounds = tuple((signed * MAX_RUNGS)[:MAX_RUNGS] for _ in range(MAX_ROUNDS))
    state = replaced(trade.state(Role.FOLLOWER), presignatures=rounds)
    data = made(state, trade.follower, NOW).encode(trade.follower.identity)
    assert len(Bundle.decode(data).presignatures) == MAX_ROUNDS * MAX_RUNGS


def test_a_private_swap_refunds_its_prepared_funding_until_it_is_abandoned() -> None:
    """Its id is known before it is sent."""
    trade = on_paper(Mode.POINT)
    assert trade.coin is not None
    outpoint = trade.coin.outpoint.serialized()
    state = replaced(trade.state(Role.FOLLOWER), outputs=(), prepared=outpoint)
    assert [one.outpoint for one in made(state, trade.follower, NOW).refunds] == [outpoint]
    assert not made(replaced(state, abandoned=True), trade.follower, NOW).refunds


def test_a_swap_that_has_ended_has_no_bundle() -> None:
    """Nothing is left to watch."""
    trade = on_paper()
    with pytest.raises(BadInput, match="has ended"):
        made(replaced(trade.state(Role.FOLLOWER), outcome=Outcome.SWAPPED), trade.follower, NOW)


def test_only_the_owner_signs() -> None:
    """Another identity cannot make the file."""
    trade = on_paper()
    bundle = made(trade.state(Role.FOLLOWER), trade.follower, NOW)
    with pytest.raises(BadInput):
        bundle.encode(trade.initiator.identity)


def test_any_change_is_noticed() -> None:
    """A bit anywhere: in the version, the signature, the content, or the end cut off."""
    data = file_of(on_paper(), Role.FOLLOWER)
    Bundle.decode(data)
    for at in (0, 7, 8, 40, 71, 72, 200, len(data) // 2, len(data) - 1):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(BundleDamaged):
            Bundle.decode(bytes(changed))
    for short in (b"", data[:8], data[:72], data[:-1], data + b"\0"):
        with pytest.raises(BundleDamaged):
            Bundle.decode(short)


def _refuses(trade: Trade, bundle: Bundle) -> None:
    keys = trade.follower if bundle.role is Role.FOLLOWER else trade.initiator
    with pytest.raises(BundleDamaged):
        Bundle.decode(bundle.encode(keys.identity))


def test_what_its_role_never_signs_is_refused_even_when_signed() -> None:
    """Claims of a follower, refunds of an initiator, pre-signatures where they are of no use, and two ladders."""
    trade, private = on_paper(), on_paper(Mode.POINT)
    follower = made(trade.state(Role.FOLLOWER), trade.follower, NOW)
    initiator = made(trade.state(Role.INITIATOR, revealed=True), trade.initiator, NOW)
    signed = tuple(one.encode() for one in private.rungs())
    _refuses(trade, replace(follower, claims=initiator.claims))
    _refuses(trade, replace(initiator, refunds=follower.refunds))
    _refuses(trade, replace(follower, presignatures=signed))
    _refuses(trade, replace(follower, refunds=follower.refunds * 2))
    _refuses(private, replace(made(private.state(Role.FOLLOWER), private.follower, NOW), presignatures=(b"x" * 90,)))


def test_a_transaction_that_does_something_else_is_refused_even_when_signed() -> None:
    """A claim among the refunds, a refund of another output, and what is no transaction."""
    trade = on_paper()
    follower = made(trade.state(Role.FOLLOWER), trade.follower, NOW)
    initiator = made(trade.state(Role.INITIATOR, revealed=True), trade.initiator, NOW)
    (ladder,) = follower.refunds
    for rungs, outpoint in (
        (initiator.claims[0].rungs, ladder.outpoint),
        (ladder.rungs, b"\x0e" * 36),
        ((b"nonsense",), ladder.outpoint),
    ):
        _refuses(trade, replace(follower, refunds=(Ladder(outpoint, ladder.value, rungs),)))
    _refuses(trade, replace(initiator, claims=(Ladder(ladder.outpoint, ladder.value, ladder.rungs),)))
