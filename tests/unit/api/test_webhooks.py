"""Webhooks: signed, at least once, never into a private network."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks import Webhook, WebhookVerificationError

from api.settings import ApiSettings
from api.webhooks.deliverer import Deliverer, DeliveryRules
from api.webhooks.guard import PublicResolver, check_url, is_public
from api.webhooks.signing import Signing
from foundation.database import Moment
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from tests.support.api_gateway import PAYMENT, SECRET, Api, Crashing, FakeGateway, open_api, problem
from tests.support.patience import PATIENCE_S

RULES = DeliveryRules(pauses_ms=(1, 1, 1), timeout_seconds=5, allow_private=True)


class Now(FakeGateway):
    """A fake whose clock is the wall's: receivers check how old a message is."""

    def now(self) -> UnixMs:
        return UnixMs(time.time_ns() // 1_000_000)


class Receiver:
    """A bank's own system. `statuses`: what it answers, the last one for ever."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses) or [204]
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.came = asyncio.Condition()
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        async with self.came:
            self.got.append(({name.lower(): text for name, text in request.headers.items()}, await request.read()))
            self.came.notify_all()
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        headers = {"Location": "http://127.0.0.1:1/"} if status == 302 else {}
        return web.Response(status=status, headers=headers)

    async def until(self, count: int) -> None:
        """Wait until so many have come."""
        async with asyncio.timeout(PATIENCE_S), self.came:
            await self.came.wait_for(lambda: len(self.got) >= count)


class Shop:
    """The interface with a deliverer, and a receiver that is registered."""

    def __init__(self, api: Api, receiver: Receiver, hook: dict[str, Any]) -> None:
        self.api = api
        self.receiver = receiver
        self.hook = hook

    async def log(self) -> list[dict[str, Any]]:
        found = (await self.api.client.get(f"/v1/webhooks/{self.hook['id']}/deliveries")).json()
        deliveries: list[dict[str, Any]] = found["deliveries"]
        return deliveries

    async def settled(self) -> list[dict[str, Any]]:
        """The log, once nothing waits."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                log = await self.log()
                if log and all(one["state"] != "waiting" for one in log):
                    return log
                await asyncio.sleep(0.01)


async def shop(stack: AsyncExitStack, folder: Path, *statuses: int, events: tuple[str, ...] = ()) -> Shop:
    receiver = await stack.enter_async_context(Receiver(*statuses))
    api = await stack.enter_async_context(open_api(folder, Now(), ApiSettings(deliveries=RULES)))
    desk = api.app.state.desk
    deliverer = await stack.enter_async_context(Deliverer(api.gateway, api.database, desk.signing, RULES))
    desk.woken = deliverer.wake
    made = await api.post("/v1/webhooks", {"url": receiver.url, "events": list(events)}, "hook")
    assert made.status_code == 201, made.text
    return Shop(api, receiver, made.json())


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def test_what_happens_comes_signed(stack: AsyncExitStack, tmp_path: Path) -> None:
    """A receiver verifies a message with the standard's own library and its secret, and learns which payment moved."""
    made = await shop(stack, tmp_path)
    payment = (await made.api.post("/v1/payments", PAYMENT)).json()
    await made.receiver.until(1)
    headers, body = made.receiver.got[0]
    told = Webhook(made.hook["secret"]).verify(body, headers)
    assert told["type"] == "payment.asking"
    assert told["data"]["payment_id"] == payment["id"]
    assert (await made.settled())[0]["state"] == "delivered"


async def test_a_forged_message_is_refused(stack: AsyncExitStack, tmp_path: Path) -> None:
    """Another body, id, time or secret does not verify."""
    made = await shop(stack, tmp_path)
    await made.api.post("/v1/payments", PAYMENT)
    await made.receiver.until(1)
    headers, body = made.receiver.got[0]
    mine = Webhook(made.hook["secret"])
    forged = [
        (headers, body.replace(b"asking", b"closed")),
        ({**headers, "webhook-id": "another"}, body),
        ({**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)}, body),
        ({**headers, "webhook-signature": "v1," + "A" * 43 + "="}, body),
    ]
    for changed_headers, changed_body in forged:
        with pytest.raises(WebhookVerificationError):
            mine.verify(changed_body, changed_headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 43 + "=").verify(body, headers)


async def test_a_message_is_repeated_until_it_is_taken(stack: AsyncExitStack, tmp_path: Path) -> None:
    """A receiver that fails twice gets the same message again, under the same id and the same bytes."""
    made = await shop(stack, tmp_path, 500, 302, 204)
    await made.api.post("/v1/payments", PAYMENT)
    await made.receiver.until(3)
    assert len({(headers["webhook-id"], body) for headers, body in made.receiver.got}) == 1
    (delivery,) = await made.settled()
    assert (delivery["state"], delivery["attempts"], delivery["status"]) == ("delivered", 3, 204)


async def test_a_message_that_nobody_takes_is_given_up(stack: AsyncExitStack, tmp_path: Path) -> None:
    """After the last attempt a message is given up, and the log says so."""
    made = await shop(stack, tmp_path, 500)
    await made.api.post("/v1/payments", PAYMENT)
    (delivery,) = await made.settled()
    assert (delivery["state"], delivery["attempts"]) == ("given_up", 4)


async def test_a_receiver_that_is_gone_is_told_nothing_more(stack: AsyncExitStack, tmp_path: Path) -> None:
    """410 disables a webhook."""
    made = await shop(stack, tmp_path, 410)
    await made.api.post("/v1/payments", PAYMENT)
    await made.settled()
    await made.api.post("/v1/payments", PAYMENT, "k2")
    hook = (await made.api.client.get(f"/v1/webhooks/{made.hook['id']}")).json()
    assert hook["state"] == "disabled"
    assert len(made.receiver.got) == 1


async def test_what_waits_for_a_receiver_that_is_gone_is_given_up(tmp_path: Path) -> None:
    """410 ends also what was queued before it came."""
    async with Receiver(410) as receiver, open_api(tmp_path, Now(), ApiSettings(deliveries=RULES)) as api:
        hook = (await api.post("/v1/webhooks", {"url": receiver.url})).json()
        number = bytes.fromhex((await api.post("/v1/payments", PAYMENT)).json()["id"])
        api.gateway.happen(number, "pricing")
        deliverer = Deliverer(api.gateway, api.database, api.app.state.desk.signing, RULES)
        await deliverer._queue()
        async with aiohttp.ClientSession() as session:
            await deliverer._send(session)
        log = (await api.client.get(f"/v1/webhooks/{hook['id']}/deliveries")).json()["deliveries"]
        assert [one["state"] for one in log] == ["given_up", "given_up"]
        assert len(receiver.got) == 1


async def test_events_that_are_not_wanted_do_not_come(stack: AsyncExitStack, tmp_path: Path) -> None:
    """A webhook that names types gets those alone, in order."""
    made = await shop(stack, tmp_path, events=("payment.closed",))
    number = bytes.fromhex((await made.api.post("/v1/payments", PAYMENT)).json()["id"])
    for stage in ("held", "paid", "closed"):
        made.api.gateway.happen(number, stage)
    await made.receiver.until(1)
    assert [json.loads(body)["type"] for _, body in made.receiver.got] == ["payment.closed"]


async def test_a_receiver_that_is_down_is_not_asked_for_each_event(tmp_path: Path) -> None:
    """When one message is not taken, the others of that webhook wait too."""
    slow = DeliveryRules(pauses_ms=(3_600_000,), timeout_seconds=5, allow_private=True)
    async with Receiver(500) as receiver, open_api(tmp_path, Now(), ApiSettings(deliveries=slow)) as api:
        hook = (await api.post("/v1/webhooks", {"url": receiver.url})).json()
        number = bytes.fromhex((await api.post("/v1/payments", PAYMENT)).json()["id"])
        api.gateway.happen(number, "pricing")
        deliverer = Deliverer(api.gateway, api.database, api.app.state.desk.signing, slow)
        await deliverer._queue()
        async with aiohttp.ClientSession() as session:
            assert await deliverer._send(session)
            assert not await deliverer._send(session)
        log = (await api.client.get(f"/v1/webhooks/{hook['id']}/deliveries")).json()["deliveries"]
        assert [one["attempts"] for one in log] == [0, 1]
        assert len(receiver.got) == 1


async def test_what_was_queued_survives_the_process(stack: AsyncExitStack, tmp_path: Path) -> None:
    """Events that happened while nothing delivered are sent by the next process."""
    receiver = await stack.enter_async_context(Receiver())
    gateway = Now()
    async with open_api(tmp_path, gateway, ApiSettings(deliveries=RULES)) as first:
        hook = (await first.post("/v1/webhooks", {"url": receiver.url})).json()
        await first.post("/v1/payments", PAYMENT)
    async with open_api(tmp_path, gateway) as second:
        signing = second.app.state.desk.signing
        async with Deliverer(gateway, second.database, signing, RULES):
            await receiver.until(1)
    headers, body = receiver.got[0]
    assert Webhook(hook["secret"]).verify(body, headers)["type"] == "payment.asking"


async def test_after_a_rotation_both_secrets_verify(stack: AsyncExitStack, tmp_path: Path) -> None:
    """For a day the old secret still verifies what comes, and the new one does at once."""
    made = await shop(stack, tmp_path)
    rotated = (await made.api.post(f"/v1/webhooks/{made.hook['id']}/secret", {})).json()
    assert rotated["secret"] != made.hook["secret"]
    await made.api.post("/v1/payments", PAYMENT)
    await made.receiver.until(1)
    headers, body = made.receiver.got[0]
    for secret in (made.hook["secret"], rotated["secret"]):
        assert Webhook(secret).verify(body, headers)


async def test_a_webhook_is_its_principals_own(stack: AsyncExitStack, tmp_path: Path) -> None:
    """Nobody else sees, rotates or deletes a webhook; its owner deletes it, and it is gone."""
    made = await shop(stack, tmp_path)
    path, other = f"/v1/webhooks/{made.hook['id']}", await made.api.key("other")
    problem(await made.api.client.get(path, headers=other), 404, "not-found")
    problem(await made.api.post(f"{path}/secret", {}, **other), 404, "not-found")
    problem(await made.api.client.delete(path, headers=other), 404, "not-found")
    assert (await made.api.client.delete(path)).status_code == 204
    problem(await made.api.client.get(path), 404, "not-found")


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fd00::1]/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://user:password@shop.example/",
        "https:///path",
        "https://shop.example:0/",
        "https://shop.example:99999/",
        "ftp://shop.example/",
        "file:///etc/passwd",
        "https://shop.example/a b",
        "https://[bad/",
    ],
)
def test_an_address_that_is_not_public_is_refused(url: str) -> None:
    """Webhooks go to https URLs of the public Internet, and nowhere else."""
    with pytest.raises(BadInput):
        check_url(url)


async def test_a_name_that_leads_inside_is_not_connected_to() -> None:
    """A public name that resolves to a private address, alone or among public ones, is refused when it is looked up."""

    class Rebinding(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            shared = {"hostname": host, "port": port, "family": family, "proto": 0, "flags": 0}
            return [ResolveResult(host=one, **shared) for one in ("93.184.216.34", "127.0.0.1")]  # type: ignore[typeddict-item]

        async def close(self) -> None:
            pass

    with pytest.raises(OSError, match="private"):
        await PublicResolver(Rebinding()).resolve("shop.example", 443)


def test_public_addresses_are_public() -> None:
    """The guard lets the Internet through."""
    assert is_public(ip_address("93.184.216.34"))
    assert is_public(ip_address("2606:2800:220:1:248:1893:25c8:1946"))


def test_secrets_are_another_for_each_webhook(tmp_path: Path) -> None:
    """Two webhooks, or two generations, share no secret, and another gateway has others."""
    made = [Signing(SECRET).secret("a", 0), Signing(SECRET).secret("a", 1), Signing(SECRET).secret("b", 0)]
    assert len({*made, Signing(bytes(32)).secret("a", 0)}) == 4


async def test_a_rotation_that_a_crash_interrupted_is_one_rotation(stack: AsyncExitStack, tmp_path: Path) -> None:
    """A rotation whose answer was lost in a crash is not done again by the repeat: the old secret still verifies."""
    made = await shop(stack, tmp_path)
    path, crashing = f"/v1/webhooks/{made.hook['id']}/secret", Crashing(3, Moment.BEFORE)
    made.api.database._commit_hook = crashing
    await made.api.post(path, {}, "rotate")
    assert crashing.has_crashed
    rotated = (await made.api.post(path, {}, "rotate")).json()
    await made.api.post("/v1/payments", PAYMENT)
    await made.receiver.until(1)
    headers, body = made.receiver.got[0]
    for secret in (made.hook["secret"], rotated["secret"]):
        assert Webhook(secret).verify(body, headers)
