"""However requests are repeated, mixed and met by crashes, each key is one payment with one answer."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.database import Moment
from foundation.errors import BadInput
from settlement.quantities import MAX_UNITS, Asset, Scale
from tests.support.api_gateway import Crashing, FakeGateway, changed, open_api

AMOUNTS = ("1.00", "2.00")
steps = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(AMOUNTS),
        st.none() | st.tuples(st.integers(1, 2), st.sampled_from(list(Moment))),
    ),
    max_size=8,
)


@given(asked=steps)
@settings(max_examples=25)
def test_each_key_is_one_payment_with_one_answer(asked: list[tuple[str, str, tuple[int, Moment] | None]]) -> None:
    """The first body under a key is paid once, whatever crashes meet it; every other body under it is refused."""
    asyncio.run(play(asked))


async def play(asked: list[tuple[str, str, tuple[int, Moment] | None]]) -> None:
    gateway = FakeGateway()
    owners: dict[str, str] = {}
    answers: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with open_api(Path(folder), gateway) as api:
            for key, amount, crash in asked:
                is_done = key in answers
                api.database._commit_hook = None if crash is None or is_done else Crashing(*crash)
                answer = await api.post("/v1/payments", changed("target.amount", amount), key)
                if answer.status_code == 503 or answer.status_code == 500:
                    # Only a claim whose commit was undone leaves the key to another body.
                    if crash != (1, Moment.BEFORE):
                        owners.setdefault(key, amount)
                    continue
                if owners.setdefault(key, amount) != amount:
                    assert answer.status_code == 422, answer.text
                    continue
                assert answer.status_code == 202, answer.text
                assert answers.setdefault(key, answer.content) == answer.content
    assert len(gateway.begun) == len({one.payment_id for one in gateway.begun})
    assert len(gateway.begun) <= len(owners)
    assert {one.wanted.target.text for one in gateway.begun} <= set(owners.values())


@given(units=st.integers(0, MAX_UNITS), scale=st.integers(0, 30))
def test_amounts_come_back_as_they_went(units: int, scale: int) -> None:
    """Text and base units are the same amount at each scale, without rounding."""
    asset = Asset("EUR", Scale(scale))
    assert asset.units(asset.text(units)) == units


@given(text=st.text(max_size=40))
def test_no_text_is_an_amount_by_accident(text: str) -> None:
    """Text is an amount that writes itself the same way again, up to zeros at its end, or it is refused as BadInput."""
    asset = Asset("EUR", Scale(2))
    try:
        units = asset.units(text)
    except BadInput:
        return
    assert asset.units(asset.text(units)) == units
    assert text.isascii()
