"""What a look at bitcoin means for a swap."""

from __future__ import annotations

from msgspec.structs import replace as replaced

from settlement.swap.bitcoin.watch import OutputView
from settlement.swap.engine.bitcoin_news import news
from settlement.swap.machine.changes import Change, OutputGone, OutputSeen, SecretSeen, SpendGone, SpendSeen
from settlement.swap.machine.facts import Output, Spend, SpendKind
from settlement.swap.machine.states import Swap
from settlement.swap.terms import Mode, Role
from tests.support.swap_tower import PAYEE
from tests.support.swap_watched import Watched

OTHER = b"\x51\x20" + b"\x08" * 32


def told(watched: Watched, state: Swap, *views: OutputView, destination: bytes = OTHER) -> list[Change]:
    """The news for a side."""
    return news(state, watched.trade.output, views, destination)


def state_of(watched: Watched, *outputs: Output, role: Role | None = None) -> Swap:
    """A side that knows of these outputs."""
    state = watched.trade.state(role or watched.role, rungs=watched.rungs)
    return replaced(state, outputs=outputs)


def test_an_output_is_news_when_it_comes_deepens_or_goes() -> None:
    """And not while it is as it was known."""
    watched = Watched(Role.FOLLOWER)
    outpoint, value = watched.view.outpoint.serialized(), watched.view.value
    seen = OutputSeen(outpoint, value, 3)
    assert told(watched, state_of(watched), watched.view) == [seen]
    assert told(watched, state_of(watched, Output(outpoint, value, 2)), watched.view) == [seen]
    assert told(watched, state_of(watched, Output(outpoint, value, 3)), watched.view) == []
    assert told(watched, state_of(watched, Output(outpoint, value, 3))) == [OutputGone(outpoint)]


def test_a_spend_by_script_tells_whose_it_is() -> None:
    """A claim shows the secret, once; a refund shows nothing."""
    watched = Watched(Role.FOLLOWER)
    outpoint, value = watched.view.outpoint.serialized(), watched.view.value
    state = state_of(watched, Output(outpoint, value, 3))
    (claim,), (refund,) = watched.claim(), watched.refund()
    assert claim.spend is not None
    assert refund.spend is not None
    secret = watched.trade.secret
    seen = SpendSeen(outpoint, SpendKind.CLAIM, claim.spend.txid, 0)
    assert told(watched, state, claim) == [SecretSeen(secret), seen]
    assert told(watched, replaced(state, secret=secret), claim) == [seen]
    assert told(watched, state, refund) == [SpendSeen(outpoint, SpendKind.REFUND, refund.spend.txid, 0)]
    known = Output(outpoint, value, 3, Spend(SpendKind.CLAIM, claim.spend.txid, 0))
    assert told(watched, replaced(state, secret=secret, outputs=(known,)), claim) == []


def test_a_spend_that_is_gone_is_told() -> None:
    """A reorganisation, or a mempool that forgot."""
    watched = Watched(Role.FOLLOWER)
    outpoint, value = watched.view.outpoint.serialized(), watched.view.value
    known = Output(outpoint, value, 3, Spend(SpendKind.REFUND, b"\x01" * 32, 1))
    assert told(watched, state_of(watched, known), watched.view) == [SpendGone(outpoint)]


def test_an_initiator_learns_no_secret_from_its_own_claim() -> None:
    """It has it."""
    watched = Watched(Role.INITIATOR)
    (claim,) = watched.claim()
    kinds = [type(one) for one in told(watched, state_of(watched), claim)]
    assert kinds == [OutputSeen, SpendSeen]


def test_a_private_claim_shows_the_scalar_to_the_follower() -> None:
    """Out of the signature, by the pre-signatures that it kept."""
    watched = Watched(Role.FOLLOWER, Mode.POINT)
    outpoint, value = watched.view.outpoint.serialized(), watched.view.value
    (claim,) = watched.claim()
    state = state_of(watched, Output(outpoint, value, 3))
    assert claim.spend is not None
    assert told(watched, state, claim) == [
        SecretSeen(watched.trade.secret),
        SpendSeen(outpoint, SpendKind.CLAIM, claim.spend.txid, 0),
    ]


def test_a_spend_by_both_keys_is_whose_script_it_pays() -> None:
    """The own one where it pays the own script, the other side's else; for either role."""
    watched = Watched(Role.FOLLOWER, Mode.POINT)
    (claim,) = watched.claim()
    for role, own, other in (
        (Role.INITIATOR, SpendKind.CLAIM, SpendKind.REFUND),
        (Role.FOLLOWER, SpendKind.REFUND, SpendKind.CLAIM),
    ):
        for destination, kind in ((PAYEE, own), (OTHER, other), (b"", other)):
            changes = told(watched, state_of(watched, role=role), claim, destination=destination)
            assert [one.kind for one in changes if isinstance(one, SpendSeen)] == [kind]
