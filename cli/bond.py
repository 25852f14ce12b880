"""`causeway bond`: bond coin to vouchers and storemen, earn with them, take it back, and report a voucher that lied."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

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
from cli.output import Output, clock, coin, facts
from foundation.errors import BadInput
from foundation.quantities import Wei

if TYPE_CHECKING:
    from adapters.native.chain import NativeChain
    from adapters.native.ports import Sender
    from cli.context import NetworkFile

Done = TypeVar("Done")

app = command_group("Bond coin to vouchers and storemen, earn with them, and report a liar.")

_DECIMALS = 18
_ALL = "all"

AmountArgument = Annotated[str, typer.Argument(metavar="AMOUNT", help="In the native chain's coin.")]


@app.command("deposit")
def deposit(
    amount: AmountArgument,
    join: Annotated[
        str | None,
        typer.Option("--join-as-storeman", metavar="GROUP", help="Become an operator as a storeman of this group."),
    ] = None,
    commission: Annotated[
        int,
        typer.Option(
            "--commission", metavar="BPS", min=0, max=10_000, help="With --join-as-storeman: of delegators' fees."
        ),
    ] = 0,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add to your own bond, as a voucher or a storeman. A voucher's first bond is causeway voucher join.

    \b
    Example:
      causeway bond deposit 10 --account-key voucher.key
      causeway bond deposit 5 --join-as-storeman 9c3f5ad2… --commission 500 --account-key storeman.key
    """
    from cli import bonding

    wei, group = _amount(amount, may_be_zero=join is not None), None if join is None else _group(join)
    event, transaction = _on_chain(
        network, account_key, lambda native, sender: bonding.deposit(native, sender, wei, group, commission)
    )
    _bonded(event, transaction, as_json)


@app.command("delegate")
def delegate(
    operator: Annotated[
        str, typer.Argument(metavar="OPERATOR", help="A voucher's name (voucher-2), an account, or an identity.json.")
    ],
    amount: AmountArgument,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bond coin to a voucher or a storeman, and earn with it. If it is slashed, your bond is cut like its own.

    \b
    Example:
      causeway bond delegate voucher-2 100 --account-key account.key
    """
    from cli import bonding

    wei = _amount(amount)

    async def work(native: NativeChain, sender: Sender) -> Any:
        return await bonding.delegate(native, sender, await bonding.find_operator(native, operator), wei)

    event, transaction = _on_chain(network, account_key, work)
    _bonded(event, transaction, as_json)


def _bonded(event: Any, transaction: bytes, as_json: bool) -> None:
    if event is None:
        document = {"position": None, "amount_wei": "0", "transaction": "0x" + transaction.hex()}
        Output(as_json).result(document, "joined as a storeman, with no bond of its own")
        return
    document = {
        "position": event.position,
        "operator": "0x" + event.operator.hex(),
        "owner": "0x" + event.owner.hex(),
        "amount_wei": str(event.amount),
        "transaction": "0x" + transaction.hex(),
    }
    text = f"{coin(event.amount)} bonded to {document['operator']}, position {event.position}"
    Output(as_json).result(document, text)


@app.command("unbond")
def unbond(
    position: Annotated[int, typer.Argument(metavar="POSITION", min=1, help="Its number.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT|all", help="In the native chain's coin.")],
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin to take a bond out. It earns no more, and stays within reach of a slash until it is ready.

    \b
    Example:
      causeway bond unbond 7 40 --account-key account.key
    """
    from cli import bonding

    wei = None if amount == _ALL else _amount(amount)
    event, transaction = _on_chain(
        network, account_key, lambda native, sender: bonding.unbond(native, sender, position, wei)
    )
    document = {
        "unbonding": event.id,
        "operator": "0x" + event.operator.hex(),
        "amount_wei": str(event.amount),
        "ready_at": event.ready_at,
        "transaction": "0x" + transaction.hex(),
    }
    ready = clock(event.ready_at * 1000)
    text = f"{coin(event.amount)} unbonded, number {event.id}, ready at {ready}: causeway bond withdraw {event.id}"
    Output(as_json).result(document, text)


@app.command("withdraw")
def withdraw(
    unbonding: Annotated[
        int | None, typer.Argument(metavar="[NUMBER]", min=1, help="By default all that is ready.", show_default=False)
    ] = None,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay out what was unbonded and is ready.

    \b
    Example:
      causeway bond withdraw --account-key account.key
    """
    from cli import bonding

    async def work(native: NativeChain, sender: Sender) -> Any:
        newest = await native.block("latest")
        now = int(time.time()) if newest is None else newest.timestamp
        return await bonding.withdraw(native, sender, unbonding, now)

    paid = _on_chain(network, account_key, work)
    document = [
        {"unbonding": event.id, "amount_wei": str(event.amount), "transaction": "0x" + transaction.hex()}
        for event, transaction in paid
    ]
    lines = [f"{coin(event.amount)} paid out of unbonding {event.id}" for event, _ in paid]
    Output(as_json).result(document, "\n".join(lines))


@app.command("claim")
def claim(
    position: Annotated[
        int | None, typer.Option("--position", metavar="NUMBER", min=1, help="Only what this position earned.")
    ] = None,
    asset: Annotated[str | None, typer.Option("--asset", metavar="ASSET", help="Only in tokens of this asset.")] = None,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Claim the fees that your positions have earned, and your commission: all, unless you narrow it.

    \b
    Example:
      causeway bond claim --account-key account.key
    """
    from cli import bonding
    from cli.registry_lookup import find_asset

    async def work(native: NativeChain, sender: Sender) -> Any:
        only = None if asset is None else await find_asset(native, asset, "--asset")
        wanted = await bonding.claimable(native, sender.account, only)
        if position is not None:
            wanted = [one for one in wanted if one.position == position]
        return await bonding.claim(native, sender, wanted)

    claimed = _on_chain(network, account_key, work)
    document = [
        {
            "asset": one.asset.caip19,
            "units": str(one.units),
            "position": one.position,
            "transaction": "0x" + transaction.hex(),
        }
        for one, transaction in claimed
    ]
    lines = [f"claimed {one.shown()}" for one, _ in claimed]
    Output(as_json).result(document, "\n".join(lines) or "nothing was earned since the last claim")


@app.command("show")
def show(
    account: Annotated[
        str | None, typer.Argument(metavar="[0xACCOUNT]", help="Whose positions; by default --account-key's.")
    ] = None,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who takes bonds, and an account's positions, what they have earned, and what is on its way out.

    \b
    Example:
      causeway bond show
      causeway bond show 0x70997970C51812dc3A010C7d01b50e0d17dc79C8
    """
    from adapters.evm.hexes import parse_address
    from adapters.native.eip712 import account_of_secret
    from cli.bond_view import show_json, show_text

    owner = None
    if account is not None:
        owner = parse_address(account, "0xACCOUNT")
    elif account_key is not None:
        owner = account_of_secret(account_secret(account_key))
    document = run(show_json(network_file(network), owner))
    Output(as_json).result(document, lambda: show_text(document))


@app.command("report")
def report(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Two conflicting statements of one voucher, as JSON.")],
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that a voucher signed two statements that contradict. Its bond is cut, and you get the reward.

    \b
    Example:
      causeway bond report conflict.json --account-key account.key
    """
    from adapters.native.events import Slashed
    from cli import bonding
    from cli.bond_report import read_conflict

    async def work(native: NativeChain, sender: Sender) -> Any:
        proof = read_conflict(file, native.hub_digests)
        call = native.calls.report(proof.first, proof.second)
        return await bonding.send_one(native, sender, call, Slashed)

    event, transaction = _on_chain(network, account_key, work)
    document = {
        "voucher": "0x" + event.voucher.hex(),
        "cut_wei": str(event.cut),
        "reward_wei": str(event.reward),
        "transaction": "0x" + transaction.hex(),
    }
    pairs = [("slashed", document["voucher"]), ("cut", coin(event.cut)), ("your reward", coin(event.reward))]
    Output(as_json).result(document, lambda: facts([*pairs, ("transaction", document["transaction"])]))


def _on_chain(
    network: Path | None, account_key: Path | None, work: Callable[[NativeChain, Sender], Awaitable[Done]]
) -> Done:
    """Do something with the account of --account-key."""
    secret, found = account_secret(account_key), network_file(network)
    return run(_with_account(found, secret, work))


async def _with_account(
    network: NetworkFile, secret: bytes, work: Callable[[NativeChain, Sender], Awaitable[Done]]
) -> Done:
    async with open_native(network) as native, open_sender(network, native, secret) as sender:
        return await work(native, sender)


def _amount(text: str, *, may_be_zero: bool = False) -> Wei:
    from registry.amounts import parse_amount

    wei = Wei(parse_amount(text, _DECIMALS, "AMOUNT"))
    if not wei and not may_be_zero:
        raise BadInput("AMOUNT", "is zero", "more than zero")
    return wei


def _group(text: str) -> bytes:
    digits = text.lower().removeprefix("0x")
    if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise BadInput("--join-as-storeman", f"{text!r} is no group's id", "64 hex digits: causeway group show")
    return bytes.fromhex(digits)
