"""eth-account's `Account`, without what its import does to the process.

One of its dependencies (py_ecc) raises Python's recursion limit from 1,000 to 100,000. At that depth the C parsers of
JSON overflow the stack: one deeply nested RPC answer would end the process with a segmentation fault, instead of with a
`RecursionError` that is caught. So everybody imports `Account` from here.
"""

from __future__ import annotations

import sys

_limit = sys.getrecursionlimit()
try:
    from eth_account import Account
finally:
    sys.setrecursionlimit(_limit)

__all__ = ["Account"]
