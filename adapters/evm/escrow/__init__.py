"""The Escrow on an EVM chain: its calls, its events as verified facts, and the words that give a lock back early."""
