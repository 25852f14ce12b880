"""Compiles the contracts: `python -m contracts.build`. Does nothing when neither sources nor compiler have changed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from contracts.artifacts import BUILD, DEPLOYABLE, SOURCES, load, source_hash
from contracts.errors import ArtifactUnavailable, ContractTooLarge
from foundation.files import write_durably

CODE_LIMIT_BYTES: Final = 24_576
"""Largest code of a contract. Source: EIP-170."""


def is_up_to_date(build: Path = BUILD) -> bool:
    """Whether all artifacts are there and were built from the present sources by the present compiler."""
    try:
        for name in DEPLOYABLE:
            load(name, build)
    except ArtifactUnavailable:
        return False
    return True


def compile_contract(name: str) -> dict[str, object]:
    """Compile one contract; what is stored as its artifact, but for the hash.

    Raises:
        ContractTooLarge: its code is above the limit of EIP-170.
        vyper.exceptions.VyperException: the source is wrong.
    """
    # Imported here, because it takes half a second, which a build that is up to date should not.
    from vyper.cli.vyper_compile import compile_files  # type: ignore[import-untyped]  # vyper ships no types

    path = SOURCES / f"{name}.vy"
    # The search path is Python's own, which is where snekmate is installed, and each importing file's folder.
    output = compile_files([str(path)], ["abi", "bytecode", "bytecode_runtime", "layout"])
    compiled = next(value for key, value in output.items() if str(key).endswith(f"{name}.vy"))
    size = len(compiled["bytecode_runtime"]) // 2 - 1 + immutables_bytes(compiled["layout"])
    if size > CODE_LIMIT_BYTES:
        raise ContractTooLarge(name, size, CODE_LIMIT_BYTES)
    return {"abi": compiled["abi"], "bytecode": compiled["bytecode"], "size": size}


def immutables_bytes(layout: dict[str, object]) -> int:
    """How many bytes the immutables add to the deployed code: Vyper appends them to it."""
    total = 0
    pending: list[object] = [layout.get("code_layout", {})]
    while pending:
        entry = pending.pop()
        if not isinstance(entry, dict):
            continue
        if isinstance(entry.get("length"), int):
            total += entry["length"]
        else:
            pending.extend(entry.values())
    return total


def build_all(build: Path = BUILD) -> bool:
    """Compile all deployable contracts into `build`, unless they are up to date. Whether anything was compiled."""
    if is_up_to_date(build):
        return False
    build.mkdir(parents=True, exist_ok=True)
    # Taken before compiling: a source that changes meanwhile makes the artifacts outdated, not wrong.
    built_from = source_hash()
    for name in DEPLOYABLE:
        content = {**compile_contract(name), "source_hash": built_from}
        write_durably(build / f"{name}.json", json.dumps(content, indent=1).encode() + b"\n", mode=0o644)
    return True


def main() -> int:
    """Build, and say what was done; the exit code."""
    try:
        compiled = build_all()
    except ContractTooLarge as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("Contracts compiled\n" if compiled else "Contracts are up to date\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
