"""`causeway voucher`: the owner admits an account, the account joins with a stake, its operator votes for halts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli.context import (
    AccountKeyOption,
    JsonOption,
    NetworkOption,
    NodeOption,
    PasswordFileOption,
    account_secret,
    command_group,
    keystore_password,
    network_file,
    node_folder,
    open_native,
    open_sender,
    run,
)
from cli.output import Output, coin, short, table
from foundation.errors import BadInput

app = command_group("Admit a voucher, join as one, and vote for halts.")

_ACCOUNT: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_COIN_DECIMALS: Final = 18


@app.command("admit")
def admit(
    voucher: Annotated[str, typer.Argument(metavar="IDENTITY|0xACCOUNT", help="An identity.json, or an account.")],
    account_key: AccountKeyOption = None,
    network: NetworkOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let an account join the vouchers; only the contracts' owner may.

    \b
    Example:
      causeway voucher admit voucher-1.json --network network.toml --account-key owner.key
    """
    account = _account(voucher)
    found, secret = network_file(network), account_secret(account_key)

    async def work() -> bool:
        from cli.founding import admit as admit_account

        async with open_native(found) as native, open_sender(found, native, secret) as sender:
            return await admit_account(native, sender, account)

    new = run(work())
    document = {"account": "0x" + account.hex(), "new": new}
    Output(as_json).result(document, f"0x{account.hex()} is admitted" + ("" if new else " (it was already)"))


@app.command("join")
def join(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The voucher's node folder.")],
    stake: Annotated[
        str | None,
        typer.Option("--stake", metavar="AMOUNT", help="In the native chain's coin; by default the least allowed."),
    ] = None,
    commission: Annotated[
        int, typer.Option("--commission", metavar="BPS", help="Kept of delegators' fees, in basis points.")
    ] = 0,
    network: NetworkOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Join the vouchers with the node's own account and a stake. The node must not run meanwhile.

    \b
    Example:
      causeway voucher join ./voucher-1 --stake 32 --network network.toml
    """
    from registry.amounts import parse_amount

    wei = None if stake is None else parse_amount(stake, _COIN_DECIMALS, "--stake")
    document = run(_join(node_folder(folder), wei, commission, network, password_file))
    name = document["account"]
    text = f"{name} is a voucher" + (
        f" with a stake of {coin(document['stake_wei'])}" if document["new"] else " already"
    )
    Output(as_json).result(document, text)


async def _join(
    folder: Path, wei: int | None, commission_bps: int, network: Path | None, password_file: Path | None
) -> dict[str, Any]:
    from cli.founding import join as join_vouchers
    from cli.node_folder import PublicIdentity, load_settings
    from foundation.quantities import Wei
    from mpc.keystore import Keystore

    settings = load_settings(folder)
    public = PublicIdentity.load(folder)
    if settings.node.role != "voucher":
        raise BadInput("FOLDER", f"{settings.node.name} is a {settings.node.role}", "a voucher's folder")
    named = settings.node.password_file
    password = keystore_password(password_file or (None if named is None else settings.path(named)))
    found = network_file(network)
    keystore = Keystore.open(settings.path(settings.node.keystore), password)
    try:
        async with (
            open_native(found) as native,
            open_sender(found, native, keystore.identity.account_secret) as sender,
        ):
            stake = await native.minimum_stake("latest") if wei is None else Wei(wei)
            new = await join_vouchers(native, sender, public.member, stake, commission_bps)
    finally:
        keystore.close()
    return {"account": "0x" + public.member.account.hex(), "stake_wei": stake, "new": new}


@app.command("list")
def list_vouchers(network: NetworkOption = None, as_json: JsonOption = False) -> None:
    """List the vouchers with their weights.

    \b
    Example:
      causeway voucher list --network network.toml
    """
    found = network_file(network)

    async def work() -> dict[str, Any]:
        async with open_native(found) as native:
            committee = await native.vouchers("latest")
        vouchers = [
            {
                "account": "0x" + voucher.member.account.hex(),
                "host_key": voucher.member.host_key.hex(),
                "endpoint": voucher.member.endpoint,
                "weight_wei": str(voucher.weight),
            }
            for voucher in committee.vouchers
        ]
        return {"total_weight_wei": str(committee.total_weight), "vouchers": vouchers}

    document = run(work())
    Output(as_json).result(document, lambda: _text(document))


@app.command("halt")
def halt(
    asset: Annotated[str, typer.Argument(metavar="ASSET|all", help="Symbol, CAIP-19 name or id; or all of them.")],
    hours: Annotated[
        int, typer.Option("--hours", metavar="N", min=1, max=167, help="How long, to the next full hour.")
    ] = 24,
    node: NodeOption = None,
    network: NetworkOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have your voucher vote for a halt: mints, withdrawals and reservations of the asset stand still.

    Vouchers of more than a third of the weight make it happen. It only delays, and ends by itself. Your voucher attests
    no deposit of the asset before it ends, or before causeway voucher resume.

    \b
    Example:
      causeway voucher halt ETH --hours 6 --node ./voucher-1 --network network.toml
    """
    from cli.voucher_votes import vote_halt

    document = run(vote_halt(node_folder(node), network_file(network), asset, hours))
    text = f"{document['node']} votes for a halt of {document['shown']} until {document['until']}"
    Output(as_json).result(document, text)


@app.command("resume")
def resume(
    asset: Annotated[str, typer.Argument(metavar="ASSET|all", help="Symbol, CAIP-19 name or id; or all of them.")],
    node: NodeOption = None,
    network: NetworkOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have your voucher vote for the end of a halt. Vouchers of more than two thirds of the weight end it.

    \b
    Example:
      causeway voucher resume ETH --node ./voucher-1 --network network.toml
    """
    from cli.voucher_votes import vote_resume

    document = run(vote_resume(node_folder(node), network_file(network), asset))
    Output(as_json).result(document, document["text"])


def _text(document: dict[str, Any]) -> str:
    rows = [
        (number, v["account"], coin(int(v["weight_wei"])), short(v["host_key"]), v["endpoint"])
        for number, v in enumerate(document["vouchers"], 1)
    ]
    headers = ("no.", "account", "stake", "host key", "endpoint")
    return table(headers, rows, right=("no.", "stake")) if rows else "no voucher has joined yet"


def _account(text: str) -> bytes:
    if _ACCOUNT.fullmatch(text):
        return bytes.fromhex(text[2:])
    if text.startswith("0x") and not Path(text).exists():
        raise BadInput("IDENTITY|0xACCOUNT", f"{text!r} is no account", "0x and 40 hex digits, or an identity.json")
    from cli.node_folder import PublicIdentity

    return PublicIdentity.load(Path(text)).member.account
