"""A trader's swaps at work: reads both chains and letters, steps the machines, and carries out what they order."""
