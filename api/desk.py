"""What all paths of the REST interface share: the gateway, who asks, and the answers to repeated requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, cast

from fastapi import Depends, Header, Request, Response, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from api.answers import Answer, Answers, Asked, note_act, parse_key
from api.metrics import Metrics
from api.ports import GatewayPort
from api.principals import Doorkeeper, Principal, Scope
from api.problems import Problem
from api.views import ProblemOut
from api.webhooks.deliverer import DeliveryRules
from api.webhooks.signing import Signing
from foundation.database import Database

_BEARER: Final = HTTPBearer(
    auto_error=False, scheme_name="apiKey", description="`Authorization: Bearer <key id>.<secret>`, or a certificate"
)
CERTIFICATE: Final = "client_certificate"
"""Where the server puts the SHA-256 of the client's certificate: in the request's state."""


@dataclass(slots=True)
class Desk:
    """See the module. Fields: secret (of this party's, for what is kept sealed); woken (webhooks have changed); closing
    (the server ends); streams (that are open)."""

    gateway: GatewayPort
    database: Database
    doors: Doorkeeper
    answers: Answers
    signing: Signing
    deliveries: DeliveryRules
    agents: Mapping[str, str]
    secret: bytes = field(repr=False)
    metrics: Metrics = field(default_factory=Metrics)
    woken: Callable[[], None] = lambda: None
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    streams: int = 0

    async def note(self, principal: Principal, request: Request, status: int, payment_id: bytes | None = None) -> None:
        """Record an act that is no POST."""
        async with self.database.unit() as unit:
            made = Answer(status, b"", {}, payment_id)
            await note_act(unit.connection, principal, request.method, request.url.path, made, self.gateway.now())
            await unit.commit()


def desk_of(request: Request) -> Desk:
    """The desk of this application."""
    return cast(Desk, request.app.state.desk)


async def principal_of(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]
) -> Principal:
    """Who asks: by an API key, or by a certificate that TLS has checked.

    Raises:
        Problem: nobody that we know, or too often.
    """
    doors = desk_of(request).doors
    fingerprint = getattr(request.state, CERTIFICATE, None)
    found = None
    if credentials is not None:
        found = await doors.by_key(f"{credentials.scheme} {credentials.credentials}")
    elif fingerprint is not None:
        found = await doors.by_certificate(fingerprint)
    if found is None:
        raise Problem("unauthorized", "no good API key or certificate came with the request", "Authorization")
    request.state.principal = found.name
    if not doors.admits(found):
        raise Problem("too-many-requests", "more than your rate", cure="ask more slowly", headers={"Retry-After": "1"})
    return found


def allowed(scope: Scope) -> Callable[..., Awaitable[Principal]]:
    """A dependency: who asks, if they may."""

    async def check(principal: Annotated[Principal, Depends(principal_of)]) -> Principal:
        if scope not in principal.scopes:
            raise Problem("forbidden", f"this needs the scope {scope.value}", cure="ask the operator for it")
        return principal

    return check


KeyHeader = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        description="Makes a repeat the same request; kept for 24 hours. A fresh UUID is a good key.",
        examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
        max_length=600,
        min_length=1,
    ),
]


async def once(
    request: Request, principal: Principal, key: str, work: Callable[[Asked], Awaitable[Answer]]
) -> Response:
    """Carry out a POST once for its key, and answer the same again."""
    content = b"\0".join((request.url.query.encode(), await request.body()))
    answers = desk_of(request).answers
    asked = Asked(principal, request.method, request.url.path, parse_key(key), content, answers.salt)
    answer = await answers.once(asked, lambda: work(asked))
    return Response(answer.body, answer.status, answer.headers)


def json_answer(status: int, body: BaseModel, payment_id: bytes | None = None, location: str | None = None) -> Answer:
    """An answer in JSON."""
    headers = {"content-type": "application/json"}
    if location is not None:
        headers["location"] = location
    return Answer(status, body.model_dump_json().encode(), headers, payment_id)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of a path, for the OpenAPI document; what every path may answer is added."""
    texts = {
        400: "The request cannot be understood",
        401: "Nobody that we know is asking",
        403: "Not allowed",
        404: "There is no such thing",
        406: "There is no such representation",
        409: "It is being carried out, or too late",
        413: "Too large",
        415: "This form of content is not read here",
        422: "A field is not acceptable; nothing has moved",
        429: "Too many requests",
        503: "Something that is needed does not answer; nothing is lost, ask again with the same key",
    }
    content = {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{ProblemOut.__name__}"}}}
    return {
        status: {"description": texts[status], "content": content} for status in sorted({401, 403, 429, 503, *statuses})
    }


POSTED: Final = (400, 409, 413, 422)
"""What every POST may answer."""
