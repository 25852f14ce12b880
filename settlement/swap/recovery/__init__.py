"""Finding swaps again where nothing is left but a mnemonic."""
