"""Calls, events and words of the Channels adapter are those of the contract, and its events tell what the rules say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import boa
import pytest

from adapters.evm.channels import errors
from adapters.evm.channels.bindings import Channels
from adapters.evm.channels.calls import ChannelsCalls
from adapters.evm.channels.events import ChannelsEvent, Closed, Closing, Opened, decode_event
from adapters.evm.errors import BadAnswer, Reverted
from adapters.evm.types import BlockRef, Log
from foundation.quantities import BlockHeight, UnixMs
from settlement.channels.chain_cases import project, sheet_on_chain, terms_on_chain
from settlement.channels.judge import (
    Case,
    Challenge,
    Close,
    CloseAgreed,
    Command,
    Join,
    Settle,
    Status,
    Withdraw,
    judge,
    open_case,
)
from settlement.channels.terms import Account, Sheet, Side, SignedSheet
from settlement.quantities import Units, condition_of
from tests.support.channels import CHALLENGE_MS, KEYS, START, lock, secret, terms
from tests.support.channels_contract import OnChain, deploy, domain, set_time

A, B = Side.A, Side.B
BLOCK = BlockRef(BlockHeight(7), b"\x77" * 32)


class Played:
    """The same moves at the contract and by the pure rules; `events` are what the contract told."""

    def __init__(self) -> None:
        self.now = START
        set_time(START)
        contract = deploy()
        self.address = bytes.fromhex(str(contract.address)[2:])
        self.terms = replace(terms(), ledger=domain(contract))
        self.it = OnChain(contract, self.terms, token=False)
        self.events: list[ChannelsEvent] = []
        self.it.open()
        self.case: Case = open_case(self.terms, self.terms.a)
        self.hear()

    def hear(self) -> None:
        """Take the events of the last call."""
        for index, address, topics, data in self.it.contract._computation.get_raw_log_entries():
            words = tuple(topic.to_bytes(32, "big") for topic in topics)
            self.events.append(decode_event(Log(address, words, data, BLOCK, b"\x88" * 32, index)))

    def act(self, command: Command, times: dict[bytes, UnixMs] | None = None) -> None:
        """One move."""
        self.it.act(command, self.case.sheet.sheet)
        self.hear()
        self.case, _ = judge(self.case, command, times or {}, self.now)  # type: ignore[arg-type]

    def later(self, ms: int) -> None:
        """Time passes."""
        self.now = UnixMs(self.now + ms)
        set_time(self.now)

    def sheet(self, sequence: int, held: int = 0, *, locked: bool = False) -> SignedSheet:
        """A sheet that both signed."""
        locks = (lock(1, A, 100),) if locked else ()
        sheet = Sheet(self.case.channel, sequence, held, Units(800 - 100 * locked), Units(1_200), locks)
        return SignedSheet(sheet, *(KEYS[side].sign_sheet(self.terms.ledger, sheet) for side in Side))

    def told(self) -> Case:
        """The channel as the events tell of it."""
        made = project({}, tuple(self.events), self.terms.ledger, self.terms.b, lambda _: self.now)
        return made.cases[self.case.channel]


@pytest.fixture
def played() -> Iterator[Played]:
    """A channel that waits for B."""
    with boa.env.anchor():
        yield Played()


# --- Events -----------------------------------------------------------------------------------------------------------


def test_events_tell_of_an_opening_and_its_withdrawal(played: Played) -> None:
    """Terms are read back as they were given, and A's withdrawal ends the channel."""
    assert played.told() == played.case
    assert played.told().status is Status.WAITING
    played.act(Withdraw(played.terms.a))
    assert played.told() == played.case


@pytest.mark.parametrize("with_proof", [False, True])
def test_events_tell_who_cheated(played: Played, with_proof: bool) -> None:
    """A stale close is known from the events alone, also where an acknowledgement is what proves it."""
    played.act(Join(played.terms.b))
    assert played.told() == played.case
    played.act(Close(played.terms.a, played.sheet(1)))
    assert played.told() == played.case
    # A proposed number 3 holding 1: only its acknowledgement proves that it held 3.
    newer = played.sheet(3, held=1, locked=True)
    held = KEYS[A].sign_held(played.terms.ledger, played.case.channel, 3) if with_proof else b""
    played.act(Challenge(played.terms.b, newer, held))
    assert played.told() == played.case
    assert played.told().cheated == (with_proof, False)
    played.it.reveal(secret(1))
    played.hear()
    made = project({}, tuple(played.events), played.terms.ledger, played.terms.a, lambda _: played.now)
    assert made.reveals[condition_of(secret(1))].at == played.now
    times = {condition_of(secret(1)): played.now}
    played.later(CHALLENGE_MS)
    played.act(Settle(), times)
    assert played.told() == played.case


def test_events_tell_of_an_agreed_end_that_overtakes_a_close(played: Played) -> None:
    """What both agreed on counts, whatever was submitted before."""
    played.act(Join(played.terms.b))
    played.act(Close(played.terms.a, played.sheet(1)))
    sheet = played.sheet(4).sheet
    a, b = (KEYS[side].sign_close(played.terms.ledger, sheet) for side in Side)
    played.act(CloseAgreed(sheet, a, b))
    told = played.told()
    assert (told.status, told.paid, told.sheet.sheet.sequence) == (Status.CLOSED, played.case.paid, 4)


def test_channels_of_others_are_passed_over(played: Played) -> None:
    """A bank keeps nothing of channels that it has no part in."""
    played.act(Join(played.terms.b))
    played.act(Close(played.terms.a, played.sheet(1)))
    made = project({}, tuple(played.events), played.terms.ledger, Account(b"\x09" * 20), lambda _: played.now)
    assert not made.cases


def test_terms_that_no_bank_agrees_to_stop_nobody(played: Played) -> None:
    """A stranger's channel that names us, of more than 2^64−1, is passed over and does not stop the reading."""
    opened = played.events[0]
    assert isinstance(opened, Opened)
    odd = replace(opened, terms=replace(opened.terms, deposit_a=2**70))
    closed = Closed(opened.at, opened.channel, 0, 2**70, 0)
    assert not project({}, (odd, closed), played.terms.ledger, played.terms.b, lambda _: played.now).cases


def test_unknown_log_is_refused() -> None:
    """What is none of the contract's events shows that another contract is at the address."""
    with pytest.raises(BadAnswer):
        decode_event(Log(b"\x10" * 20, (b"\x01" * 32,), b"", BLOCK, b"\x88" * 32, 0))
    with pytest.raises(BadAnswer):
        decode_event(Log(b"\x10" * 20, (Channels.Joined.topic,), b"", BLOCK, b"\x88" * 32, 0))


# --- Calls ------------------------------------------------------------------------------------------------------------


def test_calls_are_the_contracts(played: Played) -> None:
    """The contract takes the adapter's bytes: a channel is joined, closed and answered with nothing else."""
    calls, its = ChannelsCalls(played.address), terms_on_chain(played.terms)
    first, second = played.sheet(1), played.sheet(2, held=1, locked=True)
    signed = [(sheet_on_chain(one.sheet), one.signature_a, one.signature_b) for one in (first, second)]
    for sender, call in (
        (played.terms.b, calls.join(its)),
        (played.terms.a, calls.close(its, *signed[0])),
        (played.terms.b, calls.challenge(its, *signed[1], b"")),
        (played.terms.a, calls.reveal(secret(1))),
    ):
        boa.env.set_balance(f"0x{sender.hex()}", 10**20)
        done = boa.env.execute_code(
            to_address=str(played.it.contract.address), sender=f"0x{sender.hex()}", data=call.data, value=call.value
        )
        assert done.is_success, call.label
        played.events += [
            decode_event(Log(address, tuple(one.to_bytes(32, "big") for one in topics), data, BLOCK, b"", index))
            for index, address, topics, data in done.get_raw_log_entries()
        ]
    last = [event for event in played.events if isinstance(event, Closing)][-1]
    assert last.sheet == signed[1][0]
    assert (last.signature_a, last.signature_b) == signed[1][1:]


# --- Words ------------------------------------------------------------------------------------------------------------


def test_words_have_their_classes() -> None:
    """What agents act on has a class; other words of the contract are plain refusals, and a stranger's none."""
    assert isinstance(errors.typed_revert("l", "Channels: too early"), errors.TooEarly)
    plain = errors.typed_revert("l", "Channels: forged")
    assert type(plain) is errors.ChannelsRefused
    assert type(errors.typed_revert("l", "Token: no")) is Reverted
