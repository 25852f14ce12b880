"""Signatures of several parties on one text, as one BLS aggregate."""
