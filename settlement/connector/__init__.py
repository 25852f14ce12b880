"""The connector: forwards packets between accounts, at a rate, within limits, with balances that survive it."""
