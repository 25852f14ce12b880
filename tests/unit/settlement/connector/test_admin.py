"""What operators may ask a running connector, and who may not."""

from __future__ import annotations

from collections import Counter

import pytest
from aiohttp.test_utils import TestClient, TestServer

from foundation.quantities import UnixMs
from settlement.connector.admin import admin_api
from settlement.connector.balances.book import Book
from settlement.connector.balances.model import Direction, Incident, IncidentKind
from settlement.connector.conversion import Rate
from settlement.connector.metrics import ConnectorMetrics
from settlement.connector.statements import SettlementView
from settlement.connector.views import AccountView, RateView
from settlement.quantities import MAX_UNITS
from tests.support.connector import EUR, START, condition_for

TOKEN = "a-token-of-operators"
SHOWN = {"Authorization": f"Bearer {TOKEN}"}


class Observed:
    """A connector with one account, whose amounts are as large as amounts get."""

    address = "test.hub"

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    async def account_views(self) -> tuple[AccountView, ...]:
        counts = Counter({"T04": 2})
        return (AccountView("alice", EUR, "child", -MAX_UNITS, 1, 2, None, 5, True, 9, 7, counts, {}, MAX_UNITS, 3),)

    async def settlements_of(self, account: str, after: tuple[UnixMs, str], limit: int) -> list[SettlementView]:
        self.asked.append((account, after, limit))
        return [SettlementView("key", MAX_UNITS, Direction.OUT, False, START)]

    def routes(self) -> dict[str, str]:
        return {"test.hub": "", "test.hub.alice": "alice"}

    def rates(self) -> tuple[RateView, ...]:
        return (RateView("EUR", Rate(11, 10, START), True),)

    async def incidents(self, after: int, limit: int) -> list[tuple[int, Incident]]:
        self.asked.append((after, limit))
        return [(4, Incident(IncidentKind.LATE, "alice", 7, condition_for(1), START))]

    def metrics(self) -> ConnectorMetrics:
        return ConnectorMetrics({}, Book(()))

    def ports(self) -> dict[str, int]:
        return {"btp": 7768}


@pytest.fixture
def observed() -> Observed:
    return Observed()


def asking(observed: Observed) -> TestClient:
    """A client of the service."""
    return TestClient(TestServer(admin_api(observed, TOKEN)))


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}x"}])
@pytest.mark.parametrize("path", ["/", "/accounts", "/accounts/alice/statement", "/routes", "/rates", "/metrics"])
async def test_nobody_is_told_anything_without_the_token(
    observed: Observed, path: str, headers: dict[str, str]
) -> None:
    """Whoever shows no token, or another one, gets 401 and nothing else."""
    async with asking(observed) as client, client.get(path, headers=headers) as answer:
        assert answer.status == 401
        assert "alice" not in await answer.text()


async def test_amounts_are_text_that_loses_no_digit(observed: Observed) -> None:
    """Accounts and settlements have their amounts as text, exact up to 2^64−1 and below zero."""
    async with asking(observed) as client:
        (account,) = await (await client.get("/accounts", headers=SHOWN)).json()
        told = await (await client.get("/accounts/alice/statement", headers=SHOWN)).json()
    assert (account["balance"], account["volume_in"]) == (f"-{MAX_UNITS}", str(MAX_UNITS))
    assert (account["floor"], account["ceiling"], account["refused"]) == (None, "5", {"T04": 2})
    assert told["account"] == account
    assert told["settlements"] == [
        {"key": "key", "amount": str(MAX_UNITS), "direction": "out", "is_undone": False, "at_ms": START}
    ]


async def test_routes_rates_incidents_and_metrics_are_told(observed: Observed) -> None:
    """Each of the other pages has what the connector knows."""
    async with asking(observed) as client:
        assert (await (await client.get("/", headers=SHOWN)).json()) == {
            "address": "test.hub",
            "listens": {"btp": 7768},
        }
        routes = await (await client.get("/routes", headers=SHOWN)).json()
        assert routes == [
            {"prefix": "test.hub", "account": None},
            {"prefix": "test.hub.alice", "account": "alice"},
        ]
        (rate,) = await (await client.get("/rates", headers=SHOWN)).json()
        assert (rate["price"], rate["is_current"]) == ({"numerator": "11", "denominator": "10"}, True)
        (incident,) = await (await client.get("/incidents?after=3&limit=2", headers=SHOWN)).json()
        assert (incident["number"], incident["kind"], incident["amount"]) == (4, "late", "7")
        assert observed.asked == [(3, 2)]
        scraped = await (await client.get("/metrics", headers=SHOWN)).text()
        assert "causeway_connector_balances_available 1.0" in scraped


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=10001", "after=9" + "9" * 30])
async def test_a_number_that_is_none_is_refused(observed: Observed, query: str) -> None:
    """Numbers out of bounds are the asker's mistake, and the connector is not asked."""
    async with asking(observed) as client, client.get(f"/incidents?{query}", headers=SHOWN) as answer:
        assert (answer.status, answer.content_type) == (400, "application/problem+json")
    assert not observed.asked


async def test_an_account_that_is_none_is_not_found(observed: Observed) -> None:
    """A statement of an unknown account is 404, and so is any other path; nothing but GET is answered."""
    async with asking(observed) as client:
        assert (await client.get("/accounts/bob/statement", headers=SHOWN)).status == 404
        assert (await client.get("/nothing", headers=SHOWN)).status == 404
        assert (await client.post("/accounts", headers=SHOWN)).status == 405
