"""What the REST interface keeps, on PostgreSQL as on SQLite."""

from __future__ import annotations

from pathlib import Path

from api.webhooks.deliverer import Deliverer, DeliveryRules
from tests.support.api_gateway import PAYMENT, QUOTE, FakeGateway, changed, open_api, problem


async def test_answers_quotes_keys_and_webhooks_are_kept_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    """A quote, a payment, its repeat and a webhook's queue work on PostgreSQL, and survive the process."""
    gateway = FakeGateway()
    async with open_api(tmp_path, gateway, url=postgres_url) as api:
        quote = (await api.post("/v1/quotes", QUOTE)).json()
        hook = (await api.post("/v1/webhooks", {"url": "https://shop.example/hook"})).json()
        first = await api.post("/v1/payments", PAYMENT)
        shared = api.client.headers["Authorization"]
    async with open_api(tmp_path, gateway, url=postgres_url) as again:
        again.client.headers["Authorization"] = shared
        assert (await again.client.get(f"/v1/quotes/{quote['id']}")).json() == quote
        assert (await again.post("/v1/payments", PAYMENT)).content == first.content
        problem(await again.post("/v1/payments", changed("purpose", "SALA")), 422, "key-reused")
        desk = again.app.state.desk
        deliverer = Deliverer(gateway, again.database, desk.signing, DeliveryRules())
        await deliverer._queue()
        log = (await again.client.get(f"/v1/webhooks/{hook['id']}/deliveries")).json()["deliveries"]
        assert [one["state"] for one in log] == ["waiting"]
    assert len(gateway.begun) == 1
