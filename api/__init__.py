"""The REST gateway: how a bank's own systems pay, look and are told, over HTTP."""
