"""The REST interface under fire: what schemathesis makes of the OpenAPI document, against a real server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from uvicorn import Config, Server

from api.app import document
from tests.support.api_gateway import CUSTOMER, FakeGateway, open_api

pytestmark = [pytest.mark.integration, pytest.mark.slow]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
STREAMS = "/v1/events"


class Served:
    """The interface on a loop of its own. Fields: url; headers (of a principal that may do everything)."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self.headers: dict[str, str] = {}
        self._ready = threading.Event()
        self._end: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(folder)), daemon=True)

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._loop is not None
        assert self._end is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)

    async def _run(self, folder: Path) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with AsyncExitStack() as stack:
            api = await stack.enter_async_context(open_api(folder, FakeGateway()))
            self.headers = {"Authorization": api.client.headers["Authorization"]}
            server = Server(Config(api.app, port=0, lifespan="off", log_level="critical"))
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            self.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            self._ready.set()
            await self._end.wait()
            server.should_exit = True
            await serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("fuzzed")) as running:
        yield running


def operations() -> list[Any]:
    schema = schemathesis.openapi.from_dict(document())
    return [found for result in schema.get_all_operations() if (found := result.ok()).path != STREAMS]


@pytest.mark.parametrize(
    ("operation", "mode"),
    [
        pytest.param(operation, mode, id=f"{operation.label}-{mode.value}")
        for operation in operations()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        if operation.path != "/health" or mode is GenerationMode.POSITIVE  # it has nothing that could be wrong
    ],
)
def test_nothing_that_is_sent_makes_it_fail(served: Served, operation: Any, mode: GenerationMode) -> None:
    """Whatever is sent, valid or not, the answer is one that the document declares, and never a 5xx."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=30,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    def fuzz(case: Any) -> None:
        answer = case.call(base_url=served.url, headers=served.headers, timeout=20)
        case.validate_response(answer, checks=CHECKS)

    fuzz()


def test_bodies_that_are_right_go_through(served: Served) -> None:
    """The document's own example of a payment is accepted, so that the fuzzing does not stop at the door."""
    example = document()["components"]["schemas"]["PaymentIn"]["examples"][1]
    assert example["debtor"]["account"] == CUSTOMER
    schema = schemathesis.openapi.from_dict(document())
    case = schema["/v1/payments"]["POST"].Case(
        body=example, headers={"Idempotency-Key": "right"}, media_type="application/json"
    )
    answer = case.call(base_url=served.url, headers=served.headers)
    assert answer.status_code == 202, answer.text
