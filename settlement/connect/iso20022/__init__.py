"""ISO 20022 messages: credit transfers (pacs.008), their status (pacs.002) and account statements (camt.053)."""
