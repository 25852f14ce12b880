"""The OpenAPI document: checked in as it is generated, complete, and true of what is answered."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from api.app import document

CHECKED_IN = Path(__file__).parents[3] / "docs" / "openapi.json"


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_document_that_is_checked_in_is_the_generated_one() -> None:
    """docs/openapi.json is what `python -m api` writes."""
    assert json.loads(CHECKED_IN.read_text()) == document()


def test_each_post_asks_for_a_key_and_tells_of_its_errors() -> None:
    """Each POST has an Idempotency-Key that is required, and the responses 400, 401, 403, 409, 422, 429 and 503."""
    posts = [(path, operation) for path, method, operation in operations() if method == "post"]
    assert len(posts) == 7
    for path, operation in posts:
        (key,) = [one for one in operation["parameters"] if one["name"] == "Idempotency-Key"]
        assert key["required"], path
        assert {"400", "401", "403", "409", "422", "429", "503"} <= operation["responses"].keys(), path


def test_all_but_health_need_a_key() -> None:
    """No path but /health answers strangers."""
    assert [path for path, _, operation in operations() if not operation.get("security")] == ["/health"]


def test_generated_clients_have_names_to_call() -> None:
    """Each operation has a name of its own, as a verb and its object, under a tag that is explained."""
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    assert all(
        re.fullmatch(r"(create|get|list|cancel|approve|send|delete|rotate|follow)([A-Z][a-z]+)+", name)
        for name in names
    )
    explained = {tag["name"] for tag in document()["tags"]}
    assert {tag for _, _, operation in operations() for tag in operation["tags"]} == explained


def test_a_certificate_opens_what_a_key_opens() -> None:
    """Where a key is asked for, a client's certificate does as well."""
    for path, _, operation in operations():
        if operation.get("security"):
            assert operation["security"] == [{"apiKey": []}, {"clientCertificate": []}], path


def test_errors_are_problems() -> None:
    """Each error response is application/problem+json with the one form of errors."""
    for path, _, operation in operations():
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                schema = answer["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ProblemOut"}, (path, status)


def test_bodies_have_examples() -> None:
    """Bodies that are more than an empty object show one that works."""
    forms = document()["components"]["schemas"]
    for name in ("QuoteIn", "PaymentIn", "WebhookIn"):
        assert forms[name]["examples"], name
