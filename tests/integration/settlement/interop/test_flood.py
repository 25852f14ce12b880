"""One peer floods: what another peer's packets meet, counted in packets and bytes and not in time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infra.ports import free_port
from settlement.connector.config import parse_config
from settlement.connector.runtime import Connector, wall_clock
from settlement.ilp.btp import BtpClient, BtpLimits, BtpLink, parse_endpoint
from settlement.ilp.errors import Code
from settlement.ilp.link import Reply
from settlement.ilp.packets import Fulfill, decode_reply, encode
from tests.support.connector import fulfilment, make_prepare
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.integration

LIMIT = 100
FLOOD = 10 * LIMIT
SEED = 7


@dataclass
class Town:
    """A connector with a victim, a flooder and a shop, over real sockets. Fields: order (whose packet was answered, one
    after the other); answers (of the flooder, by code; empty for a Fulfill).
    """

    connector: Connector
    links: dict[str, BtpLink]
    order: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)

    def send(self, who: str) -> asyncio.Future[str]:
        """A packet to the shop; its future has the code of its Reject, or is empty."""
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def answered(raw: bytes) -> None:
            reply = decode_reply(raw)
            code = "" if isinstance(reply, Fulfill) else reply.code
            self.order.append(who)
            if who == "mallory":
                self.answers[code] += 1
            done.set_result(code)

        packet = make_prepare(1, "test.hub.shop.till", seed=SEED, expires_at=wall_clock() + 20_000, data=bytes(200))
        self.links[who].send(encode(packet), answered)
        return done


def sell(account: str, prepare: bytes, reply: Reply) -> None:
    """A shop that fulfils everything."""
    reply(encode(fulfilment(SEED)))


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    port = free_port()
    accounts: list[dict[str, Any]] = [
        {"id": name, "asset": "EUR", "scale": 2, "relation": "child", "floor": "none", "btp": {"token": f"of-{name}"}}
        for name in ("victim", "mallory", "shop")
    ]
    accounts[1] |= {"packets_per_second": LIMIT, "burst": LIMIT}
    content = {
        "connector": {"address": "test.hub", "database": "sqlite:///hub.db"},
        "listen": {"btp": f"127.0.0.1:{port}"},
        "accounts": accounts,
    }
    async with AsyncExitStack() as stack:
        connector = await stack.enter_async_context(await Connector.start(parse_config(content, tmp_path)))
        links = {}
        for name in ("victim", "mallory", "shop"):
            links[name] = link = BtpLink(name, sell, BtpLimits())
            await stack.enter_async_context(BtpClient(link, parse_endpoint(f"ws://127.0.0.1:{port}/", f"of-{name}")))
            await link.wait_up()
        yield Town(connector, links)


async def test_flood_above_a_limit_moves_nothing_and_another_peer_is_served(town: Town) -> None:
    """Of ten times the limit one burst passes and the rest is refused with T05; the other peer's packets all pass."""
    flood = [town.send("mallory") for _ in range(FLOOD)]
    mine = [town.send("victim") for _ in range(50)]
    async with asyncio.timeout(PATIENCE_S):
        assert set(await asyncio.gather(*mine)) == {""}
        await asyncio.gather(*flood)
    accounts = town.connector.accounts
    # The clock goes on while the burst passes, which refills some.
    assert LIMIT <= accounts["mallory"].fulfilled <= 2 * LIMIT
    assert town.answers == {"": accounts["mallory"].fulfilled, Code.RATE_LIMITED: accounts["mallory"].refused["T05"]}
    assert accounts["victim"].fulfilled == 50
    moved = accounts["mallory"].fulfilled + 50
    assert await town.connector.balances.balance("shop") == moved
    assert len(town.connector.pipeline.timers) == 0, "what is refused leaves nothing behind"


async def test_packet_does_not_wait_for_a_flood_that_came_before_it(town: Town) -> None:
    """A packet that comes behind a large backlog of another peer is answered before nine tenths of that backlog."""
    backlog = 8 * FLOOD
    flood = [town.send("mallory") for _ in range(backlog)]
    mine = town.send("victim")
    async with asyncio.timeout(PATIENCE_S):
        assert await mine == ""
        before = len(town.order) - 1
        await asyncio.gather(*flood)
    assert before <= backlog // 10, f"{before} of {backlog} came first"
