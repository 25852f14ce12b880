"""A JSON-RPC client small enough for health checks and the faucet. The bridge's own clients are in `adapters`."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from infra.errors import NotReady, RpcRefused

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class JsonRpc:
    """One endpoint. Fields: name (for messages); url (http, without credentials); user; password; timeout_seconds."""

    name: str
    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    timeout_seconds: float = 30

    async def call(self, method: str, *params: Json, path: str = "/") -> Json:
        """Call `method`.

        Raises:
            NotReady: no answer, or one that is not JSON.
            RpcRefused: the node answered with an error.
        """
        return await asyncio.to_thread(self.call_blocking, method, *params, path=path)

    def call_blocking(self, method: str, *params: Json, path: str = "/") -> Json:
        """As `call`, for code without an event loop."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        headers = {"Content-Type": "application/json"}
        if self.user:
            credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            headers["Authorization"] = f"Basic {credentials}"
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=self.timeout_seconds)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            content = response.read()
            answer = json.loads(content)
        except (OSError, http.client.HTTPException) as error:
            raise NotReady(self.name, f"{type(error).__name__}: {error}") from error
        except ValueError as error:
            raise NotReady(self.name, f"HTTP status {response.status}, no JSON") from error
        finally:
            connection.close()
        if not isinstance(answer, dict):
            raise NotReady(self.name, "the answer is not a JSON object")
        error_object = answer.get("error")
        if isinstance(error_object, dict):
            raise RpcRefused(method, int(error_object.get("code", 0)), str(error_object.get("message", "")))
        result: Json = answer.get("result")
        return result
