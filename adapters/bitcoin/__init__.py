"""Bitcoin: a node's RPC, following and scanning blocks, Taproot scripts, building and checking transactions, fees."""
