"""Measurements of speed, printed and written down; never part of the tests."""
