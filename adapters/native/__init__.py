"""The native chain's contracts (Registry, Bonds, Hub): typed reads, events, signed structures, calls, deployment."""
