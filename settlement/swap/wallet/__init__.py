"""A trader's mnemonic, and everything that follows from it."""
