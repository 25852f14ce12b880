"""What importing eth-account leaves behind."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
before = sys.getrecursionlimit()
import bridge.runtime, cli.demo, cli.main, infra.anvil
import adapters.evm.accounts
assert sys.getrecursionlimit() == before, sys.getrecursionlimit()
from adapters.bitcoin.answers import BadAnswer, decode_any
try:
    decode_any("getblock", b"[" * 200_000)
except BadAnswer:
    print("refused")
"""


def test_the_recursion_limit_stays_low() -> None:
    """Our programs keep Python's recursion limit: an endlessly nested answer is refused and kills nothing."""
    ran = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "refused\n"), ran.stderr
