"""When each step of a swap is still safe: time-outs and gates from block times, confirmations and fees."""
