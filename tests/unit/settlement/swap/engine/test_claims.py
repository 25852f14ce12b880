"""Signing the other side's spend: the guards once more, where the key is used."""

from __future__ import annotations

import secrets
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from settlement.swap.bitcoin.cosign import Asker
from settlement.swap.bitcoin.output import SwapOutput
from settlement.swap.engine.hands import claims
from settlement.swap.machine import effects
from settlement.swap.machine.facts import LockStatus
from settlement.swap.machine.messages import ClaimCosigned, RefundCosigned, Secret
from settlement.swap.terms import Mode, Role
from tests.support.swap_bitcoin import RATE, Deal
from tests.support.swap_sides import Side
from tests.support.swap_terms import SECRET


class Desk:
    """A desk on which one coin lies. Fields: said (letters that left)."""

    def __init__(self, deal: Deal) -> None:
        self.deal = deal
        self.said: list[Any] = []
        self.seconds = 0

    def coin(self, row: Any, outpoint: bytes) -> Any:
        """The swap's."""
        return self.deal.coin()

    def output(self, row: Any) -> SwapOutput:
        """The swap's."""
        return self.deal.output

    def secrets(self, row: Any) -> Any:
        """This side's key."""
        key = self.deal.follower if row.role is Role.FOLLOWER else self.deal.initiator
        return SimpleNamespace(bitcoin=key, preimage=self.deal.secret)

    async def say(self, row: Any, message: Any) -> None:
        """Remember what is said."""
        self.said.append(message)


def request(deal: Deal, role: Role) -> bytes:
    """The other side's call for a signature."""
    spend = deal.output.by_key(deal.coin(), b"\x51\x20" + secrets.token_bytes(32), RATE)
    secret = deal.initiator if role is Role.INITIATOR else deal.follower
    return Asker(deal.output, role, secret, spend).request.encode()


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(("secret", "signs"), [(b"", False), (b"\x08" * 32, False), (SECRET, True)])
async def test_follower_signs_no_claim_without_the_secret(mode: Mode, secret: bytes, signs: bool) -> None:
    """A claim by both keys shows no secret: whoever signs it without one has given its bitcoin away."""
    deal = Deal(mode)
    side = Side(Role.FOLLOWER, mode)
    side.lock(LockStatus.CLAIMED)
    state = replace(side.state, funding=True, secret=secret)
    desk: Any = Desk(deal)
    row: Any = SimpleNamespace(role=Role.FOLLOWER, state=state)
    await claims.cosign_claim(desk, row, effects.CosignClaim(request(deal, Role.INITIATOR)))
    assert [type(one) for one in desk.said] == ([ClaimCosigned] if signs else [])


async def test_follower_signs_no_claim_before_its_own_shows_the_secret() -> None:
    """Lost with its memory, the secret would be on no chain: the lock would go back, and the bitcoin was given away."""
    deal = Deal()
    side = Side(Role.FOLLOWER, Mode.HASH)
    side.lock()
    state = replace(side.state, funding=True, secret=SECRET)
    desk: Any = Desk(deal)
    row: Any = SimpleNamespace(role=Role.FOLLOWER, state=state)
    await claims.cosign_claim(desk, row, effects.CosignClaim(request(deal, Role.INITIATOR)))
    assert not desk.said


@pytest.mark.parametrize(
    ("decided", "signs"),
    [
        ({"cosigned": True}, True),
        ({}, False),
        ({"cosigned": True, "revealed_at": 1}, False),
        ({"cosigned": True, "exposed": True}, False),
    ],
)
async def test_initiator_signs_no_refund_once_the_secret_is_out(decided: dict[str, Any], signs: bool) -> None:
    """Nor one that it has not decided to sign."""
    deal = Deal()
    state = replace(Side(Role.INITIATOR, Mode.HASH).state, **decided)
    desk: Any = Desk(deal)
    row: Any = SimpleNamespace(role=Role.INITIATOR, state=state)
    order = effects.SignRefundWith(deal.coin().outpoint.serialized(), request(deal, Role.FOLLOWER))
    await claims.cosign_refund(desk, row, order)
    assert [type(one) for one in desk.said] == ([RefundCosigned] if signs else [])


@pytest.mark.parametrize(("seconds", "tells"), [(-1, True), (0, False)])
async def test_no_letter_tells_the_secret_from_t2_on(
    seconds: int, tells: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order that a crash held up until then could only help a follower that takes its bitcoin back."""
    deal = Deal()
    state = Side(Role.INITIATOR, Mode.HASH).state
    desk: Any = Desk(deal)
    row: Any = SimpleNamespace(role=Role.INITIATOR, state=state)
    desk.seconds = state.terms.bitcoin.expires_at + seconds

    async def ask(*_: Any) -> bytes:
        return b"request"

    monkeypatch.setattr(claims, "_ask", ask)
    await claims.reveal(desk, row, effects.RevealByLetter(deal.coin().outpoint.serialized(), 0))
    assert [type(one) for one in desk.said] == ([Secret] if tells else [])
