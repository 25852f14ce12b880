"""Sources of rates: what they know, when it ends, and that nonsense changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from foundation.errors import BadInput, Retryable
from foundation.quantities import UnixMs
from settlement.connector.conversion import Rate
from settlement.connector.rates.file import FileRates
from settlement.connector.rates.http import HttpRates, RatesUnavailable
from settlement.connector.rates.oracle import OracleRates, Quote, UnusablePrice, price_of
from settlement.ilp.errors import Code
from tests.support.connector import ALICE, CAROL, START, ManualClock, make_core, make_prepare


async def test_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """A rewritten file is taken over; a broken one is refused, and the last good prices stay."""
    path = tmp_path / "rates.toml"
    path.write_text('[prices]\nEUR = "1.10"\nUSD = "1"\n')
    rates = FileRates(path, ManualClock())
    await rates.start()
    try:
        assert rates.rate("EUR", "USD") == Rate(110, 100)
        version = rates.version
        for broken in (
            '[prices]\nEUR = "0"\n',
            "[prices",
            "[prices]\nEUR = 1.1\n",
            "",
            '[prices]\nEUR="1"\n[x]\n',
            "x = " + "[" * 2_000,
        ):
            path.write_text(broken)
            rates.look()
            assert rates.rate("EUR", "USD") == Rate(110, 100)
        assert rates.version == version
        new = tmp_path / "new"
        new.write_text('[prices]\nEUR = "1.20"\nUSD = "1"\n')
        new.replace(path)
        rates.look()
        assert rates.rate("EUR", "USD") == Rate(120, 100)
        assert rates.version > version
        assert rates.rate("EUR", "JPY") is None
    finally:
        await rates.close()


async def test_file_that_is_missing_at_the_start_is_refused(tmp_path: Path) -> None:
    """A connector does not start with prices that are not there."""
    with pytest.raises(BadInput):
        await FileRates(tmp_path / "none.toml", ManualClock()).start()


async def test_prices_of_a_file_end_when_it_says_so(tmp_path: Path) -> None:
    """After the file's own time packets that need its rate are refused, and never forwarded at the old rate."""
    path = tmp_path / "rates.toml"
    path.write_text('max_age_ms = 1000\n[prices]\nEUR = "1.10"\nUSD = "1"\n')
    clock = ManualClock()
    rates = FileRates(path, clock)
    await rates.start()
    core = await make_core(tmp_path, [ALICE, CAROL], clock=clock, backend=rates)
    packet = make_prepare(1, "test.clearing.carol")
    assert core.take("alice", packet).all == []
    clock.forward(1_000)
    assert core.take("alice", packet).code == Code.INTERNAL_ERROR
    assert len(core.links["carol"].sent) == 1
    await core.close()
    await rates.close()


class Service:
    """A service with prices, in the test's hand."""

    def __init__(self) -> None:
        self.status = 200
        self.body = '{"prices": {"EUR": "1.10", "USD": "1"}}'

    async def answer(self, _: web.Request) -> web.Response:
        return web.Response(status=self.status, text=self.body)


async def test_service_that_fails_changes_nothing_and_its_prices_end() -> None:
    """Errors, nonsense and huge answers leave the last good prices, which end by their age."""
    service, clock = Service(), ManualClock()
    app = web.Application()
    app.router.add_get("/", service.answer)
    async with TestServer(app) as server:
        rates = HttpRates(str(server.make_url("/")), clock, refresh_ms=3_600_000, max_age_ms=60_000)
        await rates.start()
        try:
            assert rates.rate("EUR", "USD") == Rate(110, 100, UnixMs(START + 60_000))
            clock.forward(10_000)
            for status, body in (
                (500, service.body),
                (200, "nonsense"),
                (200, '{"prices": {"EUR": "-1"}}'),
                (200, '{"prices": {"EUR": 1.1}}'),
                (302, ""),
                (200, '{"prices": {}, "x": "' + "y" * (1 << 20) + '"}'),
                (200, '{"prices": {}, "x": ' + "[" * 100_000),
            ):
                service.status, service.body = status, body
                with pytest.raises(RatesUnavailable):
                    await rates.refresh()
                assert rates.rate("EUR", "USD") == Rate(110, 100, UnixMs(START + 60_000))
            service.status, service.body = 200, '{"prices": {"EUR": "1.3", "USD": "1"}}'
            await rates.refresh()
            assert rates.rate("EUR", "USD") == Rate(13, 10, UnixMs(START + 70_000))
        finally:
            await rates.close()


QUOTE = Quote(300_000_000_000, 8, UnixMs(START - 5_000))


def test_price_of_an_oracle_holds_from_its_own_time() -> None:
    """An oracle's price ends by the time that the oracle gives it, however late it was read."""
    assert price_of("ETH", QUOTE, 60_000, START) == Rate(300_000_000_000, 10**8, UnixMs(START + 55_000))


@pytest.mark.parametrize(
    "quote",
    [
        replace(QUOTE, answer=0),
        replace(QUOTE, answer=-1),
        replace(QUOTE, updated_at=UnixMs(START - 60_000)),
        replace(QUOTE, updated_at=UnixMs(START + 120_000)),
        replace(QUOTE, updated_at=UnixMs(0)),
    ],
)
def test_unusable_price_of_an_oracle_is_refused(quote: Quote) -> None:
    """Zero, negative, stale and future prices, and rounds that never ended, are no prices."""
    with pytest.raises(UnusablePrice):
        price_of("ETH", quote, 60_000, START)


class Feed:
    """A feed in the test's hand."""

    def __init__(self) -> None:
        self.quote: Quote | None = QUOTE

    async def latest(self) -> Quote:
        if self.quote is None:
            raise Down
        return self.quote

    async def close(self) -> None:
        self.quote = None


class Down(Retryable):
    """The node is down."""


async def test_feed_that_fails_keeps_its_last_price_until_that_ends() -> None:
    """A node that is down for a moment changes nothing; the price it gave ends in time."""
    feed = Feed()
    rates = OracleRates({"ETH": (feed, 60_000)}, ManualClock(), fixed={"USD": "1"}, refresh_ms=3_600_000)
    await rates.start()
    try:
        before = rates.rate("ETH", "USD")
        assert before == Rate(300_000_000_000, 10**8, UnixMs(START + 55_000))
        feed.quote = None
        await rates.refresh()
        assert rates.rate("ETH", "USD") == before
    finally:
        await rates.close()
