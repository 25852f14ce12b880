"""A gateway's REST interface as commands use it: requests with an API key, and problems told as errors are."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Final, Self, TypeAlias

import aiohttp
import typer

from cli.context import read_text
from cli.exits import NotFound
from foundation.errors import BadInput, Fatal, Retryable

ApiOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--api", envvar="CAUSEWAY_API", metavar="URL", help="Where the gateway's REST interface is.", show_default=False
    ),
]
ApiKeyOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--key-file", envvar="CAUSEWAY_API_KEY_FILE", metavar="FILE", help="Holds the API key.", show_default=False
    ),
]
ApiCertificateOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        envvar="CAUSEWAY_API_CERTIFICATE",
        metavar="FILE",
        help="PEM file to trust instead of what the system trusts.",
        show_default=False,
    ),
]

_TIMEOUT_SECONDS: Final = 30.0
_URN: Final = "urn:causeway:problem:"
_AGAIN: Final = frozenset({408, 425, 429})
_SERVER_ERROR: Final = 500
_FIELDS: Final = frozenset({400, 413, 415, 422})


class GatewayRefused(Fatal):
    """The gateway says no, and the same request is refused again. Fields: problem (its name); detail; cure."""

    def __init__(self, problem: str, detail: str, cure: str = "") -> None:
        self.problem = problem
        self.detail = detail
        self.cure = cure
        super().__init__(f"the gateway refuses ({problem}): {detail}")


class GatewayUnavailable(Retryable):
    """The gateway did not answer, or cannot now. Fields: problem; cure."""

    def __init__(
        self, problem: str, cure: str = "try again; with --key the same request is never carried out twice"
    ) -> None:
        self.problem = problem
        self.cure = cure
        super().__init__(f"the gateway does not answer: {problem}")


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """How the interface is reached. Fields: url; key (secret); tls (None: what the system trusts)."""

    url: str
    key: str = field(repr=False)
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, url: str | None, key_file: Path | None, certificate: Path | None) -> ApiAccess:
        """From a command line. Raises `BadInput`."""
        if not url:
            raise BadInput("--api", "is missing", "such as http://127.0.0.1:8501; CAUSEWAY_API may name it")
        if not url.startswith(("http://", "https://")):
            raise BadInput("--api", f"{url[:80]!r} is no URL", "http://… on this machine, else https://…")
        if key_file is None:
            raise BadInput("--key-file", "is missing", "a file with an API key; CAUSEWAY_API_KEY_FILE may name it")
        key = read_text(key_file, "--key-file").strip()
        if not key.isascii() or not key.isprintable() or " " in key or "." not in key:
            raise BadInput("--key-file", f"{key_file} holds no API key", "one line: the key's id, a point, its secret")
        return cls(url.rstrip("/"), key, _tls(certificate))


class Api:
    """Requests to one gateway. Use as `async with`.

    All raise GatewayUnavailable where there is no answer, and what `_problem` makes of a problem.
    """

    def __init__(self, access: ApiAccess) -> None:
        self._access = access
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Ready to ask; connects at the first request."""
        tls = self._access.tls
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=True if tls is None else tls),
            headers={"Authorization": f"Bearer {self._access.key}"},
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        assert self._session is not None, "entered before"
        await self._session.close()

    async def get(self, path: str, params: Mapping[str, Any] | list[tuple[str, str]] | None = None) -> Any:
        """A document."""
        return await self._ask("GET", path, params=params)

    async def get_bytes(self, path: str) -> bytes:
        """A file, as it is."""
        status, raw = await self._send("GET", path)
        if status >= 400:
            raise _problem(status, raw)
        return raw

    async def post(self, path: str, body: Mapping[str, Any], key: str) -> Any:
        """Ask for something, once for each key."""
        return await self._ask("POST", path, json=body, headers={"Idempotency-Key": key})

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        status, raw = await self._send(method, path, **options)
        if status >= 400:
            raise _problem(status, raw)
        try:
            return json.loads(raw)
        except ValueError as error:
            raise GatewayRefused("answer", "it is no JSON", "is --api a gateway's REST interface?") from error

    async def _send(self, method: str, path: str, **options: Any) -> tuple[int, bytes]:
        assert self._session is not None, "used inside its block"
        try:
            async with self._session.request(
                method, self._access.url + path, allow_redirects=False, **options
            ) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise GatewayUnavailable(str(error) or type(error).__name__) from error


def _problem(status: int, raw: bytes) -> Exception:
    """What a problem of RFC 9457 is to a person at a command."""
    try:
        told = json.loads(raw)
    except ValueError:
        told = {}
    if not isinstance(told, dict):
        told = {}
    name = str(told.get("type", "")).removeprefix(_URN) or f"status {status}"
    detail, cure = str(told.get("detail", f"status {status}")), str(told.get("cure", ""))
    if status == 401:
        return BadInput("--key-file", detail, "a key that the gateway has given out and not taken back")
    if status == 404:
        return NotFound(detail, cure)
    if name == "in-flight" or status in _AGAIN or status >= _SERVER_ERROR:
        return GatewayUnavailable(detail)
    if status in _FIELDS and name in ("invalid", "bad-request", "key-malformed"):
        return BadInput(str(told.get("field", "request")), detail, cure)
    return GatewayRefused(name, detail, cure)


def _tls(certificate: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(certificate))
    except (OSError, ssl.SSLError) as error:
        raise BadInput("--certificate", f"{certificate} cannot be used", "name a PEM file") from error
