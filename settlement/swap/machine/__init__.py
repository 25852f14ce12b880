"""Each side of a swap as a pure state machine: facts about both chains and letters go in, orders come out."""
