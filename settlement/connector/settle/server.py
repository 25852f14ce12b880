"""The connector's side of RFC 38: engines report what they received, and send messages to their peers."""

from __future__ import annotations

from aiohttp import web

from settlement.connector.settle.messages import EngineMessages, MessageRefused
from settlement.connector.settle.rfc38 import OtherSideFailed
from settlement.connector.settle.settler import Settler
from settlement.connector.settle.web import answered, application, message_of, settled, settlement_of


def accounting_api(settler: Settler, messages: EngineMessages, token: str = "") -> web.Application:
    """The application to serve to our own engines, and to nobody else: whoever reaches it can raise balances.

    Args:
        settler: credits settlements.
        messages: carries messages to peers.
        token: the bearer token that engines show; empty where the address alone protects it (loopback).
    """

    async def settlements(request: web.Request) -> web.Response:
        account, quantity, key = await settlement_of(request)
        return settled((await settler.receive(account, quantity, key)).quantity)

    async def outgoing_message(request: web.Request) -> web.Response:
        account, message = await message_of(request)
        try:
            return answered(await messages.send(account, message))
        except MessageRefused as error:
            raise OtherSideFailed(f"message to {account}", 0, str(error)) from error

    app = application(token)
    app.router.add_post("/accounts/{account}/settlements", settlements)
    app.router.add_post("/accounts/{account}/messages", outgoing_message)
    return app
