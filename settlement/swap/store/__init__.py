"""What a trader's machine remembers of its swaps. All of it can be rebuilt from the mnemonic and the chains."""
