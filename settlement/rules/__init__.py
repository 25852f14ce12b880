"""The validator: rules as data, evaluated before anything enters a ledger, each decision explained and kept."""
