"""The settlement gateway: Interledger packets, the connector, ledgers with holds, and what surrounds a payment."""
