"""The `[[evm]]` block of a configuration: what a node, or a user's command, needs to reach an EVM chain."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cli.context import read_text
from foundation.errors import BadInput
from foundation.files import write_durably


def evm_block(chain: str, urls: Sequence[str], values: Mapping[str, Any] | None = None) -> str:
    """The block as TOML text.

    Args:
        chain: CAIP-2 text.
        urls: its JSON-RPC endpoints.
        values: more of the section's values, see `bridge.settings.EvmSection`.
    """
    lines = ["[[evm]]", f"chain = {json.dumps(chain)}", f"urls = {json.dumps(list(urls))}"]
    # JSON writes numbers, booleans and plain text as TOML does.
    return "\n".join([*lines, *(f"{name} = {json.dumps(value)}" for name, value in (values or {}).items())]) + "\n"


def add_evm_block(config: Path, chain: str, block: str) -> bool:
    """Append a block to a node's configuration, unless it has one for the chain. Whether it was appended.

    Raises:
        BadInput: the file is not a node's configuration, or would not be one with the block.
    """
    from bridge.settings import Settings

    text = read_text(config, str(config))
    try:
        before = Settings.load(config)
        if any(section.chain == chain for section in before.evm):
            return False
        longer = text.rstrip("\n") + "\n\n" + block
        Settings.checked(tomllib.loads(longer), config.parent.absolute())
    except BadInput as error:
        field = error.field if error.field.startswith(str(config)) else f"{config}: {error.field}"
        raise BadInput(field, error.problem, error.cure) from error
    write_durably(config, longer.encode(), mode=config.stat().st_mode & 0o777)
    return True
