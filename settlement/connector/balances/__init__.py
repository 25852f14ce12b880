"""Balances: checked in memory, durable before anybody is told, shared by several processes without asking each time."""
