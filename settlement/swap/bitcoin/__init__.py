"""A swap's bitcoin leg: its output, the transactions around it, the trader's wallet, and what the chain says of it.

- `output`: the Taproot output of both modes, and how each of its spends is read.
- `cosign`: both sides sign a key-path spend together (cooperative claim or refund).
- `rungs`: point mode's claims, pre-signed at a few fees before any money moves.
- `fees`, `desk`: what a claim or refund bids, and its replacements; the watchtower's ladder of refunds.
- `wallet`: the trader's own node: coins set aside, the funding transaction, its bumps.
- `watch`, `sightings`: outputs and spends as blocks and the mempool show them, reorganisations included.
"""
