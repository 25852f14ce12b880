"""Quantities with types: integers in base units, never floats."""

from __future__ import annotations

from typing import NewType, TypeAlias

TokenUnits = NewType("TokenUnits", int)
"""Base units of an asset, and of its mapping token: one unit of the one is one unit of the other."""

Satoshi: TypeAlias = TokenUnits
"""Bitcoin's base unit: 1 BTC is 100,000,000 satoshi. States carry every asset, so it is no type of its own."""

SatPerKvB = NewType("SatPerKvB", int)
"""A bitcoin fee rate in satoshi per 1,000 virtual bytes (1,000 is 1 sat/vB)."""

Wei = NewType("Wei", int)
"""An EVM chain's base unit: 1 ether is 10**18 wei."""

BlockHeight = NewType("BlockHeight", int)
"""A block's distance from the genesis block, whose height is 0."""

UnixMs = NewType("UnixMs", int)
"""Milliseconds since 1970-01-01T00:00:00Z."""
