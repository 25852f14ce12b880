"""The Lockbox on an EVM origin chain: its calls, its events as verified facts, and the messages that release coins."""
