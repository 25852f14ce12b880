"""The storeman's duties. The coordinator of the slot proposes; every storeman checks; all of them broadcast."""
