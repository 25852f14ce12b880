"""The follower's hand does not pay what it was told to pay long ago, nor sign what only the other side gains by."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.bitcoin.errors import NodeUnavailable
from adapters.evm.fees import FeePolicy
from foundation.quantities import UnixMs, Wei
from settlement.swap.bitcoin.desk import Submission
from settlement.swap.engine.hands import funding as hand
from settlement.swap.engine.hands.claims import reveal
from settlement.swap.engine.hands.desk import NotNow
from settlement.swap.machine.changes import Failed, RoundFailed, Sent
from settlement.swap.machine.effects import BroadcastFunding, RevealByLetter, SignRungs
from settlement.swap.machine.facts import LockStatus, SpendKind
from settlement.swap.terms import Mode
from tests.support.swap_sides import OTHER, OUTPOINT, Side, follower, initiator


@dataclass
class FakeDesk:
    """Remembers what left."""

    side: Side
    mode: Mode = Mode.HASH
    outpoint: bytes = OUTPOINT
    kept_ones: list[Any] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    said: list[Any] = field(default_factory=list)
    was_sent: bytes = b""
    reserved: int = 0
    wei: int = 10**18
    fees: FeePolicy = field(default_factory=FeePolicy)

    def __post_init__(self) -> None:
        self.row: Any = SimpleNamespace(state=self.side.state, swap_id=bytes(32))
        self.office = SimpleNamespace(clock=lambda: UnixMs(self.side.now))
        self.bitcoin = self.wallet = self.evm = self

    @property
    def seconds(self) -> int:
        return self.side.now // 1000

    async def base_fee(self) -> int:
        return 10**9

    async def funds(self, asset: bytes) -> int:
        return self.wei

    async def kept(self, row: Any, key: str) -> list[Any]:
        return self.kept_ones

    async def cursor(self, name: str) -> bytes:
        return self.was_sent

    async def set_cursor(self, name: str, value: bytes) -> bytes:
        self.was_sent = value
        return value

    async def forget(self, row: Any, key: str) -> None:
        self.kept_ones.clear()

    async def release(self, funding: Any) -> None: ...

    async def reserve(self, funding: Any) -> None:
        self.reserved += 1
        raise NodeUnavailable("lockunspent", "it is starting")

    async def submit(self, raw: bytes) -> Submission:
        self.sent.append(raw)
        return Submission.TAKEN

    def secrets(self, row: Any) -> Any:
        return SimpleNamespace(scalar=b"\x07" * 32, preimage=b"\x08" * 32)

    def seen(self, row: Any, outpoint: bytes) -> Any:
        return next((out for out in self.side.state.outputs if out.outpoint == outpoint), None)

    async def say(self, row: Any, message: Any) -> None:
        self.said.append(message)


@pytest.fixture(autouse=True)
def _fundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A funding is its raw bytes and an outpoint."""

    async def signed(desk: Any, row: Any) -> Any:
        return made(desk.outpoint)

    def made(outpoint: bytes) -> Any:
        return SimpleNamespace(raw=b"raw", txid=b"t" * 32, outpoint=SimpleNamespace(serialized=lambda: outpoint))

    monkeypatch.setattr(hand, "_signed", signed)
    monkeypatch.setattr(hand, "Funding", SimpleNamespace(decode=made))


def order(not_after: int = 0) -> BroadcastFunding:
    return BroadcastFunding(1, not_after, 1 << 40)


async def test_a_funding_leaves_while_the_lock_is_open_and_there_is_time():
    """As it was decided."""
    desk: Any = FakeDesk(follower().locked())
    assert await hand.broadcast(desk, desk.row, order()) == (Sent("Funding", b"t" * 32),)
    assert desk.sent == [b"raw"]


@pytest.mark.parametrize("status", [LockStatus.RETURNED, LockStatus.CLAIMED])
async def test_a_funding_that_waited_does_not_leave_when_the_lock_has_ended(status):
    """Though the order has no limit of its own, since the secret was told: it would be a gift."""
    side = follower().locked()
    side.lock(status)
    desk: Any = FakeDesk(side)
    (failed,) = await hand.broadcast(desk, desk.row, order())
    assert isinstance(failed, Failed)
    assert not desk.sent


@pytest.mark.parametrize("by", ["the own clock", "a chain's"])
async def test_a_funding_that_waited_does_not_leave_after_the_last_moment(by):
    """By the own clock or a chain's, whichever is ahead, and whatever limit the order has."""
    side = follower().locked()
    if by == "the own clock":
        side.now = side.gates.last_reveal * 1000
    else:
        side.times(side.gates.last_reveal, side.gates.last_reveal)
    desk: Any = FakeDesk(side)
    for limit in (0, 1 << 40):
        (failed,) = await hand.broadcast(desk, desk.row, order(limit))
        assert isinstance(failed, Failed)
    assert not desk.sent


async def test_a_funding_waits_for_gas_for_the_claim():
    """Whoever has spent it since the swap was agreed would pay for a lock that it cannot claim."""
    desk: Any = FakeDesk(follower().locked(), wei=10**12)
    with pytest.raises(NotNow, match="pay more in"):
        await hand.broadcast(desk, desk.row, order())
    assert not desk.sent
    assert not desk.was_sent
    desk.wei = 10**18
    assert await hand.broadcast(desk, desk.row, order())
    desk.wei = 0
    assert await hand.broadcast(desk, desk.row, order()), "what may be out is sent again"


async def test_a_funding_waits_while_gas_is_dearer_than_the_cap():
    """The claim of the lock could not be sent, however rich the account is."""
    desk: Any = FakeDesk(follower().locked(), fees=FeePolicy(cap=Wei(2 * 10**9 - 1)))
    with pytest.raises(NotNow, match="above the cap"):
        await hand.broadcast(desk, desk.row, order())
    assert not desk.sent
    desk.fees = FeePolicy(cap=Wei(2 * 10**9))
    assert await hand.broadcast(desk, desk.row, order())


async def test_a_funding_waits_for_the_lock_to_be_seen():
    """After a reorganisation nobody knows yet whether it will be there."""
    side = follower()
    side.agree()
    desk: Any = FakeDesk(side)
    with pytest.raises(NotNow):
        await hand.broadcast(desk, desk.row, order())
    assert not desk.sent


@pytest.mark.parametrize("kept", [[], [SimpleNamespace(raw=OTHER)]])
async def test_only_the_funding_that_claims_were_signed_for_leaves(kept):
    """In point mode another transaction would pay to where no claim shows the secret."""
    desk: Any = FakeDesk(follower(Mode.POINT).locked(), kept_ones=list(kept))
    (failed,) = await hand.broadcast(desk, desk.row, order())
    assert isinstance(failed, Failed)
    assert not desk.sent
    good: Any = FakeDesk(follower(Mode.POINT).locked(), kept_ones=[SimpleNamespace(raw=OUTPOINT)])
    assert await hand.broadcast(good, good.row, order()) == (Sent("Funding", b"t" * 32),)


async def test_an_engine_starts_though_the_bitcoin_node_is_down():
    """The lock's claim on the other chain does not wait for coins to be set aside."""
    desk: Any = FakeDesk(follower().locked(), kept_ones=[SimpleNamespace(raw=OUTPOINT)])
    await hand.reserve_again(desk, desk.row)
    assert desk.reserved == 1


@pytest.mark.parametrize("count", [0, 1, 2, 4])
async def test_claims_are_signed_at_all_fees_or_not_at_all(count):
    """A follower that leaves out the higher fees would have the claim priced out, and keep what the secret opens."""
    desk: Any = FakeDesk(initiator(Mode.POINT))
    answer = await hand.sign_rungs(desk, desk.row, SignRungs(0, OUTPOINT, (bytes(66),) * count))
    assert answer == (RoundFailed(0),)


async def test_a_private_swaps_secret_is_told_when_its_claim_is_in_the_mempool():
    """Its fees were fixed long ago: told before, the other side could take both where no mempool takes the claim."""
    side = initiator(Mode.POINT).funded()
    desk: Any = FakeDesk(side)
    with pytest.raises(NotNow):
        await reveal(desk, desk.row, RevealByLetter(OUTPOINT, 0))
    assert not desk.said
    side.spend(SpendKind.CLAIM, 0)
    await reveal(desk, desk.row, RevealByLetter(OUTPOINT, 0))
    assert len(desk.said) == 1
