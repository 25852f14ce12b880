"""Settling what packets have made us owe: thresholds, the settlement engines' API (RFC 38), and engines of our own."""
