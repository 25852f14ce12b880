"""Channels.vy, which adjudicates channels between two banks: calls, proved events, errors, deployment."""
