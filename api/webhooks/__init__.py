"""Telling a bank's own systems what happens, by Standard Webhooks: signed, at least once, in order of their numbers."""
