"""What holds of the rules for all payments: limits are never passed, repeats change nothing, names hide nowhere."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.rules import tables
from settlement.rules.dryrun import dry_run, replay
from settlement.rules.errors import DecisionConflict, ReservationOver, UnknownReservation
from settlement.rules.history import MemoryHistory
from settlement.rules.locate import line_of
from settlement.rules.model import Verdict
from settlement.rules.names import NameIndex, similarity, words
from settlement.rules.validator import Validator
from tests.support.rules import MONDAY, facts, rules

LIMITED = rules("""
[[limit]]
id = "day"
asset = "EUR"
amount_max = "10.00"
count_max = 6
[[limit]]
id = "corridor"
per = "corridor"
corridors = ["DE-CN"]
asset = "EUR"
amount_max = "7.00"
[[velocity]]
id = "fast"
per = "payee"
count_max = 4
window_seconds = 1
""")
DAY_MS = 86_400_000
MOVES = st.lists(
    st.tuples(
        st.sampled_from(("decide", "decide", "decide", "settle", "release")),
        st.integers(0, 9),  # payment
        st.integers(1, 600),  # amount
        st.sampled_from(("bank-a", "bank-c")),
        st.sampled_from(("CN", "US")),
        st.sampled_from((0, 1, 300, DAY_MS)),  # time that passes
    ),
    max_size=30,
)


@settings(max_examples=25)
@given(moves=MOVES)
def test_no_order_of_payments_failures_and_repeats_passes_a_limit(
    moves: list[tuple[str, int, int, str, str, int]],
) -> None:
    """Whatever is decided, repeated, settled and released in whatever order, what counts never exceeds a limit."""
    asyncio.run(_no_limit_is_passed(moves))


async def _no_limit_is_passed(moves: list[tuple[str, int, int, str, str, int]]) -> None:
    validator = Validator(lambda: LIMITED, bytes(32))
    counted: dict[int, tuple[int, int, str, str]] = {}
    now = MONDAY
    with tempfile.TemporaryDirectory() as folder:
        async with await Database.open(f"sqlite:///{Path(folder)}/r.db", tables.SCHEMA) as database:
            for move, number, amount, payer, country, passing in moves:
                now = UnixMs(now + passing)
                payment = facts(number, amount, payer=payer, destination=country)
                async with database.unit() as unit:
                    try:
                        if move == "decide":
                            decision = await validator.decide(unit.connection, payment, now)
                            if decision.verdict is Verdict.PASS:
                                counted.setdefault(number, (now, amount, payer, country))
                        elif move == "settle":
                            await validator.settle(unit.connection, payment.payment_id)
                        else:
                            await validator.release(unit.connection, payment.payment_id)
                            counted.pop(number, None)
                    except (DecisionConflict, UnknownReservation, ReservationOver):
                        continue
                    await unit.commit()
                _check(counted)


def _check(counted: dict[int, tuple[int, int, str, str]]) -> None:
    days = {(at - MONDAY + 12 * 3_600_000) // DAY_MS for at, _, _, _ in counted.values()}
    for day in days:
        today = [use for use in counted.values() if (use[0] - MONDAY + 12 * 3_600_000) // DAY_MS == day]
        for payer in ("bank-a", "bank-c"):
            mine = [amount for _, amount, who, _ in today if who == payer]
            assert sum(mine) <= 1_000
            assert len(mine) <= 6
        assert sum(amount for _, amount, _, country in today if country == "CN") <= 700
    for start, *_ in counted.values():
        assert sum(1 for at, *_ in counted.values() if start <= at < start + 1_000) <= 4


@given(
    amounts=st.lists(st.integers(1, 600), max_size=12), steps=st.lists(st.integers(0, 700), min_size=12, max_size=12)
)
def test_same_questions_get_the_same_answers(amounts: list[int], steps: list[int]) -> None:
    """Two evaluations of the same facts, history and moment give the same decision, reasons and all."""
    histories = MemoryHistory(), MemoryHistory()
    now = MONDAY
    for number, (amount, step) in enumerate(zip(amounts, steps, strict=False)):
        now = UnixMs(now + step)
        one, other = (dry_run(LIMITED, facts(number, amount), now, history=history) for history in histories)
        assert one == other
        assert one.verdict == max((reason.verdict for reason in one.reasons), default=Verdict.PASS)
    assert replay(LIMITED, []).same == 0


LETTERS = st.text(alphabet="abcdefghijklmnoprstuvwyz", min_size=2, max_size=9)
NAMES = st.lists(LETTERS, min_size=2, max_size=4)


@given(name=NAMES, others=st.lists(NAMES, max_size=5), seed=st.integers(0, 2**32), style=st.integers(0, 5))
def test_listed_name_is_found_in_any_order_case_and_accent(
    name: list[str], others: list[list[str]], seed: int, style: int
) -> None:
    """A listed name is found with its words shuffled, in capitals, and with signs, accents or invisible letters."""
    assume(sum(map(len, name)) >= 5)
    index = NameIndex([("it", " ".join(name)), *(("other", " ".join(other)) for other in others)])
    shuffled = random.Random(seed).sample(name, len(name))  # noqa: S311
    written = {
        0: " ".join(shuffled),
        1: ", ".join(shuffled).upper(),
        2: " ".join(word[0] + "\u0301" + word[1:] for word in shuffled),
        3: " ".join(word[0] + "\u200d" + word[1:] for word in shuffled),
        4: " ".join((*shuffled, "junior")),
        5: "".join(name),
    }[style]
    assert ("it", 1_000) in [(hit.entry_id, hit.similarity) for hit in index.search(written, 900)]


@given(one=st.text(max_size=30), other=st.text(max_size=30))
def test_similarity_is_symmetric_and_whole_only_for_the_same(one: str, other: str) -> None:
    """Similarity lies between 0 and 1,000, is the same both ways, and full for equal texts alone."""
    assert similarity(one, other) == similarity(other, one)
    assert 0 <= similarity(one, other) <= 1_000
    assert (similarity(one, other) == 1_000) == (one == other)
    assert all(word.isascii() for word in words(one))


@given(text=st.text(max_size=200), path=st.lists(st.one_of(st.text(max_size=5), st.integers(0, 3)), max_size=4))
def test_line_of_anything_is_a_line(text: str, path: list[str | int]) -> None:
    """Looking for a value in any text names a line that is there."""
    assert 1 <= line_of(text, path) <= max(1, len(text.splitlines()))
