"""The connector's side of RFC 38: engines report what they received, and send messages to their peers."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from aiohttp import web

from settlement.connector.settle.messages import EngineMessages, MessageRefused
from settlement.connector.settle.rfc38 import OtherSideFailed
from settlement.connector.settle.settler import Settler
from settlement.connector.settle.web import answered, application, bearer, message_of, settled, settlement_of

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def accounting_api(
    settler: Settler, messages: EngineMessages, token: str = "", tokens: Mapping[str, str] = _NONE
) -> web.Application:
    """The application to serve to our own engines, and to nobody else: whoever reaches it can raise balances.

    Args:
        settler: credits settlements.
        messages: carries messages to peers.
        token: the bearer token that engines show; empty where the address alone protects it (loopback).
        tokens: by account, what the engine of that account shows; none for those that the address alone protects.
    """

    def check(request: web.Request) -> None:
        wanted = tokens.get(request.match_info["account"], "").encode()
        if wanted and not hmac.compare_digest(bearer(request), wanted):
            raise web.HTTPUnauthorized(reason="the bearer token is not that of this account's engine")

    async def settlements(request: web.Request) -> web.Response:
        check(request)
        account, quantity, key = await settlement_of(request)
        return settled((await settler.receive(account, quantity, key)).quantity)

    async def outgoing_message(request: web.Request) -> web.Response:
        check(request)
        account, message = await message_of(request)
        try:
            return answered(await messages.send(account, message))
        except MessageRefused as error:
            raise OtherSideFailed(f"message to {account}", 0, str(error)) from error

    app = application(token)
    app.router.add_post("/accounts/{account}/settlements", settlements)
    app.router.add_post("/accounts/{account}/messages", outgoing_message)
    return app
