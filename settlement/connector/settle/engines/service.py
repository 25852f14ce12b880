"""A settlement engine's HTTP service (RFC 38, "Settlement Engine HTTP API")."""

from __future__ import annotations

import msgspec
from aiohttp import web

from foundation.errors import BadInput
from foundation.unreadable import UNREADABLE
from settlement.connector.settle.engines.engine import Engine
from settlement.connector.settle.web import answered, application, message_of, settled, settlement_of


class _NewAccount(msgspec.Struct):
    id: str


def engine_api(engine: Engine, token: str = "") -> web.Application:
    """The application to serve to our own connector, and to nobody else: whoever reaches it can have us pay.

    Args:
        engine: does the work.
        token: the bearer token that the connector shows; empty where the address alone protects it (loopback).
    """

    async def open_account(request: web.Request) -> web.Response:
        try:
            account = msgspec.json.decode(await request.read(), type=_NewAccount).id
        except UNREADABLE as error:
            raise BadInput("account", str(error), '{"id": "bank"}') from error
        await engine.open_account(account)
        return web.Response(status=201)

    async def close_account(request: web.Request) -> web.Response:
        await engine.close_account(request.match_info["account"])
        return web.Response(status=204)

    async def settle(request: web.Request) -> web.Response:
        account, quantity, key = await settlement_of(request)
        await engine.settle(account, quantity, key)
        return settled(quantity)

    async def message(request: web.Request) -> web.Response:
        account, content = await message_of(request)
        return answered(await engine.message(account, content))

    app = application(token)
    app.router.add_post("/accounts", open_account)
    app.router.add_delete("/accounts/{account}", close_account)
    app.router.add_post("/accounts/{account}/settlements", settle)
    app.router.add_post("/accounts/{account}/messages", message)
    return app
