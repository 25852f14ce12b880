"""The development network: finds, starts, watches and stops bitcoind, anvil, PostgreSQL and our own node processes.

Everything listens on loopback only, and dies with the process that started it unless it is told to outlive it.
"""
