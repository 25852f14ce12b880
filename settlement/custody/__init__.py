"""Custodial payments: the thirteen steps by which two banks pay each other through a clearing bank."""
