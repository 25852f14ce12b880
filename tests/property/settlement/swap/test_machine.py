"""Properties of both machines: whatever comes, in whatever order, no step raises and none breaks an invariant."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from settlement.swap.machine import changes as ch
from settlement.swap.machine import messages as ms
from settlement.swap.machine.effects import SHOWING, BroadcastFunding, SignGiveBack, SignRefundWith
from settlement.swap.machine.facts import LockStatus, SpendKind, expected_lock
from settlement.swap.machine.states import decode_state, encode_state
from settlement.swap.rescue import careful
from settlement.swap.terms import Mode, Role
from tests.support.swap_sides import OTHER, OUTPOINT, TXID, Side
from tests.support.swap_terms import SECRET

outpoints = st.sampled_from((OUTPOINT, OTHER))
depths = st.integers(0, 8)
values = st.sampled_from((10**8, 10**8 - 1, 500))
rounds = st.integers(0, 2)
several = st.sampled_from(((b"n",), (b"m", b"n"), ()))
secrets = st.sampled_from((SECRET, b"", b"x" * 32, SECRET * 2))
wrong = st.sampled_from((None, "escrow", "beneficiary", "amount", "payer", "lock_id"))

messages = st.one_of(
    st.builds(ms.RungNonces, rounds, outpoints, several),
    st.builds(ms.RungPartials, rounds, several, several),
    st.builds(ms.RungAnswers, rounds, several),
    st.builds(ms.Secret, secrets, st.sampled_from((b"", b"request"))),
    st.builds(ms.ClaimCosigned, st.binary(max_size=2)),
    st.builds(ms.RefundAsked, outpoints, st.binary(max_size=2)),
    st.builds(ms.RefundCosigned, outpoints, st.binary(max_size=2)),
    st.just(ms.GiveBackAsked()),
    st.sampled_from((b"right", b"wrong")),  # a GiveBack, of the terms' lock or of another
    st.just(ms.Quit()),
)
locks = st.tuples(st.sampled_from(LockStatus), st.booleans(), wrong)
changes = st.one_of(
    st.just(ch.PeerAgreed()),
    st.just(ch.Tick()),
    st.just(ch.Showing()),
    st.just(ch.FundingAbandoned()),
    locks,
    st.just(ch.LockGone),
    st.builds(ch.OutputSeen, outpoints, values, depths),
    st.builds(ch.OutputGone, outpoints),
    st.builds(ch.SpendSeen, outpoints, st.sampled_from(SpendKind), st.just(TXID), depths),
    st.builds(ch.SpendGone, outpoints),
    st.builds(ch.SecretSeen, secrets),
    st.builds(ch.FundingPrepared, rounds, outpoints, several),
    st.builds(ch.RungsOffered, rounds, several, several),
    st.builds(ch.RungsSigned, rounds, several, several),
    st.builds(ch.RungsComplete, rounds, several),
    st.builds(ch.RoundFailed, rounds),
    st.builds(ch.CosignFailed, outpoints),
    st.builds(ch.WrittenOff, outpoints),
    st.builds(ch.Failed, st.sampled_from(("PlaceLock", "Funding", "PrepareFunding:0", "other")), st.text(max_size=3)),
    st.builds(ch.OwnerAsked, st.sampled_from(ch.Wish)),
    st.sampled_from(("t2", "t1", "early", "imported")),
    messages,
)
waits = st.sampled_from((0, 0, 0, 1, 30, 3_600, 20_000, 60_000))


starts = st.sampled_from(("new", "agreed", "seen", "funded"))


def begun(role: Role, mode: Mode, start: str, *, recovered: bool) -> Side:
    """A side some way into its swap: from the beginning alone, chance seldom comes far."""
    side = Side(role, mode, recovered=recovered)
    if start != "new":
        side.agree()
    if start in ("seen", "funded"):
        side.lock(final=start == "funded")
    if start == "funded":
        side.output(side.terms.bitcoin.confirmations - 1)
    return side


def made(side: Side, drawn) -> ch.Change:
    """A drawn change, with what only this swap knows."""
    terms, gates = side.terms, side.gates
    if isinstance(drawn, tuple):
        status, final, other = drawn
        view = expected_lock(terms)
        fields = {name: getattr(view, name) for name in view.__struct_fields__}
        if other is not None:
            fields[other] = fields[other][:-1] + b"?"
        return ch.LockSeen(type(view)(**fields), status, int(final), final)
    if drawn is ch.LockGone:
        return ch.LockGone(terms.evm.lock_id)
    if isinstance(drawn, bytes):
        lock_id = terms.evm.lock_id if drawn == b"right" else bytes(32)
        return ch.LetterCame(ms.GiveBack(lock_id, b"signature"))
    if isinstance(drawn, str):
        now = side.now // 1000
        mtp = gates.refund_bitcoin + 1 if drawn != "early" else now - 3_600
        return ch.BlockTimes(mtp, 1, gates.refund_evm if drawn == "t1" else now, 1)
    if not isinstance(drawn, ch.Change):
        return ch.LetterCame(drawn)
    return drawn


drawn_changes = st.lists(st.tuples(waits, changes), max_size=30)


@given(st.sampled_from(Role), st.sampled_from(Mode), starts, st.booleans(), drawn_changes)
def test_no_change_in_any_order_breaks_a_side(role, mode, start, recovered, drawn):
    """No step raises, its state is read back as it was, the same change again at once decides nothing new, and no side
    ever makes two promises that contradict each other."""
    side = begun(role, mode, start, recovered=recovered)
    showed, signed_refund, funded, gave_back = False, False, False, False
    for wait, one in drawn:
        side.now += wait * 1000
        if one == "imported":
            side.state = careful(side.state)
            continue
        change = made(side, one)
        for effect in side.tell(change):
            showed |= isinstance(effect, SHOWING)
            signed_refund |= isinstance(effect, SignRefundWith)
            funded |= isinstance(effect, BroadcastFunding)
            if isinstance(effect, SignGiveBack):
                gave_back = True
            assert not (gave_back and isinstance(effect, BroadcastFunding))
        assert decode_state(encode_state(side.state)) == side.state
        decided = decisions(side)
        side.tell(change)
        assert decisions(side) == decided
    exposed = getattr(side.state, "exposed", False)
    assert not (showed and signed_refund) or exposed
    assert not (recovered and (funded or signed_refund))


def decisions(side: Side) -> tuple[object, ...]:
    names = ("locking", "shown", "quit", "cosigned", "exposed", "funding", "never_fund", "given_back", "secret")
    return tuple(getattr(side.state, name, None) for name in names)
