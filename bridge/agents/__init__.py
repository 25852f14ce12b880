"""What a node does besides following the chains: duties, each derived from what is stored, each safe to repeat."""
