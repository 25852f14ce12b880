"""An RPC endpoint that passes on what a node answers, and lies where it is told to."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import ClientSession, web

from infra.ports import free_port

Lie = Callable[[str, Any], Any]
"""Makes another answer of a method's honest one. Raises `Refusing`: no answer."""


class Refusing(Exception):
    """The endpoint answers with an error. Fields: code; message; data (hexadecimal; None: none)."""

    def __init__(self, message: str, code: int = -32_000, data: str | None = None) -> None:
        self.code = code
        self.message = message
        self.data = data


class LyingEndpoint:
    """Stands before a node. Fields: url; lie (None: it is honest)."""

    def __init__(self, node: str, port: int) -> None:
        self._node = node
        self.url = f"http://127.0.0.1:{port}"
        self.lie: Lie | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def before(cls, node: str) -> AsyncIterator[LyingEndpoint]:
        """Serve, before the node at this URL."""
        port = free_port()
        endpoint = cls(node, port)
        application = web.Application()
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        async with ClientSession() as session:

            async def answer(request: web.Request) -> web.Response:
                body = await request.json()
                async with session.post(node, json=body) as response:
                    return web.json_response(endpoint._told(body, await response.json()))

            application.router.add_post("/", answer)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", port).start()
                yield endpoint
            finally:
                await runner.cleanup()

    def _told(self, asked: Any, answered: Any) -> Any:
        if isinstance(asked, list):
            methods = {request["id"]: request["method"] for request in asked}
            return [self._one(methods[each["id"]], each) for each in answered]
        return self._one(asked["method"], answered)

    def _one(self, method: str, answer: dict[str, Any]) -> dict[str, Any]:
        if self.lie is None or "result" not in answer:
            return answer
        try:
            return answer | {"result": self.lie(method, answer["result"])}
        except Refusing as error:
            told = {"code": error.code, "message": error.message} | ({"data": error.data} if error.data else {})
            return {name: value for name, value in answer.items() if name != "result"} | {"error": told}


def omits(contract: bytes) -> Lie:
    """Knows of nothing that the contract did."""
    address = "0x" + contract.hex()

    def lie(method: str, result: Any) -> Any:
        if method == "eth_getLogs":
            return [log for log in result if log["address"].lower() != address]
        if method == "eth_getBlockReceipts" and result:
            return [receipt | {"logs": _others(receipt["logs"], address)} for receipt in result]
        return result

    return lie


def forges(contract: bytes, amount: int, instead: int) -> Lie:
    """Tells another amount wherever the contract told this one."""
    address = "0x" + contract.hex()

    def forged(log: dict[str, Any]) -> dict[str, Any]:
        if log["address"].lower() != address:
            return log
        return log | {"data": log["data"].replace(f"{amount:064x}", f"{instead:064x}")}

    def lie(method: str, result: Any) -> Any:
        if method == "eth_getLogs":
            return [forged(log) for log in result]
        if method == "eth_getBlockReceipts" and result:
            return [receipt | {"logs": [forged(log) for log in receipt["logs"]]} for receipt in result]
        return result

    return lie


def _others(logs: list[dict[str, Any]], address: str) -> list[dict[str, Any]]:
    return [log for log in logs if log["address"].lower() != address]
