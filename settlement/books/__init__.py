"""The books: journals that sum to zero, the third entry, and what accountants and auditors ask of them."""
