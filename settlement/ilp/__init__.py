"""Interledger: packets and their codecs, STREAM, SPSP, and the two ways to carry packets."""
