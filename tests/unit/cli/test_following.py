"""`withdraw --wait` and `deposit status`: each step once and in order, whatever the nodes do meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.bitcoin.primitives import BlockRef, Coin, OutPoint, hash_text
from adapters.evm.errors import NodeUnavailable
from adapters.evm.types import BlockRef as EvmBlock
from adapters.native.events import NativeEvent, PayoutReserved, PayoutSettled, Position
from adapters.native.types import DepositStatus, Outpoint, WithdrawalRecord, WithdrawalStatus
from bridge.coin_search import FoundCoin
from bridge.deposits import Purpose, Spend
from cli import withdrawing
from cli.deposit_status import DepositState, HubState
from cli.exits import NotFound, TimedOut
from cli.withdrawing import Progress, Requested, Watch
from foundation.quantities import BlockHeight, Satoshi, TokenUnits
from registry.assets import AssetPolicy
from tests.support.receipts import receipt

ID, PAYOUT, SPENDER = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
ANCHOR = OutPoint(b"\x04" * 32, 0)
AT = Position(EvmBlock(BlockHeight(5), b"b" * 32), 0, b"t" * 32)
REQUESTED = Requested(ID, b"t" * 32, None, BlockHeight(5))


class Chains:
    """Both chains, as a watch asks them. `script` is a list of moments, one for each look; the last one stays."""

    def __init__(self, *moments: dict[str, Any]) -> None:
        self._moments = list(moments)
        self._now: dict[str, Any] = {}

    async def withdrawal(self, id_: bytes, at: str = "finalized") -> WithdrawalRecord | None:
        """A watch begins each look with the final state."""
        if at == "finalized":
            self._now = self._moments.pop(0) if len(self._moments) > 1 else self._moments[0]
            if self._now.get("down"):
                raise NodeUnavailable("eth_call", "is down")
        status = self._now.get(at, self._now.get("latest"))
        if status is None:
            return None
        payout = PAYOUT if status in (WithdrawalStatus.RESERVED, WithdrawalStatus.SETTLED) else None
        amount, fee = TokenUnits(10_000), TokenUnits(500)
        return WithdrawalRecord(id_, b"a" * 32, b"o" * 20, amount, fee, b"s", status, payout)

    async def latest_block(self) -> EvmBlock:
        return AT.block

    async def events(self, first: int, last: int) -> Sequence[NativeEvent]:
        inputs = (Outpoint(ANCHOR.txid, ANCHOR.vout),)
        fee, burnt = TokenUnits(300), TokenUnits(10_000)
        return [
            PayoutReserved(AT, PAYOUT, b"g" * 32, b"a" * 32, 1, (ID,), inputs),
            PayoutSettled(AT, PAYOUT, SPENDER, fee, burnt),
        ]

    async def tip(self) -> BlockRef:
        return BlockRef(BlockHeight(100), b"b" * 32)

    async def call(self, method: str, asked: list[dict[str, Any]]) -> Any:
        assert method == "gettxspendingprevout"
        assert asked == [{"txid": hash_text(ANCHOR.txid), "vout": 0}]
        return [{"spendingtxid": hash_text(SPENDER)}] if self._now.get("mempool") else [{}]

    async def mempool_entry(self, txid: bytes) -> None:
        return None

    async def transaction(self, txid: bytes) -> None:
        return None


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(withdrawing, "_LOOK_SECONDS", 0)


async def watched(chains: Any, timeout_s: float = 5) -> list[Progress]:
    return [step async for step in Watch(chains, chains, REQUESTED).steps(timeout_s)]


R, RESERVED, SETTLED = WithdrawalStatus.REQUESTED, WithdrawalStatus.RESERVED, WithdrawalStatus.SETTLED


async def test_each_step_of_a_withdrawal_is_told_once() -> None:
    """Looks that find nothing new are silent, and the settlement ends the watch."""
    steps = await watched(
        Chains(
            {"finalized": None, "latest": R},
            {"latest": R},
            {"latest": R},
            {"finalized": R, "latest": RESERVED},
            {"latest": RESERVED, "mempool": True},
            {"latest": RESERVED, "mempool": True},
            {"latest": SETTLED},
        )
    )
    assert [step.stage for step in steps] == ["final", "reserved", "broadcast", "settled"]
    assert steps[2].transaction == hash_text(SPENDER)
    assert steps[-1].done


async def test_a_node_that_is_away_is_waited_for() -> None:
    """Nothing is told, and the watch goes on when it is back."""
    steps = await watched(Chains({"latest": R}, {"down": True}, {"down": True}, {"latest": SETTLED}))
    assert [step.stage for step in steps] == ["final", "reserved", "settled"]


async def test_a_cancelled_withdrawal_ends_the_watch() -> None:
    """Who waits for a payment that will never come is told so."""
    with pytest.raises(NotFound, match="cancelled"):
        await watched(Chains({"latest": WithdrawalStatus.CANCELLED}))


async def test_a_watch_ends_with_its_time() -> None:
    """The error says that the withdrawal itself goes on."""
    with pytest.raises(TimedOut) as ended:
        await watched(Chains({"latest": R}), timeout_s=0)
    assert ID.hex() in ended.value.cure


KEPT = receipt(delay=144)
COIN = Coin(OutPoint(b"\x07" * 32, 0), Satoshi(50_000), KEPT.script, BlockHeight(100))
POLICY = AssetPolicy(TokenUnits(10_000), TokenUnits(2_000), TokenUnits(10_000))


def state(
    tip: int = 101,
    status: DepositStatus | None = DepositStatus.UNKNOWN,
    *,
    amount: int = 50_000,
    announced: bool = True,
    spend: Spend | None = None,
) -> DepositState:
    hub = None if status is None else HubState(announced, (status,), POLICY)
    coin = Coin(COIN.outpoint, Satoshi(amount), COIN.script, COIN.height)
    at = BlockRef(BlockHeight(tip), b"b" * 32)
    return DepositState(KEPT, at, (FoundCoin(coin, spend),), hub, "" if hub else "it is down")


SWEPT = Spend(SPENDER, BlockHeight(101), Purpose.SWEEP)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (lambda: state(), "the vouchers usually ask for"),
        (lambda: state(announced=False), "causeway deposit announce r.json"),
        (lambda: state(amount=9_999), "below the minimum"),
        (lambda: state(status=DepositStatus.MINTED), "the tokens are minted"),
        (lambda: state(status=DepositStatus.RETURNED), "send the coin back"),
        (lambda: state(tip=242), "in 1 block\n"),
        (lambda: state(tip=243), "causeway deposit reclaim r.json"),
        (lambda: state(tip=500, spend=SWEPT), "swept into the vault"),
        (lambda: state(status=None), "not reached"),
    ],
)
def test_a_deposits_state_says_what_to_do(found: Callable[[], DepositState], words: str) -> None:
    """Each situation has its next step, in the text and in JSON."""
    told = found()
    assert words in told.text(Path("r.json"))
    assert told.as_json()["deposits"][0]["next"]


def test_a_minted_deposit_is_never_said_to_be_reclaimable() -> None:
    """Long after the delay the next step of a minted deposit is nothing at all."""
    minted = state(tip=10_000, status=DepositStatus.MINTED)
    assert "nothing to do" in minted.as_json()["deposits"][0]["next"]
    assert "reclaim" not in minted.text(Path("r.json"))


def test_an_unpaid_address_asks_to_be_paid() -> None:
    """Before any payment the minimum is told."""
    unpaid = DepositState(KEPT, BlockRef(BlockHeight(1), bytes(32)), (), HubState(True, (), POLICY))
    assert "at least 0.0001 BTC" in unpaid.text(Path("r.json"))
