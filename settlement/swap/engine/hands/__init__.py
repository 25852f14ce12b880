"""Who carries out orders: each function does one kind of order, once or again, and says what came of it."""
