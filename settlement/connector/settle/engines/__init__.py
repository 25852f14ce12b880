"""Settlement engines of our own (RFC 38): services that pay and watch for a connector, on EVM chains, Bitcoin, ledgers.

Any connector that speaks RFC 38 can use them, and each of them serves many accounts.
"""
