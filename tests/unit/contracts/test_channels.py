"""Channels: where the contract refuses, and that money of an odd token or account stays where it belongs.

What it decides is compared with the pure rules in tests/property/settlement/channels/test_contract.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import boa
import pytest

from foundation.quantities import UnixMs
from settlement.channels.judge import Challenge, Close, CloseAgreed, Join, Settle, Withdraw
from settlement.channels.signing import KeySigner, channel_id
from settlement.channels.terms import ChannelId, Sheet, Side, SignedSheet, Terms
from settlement.quantities import Units
from tests.support.channels import CHALLENGE_MS, KEYS, START, terms
from tests.support.channels_contract import OnChain, checksum, deploy, domain, set_time
from tests.support.lockbox import odd_token
from tests.support.native_contracts import ZERO, refused

STRANGER = KeySigner(b"c" * 32)
ETHER = 10**18


class Chain:
    """A contract with one channel of 500 and 500, not yet joined."""

    def __init__(self) -> None:
        set_time(START)
        contract = deploy()
        self.terms: Terms = replace(terms(500, 500), ledger=domain(contract))
        self.it = OnChain(contract, self.terms, token=False)
        self.channel = ChannelId(self.it.open())
        assert self.channel == channel_id(self.terms)

    def joined(self) -> Chain:
        """B's deposit is in."""
        self.it.act(Join(self.terms.b), self.sheet(1).sheet)
        return self

    def sheet(self, sequence: int, a: int = 400, held: int = 0) -> SignedSheet:
        """A sheet that both have signed."""
        sheet = Sheet(self.channel, sequence, held, Units(a), Units(1_000 - a))
        return SignedSheet(sheet, *(KEYS[side].sign_sheet(self.terms.ledger, sheet) for side in Side))

    def close(self, signed: SignedSheet, by: bytes | None = None) -> None:
        """A closes."""
        self.it.act(Close(by or self.terms.a, signed), signed.sheet)  # type: ignore[arg-type]

    def challenge(self, signed: SignedSheet, held: bytes = b"") -> None:
        """B answers."""
        self.it.act(Challenge(self.terms.b, signed, held), signed.sheet)

    def open_with(self, sender: str, value: int, **changes: object) -> None:
        """Open another channel, with some terms changed."""
        names = ("a", "b", "asset", "deposit_a", "deposit_b", "challenge_seconds", "one_way", "salt")
        fields = {**dict(zip(names, self.it.tuple, strict=True)), "salt": b"o" * 32, **changes}
        boa.env.set_balance(sender, ETHER)
        with boa.env.prank(sender):
            self.it.contract.open(tuple(fields.values()), value=value)


@pytest.fixture
def chain() -> Iterator[Chain]:
    """A contract with a channel that waits for B."""
    with boa.env.anchor():
        yield Chain()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"b": ZERO}, "Channels: one bank"),
        ({"deposit_a": 2**128}, "Channels: too much"),
        ({"deposit_a": 0, "deposit_b": 0}, "Channels: nothing"),
        ({"one_way": True}, "Channels: one way"),
        ({"challenge_seconds": 0}, "Channels: challenge period"),
        ({"challenge_seconds": 30 * 86_400 + 1}, "Channels: challenge period"),
        ({"salt": b"s" * 32}, "Channels: exists"),
        ({"deposit_a": 501}, "Channels: wrong value"),
    ],
)
def test_impossible_terms_open_nothing(chain: Chain, changes: dict[str, object], reason: str) -> None:
    """Terms that no channel can have, that are taken, or whose deposit is another than what comes, are refused."""
    with refused(reason):
        chain.open_with(checksum(chain.terms.a), 500, **changes)


def test_only_its_banks_open_join_and_close(chain: Chain) -> None:
    """A stranger, or the other bank, does none of a bank's steps."""
    with refused("Channels: not A"):
        chain.open_with(checksum(chain.terms.b), 500)
    with refused("Channels: not B"):
        chain.it.act(Join(chain.terms.a), chain.sheet(1).sheet)
    with refused("Channels: not A"):
        chain.it.act(Withdraw(chain.terms.b), chain.sheet(1).sheet)
    chain.joined()
    with refused("Channels: wrong state"):
        chain.it.act(Join(chain.terms.b), chain.sheet(1).sheet)
    with refused("Channels: not a party"):
        chain.close(chain.sheet(1), STRANGER.account)


def test_close_and_answer_are_refused_by_the_rules(chain: Chain) -> None:
    """Sheets that do not add up, are forged, not newer, a second answer, and what is too early or late are refused."""
    chain.joined()
    with refused("Channels: bad sheet"):
        chain.close(chain.sheet(1, held=1))
    with refused("Channels: forged"):
        chain.close(replace(chain.sheet(1), signature_b=STRANGER.sign_sheet(chain.terms.ledger, chain.sheet(1).sheet)))
    chain.close(chain.sheet(1))
    with refused("Channels: not newer"):
        chain.challenge(chain.sheet(1))
    with refused("Channels: forged"):
        chain.challenge(chain.sheet(2), STRANGER.sign_held(chain.terms.ledger, chain.channel, 2))
    chain.challenge(chain.sheet(2, held=1))
    with refused("Channels: answered"):
        chain.challenge(chain.sheet(3, held=2))
    with refused("Channels: too early"):
        chain.it.act(Settle(), chain.sheet(2, held=1).sheet)
    set_time(UnixMs(START + CHALLENGE_MS))
    with refused("Channels: too late"):
        chain.it.act(Challenge(chain.terms.a, chain.sheet(5, held=4)), chain.sheet(2).sheet)


def test_settling_with_another_sheet_is_refused(chain: Chain) -> None:
    """Nobody settles with a sheet that was not submitted."""
    chain.joined().close(chain.sheet(1))
    set_time(UnixMs(START + CHALLENGE_MS))
    with refused("Channels: bad sheet"):
        chain.it.act(Settle(), chain.sheet(2).sheet)


def test_token_that_lies_moves_no_money() -> None:
    """A token that refuses, or delivers less than it says, opens nothing; one that refuses later keeps what is owed."""
    with boa.env.anchor():
        chain = Chain()
        account = checksum(chain.terms.a)
        token = odd_token(account, 5_000)
        with boa.env.prank(account):
            token.approve(chain.it.contract.address, 2**255)
        asset = {"asset": str(token.address)}
        token.answers(bytes(32))
        with refused("Channels: refused by token"):
            chain.open_with(account, 0, **asset)
        token.answers((1).to_bytes(32, "big"))
        token.moves(10_000, 9_000)
        with refused("Channels: not what arrived"):
            chain.open_with(account, 0, **asset)
        token.moves(10_000, 10_000)
        chain.open_with(account, 0, **asset)
        with refused("Channels: nothing"):
            chain.it.contract.collect(str(token.address), account)


def test_account_that_takes_no_coin_does_not_stop_the_other(chain: Chain) -> None:
    """What one bank cannot collect stays its own, and the other collects."""
    chain.joined()
    sheet = Sheet(chain.channel, 1, 0, Units(400), Units(600))
    signatures = (KEYS[side].sign_close(chain.terms.ledger, sheet) for side in Side)
    chain.it.act(CloseAgreed(sheet, *signatures), sheet)
    before = boa.env.get_balance(checksum(chain.terms.b))
    chain.it.contract.collect(ZERO, checksum(chain.terms.b))
    assert boa.env.get_balance(checksum(chain.terms.b)) == before + 600
    assert chain.it.owed() == (400, 0)
