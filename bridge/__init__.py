"""The bridge: deposits and withdrawals as pure state machines, the signing policy, and the agents that run them."""
