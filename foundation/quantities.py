"""Quantities with types: integers in base units, never floats."""

from __future__ import annotations

from typing import NewType

Satoshi = NewType("Satoshi", int)
"""Bitcoin's base unit: 1 BTC is 100,000,000 satoshi."""

SatPerKvB = NewType("SatPerKvB", int)
"""A bitcoin fee rate in satoshi per 1,000 virtual bytes (1,000 is 1 sat/vB)."""

Wei = NewType("Wei", int)
"""An EVM chain's base unit: 1 ether is 10**18 wei."""

TokenUnits = NewType("TokenUnits", int)
"""Base units of a mapping token; for bitcoin one unit is one satoshi."""

BlockHeight = NewType("BlockHeight", int)
"""A block's distance from the genesis block, whose height is 0."""

UnixMs = NewType("UnixMs", int)
"""Milliseconds since 1970-01-01T00:00:00Z."""
