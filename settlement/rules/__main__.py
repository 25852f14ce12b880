"""`python -m settlement.rules RULES [FACTS]`: check a file of rules, and say what they make of one payment.

Exit code 0: the payment passes, or the file is good; 1: the file or the facts are refused; 2: referred; 3: blocked.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.rules.decision import Decision
from settlement.rules.dryrun import dry_run
from settlement.rules.facts import decode_facts
from settlement.rules.model import Verdict
from settlement.rules.reload import load_rules

_EXIT = {Verdict.PASS: 0, Verdict.REFER: 2, Verdict.BLOCK: 3}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="settlement.rules", description="Check rules, and try them on a payment.")
    parser.add_argument("rules", type=Path, help="the file of rules")
    parser.add_argument("facts", type=Path, nargs="?", help="the payment's facts, as JSON")
    parser.add_argument("--at", type=int, help="the moment, in milliseconds since 1970 (default: now)")
    given = parser.parse_args(arguments)
    try:
        rules = load_rules(given.rules)
        sys.stdout.write(f"rules {rules.name!r}, version {rules.version.hex()}\n")
        if given.facts is None:
            return 0
        now = UnixMs(time.time_ns() // 1_000_000 if given.at is None else given.at)
        decision = dry_run(rules, decode_facts(given.facts.read_bytes()), now)
    except (BadInput, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(describe(decision))
    return _EXIT[decision.verdict]


def describe(decision: Decision) -> str:
    """The decision in lines for people."""
    lines = [f"verdict: {decision.verdict.name.lower()}"]
    for reason in decision.reasons:
        lines.append(f"  {reason.rule_id}: {reason.verdict.name.lower()}: {reason.text}")
        lines += [f"    {name}: {value}" for name, value in reason.compared]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
