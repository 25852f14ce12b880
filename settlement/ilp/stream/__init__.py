"""STREAM: money and data in both directions over ILP packets, encrypted end to end. Source: RFC 29 (draft 11)."""
