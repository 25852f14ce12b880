"""A ledger on bitcoin: each hold is a Taproot output under a hash and a time-out, followed to its confirmations."""
