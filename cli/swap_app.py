"""The group `causeway swap`, and the arguments that several of its commands take."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.context import command_group

app = command_group("""Swap bitcoin for an EVM chain's coin or tokens, atomically: both sides get what was agreed, or
both get back what they gave. Everything goes on by itself while a command runs; `resume` takes it up again.

\b
Examples:
  causeway swap init --bitcoin-url http://127.0.0.1:8332 --bitcoin-wallet me --bitcoin-cookie ~/.bitcoin/.cookie \\
    --evm-url http://127.0.0.1:8545 --escrow 0x5FbD…
  causeway swap offer --give 1BTC --want 20ETH --valid 30m
  causeway swap take causeway-swap:aea…
  causeway swap list
  causeway swap resume
""")

SwapArgument = Annotated[str, typer.Argument(metavar="SWAP", help="The first digits of its id.", show_default=False)]
BoardOption = Annotated[
    str | None,
    typer.Option("--board", metavar="URL", help="An order board; by default that of swap.toml.", show_default=False),
]
