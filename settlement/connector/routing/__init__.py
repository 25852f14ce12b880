"""Which account a packet is forwarded to: static routes, the default route, and routes that peers announce (CCP)."""
