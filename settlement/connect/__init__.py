"""What two banks tell each other before money moves, sealed, signed and bound to one payment."""
