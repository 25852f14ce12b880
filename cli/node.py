"""`causeway node`: make a node, run it, look at it, and keep what a backup needs."""

from __future__ import annotations

import gc
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.context import (
    CONFIG,
    JsonOption,
    NetworkOption,
    NodeOption,
    PasswordFileOption,
    command_group,
    keystore_password,
    network_file,
    node_folder,
    run,
)
from cli.exits import ExitCode, NotFound
from cli.output import Output, facts
from foundation.errors import BadInput

app = command_group("Make, run and look at a storeman's or voucher's node.")

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="The node's folder.", show_default=False)]


class RoleName(StrEnum):
    """What a node does."""

    STOREMAN = "storeman"
    VOUCHER = "voucher"


class LogLevel(StrEnum):
    """How much a node tells."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@app.command("init")
def init(
    folder: FolderArgument,
    role: Annotated[RoleName, typer.Option("--role", help="What the node does.")],
    name: Annotated[str, typer.Option("--name", help="Its name in logs: 1 to 32 of a-z, 0-9 and -.")],
    listen: Annotated[str, typer.Option("--listen", metavar="tcp://ADDRESS:PORT", help="Where it listens for peers.")],
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", metavar="tcp://HOST:PORT", help="Where peers reach it, if that differs."),
    ] = None,
    database: Annotated[
        str, typer.Option("--database", metavar="URL", help="SQLite or postgresql://user:password@host/name.")
    ] = "sqlite:///node.db",
    network: NetworkOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a node's folder. In it: configuration, keystore with fresh keys, and its public identity.

    Nothing is overwritten. The password protects the keystore; without it the keys are lost.

    \b
    Example:
      causeway node init ./storeman-1 --role storeman --name storeman-1 \\
        --network network.toml --listen tcp://0.0.0.0:7400 --endpoint tcp://storeman-1.example.org:7400
    """
    from cli.node_folder import DEPLOYMENT, NodePlan, create_node

    found = network_file(network)
    deployment = found.deployment
    section = found.settings.bitcoin
    cookie = None if section.cookie_file is None else str(found.settings.path(section.cookie_file))
    plan = NodePlan(
        role=role.value,
        name=name,
        listen=listen,
        endpoint=endpoint,
        database=database,
        bitcoin={**section.model_dump(), "cookie_file": cookie},
        native={**found.settings.native.model_dump(), "deployment": DEPLOYMENT},
        password_file=None if password_file is None else str(password_file.absolute()),
    )
    if (folder / CONFIG).exists():  # before a password is asked for
        raise BadInput("FOLDER", f"{folder / CONFIG} exists", "choose another folder; nothing is ever overwritten")
    public = create_node(folder, plan, keystore_password(password_file, confirm=True))
    deployment.save(folder / DEPLOYMENT)
    member = public.member
    document = {
        "folder": str(folder.absolute()),
        "name": public.name,
        "role": public.role,
        "account": "0x" + member.account.hex(),
        "host_key": member.host_key.hex(),
        "endpoint": member.endpoint,
    }
    Output(as_json).result(document, lambda: facts(document.items()) + "\n\n" + _next_steps(folder, role))


def _next_steps(folder: Path, role: RoleName) -> str:
    """What to do after `init`."""
    steps = [
        f"Keep a copy of {folder / 'keystore'} and the password apart from this machine.",
        "Send the account some of the native chain's coin: it pays for gas"
        + (" and the stake." if role is RoleName.VOUCHER else "."),
        f"Read {folder / CONFIG}, above all [policy].",
    ]
    if role is RoleName.VOUCHER:
        steps += [
            f"Send {folder / 'identity.json'} to the bridge's owner, who runs: causeway voucher admit identity.json",
            f"Then join: causeway voucher join {folder}",
        ]
    else:
        steps.append(f"Send {folder / 'identity.json'} to the bridge's owner, who proposes the group.")
    steps.append(f"Run it: causeway node run {folder}")
    return "Next:\n" + "\n".join(f"  {number}. {step}" for number, step in enumerate(steps, 1))


@app.command("run")
def run_command(
    folder: FolderArgument,
    password_file: PasswordFileOption = None,
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", envvar="CAUSEWAY_LOG_LEVEL", help="How much it tells.")
    ] = LogLevel.INFO,
    json_logs: Annotated[bool, typer.Option("--json", help="Log JSON lines also on a terminal.")] = False,
) -> None:
    """Run a node until it gets SIGTERM or Ctrl-C. Chains and peers may come and go meanwhile.

    It logs to standard error: text on a terminal, else one JSON object a line.

    \b
    Example:
      causeway node run ./storeman-1 --password-file /run/secrets/storeman-1
    """
    gc.disable()  # the imports of a node take a fifth less time so
    from cli.node_process import run_until_stopped

    gc.freeze()  # what they made is never garbage
    gc.enable()
    run_until_stopped(node_folder(folder), password_file, log_level.value, json_logs)


@app.command("status")
def status(
    folder: Annotated[Path | None, typer.Argument(metavar="[FOLDER]", help="The node's folder.")] = None,
    node: NodeOption = None,
    incidents: Annotated[int, typer.Option("--incidents", min=0, max=1000, help="How many incidents to show.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Tell how a node is. Alive or not, its chains, groups, duties and incidents.

    The exit status is 5 where the node is not alive. With --json: alive, status (what the node last said), incidents.

    \b
    Example:
      causeway node status ./storeman-1
      causeway node status ./storeman-1 --json | jq .alive
    """
    from cli.node_status import read_report

    report = run(read_report(node_folder(folder or node), incidents))
    Output(as_json).result(report.as_json(), report.text)
    if not report.alive:
        raise typer.Exit(ExitCode.NOT_YET)


@app.command("export")
def export(
    folder: FolderArgument,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="By default recovery.json in the folder.")
    ] = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the public recovery data of all groups. It holds no secret.

    With a copy of the keystore from any time, however old, it restores the node's shares: causeway node recover.
    The node must not run meanwhile.

    \b
    Example:
      causeway node export ./storeman-1 --output storeman-1-recovery.json
    """
    from mpc.keystore import Keystore

    settings_path, password = _keystore(node_folder(folder), password_file)
    target = output or folder / "recovery.json"
    keystore = Keystore.open(settings_path, password)
    try:
        keystore.export_recovery(target)
        groups = [share.key.group.hex() for share in keystore.shares()]
    finally:
        keystore.close()
    document = {"file": str(target.absolute()), "groups": groups}
    Output(as_json).result(document, f"{target}: recovery data of {len(groups)} group(s)")


@app.command("recover")
def recover(
    folder: FolderArgument,
    recovery: Annotated[Path, typer.Argument(metavar="FILE", help="What causeway node export wrote.")],
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore groups' shares into a keystore. From their public recovery data.

    \b
    Example:
      causeway node recover ./storeman-1 storeman-1-recovery.json
    """
    from mpc.keystore import Keystore, recovery_from_export

    path, password = _keystore(node_folder(folder), password_file)
    wanted = recovery_from_export(recovery)
    keystore = Keystore.open(path, password)
    try:
        for group, epoch, data in wanted:
            keystore.recover(group, epoch, data)
    finally:
        keystore.close()
    groups = [group.hex() for group, _, _ in wanted]
    Output(as_json).result({"groups": groups}, f"{path}: {len(groups)} group(s) restored")


def _keystore(folder: Path, password_file: Path | None) -> tuple[Path, str]:
    """The keystore's path and password. Raises `BadInput`, `NotFound`."""
    from cli.node_folder import load_settings

    settings = load_settings(folder)
    path = settings.path(settings.node.keystore)
    if not path.exists():
        raise NotFound(f"{path} does not exist", "restore it from its backup")
    named = settings.node.password_file
    return path, keystore_password(password_file or (None if named is None else settings.path(named)))
