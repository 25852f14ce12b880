"""A whole development network on this machine: `causeway dev`, and `DevNetwork` for the demo and for tests."""
