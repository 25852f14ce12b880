"""Revisions of a book's tables."""
