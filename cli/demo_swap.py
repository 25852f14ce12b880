"""`make demo-swap`: two people, each with only their own wallet and nodes, swap 20 ETH for 1 BTC.

`python -m cli.demo_swap`. Everything is a process of its own, and is gone at the end.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from cli.demo_screen import Screen
from cli.demo_swap_job import perform
from cli.exits import ExitCode, explain
from cli.output import show_error
from cli.swap_stage import Stage
from foundation.errors import CausewayError
from foundation.signals import heed


def main(
    private: Annotated[
        bool, typer.Option("--private", help="Lock by a point: the two chains' transactions cannot be linked.")
    ] = False,
) -> None:
    """Swap 20 ETH for 1 BTC between two people, and show each step as it happens.

    \b
    Example:
      python -m cli.demo_swap
      python -m cli.demo_swap --private
    """
    screen = Screen()
    try:
        fine = asyncio.run(_run(screen, private))
    except (KeyboardInterrupt, asyncio.CancelledError):
        screen.say("interrupted; everything is taken down", "bold red")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except (CausewayError, OSError, RuntimeError, ExceptionGroup) as error:
        explanation = explain(error)
        show_error(explanation, as_json=False)
        raise typer.Exit(explanation.code) from error
    if not fine:
        raise typer.Exit(ExitCode.REFUSED)


async def _run(screen: Screen, private: bool) -> bool:
    task = asyncio.current_task()
    assert task is not None, "asyncio.run made it"
    heed(task.cancel, signal.SIGTERM)
    folder = Path(tempfile.mkdtemp(prefix="causeway-swap-"))
    how = "by a point" if private else "by a hash"
    screen.say(f"Causeway: two people swap bitcoin for Ether, {how}; nobody stands between them\n", "bold")
    stage = Stage(folder, screen.detail)
    try:
        fine = await perform(screen, stage, private=private)
    except BaseException:  # whatever it is, Ctrl-C too: show why, and pass it on
        for trader in (getattr(stage, "alice", None), getattr(stage, "bob", None)):
            if trader is not None and trader.process is not None:
                screen.say(f"\n{trader.name}:", "bold")
                screen.say(trader.told[-3_000:], "dim")
        raise
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, True))
    screen.say(f"\nAll of it took {screen.seconds:.1f} s, the start of all processes included.")
    return fine


if __name__ == "__main__":
    typer.run(main)
