"""Atomic swaps between bitcoin and an EVM chain: two strangers trade, and nobody who follows the protocol loses."""
