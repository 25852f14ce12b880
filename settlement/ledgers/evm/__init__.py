"""A ledger on an EVM chain: one asset, held in an Escrow, followed with proofs to the chain's finality."""
