"""What the demo prints: plain lines without a terminal, never wider than 100 columns, failures marked."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bridge.storage import JourneyEntry
from cli.demo_books import brief, who
from cli.demo_screen import Screen
from foundation.quantities import UnixMs


def screen(*, terminal: bool = False, width: int = 100) -> tuple[Screen, io.StringIO]:
    """A screen, and what was printed on it."""
    printed = io.StringIO()
    return Screen(Console(file=printed, force_terminal=terminal, width=width)), printed


@pytest.mark.parametrize("width", [40, 80, 100, 300])
def test_lines_without_a_terminal_are_plain_and_fit(width: int) -> None:
    """A log gets no control characters, and lines of at most 100 columns."""
    shown, printed = screen(width=width)
    with shown.step("A step with a title that is much longer than there is room for on its line") as step:
        step.say("working")
        shown.detail("working still")
        step.done("f" * 200)
        step.also("g" * 200)
    shown.table("What happened", ("what", "amount", "transaction"), [("paid", "0.5 BTC", "a" * 80), ("", "", "")])
    text = printed.getvalue()
    assert "\x1b" not in text
    assert "working" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert "0.5 BTC" in text
    assert ("a" * 80 in text) or any(line.rstrip().endswith("a…") for line in text.splitlines())


def test_a_terminal_is_told_what_goes_on() -> None:
    """On a terminal the line is live, and ends as the same line."""
    shown, printed = screen(terminal=True)
    with shown.step("A step") as step:
        shown.detail("working on it")
        step.done("done so")
    assert "✓" in printed.getvalue()
    assert "done so" in printed.getvalue()


def test_a_step_that_fails_is_marked() -> None:
    """The step during which something went wrong is told, and the error goes on."""
    shown, printed = screen()
    with pytest.raises(ValueError, match="broken"), shown.step("A step"):
        raise ValueError("broken")
    assert "✗" in printed.getvalue()
    assert "A step" in printed.getvalue()


def test_signers_are_told_from_the_notes() -> None:
    """Who signed and who attested stands at the end of a journey's note."""

    def note(text: str) -> JourneyEntry:
        return JourneyEntry(b"", UnixMs(0), "", text)

    assert (
        who(note("sweep signed by storeman-1, storeman-2, fee 1 sat")) == "signed by storeman-1, storeman-2, fee 1 sat"
    )
    assert who(note("sent to the Hub, attested by voucher-3")) == "attested by voucher-3"
    assert who(note("something else")) == "something else"


def test_ids_are_shortened_as_people_see_them() -> None:
    """Bitcoin's are reversed, the native chain's begin with 0x."""
    assert brief(bytes(31) + b"\xab") == "ab0000000000…"
    assert brief(b"\xab" + bytes(31), "native") == "0xab0000000000…"
