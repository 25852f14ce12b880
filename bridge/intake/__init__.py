"""From the chains into the database: blocks and final events become steps of the state machines, a unit at a time."""
