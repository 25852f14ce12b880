"""Any EVM chain: a node's RPC, following logs to the finalized block, fees, and sending from one account."""
