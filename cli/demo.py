"""`make demo`: three transfers on a live network that this starts: bitcoin, Ether, and a token that nobody knows.

`python -m cli.demo [--keep]`; with --keep the network goes on running, and you are told how to talk to it.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from adapters.native.eip712 import account_of_secret
from cli.context import dev_folder
from cli.demo_job import Outcome, perform
from cli.demo_screen import Screen
from cli.dev.network import DevNetwork
from cli.dev.origin import DEV_EVM_CHAIN
from cli.dev.plan import DevPlan
from cli.exits import ExitCode, explain
from cli.output import show_error
from foundation.errors import CausewayError
from foundation.signals import heed

_LOG_LINES: Final = 4


def main(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the network running, and tell how to talk to it.")
    ] = False,
) -> None:
    """Run three transfers on a live network: 0.5 BTC in and back; 10 ETH to a second person and back to a third one;
    and a token that the bridge has never seen.

    \b
    Example:
      python -m cli.demo
      python -m cli.demo --keep
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
    """The demo, and the end of it whatever happens. Returns whether every token is backed."""
    task = asyncio.current_task()
    assert task is not None, "asyncio.run made it"
    heed(task.cancel, signal.SIGTERM)
    folder = dev_folder() if keep else Path(tempfile.mkdtemp(prefix="causeway-demo-"))
    network = DevNetwork(folder, DevPlan(evm_chain=DEV_EVM_CHAIN), detached=keep, progress=screen.detail)
    was_up = network.network_file.exists()
    keys = _new_folder(folder)
    screen.say("Causeway: bitcoin, Ether and a new token cross a bridge, and come back, on a live network\n", "bold")
    try:
        outcome = await perform(screen, network, keys)
    except BaseException:  # whatever it is, Ctrl-C too: show why, leave nothing behind, and pass it on
        _show_logs(screen, network)
        await _to_the_end(_take_down(network, keep, was_up))
        raise
    screen.say(f"\nAll of it took {screen.seconds:.1f} s, the network's start included.")
    if keep:
        screen.say(_hints(network, keys, outcome))
    else:
        await _to_the_end(network.remove())
    return outcome.covered


async def _take_down(network: DevNetwork, keep: bool, was_up: bool) -> None:
    """After a failure: what this run started is stopped; what it did not, and what was to be kept, stays."""
    if not was_up:
        await network.stop()
    if not keep:
        await asyncio.to_thread(shutil.rmtree, network.folder, ignore_errors=True)


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Clean up even if Ctrl-C comes meanwhile, or comes again; then let it have its effect."""
    task = asyncio.create_task(work)
    interrupted = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            interrupted = True
    task.result()
    if interrupted:
        raise asyncio.CancelledError


def _new_folder(folder: Path) -> Path:
    """A folder for the people's keys; a network that was kept has those of earlier runs."""
    number = 1
    while (path := folder / f"demo-{number}").exists():
        number += 1
    path.mkdir(parents=True, mode=0o700)
    return path


def _show_logs(screen: Screen, network: DevNetwork) -> None:
    """The end of each node's log, for whoever looks for the cause."""
    tails = [(node, node.log_tail(_LOG_LINES)) for node in network.nodes if node.exists]
    if any(tail for _, tail in tails):
        screen.say("\nThe last log lines of the nodes:", "bold")
    for node, tail in tails:
        if tail:
            screen.say(f"{node.name}{'' if node.is_running else ' (does not run)'}", "bold")
            screen.say(tail)


def _hints(network: DevNetwork, keys: Path, outcome: Outcome) -> str:
    """How to talk to the network that stays. Each command is alone on its line, to be copied."""
    here = _relative(keys)
    command = "causeway" if shutil.which("causeway") else _relative(Path(sys.executable).with_name("causeway"))
    secret = bytes.fromhex((keys / "bob.key").read_text())
    account = "0x" + account_of_secret(secret).hex()
    return f"""
The network goes on running. Network file: {network.network_file}
Commands find it by themselves, from this folder:
  {command} dev status
  {command} transfers
  {command} transfers show {outcome.withdrawal.hex()[:12]}
  {command} transfers show {outcome.deposit.hex()[:12]}
  {command} transfers show {outcome.release.hex()[:12]}
  {command} chain list
  {command} asset list
  {command} bond show
  {command} reserves --verify
  {command} deposit status {here}/receipt.json
  {command} token balance --account-key {here}/alice.key
  {command} token balance --asset TRD --account-key {here}/bob.key
  {command} lock ETH 1 --recipient {account} --account-key {here}/alice.key --wait
Nobody else mines here: deposits, sweeps and payouts wait for you to do it.
  {command} withdraw 0.05 --to {outcome.address} \\
    --account-key {here}/alice.key
  {command} dev mine
Take it down:
  {command} dev down --remove"""


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(main)
    sys.exit(app(prog_name="python -m cli.demo"))
