"""The application: all paths, their errors, and the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api import problems
from api.answers import Answers
from api.desk import Desk
from api.guards import Guards
from api.ports import GatewayPort
from api.principals import Doorkeeper
from api.routes import events, iso20022, looking, payments, quotes, statements, system, webhooks
from api.settings import ApiSettings
from api.views import ProblemOut
from api.webhooks.signing import Signing
from foundation.database import Database

VERSION: Final = "1.0.0"
BODY_BYTES_MAX: Final = 262_144
_ROUTES: Final = (quotes, payments, looking, statements, iso20022, webhooks, events, system)
_USUAL: Final = ApiSettings()
_TAGS: Final[Mapping[str, str]] = {
    "quotes": "What a payment would cost.",
    "payments": "Begin payments, look at them, cancel and approve them.",
    "accounts": "This bank's accounts on its ledgers, and the rates of a clearing bank.",
    "statements": "What was booked, and receipts that anybody verifies offline.",
    "iso20022": "Payments as pacs.008, and their reports as pacs.002.",
    "webhooks": "Be told by signed requests (Standard Webhooks).",
    "events": "Be told by a stream (server-sent events).",
    "system": "For monitors.",
}
_ABOUT: Final = """\
Pay through a clearing bank, look at accounts, and be told what happens.

Amounts are decimal strings, never numbers. Each POST carries an `Idempotency-Key`: the same key and body get the same
answer, so that asking again is always safe. Errors are `application/problem+json` (RFC 9457). docs/rest.md explains all
of it with examples.
"""


def make_app(gateway: GatewayPort, database: Database, secret: bytes, settings: ApiSettings = _USUAL) -> FastAPI:
    """The application over a gateway.

    Args:
        gateway: what it acts on.
        database: where its own tables are (`api.tables.SCHEMA`).
        secret: 32 bytes of this party's, for what is kept of requests, and for webhooks' secrets.
        settings: the operator's.
    """
    app = _bare()
    desk = app.state.desk = Desk(
        gateway,
        database,
        Doorkeeper(database, gateway.now),
        Answers(database, secret, gateway.now),
        Signing(secret),
        settings.deliveries,
        settings.agents,
        secret,
    )
    app.add_middleware(Guards, body_bytes_max=BODY_BYTES_MAX, metrics=desk.metrics)
    return app


def document() -> dict[str, Any]:
    """The OpenAPI document."""
    return _document(_bare())


def _bare() -> FastAPI:
    """All paths and their errors, with nothing behind them."""
    app = FastAPI(
        title="Causeway settlement gateway",
        version=VERSION,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        openapi_tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
        generate_unique_id_function=_operation_id,
    )
    for router in (each.router for each in _ROUTES):
        app.include_router(router)
    problems.install(app)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def _operation_id(route: APIRoute) -> str:
    """What generated clients call an operation: `createQuote` for the function `create_quote`."""
    first, *others = route.name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _document(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document, with the form of errors that this interface has."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        forms = found.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            forms.pop(unused, None)
        forms[ProblemOut.__name__] = ProblemOut.model_json_schema()
        found["components"]["securitySchemes"]["clientCertificate"] = {
            "type": "mutualTLS",
            "description": "A certificate that the operator has registered",
        }
        for operation in (each for methods in found["paths"].values() for each in methods.values()):
            if operation.get("security"):
                operation["security"].append({"clientCertificate": []})
        app.openapi_schema = found
    return app.openapi_schema
