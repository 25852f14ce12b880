"""Where rates come from. A rate that has expired is never used: what cannot be priced is refused."""
