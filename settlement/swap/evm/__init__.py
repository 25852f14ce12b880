"""The EVM leg of a swap: its lock, the memo beside it, what the chain tells of it, and how it is found again."""
