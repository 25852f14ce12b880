"""Identities: chains (CAIP-2), assets (CAIP-19), groups of storemen, and the ids of what moves between chains."""
