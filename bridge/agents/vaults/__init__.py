"""The duties of storemen and vouchers that concern vaults on EVM chains."""
