"""The documentation as one page without scripts, made from the OpenAPI document."""

from __future__ import annotations

import json
from html import escape
from typing import Any, Final

_STYLE: Final = (
    "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "code,pre{font-family:monospace;background:#f3f3f3}pre{padding:.6em;overflow:auto}"
    "h2{border-top:1px solid #ccc;padding-top:1em;margin-top:2em}table{border-collapse:collapse}"
    "td,th{text-align:left;padding:.1em 1em .1em 0;vertical-align:top}"
)


def page(document: dict[str, Any]) -> str:
    """HTML."""
    info = document["info"]
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}</title>',
        f"<style>{_STYLE}</style><h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{escape(info['description'])}</p>",
        '<p>The same for programs: <a href="/openapi.json">openapi.json</a></p>',
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(_operation(path, method, operation, document))
    return "\n".join(parts)


def _operation(path: str, method: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    rows = [
        f"<tr><td><code>{escape(one['name'])}</code><td>{escape(one['in'])}"
        f"<td>{'needed' if one.get('required') else ''}<td>{escape(one.get('description', ''))}"
        for one in operation.get("parameters", ())
    ]
    answers = [
        f"<tr><td>{escape(status)}<td>{escape(answer['description'])}"
        for status, answer in operation["responses"].items()
    ]
    return (
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('description', ''))}</p>"
        f"<table>{''.join(rows)}</table>{_example(operation, document)}<table>{''.join(answers)}</table>"
    )


def _example(operation: dict[str, Any], document: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    examples = document["components"]["schemas"].get(name, {}).get("examples", ())
    return "".join(f"<pre>{escape(json.dumps(one, indent=2))}</pre>" for one in examples)
