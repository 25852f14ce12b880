"""Following a lock and a release: each step once, nodes that are away waited for, and an end that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.evm.errors import NodeUnavailable
from adapters.native.events import DepositMinted, Position
from adapters.native.types import DepositStatus, WithdrawalRecord, WithdrawalStatus
from cli import lock_follow, withdraw_evm
from cli.bond_view import show_text
from cli.depositing import read_receipt
from cli.exits import NotFound, TimedOut
from cli.lock_follow import LockState, follow_lock
from cli.withdraw_evm import ReleaseWatch
from cli.withdraw_state import VaultNews, WithdrawalState
from cli.withdrawing import Requested
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, TokenUnits
from tests.unit.cli.test_evm_commands import COIN, EVM, RECEIPT, RECORD

ANY: Any = None
LOCKED = LockState(RECEIPT, False, DepositStatus.UNKNOWN, None, None, registered=True)
MINTED = DepositMinted(
    Position(ANY, 0, b""), b"d" * 32, COIN.id, b"r" * 20, TokenUnits(100), TokenUnits(99), b"t" * 32, 0, b"g" * 32
)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two looks."""
    monkeypatch.setattr(lock_follow, "_LOOK_SECONDS", 0)
    monkeypatch.setattr(withdraw_evm, "_LOOK_SECONDS", 0)


def answering(*answers: Any) -> Callable[..., Any]:
    """Answers in turn, the last one for ever; errors are raised."""
    left: Iterator[Any] = iter(answers)
    last = answers[-1]

    async def answer(*_: Any) -> Any:
        found = next(left, last)
        if isinstance(found, Exception):
            raise found
        return found

    return answer


async def test_a_lock_is_followed_to_its_mint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stage is told once, though a node is away between; the last one has the token and the fees."""
    minted = replace(LOCKED, is_final=True, status=DepositStatus.MINTED, minted=MINTED, token=b"\x0c" * 20)
    final = replace(LOCKED, is_final=True)
    away = NodeUnavailable("eth_call", "refused")
    monkeypatch.setattr(lock_follow, "read_lock", answering(LOCKED, LOCKED, away, final, final, minted))
    seen = [state async for state in follow_lock(ANY, RECEIPT, ANY, 60)]
    assert [state.stage for state in seen] == ["locked", "final", "minted"]
    assert seen[-1].as_json()["fees"] == "1"
    assert "the fees were" in seen[-1].text()


async def test_a_lock_that_takes_too_long_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-out says how to look again."""
    monkeypatch.setattr(lock_follow, "read_lock", answering(LOCKED))
    with pytest.raises(TimedOut) as error:
        [state async for state in follow_lock(ANY, RECEIPT, ANY, 0)]
    assert "causeway lock status" in error.value.cure


@pytest.mark.parametrize(
    ("changes", "stage", "words"),
    [
        ({}, "locked", "becomes final"),
        ({"is_final": None}, "locked", "becomes final"),
        ({"is_final": True}, "final", "attest the lock"),
        ({"is_final": True, "registered": False}, "final", "introduce the asset"),
        ({"status": DepositStatus.RETURNED}, "returning", "sign its return"),
        ({"status": DepositStatus.RETURNED, "is_paid_back": True}, "returned", "back with its sender"),
        ({"status": DepositStatus.RETURNED, "is_paid_back": True, "waits_back": 5}, "returned", "relay claim"),
    ],
)
def test_a_lock_says_who_moves_next(changes: dict[str, Any], stage: str, words: str) -> None:
    """Whatever the stage, the text has what happens next."""
    state = replace(LOCKED, **changes)
    assert state.stage == stage
    assert words in state.next
    assert state.next in state.text()


class Hub:
    """A native chain that is asked for one withdrawal."""

    def __init__(self, *records: WithdrawalRecord | None) -> None:
        self.withdrawal = answering(*records)


def state(status: WithdrawalStatus, outcome: str | None = None, signed: bool = False) -> WithdrawalState:
    """A withdrawal's state."""
    news = None if outcome is None else VaultNews(outcome, b"\x0d" * 32)
    return WithdrawalState(replace(RECORD, status=status), COIN, EVM, "0x70", signed, news, asked=True)


async def steps(monkeypatch: pytest.MonkeyPatch, *states: WithdrawalState, timeout_s: float = 60) -> list[str]:
    """The stages that are told while the Hub and the vault are in these states, one look after the other."""
    records = [record for one in states for record in (None, one.record)]
    monkeypatch.setattr(withdraw_evm, "read_state", answering(*states))
    asked = Requested(RECORD.id, b"t" * 32, None, BlockHeight(1))
    watch = ReleaseWatch(Hub(*records), ANY, ANY, asked)  # type: ignore[arg-type]  # a fake
    return [step.stage async for step in watch.steps(timeout_s)]


RESERVED, SETTLED = WithdrawalStatus.RESERVED, WithdrawalStatus.SETTLED


async def test_a_release_is_followed_to_its_settlement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reserved, signed, released and settled, each once."""
    told = await steps(
        monkeypatch,
        state(RESERVED),
        state(RESERVED, signed=True),
        state(RESERVED, "released", signed=True),
        state(SETTLED, "released", signed=True),
    )
    assert told == ["reserved", "signed", "released", "settled"]


async def test_a_release_may_fail_or_be_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused is claimed; what is cancelled comes back."""
    assert "failed" in await steps(monkeypatch, state(RESERVED, "failed"), state(SETTLED, "failed"))
    told = await steps(monkeypatch, state(RESERVED, "cancelled"), state(WithdrawalStatus.RESTORED, "cancelled"))
    assert told[-1] == "restored"
    assert "causeway relay claim 4 --chain eip155:5001" in state(RESERVED, "failed").next
    gone = WithdrawalState(
        replace(RECORD, status=WithdrawalStatus.CANCELLED), COIN, EVM, "0x70", None, None, asked=False
    )
    with pytest.raises(NotFound):
        await steps(monkeypatch, gone)


@pytest.mark.parametrize("status", list(WithdrawalStatus)[1:])
def test_a_withdrawals_state_says_who_moves_next(status: WithdrawalStatus) -> None:
    """For each status of the Hub there is a stage, and what happens next."""
    found = state(status)
    assert found.stage
    assert found.next in found.text()
    assert found.as_json()["next"] == found.next


def test_a_locks_receipt_is_not_a_deposit_addresss(tmp_path: Path) -> None:
    """`deposit status` of it names the command that reads it."""
    path = tmp_path / "lock.json"
    RECEIPT.write(path)
    with pytest.raises(BadInput) as error:
        read_receipt(path)
    assert "causeway lock status" in error.value.cure


def test_bonds_are_shown_in_lines_that_fit() -> None:
    """Operators with their bonds; an account's positions with what they earned, and the time that is left."""
    operator = {
        "account": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        "name": "voucher-1",
        "role": "voucher",
        "weight_wei": str(4 * 10**18),
        "own_wei": str(10**18),
        "delegated_wei": str(3 * 10**18),
        "commission_bps": 250,
    }
    fee = {"asset": COIN.caip19, "units": "5", "shown": "0.5 ETH"}
    text = show_text(
        {
            "minimum_stake_wei": str(10**18),
            "unbonding_seconds": 86_400,
            "slash_bps": 5_000,
            "reward_bps": 1_000,
            "insurance_wei": "0",
            "operators": [operator],
            "account": operator["account"],
            "positions": [{"position": 7, "operator": "0x70", "worth_wei": str(3 * 10**18), "claimable": [fee]}],
            "closed_claimable": [{"position": 3, **fee}],
            "commission_claimable": [],
            "unbondings": [{"unbonding": 2, "operator": "0x70", "worth_wei": "5", "ready_at": 9, "seconds_left": 120}],
        }
    )
    for part in ("voucher-1", "2.5 %", "position 7: 3 with", "to claim: 0.5 ETH", "position 3, closed", "in 2 min"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 120
