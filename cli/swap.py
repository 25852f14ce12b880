"""`causeway swap`: trade bitcoin for an EVM chain's coin or tokens, so that nobody can run away with both."""

from __future__ import annotations

from importlib import import_module

from cli.swap_app import app

__all__ = ["app"]

# Each adds its commands, in the order in which the help shows them.
for part in ("begin", "trade", "state", "safety"):
    import_module(f"cli.swap_{part}")
