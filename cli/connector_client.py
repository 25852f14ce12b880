"""How commands ask a running connector: its operators' REST service, found by its configuration or a URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias
from urllib.parse import quote, urlsplit

import typer

from cli.exits import NotFound
from foundation.errors import BadInput, Fatal, Retryable

if TYPE_CHECKING:
    import aiohttp

    from settlement.quantities import Asset

_SECONDS: Final = 10.0
_ANSWER_BYTES_MAX: Final = 64 << 20

ConnectorOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="CAUSEWAY_CONNECTOR",
        metavar="FILE",
        help="The running connector's configuration, which says where operators ask, and with what token.",
        show_default=False,
    ),
]
UrlOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="CAUSEWAY_CONNECTOR_URL",
        metavar="URL",
        help="Instead of --config: where the connector's listen.admin answers.",
        show_default=False,
    ),
]
TokenFileOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar="CAUSEWAY_CONNECTOR_TOKEN_FILE",
        metavar="FILE",
        help="With --url: holds the connector's admin_token.",
        show_default=False,
    ),
]


class ConnectorUnavailable(Retryable):
    """A connector's operators' service does not answer. Fields: url; problem; cure."""

    def __init__(self, url: str, problem: str) -> None:
        self.url = url
        self.problem = problem
        self.cure = "start it: causeway connector run --config FILE"
        super().__init__(f"the connector at {url} does not answer: {problem}")


class ConnectorRefused(Fatal):
    """A connector's operators' service refuses. Fields: url; status (HTTP); detail; cure."""

    def __init__(self, url: str, status: int, detail: str) -> None:
        self.url = url
        self.status = status
        self.detail = detail
        self.cure = "give the admin_token of this connector's configuration" if status == 401 else ""
        super().__init__(f"the connector at {url} says {status}: {detail}")


class Operator:
    """Asks one connector."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def get(self, *path: str, **query: str | int) -> Any:
        """What is at a path.

        Raises:
            ConnectorUnavailable: no answer.
            ConnectorRefused: an answer that is none.
            NotFound: there is no such thing.
        """
        import aiohttp

        url = "/".join((self._url, *(quote(part, safe="") for part in path)))
        try:
            async with self._http.get(url, params=query) as answer:
                body = await answer.content.read(_ANSWER_BYTES_MAX)
                while more := await answer.content.read(_ANSWER_BYTES_MAX):
                    body += more
                    if len(body) > _ANSWER_BYTES_MAX:
                        raise ConnectorRefused(self._url, answer.status, "the answer is too long")
                return _read(self._url, answer.status, body)
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as problem:  # noqa: UP041
            raise ConnectorUnavailable(self._url, str(problem) or "no answer in time") from problem


@asynccontextmanager
async def open_operator(config: Path | None, url: str | None, token_file: Path | None) -> AsyncIterator[Operator]:
    """An operator's connection to a running connector. Raises `BadInput`, `NotFound`."""
    import aiohttp

    found, token = _found(config, url, token_file)
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}, timeout=timeout) as http:
        yield Operator(http, found)


def shown_limit(asset: Asset, units: int | None) -> str:
    """A limit as a configuration writes it."""
    return "none" if units is None else asset.text(units)


def asset_of(document: dict[str, Any]) -> Asset:
    """The asset of an account's document."""
    from settlement.quantities import Asset, Scale

    return Asset(document["asset"]["code"], Scale(document["asset"]["scale"]))


def _found(config: Path | None, url: str | None, token_file: Path | None) -> tuple[str, str]:
    """Where to ask, and with what token."""
    from cli.context import read_text
    from settlement.connector.config import load_config

    if url is not None:
        if token_file is None:
            raise BadInput("--token-file", "is missing", "the file that holds the connector's admin_token")
        return _base(url), read_text(token_file, "--token-file").strip()
    if config is None:
        raise NotFound("no connector is named", "name its configuration with --config or CAUSEWAY_CONNECTOR")
    admin = load_config(config).admin
    if admin is None:
        cure = 'write listen.admin = "127.0.0.1:7780" and listen.admin_token_file = "admin.token", and start it anew'
        raise BadInput("listen.admin", f"missing in {config}: nobody answers operators", cure)
    if admin.listen.port == 0:
        raise BadInput("listen.admin", "its port is any free one", "write a port, or give --url")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(admin.listen.host, admin.listen.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{admin.listen.port}", admin.token


def _base(url: str) -> str:
    from settlement.ilp.btp.handshake import is_loopback

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput("--url", f"{url[:80]!r} is no URL", "such as http://127.0.0.1:7780")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise BadInput("--url", "would send the token without TLS to another machine", "use https, or a tunnel")
    return url.rstrip("/")


def _read(url: str, status: int, body: bytes) -> Any:
    import msgspec

    try:
        content = msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise ConnectorRefused(url, status, "no JSON: is it a connector's listen.admin?") from None
    if status == 200:
        return content
    detail = str(content.get("detail", "")) if isinstance(content, dict) else ""
    if status == 404:
        raise NotFound(detail or "there is no such thing", "causeway accounts lists the accounts")
    if status >= 500:
        raise ConnectorUnavailable(url, f"{status} {detail}")
    raise ConnectorRefused(url, status, detail)
