"""`causeway group`: propose a group of storemen, and look at one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.context import (
    AccountKeyOption,
    JsonOption,
    NetworkOption,
    account_secret,
    command_group,
    network_file,
    open_native,
    open_sender,
    run,
)
from cli.exits import NotFound
from cli.output import Output, facts, short, table
from foundation.errors import BadInput

if TYPE_CHECKING:
    from adapters.native.chain import NativeChain
    from cli.context import NetworkFile
    from registry.groups import Group

app = command_group("Propose a group of storemen, and look at groups.")

_SAY_SECONDS: Final = 10.0


@app.command("create")
def create(
    members: Annotated[
        str, typer.Option("--members", metavar="FILE,FILE,…", help="The identity.json of each member, in order.")
    ],
    threshold: Annotated[int, typer.Option("--threshold", help="How many sign: more than half of the members.")],
    account_key: AccountKeyOption = None,
    network: NetworkOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until the members have made the key.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait with --wait.")] = 600.0,
    as_json: JsonOption = False,
) -> None:
    """Propose a group of storemen; only the contracts' owner may. Its members, once they run, make the key themselves.

    \b
    Example:
      causeway group create --members storeman-1.json,storeman-2.json,storeman-3.json --threshold 2 \\
        --network network.toml --account-key owner.key --wait
    """
    output = Output(as_json)
    paths = [Path(part.strip()) for part in members.split(",") if part.strip()]
    secret, wait_seconds = account_secret(account_key), timeout if wait else None
    document = run(_create(network_file(network), paths, threshold, secret, wait_seconds, output))
    output.result(document, lambda: _text(document))


async def _create(
    network: NetworkFile, paths: list[Path], threshold: int, secret: bytes, wait_seconds: float | None, output: Output
) -> dict[str, Any]:
    from cli.founding import propose, until_active
    from cli.node_folder import PublicIdentity
    from registry.groups import check_threshold

    identities = [PublicIdentity.load(path) for path in paths]
    wrong = next((i.name for i in identities if i.role != "storeman"), None)
    if wrong is not None:
        raise BadInput("--members", f"{wrong} is no storeman", "identities of storemen")
    if len({identity.member.account for identity in identities}) != len(identities):
        raise BadInput("--members", "one is named twice", "each once")
    check_threshold(threshold, len(identities))
    async with open_native(network) as native, open_sender(network, native, secret) as sender:
        members = [identity.member for identity in identities]
        group = await propose(native, sender, network.chain, threshold, members)
        output.progress(f"proposed group {group.hex()}")
        if wait_seconds is not None:
            found: Group | None = await until_active(native, group, wait_seconds, Teller(output).look)
        else:
            found = await native.group(group, "latest")
        assert found is not None, "it was proposed just now"
        return await _document(network, native, found)


class Teller:
    """Says what a wait for a group has come to: at each change, and every ten seconds."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._last: tuple[str, float] = ("", 0.0)

    async def look(self, group: Group | None) -> None:
        """Told of each look."""
        import asyncio

        state = "the proposal is not final yet" if group is None else "the members make the key"
        now = asyncio.get_running_loop().time()
        before, at = self._last
        if state != before or now - at >= _SAY_SECONDS:
            self._output.progress(state)
            self._last = state, now


@app.command("show")
def show(
    group: Annotated[str | None, typer.Argument(metavar="[ID]", help="By default the one that serves.")] = None,
    network: NetworkOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a group: its members, threshold, key and vault.

    \b
    Example:
      causeway group show
      causeway group show 9c3f5ad21bb7… --json
    """
    document = run(_show(network_file(network), group))
    Output(as_json).result(document, lambda: _text(document))


async def _show(network: NetworkFile, text: str | None) -> dict[str, Any]:
    async with open_native(network) as native:
        wanted = await _wanted(network, native, text)
        found = await native.group(wanted, "latest")
        if found is None:
            raise NotFound(f"group {wanted.hex()} is unknown", "causeway group show without an id shows the active one")
        return await _document(network, native, found)


async def _wanted(network: NetworkFile, native: NativeChain, text: str | None) -> bytes:
    """The id that a person wrote, whole or its beginning; without one the group that serves, else the newest."""
    from cli.founding import proposals

    if text is None:
        active = await native.active_group(network.chain, "latest")
        known = [active] if active is not None else await proposals(native, network.chain)
        if not known:
            raise NotFound("no group was proposed yet", "causeway group create proposes one")
        return known[-1]
    digits = text.lower().removeprefix("0x").rstrip("…")
    if not digits or len(digits) > 64 or set(digits) - set("0123456789abcdef"):
        raise BadInput("ID", f"{text!r} is no id", "64 hex digits, or their beginning")
    if len(digits) == 64:
        return bytes.fromhex(digits)
    fitting = [known for known in await proposals(native, network.chain) if known.hex().startswith(digits)]
    if len(fitting) != 1:
        raise NotFound(f"{len(fitting)} groups begin with {digits}", "write more of the id")
    return fitting[0]


async def _document(network: NetworkFile, native: NativeChain, group: Group) -> dict[str, Any]:
    from adapters.bitcoin.addresses import address_text
    from adapters.bitcoin.scripts import vault_script

    serving = await native.active_group(network.chain, "latest")
    key = group.key
    return {
        "id": group.id.hex(),
        "status": group.status.name.lower(),
        "serves": group.id == serving,
        "threshold": group.threshold,
        "epoch": group.epoch,
        "key": None if key is None else key.hex(),
        "vault_address": None if key is None else address_text(vault_script(key), network.network),
        "members": [
            {
                "index": index,
                "account": "0x" + member.account.hex(),
                "host_key": member.host_key.hex(),
                "endpoint": member.endpoint,
            }
            for index, member in enumerate(group.members)
        ],
    }


def _text(document: dict[str, Any]) -> str:
    members = document["members"]
    known = [
        ("group", document["id"]),
        ("status", document["status"] + (", serves" if document["serves"] else "")),
        ("signs", f"{document['threshold']} of {len(members)}"),
        ("epoch", document["epoch"]),
        ("key", document["key"]),
        ("vault", document["vault_address"]),
    ]
    rows = [(m["index"] + 1, m["account"], short(m["host_key"]), m["endpoint"]) for m in members]
    return facts(known) + "\n\n" + table(("no.", "account", "host key", "endpoint"), rows, right=("no.",))
