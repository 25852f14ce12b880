"""`settlement.swap.bitcoin.desk`: what is bid, and what the node's answers mean, without a node."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from adapters.bitcoin.answers import MempoolEntry
from adapters.bitcoin.errors import MempoolRefused, NodeUnavailable, Refusal
from adapters.bitcoin.primitives import OutPoint
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.bitcoin.scripts import vault_script
from foundation.quantities import Satoshi, SatPerKvB
from settlement.swap.bitcoin.desk import BitcoinDesk, Submission
from settlement.swap.terms import Mode
from tests.support.swap_bitcoin import POLICY, Deal, key_of, secret_of

DEAL = Deal(Mode.HASH, secret_of("a"), secret_of("b"), secret_of("preimage"), 1_800_000_000)
TO, THEIRS = (vault_script(key_of(secret_of(name))) for name in ("ours", "theirs"))


@dataclass
class FakeDeskNode:
    """Fields: standing (what spends every coin, with its fee); refusal (of what is submitted); asked (targets of
    estimates); package (the answer to `submitpackage`)."""

    standing: tuple[bytes, int] | None = None
    refusal: Refusal | None = None
    package: object = None
    asked: list[int] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)

    async def estimate_fee_rate(self, blocks: int) -> SatPerKvB:
        self.asked.append(blocks)
        return SatPerKvB(10_000)

    async def relay_floor(self) -> SatPerKvB:
        return SatPerKvB(1_000)

    async def incremental_relay_fee(self) -> SatPerKvB:
        return SatPerKvB(1_000)

    async def spenders(self, outpoints: list[OutPoint]) -> tuple[bytes | None, ...]:
        return tuple(bytes(32) if self.standing else None for _ in outpoints)

    async def mempool_entry(self, txid: bytes) -> MempoolEntry | None:
        if self.standing is None:
            return None
        fee = Satoshi(self.standing[1])
        return MempoolEntry(txid, 130, fee, 130, fee, 130, fee, 0)

    async def transaction(self, _txid: bytes) -> bytes | None:
        return None if self.standing is None else self.standing[0]

    async def submit(self, raw: bytes) -> bytes:
        self.sent.append(raw)
        if self.refusal is not None:
            raise MempoolRefused(bytes(32), -26, "no", self.refusal)
        return bytes(32)

    async def call(self, method: str, *_: Any) -> Any:
        assert method == "submitpackage"
        return self.package


def desk_of(node: FakeDeskNode) -> BitcoinDesk:
    """A desk at it."""
    return BitcoinDesk(cast(BitcoinRpc, node), POLICY)


def refund_to(script: bytes) -> bytes:
    """A refund that stands."""
    return DEAL.output.refund(DEAL.coin(), script, SatPerKvB(1_000)).signed_by(DEAL.follower)


async def test_an_own_spend_is_left_unless_it_is_to_be_raised() -> None:
    """What pays the same script is ours: a repeat does nothing, an order to raise it raises it."""
    node = FakeDeskNode((refund_to(TO), 130))
    assert await desk_of(node).refund(DEAL.output, DEAL.coin(), TO, DEAL.follower) is None
    raised = await desk_of(node).refund(DEAL.output, DEAL.coin(), TO, DEAL.follower, higher=True)
    assert raised is not None
    assert raised.fee > 1_000


async def test_a_rival_is_outbid_without_being_told() -> None:
    """What pays another script is the other side's, and is exceeded while the cap allows."""
    node = FakeDeskNode((refund_to(THEIRS), 4_000))
    claim = await desk_of(node).claim(DEAL.output, DEAL.coin(), TO, DEAL.initiator, DEAL.secret)
    assert claim is not None
    assert claim.fee > 4_000
    node.standing = (refund_to(THEIRS), 40_000)
    assert await desk_of(node).claim(DEAL.output, DEAL.coin(), TO, DEAL.initiator, DEAL.secret) is None
    assert await desk_of(node).by_key(DEAL.output, DEAL.coin(), TO) is None


async def test_what_left_the_mempool_meanwhile_stands_no_more() -> None:
    """A spend whose transaction cannot be read is taken for the other side's, which is the careful side."""
    node = FakeDeskNode((refund_to(TO), 130))
    node.transaction = _gone  # type: ignore[method-assign]
    assert await desk_of(node).refund(DEAL.output, DEAL.coin(), TO, DEAL.follower) is not None


async def _gone(_txid: bytes) -> bytes | None:
    return None


async def test_urgency_shortens_the_target() -> None:
    """The node is asked for the policy's target, or a nearer one, within what it answers."""
    node = FakeDeskNode()
    for within in (None, 3, 0, 5_000):
        await desk_of(node).market(within)
    assert node.asked == [POLICY.target_blocks, 3, 2, 1_008]


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (None, Submission.TAKEN),
        (Refusal.ALREADY_KNOWN, Submission.TAKEN),
        (Refusal.MISSING_INPUTS, Submission.SPENT),
        (Refusal.FEE_TOO_LOW, Submission.OUTBID),
        (Refusal.CONFLICT, Submission.OUTBID),
        (Refusal.CHAIN_TOO_LONG, Submission.OUTBID),
        (Refusal.NOT_YET_VALID, Submission.TOO_EARLY),
        (Refusal.OTHER, Submission.REFUSED),
    ],
)
async def test_refusals_are_sorted_by_what_to_do(refusal: Refusal | None, expected: Submission) -> None:
    """Whether to bid again, to wait, to look, or to give up."""
    assert await desk_of(FakeDeskNode(refusal=refusal)).submit(refund_to(TO)) is expected


async def test_a_node_that_is_away_says_nothing_of_a_transaction() -> None:
    """That the node cannot be reached is no answer: it is raised, to be tried again."""
    node = FakeDeskNode()

    async def away(_raw: bytes) -> bytes:
        raise NodeUnavailable("sendrawtransaction", "away")

    node.submit = away  # type: ignore[method-assign]
    with pytest.raises(NodeUnavailable):
        await desk_of(node).submit(refund_to(TO))


async def test_a_package_falls_back_to_the_parents_refusal() -> None:
    """A parent and child that are taken together are taken; if not, the parent's refusal tells why."""
    parent, child = refund_to(TO), refund_to(THEIRS)
    node = FakeDeskNode(package={"package_msg": "success"})
    assert await desk_of(node).submit_with_child(parent, child) is Submission.TAKEN
    assert node.sent == []
    node = FakeDeskNode(package={"package_msg": "transaction failed"}, refusal=Refusal.FEE_TOO_LOW)
    assert await desk_of(node).submit_with_child(parent, child) is Submission.OUTBID
    assert node.sent == [parent]
    node = FakeDeskNode((parent, 130))
    assert await desk_of(node).submit_with_child(parent, child) is Submission.TAKEN
    assert node.sent == [child]
