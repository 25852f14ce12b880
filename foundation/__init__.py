"""What every package may use: error roots, quantities and durable files. Imports nothing of ours."""
