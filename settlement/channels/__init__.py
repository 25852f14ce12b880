"""Bilateral channels: balances that two banks sign between them and settle on a ledger later."""
