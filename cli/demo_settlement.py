"""`make demo-settlement`: a bank pays another in the other's currency, through a clearing bank, in thirteen steps.

`python -m cli.demo_settlement`. Everything is a process of its own, and is gone at the end.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli.demo_screen import Screen
from cli.demo_settlement_job import perform
from cli.exits import ExitCode, explain
from cli.output import show_error
from cli.settlement_town import PAYER, Town
from foundation.errors import CausewayError
from foundation.signals import heed

_LOG_LINES: Final = 6


def main(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running until Ctrl-C, and tell how to talk to it.")
    ] = False,
) -> None:
    """Run one payment of 2,000 digital yuan, paid for in digital euro, and show its thirteen steps as they happen.

    \b
    Example:
      python -m cli.demo_settlement
      python -m cli.demo_settlement --keep
    """
    screen = Screen()
    try:
        fine = asyncio.run(_run(screen, keep))
    except (KeyboardInterrupt, asyncio.CancelledError):
        screen.say("interrupted; everything is taken down", "bold red")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except (CausewayError, OSError, ExceptionGroup) as error:
        explanation = explain(error)
        show_error(explanation, as_json=False)
        raise typer.Exit(explanation.code) from error
    if not fine:
        raise typer.Exit(ExitCode.REFUSED)


async def _run(screen: Screen, keep: bool) -> bool:
    task = asyncio.current_task()
    assert task is not None, "asyncio.run made it"
    heed(task.cancel, signal.SIGTERM)
    folder = Path(tempfile.mkdtemp(prefix="causeway-settlement-"))
    screen.say("Causeway: a bank pays another bank, from one central bank's ledger to another's\n", "bold")
    town = Town(folder, screen.detail)
    try:
        fine = await perform(screen, town, _kept if keep else None)
    except BaseException:  # whatever it is, Ctrl-C too: show why, leave nothing behind, and pass it on
        _show_logs(screen, town)
        raise
    finally:
        await _to_the_end(asyncio.to_thread(shutil.rmtree, folder, True))
    screen.say(f"\nAll of it took {screen.seconds:.1f} s, the start of all processes included.")
    return fine


async def _kept(screen: Screen, town: Town) -> None:
    """Tell how to talk to what runs, and wait until somebody has had enough."""
    screen.say("\nEverything goes on running until Ctrl-C. Bank A's REST interface, as in the README:", "bold")
    screen.say(f"export CAUSEWAY_URL={town.apis[PAYER]}\nexport CAUSEWAY_KEY={town.rest_keys[PAYER]}")
    screen.say(f"Its folder: {town.folder / PAYER}; its pages: {town.apis[PAYER]}/docs", "dim")
    task = asyncio.current_task()
    assert task is not None, "asyncio.run made it"
    stopped = asyncio.Event()
    heed(stopped.set, signal.SIGTERM, signal.SIGINT)
    await stopped.wait()


def _show_logs(screen: Screen, town: Town) -> None:
    """The last lines of every process's log."""
    for name, process in town.processes.items():
        try:
            lines = process.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        except OSError:
            continue
        screen.say(f"\n{name}:", "bold")
        for line in lines:
            screen.say(f"  {line[:300]}", "dim")


async def _to_the_end(work: Coroutine[Any, Any, object]) -> None:
    """Finish, also if we are cancelled meanwhile."""
    await asyncio.shield(asyncio.ensure_future(work))


if __name__ == "__main__":
    typer.run(main)
