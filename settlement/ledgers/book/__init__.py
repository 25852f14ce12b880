"""A SQL double-entry ledger with holds, and its REST service: good enough to stand for a bank's core or an RTGS."""
