"""Ledgers on which money can be held under a hash and a time-out: one protocol, three implementations."""
