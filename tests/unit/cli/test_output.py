"""Text for people."""

from __future__ import annotations

import json

import pytest

from cli.output import Output, btc, coin, cut, duration, facts, short, table


def test_a_table_is_never_wider_than_a_hundred_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last column is cut, so that a long problem does not break the lines, on the widest screen too."""
    monkeypatch.setenv("COLUMNS", "300")
    lines = table(("name", "problem"), [("pay", "x" * 300), ("sweep", "")]).splitlines()
    assert max(map(len, lines)) == 100
    assert lines[1].endswith("…")
    assert lines[2] == "sweep  –"


def test_numbers_are_aligned_to_the_right() -> None:
    """Columns named so have their digits below each other."""
    assert table(("n", "x"), [(7, "a"), (1234, "b")], right=("n",)).splitlines()[1:] == ["   7  a", "1234  b"]


def test_facts_have_their_values_below_each_other() -> None:
    """Names are padded to the longest one; a line break in a value does not break the list."""
    assert facts([("id", "ab\ncd"), ("status", None)]) == "id      ab cd\nstatus  –"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (-5, "0 s"),
        (59_999, "59 s"),
        (60_000, "1 min"),
        (3_600_000, "1 h 0 min"),
        (5_400_000, "1 h 30 min"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_time_spans_have_one_or_two_units(milliseconds: int, text: str) -> None:
    """A span is told as people say it."""
    assert duration(milliseconds) == text


def test_ids_and_amounts_are_short() -> None:
    """An id shows its beginning, an amount no needless zeros, and what is not known is a dash."""
    assert (short(bytes(32)), short("0x" + "ab" * 20), short("abcd"), short(None)) == (
        "00000000…",
        "0xabababab…",
        "abcd",
        "–",
    )
    assert (btc(150_000_000), btc(None), coin(10**18), coin(None)) == ("1.5 BTC", "–", "1", "–")
    assert coin(999_999_879_762_735_799_120, places=4) == "999.9998"
    assert (cut("abcdef", 4), cut("abc", 4)) == ("abc…", "abc")


def test_a_result_is_one_document_or_text(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json standard output is one JSON document; progress never goes there."""
    output = Output(as_json=True)
    output.progress("working")
    output.result({"key": b"\x01"}, "text")
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"key": "01"}
    assert "working" in printed.err
    Output().result({}, lambda: "text")
    assert capsys.readouterr().out == "text\n"
