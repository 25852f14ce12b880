"""The native chain's contracts: Vyper sources in `src/`, their build and their artifacts. See docs/contracts.md."""
